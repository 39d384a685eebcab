//! Address spaces: [`Mm`] (`mm_struct`) keeps the areas; the bytes belong to the platform, which
//! obeys [`crate::platform::MapChange`]s. By file: `area` (the algebra), `mmap` (mmap, munmap,
//! mprotect, brk), `mremap`, `advice` (madvise, msync, mincore, mlock), `stack` (what a new program
//! finds on its stack), `key` (futex keys).
//!
//! The layout never depends on the machine, as with ADDR_NO_RANDOMIZE: position-independent programs
//! at 0x555555554000, mappings downwards from 128 MiB below the stack's top, the stack at the top. Unlike Linux,
//! the stack is mapped whole at exec, because copies from the kernel don't grow it, and private
//! writable memory is charged when it is mapped, so that a guest sees ENOMEM and no OOM killer.

pub mod advice;
pub mod area;
pub mod key;
pub mod mmap;
pub mod mremap;
pub mod overcommit;
pub mod process_vm;
pub mod seal;
pub mod stack;

pub use area::{PAGE_SIZE, Pin, VmFlags, Vma, page_align};
pub use key::FutexKey;

use crate::abi::Errno;
use crate::arena::Id;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::platform::{GuestId, MapChange, Platform};
use crate::task::TaskId;
use crate::task::user_namespace::UserNs;
use area::Areas;

/// Names an [`Mm`].
pub type MmId = Id<Mm>;

/// One past the highest address of a 64-bit program (TASK_SIZE with 47 bits).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Where position-independent programs are loaded (ELF_ET_DYN_BASE without randomization).
pub const ELF_ET_DYN_BASE: u64 = 0x5555_5555_4000;
/// MIN_GAP: how far below the top of the stack mappings begin. With the usual top that makes
/// mmap_base 0x7ffff7fff000.
const MMAP_GAP: u64 = 128 << 20;
/// vm.max_map_count.
pub const MAX_MAP_COUNT: usize = 65530;

/// mm_struct: one address space.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Mm {
    /// mm_users: tasks that run in it.
    pub users: u32,
    pub areas: Areas,
    /// What the platform lets the kernel hand out.
    pub range: (u64, u64),
    pub start_brk: u64,
    pub brk: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
    /// What /proc/self/auxv shows.
    pub saved_auxv: Vec<(u64, u64)>,
    /// /proc/self/exe; holds a reference.
    pub exe_file: Option<FileId>,
    /// PR_SET_DUMPABLE.
    pub dumpable: bool,
    /// Where its program was started.
    pub user_ns: UserNs,
    /// mlockall(MCL_FUTURE): what is mapped from now on is locked (`def_flags`).
    pub locks_future: bool,
    /// MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED was called.
    pub membarrier_registered: bool,
}

impl Mm {
    /// An empty address space with one user.
    pub fn new(range: (u64, u64)) -> Mm {
        Mm { users: 1, range, dumpable: true, ..Mm::default() }
    }

    /// Where top-down mappings start.
    pub fn mmap_base(&self) -> u64 {
        self.stack_top() - MMAP_GAP
    }

    /// The stack's end.
    pub fn stack_top(&self) -> u64 {
        TASK_SIZE.min(self.range.1)
    }

    /// The name of the area at `start` where it has no file: `[heap]`, `[stack]`.
    pub fn area_name(&self, start: u64, vma: &Vma) -> Option<&'static str> {
        if start < self.brk && vma.end > self.start_brk {
            Some("[heap]")
        } else if start <= self.start_stack && self.start_stack < vma.end {
            Some("[stack]")
        } else {
            None
        }
    }
}

/// Somebody who changes an address space: the task that pays and puts files, the space, and a
/// guest that lives in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Space {
    pub task: TaskId,
    pub mm: MmId,
    pub guest: GuestId,
}

impl Kernel {
    /// The address space of a living task.
    pub fn mm_of(&self, task: TaskId) -> &Mm {
        &self.mms[self.tasks[task].mm.expect("a task that makes calls has an address space")]
    }

    /// The caller's address space, to change it.
    pub(crate) fn space(&self, task: TaskId) -> Space {
        let t = &self.tasks[task];
        Space {
            task,
            mm: t.mm.expect("a task that makes calls has an address space"),
            guest: t.guest.expect("a task that makes calls has a guest"),
        }
    }

