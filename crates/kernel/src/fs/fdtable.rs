//! Descriptor tables: `files_struct` with its `fdtable`. The walk: `exit_files` →
//! `put_files_struct` → `close_files` → `filp_close` → `fput` (in `fs/file`).
//!
//! The article's five fields are here as a reader would build them in Rust: `max_fds` is the length
//! of `fd`, `fd` the slots, `close_on_exec` and `open_fds` bitmaps as `Vec<u64>`, and
//! `full_fds_bits` one bit per word of `open_fds` that has no zero left, so that the lowest free
//! descriptor is found without looking at full words. Rules F-1 to F-7.

use crate::abi::Errno;
use crate::arena::Id;
use crate::fact::{FileFact, TaskFact};
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::task::TaskId;

/// Names an [`FdTable`].
pub type TableId = Id<FdTable>;

/// NR_OPEN_DEFAULT: slots of a fresh table.
const NR_OPEN_DEFAULT: usize = 64;

/// files_struct: the descriptors of one process (or of several, with CLONE_FILES: rule F-1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FdTable {
    /// How many tasks share this table.
    pub count: u32,
    /// The slots; the index is the descriptor. `fd.len()` is `max_fds`.
    pub fd: Vec<Option<FileId>>,
    /// Descriptors that exec closes.
    pub close_on_exec: Vec<u64>,
    /// Descriptors in use, reserved ones (not yet installed) included.
    pub open_fds: Vec<u64>,
    /// One bit per word of `open_fds` that is full.
    pub full_fds_bits: Vec<u64>,
}

impl Default for FdTable {
    fn default() -> Self {
        let mut table = FdTable {
            count: 1,
            fd: Vec::new(),
            close_on_exec: Vec::new(),
            open_fds: Vec::new(),
            full_fds_bits: Vec::new(),
        };
        table.expand_files(NR_OPEN_DEFAULT);
        table
    }
}

/// __set_bit().
fn set_bit(bits: &mut [u64], n: usize) {
    bits[n / 64] |= 1 << (n % 64);
}

/// __clear_bit().
fn clear_bit(bits: &mut [u64], n: usize) {
    bits[n / 64] &= !(1 << (n % 64));
}

/// test_bit(); bits beyond the map are zero.
fn test_bit(bits: &[u64], n: usize) -> bool {
    bits.get(n / 64).is_some_and(|word| word & (1 << (n % 64)) != 0)
}

impl FdTable {
    /// Capacity in descriptors.
    pub fn max_fds(&self) -> usize {
        self.fd.len()
    }

    /// expand_files(): room for at least `len` descriptors, in whole words.
    fn expand_files(&mut self, len: usize) {
        let words = len.div_ceil(64);
        if words * 64 <= self.fd.len() {
            return;
        }
        self.fd.resize(words * 64, None);
        self.close_on_exec.resize(words, 0);
        self.open_fds.resize(words, 0);
        self.full_fds_bits.resize(words.div_ceil(64), 0);
    }

    /// __set_open_fd().
    fn set_open_fd(&mut self, fd: usize) {
        set_bit(&mut self.open_fds, fd);
        if self.open_fds[fd / 64] == u64::MAX {
            set_bit(&mut self.full_fds_bits, fd / 64);
        }
    }

    /// __clear_open_fd().
    fn clear_open_fd(&mut self, fd: usize) {
        clear_bit(&mut self.open_fds, fd);
        clear_bit(&mut self.full_fds_bits, fd / 64);
    }

    /// find_next_fd(): the lowest descriptor ≥ `start` that is not in use; may be `max_fds`.
    fn find_next_fd(&self, start: usize) -> usize {
        let mut word = start / 64;
        let mut mask = u64::MAX << (start % 64);
        while word < self.open_fds.len() {
            if !test_bit(&self.full_fds_bits, word) {
                let free = !self.open_fds[word] & mask;
                if free != 0 {
                    return word * 64 + free.trailing_zeros() as usize;
                }
            }
            word += 1;
            mask = u64::MAX;
        }
        self.fd.len().max(start)
    }

    /// alloc_fd(): reserves the lowest free descriptor in `start..end` (rule F-3).
    /// EMFILE when there is none.
    pub fn alloc_fd(&mut self, start: usize, end: usize, cloexec: bool) -> Result<i32, Errno> {
        let fd = self.find_next_fd(start);
        if fd >= end {
            return Err(Errno::EMFILE);
        }
        self.expand_files(fd + 1);
        self.set_open_fd(fd);
        self.set_close_on_exec(fd as i32, cloexec);
        i32::try_from(fd).map_err(|_| Errno::EMFILE)
    }

    /// put_unused_fd(): a reserved descriptor is free again.
    pub fn put_unused_fd(&mut self, fd: i32) {
        self.clear_open_fd(fd as usize);
    }

    /// fd_install(): the reserved slot gets its description (whose reference passes to the slot).
    pub fn fd_install(&mut self, fd: i32, file: FileId) {
        self.fd[fd as usize] = Some(file);
    }

    /// The description behind `fd`; EBADF if there is none.
    pub fn get(&self, fd: i32) -> Result<FileId, Errno> {
        usize::try_from(fd).ok().and_then(|i| self.fd.get(i).copied().flatten()).ok_or(Errno::EBADF)
    }

