//! /proc/sys/net/ipv4/tcp_*: the settings from which every TCP socket of a host starts (T-1,
//! ip-sysctl). They are read from the very values that TCP uses, and root changes those by writing.
//! Settings that our TCP does not look at have no file. Neighbours: `net::tcp::config`, `mod`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::net::inet::TcpUse;
use crate::net::socket::SocketKind;
use crate::net::tcp::TcpConfig;
use crate::task::TaskId;
use crate::time::Duration;

/// What can be set for a whole host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpSysctls {
    /// Where every socket's own settings come from.
    pub config: TcpConfig,
    /// `tcp_max_orphans`: with more of them, one that becomes an orphan is reset (T-23).
    pub max_orphans: u32,
    /// `tcp_retries1`: when to ask for another route. A hint: there is no other.
    pub retries1: u32,
    /// `tcp_migrate_req`: connections that nobody accepted go to another listener of the
    /// SO_REUSEPORT group (T-34).
    pub migrate_req: bool,
}

impl Default for TcpSysctls {
    fn default() -> TcpSysctls {
        // On Linux the number of orphans depends on the memory; this is what 8 GiB give.
        TcpSysctls {
            config: TcpConfig::default(),
            max_orphans: 131_072,
            retries1: 3,
            migrate_req: false,
        }
    }
}

/// Which setting: Linux's name without `tcp_`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum TcpSysctl {
    AbortOnOverflow,
    Dsack,
    EarlyRetrans,
    Ecn,
    FinTimeout,
    Frto,
    InvalidRatelimit,
    KeepaliveIntvl,
    KeepaliveProbes,
    KeepaliveTime,
    MaxOrphans,
    MaxReordering,
    MaxSynBacklog,
    MigrateReq,
    MinTsoSegs,
    ModerateRcvbuf,
    NotsentLowat,
    OrphanRetries,
    Reordering,
    Retries1,
    Retries2,
    Rfc1337,
    Rmem,
    RtoMaxMs,
    RtoMinUs,
    Sack,
    SlowStartAfterIdle,
    SynLinearTimeouts,
    SynRetries,
    SynackRetries,
    Syncookies,
    Timestamps,
    WindowScaling,
    Wmem,
}

impl TcpSysctl {
    /// What the file says, with its newline.
    pub(super) fn text(self, sysctls: &TcpSysctls) -> String {
        let c = &sysctls.config;
        let flag = |on: bool| u32::from(on).to_string();
        let triple = |[least, initial, most]: [u32; 3]| format!("{least}\t{initial}\t{most}");
        let value = match self {
            TcpSysctl::AbortOnOverflow => flag(c.abort_on_overflow),
            TcpSysctl::Dsack => flag(c.dsack),
            TcpSysctl::EarlyRetrans => c.early_retrans.to_string(),
            TcpSysctl::Ecn => c.ecn.to_string(),
            TcpSysctl::Frto => c.frto.to_string(),
            TcpSysctl::MaxReordering => c.max_reordering.to_string(),
            TcpSysctl::Reordering => c.reordering.to_string(),
            TcpSysctl::FinTimeout => c.fin_timeout.as_secs().to_string(),
            TcpSysctl::InvalidRatelimit => c.invalid_ratelimit.as_millis().to_string(),
            TcpSysctl::KeepaliveIntvl => c.keepintvl.as_secs().to_string(),
            TcpSysctl::KeepaliveProbes => c.keepcnt.to_string(),
            TcpSysctl::KeepaliveTime => c.keepidle.as_secs().to_string(),
            TcpSysctl::MaxOrphans => sysctls.max_orphans.to_string(),
            TcpSysctl::MaxSynBacklog => c.max_syn_backlog.to_string(),
            TcpSysctl::MigrateReq => flag(sysctls.migrate_req),
            TcpSysctl::MinTsoSegs => c.min_tso_segs.to_string(),
            TcpSysctl::ModerateRcvbuf => flag(c.moderate_rcvbuf),
            TcpSysctl::NotsentLowat => c.notsent_lowat.to_string(),
            TcpSysctl::OrphanRetries => c.orphan_retries.to_string(),
            TcpSysctl::Retries1 => sysctls.retries1.to_string(),
            TcpSysctl::Retries2 => c.retries2.to_string(),
            TcpSysctl::Rfc1337 => flag(c.rfc1337),
            TcpSysctl::Rmem => triple(c.rmem),
            TcpSysctl::RtoMaxMs => c.rto_max.as_millis().to_string(),
            TcpSysctl::RtoMinUs => c.rto_min.as_micros().to_string(),
            TcpSysctl::Sack => flag(c.sack),
            TcpSysctl::SlowStartAfterIdle => flag(c.slow_start_after_idle),
            TcpSysctl::SynLinearTimeouts => c.syn_linear_timeouts.to_string(),
            TcpSysctl::SynRetries => c.syn_retries.to_string(),
            TcpSysctl::SynackRetries => c.synack_retries.to_string(),
            TcpSysctl::Syncookies => c.syncookies.to_string(),
            TcpSysctl::Timestamps => flag(c.timestamps),
            TcpSysctl::WindowScaling => flag(c.window_scaling),
            TcpSysctl::Wmem => triple(c.wmem),
        };
        value + "\n"
    }

