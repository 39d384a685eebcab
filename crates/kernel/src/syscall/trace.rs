//! What is told of system calls: each return, and the first sleep of each call. With
//! `Config::trace` the arguments are rendered as strace(1) would, at entry, while the memory that
//! they point to is as the caller left it.

use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::syscall::InFlight;
use crate::task::TaskId;

impl Kernel {
    /// A call returns `value`.
    pub fn tell_return(&mut self, task: TaskId, flight: &InFlight, value: Option<u64>) {
        self.tell(
            Some(task),
            Fact::Syscall {
                entered: flight.entered,
                nr: flight.nr,
                args: flight.args,
                shown: flight.shown.clone(),
                result: value,
            },
        );
    }

    /// A call sleeps for the first time.
    pub fn tell_blocked(&mut self, task: TaskId, flight: &InFlight) {
        self.tell(Some(task), Fact::Blocked { nr: flight.nr, args: flight.args });
    }
}
