//! A server's and a client's namespace with a router between them, so that the way can be cut, or one
//! host vanish and come back, without the other's own link noticing. Several at a time, by name.
//! Neighbours: `wires` (two namespaces on one cable), `silences` (who runs in these).

use super::wires::{ADDRESSES, ip};
use std::process::{Command, Stdio};

/// The router's address on both of its links.
const ROUTER: &str = "169.254.1.1";

/// Three namespaces `afterlife-NAME-{a,b,r}`; gone when dropped.
pub struct Routed {
    name: String,
}

impl Routed {
    /// Lays them.
    pub fn lay(name: &str) -> Result<Routed, String> {
        let routed = Routed { name: name.to_owned() };
        routed.clear();
        let router = routed.full("r");
        ip(&format!("netns add {router}"))?;
        for side in ["a", "b"] {
            routed.boot(side)?;
        }
        routed.heal()?;
        let mut forward = Command::new("ip");
        forward.args(["netns", "exec", &router, "sh", "-c"]);
        forward.arg("echo 1 > /proc/sys/net/ipv4/ip_forward");
        match forward.status() {
            Ok(status) if status.success() => Ok(routed),
            Ok(status) => Err(format!("twin: ip_forward cannot be set: {status}")),
            Err(error) => Err(format!("twin: ip: {error}")),
        }
    }

    /// What `wires::inside` calls a side.
    pub fn side(&self, side: &str) -> String {
        format!("{}-{side}", self.name)
    }

    fn full(&self, side: &str) -> String {
        format!("afterlife-{}", self.side(side))
    }

    /// A host with its link to the router; nobody can reach it before `heal`.
    fn boot(&self, side: &str) -> Result<(), String> {
        let (host, router, port) = (self.full(side), self.full("r"), format!("al{side}"));
        ip(&format!("netns add {host}"))?;
        ip(&format!("link add al0 netns {host} type veth peer name {port} netns {router}"))?;
        ip(&format!("-n {router} addr add {ROUTER}/32 dev {port}"))?;
        ip(&format!("-n {router} link set {port} up"))?;
        ip(&format!("-n {host} addr add {}/32 dev al0", address(side)))?;
        ip(&format!("-n {host} link set al0 up"))?;
        ip(&format!("-n {host} link set lo up"))?;
        ip(&format!("-n {host} route add {ROUTER} dev al0"))?;
        ip(&format!("-n {host} route add default via {ROUTER}"))
    }

    /// To a host: by its link, or nowhere and without a word.
    fn route(&self, side: &str, cut: bool) -> Result<(), String> {
        let (router, address) = (self.full("r"), address(side));
        if cut {
            ip(&format!("-n {router} route replace blackhole {address}/32"))
        } else {
            ip(&format!("-n {router} route replace {address}/32 dev al{side}"))
        }
    }

    /// From now on nothing arrives at either side.
    pub fn cut(&self) -> Result<(), String> {
        self.route("a", true)?;
        self.route("b", true)
    }

    /// The opposite.
    pub fn heal(&self) -> Result<(), String> {
        self.route("a", false)?;
        self.route("b", false)
    }

    /// The server's host comes back with a kernel that knows nobody, while the way is cut and stays
    /// so. What ran in the old one must be dead.
    pub fn reboot(&self) -> Result<(), String> {
        ip(&format!("-n {} link del ala", self.full("r")))?;
        ip(&format!("netns del {}", self.full("a")))?;
        self.boot("a")
    }

    fn clear(&self) {
        for side in ["a", "b", "r"] {
            let mut delete = Command::new("ip");
            delete.args(["netns", "del", &self.full(side)]);
            // Not there is as good as gone.
            let _ = delete.stderr(Stdio::null()).status();
        }
    }
}

fn address(side: &str) -> &'static str {
    ADDRESSES[usize::from(side == "b")]
}

impl Drop for Routed {
    fn drop(&mut self) {
        self.clear();
    }
}
