//! timerfd_create(2): a timer whose expirations are read as a number. Neighbours: `task/timer`
//! (clocks, `Arming`), `anon`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::fs::anon::Anon;
use crate::fs::file::FileKind;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult, Wait};
use crate::task::capability::Cap;
use crate::task::timer::Arming;
use crate::task::timer::clock::{Clock, nanos};
use crate::time::{Duration, Instant};
use crate::wait_queue::Event;

const TFD_TIMER_ABSTIME: u32 = 1;
/// TFD_TIMER_CANCEL_ON_SET: nobody sets our clocks.
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;

/// One timer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timerfd {
    clock: Clock,
    /// CLOCK_*, as it was asked for.
    clockid: i32,
    /// TFD_TIMER_*, as it was last set.
    flags: u32,
    arming: Arming,
    /// Expirations that nobody read.
    ticks: u64,
}

impl Timerfd {
    /// Moves on to `now`: the expirations since, and a periodic timer armed for the next.
    fn forward(&mut self, now: u64) {
        if self.arming.expires.is_some_and(|at| at <= now) {
            self.arming.fire();
            self.ticks += 1;
        }
    }
}

impl Kernel {
    fn timerfd(&mut self, id: u64) -> &mut Timerfd {
        match self.anon.of_mut(id) {
            Anon::Timerfd(timerfd) => timerfd,
            Anon::Eventfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => {
                unreachable!("{id} is asked as a timerfd")
            }
        }
    }

    /// Its clock's time.
    fn timerfd_now(&mut self, id: u64) -> u64 {
        let clock = self.timerfd(id).clock;
        self.clock_now(clock)
    }

