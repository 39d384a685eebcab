//! Dispositions: `struct sigaction` as the kernel stores it, and `sighand_struct`, which
//! CLONE_SIGHAND shares. Rules S-12, S-40, S-45, S-48; sigaction(2).

use crate::abi::signal::{DefaultAction, SigSet, Signal};
use crate::arena::Id;

/// Names a [`SigHand`].
pub type SigHandId = Id<SigHand>;

/// SIG_DFL.
pub const SIG_DFL: u64 = 0;
/// SIG_IGN.
pub const SIG_IGN: u64 = 1;

/// No SIGCHLD when a child stops or continues.
pub const SA_NOCLDSTOP: u64 = 1;
/// Children leave no zombies.
pub const SA_NOCLDWAIT: u64 = 2;
/// The handler takes a siginfo and a ucontext.
pub const SA_SIGINFO: u64 = 4;
/// si_addr keeps its tag bits (no meaning on x86-64; stored).
pub const SA_EXPOSE_TAGBITS: u64 = 0x800;
/// `restorer` is set: mandatory on x86-64.
pub const SA_RESTORER: u64 = 0x0400_0000;
/// The handler runs on the alternate stack.
pub const SA_ONSTACK: u64 = 0x0800_0000;
/// Interrupted calls start again.
pub const SA_RESTART: u64 = 0x1000_0000;
/// The signal itself is not blocked in its handler.
pub const SA_NODEFER: u64 = 0x4000_0000;
/// SIG_DFL once the handler was chosen.
pub const SA_RESETHAND: u64 = 0x8000_0000;
/// UAPI_SA_FLAGS: the flags that are stored; others are cleared, so that a readback shows which
/// ones the kernel knows (rule S-48).
pub const SA_KNOWN: u64 = SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | SA_SIGINFO
    | SA_EXPOSE_TAGBITS
    | SA_RESTORER
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND;

/// One disposition, as sigaction(2) stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SigAction {
    /// 0 = SIG_DFL, 1 = SIG_IGN, else the handler's address.
    pub handler: u64,
    /// SA_*.
    pub flags: u64,
    /// sa_restorer.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

impl SigAction {
    /// Bytes of the kernel's `struct sigaction` on x86-64.
    pub const SIZE: usize = 32;

    /// From the user's structure: handler, flags, restorer, mask.
    pub fn from_bytes(bytes: &[u8; SigAction::SIZE]) -> SigAction {
        let word = |i: usize| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().expect("8"));
        SigAction {
            handler: word(0),
            flags: word(1) & SA_KNOWN,
            restorer: word(2),
            mask: SigSet(word(3)).minus(SigSet::UNBLOCKABLE),
        }
    }

    /// The user's structure.
    pub fn to_bytes(self) -> [u8; SigAction::SIZE] {
        let mut bytes = [0; SigAction::SIZE];
        let words = [self.handler, self.flags, self.restorer, self.mask.0];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// sig_handler_ignored(): does this disposition throw `signal` away?
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            SIG_IGN => true,
            SIG_DFL => match signal.default_action() {
                DefaultAction::Ignore | DefaultAction::Continue => true,
                DefaultAction::Terminate | DefaultAction::Core | DefaultAction::Stop => false,
            },
            _ => false,
        }
    }

    /// sig_fatal(): does this disposition end the group?
    pub fn is_fatal(&self, signal: Signal) -> bool {
        self.handler == SIG_DFL
            && match signal.default_action() {
                DefaultAction::Terminate | DefaultAction::Core => true,
                DefaultAction::Ignore | DefaultAction::Continue | DefaultAction::Stop => false,
            }
    }
}

/// sighand_struct: the dispositions, shared by CLONE_SIGHAND.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigHand {
    /// How many tasks share it.
    pub users: u32,
    /// By signal number − 1.
    pub action: [SigAction; 64],
}

impl SigHand {
    /// All at SIG_DFL, one user.
    pub fn new() -> SigHand {
        SigHand { users: 1, action: [SigAction::default(); 64] }
    }

    /// The disposition of `signal`.
    pub fn of(&self, signal: Signal) -> &SigAction {
        &self.action[usize::from(signal.number()) - 1]
    }

    /// The disposition of `signal`, to change it.
    pub fn of_mut(&mut self, signal: Signal) -> &mut SigAction {
        &mut self.action[usize::from(signal.number()) - 1]
    }

    /// flush_signal_handlers(): what exec does; handlers go to SIG_DFL, SIG_IGN stays (rule S-40).
    pub fn flush_signal_handlers(&mut self) {
        for action in &mut self.action {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = SigAction { handler, ..SigAction::default() };
        }
    }
}

impl Default for SigHand {
    fn default() -> Self {
        SigHand::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_read_back_as_zero() {
        // S-48.
        let mut bytes = [0xff; SigAction::SIZE];
        bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        let action = SigAction::from_bytes(&bytes);
        assert_eq!(action.flags, 0xdc00_0807);
        assert!(!action.mask.has(Signal::SIGKILL) && !action.mask.has(Signal::SIGSTOP));
        assert!(action.mask.has(Signal::SIGTERM));
    }

    #[test]
    fn exec_keeps_ignored_signals_only() {
        // S-40.
        let mut hand = SigHand::new();
        hand.of_mut(Signal::SIGTERM).handler = 0x1234;
        hand.of_mut(Signal::SIGINT).handler = SIG_IGN;
        hand.flush_signal_handlers();
        assert_eq!(hand.of(Signal::SIGTERM).handler, SIG_DFL);
        assert_eq!(hand.of(Signal::SIGINT).handler, SIG_IGN);
    }
}
