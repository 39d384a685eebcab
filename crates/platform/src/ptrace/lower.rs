//! The machine's files as guests' lower layer, read only: lstat, sorted listings, readlink, pread,
//! and descriptors to map. Paths are bytes, resolved by the kernel crate (no symlink in the middle,
//! no dots), under an optional root. What is below /proc, /sys and /dev does not exist here: the
//! kernel crate has its own. Neighbours: `map.rs` maps the descriptors.

use super::object::read_at;
use super::sys::from_io;
use kernel::abi::Errno;
use kernel::platform::{LowerKind, LowerStat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Descriptors kept open for the next read or mapping.
const OPEN_FILES: usize = 128;
/// Directories that are shown empty.
const HIDDEN: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];

/// The lower layer.
#[derive(Debug)]
pub(super) struct Lower {
    root: PathBuf,
    open: BTreeMap<Vec<u8>, Open>,
    uses: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    last_use: u64,
}

/// Where a path is with regard to [`HIDDEN`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Shown,
    HiddenRoot,
    BelowHidden,
}

fn place(path: &[u8]) -> Place {
    for hidden in HIDDEN {
        match path.strip_prefix(hidden) {
            Some(b"" | b"/") => return Place::HiddenRoot,
            Some([b'/', ..]) => return Place::BelowHidden,
            Some(_) | None => {}
        }
    }
    Place::Shown
}

fn kind(of: FileType) -> LowerKind {
    if of.is_file() {
        LowerKind::Regular
    } else if of.is_dir() {
        LowerKind::Directory
    } else if of.is_symlink() {
        LowerKind::Symlink
    } else {
        debug_assert!(
            of.is_block_device() || of.is_char_device() || of.is_fifo() || of.is_socket()
        );
        LowerKind::Other
    }
}

fn errno(error: io::Error) -> Errno {
    from_io(&error)
}

impl Lower {
    /// The machine's files below `root`, `/` by default.
    pub(super) fn new(root: Option<PathBuf>) -> Lower {
        Lower { root: root.unwrap_or_else(|| "/".into()), open: BTreeMap::new(), uses: 0 }
    }

    /// The machine's path. `ENOENT` for what is hidden.
    fn real(&self, path: &[u8]) -> Result<PathBuf, Errno> {
        let relative = path.strip_prefix(b"/").ok_or(Errno::ENOENT)?;
        // A path that begins with a slash would replace the root.
        let slashes = relative.iter().take_while(|byte| **byte == b'/').count();
        let relative = &relative[slashes..];
        match place(path) {
            Place::Shown => Ok(self.root.join(Path::new(OsStr::from_bytes(relative)))),
            Place::HiddenRoot | Place::BelowHidden => Err(Errno::ENOENT),
        }
    }

    pub(super) fn stat(&self, path: &[u8]) -> Result<LowerStat, Errno> {
        if place(path) == Place::HiddenRoot {
            let kind = LowerKind::Directory;
            return Ok(LowerStat { kind, mode: 0o755, uid: 0, gid: 0, size: 0, nlink: 2 });
        }
        let real = self.real(path)?;
        let meta = fs::symlink_metadata(real).map_err(errno)?;
        Ok(LowerStat {
            kind: kind(meta.file_type()),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size: meta.size(),
            nlink: u32::try_from(meta.nlink()).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        if place(path) == Place::HiddenRoot {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(self.real(path)?).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            let of = entry.file_type().map_err(errno)?;
            names.push((entry.file_name().into_vec(), kind(of)));
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        if place(path) == Place::HiddenRoot {
            return Err(Errno::EINVAL);
        }
        let target = fs::read_link(self.real(path)?).map_err(errno)?;
        Ok(target.into_os_string().into_vec())
    }

    pub(super) fn read(&mut self, path: &[u8], at: u64, into: &mut [u8]) -> Result<usize, Errno> {
        read_at(self.file(path)?, at, into).map_err(errno)
    }

    /// A descriptor of a regular file, to be mapped now: it may be closed by the next call.
    pub(super) fn fd(&mut self, path: &[u8]) -> Result<RawFd, Errno> {
        self.file(path).map(File::as_raw_fd)
    }

    fn file(&mut self, path: &[u8]) -> Result<&File, Errno> {
        self.uses += 1;
        if !self.open.contains_key(path) {
            let file = self.open(path)?;
            self.evict();
            self.open.insert(path.to_vec(), Open { file, last_use: 0 });
        }
        let open = self.open.get_mut(path).expect("it was just put there");
        open.last_use = self.uses;
        Ok(&open.file)
    }

    /// Opens a regular file, and nothing else: opening a device can do things.
    fn open(&self, path: &[u8]) -> Result<File, Errno> {
        match self.stat(path)?.kind {
            LowerKind::Regular => {}
            LowerKind::Directory => return Err(Errno::EISDIR),
            LowerKind::Symlink => return Err(Errno::ELOOP),
            LowerKind::Other => return Err(Errno::ENXIO),
        }
        let real = self.real(path)?;
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(&real);
        let flags = libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
        // Not even the access time of the machine's files should change; only the owner may ask.
        open(flags | libc::O_NOATIME).or_else(|_| open(flags)).map_err(errno)
    }

    fn evict(&mut self) {
        if self.open.len() >= OPEN_FILES {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.last_use);
            let path = oldest.map(|(path, _)| path.clone()).expect("it is full");
            self.open.remove(&path);
        }
    }
}