    /// timerfd_create(2). EPERM for the alarm clocks without privilege.
    pub fn sys_timerfd_create(&mut self, call: &mut Call<'_>) -> SysResult {
        let (id, flags) = (call.int(0), call.arg(1) as u32);
        if flags & !(OFlags::CLOEXEC.0 | OFlags::NONBLOCK.0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let clock = match id {
            0 => Clock::Realtime,
            1 => Clock::Monotonic,
            7 => Clock::Boottime,
            8 | 9 if !self.tasks[call.task].cred.capable(Cap::WakeAlarm) => {
                return Err(Errno::EPERM.into());
            }
            8 => Clock::Realtime,
            9 => Clock::Boottime,
            _ => return Err(Errno::EINVAL.into()),
        };
        let timerfd = Timerfd { clock, clockid: id, flags: 0, arming: Arming::default(), ticks: 0 };
        let open = OFlags::RDWR | OFlags(flags & OFlags::NONBLOCK.0);
        let cloexec = flags & OFlags::CLOEXEC.0 != 0;
        self.anon_getfd(call.task, Anon::Timerfd(timerfd), open, cloexec)
    }

    /// The timer behind descriptor `fd`: EINVAL for any other file.
    fn timerfd_fget(&mut self, call: &mut Call<'_>, fd: i32) -> Result<u64, Errno> {
        let file = self.fdget(call, fd)?;
        match self.files[file].kind {
            FileKind::Anon(id) if matches!(self.anon.of(id), Anon::Timerfd(_)) => Ok(id),
            _ => Err(Errno::EINVAL),
        }
    }

    /// timerfd_settime(2): arms or disarms; ticks that nobody read are forgotten.
    pub fn sys_timerfd_settime(&mut self, call: &mut Call<'_>) -> SysResult {
        let (fd, flags) = (call.int(0), call.arg(1) as u32);
        let (new, old) = (call.ptr(2), call.ptr(3));
        let interval = self.read_timespec(call, new);
        let value = self.read_timespec(call, new.add(16));
        if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let (interval, value) = (nanos(interval?), nanos(value?));
        let id = self.timerfd_fget(call, fd)?;
        let before = self.timerfd_setting(id);
        let now = self.timerfd_now(id);
        let absolute = flags & TFD_TIMER_ABSTIME != 0;
        let clock = self.timerfd(id).clock;
        let at = match absolute {
            true => self.timens_to_host(call.task, clock, value),
            false => now.saturating_add(value),
        };
        let timerfd = self.timerfd(id);
        (timerfd.ticks, timerfd.flags) = (0, flags);
        timerfd.arming = Arming { expires: (value > 0).then_some(at), interval, fired: None };
        if !old.is_null() {
            self.write_itimerspec(call, old, before)?;
        }
        Ok(0)
    }

    /// timerfd_show().
    pub(super) fn timerfd_fdinfo(&self, timerfd: &Timerfd) -> String {
        let rest = timerfd.arming.remaining(self.clock_now(timerfd.clock));
        let show = |nanos: u64| format!("({}, {})", nanos / 1_000_000_000, nanos % 1_000_000_000);
        format!(
            "clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: {}\nit_interval: {}\n",
            timerfd.clockid,
            timerfd.ticks,
            timerfd.flags,
            show(rest),
            show(timerfd.arming.interval)
        )
    }

    /// timerfd_gettime(2).
    pub fn sys_timerfd_gettime(&mut self, call: &mut Call<'_>) -> SysResult {
        let (fd, at) = (call.int(0), call.ptr(1));
        let id = self.timerfd_fget(call, fd)?;
        let setting = self.timerfd_setting(id);
        self.write_itimerspec(call, at, setting)?;
        Ok(0)
    }

    /// Interval and rest in nanoseconds; a periodic timer that fired is armed again first, so that
    /// the rest counts to its next moment.
    fn timerfd_setting(&mut self, id: u64) -> (u64, u64) {
        let now = self.timerfd_now(id);
        let timerfd = self.timerfd(id);
        timerfd.forward(now);
        timerfd.ticks += timerfd.arming.rearm(now);
        (timerfd.arming.interval, timerfd.arming.remaining(now))
    }

    fn write_itimerspec(
        &self,
        call: &mut Call<'_>,
        at: UserPtr,
        (interval, rest): (u64, u64),
    ) -> Result<(), Errno> {
        self.write_timespec(call, at, Duration::from_nanos(interval))?;
        self.write_timespec(call, at.add(16), Duration::from_nanos(rest))
    }

    /// timerfd_read(): the number of expirations since the last read; waits for one.
    pub(super) fn timerfd_read(
        &mut self,
        call: &mut Call<'_>,
        id: u64,
        nonblock: bool,
        to: &IoVec,
    ) -> SysResult {
        if to.total() < 8 {
            return Err(Errno::EINVAL.into());
        }
        let now = self.timerfd_now(id);
        let timerfd = self.timerfd(id);
        timerfd.forward(now);
        if timerfd.ticks == 0 {
            if nonblock {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Wait::on(Event::Anon(id)).into());
        }
        let ticks = timerfd.ticks + timerfd.arming.rearm(now);
        timerfd.ticks = 0;
        if to.scatter(call, 0, &ticks.to_le_bytes()) != Ok(8) {
            return Err(Errno::EFAULT.into());
        }
        Ok(8)
    }

    /// Readable once it has expired.
    pub(super) fn timerfd_poll(&self, timerfd: &Timerfd) -> PollBits {
        let now = self.clock_now(timerfd.clock);
        let due = timerfd.arming.expires.is_some_and(|at| at <= now);
        if timerfd.ticks > 0 || due { PollBits::IN } else { PollBits::NONE }
    }

    fn timerfd_deadlines(&self) -> impl Iterator<Item = (Instant, u64)> {
        self.anon.objects.iter().filter_map(|(id, object)| match object {
            Anon::Timerfd(t) => Some((self.instant_at(t.clock, t.arming.expires?), *id)),
            Anon::Eventfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => None,
        })
    }

    /// timerfd_tmrproc() for every timer that is due, earliest first.
    pub fn run_timerfds(&mut self) {
        let mut due: Vec<(Instant, u64)> =
            self.timerfd_deadlines().filter(|(at, _)| *at <= self.now).collect();
        due.sort_unstable();
        for (_, id) in due {
            let now = self.timerfd_now(id);
            self.timerfd(id).forward(now);
            self.publish_poll(Event::Anon(id), PollBits::IN);
        }
    }

    /// When the next one expires.
    pub fn next_timerfd_deadline(&self) -> Option<Instant> {
        self.timerfd_deadlines().map(|(at, _)| at).min()
    }
}
