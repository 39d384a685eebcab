//! Files of procfs that are about a process's address space: maps, cmdline, environ, statm, and the
//! numbers of status and stat. Resident is what is mapped: the platform knows better and must not
//! be asked, because it depends on the machine. Neighbours: `task`, `mm`.

use crate::fs::dcache::DentryId;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::task::TaskId;

/// What stat and status tell of an address space, in bytes (rss in pages).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub(crate) struct MemoryNumbers {
    pub vsize: u64,
    pub rss: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_stack: u64,
    pub start_brk: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

impl Kernel {
    pub(crate) fn proc_memory_numbers(&self, task: TaskId) -> MemoryNumbers {
        let _ = task;
        MemoryNumbers::default()
    }

    pub(crate) fn proc_status_memory(&self, task: TaskId) -> String {
        let _ = task;
        String::new()
    }

    pub(crate) fn proc_statm(&self, task: TaskId) -> String {
        let _ = task;
        "0 0 0 0 0 0 0\n".into()
    }

    pub(crate) fn proc_maps(&self, task: TaskId, smaps: bool) -> Vec<u8> {
        let _ = (task, smaps);
        Vec::new()
    }

    pub(crate) fn proc_auxv(&self, task: TaskId) -> Vec<u8> {
        let _ = task;
        Vec::new()
    }

    pub(crate) fn proc_cmdline(&self, task: TaskId, user: &mut dyn Platform) -> Vec<u8> {
        let _ = (task, user);
        Vec::new()
    }

    pub(crate) fn proc_environ(&self, task: TaskId, user: &mut dyn Platform) -> Vec<u8> {
        let _ = (task, user);
        Vec::new()
    }

    /// The program that `task` runs.
    pub(crate) fn proc_exe(&self, task: TaskId) -> Option<DentryId> {
        let _ = task;
        None
    }
}
