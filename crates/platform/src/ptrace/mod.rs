//! Guests as traced native processes. A guest's user code runs on the CPU; each system call stops at
//! its entry and is swallowed (PTRACE_SYSEMU), so that nothing a guest asks reaches the machine's
//! kernel. What a guest's process must do natively (mmap, clone) is injected. The rooms:
//!
//! | file | subject |
//! |---|---|
//! | `spawn.rs` | the zygote, clones, what confines them |
//! | `guest.rs` | one native process |
//! | `run.rs` | user code until it traps |
//! | `fault.rs`, `decode.rs` | what a signal stop means |
//! | `inject.rs` | batches of native calls on the gadget page |
//! | `map.rs`, `memory.rs`, `object.rs` | address spaces, bytes, memory objects |
//! | `xstate.rs` | extended registers |
//! | `lower.rs` | the machine's files |
//! | `watchdog.rs`, `spin.rs` | guests that do not trap: do they spin? |
//! | `sys.rs` | the machine's system calls; all `unsafe` |
//! | `cost.rs` | what a trap costs at least |
//! | `error.rs` | why it cannot be started |

mod cost;
mod decode;
mod error;
mod fault;
mod guest;
mod inject;
mod lower;
mod map;
mod memory;
mod object;
mod run;
mod spawn;
mod spin;
mod sys;
mod watchdog;
mod xstate;

pub use cost::bare_sysemu_loop;
pub use error::Error;

use guest::Guest;
use inject::Gadget;
use kernel::abi::Errno;
use kernel::platform::{
    GuestId, LowerFiles, LowerKind, LowerStat, MapChange, ObjectId, Platform, Registers, Trap,
};
use lower::Lower;
use object::Objects;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;
use watchdog::Watchdog;

/// What the kernel crate may hand out. Below: mmap_min_addr. Above: the gadget page.
const USER_RANGE: (u64, u64) = (0x1_0000, inject::GADGET);

/// What can be chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the guests' lower files are; `/` if not given.
    pub root: Option<PathBuf>,
    /// How long a guest may compute before the watchdog looks whether it spins, in real time. It
    /// decides how soon a spinning guest is found, not where.
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config { root: None, patience: Duration::from_millis(50) }
    }
}

/// The platform. It belongs to the thread that made it: only the tracer of a process may ask
/// anything of it. All guests end with it, also if the supervisor is killed.
#[derive(Debug)]
pub struct Ptrace {
    guests: BTreeMap<GuestId, Guest>,
    next: u64,
    zygote: Guest,
    gadget: Gadget,
    objects: Objects,
    lower: Lower,
    watchdog: Watchdog,
    xfeatures: u64,
    affinity: Option<libc::cpu_set_t>,
    not_send: PhantomData<*mut ()>,
}

impl Ptrace {
    /// Starts the platform in this thread, which is pinned to the CPU that it is on: guests inherit
    /// that, and a stop costs ten times more across cores.
    pub fn new(config: Config) -> Result<Ptrace, Error> {
        sys::raise_nofile();
        let watchdog = Watchdog::new(config.patience)
            .map_err(|errno| Error::Machine { call: "timer_create", errno })?;
        let affinity = pin();
        let (gadget, zygote) = spawn::zygote()?;
        let area = sys::getxstate(zygote.pid)
            .map_err(|errno| Error::Machine { call: "PTRACE_GETREGSET", errno })?;
        Ok(Ptrace {
            guests: BTreeMap::new(),
            next: 0,
            zygote,
            gadget,
            objects: Objects::default(),
            lower: Lower::new(config.root),
            watchdog,
            xfeatures: xstate::features(&area),
            affinity,
            not_send: PhantomData,
        })
    }

    /// The native process ids of all guests, for diagnostics and tests.
    pub fn native_pids(&self) -> Vec<i32> {
        self.guests.values().map(|guest| guest.pid).chain([self.zygote.pid]).collect()
    }

    fn insert(&mut self, guest: Guest) -> GuestId {
        let id = GuestId(self.next);
        self.next += 1;
        self.guests.insert(id, guest);
        id
    }

