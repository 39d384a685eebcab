//! What a signal tells of its origin: `siginfo_t`, and its 128 bytes. Rules S-7, S-46, S-47;
//! sigaction(2), "The siginfo_t argument".

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::platform::Fault;
use crate::task::Pid;

/// From kill(2).
pub const SI_USER: i32 = 0;
/// From the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// From sigqueue(3).
pub const SI_QUEUE: i32 = -1;
/// From a POSIX timer.
pub const SI_TIMER: i32 = -2;
/// From tkill(2) and tgkill(2).
pub const SI_TKILL: i32 = -6;
/// SI_DETHREAD: the lowest code with a layout that the kernel knows.
const SI_DETHREAD: i32 = -7;
/// SI_ASYNCNL: another one.
const SI_ASYNCNL: i32 = -60;
/// The child exited.
pub const CLD_EXITED: i32 = 1;
/// A signal killed the child.
pub const CLD_KILLED: i32 = 2;
/// It left a core dump too.
pub const CLD_DUMPED: i32 = 3;
/// The child stopped.
pub const CLD_STOPPED: i32 = 5;
/// The child continued.
pub const CLD_CONTINUED: i32 = 6;

/// sizeof(siginfo_t).
pub const SIGINFO_SIZE: usize = 128;
/// sizeof(struct kernel_siginfo): what the kernel keeps of it.
const KERNEL_SIGINFO_SIZE: usize = 48;

/// What siginfo tells of a signal's origin (rules S-46, S-47).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SigDetail {
    /// kill, tkill: pid and real uid of the sender.
    Kill { pid: Pid, uid: u32 },
    /// sigqueue and friends.
    Rt { pid: Pid, uid: u32, value: u64 },
    /// SIGCHLD.
    Child { pid: Pid, uid: u32, status: i32, utime: i64, stime: i64 },
    /// A synchronous fault.
    Fault { addr: u64 },
    /// A POSIX timer.
    Timer { id: i32, overrun: i32, value: u64 },
    /// SIGIO.
    Poll { band: i64, fd: i32 },
    /// seccomp or a bad call.
    Sys { addr: u64, nr: i32, arch: u32 },
    /// As rt_sigqueueinfo gave it: bytes 16..48 of siginfo; the kernel keeps no more.
    Raw([u8; 32]),
}

/// One queued signal: `kernel_siginfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigInfo {
    /// Which.
    pub signal: Signal,
    /// si_errno.
    pub errno: i32,
    /// si_code.
    pub code: i32,
    /// The rest.
    pub detail: SigDetail,
}

impl SigInfo {
    /// SEND_SIG_NOINFO, or what is left of a record that the limit lost (rule S-19): `pid` 0.
    pub fn user(signal: Signal, pid: Pid, uid: u32) -> SigInfo {
        SigInfo { signal, errno: 0, code: SI_USER, detail: SigDetail::Kill { pid, uid } }
    }

    /// SEND_SIG_PRIV: from the kernel itself.
    pub fn kernel(signal: Signal) -> SigInfo {
        let detail = SigDetail::Kill { pid: Pid(0), uid: 0 };
        SigInfo { signal, errno: 0, code: SI_KERNEL, detail }
    }

    /// A sender that the target cannot see has number 0.
    pub(super) fn clear_sender(&mut self) {
        match &mut self.detail {
            SigDetail::Kill { pid, .. } | SigDetail::Rt { pid, .. } => *pid = Pid(0),
            // Where it stands when the code has a layout with a sender.
            SigDetail::Raw(rest) if self.code <= SI_USER => rest[..4].fill(0),
            SigDetail::Raw(_)
            | SigDetail::Child { .. }
            | SigDetail::Fault { .. }
            | SigDetail::Timer { .. }
            | SigDetail::Poll { .. }
            | SigDetail::Sys { .. } => {}
        }
    }

    /// Whose process sent it, as the receiver's user namespace calls that user: until then it is one
    /// of the host.
    pub(super) fn show_user(&mut self, seen: impl Fn(u32) -> u32) {
        match &mut self.detail {
            SigDetail::Kill { uid, .. }
            | SigDetail::Rt { uid, .. }
            | SigDetail::Child { uid, .. } => *uid = seen(*uid),
            SigDetail::Raw(_)
            | SigDetail::Fault { .. }
            | SigDetail::Timer { .. }
            | SigDetail::Poll { .. }
            | SigDetail::Sys { .. } => {}
        }
    }

    /// What the CPU reported. `None` for a number that is no signal, which no platform sends.
    pub fn fault(fault: &Fault) -> Option<SigInfo> {
        let signal = Signal::new(u64::from(fault.signo))?;
        let detail = SigDetail::Fault { addr: fault.addr };
        Some(SigInfo { signal, errno: 0, code: fault.code, detail })
    }

