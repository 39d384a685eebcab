//! futex(2): queues by key, in the order of arrival.

use crate::kernel::Kernel;
use crate::mm::FutexKey;
use crate::platform::{Platform, UserPtr};
use crate::task::TaskId;

/// All futex queues of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FutexQueues {}

/// What a futex wait remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FutexProgress {}

impl Kernel {
    /// futex_exit_release(): what a task that exits or execs owns in its robust list (rule X-14).
    /// First version: forgets the list, since nobody can wait for a futex yet.
    pub(crate) fn futex_exit_release(&mut self, task: TaskId, _user: &mut dyn Platform) {
        self.tasks[task].robust_list = UserPtr::NULL;
    }

    /// futex_wake(): up to `most` waiters of `key`; says how many. First version: there are none.
    pub(crate) fn futex_wake_key(&mut self, _key: FutexKey, _most: u32) -> u32 {
        0
    }
}
