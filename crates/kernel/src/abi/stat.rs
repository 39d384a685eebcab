//! stat(2), statx(2), statfs(2): mode bits and the byte layouts that programs read. The structures
//! are written out by hand, because the kernel has no `unsafe` to cast them with; offsets are those
//! of <asm/stat.h>, <linux/stat.h> and <asm/statfs.h> on x86-64.

use linux_raw_sys::general as raw;

pub use raw::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};

/// Set-user-id.
pub const S_ISUID: u32 = 0o4000;
/// Set-group-id.
pub const S_ISGID: u32 = 0o2000;
/// The sticky bit: in such a directory only owners remove names.
pub const S_ISVTX: u32 = 0o1000;
/// All bits that chmod(2) can set.
pub const S_IALLUGO: u32 = 0o7777;

/// A time as inodes keep it: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[allow(missing_docs)]
pub struct Timespec {
    pub sec: i64,
    pub nsec: u32,
}

/// What stat(2) and statx(2) tell, before it is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Stat {
    /// Device number as (major, minor).
    pub dev: (u32, u32),
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device node.
    pub rdev: (u32, u32),
    pub size: u64,
    pub blksize: u32,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub atime: Timespec,
    pub mtime: Timespec,
    pub ctime: Timespec,
    pub btime: Timespec,
    /// The mount that it was reached by, for statx.
    pub mnt_id: u64,
    /// The same as no other mount ever has it (STATX_MNT_ID_UNIQUE).
    pub mnt_id_unique: u64,
    /// The root of a mount (STATX_ATTR_MOUNT_ROOT).
    pub mount_root: bool,
    /// STATX_ATTR_* that are set, and that could be, beside what every file has.
    pub attributes: (u64, u64),
    /// What memory and offsets of direct I/O are multiples of; 0 where there is none.
    pub dio_align: u32,
}

/// makedev(3) as user space encodes a device number.
pub const fn new_encode_dev((major, minor): (u32, u32)) -> u64 {
    ((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)) as u64
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

/// STATX_ATTR_AUTOMOUNT and STATX_ATTR_DAX: known to every file system, and never set here.
const STATX_ATTR_AUTOMOUNT_DAX: u64 = 0x20_1000;

impl Stat {
    /// `struct stat`.
    pub fn to_stat(&self) -> [u8; 144] {
        let mut out = [0; 144];
        put(&mut out, 0, &new_encode_dev(self.dev).to_le_bytes());
        put(&mut out, 8, &self.ino.to_le_bytes());
        put(&mut out, 16, &u64::from(self.nlink).to_le_bytes());
        put(&mut out, 24, &self.mode.to_le_bytes());
        put(&mut out, 28, &self.uid.to_le_bytes());
        put(&mut out, 32, &self.gid.to_le_bytes());
        put(&mut out, 40, &new_encode_dev(self.rdev).to_le_bytes());
        put(&mut out, 48, &self.size.to_le_bytes());
        put(&mut out, 56, &u64::from(self.blksize).to_le_bytes());
        put(&mut out, 64, &self.blocks.to_le_bytes());
        for (i, time) in [self.atime, self.mtime, self.ctime].into_iter().enumerate() {
            put(&mut out, 72 + 16 * i, &time.sec.to_le_bytes());
            put(&mut out, 80 + 16 * i, &u64::from(time.nsec).to_le_bytes());
        }
        out
    }

    /// `struct statx`; `mask` is what the caller asked for beyond the basic fields.
    pub fn to_statx(&self, mask: u32) -> [u8; 256] {
        let mut out = [0; 256];
        let mnt_id = raw::STATX_MNT_ID | (mask & raw::STATX_MNT_ID_UNIQUE);
        let given = raw::STATX_BASIC_STATS | raw::STATX_BTIME | mnt_id;
        put(&mut out, 0, &given.to_le_bytes());
        put(&mut out, 4, &self.blksize.to_le_bytes());
        let mount_root = u64::from(raw::STATX_ATTR_MOUNT_ROOT);
        let root = if self.mount_root { mount_root } else { 0 };
        put(&mut out, 8, &(root | self.attributes.0).to_le_bytes());
        put(&mut out, 16, &self.nlink.to_le_bytes());
        put(&mut out, 20, &self.uid.to_le_bytes());
        put(&mut out, 24, &self.gid.to_le_bytes());
        put(&mut out, 28, &(self.mode as u16).to_le_bytes());
        put(&mut out, 32, &self.ino.to_le_bytes());
        put(&mut out, 40, &self.size.to_le_bytes());
        put(&mut out, 48, &self.blocks.to_le_bytes());
        let always = mount_root | STATX_ATTR_AUTOMOUNT_DAX;
        put(&mut out, 56, &(always | self.attributes.1).to_le_bytes());
        let times = [self.atime, self.btime, self.ctime, self.mtime];
        for (i, time) in times.into_iter().enumerate() {
            put(&mut out, 64 + 16 * i, &time.sec.to_le_bytes());
            put(&mut out, 72 + 16 * i, &time.nsec.to_le_bytes());
        }
        let numbers = [self.rdev.0, self.rdev.1, self.dev.0, self.dev.1];
        for (i, number) in numbers.into_iter().enumerate() {
            put(&mut out, 128 + 4 * i, &number.to_le_bytes());
        }
        let unique = mask & raw::STATX_MNT_ID_UNIQUE != 0;
        let mnt_id = if unique { self.mnt_id_unique } else { self.mnt_id };
        put(&mut out, 144, &mnt_id.to_le_bytes());
        if mask & raw::STATX_DIOALIGN != 0 && self.dio_align > 0 {
            put(&mut out, 0, &(given | raw::STATX_DIOALIGN).to_le_bytes());
            put(&mut out, 152, &self.dio_align.to_le_bytes());
            put(&mut out, 156, &self.dio_align.to_le_bytes());
        }
        out
    }
}

/// What statfs(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Statfs {
    /// The file system's magic number.
    pub kind: u64,
    pub bsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub files: u64,
    pub ffree: u64,
    pub fsid: u64,
    pub namelen: u64,
    pub flags: u64,
}

impl Statfs {
    /// `struct statfs`.
    pub fn to_bytes(&self) -> [u8; 120] {
        let mut out = [0; 120];
        let words = [
            self.kind,
            self.bsize,
            self.blocks,
            self.bfree,
            self.bfree, // f_bavail
            self.files,
            self.ffree,
            self.fsid,
            self.namelen,
            self.bsize, // f_frsize
            self.flags,
        ];
        for (i, word) in words.into_iter().enumerate() {
            put(&mut out, 8 * i, &word.to_le_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_number_is_encoded_as_makedev_does() {
        assert_eq!(new_encode_dev((5, 1)), 0x501);
        assert_eq!(new_encode_dev((0, 0x123)), 0x10_0023);
    }

    #[test]
    fn the_size_of_a_file_stands_at_offset_48_of_stat_and_40_of_statx() {
        let stat = Stat { size: 0x0102_0304, ..Stat::default() };
        assert_eq!(stat.to_stat()[48..52], [4, 3, 2, 1]);
        assert_eq!(stat.to_statx(0)[40..44], [4, 3, 2, 1]);
    }
}
