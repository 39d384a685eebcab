//! Signals. The story of one, a file a step:
//!
//! *generate* — `kill` (kill(2) and its family: whom, and may the sender?) or the kernel itself
//! (`send_sig`, `force_sig_fault`) → `send`: `send_signal` → `prepare_signal` drops what nobody
//! wants → *queue* — `pending`: one record in the private or the shared queue → *choose* —
//! `complete_signal` picks a thread that wants it, or, if it is fatal, ends the group there and
//! then → *wake* — `mask`: `signal_wake_up` sets the thread's flag and ends its sleep → its call
//! finishes or is interrupted → `restart`: `exit_to_user_mode` → `get_signal`: *dequeue*, then
//! ignore, stop (`job_control`), die (`do_group_exit`), or *frame* (`frame`: `setup_rt_frame`) →
//! the handler runs → `sigreturn`. The calls that set masks and dispositions are in `calls`.
//!
//! Rules S-1 to S-52 of the semantics; signal(7), sigaction(2). Neighbours: `task/exit`,
//! `task/timer` (SIGALRM and friends), `syscall` (which asks `signal_pending`).

pub mod calls;
pub mod frame;
pub mod get_signal;
pub mod job_control;
pub mod kill;
#[cfg(test)]
mod leaving_tests;
pub mod mask;
pub mod pending;
pub mod restart;
pub mod send;
#[cfg(test)]
mod sending_tests;
pub mod sigaction;
pub mod siginfo;
pub mod sigreturn;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use frame::LastFault;
pub use job_control::{GroupStop, JobCtl};
pub use mask::AltStack;
pub use pending::SigPending;
pub use send::Target;
pub use sigaction::{SigAction, SigHand, SigHandId};
pub use siginfo::{SigDetail, SigInfo};
