//! Reading directories (getdents64(2), getdents(2)) and the working directory (chdir(2), fchdir(2),
//! getcwd(2), chroot(2)). An open directory is listed once, sorted; its positions number that list,
//! so that they stay good while names come and go, until it is rewound. Neighbours: `overlay`
//! (merged listings), `unlink` and `rename` (names that change).

use crate::abi::Errno;
use crate::fs::dcache::{Child, DentryId};
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::{InodeKind, MAY_EXEC};
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::syscall::{Call, SysResult};
use crate::task::FsId;
use crate::task::capability::Cap;
use std::sync::Arc;

/// One entry as getdents(2) tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct DirEntry {
    pub name: Vec<u8>,
    pub ino: u64,
    pub d_type: u8,
}

/// What an open directory was listed with: "." and "..", then the names in order.
pub type DirSnapshot = Arc<Vec<DirEntry>>;

/// The two layouts of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// linux_dirent64: the type in front of the name.
    Dirent64,
    /// linux_dirent: the type in the last byte.
    Dirent,
}

impl Kernel {
    /// getdents64(2).
    pub fn sys_getdents64(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_getdents(call, Layout::Dirent64)
    }

    /// getdents(2).
    pub fn sys_getdents(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_getdents(call, Layout::Dirent)
    }

    /// iterate_dir(): as many entries as fit. EINVAL if not one does, ENOENT in a removed directory.
    fn do_getdents(&mut self, call: &mut Call<'_>, layout: Layout) -> SysResult {
        let file = self.table(call.task).get(call.int(0))?;
        let f = &self.files[file];
        let path_only = f.flags.has(crate::abi::open::OFlags::PATH);
        let dentry = match f.dentry() {
            _ if path_only => return Err(Errno::EBADF.into()),
            Some(d) if f.kind == FileKind::Inode && self.vfs.inode(d).is_dir() => d,
            _ => return Err(Errno::ENOTDIR.into()),
        };
        if !self.vfs.dentries[dentry].hashed {
            return Err(Errno::ENOENT.into());
        }
        let (into, space) = (call.ptr(1), call.arg(2) as u32 as usize);
        let entries = self.dir_snapshot(file, dentry, call.user)?;
        let mut out = Vec::new();
        let mut pos = self.files[file].pos;
        while let Some(entry) = usize::try_from(pos).ok().and_then(|p| entries.get(p)) {
            // Whoever was removed since is left out.
            let gone = pos >= 2 && self.lookup_gone(dentry, &entry.name);
            if !gone {
                let bytes = lay_out(entry, pos + 1, layout);
                if out.len() + bytes.len() > space {
                    break;
                }
                out.extend_from_slice(&bytes);
            }
            pos += 1;
        }
        let more = (pos as usize) < entries.len();
        if out.is_empty() && more {
            return Err(Errno::EINVAL.into());
        }
        call.write_user(into, &out)?;
        self.files[file].pos = pos;
        self.fsnotify_file(file, crate::fs::inotify::bits::IN_ACCESS);
        self.file_accessed(file);
        Ok(out.len() as u64)
    }

    /// The listing of an open directory; made when it is first read and after each rewind.
    fn dir_snapshot(
        &mut self,
        file: FileId,
        dentry: DentryId,
        user: &mut dyn Platform,
    ) -> Result<DirSnapshot, Errno> {
        if let Some(snapshot) = self.vfs.snapshots.get(&file) {
            return Ok(snapshot.clone());
        }
        let parent = self.vfs.dentries[dentry].parent.unwrap_or(dentry);
        let dot = |name: &[u8], dentry| DirEntry {
            name: name.to_vec(),
            ino: self.vfs.inode(dentry).ino,
            d_type: 4,
        };
        let mut entries = vec![dot(b".", dentry), dot(b"..", parent)];
        for (name, ino, d_type) in self.list_dir(dentry, user)? {
            entries.push(DirEntry { name, ino, d_type });
        }
        let snapshot: DirSnapshot = Arc::new(entries);
        self.vfs.snapshots.insert(file, snapshot.clone());
        Ok(snapshot)
    }

