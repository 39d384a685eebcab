//! Who am I: getpid(2) and its relatives, set_tid_address(2). Neighbours: `cred` (changes
//! credentials), `session` (process groups and sessions).

use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};

impl Kernel {
    /// getpid(2).
    pub fn sys_getpid(&mut self, call: &mut Call<'_>) -> SysResult {
        Ok(u64::from(self.task_tgid_vnr(call.task)))
    }

    /// gettid(2).
    pub fn sys_gettid(&mut self, call: &mut Call<'_>) -> SysResult {
        Ok(u64::from(self.task_pid_vnr(call.task)))
    }

    /// getppid(2); 0 for a parent outside of the caller's pid namespace.
    pub fn sys_getppid(&mut self, call: &mut Call<'_>) -> SysResult {
        let parent = self.groups[self.tasks[call.task].group].parent;
        Ok(parent.map_or(0, |p| u64::from(self.pid_vnr(call.task, self.groups[p].tgid))))
    }

    /// getuid(2).
    pub fn sys_getuid(&mut self, call: &mut Call<'_>) -> SysResult {
        Ok(self.uid_seen_by(call.task, self.tasks[call.task].cred.uid).into())
    }

    /// geteuid(2).
    pub fn sys_geteuid(&mut self, call: &mut Call<'_>) -> SysResult {
        Ok(self.uid_seen_by(call.task, self.tasks[call.task].cred.euid).into())
    }

    /// getgid(2).
    pub fn sys_getgid(&mut self, call: &mut Call<'_>) -> SysResult {
        Ok(self.gid_seen_by(call.task, self.tasks[call.task].cred.gid).into())
    }

    /// getegid(2).
    pub fn sys_getegid(&mut self, call: &mut Call<'_>) -> SysResult {
        Ok(self.gid_seen_by(call.task, self.tasks[call.task].cred.egid).into())
    }

    /// set_tid_address(2).
    pub fn sys_set_tid_address(&mut self, call: &mut Call<'_>) -> SysResult {
        self.tasks[call.task].clear_child_tid = call.ptr(0);
        self.sys_gettid(call)
    }
}
