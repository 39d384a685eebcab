//! Files of procfs that are about a process's address space: maps, cmdline, environ, statm, and the
//! numbers of status and stat. Resident is what is mapped: the platform knows better and must not
//! be asked, because it depends on the machine. Neighbours: `task`, `mm`.

use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::mm::{Mm, PAGE_SIZE, Pin, Vma};
use crate::platform::{Platform, UserPtr};
use crate::task::TaskId;
use core::fmt::Write;

/// The most that cmdline and environ show.
const MAX_STRINGS: u64 = 1 << 21;

/// What stat and status tell of an address space, in bytes (rss in pages).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub(crate) struct MemoryNumbers {
    pub vsize: u64,
    pub rss: u64,
    pub data: u64,
    pub stack: u64,
    pub text: u64,
    pub shared: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_stack: u64,
    pub start_brk: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

impl MemoryNumbers {
    /// The program's code in whole pages.
    fn exe(&self) -> u64 {
        self.end_code.next_multiple_of(PAGE_SIZE) - self.start_code / PAGE_SIZE * PAGE_SIZE
    }
}

impl Kernel {
    /// The address space of `task`; None for the dead and for init.
    fn proc_mm(&self, task: TaskId) -> Option<&Mm> {
        self.mms.get(self.tasks.get(task)?.mm?)
    }

    pub(crate) fn proc_memory_numbers(&self, task: TaskId) -> MemoryNumbers {
        let Some(mm) = self.proc_mm(task) else { return MemoryNumbers::default() };
        let mut n = MemoryNumbers {
            vsize: mm.areas.total(),
            rss: mm.areas.total() / PAGE_SIZE,
            start_code: mm.start_code,
            end_code: mm.end_code,
            start_data: mm.start_data,
            end_data: mm.end_data,
            start_stack: mm.start_stack,
            start_brk: mm.start_brk,
            arg_start: mm.arg_start,
            arg_end: mm.arg_end,
            env_start: mm.env_start,
            env_end: mm.env_end,
            ..MemoryNumbers::default()
        };
        for (start, vma) in mm.areas.iter() {
            let len = vma.end - start;
            if vma.flags.growsdown {
                n.stack += len;
            } else if vma.prot & 2 != 0 && !vma.flags.shared {
                n.data += len;
            } else if vma.prot & 4 != 0 {
                n.text += len;
            }
            if vma.pin.is_some() {
                n.shared += len;
            }
        }
        n
    }

    /// The Vm… rows of status; none where there is no address space.
    pub(crate) fn proc_status_memory(&self, task: TaskId) -> String {
        let Some(mm) = self.proc_mm(task) else { return String::new() };
        let locked = mm.areas.locked();
        let n = self.proc_memory_numbers(task);
        let rows = [
            ("VmPeak", n.vsize),
            ("VmSize", n.vsize),
            ("VmLck", locked),
            ("VmPin", 0),
            ("VmHWM", n.vsize),
            ("VmRSS", n.vsize),
            ("RssAnon", n.vsize - n.shared),
            ("RssFile", n.shared),
            ("RssShmem", 0),
            ("VmData", n.data),
            ("VmStk", n.stack),
            ("VmExe", n.exe()),
            ("VmLib", n.text.saturating_sub(n.exe())),
            ("VmPTE", 0),
            ("VmSwap", 0),
            ("HugetlbPages", 0),
        ];
        let mut text = String::new();
        for (name, bytes) in rows {
            let _ = writeln!(text, "{name}:\t{:>8} kB", bytes / 1024);
        }
        text + "CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n"
    }

    pub(crate) fn proc_statm(&self, task: TaskId) -> String {
        let n = self.proc_memory_numbers(task);
        let [shared, text, data] = [n.shared, n.exe(), n.data + n.stack].map(|b| b / PAGE_SIZE);
        format!("{} {} {shared} {text} 0 {data} 0\n", n.vsize / PAGE_SIZE, n.rss)
    }

    /// maps, or smaps with the rows that programs look at.
    pub(crate) fn proc_maps(&self, task: TaskId, smaps: bool) -> Vec<u8> {
        let Some(mm) = self.proc_mm(task) else { return Vec::new() };
        let mut text = Vec::new();
        for (start, vma) in mm.areas.iter() {
            text.extend_from_slice(&self.proc_maps_line(mm, start, vma));
            if smaps {
                let kib = (vma.end - start) / 1024;
                for (name, kib) in smaps_rows(kib, vma) {
                    let row = format!("{:<16}{kib:>8} kB\n", format!("{name}:"));
                    text.extend_from_slice(row.as_bytes());
                }
                text.extend_from_slice(
                    format!("THPeligible:           0\n{}", vm_flags(vma)).as_bytes(),
                );
            }
        }
        text
    }