    /// All names in a directory of any file system, in order.
    pub fn list_dir(
        &mut self,
        dir: DentryId,
        user: &mut dyn Platform,
    ) -> Result<Vec<(Vec<u8>, u64, u8)>, Errno> {
        match self.vfs.inode(dir).kind {
            InodeKind::Proc(node) => self.proc_list(dir, node),
            _ => self.vfs.list(dir, user), // a directory: the caller looked
        }
    }

    /// Was a name that was listed removed since?
    fn lookup_gone(&self, dir: DentryId, name: &[u8]) -> bool {
        if let InodeKind::Proc(_) = self.vfs.inode(dir).kind {
            return false; // listed just now, or dead
        }
        match self.vfs.dentries[dir].children.get(name) {
            Some(Child::Dentry(_) | Child::Lower { .. }) => false,
            Some(Child::Whiteout) | None => true,
        }
    }

    /// chdir(2).
    pub fn sys_chdir(&mut self, call: &mut Call<'_>) -> SysResult {
        let dir = self.lookup_dir_arg(call)?;
        self.inode_permission(dir.dentry, &self.tasks[call.task].cred, MAY_EXEC)?;
        self.set_fs_pwd(self.fs_id(call), dir);
        Ok(0)
    }

    /// fchdir(2).
    pub fn sys_fchdir(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.table(call.task).get(call.int(0))?;
        let dir = self.files[file].path.ok_or(Errno::ENOTDIR)?;
        if !self.vfs.inode(dir.dentry).is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        self.inode_permission(dir.dentry, &self.tasks[call.task].cred, MAY_EXEC)?;
        self.set_fs_pwd(self.fs_id(call), dir);
        Ok(0)
    }

    /// chroot(2): EPERM without privilege, after the path was found and may be searched.
    pub fn sys_chroot(&mut self, call: &mut Call<'_>) -> SysResult {
        let dir = self.lookup_dir_arg(call)?;
        self.inode_permission(dir.dentry, &self.tasks[call.task].cred, MAY_EXEC)?;
        if !self.tasks[call.task].cred.has_cap(Cap::SysChroot) {
            return Err(Errno::EPERM.into());
        }
        self.set_fs_root(self.fs_id(call), dir);
        Ok(0)
    }

    fn lookup_dir_arg(&mut self, call: &mut Call<'_>) -> Result<Path, Errno> {
        let path = call.read_path(call.ptr(0))?;
        let lookup = Lookup { directory: true, ..Lookup::FOLLOW };
        self.user_path_at(call.task, AT_FDCWD, &path, lookup, call.user)
    }

    fn fs_id(&self, call: &Call<'_>) -> FsId {
        self.tasks[call.task].fs.expect("a living task has an fs_struct")
    }

    /// getcwd(2): the length with the NUL. ENOENT if the directory was removed, ERANGE if the path
    /// does not fit.
    pub fn sys_getcwd(&mut self, call: &mut Call<'_>) -> SysResult {
        let (into, size) = (call.ptr(0), call.arg(1));
        let fs = self.fs(call.task);
        let mut path = self.vfs.d_path_reachable(fs.pwd, fs.root).ok_or(Errno::ENOENT)?;
        path.push(0);
        if path.len() as u64 > size {
            return Err(Errno::ERANGE.into());
        }
        call.write_user(into, &path)?;
        Ok(path.len() as u64)
    }
}

/// One entry in bytes, padded to eight; `next` is its d_off.
fn lay_out(entry: &DirEntry, next: u64, layout: Layout) -> Vec<u8> {
    let head = match layout {
        Layout::Dirent64 => 19,
        Layout::Dirent => 18,
    };
    let len = match layout {
        Layout::Dirent64 => (head + entry.name.len() + 1).next_multiple_of(8),
        Layout::Dirent => (head + entry.name.len() + 2).next_multiple_of(8),
    };
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&entry.ino.to_le_bytes());
    out.extend_from_slice(&next.to_le_bytes());
    out.extend_from_slice(&(len as u16).to_le_bytes());
    if layout == Layout::Dirent64 {
        out.push(entry.d_type);
    }
    out.extend_from_slice(&entry.name);
    out.resize(len, 0);
    if layout == Layout::Dirent {
        out[len - 1] = entry.d_type;
    }
    out
}
