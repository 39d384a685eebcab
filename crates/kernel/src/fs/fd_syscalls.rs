//! Descriptors in system calls: `fdget` (a call holds what it uses, rule F-5), close(2), dup(2)
//! and close_range(2) (rules F-3, F-4, F-6). Neighbours: `fdtable` (the slots), `file` (what
//! becomes of a description that loses a reference), `fcntl`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::fdtable::TableId;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::{Call, Held, Progress, SysResult};
use crate::task::TaskId;

/// CLOSE_RANGE_UNSHARE: in a table of one's own.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
/// CLOSE_RANGE_CLOEXEC: mark instead of close.
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

impl Kernel {
    /// fdget(): the description behind `fd`, held until the call ends (rule F-5). EBADF also for
    /// O_PATH descriptors, with which nothing can be done.
    pub fn fdget(&mut self, call: &mut Call<'_>, fd: i32) -> Result<FileId, Errno> {
        let file = self.fdget_raw(call, fd)?;
        if self.files[file].flags.has(OFlags::PATH) { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// fdget_raw(): the same, O_PATH descriptors included.
    pub fn fdget_raw(&mut self, call: &mut Call<'_>, fd: i32) -> Result<FileId, Errno> {
        if let Some(held) = call.flight.held.iter().find(|h| h.fd == fd) {
            return Ok(held.file);
        }
        let file = self.table(call.task).get(fd)?;
        self.hold(call, fd, file);
        Ok(file)
    }

    /// get_file(): the call holds `file` until it ends.
    pub fn hold(&mut self, call: &mut Call<'_>, fd: i32, file: FileId) {
        self.files[file].count += 1;
        call.flight.held.push(Held { fd, file });
    }

    /// The descriptor's description as the table has it now, without a reference.
    pub fn fd_lookup(&self, task: TaskId, fd: i32) -> Result<FileId, Errno> {
        let file = self.table(task).get(fd)?;
        if self.files[file].flags.has(OFlags::PATH) { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// close(2): the slot is free first; the last reference releases before close returns
    /// (rules F-4, F-8).
    pub fn sys_close(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let task = call.task;
        if call.flight.progress == Progress::Fresh {
            let file = self.table_mut(task).take(fd).ok_or(Errno::EBADF)?;
            let table = self.tasks[task].files.expect("the caller has a table");
            self.filp_flush(task, table, fd, file);
            self.fput_close_sync(task, file);
            call.flight.progress = Progress::Committed(0);
        }
        // Only a TCP socket with SO_LINGER makes close(2) wait (rule T-4).
        self.linger_in_close(call)
    }

    /// close_range(2): ascending; final releases run LIFO on the way back (rule F-6).
    pub fn sys_close_range(&mut self, call: &mut Call<'_>) -> SysResult {
        let (first, last) = (call.arg(0) as u32, call.arg(1) as u32);
        let flags = call.arg(2) as u32;
        let unknown = flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC);
        if unknown != 0 {
            self.tell(Some(call.task), Fact::unsupported("close_range", format!("{flags:#x}")));
            return Err(Errno::EINVAL.into());
        }
        if first > last {
            return Err(Errno::EINVAL.into());
        }
        if flags & CLOSE_RANGE_UNSHARE != 0 {
            self.unshare_files(call.task)?;
        }
        let table = self.tasks[call.task].files.expect("the caller has a table");
        let range: Vec<i32> = self.tables[table]
            .iter()
            .map(|(fd, _)| fd)
            .filter(|fd| (first..=last).contains(&(*fd as u32)))
            .collect();
        for fd in range {
            if flags & CLOSE_RANGE_CLOEXEC != 0 {
                self.tables[table].set_close_on_exec(fd, true);
            } else if let Some(file) = self.tables[table].take(fd) {
                self.filp_close(call.task, table, fd, file);
            }
        }
        Ok(0)
    }

    /// unshare_files(): a table of one's own, with the same descriptions (rule F-1).
    pub fn unshare_files(&mut self, task: TaskId) -> Result<(), Errno> {
        let old = self.tasks[task].files.expect("a living task has a descriptor table");
        if self.tables[old].count > 1 {
            self.may_dup_fd(old)?;
            let new = self.dup_fd(old);
            self.tasks[task].files = Some(new);
            self.put_files_struct(task, old);
        }
        Ok(())
    }

    /// alloc_fdtable(): EMFILE for a copy of a table with a descriptor beyond fs.nr_open, which was
    /// larger once.
    pub fn may_dup_fd(&self, table: TableId) -> Result<(), Errno> {
        let slots = self.tables[table].iter().map(|(fd, _)| fd as u32 + 1).max();
        let most = self.sysctls.nr_open.next_multiple_of(64);
        if slots.is_some_and(|slots| slots > most) { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// dup(2).
    pub fn sys_dup(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.table(call.task).get(call.int(0))?;
        self.dup_to_lowest(call.task, file, 0, false)
    }

    /// f_dupfd(): one reference more, in the lowest free slot that is at least `from`.
    pub fn dup_to_lowest(
        &mut self,
        task: TaskId,
        file: FileId,
        from: usize,
        cloexec: bool,
    ) -> SysResult {
        let end = self.rlimit_nofile(task);
        let fd = self.table_mut(task).alloc_fd(from, end, cloexec)?;
        self.files[file].count += 1;
        self.table_mut(task).fd_install(fd, file);
        Ok(fd as u64)
    }

    /// dup2(2): the same descriptor twice is only looked up.
    pub fn sys_dup2(&mut self, call: &mut Call<'_>) -> SysResult {
        let (old, new) = (call.int(0), call.int(1));
        if old == new {
            self.table(call.task).get(old)?;
            return Ok(new as u64);
        }
        self.ksys_dup3(call.task, old, new, false)
    }

    /// dup3(2).
    pub fn sys_dup3(&mut self, call: &mut Call<'_>) -> SysResult {
        let (old, new, flags) = (call.int(0), call.int(1), call.arg(2) as u32);
        if flags & !OFlags::CLOEXEC.0 != 0 || old == new {
            return Err(Errno::EINVAL.into());
        }
        self.ksys_dup3(call.task, old, new, flags != 0)
    }

    /// do_dup2(): the new file is in its slot before the old one is closed (rule F-3).
    fn ksys_dup3(&mut self, task: TaskId, old: i32, new: i32, cloexec: bool) -> SysResult {
        if usize::try_from(new).map_or(true, |n| n >= self.rlimit_nofile(task)) {
            return Err(Errno::EBADF.into());
        }
        let file = self.table(task).get(old)?;
        if self.table(task).is_reserved(new) {
            return Err(Errno::EBUSY.into());
        }
        self.files[file].count += 1;
        if let Some(replaced) = self.table_mut(task).replace(new, file, cloexec) {
            let table = self.tasks[task].files.expect("the caller has a table");
            self.filp_close(task, table, new, replaced);
        }
        Ok(new as u64)
    }
}