    /// The smallest and greatest number that may be written.
    fn range(self) -> (u32, u32) {
        match self {
            // Unlike Linux, which keeps a byte and looks at most of these as a flag.
            TcpSysctl::AbortOnOverflow
            | TcpSysctl::Dsack
            | TcpSysctl::MigrateReq
            | TcpSysctl::ModerateRcvbuf
            | TcpSysctl::Rfc1337
            | TcpSysctl::Sack
            | TcpSysctl::SlowStartAfterIdle
            | TcpSysctl::Timestamps
            | TcpSysctl::WindowScaling => (0, 1),
            // Unlike Linux cookies cannot be sent always (2).
            TcpSysctl::Syncookies => (0, 1),
            TcpSysctl::EarlyRetrans => (0, 4),
            TcpSysctl::Reordering | TcpSysctl::MaxReordering => (1, i32::MAX as u32),
            TcpSysctl::Frto
            | TcpSysctl::KeepaliveProbes
            | TcpSysctl::OrphanRetries
            | TcpSysctl::Retries1
            | TcpSysctl::Retries2
            | TcpSysctl::SynackRetries => (0, 255),
            // Unlike Linux there is no AccECN (3 to 5).
            TcpSysctl::Ecn => (0, 2),
            TcpSysctl::MinTsoSegs => (1, 255),
            TcpSysctl::NotsentLowat => (0, u32::MAX),
            TcpSysctl::SynLinearTimeouts => (0, 127),
            TcpSysctl::SynRetries => (1, 127),
            TcpSysctl::RtoMaxMs => (1000, 120_000),
            TcpSysctl::RtoMinUs | TcpSysctl::Rmem | TcpSysctl::Wmem => (1, i32::MAX as u32),
            TcpSysctl::FinTimeout
            | TcpSysctl::InvalidRatelimit
            | TcpSysctl::KeepaliveIntvl
            | TcpSysctl::KeepaliveTime
            | TcpSysctl::MaxOrphans
            | TcpSysctl::MaxSynBacklog => (0, i32::MAX as u32),
        }
    }

    /// Takes in what was written: a number, or up to three. EINVAL for anything else.
    fn parse(self, text: &str, sysctls: &mut TcpSysctls) -> Result<(), Errno> {
        let (least, most) = self.range();
        let numbers = text.split_ascii_whitespace().take(3).map(|word| {
            word.parse().ok().filter(|n| (least..=most).contains(n)).ok_or(Errno::EINVAL)
        });
        let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
        let Some(&n) = numbers.first() else { return Ok(()) };
        let c = &mut sysctls.config;
        let seconds = Duration::from_secs(n.into());
        match self {
            TcpSysctl::AbortOnOverflow => c.abort_on_overflow = n == 1,
            TcpSysctl::Dsack => c.dsack = n == 1,
            TcpSysctl::EarlyRetrans => c.early_retrans = n,
            TcpSysctl::Ecn => c.ecn = n as u8,
            TcpSysctl::Frto => c.frto = n,
            TcpSysctl::MaxReordering => c.max_reordering = n,
            TcpSysctl::Reordering => c.reordering = n,
            TcpSysctl::FinTimeout => c.fin_timeout = seconds,
            TcpSysctl::InvalidRatelimit => c.invalid_ratelimit = Duration::from_millis(n.into()),
            TcpSysctl::KeepaliveIntvl => c.keepintvl = seconds,
            TcpSysctl::KeepaliveProbes => c.keepcnt = n,
            TcpSysctl::KeepaliveTime => c.keepidle = seconds,
            TcpSysctl::MaxOrphans => sysctls.max_orphans = n,
            TcpSysctl::MaxSynBacklog => c.max_syn_backlog = n,
            TcpSysctl::MigrateReq => sysctls.migrate_req = n == 1,
            TcpSysctl::MinTsoSegs => c.min_tso_segs = n,
            TcpSysctl::ModerateRcvbuf => c.moderate_rcvbuf = n == 1,
            TcpSysctl::NotsentLowat => c.notsent_lowat = n,
            TcpSysctl::OrphanRetries => c.orphan_retries = n,
            TcpSysctl::Retries1 => sysctls.retries1 = n,
            TcpSysctl::Retries2 => c.retries2 = n,
            TcpSysctl::Rfc1337 => c.rfc1337 = n == 1,
            TcpSysctl::Rmem => c.rmem[..numbers.len()].copy_from_slice(&numbers),
            TcpSysctl::RtoMaxMs => c.rto_max = Duration::from_millis(n.into()),
            TcpSysctl::RtoMinUs => c.rto_min = Duration::from_micros(n.into()),
            TcpSysctl::Sack => c.sack = n == 1,
            TcpSysctl::SlowStartAfterIdle => c.slow_start_after_idle = n == 1,
            TcpSysctl::SynLinearTimeouts => c.syn_linear_timeouts = n,
            TcpSysctl::SynRetries => c.syn_retries = n,
            TcpSysctl::SynackRetries => c.synack_retries = n,
            TcpSysctl::Syncookies => c.syncookies = n as u8,
            TcpSysctl::Timestamps => c.timestamps = n == 1,
            TcpSysctl::WindowScaling => c.window_scaling = n == 1,
            TcpSysctl::Wmem => c.wmem[..numbers.len()].copy_from_slice(&numbers),
        }
        Ok(())
    }
}

