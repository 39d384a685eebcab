//! CPU times as programs ask for them: getrusage(2) and the rusage of wait4. Virtual time
//! counts system calls (`syscall/cost`; a little of each is the program's own time) and spans in
//! user mode.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::GroupId;
use crate::time::Duration;
use linux_raw_sys::general as lx;

/// The part of struct rusage that is counted here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rusage {
    /// ru_utime.
    pub utime: Duration,
    /// ru_stime.
    pub stime: Duration,
    /// ru_maxrss, in bytes: mapped private memory stands for it.
    pub maxrss: u64,
}

impl Rusage {
    /// struct rusage. Faults, blocks and switches depend on the machine and are not counted: zero,
    /// which getrusage(2) allows for unmaintained fields.
    pub fn to_bytes(&self) -> [u8; 144] {
        let mut bytes = [0; 144];
        let times = [self.utime, self.stime].map(|t| [t.as_secs(), u64::from(t.subsec_micros())]);
        let words = [times[0][0], times[0][1], times[1][0], times[1][1], self.maxrss / 1024];
        for (i, word) in words.iter().enumerate() {
            bytes[8 * i..8 * i + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl Kernel {
    /// The times of a process: its threads that are left and those that are gone.
    pub fn rusage_of_group(&self, group: GroupId) -> Rusage {
        let g = &self.groups[group];
        let mut sum = Rusage { utime: g.utime, stime: g.stime, maxrss: 0 };
        for task in &g.tasks {
            let t = &self.tasks[*task];
            sum.utime += t.utime;
            sum.stime += t.stime;
            if let Some(mm) = t.mm {
                sum.maxrss = self.mms[mm].areas.charged();
            }
        }
        sum
    }

    /// getrusage(2).
    pub fn sys_getrusage(&mut self, call: &mut Call<'_>) -> SysResult {
        let t = &self.tasks[call.task];
        let g = &self.groups[t.group];
        let maxrss = t.mm.map_or(0, |mm| self.mms[mm].areas.charged());
        let rusage = match call.int(0) {
            0 => self.rusage_of_group(t.group),
            lx::RUSAGE_CHILDREN => Rusage { utime: g.cutime, stime: g.cstime, maxrss: 0 },
            1 => Rusage { utime: t.utime, stime: t.stime, maxrss },
            _ => return Err(Errno::EINVAL.into()),
        };
        call.write_user(call.ptr(1), &rusage.to_bytes())?;
        Ok(0)
    }
}
