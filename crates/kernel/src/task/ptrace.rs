//! ptrace(2) as a Linux answers whose yama.ptrace_scope is 3: nobody may be traced, and nobody asks to
//! be. The number of the scope is told in /proc/sys. Debuggers say what they say there. Neighbours:
//! `fs/procfs/link` (`ptrace_may_access`: who may look into /proc/PID).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};

const PTRACE_TRACEME: i64 = 0;
const PTRACE_ATTACH: i64 = 16;
const PTRACE_SEIZE: i64 = 0x4206;

impl Kernel {
    /// ptrace(2): EPERM for what would begin a trace; ESRCH for the rest, which needs one.
    pub fn sys_ptrace(&mut self, call: &mut Call<'_>) -> SysResult {
        let (request, pid) = (call.arg(0) as i64, call.arg(1) as i32);
        self.tell(Some(call.task), Fact::unsupported("ptrace", format!("request {request:#x}")));
        let begins = match request {
            PTRACE_TRACEME => true,
            PTRACE_ATTACH | PTRACE_SEIZE => self.find_task_by_vpid(call.task, pid).is_some(),
            _ => false,
        };
        Err(if begins { Errno::EPERM } else { Errno::ESRCH }.into())
    }
}
