//! kcmp(2): do two processes share a description, an address space, a table …? Objects are ordered by
//! their ids, which says nothing of them. Neighbours: `fork` (what is shared), `fs/procfs/link`
//! (`ptrace_may_access`).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use core::cmp::Ordering;

const KCMP_FILE: i32 = 0;
const KCMP_VM: i32 = 1;
const KCMP_FILES: i32 = 2;
const KCMP_FS: i32 = 3;
const KCMP_SIGHAND: i32 = 4;
const KCMP_IO: i32 = 5;
const KCMP_SYSVSEM: i32 = 6;
const KCMP_EPOLL_TFD: i32 = 7;

impl Kernel {
    /// kcmp(2): 0 if they are the same, else 1 or 2. ESRCH, EPERM, EBADF, EINVAL.
    pub fn sys_kcmp(&mut self, call: &mut Call<'_>) -> SysResult {
        let [a, b] = [0, 1].map(|i| self.find_task_by_vpid(call.task, call.int(i)));
        let (a, b) = (a.ok_or(Errno::ESRCH)?, b.ok_or(Errno::ESRCH)?);
        for task in [a, b] {
            self.ptrace_may_access(call.task, task).map_err(|_| Errno::EPERM)?;
        }
        let (x, y) = (&self.tasks[a], &self.tasks[b]);
        let order = match call.int(2) {
            KCMP_FILE => {
                let file = |task, i| self.kcmp_file(task, call.arg(i) as u32);
                file(a, 3)?.cmp(&file(b, 4)?)
            }
            KCMP_VM => x.mm.cmp(&y.mm),
            KCMP_FILES => x.files.cmp(&y.files),
            KCMP_FS => x.fs.cmp(&y.fs),
            KCMP_SIGHAND => self.groups[x.group].sighand.cmp(&self.groups[y.group].sighand),
            // Nobody has an I/O context: nothing is the same as nothing.
            KCMP_IO => Ordering::Equal,
            KCMP_SYSVSEM => x.undo_list.cmp(&y.undo_list),
            KCMP_EPOLL_TFD => {
                self.tell(Some(call.task), Fact::unsupported("kcmp", "KCMP_EPOLL_TFD"));
                return Err(Errno::EOPNOTSUPP.into());
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        Ok(match order {
            Ordering::Equal => 0,
            Ordering::Less => 1,
            Ordering::Greater => 2,
        })
    }

    fn kcmp_file(&self, task: TaskId, fd: u32) -> Result<crate::fs::file::FileId, Errno> {
        let table = self.tasks[task].files.ok_or(Errno::EBADF)?;
        self.tables[table].get(i32::try_from(fd).map_err(|_| Errno::EBADF)?)
    }
}
