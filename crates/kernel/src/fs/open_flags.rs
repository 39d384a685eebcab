//! The flags of open(2) and openat2(2): which there are, which go together, what they ask of the
//! walk and of the file. Neighbour: `open`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::stat::S_IALLUGO;
use crate::fs::inode::{MAY_READ, MAY_WRITE};
use crate::fs::namei::Lookup;
use linux_raw_sys::general as raw;

/// Flags that open(2) knows; it ignores all others, openat2(2) refuses them.
const VALID_OPEN_FLAGS: u32 = raw::O_ACCMODE
    | raw::O_CREAT
    | raw::O_EXCL
    | raw::O_NOCTTY
    | raw::O_TRUNC
    | raw::O_APPEND
    | raw::O_NONBLOCK
    | raw::O_SYNC
    | raw::O_DSYNC
    | raw::FASYNC
    | raw::O_DIRECT
    | raw::O_LARGEFILE
    | raw::O_DIRECTORY
    | raw::O_NOFOLLOW
    | raw::O_NOATIME
    | raw::O_CLOEXEC
    | raw::O_PATH
    | O_TMPFILE_BIT;

/// __O_TMPFILE: O_TMPFILE without its O_DIRECTORY.
pub(crate) const O_TMPFILE_BIT: u32 = 0o20_000_000;
/// What is left of the flags beside O_PATH.
const O_PATH_FLAGS: u32 = raw::O_DIRECTORY | raw::O_NOFOLLOW | raw::O_PATH | raw::O_CLOEXEC;
/// Flags that are for the opening only and not kept in f_flags.
pub(crate) const ONLY_AT_OPEN: u32 = raw::O_CREAT | raw::O_EXCL | raw::O_NOCTTY | raw::O_TRUNC;
/// RESOLVE_* that exist.
const VALID_RESOLVE_FLAGS: u32 = raw::RESOLVE_NO_XDEV
    | raw::RESOLVE_NO_MAGICLINKS
    | raw::RESOLVE_NO_SYMLINKS
    | raw::RESOLVE_BENEATH
    | raw::RESOLVE_IN_ROOT
    | raw::RESOLVE_CACHED;

/// struct open_how, as the caller gave it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenHow {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// What is asked for, checked: struct open_flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFlags {
    /// O_*, without O_CLOEXEC.
    pub flags: u32,
    /// For a new file.
    pub mode: u32,
    /// MAY_* that an existing file has to grant.
    pub acc_mode: u32,
    /// For the walk.
    pub lookup: Lookup,
}

impl OpenFlags {
    /// All bits of `flag`?
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Will the description be open for writing?
    pub fn writable(&self) -> bool {
        OFlags(self.flags).writable()
    }
}

/// build_open_how(): open(2) ignores what it doesn't know.
pub(crate) fn build_open_how(flags: u32, mode: u64) -> OpenHow {
    let mut flags = (flags & VALID_OPEN_FLAGS) | raw::O_LARGEFILE;
    if flags & raw::O_PATH != 0 {
        flags &= O_PATH_FLAGS;
    }
    let creates = flags & (raw::O_CREAT | O_TMPFILE_BIT) != 0;
    let mode = if creates { mode & u64::from(S_IALLUGO) } else { 0 };
    OpenHow { flags: u64::from(flags), mode, resolve: 0 }
}

/// build_open_flags(): EINVAL for combinations that make no sense.
pub(crate) fn build_open_flags(how: OpenHow) -> Result<OpenFlags, Errno> {
    let known = how.flags & !u64::from(VALID_OPEN_FLAGS) == 0
        && how.resolve & !u64::from(VALID_RESOLVE_FLAGS) == 0;
    let (mut flags, resolve) = (how.flags as u32, how.resolve as u32);
    let scoped = raw::RESOLVE_BENEATH | raw::RESOLVE_IN_ROOT;
    if !known || resolve & scoped == scoped {
        return Err(Errno::EINVAL);
    }
    let creates = flags & (raw::O_CREAT | O_TMPFILE_BIT) != 0;
    if how.mode & !u64::from(if creates { S_IALLUGO } else { 0 }) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & raw::O_DIRECTORY != 0 && flags & raw::O_CREAT != 0 {
        return Err(Errno::EINVAL);
    }
    let mut acc_mode = match flags & raw::O_ACCMODE {
        raw::O_RDONLY => MAY_READ,
        raw::O_WRONLY => MAY_WRITE,
        _ => MAY_READ | MAY_WRITE, // O_RDWR, and 3: checked for both, open for neither
    };
    if flags & O_TMPFILE_BIT != 0 {
        let whole = flags & raw::O_DIRECTORY != 0;
        if !whole || acc_mode & MAY_WRITE == 0 {
            return Err(Errno::EINVAL);
        }
    }
    if flags & raw::O_PATH != 0 {
        if flags & !O_PATH_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        acc_mode = 0;
    }
    if flags & raw::O_SYNC & !raw::O_DSYNC != 0 {
        flags |= raw::O_DSYNC;
    }
    if flags & raw::O_TRUNC != 0 {
        acc_mode |= MAY_WRITE;
    }
    let exclusive = flags & raw::O_CREAT != 0 && flags & raw::O_EXCL != 0;
    let lookup = Lookup {
        follow: flags & raw::O_NOFOLLOW == 0 && !exclusive,
        empty: false,
        directory: flags & raw::O_DIRECTORY != 0,
        resolve,
    };
    Ok(OpenFlags { flags: flags & !raw::O_CLOEXEC, mode: how.mode as u32, acc_mode, lookup })
}