    /// The user's 128 bytes, zero where nothing is said.
    pub fn to_bytes(&self) -> [u8; SIGINFO_SIZE] {
        let mut out = [0; SIGINFO_SIZE];
        put(&mut out, 0, &i32::from(self.signal.number()).to_le_bytes());
        put(&mut out, 4, &self.errno.to_le_bytes());
        put(&mut out, 8, &self.code.to_le_bytes());
        match self.detail {
            SigDetail::Kill { pid, uid } => {
                put(&mut out, 16, &pid.0.to_le_bytes());
                put(&mut out, 20, &uid.to_le_bytes());
            }
            SigDetail::Rt { pid, uid, value } => {
                put(&mut out, 16, &pid.0.to_le_bytes());
                put(&mut out, 20, &uid.to_le_bytes());
                put(&mut out, 24, &value.to_le_bytes());
            }
            SigDetail::Child { pid, uid, status, utime, stime } => {
                put(&mut out, 16, &pid.0.to_le_bytes());
                put(&mut out, 20, &uid.to_le_bytes());
                put(&mut out, 24, &status.to_le_bytes());
                put(&mut out, 32, &utime.to_le_bytes());
                put(&mut out, 40, &stime.to_le_bytes());
            }
            SigDetail::Fault { addr } => put(&mut out, 16, &addr.to_le_bytes()),
            SigDetail::Timer { id, overrun, value } => {
                put(&mut out, 16, &id.to_le_bytes());
                put(&mut out, 20, &overrun.to_le_bytes());
                put(&mut out, 24, &value.to_le_bytes());
            }
            SigDetail::Poll { band, fd } => {
                put(&mut out, 16, &band.to_le_bytes());
                put(&mut out, 24, &fd.to_le_bytes());
            }
            SigDetail::Sys { addr, nr, arch } => {
                put(&mut out, 16, &addr.to_le_bytes());
                put(&mut out, 24, &nr.to_le_bytes());
                put(&mut out, 28, &arch.to_le_bytes());
            }
            SigDetail::Raw(rest) => put(&mut out, 16, &rest),
        }
        out
    }

    /// copy_siginfo_from_user(): the signal's number is the call's, not the structure's (rule
    /// S-7). E2BIG if bytes that the kernel drops are set and the code's layout is unknown to it.
    pub fn from_bytes(signal: Signal, bytes: &[u8; SIGINFO_SIZE]) -> Result<SigInfo, Errno> {
        let int = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("4"));
        let (errno, code) = (int(4), int(8));
        let dropped = &bytes[KERNEL_SIGINFO_SIZE..];
        if !known_siginfo_layout(signal, code) && dropped.iter().any(|b| *b != 0) {
            return Err(Errno::E2BIG);
        }
        let detail = if code == SI_QUEUE {
            SigDetail::Rt {
                pid: Pid(int(16) as u32),
                uid: int(20) as u32,
                value: u64::from_le_bytes(bytes[24..32].try_into().expect("8")),
            }
        } else {
            SigDetail::Raw(bytes[16..KERNEL_SIGINFO_SIZE].try_into().expect("32"))
        };
        Ok(SigInfo { signal, errno, code, detail })
    }
}

fn put(out: &mut [u8; SIGINFO_SIZE], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

/// known_siginfo_layout(): codes that this kernel could have made itself.
fn known_siginfo_layout(signal: Signal, code: i32) -> bool {
    /// NSIGTRAP, NSIGCHLD and NSIGPOLL, which also counts for signals without codes of their own.
    const NSIGPOLL: i32 = 6;
    if code == SI_KERNEL {
        return true;
    }
    if code > SI_USER {
        // NSIGILL, NSIGFPE, NSIGSEGV, NSIGBUS, NSIGSYS.
        let limit = match signal {
            Signal::SIGILL => 11,
            Signal::SIGFPE => 15,
            Signal::SIGSEGV => 10,
            Signal::SIGBUS => 5,
            Signal::SIGSYS => 2,
            _ => NSIGPOLL,
        };
        return code <= limit;
    }
    code >= SI_DETHREAD || code == SI_ASYNCNL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_death_is_laid_out_as_on_x86_64() {
        // S-47.
        let detail =
            SigDetail::Child { pid: Pid(77), uid: 1000, status: 9, utime: 1 << 40, stime: -2 };
        let info = SigInfo { signal: Signal::SIGCHLD, errno: 0, code: CLD_KILLED, detail };
        let bytes = info.to_bytes();
        assert_eq!(bytes[0..12], [17, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[16..28], [77, 0, 0, 0, 0xe8, 3, 0, 0, 9, 0, 0, 0]);
        assert_eq!(bytes[32..40], (1u64 << 40).to_le_bytes());
        assert_eq!(bytes[40..48], (-2i64).to_le_bytes());
        assert_eq!(bytes[48..], [0; 80]);
    }

    #[test]
    fn a_timers_expiry_is_laid_out_as_on_x86_64() {
        // S-46.
        let detail = SigDetail::Timer { id: 3, overrun: 4, value: 5 };
        let info = SigInfo { signal: Signal::SIGALRM, errno: 0, code: SI_TIMER, detail };
        let bytes = info.to_bytes();
        assert_eq!(bytes[0..12], [14, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(bytes[16..28], [3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn of_a_code_that_only_programs_know_everything_is_kept() {
        // S-7: all that fits into the kernel's structure.
        let mut bytes = [0; SIGINFO_SIZE];
        bytes[8..12].copy_from_slice(&(-3i32).to_le_bytes());
        bytes[16..48].copy_from_slice(&[7; 32]);
        let info = SigInfo::from_bytes(Signal::SIGUSR1, &bytes).unwrap();
        assert_eq!(info.to_bytes()[16..48], [7; 32]);
    }

    #[test]
    fn a_made_up_siginfo_survives_to_the_kernels_size() {
        // S-7: si_signo is overwritten; an unknown code with bytes beyond 48 is E2BIG.
        let mut bytes = [0; SIGINFO_SIZE];
        bytes[0] = 99;
        bytes[8..12].copy_from_slice(&SI_QUEUE.to_le_bytes());
        bytes[16..32].copy_from_slice(&[7; 16]);
        let info = SigInfo::from_bytes(Signal::SIGUSR1, &bytes).unwrap();
        let back = info.to_bytes();
        assert_eq!((back[0], &back[16..32]), (10, &[7; 16][..]));
        bytes[8..12].copy_from_slice(&(-50i32).to_le_bytes());
        bytes[100] = 1;
        assert_eq!(SigInfo::from_bytes(Signal::SIGUSR1, &bytes), Err(Errno::E2BIG));
    }
}
