//! Opening and closing terminals: /dev/ptmx, /dev/pts/N, /dev/tty; devpts, whose files come and go
//! with the masters; what happens when either end goes (rule X-30). Neighbours: `pty` (bytes),
//! `job_control` (sessions); man pages: ptmx(4), pts(4), tty(4).

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fs::dcache::Child;
use crate::fs::dcache::DentryId;
use crate::fs::file::FileKind;
use crate::fs::inode::{Device, InodeKind};
use crate::fs::mount::dev;
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::tty::pty::Pty;
use crate::tty::{Settings, Tty, TtyId};
use linux_raw_sys::general as raw;

/// kernel.pty.max.
const PTY_MAX: u32 = 4096;

impl Kernel {
    /// ptmx_open(): a new pseudoterminal, locked, with the lowest free number. ENOSPC.
    pub fn ptmx_open(&mut self, task: TaskId) -> Result<FileKind, Errno> {
        let taken = |index: &u32| self.ttys.iter().any(|(_, tty)| tty.index == *index);
        let index = (0..PTY_MAX).find(|index| !taken(index)).ok_or(Errno::ENOSPC)?;
        let pty = Pty { locked: true, master: true, ..Pty::default() };
        let tty = self.ttys.insert(Tty::new(index, Settings::default(), Some(pty)));
        let cred = &self.tasks[task].cred;
        let owner = (cred.fsuid, cred.fsgid);
        self.devpts_add(index, owner);
        Ok(FileKind::PtyMaster(tty))
    }

    /// Opens /dev/pts/N. EIO while it is locked or once the master is gone; a session's leader
    /// without a terminal gets this one, unless O_NOCTTY.
    pub fn pts_open(&mut self, task: TaskId, index: u32, flags: u32) -> Result<FileKind, Errno> {
        let found = self.ttys.iter().find(|(_, tty)| tty.index == index);
        let (tty, _) = found.ok_or(Errno::EIO)?;
        if flags & raw::O_NOCTTY != 0 {
            return self.tty_open(task, tty);
        }
        let kind = self.tty_open(task, tty)?;
        self.tty_open_proc_set_tty(task, tty, OFlags(flags).readable());
        Ok(kind)
    }

    /// Opens /dev/tty: the controlling terminal. ENXIO without one.
    pub fn tty_open_current(&mut self, task: TaskId) -> Result<FileKind, Errno> {
        let tty = self.current_tty(task).ok_or(Errno::ENXIO)?;
        self.tty_open(task, tty)
    }

    /// tty_open(): one more description of this terminal, without a name yet.
    pub(super) fn tty_open(&mut self, task: TaskId, tty: TtyId) -> Result<FileKind, Errno> {
        if self.ttys[tty].exclusive && !self.tasks[task].cred.capable(Cap::SysAdmin) {
            return Err(Errno::EBUSY);
        }
        let Some(pty) = &mut self.ttys[tty].pty else { return Ok(FileKind::Console(3)) };
        if pty.locked || !pty.master {
            return Err(Errno::EIO);
        }
        pty.slaves += 1;
        pty.slave_closed = false;
        Ok(FileKind::PtySlave(tty))
    }

    /// The master's last reference went: the slave hangs up. Its file in devpts goes, its session
    /// loses the terminal, whoever has it open finds it ended.
    pub fn pty_master_close(&mut self, tty: TtyId) {
        let index = self.ttys[tty].index;
        self.tty_signal_session_leader(tty);
        self.devpts_remove(index);
        let pty = self.pty_mut(tty);
        pty.master = false;
        if pty.slaves == 0 {
            self.ttys.remove(tty);
        } else {
            self.pty_changed(tty);
        }
    }

    /// A description of the slave went. With the last one the master reads EIO, until the slave is
    /// opened again.
    pub fn pty_slave_close(&mut self, tty: TtyId) {
        let pty = self.pty_mut(tty);
        pty.slaves -= 1;
        if pty.slaves > 0 {
            return;
        }
        if pty.master {
            pty.slave_closed = true;
            self.pty_changed(tty);
        } else {
            self.ttys.remove(tty);
        }
    }

    pub(super) fn devpts_root(&self) -> DentryId {
        self.vfs.super_of(dev::DEVPTS).expect("devpts is there from the boot").root
    }

    /// Its first mount, or what stands for it where it was unmounted.
    pub(super) fn devpts_path(&self) -> Path {
        let mount = self.vfs.mounts.iter().find(|(_, mount)| mount.dev == dev::DEVPTS);
        Path { mnt: mount.map_or(self.vfs.shm_mnt, |(mnt, _)| *mnt), dentry: self.devpts_root() }
    }

    /// devpts_pty_new(): /dev/pts/N, which belongs to who opened the master.
    pub(super) fn devpts_add(&mut self, index: u32, (uid, gid): (u32, u32)) {
        let root = self.devpts_root();
        let kind = InodeKind::CharDevice(Device::Pts(index));
        let time = self.current_time();
        let inode = self.vfs.new_inode(dev::DEVPTS, kind, 0o600, time);
        let node = &mut self.vfs.inodes[inode];
        (node.ino, node.uid, node.gid) = (u64::from(index) + 3, uid, gid);
        self.vfs.d_add(root, index.to_string().as_bytes(), inode);
    }

    /// devpts_pty_kill().
    fn devpts_remove(&mut self, index: u32) {
        let root = self.devpts_root();
        let name = index.to_string();
        let child = self.vfs.dentries[root].children.get(name.as_bytes());
        let Some(Child::Dentry(node)) = child.cloned() else { return };
        self.drop_link(root, node);
        self.vfs.d_delete(node, false);
        self.dentry_reap(node);
    }
}