    /// show_map_vma(): the name begins in column 73.
    fn proc_maps_line(&self, mm: &Mm, start: u64, vma: &Vma) -> Vec<u8> {
        let bit = |bit: u32, letter| if vma.prot & bit != 0 { letter } else { '-' };
        let share = if vma.flags.shared { 's' } else { 'p' };
        let (minor, ino, name) = match vma.pin {
            Some(Pin::File(file)) => {
                let stat = self.file_stat(file);
                let name = match self.files[file].path {
                    Some(path) => self.vfs.d_path(path, self.vfs.root),
                    None => self.nameless_path(file),
                };
                (stat.dev.1, stat.ino, name)
            }
            Some(Pin::Shmem(object)) => (1, object.0, b"/dev/zero (deleted)".to_vec()),
            Some(Pin::SysV(id)) => {
                let key = self.ipc.shm.ids.get(id).map_or(0, |segment| segment.what.made_as);
                (1, id.id as u64, format!("/SYSV{key:08x} (deleted)").into_bytes())
            }
            None => (0, 0, mm.area_name(start, vma).unwrap_or_default().as_bytes().to_vec()),
        };
        let (r, w, x) = (bit(1, 'r'), bit(2, 'w'), bit(4, 'x'));
        let (end, offset) = (vma.end, vma.offset);
        let head =
            format!("{start:08x}-{end:08x} {r}{w}{x}{share} {offset:08x} 00:{minor:02x} {ino} ");
        if name.is_empty() {
            return [head.as_bytes(), b"\n"].concat();
        }
        [format!("{head:<73}").as_bytes(), &name, b"\n"].concat()
    }

    /// The auxiliary vector as exec left it.
    pub(crate) fn proc_auxv(&self, task: TaskId) -> Vec<u8> {
        let Some(mm) = self.proc_mm(task) else { return Vec::new() };
        mm.saved_auxv
            .iter()
            .flat_map(|(k, v)| [k.to_le_bytes(), v.to_le_bytes()])
            .flatten()
            .collect()
    }

    pub(crate) fn proc_cmdline(&self, task: TaskId, user: &mut dyn Platform) -> Vec<u8> {
        let range = self.proc_mm(task).map_or((0, 0), |mm| (mm.arg_start, mm.arg_end));
        self.proc_strings(task, range, user)
    }

    pub(crate) fn proc_environ(&self, task: TaskId, user: &mut dyn Platform) -> Vec<u8> {
        let range = self.proc_mm(task).map_or((0, 0), |mm| (mm.env_start, mm.env_end));
        self.proc_strings(task, range, user)
    }

    /// Strings as they stand in the process's own memory now (setproctitle overwrites them).
    fn proc_strings(
        &self,
        task: TaskId,
        (start, end): (u64, u64),
        user: &mut dyn Platform,
    ) -> Vec<u8> {
        let Some(guest) = self.tasks[task].guest else { return Vec::new() };
        let mut bytes = vec![0; end.saturating_sub(start).min(MAX_STRINGS) as usize];
        let got = user.read_user(guest, UserPtr(start), &mut bytes);
        bytes.truncate(got);
        bytes
    }

    /// The program that `task` runs.
    pub(crate) fn proc_exe(&self, task: TaskId) -> Option<Path> {
        self.files[self.proc_mm(task)?.exe_file?].path
    }
}

/// __show_smap(): all is resident, private pages are dirty.
fn smaps_rows(kib: u64, vma: &Vma) -> [(&'static str, u64); 22] {
    let private = if vma.flags.shared { 0 } else { kib };
    let anonymous = if vma.pin.is_none() { kib } else { 0 };
    [
        ("Size", kib),
        ("KernelPageSize", 4),
        ("MMUPageSize", 4),
        ("Rss", kib),
        ("Pss", kib),
        ("Pss_Dirty", kib),
        ("Shared_Clean", 0),
        ("Shared_Dirty", kib - private),
        ("Private_Clean", 0),
        ("Private_Dirty", private),
        ("Referenced", kib),
        ("Anonymous", anonymous),
        ("KSM", 0),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", if vma.flags.locked { kib } else { 0 }),
    ]
}

/// show_smap_vma_flags(): what this kernel knows of an area.
fn vm_flags(vma: &Vma) -> String {
    let flags = [
        ("rd", vma.prot & 1 != 0),
        ("wr", vma.prot & 2 != 0),
        ("ex", vma.prot & 4 != 0),
        ("sh", vma.flags.shared),
        ("mr", true),
        ("mw", true),
        ("me", true),
        ("gd", vma.flags.growsdown),
        ("lo", vma.flags.locked),
    ];
    let set = flags.iter().filter(|(_, set)| *set).map(|(name, _)| format!("{name} "));
    format!("VmFlags: {}\n", set.collect::<String>())
}
