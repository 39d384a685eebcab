//! The temporary signal mask of ppoll, pselect and epoll_pwait (rule S-36), in a first version.
//! task/signal/mask.rs brings the real one; whoever lands that deletes this file.

use crate::abi::Errno;
use crate::abi::signal::SigSet;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::Call;
use crate::task::TaskId;

impl Kernel {
    /// set_user_sigmask(): installs the mask at `ptr` for the rest of this call.
    pub fn set_user_sigmask(
        &mut self,
        call: &mut Call<'_>,
        ptr: UserPtr,
        size: u64,
    ) -> Result<(), Errno> {
        if ptr.is_null() || self.tasks[call.task].saved_sigmask.is_some() {
            return Ok(());
        }
        if size != 8 {
            return Err(Errno::EINVAL);
        }
        let mask = SigSet(call.read_u64(ptr)?);
        let t = &mut self.tasks[call.task];
        t.saved_sigmask = Some(t.blocked);
        t.blocked = mask;
        Ok(())
    }

    /// restore_saved_sigmask().
    pub fn restore_saved_sigmask(&mut self, task: TaskId) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        if let Some(mask) = t.saved_sigmask.take() {
            t.blocked = mask;
        }
    }
}
