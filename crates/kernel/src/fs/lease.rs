//! Leases (fcntl(2), "Leases"): who holds one is told by a signal before somebody else opens or
//! truncates the file, which waits until the lease is given back or lease-break-time is over.
//! Neighbours: `fcntl` (F_SETLEASE, F_GETLEASE), `open` and `attr` (who break them), `fasync` (the
//! signal), `locks`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fs::fasync::{Band, Whose};
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::InodeId;
use crate::kernel::Kernel;
use crate::syscall::{Call, Stop, SysResult, Wait};
use crate::task::capability::Cap;
use crate::time::{Duration, Instant};
use crate::wait_queue::Event;
use linux_raw_sys::general as raw;

/// One lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    file: FileId,
    /// The descriptor that asked for it, which the signal tells.
    fd: i32,
    /// F_WRLCK; else F_RDLCK.
    write: bool,
    /// FL_UNLOCK_PENDING: somebody waits for its end, until then.
    unlock_by: Option<Instant>,
    /// FL_DOWNGRADE_PENDING: somebody waits until it is a F_RDLCK.
    downgrade_by: Option<Instant>,
}

impl Lease {
    /// leases_conflict().
    fn conflicts(&self, with_write: bool) -> bool {
        self.write || with_write
    }

    /// target_leasetype(): what it will be when whoever waits for it goes on.
    fn target(&self) -> u32 {
        match (self.unlock_by, self.downgrade_by, self.write) {
            (Some(_), ..) => raw::F_UNLCK,
            (None, Some(_), _) | (None, None, false) => raw::F_RDLCK,
            (None, None, true) => raw::F_WRLCK,
        }
    }
}

impl Kernel {
    /// F_GETLEASE.
    pub(super) fn fcntl_getlease(&mut self, file: FileId) -> SysResult {
        let Some(inode) = self.file_inode(file) else { return Ok(raw::F_UNLCK.into()) };
        self.time_out_leases(inode);
        let leases = self.vfs.leases.get(&inode).map_or(&[][..], |leases| leases);
        let own = leases.iter().find(|lease| lease.file == file);
        Ok(own.map_or(raw::F_UNLCK, Lease::target).into())
    }

    /// F_SETLEASE. EINVAL for no type and for what is no regular file, EACCES for somebody else's
    /// file, EAGAIN where an open description is in the way, or for F_UNLCK without a lease.
    pub(super) fn fcntl_setlease(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        kind: u32,
    ) -> SysResult {
        let inode = self.file_inode(file).filter(|_| self.files[file].kind == FileKind::Inode);
        if kind == raw::F_UNLCK {
            let inode = inode.ok_or(Errno::EAGAIN)?;
            let held = self.vfs.leases.get(&inode);
            if !held.is_some_and(|leases| leases.iter().any(|lease| lease.file == file)) {
                return Err(Errno::EAGAIN.into());
            }
            self.remove_lease(inode, file);
            return Ok(0);
        }
        if ![raw::F_RDLCK, raw::F_WRLCK].contains(&kind) {
            return Err(Errno::EINVAL.into());
        }
        let inode = inode.ok_or(Errno::EINVAL)?;
        let cred = &self.tasks[call.task].cred;
        if self.vfs.inodes[inode].uid != cred.fsuid && !cred.capable(Cap::Lease) {
            return Err(Errno::EACCES.into());
        }
        if !self.vfs.inodes[inode].is_reg() || self.sysctls.leases_enable == 0 {
            return Err(Errno::EINVAL.into());
        }
        let write = kind == raw::F_WRLCK;
        self.time_out_leases(inode);
        self.check_conflicting_open(inode, file, write)?;
        let leases = self.vfs.leases.entry(inode).or_default();
        let others = || leases.iter().filter(|lease| lease.file != file);
        if write && others().next().is_some() || others().any(|o| o.unlock_by.is_some()) {
            return Err(Errno::EAGAIN.into());
        }
        match leases.iter_mut().find(|lease| lease.file == file) {
            Some(own) => {
                own.write = write;
                // lease_clear_pending(): to F_RDLCK, what waited for that goes on.
                own.downgrade_by = own.downgrade_by.filter(|_| write);
                self.publish(Event::Inode(inode));
            }
            None => {
                let fd = call.int(0);
                leases.push(Lease { file, fd, write, unlock_by: None, downgrade_by: None });
                self.own_unless_owned(call, file);
            }
        }
        Ok(0)
    }