/// A socket's settings follow the host's, unless an option of its own replaced them. Unlike Linux,
/// an option that says just what the host said does not count as one.
fn follow(own: &mut TcpConfig, old: &TcpConfig, new: &TcpConfig) {
    macro_rules! fields {
        ($($name:ident)*) => { $(if own.$name == old.$name { own.$name = new.$name; })* };
    }
    fields!(rmem wmem timestamps sack ecn window_scaling syn_retries syn_linear_timeouts synack_retries
        retries2 orphan_retries min_tso_segs notsent_lowat rto_min rto_max fin_timeout keepidle keepintvl keepcnt rfc1337
        abort_on_overflow invalid_ratelimit max_syn_backlog moderate_rcvbuf slow_start_after_idle syncookies
        dsack early_retrans frto reordering max_reordering);
}

impl Kernel {
    /// Writes a setting, which holds for all sockets of the host from now on. Timers that run keep
    /// their time.
    pub(crate) fn tcp_sysctl_write(
        &mut self,
        writer: TaskId,
        setting: TcpSysctl,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let old = self.net.sysctls.config.clone();
        if let Err(errno) = setting.parse(text, &mut self.net.sysctls) {
            let what = format!("{setting:?} = {:?}", text.trim());
            self.tell(Some(writer), Fact::unsupported("sysctl net.ipv4.tcp", what));
            return Err(errno);
        }
        let new = self.net.sysctls.config.clone();
        for (_, socket) in self.net.sockets.iter_mut() {
            let SocketKind::Tcp(tcp) = &mut socket.kind else { continue };
            follow(&mut tcp.config, &old, &new);
            if let TcpUse::Listening(listener) = &mut tcp.usage {
                follow(&mut listener.config, &old, &new);
            }
        }
        for (_, conn) in self.net.tcp.conns.iter_mut() {
            follow(conn.tcp.config_mut(), &old, &new);
        }
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_as_on_linux() {
        // ip-sysctl's defaults, as `sysctl net.ipv4` of Linux 6.18 shows them.
        let host = TcpSysctls::default();
        let reads = |setting: TcpSysctl, text: &str| assert_eq!(setting.text(&host), text);
        reads(TcpSysctl::KeepaliveTime, "7200\n");
        reads(TcpSysctl::Retries1, "3\n");
        reads(TcpSysctl::Retries2, "15\n");
        reads(TcpSysctl::OrphanRetries, "0\n");
        reads(TcpSysctl::FinTimeout, "60\n");
        reads(TcpSysctl::MaxOrphans, "131072\n");
        reads(TcpSysctl::AbortOnOverflow, "0\n");
        reads(TcpSysctl::RtoMinUs, "200000\n");
        reads(TcpSysctl::Rmem, "4096\t131072\t33554432\n");
    }

    #[test]
    fn settings_are_written_as_on_linux() {
        // Measured on 6.18.
        let mut host = TcpSysctls::default();
        let mut write = |setting: TcpSysctl, text| {
            let done = setting.parse(text, &mut host);
            (done, setting.text(&host))
        };
        assert_eq!(write(TcpSysctl::Retries2, " 7 \n"), (Ok(()), "7\n".into()));
        assert_eq!(write(TcpSysctl::Retries2, "5 6"), (Ok(()), "5\n".into()));
        assert_eq!(write(TcpSysctl::Retries2, ""), (Ok(()), "5\n".into()));
        for bad in ["-1", "300", "abc"] {
            assert_eq!(write(TcpSysctl::Retries2, bad), (Err(Errno::EINVAL), "5\n".into()));
        }
        let rmem = "5000\t131072\t33554432\n";
        assert_eq!(write(TcpSysctl::Rmem, "5000"), (Ok(()), rmem.into()));
        assert_eq!(write(TcpSysctl::Rmem, "1 2 3 4"), (Ok(()), "1\t2\t3\n".into()));
    }

    #[test]
    fn a_sockets_own_option_is_not_replaced() {
        let old = TcpConfig::default();
        let new = TcpConfig { keepcnt: 3, retries2: 4, ..TcpConfig::default() };
        let mut own = TcpConfig { keepcnt: 5, ..TcpConfig::default() };
        follow(&mut own, &old, &new);
        assert_eq!((own.keepcnt, own.retries2), (5, 4));
    }
}
