//! unshare(2): a table of descriptors, a working directory or namespaces of one's own.
//! Neighbours: `nsproxy` (namespaces), `fork` (what CLONE_* shares), `fs/fd_syscalls` (unshare_files), `ipc/sem` (exit_sem).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::nsproxy::CLONE_NAMESPACES;
use linux_raw_sys::general as lx;

const KNOWN: u32 = CLONE_NAMESPACES
    | lx::CLONE_THREAD
    | lx::CLONE_FS
    | lx::CLONE_SIGHAND
    | lx::CLONE_VM
    | lx::CLONE_FILES
    | lx::CLONE_SYSVSEM;

impl Kernel {
    /// unshare(2). Threads, handlers and memory cannot be unshared, only found to be one's own
    /// already (EINVAL).
    pub fn sys_unshare(&mut self, call: &mut Call<'_>) -> SysResult {
        let (flags, task) = (call.arg(0) as u32, call.task);
        if flags & !KNOWN != 0 {
            return Err(Errno::EINVAL.into());
        }
        // What one flag asks for, others imply (ksys_unshare()).
        let group = &self.groups[self.tasks[task].group];
        let one = flags & (lx::CLONE_THREAD | lx::CLONE_SIGHAND | lx::CLONE_VM | lx::CLONE_NEWUSER);
        let handlers = flags & (lx::CLONE_SIGHAND | lx::CLONE_VM);
        let users = self.tasks[task].mm.map_or(1, |mm| self.mms[mm].users);
        if one != 0 && group.tasks.len() > 1
            || handlers != 0 && self.sighands[group.sighand].users > 1
            || flags & lx::CLONE_VM != 0 && users > 1
        {
            return Err(Errno::EINVAL.into());
        }
        if flags & lx::CLONE_FILES != 0
            && let Some(table) = self.tasks[task].files
            && self.tables[table].count > 1
        {
            self.may_dup_fd(table)?;
        }
        let (nsproxy, cred) = self.create_new_namespaces(task, flags.into())?;
        if flags & (lx::CLONE_SYSVSEM | lx::CLONE_NEWIPC) != 0 {
            self.exit_sem(task);
        }
        let directories = lx::CLONE_FS | lx::CLONE_NEWNS | lx::CLONE_NEWUSER;
        if flags & directories != 0 {
            self.unshare_fs(task);
        }
        if flags & lx::CLONE_FILES != 0 {
            self.unshare_files(task)?;
        }
        let old = core::mem::replace(&mut self.tasks[task].nsproxy, nsproxy);
        if let Some(fs) = self.tasks[task].fs.filter(|_| old.mnt != nsproxy.mnt) {
            self.fs_struct_to_ns(fs, old.mnt, nsproxy.mnt);
        }
        self.release_namespaces();
        self.commit_user_ns(task, cred);
        Ok(0)
    }
}
