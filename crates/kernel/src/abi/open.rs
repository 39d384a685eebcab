//! fcntl(2) and open(2): flags of open file descriptions.
//! Neighbours: `fs/open` and `fs/fcntl` decide what they mean; constants are linux-raw-sys's.

use linux_raw_sys::general as raw;

/// The status flags and access mode of an open file description (`O_*`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OFlags(pub u32);

#[allow(missing_docs)]
impl OFlags {
    pub const RDONLY: OFlags = OFlags(raw::O_RDONLY);
    pub const WRONLY: OFlags = OFlags(raw::O_WRONLY);
    pub const RDWR: OFlags = OFlags(raw::O_RDWR);
    pub const CREAT: OFlags = OFlags(raw::O_CREAT);
    pub const EXCL: OFlags = OFlags(raw::O_EXCL);
    pub const NOCTTY: OFlags = OFlags(raw::O_NOCTTY);
    pub const TRUNC: OFlags = OFlags(raw::O_TRUNC);
    pub const APPEND: OFlags = OFlags(raw::O_APPEND);
    pub const NONBLOCK: OFlags = OFlags(raw::O_NONBLOCK);
    pub const ASYNC: OFlags = OFlags(raw::FASYNC);
    pub const DIRECT: OFlags = OFlags(raw::O_DIRECT);
    pub const LARGEFILE: OFlags = OFlags(raw::O_LARGEFILE);
    pub const DIRECTORY: OFlags = OFlags(raw::O_DIRECTORY);
    pub const NOFOLLOW: OFlags = OFlags(raw::O_NOFOLLOW);
    pub const NOATIME: OFlags = OFlags(raw::O_NOATIME);
    pub const CLOEXEC: OFlags = OFlags(raw::O_CLOEXEC);
    pub const PATH: OFlags = OFlags(raw::O_PATH);

    /// True when every bit of `other` is set.
    pub const fn has(self, other: OFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// May this description be read?
    pub const fn readable(self) -> bool {
        self.0 & raw::O_ACCMODE != raw::O_WRONLY && !self.has(OFlags::PATH)
    }

    /// May this description be written?
    pub const fn writable(self) -> bool {
        self.0 & raw::O_ACCMODE != raw::O_RDONLY && !self.has(OFlags::PATH)
    }

    /// O_NONBLOCK set?
    pub const fn nonblock(self) -> bool {
        self.has(OFlags::NONBLOCK)
    }
}

impl core::ops::BitOr for OFlags {
    type Output = OFlags;
    fn bitor(self, other: OFlags) -> OFlags {
        OFlags(self.0 | other.0)
    }
}
