//! process_vm_readv(2), process_vm_writev(2): from the memory of one process into that of another.
//! Neighbours: `syscall/iovec`, `fs/procfs/link` (`ptrace_may_access`).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};

/// How much is copied at a time.
const CHUNK: usize = 1 << 20;

impl Kernel {
    /// process_vm_readv(2).
    pub fn sys_process_vm_readv(&mut self, call: &mut Call<'_>) -> SysResult {
        self.process_vm_rw(call, false)
    }

    /// process_vm_writev(2).
    pub fn sys_process_vm_writev(&mut self, call: &mut Call<'_>) -> SysResult {
        self.process_vm_rw(call, true)
    }

    /// EINVAL, EFAULT, ESRCH, EPERM in this order; as many bytes as came before the first hole. Unlike
    /// Linux under yama's ptrace_scope 3, which `task/ptrace` tells, this is not refused.
    fn process_vm_rw(&mut self, call: &mut Call<'_>, write: bool) -> SysResult {
        if call.arg(5) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let here = IoVec::import(call, call.ptr(1), call.arg(2))?;
        if here.total() == 0 {
            return Ok(0);
        }
        let there = IoVec::import(call, call.ptr(3), call.arg(4))?;
        let len = here.total().min(there.total());
        if len == 0 {
            return Ok(0);
        }
        let other = self.find_task_by_vpid(call.task, call.int(0)).ok_or(Errno::ESRCH)?;
        let guest = self.tasks[other].guest.ok_or(Errno::ESRCH)?;
        self.ptrace_may_access(call.task, other).map_err(|_| Errno::EPERM)?;
        let (source, target) = if write { (&here, &there) } else { (&there, &here) };
        let (from, to) = if write { (call.guest, guest) } else { (guest, call.guest) };
        let own = call.guest;
        let mut done = 0;
        while done < len {
            let want = (len - done).min(CHUNK);
            call.guest = from;
            let bytes = source.gather(call, done, want);
            call.guest = to;
            let put = bytes.and_then(|bytes| target.scatter(call, done, &bytes));
            call.guest = own;
            match put {
                Ok(put) => {
                    done += put;
                    if put < want {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(done as u64)
    }
}
