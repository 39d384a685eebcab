//! signalfd(2): signals as records to read. A descriptor shows each reader its own signals: those
//! of its thread and its process. Neighbours: `task/signal` (queues), `anon`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::abi::signal::SigSet;
use crate::fs::anon::Anon;
use crate::fs::file::FileKind;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult, Wait};
use crate::task::TaskId;
use crate::task::signal::{SigDetail, SigInfo};
use crate::wait_queue::Event;

/// sizeof(struct signalfd_siginfo).
const RECORD: usize = 128;

/// The signals that it takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signalfd {
    mask: SigSet,
}

impl Signalfd {
    /// signalfd_show_fdinfo().
    pub(super) fn fdinfo(&self) -> String {
        format!("sigmask:\t{:016x}\n", self.mask.0)
    }
}

impl Kernel {
    /// signalfd(2).
    pub fn sys_signalfd(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_signalfd4(call, 0)
    }

    /// signalfd4(2).
    pub fn sys_signalfd4(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(3) as u32;
        self.do_signalfd4(call, flags)
    }

    /// −1 makes a new one; else the mask of an old one changes. EINVAL if it is no signalfd.
    fn do_signalfd4(&mut self, call: &mut Call<'_>, flags: u32) -> SysResult {
        let (fd, size) = (call.int(0), call.arg(2));
        if size != 8 {
            return Err(Errno::EINVAL.into());
        }
        let mask = SigSet(call.read_u64(call.ptr(1))?).minus(SigSet::UNBLOCKABLE);
        if flags & !(OFlags::CLOEXEC.0 | OFlags::NONBLOCK.0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        if fd == -1 {
            let open = OFlags::RDWR | OFlags(flags & OFlags::NONBLOCK.0);
            let cloexec = flags & OFlags::CLOEXEC.0 != 0;
            return self.anon_getfd(call.task, Anon::Signalfd(Signalfd { mask }), open, cloexec);
        }
        let file = self.fdget(call, fd)?;
        let FileKind::Anon(id) = self.files[file].kind else { return Err(Errno::EINVAL.into()) };
        let Anon::Signalfd(signalfd) = self.anon.of_mut(id) else {
            return Err(Errno::EINVAL.into());
        };
        signalfd.mask = mask;
        self.publish(Event::Signal(call.task));
        Ok(fd as u64)
    }

    /// signalfd_read(): as many records as fit and are there, at least one.
    pub(super) fn signalfd_read(
        &mut self,
        call: &mut Call<'_>,
        mask: SigSet,
        nonblock: bool,
        to: &IoVec,
    ) -> SysResult {
        let room = to.total() / RECORD;
        if room == 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut done = 0;
        while done < room * RECORD {
            let Some(info) = self.dequeue_signal(call.task, SigSet(!mask.0)) else { break };
            match to.scatter(call, done, &record(&info)) {
                Ok(RECORD) => done += RECORD,
                Ok(_) | Err(_) if done > 0 => break,
                Ok(_) | Err(_) => return Err(Errno::EFAULT.into()),
            }
        }
        if done > 0 {
            return Ok(done as u64);
        }
        if nonblock {
            return Err(Errno::EAGAIN.into());
        }
        Err(Wait::on(Event::Signal(call.task)).into())
    }

    /// Readable while one of its signals is pending for `task`.
    pub(super) fn signalfd_poll(&self, task: TaskId, signalfd: &Signalfd) -> PollBits {
        let t = &self.tasks[task];
        let pending = t.pending.signal.union(self.groups[t.group].shared_pending.signal);
        let others = pending.minus(signalfd.mask);
        if others == pending { PollBits::NONE } else { PollBits::IN }
    }
}

impl Signalfd {
    /// The signals that it takes.
    pub(super) fn mask(&self) -> SigSet {
        self.mask
    }
}

/// struct signalfd_siginfo.
fn record(info: &SigInfo) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &u32::from(info.signal.number()).to_le_bytes());
    put(4, &info.errno.to_le_bytes());
    put(8, &info.code.to_le_bytes());
    match info.detail {
        SigDetail::Kill { pid, uid } => {
            put(12, &pid.0.to_le_bytes());
            put(16, &uid.to_le_bytes());
        }
        SigDetail::Rt { pid, uid, value } => {
            put(12, &pid.0.to_le_bytes());
            put(16, &uid.to_le_bytes());
            put(44, &(value as u32).to_le_bytes());
            put(48, &value.to_le_bytes());
        }
        SigDetail::Child { pid, uid, status, utime, stime } => {
            put(12, &pid.0.to_le_bytes());
            put(16, &uid.to_le_bytes());
            put(40, &status.to_le_bytes());
            put(56, &utime.to_le_bytes());
            put(64, &stime.to_le_bytes());
        }
        SigDetail::Fault { addr } => put(72, &addr.to_le_bytes()),
        SigDetail::Timer { id, overrun, value } => {
            put(24, &id.to_le_bytes());
            put(32, &overrun.to_le_bytes());
            put(44, &(value as u32).to_le_bytes());
            put(48, &value.to_le_bytes());
        }
        SigDetail::Poll { band, fd } => {
            put(28, &(band as u32).to_le_bytes());
            put(20, &fd.to_le_bytes());
        }
        SigDetail::Sys { addr, nr, arch } => {
            put(88, &addr.to_le_bytes());
            put(84, &nr.to_le_bytes());
            put(96, &arch.to_le_bytes());
        }
        // As a forged siginfo has it: pid, uid, value.
        SigDetail::Raw(rest) => {
            put(12, &rest[0..4]);
            put(16, &rest[4..8]);
            put(44, &rest[8..12]);
            put(48, &rest[8..16]);
        }
    }
    out
}
