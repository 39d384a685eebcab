//! Loop devices (loop(4)): a block device whose bytes are a regular file's. /dev/loop-control hands
//! out numbers, /dev/loopN is bound to a file until its last close after LOOP_CLR_FD. Unlike Linux,
//! nothing is cached in between: what is written is in the file at once. Neighbours: `device`,
//! `file_operations` (the `Loop` arms), `status` (what is told and set of one), `mount` (which asks
//! for no device yet).

mod status;

use crate::abi::Errno;
use crate::abi::stat::{S_IFMT, S_IFREG};
use crate::fact::Fact;
use crate::fs::dcache::{Child, Vfs};
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::{InodeKind, LOOP_MAJOR};
use crate::fs::mount::dev;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;

/// CONFIG_BLK_DEV_LOOP_MIN_COUNT: how many there are from the beginning.
pub const LOOP_MIN_COUNT: u32 = 8;
const SECTOR: u64 = 512;
/// How much is moved at a time.
const CHUNK: usize = 1 << 17;

const LO_NAME_SIZE: usize = 64;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// include/uapi/linux/loop.h and fs.h.
mod cmd {
    pub const LOOP_SET_FD: u32 = 0x4c00;
    pub const LOOP_CLR_FD: u32 = 0x4c01;
    pub const LOOP_SET_STATUS: u32 = 0x4c02;
    pub const LOOP_GET_STATUS: u32 = 0x4c03;
    pub const LOOP_SET_STATUS64: u32 = 0x4c04;
    pub const LOOP_GET_STATUS64: u32 = 0x4c05;
    pub const LOOP_SET_CAPACITY: u32 = 0x4c07;
    pub const LOOP_CTL_GET_FREE: u32 = 0x4c82;
    pub const BLKROGET: u32 = 0x125e;
    pub const BLKGETSIZE: u32 = 0x1260;
    pub const BLKFLSBUF: u32 = 0x1261;
    pub const BLKSSZGET: u32 = 0x1268;
    pub const BLKIOMIN: u32 = 0x1278;
    pub const BLKIOOPT: u32 = 0x1279;
    pub const BLKALIGNOFF: u32 = 0x127a;
    pub const BLKPBSZGET: u32 = 0x127b;
    pub const BLKBSZGET: u32 = 0x8008_1270;
    pub const BLKGETSIZE64: u32 = 0x8008_1272;
}

/// lo_state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing is behind it.
    Unbound,
    /// A file is; the loop holds a reference to its description.
    Bound(FileId),
    /// LOOP_CLR_FD was asked for; the last close lets go of the file.
    Rundown(FileId),
}

/// One loop device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoopDevice {
    state: State,
    offset: u64,
    sizelimit: u64,
    flags: u32,
    file_name: [u8; LO_NAME_SIZE],
    /// Bytes, whole sectors.
    capacity: u64,
}

impl LoopDevice {
    const UNBOUND: LoopDevice = LoopDevice {
        state: State::Unbound,
        offset: 0,
        sizelimit: 0,
        flags: 0,
        file_name: [0; LO_NAME_SIZE],
        capacity: 0,
    };

    fn backing(&self) -> Option<FileId> {
        match self.state {
            State::Bound(file) | State::Rundown(file) => Some(file),
            State::Unbound => None,
        }
    }

    /// loop_set_size() for a file of `size` bytes.
    fn set_size(&mut self, size: u64) {
        let mut size = size.saturating_sub(self.offset);
        if self.sizelimit > 0 {
            size = size.min(self.sizelimit);
        }
        self.capacity = size / SECTOR * SECTOR;
    }
}

impl Vfs {
    /// loop_add(): one more device, its name in /dev, and of /sys/block what direct I/O asks for.
    pub(crate) fn loop_add(&mut self) -> u32 {
        let number = self.loops.len() as u32;
        self.loops.push(LoopDevice::UNBOUND);
        let time = self.current_time(crate::time::Instant::ZERO);
        let kind = InodeKind::BlockDevice((LOOP_MAJOR, number));
        let inode = self.new_inode(dev::DEVTMPFS, kind, 0o660, time);
        let name = format!("loop{number}");
        let root = self.ensure_dir(b"/dev");
        // Whoever has put something there keeps it, as devtmpfs does.
        match self.dentries[root].children.get(name.as_bytes()) {
            Some(Child::Dentry(_)) => {
                self.inodes.remove(inode);
            }
            Some(Child::Lower { .. } | Child::Whiteout) | None => {
                self.d_add(root, name.as_bytes(), inode);
            }
        }
        for (file, text) in [("logical_block_size", "512\n"), ("dma_alignment", "511\n")] {
            let path = format!("/sys/block/{name}/queue/{file}");
            self.add_file(path.as_bytes(), text.as_bytes(), 0o444);
        }
        number
    }
}

