//! How much memory is promised: vm.overcommit_memory, the guess, always or never. proc_sys_vm(5),
//! Linux's vm/overcommit-accounting. Neighbours: `mmap`, `mremap` (who ask), `area` (what was promised).
//!
//! Unlike Linux, nobody sees a page being touched. As long as all promises fit into the host's memory
//! nothing else is looked at; beyond that the machine is asked how much was touched by now, and who
//! asks for more than is left gets ENOMEM, where Linux would promise it and kill somebody later. Only
//! there does a run depend on its machine: on how its kernel counts pages, and 0 if it does not say.

use super::area::Areas;
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::{MmId, PAGE_SIZE};
use crate::platform::{GuestId, Platform};
use std::collections::BTreeMap;

/// vm.overcommit_memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overcommit {
    /// 0: whatever is not obviously too much.
    #[default]
    Guess,
    /// 1: everything.
    Always,
    /// 2: vm.overcommit_ratio percent of the memory, in all.
    Never,
}

/// What somebody wants to be promised, in bytes.
struct Wish {
    /// In all.
    all: u64,
    /// The largest area of it.
    largest: u64,
    /// What it will take soon: a copy of what is there takes nothing until it is written to.
    soon: u64,
}

impl Kernel {
    /// security_vm_enough_memory_mm(): may `more` bytes of private writable memory, or of System
    /// V's, be promised? ENOMEM.
    pub fn vm_enough_memory(&self, more: u64, user: &mut dyn Platform) -> Result<(), Errno> {
        self.may_promise(&Wish { all: more, largest: more, soon: more }, user)
    }

    /// The same for all areas of an address space that is copied for a fork.
    pub(super) fn may_copy_memory(
        &self,
        areas: &Areas,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let charged = areas.iter().filter(|(_, vma)| vma.is_charged());
        let largest = charged.map(|(start, vma)| vma.end - start).max().unwrap_or(0);
        self.may_promise(&Wish { all: areas.charged(), largest, soon: 0 }, user)
    }

    fn may_promise(&self, wish: &Wish, user: &mut dyn Platform) -> Result<(), Errno> {
        let (memory, sysctls) = (self.config.memory, &self.sysctls);
        let fits = |used: u64, more: u64, limit: u64| match used.checked_add(more) {
            Some(sum) if sum <= limit => Ok(()),
            Some(_) | None => Err(Errno::ENOMEM),
        };
        match sysctls.overcommit_memory {
            Overcommit::Always => Ok(()),
            Overcommit::Never => {
                let percent = u128::from(memory) * u128::from(sysctls.overcommit_ratio) / 100;
                fits(self.promised(), wish.all, u64::try_from(percent).unwrap_or(u64::MAX))
            }
            Overcommit::Guess if wish.largest > memory => Err(Errno::ENOMEM),
            Overcommit::Guess if fits(self.promised(), wish.all, memory).is_ok() => Ok(()),
            Overcommit::Guess => fits(self.touched(user), wish.soon, memory),
        }
    }

    /// Committed_AS.
    pub(crate) fn promised(&self) -> u64 {
        let private: u64 = self.mms.iter().map(|(_, mm)| mm.areas.charged()).sum();
        private + self.ipc.shm.pages() * PAGE_SIZE
    }

    /// What was touched of it, as far as the machine can tell.
    fn touched(&self, user: &mut dyn Platform) -> u64 {
        let tasks = self.tasks.iter().filter_map(|(_, t)| Some((t.mm?, t.guest?)));
        let spaces: BTreeMap<MmId, GuestId> = tasks.collect();
        let private: u64 = spaces.values().map(|guest| user.resident(*guest)).sum();
        private + self.ipc.shm.pages() * PAGE_SIZE
    }
}
