//! What fork, vfork, clone and clone3 ask for, in one form (`kernel_clone_args`), with the
//! combinations that Linux refuses. Pure. Neighbour: `fork`. clone(2), ERRORS.

use crate::abi::Errno;
use crate::abi::signal::Signal;
use linux_raw_sys::general as lx;

/// CSIGNAL: the exit signal in clone's flags.
const CSIGNAL: u64 = 0xff;
/// CLONE_LEGACY_FLAGS: what clone(2) has room for.
const LEGACY: u64 = 0xffff_ffff;
const CLEAR_SIGHAND: u64 = 1 << 32;
const INTO_CGROUP: u64 = 1 << 33;
const NEWTIME: u64 = 0x80;
/// How deep pid namespaces nest.
const MAX_PID_NS_LEVEL: u64 = 32;
/// struct clone_args of version 0, and as 6.18 knows it.
const SIZE_VER0: usize = 64;
const SIZE_NOW: usize = 88;

/// kernel_clone_args.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct CloneArgs {
    /// CLONE_* without the exit signal.
    pub flags: u64,
    pub exit_signal: Option<Signal>,
    /// The child's stack pointer; 0 for the parent's.
    pub stack: u64,
    pub pidfd: u64,
    pub parent_tid: u64,
    pub child_tid: u64,
    pub tls: u64,
    /// clone3: where the wished number stands, and how many (one for each pid namespace).
    pub set_tid: (u64, u64),
    /// CLONE_INTO_CGROUP: a descriptor of the directory of a control group.
    pub cgroup: u64,
}

impl CloneArgs {
    /// fork(2).
    pub fn fork() -> CloneArgs {
        CloneArgs { exit_signal: Some(Signal::SIGCHLD), ..CloneArgs::default() }
    }

    /// vfork(2).
    pub fn vfork() -> CloneArgs {
        let flags = u64::from(lx::CLONE_VFORK | lx::CLONE_VM);
        CloneArgs { flags, ..CloneArgs::fork() }
    }

    /// clone(2): flags, stack, parent_tid, child_tid, tls.
    pub fn clone(args: &[u64; 6]) -> Result<CloneArgs, Errno> {
        let flags = args[0] & LEGACY & !CSIGNAL;
        let both = u64::from(lx::CLONE_PIDFD | lx::CLONE_PARENT_SETTID);
        if flags & both == both {
            return Err(Errno::EINVAL); // they would share one pointer
        }
        Ok(CloneArgs {
            flags,
            exit_signal: exit_signal(args[0] & CSIGNAL)?,
            stack: args[1],
            pidfd: args[2],
            parent_tid: args[2],
            child_tid: args[3],
            tls: args[4],
            set_tid: (0, 0),
            cgroup: 0,
        })
    }

    /// clone3(2): `bytes` is as much of struct clone_args as the caller has. EINVAL if that is too
    /// little, E2BIG if it says something that we cannot know.
    pub fn clone3(bytes: &[u8]) -> Result<CloneArgs, Errno> {
        if bytes.len() < SIZE_VER0 {
            return Err(Errno::EINVAL);
        }
        if bytes.iter().skip(SIZE_NOW).any(|b| *b != 0) {
            return Err(Errno::E2BIG);
        }
        let word = |i: usize| {
            let mut word = [0; 8];
            let from = bytes.get(8 * i..8 * i + 8).unwrap_or(&[0; 8]);
            word.copy_from_slice(from);
            u64::from_le_bytes(word)
        };
        let (flags, raw_signal, stack, stack_size) = (word(0), word(4), word(5), word(6));
        let (set_tid, set_tid_size) = (word(8), word(9));
        let known = LEGACY | CLEAR_SIGHAND | INTO_CGROUP;
        let silly = u64::from(lx::CLONE_DETACHED) | (CSIGNAL & !NEWTIME);
        let sighand = u64::from(lx::CLONE_SIGHAND) | CLEAR_SIGHAND;
        let relatives = u64::from(lx::CLONE_THREAD | lx::CLONE_PARENT);
        if flags & !known != 0
            || flags & silly != 0
            || flags & sighand == sighand
            || (flags & relatives != 0 && raw_signal != 0)
            || (stack == 0) != (stack_size == 0)
            || (set_tid == 0) != (set_tid_size == 0)
            || set_tid_size > MAX_PID_NS_LEVEL
            || flags & INTO_CGROUP != 0 && (word(10) > i32::MAX as u64 || bytes.len() < SIZE_NOW)
        {
            return Err(Errno::EINVAL);
        }
        Ok(CloneArgs {
            flags,
            exit_signal: exit_signal(raw_signal)?,
            stack: stack.wrapping_add(stack_size),
            pidfd: word(1),
            parent_tid: word(3),
            child_tid: word(2),
            tls: word(7),
            set_tid: (set_tid, set_tid_size),
            cgroup: word(10),
        })
    }