impl Vfs {
    /// bdev_statx(): how direct I/O on this block device has to be aligned; 0 if it is none.
    pub(crate) fn bdev_dio_align(&self, rdev: (u32, u32)) -> u32 {
        let there = rdev.0 == LOOP_MAJOR && (rdev.1 as usize) < self.loops.len();
        if there { SECTOR as u32 } else { 0 }
    }
}

impl Kernel {
    fn loop_mut(&mut self, number: u32) -> &mut LoopDevice {
        &mut self.vfs.loops[number as usize]
    }

    /// blkdev_open(): ENXIO where no driver is, EPERM to write what was bound read-only.
    pub(crate) fn blkdev_open(&self, rdev: (u32, u32), write: bool) -> Result<FileKind, Errno> {
        let device = self.vfs.loops.get(rdev.1 as usize).filter(|_| rdev.0 == LOOP_MAJOR);
        let device = device.ok_or(Errno::ENXIO)?;
        if write && device.flags & LO_FLAGS_READ_ONLY != 0 {
            return Err(Errno::EPERM);
        }
        Ok(FileKind::Loop(rdev.1))
    }

    /// loop_control_ioctl(): a device that is free, made if there is none.
    pub(crate) fn loop_control_ioctl(&mut self, call: &Call<'_>, cmd: u32) -> SysResult {
        if cmd != cmd::LOOP_CTL_GET_FREE {
            self.tell(
                Some(call.task),
                Fact::unsupported("loop-control ioctl", format!("{cmd:#x}")),
            );
            return Err(Errno::ENOSYS.into());
        }
        let free = self.vfs.loops.iter().position(|device| device.state == State::Unbound);
        Ok(free.map_or_else(|| self.vfs.loop_add(), |free| free as u32).into())
    }