    /// A guest that was not released and not killed from outside.
    fn live(&mut self, id: GuestId) -> Option<&mut Guest> {
        self.guests.get_mut(&id).filter(|guest| !guest.gone)
    }
}

/// Pins this thread to its CPU; gives what it may run on otherwise. Where it is refused guests run
/// all the same, slower.
fn pin() -> Option<libc::cpu_set_t> {
    let before = sys::affinity().ok()?;
    sys::set_affinity(&sys::current_cpu().ok()?).ok()?;
    Some(before)
}

impl Drop for Ptrace {
    fn drop(&mut self) {
        // All at once, so that they die in parallel; each is reaped when it is dropped.
        for guest in self.guests.values().filter(|guest| !guest.gone) {
            sys::kill(guest.pid);
        }
        if let Some(before) = &self.affinity {
            let _ = sys::set_affinity(before);
        }
    }
}

impl Platform for Ptrace {
    fn user_range(&self) -> (u64, u64) {
        USER_RANGE
    }

    fn spawn(&mut self) -> Result<GuestId, Errno> {
        let guest = spawn::fork(&mut self.gadget, &mut self.zygote, false)?;
        Ok(self.insert(guest))
    }

    fn fork(&mut self, parent: GuestId, share_memory: bool) -> Result<GuestId, Errno> {
        let parent = self.guests.get_mut(&parent).filter(|guest| !guest.gone);
        let parent = parent.ok_or(Errno::EAGAIN)?;
        let guest = spawn::fork(&mut self.gadget, parent, share_memory)?;
        Ok(self.insert(guest))
    }

    fn release(&mut self, guest: GuestId) {
        self.guests.remove(&guest); // dropping kills
    }

    fn change_map(&mut self, guest: GuestId, changes: &[MapChange]) -> Result<(), (usize, Errno)> {
        let guest = self.guests.get_mut(&guest).filter(|guest| !guest.gone);
        let guest = guest.ok_or((0, Errno::ENOMEM))?;
        map::change_map(&mut self.gadget, guest, &self.objects, &mut self.lower, changes)
    }

    fn run(&mut self, guest: GuestId, regs: &mut Registers) -> Trap {
        match self.guests.get_mut(&guest).filter(|guest| !guest.gone) {
            Some(guest) => run::run(guest, regs, &self.watchdog),
            None => Trap::Gone,
        }
    }

    fn xstate(&mut self, guest: GuestId) -> Vec<u8> {
        let area = self.live(guest).map(|guest| xstate::get(guest.pid));
        area.and_then(Result::ok).unwrap_or_default()
    }

    fn set_xstate(&mut self, guest: GuestId, area: &[u8]) -> bool {
        self.live(guest).is_some_and(|guest| xstate::set(guest.pid, area))
    }

    fn resident(&mut self, guest: GuestId) -> u64 {
        self.live(guest).and_then(|guest| memory::resident(guest.pid)).unwrap_or(0)
    }

    fn xfeatures(&self) -> u64 {
        self.xfeatures
    }

    fn hwcap(&self) -> (u64, u64) {
        sys::hwcap()
    }

    fn object_create(&mut self, size: u64) -> Result<ObjectId, Errno> {
        self.objects.create(size)
    }

    fn object_read(&mut self, id: ObjectId, offset: u64, into: &mut [u8]) -> usize {
        self.objects.read(id, offset, into)
    }

    fn object_write(&mut self, id: ObjectId, offset: u64, from: &[u8]) {
        self.objects.write(id, offset, from);
    }

    fn object_resize(&mut self, id: ObjectId, size: u64) -> Result<(), Errno> {
        self.objects.resize(id, size)
    }

    fn object_release(&mut self, id: ObjectId) {
        self.objects.release(id);
    }
}

impl LowerFiles for Ptrace {
    fn lower_stat(&mut self, path: &[u8]) -> Result<LowerStat, Errno> {
        self.lower.stat(path)
    }

    fn lower_list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        self.lower.list(path)
    }

    fn lower_readlink(&mut self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        self.lower.readlink(path)
    }

    fn lower_read(&mut self, path: &[u8], offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.lower.read(path, offset, into)
    }
}