    /// Is this flag set?
    pub fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// CLONE_CLEAR_SIGHAND.
    pub fn clears_sighand(&self) -> bool {
        self.flags & CLEAR_SIGHAND != 0
    }

    /// The combinations that copy_process() refuses with EINVAL.
    pub fn check(&self) -> Result<(), Errno> {
        let has = |flag| self.has(flag);
        let bad = (has(lx::CLONE_FS) && (has(lx::CLONE_NEWNS) || has(lx::CLONE_NEWUSER)))
            || (has(lx::CLONE_THREAD) && !has(lx::CLONE_SIGHAND))
            || (has(lx::CLONE_SIGHAND) && !has(lx::CLONE_VM))
            || (has(lx::CLONE_THREAD) && (has(lx::CLONE_NEWUSER) || has(lx::CLONE_NEWPID)))
            || (has(lx::CLONE_NEWIPC) && has(lx::CLONE_SYSVSEM))
            || (has(lx::CLONE_PIDFD) && has(lx::CLONE_DETACHED));
        if bad { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// CLONE_INTO_CGROUP: the descriptor of the control group that the child is born in.
    pub fn into_cgroup(&self) -> Option<i32> {
        (self.flags & INTO_CGROUP != 0).then_some(self.cgroup as i32)
    }
}

fn exit_signal(number: u64) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        n => Signal::new(n).map(Some).ok_or(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clone3(words: &[(usize, u64)]) -> Result<CloneArgs, Errno> {
        let mut bytes = vec![0; SIZE_NOW];
        for (i, word) in words {
            bytes[8 * i..8 * i + 8].copy_from_slice(&word.to_le_bytes());
        }
        CloneArgs::clone3(&bytes)
    }

    #[test]
    fn clone_takes_its_signal_from_the_low_byte() {
        let args = CloneArgs::clone(&[u64::from(lx::CLONE_VM) | 10, 0x1000, 2, 3, 4, 0]).unwrap();
        assert_eq!(args.exit_signal, Some(Signal::SIGUSR1));
        assert_eq!((args.flags, args.child_tid, args.tls), (u64::from(lx::CLONE_VM), 3, 4));
        assert_eq!(CloneArgs::clone(&[0; 6]).unwrap().exit_signal, None);
        assert_eq!(CloneArgs::clone(&[65, 0, 0, 0, 0, 0]), Err(Errno::EINVAL));
    }

    #[test]
    fn clone3_takes_the_top_of_the_stack() {
        let args = clone3(&[(4, 17), (5, 0x1000), (6, 0x500)]).unwrap();
        assert_eq!((args.stack, args.exit_signal), (0x1500, Some(Signal::SIGCHLD)));
        assert_eq!(clone3(&[(5, 0x1000)]), Err(Errno::EINVAL));
        assert_eq!(clone3(&[(0, u64::from(lx::CLONE_THREAD)), (4, 17)]), Err(Errno::EINVAL));
        assert_eq!(CloneArgs::clone3(&[0; 63]), Err(Errno::EINVAL));
        assert_eq!(CloneArgs::clone3(&[1; 96]), Err(Errno::E2BIG));
    }

    #[test]
    fn a_thread_shares_handlers_and_memory_or_is_refused() {
        let check = |flags: u32| CloneArgs { flags: flags.into(), ..CloneArgs::fork() }.check();
        assert_eq!(check(lx::CLONE_THREAD), Err(Errno::EINVAL));
        assert_eq!(check(lx::CLONE_SIGHAND), Err(Errno::EINVAL));
        assert_eq!(check(lx::CLONE_THREAD | lx::CLONE_SIGHAND | lx::CLONE_VM), Ok(()));
        assert_eq!(check(lx::CLONE_FS | lx::CLONE_NEWNS), Err(Errno::EINVAL));
    }
}