    /// __f_setown(..., 0): the caller's process, if the description has no owner yet.
    pub(super) fn own_unless_owned(&mut self, call: &Call<'_>, file: FileId) {
        if self.files[file].owner.whose.is_none() {
            let process = self.groups[self.tasks[call.task].group].tgid;
            self.f_setown(call.task, file, Some(Whose::Process(process)));
        }
    }

    /// check_conflicting_open(): nobody may have the file open for writing; for a F_WRLCK nobody else
    /// may have it open at all.
    fn check_conflicting_open(
        &self,
        inode: InodeId,
        file: FileId,
        write: bool,
    ) -> Result<(), Errno> {
        let opened = self
            .files
            .iter()
            .filter(|(id, f)| !f.flags.has(OFlags::PATH) && self.file_inode(*id) == Some(inode));
        let conflict = match write {
            true => opened.into_iter().any(|(id, _)| id != file),
            false => opened.into_iter().any(|(_, f)| f.flags.writable()),
        };
        // A writer that waits in its open counts as one already.
        let leases = self.vfs.leases.get(&inode).map_or(&[][..], |leases| leases);
        let awaited = leases.iter().any(|lease| lease.unlock_by.is_some());
        if conflict || awaited { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// time_out_leases(): whose holder did not answer in time.
    fn time_out_leases(&mut self, inode: InodeId) {
        let now = self.now;
        let Some(leases) = self.vfs.leases.get_mut(&inode) else { return };
        for lease in leases.iter_mut().filter(|l| l.downgrade_by.is_some_and(|by| by <= now)) {
            (lease.write, lease.downgrade_by) = (false, None);
        }
        let late = leases.iter().filter(|lease| lease.unlock_by.is_some_and(|by| by <= now));
        for file in late.map(|lease| lease.file).collect::<Vec<_>>() {
            self.remove_lease(inode, file);
        }
    }

    /// lease_modify(F_UNLCK): the lease and what it asked of its file are gone.
    fn remove_lease(&mut self, inode: InodeId, file: FileId) {
        if let Some(leases) = self.vfs.leases.get_mut(&inode) {
            leases.retain(|lease| lease.file != file);
            if leases.is_empty() {
                self.vfs.leases.remove(&inode);
            }
        }
        if let Some(f) = self.files.get_mut(file) {
            (f.owner.whose, f.owner.signum) = (None, 0);
        }
        self.publish(Event::Inode(inode));
    }

    /// locks_remove_lease(): with the last reference of its description.
    pub(super) fn locks_remove_lease(&mut self, file: FileId) {
        if self.vfs.leases.is_empty() {
            return;
        }
        let Some(inode) = self.file_inode(file) else { return };
        let held = self.vfs.leases.get(&inode);
        if held.is_some_and(|leases| leases.iter().any(|lease| lease.file == file)) {
            self.remove_lease(inode, file);
        }
    }

    /// break_lease(): tells those who hold a lease that is in the way, and waits for them.
    /// EWOULDBLOCK with `nonblock`. Run again, it tells nobody twice.
    pub(super) fn break_lease(
        &mut self,
        inode: InodeId,
        write: bool,
        nonblock: bool,
    ) -> Result<(), Stop> {
        if self.vfs.leases.is_empty() {
            return Ok(());
        }
        self.time_out_leases(inode);
        let limit = Duration::from_secs(self.sysctls.lease_break_time.into());
        let by = self.now + limit;
        let leases = self.vfs.leases.get_mut(&inode).map_or(&mut [][..], |leases| leases);
        let mut told = Vec::new();
        let mut awaited = None;
        for lease in leases.iter_mut().filter(|lease| lease.conflicts(write)) {
            let breaking = lease.unlock_by.or(lease.downgrade_by);
            let news = if write { lease.unlock_by.is_none() } else { breaking.is_none() };
            if news {
                let pending = if write { &mut lease.unlock_by } else { &mut lease.downgrade_by };
                *pending = Some(by);
                told.push((lease.file, lease.fd));
            }
            awaited = awaited.or(lease.unlock_by).or(lease.downgrade_by);
        }
        for (file, fd) in told {
            self.send_sigio(file, fd, Band::Msg);
        }
        match awaited {
            None => Ok(()),
            Some(_) if nonblock => Err(Errno::EAGAIN.into()),
            Some(by) => Err(Wait::on(Event::Inode(inode)).with_deadline(Some(by)).into()),
        }
    }
}
