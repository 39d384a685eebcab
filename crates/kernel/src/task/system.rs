//! The system's names and sizes: uname(2), sysinfo(2), sethostname(2); and what only an
//! administrator may ask, and gets refused: reboot(2), syslog(2). Also membarrier(2), which has
//! nothing to do where one thread runs at a time.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::nsproxy::Namespace;
use crate::task::prctl::UNAME26;

/// The Linux that this is true to (uname -r).
pub const RELEASE: &str = "6.18.0";
/// What it is called for who asks for UNAME26: 60 more than the second number.
const OLD_RELEASE: &str = "2.6.78";
/// The build that uname -v tells: the same in every world.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Thu Jan  1 00:00:00 UTC 2026";
/// __NEW_UTS_LEN.
const UTS_LEN: usize = 64;

impl Kernel {
    /// uname(2).
    pub fn sys_uname(&mut self, call: &mut Call<'_>) -> SysResult {
        let (hostname, domainname) = self.utsname(call.task);
        // override_release(): for programs that expect a version of two dots (UNAME26).
        let old = self.tasks[call.task].personality & UNAME26 != 0;
        let release = if old { OLD_RELEASE } else { RELEASE };
        let fields = ["Linux", &hostname, release, VERSION, "x86_64", &domainname];
        let mut bytes = Vec::new();
        for field in fields {
            let mut name = field.as_bytes()[..field.len().min(UTS_LEN)].to_vec();
            name.resize(UTS_LEN + 1, 0);
            bytes.extend(name);
        }
        call.write_user(call.ptr(0), &bytes)?;
        Ok(0)
    }

    /// sethostname(2): root may; the name is the host's own affair, the world keeps its names.
    pub fn sys_sethostname(&mut self, call: &mut Call<'_>) -> SysResult {
        self.set_utsname(call, false)
    }

    /// setdomainname(2).
    pub fn sys_setdomainname(&mut self, call: &mut Call<'_>) -> SysResult {
        self.set_utsname(call, true)
    }

    fn set_utsname(&mut self, call: &mut Call<'_>, domain: bool) -> SysResult {
        let owner = self.owner_of(Namespace::Uts(self.tasks[call.task].nsproxy.uts));
        if !self.ns_capable(call.task, owner, Cap::SysAdmin) {
            return Err(Errno::EPERM.into());
        }
        let len = call.int(1);
        if len < 0 || len as usize > UTS_LEN {
            return Err(Errno::EINVAL.into());
        }
        let name = call.read_bytes(call.ptr(0), len as usize)?;
        let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        *self.utsname_mut(call.task, domain) = name;
        Ok(0)
    }

    /// sysinfo(2): uptime, memory and processes of this host, not of the machine.
    pub fn sys_sysinfo(&mut self, call: &mut Call<'_>) -> SysResult {
        let used: u64 = self.mms.iter().map(|(_, mm)| mm.areas.charged()).sum();
        let total = self.config.memory;
        let uptime = self.uptime_seen_by(call.task).div_ceil(1_000_000_000);
        // uptime, three loads, totalram, freeram, sharedram, bufferram, totalswap, freeswap.
        let words = [uptime, 0, 0, 0, total, total.saturating_sub(used), 0, 0, 0, 0];
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let procs = self.tasks.len().min(u16::MAX.into()) as u16;
        bytes.extend(procs.to_le_bytes());
        bytes.resize(104, 0); // pad, totalhigh, freehigh
        bytes.extend(1u32.to_le_bytes()); // mem_unit
        bytes.resize(112, 0);
        call.write_user(call.ptr(0), &bytes)?;
        Ok(0)
    }

    /// reboot(2).
    pub fn sys_reboot(&mut self, call: &mut Call<'_>) -> SysResult {
        self.refuse(call, "reboot")
    }

    /// syslog(2).
    pub fn sys_syslog(&mut self, call: &mut Call<'_>) -> SysResult {
        self.refuse(call, "syslog")
    }

    /// What takes a capability that nobody has here, not even root: EPERM, and a word if it was root.
    fn refuse(&mut self, call: &Call<'_>, name: &str) -> SysResult {
        if self.tasks[call.task].cred.capable(Cap::SysAdmin) {
            self.tell(Some(call.task), Fact::unsupported(name, format!("{:x?}", call.flight.args)));
        }
        Err(Errno::EPERM.into())
    }

    /// membarrier(2): guests run one at a time, so every barrier has happened; the private expedited
    /// ones ask to be registered first, as on Linux.
    pub fn sys_membarrier(&mut self, call: &mut Call<'_>) -> SysResult {
        const QUERY: i32 = 0;
        const GLOBAL: i32 = 1;
        const GLOBAL_EXPEDITED: i32 = 1 << 1;
        const REGISTER_GLOBAL_EXPEDITED: i32 = 1 << 2;
        const PRIVATE_EXPEDITED: i32 = 1 << 3;
        const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
        let (command, flags) = (call.int(0), call.arg(1) as u32);
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        let Some(mm) = self.tasks[call.task].mm else { return Err(Errno::EINVAL.into()) };
        match command {
            QUERY => Ok((GLOBAL
                | GLOBAL_EXPEDITED
                | REGISTER_GLOBAL_EXPEDITED
                | PRIVATE_EXPEDITED
                | REGISTER_PRIVATE_EXPEDITED) as u64),
            GLOBAL | GLOBAL_EXPEDITED | REGISTER_GLOBAL_EXPEDITED => Ok(0),
            REGISTER_PRIVATE_EXPEDITED => {
                self.mms[mm].membarrier_registered = true;
                Ok(0)
            }
            PRIVATE_EXPEDITED if self.mms[mm].membarrier_registered => Ok(0),
            PRIVATE_EXPEDITED => Err(Errno::EPERM.into()),
            _ => {
                let loud = Fact::unsupported("membarrier", format!("command {command:#x}"));
                self.tell(Some(call.task), loud);
                Err(Errno::EINVAL.into())
            }
        }
    }
}