    /// Lets the platform change the guest. Its errors are the machine's: ENOMEM for the guest.
    pub(crate) fn change_map(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        changes: &[MapChange],
    ) -> Result<(), Errno> {
        if changes.is_empty() {
            return Ok(());
        }
        user.change_map(at.guest, changes).map_err(|(_, errno)| errno)
    }

    /// Puts an area in, cutting away what was there; pins and unpins.
    pub(crate) fn insert_area(&mut self, at: Space, user: &mut dyn Platform, start: u64, vma: Vma) {
        if let Some(pin) = vma.pin
            && !self.mms[at.mm].areas.pins(pin)
        {
            self.pin(at.task, pin);
        }
        let old = self.mms[at.mm].areas.cut(start, vma.end);
        self.mms[at.mm].areas.insert(start, vma);
        self.unpin_unmapped(at, user, &old);
    }

    /// Takes areas out of the books (the platform did it already).
    pub(crate) fn remove_areas(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        start: u64,
        end: u64,
    ) {
        let old = self.mms[at.mm].areas.cut(start, end);
        self.unpin_unmapped(at, user, &old);
    }

    /// What only removed areas kept alive is let go, in their order.
    fn unpin_unmapped(&mut self, at: Space, user: &mut dyn Platform, old: &[(u64, Vma)]) {
        let mut gone: Vec<Pin> = Vec::new();
        for pin in old.iter().filter_map(|(_, v)| v.pin) {
            if !gone.contains(&pin) && !self.mms[at.mm].areas.pins(pin) {
                gone.push(pin);
            }
        }
        for pin in gone {
            self.unpin(at.task, user, pin);
        }
    }

    /// One address space more keeps `pin` alive.
    fn pin(&mut self, task: TaskId, pin: Pin) {
        match pin {
            Pin::SysV(id) => self.shm_open(task, id),
            Pin::File(file) => self.files[file].count += 1,
            Pin::Shmem(object) => *self.shmem.entry(object).or_default() += 1,
        }
    }

    /// One address space less does.
    fn unpin(&mut self, task: TaskId, user: &mut dyn Platform, pin: Pin) {
        match pin {
            Pin::File(file) => self.fput(Some(task), file),
            Pin::SysV(id) => self.shm_close(task, id, user),
            Pin::Shmem(object) => {
                let Some(users) = self.shmem.get_mut(&object) else { return };
                *users -= 1;
                if *users == 0 {
                    self.shmem.remove(&object);
                    user.object_release(object);
                }
            }
        }
    }

    /// dup_mm(): a copy for a fork, in which MADV_DONTFORK areas are missing; the second value is
    /// what the platform has to do to its copy. ENOMEM if the copy can't be charged.
    pub(crate) fn dup_mm(
        &mut self,
        task: TaskId,
        old: MmId,
        user: &mut dyn Platform,
    ) -> Result<(MmId, Vec<MapChange>), Errno> {
        let mut mm = self.mms[old].clone();
        self.may_copy_memory(&mm.areas, user)?;
        mm.users = 1;
        // Locks are not inherited, neither those that are nor those to come.
        mm.locks_future = false;
        mm.areas.change(0, u64::MAX, |vma| vma.flags.locked = false);
        let mut changes = Vec::new();
        let special: Vec<(u64, Vma)> = mm
            .areas
            .iter()
            .filter(|(_, v)| v.flags.dontfork || v.flags.wipeonfork)
            .map(|(s, v)| (s, v.clone()))
            .collect();
        for (start, vma) in special {
            let len = vma.end - start;
            if vma.flags.dontfork {
                mm.areas.cut(start, vma.end);
                changes.push(MapChange::Unmap { start, len });
            } else {
                changes.push(MapChange::Discard { start, len });
            }
        }
        for pin in mm.areas.all_pins() {
            self.pin(task, pin);
        }
        if let Some(exe) = mm.exe_file {
            self.files[exe].count += 1;
        }
        Ok((self.mms.insert(mm), changes))
    }

    /// mmput(): one user less; the last one lets go of everything that areas keep alive, queued in
    /// the order of their addresses, and so released after all descriptors (rule X-10).
    /// True if it was the last.
    pub(crate) fn mmput(&mut self, task: TaskId, mm: MmId, user: &mut dyn Platform) -> bool {
        self.mms[mm].users -= 1;
        if self.mms[mm].users > 0 {
            return false;
        }
        let Some(gone) = self.mms.remove(mm) else { return true };
        for pin in gone.areas.all_pins() {
            self.unpin(task, user, pin);
        }
        if let Some(exe) = gone.exe_file {
            self.fput(Some(task), exe);
        }
        true
    }
}