    /// blkdev_read_iter().
    pub(crate) fn loop_read(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        number: u32,
        to: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        let start = pos.unwrap_or(self.files[file].pos);
        let (capacity, offset) = (self.loop_mut(number).capacity, self.loop_mut(number).offset);
        let total = (to.total() as u64).min(capacity.saturating_sub(start)) as usize;
        let backing = self.loop_mut(number).backing();
        let mut done = 0;
        while let Some(backing) = backing.filter(|_| done < total) {
            let (want, at) = ((total - done).min(CHUNK), start + done as u64);
            let moved =
                self.inode_read(backing, offset + at, want, call.user).and_then(|mut got| {
                    got.resize(want, 0); // the file may have been cut
                    to.scatter(call, done, &got)
                });
            match moved {
                Ok(put) => done += put,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if pos.is_none() {
            self.files[file].pos = start + done as u64;
        }
        Ok(done as u64)
    }

    /// blkdev_write_iter(): ENOSPC at the end of the device.
    pub(crate) fn loop_write(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        number: u32,
        from: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        let start = pos.unwrap_or(self.files[file].pos);
        let (capacity, offset) = (self.loop_mut(number).capacity, self.loop_mut(number).offset);
        if from.total() == 0 {
            return Ok(0);
        }
        let backing = self.loop_mut(number).backing().filter(|_| start < capacity);
        let backing = backing.ok_or(Errno::ENOSPC)?;
        let total = (from.total() as u64).min(capacity - start) as usize;
        let mut done = 0;
        while done < total {
            let at = offset + start + done as u64;
            let moved = from
                .gather(call, done, (total - done).min(CHUNK))
                .and_then(|bytes| self.inode_write(call.task, backing, at, &bytes, call.user));
            match moved {
                Ok((put, _)) if put > 0 => done += put,
                Ok(_) => break,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if pos.is_none() {
            self.files[file].pos = start + done as u64;
        }
        Ok(done as u64)
    }

    /// blkdev_llseek(): within the device; neither SEEK_DATA nor SEEK_HOLE.
    pub(crate) fn loop_llseek(
        &mut self,
        file: FileId,
        number: u32,
        offset: i64,
        whence: u32,
    ) -> SysResult {
        let capacity = self.loop_mut(number).capacity;
        let base = match whence {
            0 => 0,
            1 => self.files[file].pos,
            2 => capacity,
            _ => return Err(Errno::EINVAL.into()),
        };
        let new = (base as i64).checked_add(offset).and_then(|new| u64::try_from(new).ok());
        let new = new.filter(|new| *new <= capacity).ok_or(Errno::EINVAL)?;
        self.files[file].pos = new;
        Ok(new)
    }

    /// lo_ioctl() and what all block devices know.
    pub(crate) fn loop_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        number: u32,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        let device = &self.vfs.loops[number as usize];
        let readonly = device.flags & LO_FLAGS_READ_ONLY != 0;
        let (capacity, arg) = (device.capacity, UserPtr(arg));
        match cmd {
            cmd::BLKGETSIZE64 => call.write_u64(arg, capacity)?,
            cmd::BLKGETSIZE => call.write_u64(arg, capacity / SECTOR)?,
            cmd::BLKSSZGET | cmd::BLKPBSZGET | cmd::BLKIOMIN => {
                call.write_u32(arg, SECTOR as u32)?;
            }
            cmd::BLKIOOPT | cmd::BLKALIGNOFF => call.write_u32(arg, 0)?,
            cmd::BLKBSZGET => call.write_u64(arg, 4096)?,
            cmd::BLKROGET => call.write_u32(arg, readonly.into())?,
            cmd::BLKFLSBUF if self.tasks[call.task].cred.capable(Cap::SysAdmin) => {}
            cmd::BLKFLSBUF => return Err(Errno::EACCES.into()),
            cmd::LOOP_SET_FD => self.loop_configure(call, file, number)?,
            _ => return self.loop_bound_ioctl(call, file, number, cmd),
        }
        Ok(0)
    }

    /// The commands for a device that is bound (else ENXIO).
    fn loop_bound_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        number: u32,
        cmd: u32,
    ) -> SysResult {
        let State::Bound(backing) = self.loop_mut(number).state else {
            return Err(Errno::ENXIO.into());
        };
        let may_set =
            self.files[file].flags.writable() || self.tasks[call.task].cred.capable(Cap::SysAdmin);
        match cmd {
            cmd::LOOP_CLR_FD => {
                let openers = self.loop_openers(number);
                let device = self.loop_mut(number);
                device.flags |= LO_FLAGS_AUTOCLEAR;
                if openers == 1 {
                    device.state = State::Rundown(backing);
                }
            }
            cmd::LOOP_GET_STATUS => self.loop_get_status(call, number, backing, false)?,
            cmd::LOOP_GET_STATUS64 => self.loop_get_status(call, number, backing, true)?,
            cmd::LOOP_SET_STATUS | cmd::LOOP_SET_STATUS64 | cmd::LOOP_SET_CAPACITY if !may_set => {
                return Err(Errno::EPERM.into());
            }
            cmd::LOOP_SET_STATUS => self.loop_set_status(call, number, backing, false)?,
            cmd::LOOP_SET_STATUS64 => self.loop_set_status(call, number, backing, true)?,
            cmd::LOOP_SET_CAPACITY => {
                let size = self.file_stat(backing).size;
                self.loop_mut(number).set_size(size);
            }
            _ => {
                self.tell(Some(call.task), Fact::unsupported("loop ioctl", format!("{cmd:#x}")));
                return Err(Errno::EINVAL.into());
            }
        }
        Ok(0)
    }

    /// loop_configure(): binds the device to the file in argument 2. EINVAL unless that is a
    /// regular one; block devices behind loops are refused loudly.
    fn loop_configure(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        number: u32,
    ) -> Result<(), Errno> {
        let backing = self.fd_lookup(call.task, call.int(2))?;
        if self.loop_mut(number).state != State::Unbound {
            return Err(Errno::EBUSY);
        }
        let stat = self.file_stat(backing);
        if stat.mode & S_IFMT != S_IFREG || self.files[backing].kind != FileKind::Inode {
            let what = self.describe_file(backing).to_string();
            self.tell(Some(call.task), Fact::unsupported("loop device over", what));
            return Err(Errno::EINVAL);
        }
        let writable = self.files[file].flags.writable() && self.files[backing].flags.writable();
        self.files[backing].count += 1;
        let flags = if writable { 0 } else { LO_FLAGS_READ_ONLY };
        *self.loop_mut(number) =
            LoopDevice { state: State::Bound(backing), flags, ..LoopDevice::UNBOUND };
        self.loop_mut(number).set_size(stat.size);
        Ok(())
    }

    fn loop_openers(&self, number: u32) -> usize {
        self.files.iter().filter(|(_, file)| file.kind == FileKind::Loop(number)).count()
    }

    /// lo_release(): the last close lets go of the file, if that was asked for.
    pub(crate) fn loop_release(&mut self, task: Option<crate::task::TaskId>, number: u32) {
        let last = self.loop_openers(number) == 1;
        let device = self.loop_mut(number);
        let clear = device.flags & LO_FLAGS_AUTOCLEAR != 0;
        if let Some(backing) = device.backing().filter(|_| last && clear) {
            *device = LoopDevice::UNBOUND;
            self.fput(task, backing);
        }
    }
}