    /// Is `fd` reserved but not yet installed? dup2 onto it says EBUSY (rule F-3).
    pub fn is_reserved(&self, fd: i32) -> bool {
        self.get(fd).is_err() && test_bit(&self.open_fds, fd as usize)
    }

    /// Puts `file` into slot `fd`, whatever is there, and returns what was (do_dup2).
    pub fn replace(&mut self, fd: i32, file: FileId, cloexec: bool) -> Option<FileId> {
        self.expand_files(fd as usize + 1);
        let old = self.fd[fd as usize].replace(file);
        self.set_open_fd(fd as usize);
        self.set_close_on_exec(fd, cloexec);
        old
    }

    /// Takes the description out of its slot; the descriptor is free (file_close_fd).
    pub fn take(&mut self, fd: i32) -> Option<FileId> {
        let file = self.fd.get_mut(usize::try_from(fd).ok()?)?.take()?;
        self.clear_open_fd(fd as usize);
        self.set_close_on_exec(fd, false);
        Some(file)
    }

    /// FD_CLOEXEC on or off.
    pub fn set_close_on_exec(&mut self, fd: i32, on: bool) {
        match on {
            true => set_bit(&mut self.close_on_exec, fd as usize),
            false => clear_bit(&mut self.close_on_exec, fd as usize),
        }
    }

    /// FD_CLOEXEC?
    pub fn close_on_exec(&self, fd: i32) -> bool {
        test_bit(&self.close_on_exec, fd as usize)
    }

    /// Open descriptors with their descriptions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i32, FileId)> {
        self.fd.iter().enumerate().filter_map(|(fd, file)| file.map(|f| (fd as i32, f)))
    }

    /// How many descriptors are open.
    pub fn open_count(&self) -> usize {
        self.fd.iter().flatten().count()
    }
}

impl Kernel {
    /// The table of `task`. Only the dead have none, and they make no calls.
    pub fn table(&self, task: TaskId) -> &FdTable {
        &self.tables[self.tasks[task].files.expect("a living task has a descriptor table")]
    }

    /// The table of `task`, to change it.
    pub fn table_mut(&mut self, task: TaskId) -> &mut FdTable {
        &mut self.tables[self.tasks[task].files.expect("a living task has a descriptor table")]
    }

    /// get_unused_fd_flags() + fd_install(): `file`'s one reference passes to the new slot.
    /// On EMFILE the reference is dropped.
    pub fn install_fd(&mut self, task: TaskId, file: FileId, cloexec: bool) -> Result<i32, Errno> {
        let end = self.rlimit_nofile(task);
        match self.table_mut(task).alloc_fd(0, end, cloexec) {
            Ok(fd) => {
                self.table_mut(task).fd_install(fd, file);
                Ok(fd)
            }
            Err(errno) => {
                self.fput(Some(task), file);
                Err(errno)
            }
        }
    }

    /// RLIMIT_NOFILE of `task`'s process as a bound for descriptors.
    pub fn rlimit_nofile(&self, task: TaskId) -> usize {
        let limits = &self.groups[self.tasks[task].group].rlimits;
        usize::try_from(limits.0[crate::task::rlimit::RLIMIT_NOFILE].soft).unwrap_or(usize::MAX)
    }

    /// dup_fd(): fork copies the table; every description has one reference more. Reserved slots
    /// are skipped (rule F-2).
    pub fn dup_fd(&mut self, old: TableId) -> TableId {
        let mut table = self.tables[old].clone();
        table.count = 1;
        for fd in 0..table.fd.len() {
            match table.fd[fd] {
                Some(file) => self.files[file].count += 1,
                None => table.clear_open_fd(fd),
            }
        }
        self.tables.insert(table)
    }

    /// exit_files(): `task` gives up its table.
    pub fn exit_files(&mut self, task: TaskId) {
        let Some(table) = self.tasks[task].files.take() else { return };
        let (last, open) = (self.tables[table].count == 1, self.tables[table].open_count());
        self.tell(Some(task), TaskFact::ExitFiles { last, open }.into());
        self.put_files_struct(task, table);
    }

    /// put_files_struct(): the last user of a table closes all that is in it (rule F-1).
    pub fn put_files_struct(&mut self, task: TaskId, table: TableId) {
        self.tables[table].count -= 1;
        if self.tables[table].count == 0 {
            self.close_files(task, table);
            self.tables.remove(table);
        }
    }

    /// close_files(): every open descriptor, ascending (rule F-6).
    fn close_files(&mut self, task: TaskId, table: TableId) {
        let open: Vec<(i32, FileId)> = self.tables[table].iter().collect();
        self.tell(Some(task), FileFact::CloseFiles { open: open.len() }.into());
        for (fd, file) in open {
            self.tables[table].fd[fd as usize] = None;
            self.filp_close(task, table, fd, file);
        }
    }

    /// do_close_on_exec(): exec closes what is marked, ascending (rule F-8).
    pub fn do_close_on_exec(&mut self, task: TaskId) {
        let Some(table) = self.tasks[task].files else { return };
        let marked: Vec<i32> = self.tables[table]
            .iter()
            .map(|(fd, _)| fd)
            .filter(|fd| self.tables[table].close_on_exec(*fd))
            .collect();
        for fd in marked {
            if let Some(file) = self.tables[table].take(fd) {
                self.filp_close(task, table, fd, file);
            }
        }
    }
}

#[cfg(test)]
mod tests;
