//! Where something is in the tree: a mount and a name in its file system (`struct path`), the steps
//! from one mount to another, and the way back to text (d_path(), getcwd(2)). Neighbours: `dcache`
//! (names), `mount` (what is mounted where), `namei` (walks).

use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::mount::MountId;
use crate::kernel::Kernel;
use crate::task::FsId;

/// A place in a tree of mounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Path {
    /// The mount that it is seen through.
    pub mnt: MountId,
    /// Which name of its file system.
    pub dentry: DentryId,
}

impl Path {
    /// Nowhere, until it is filled in.
    pub(crate) fn nobody() -> Path {
        Path { mnt: MountId::default(), dentry: DentryId::nobody() }
    }

    /// Another name seen through the same mount.
    pub fn with(self, dentry: DentryId) -> Path {
        Path { dentry, ..self }
    }
}

impl Vfs {
    /// The root of a mount.
    pub fn mnt_root(&self, mnt: MountId) -> Path {
        Path { mnt, dentry: self.mounts[&mnt].root }
    }

    /// Is it the root of the mount that it is seen through?
    pub fn is_mount_root(&self, path: Path) -> bool {
        self.mounts.get(&path.mnt).is_some_and(|mount| mount.root == path.dentry)
    }

    /// lookup_mnt(): what is mounted there.
    pub fn lookup_mnt(&self, path: Path) -> Option<MountId> {
        match self.dentries[path.dentry].mounted {
            0 => None,
            _ => self.mountpoints.get(&path).copied(),
        }
    }

    /// follow_down(): what one sees at `path`: the root of what is mounted there, if anything is.
    pub fn traverse_mounts(&self, mut path: Path) -> Path {
        while let Some(mnt) = self.lookup_mnt(path) {
            path = self.mnt_root(mnt);
        }
        path
    }

    /// path_connected(): is it below the root of the mount that it is seen through? One that is the
    /// whole file system always is; out of others a directory can be moved.
    pub(super) fn path_connected(&self, path: Path) -> bool {
        let root = self.mounts[&path.mnt].root;
        self.dentries[root].parent.is_none() || self.is_subdir(path.dentry, root)
    }

    /// prepend_path(): the path as seen from `root`, and whether `root` was met.
    fn prepend_path(&self, path: Path, root: Path) -> (Vec<u8>, bool) {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = path;
        let reached = loop {
            if at == root {
                break true;
            }
            let Some(mount) = self.mounts.get(&at.mnt) else { break false };
            let d = &self.dentries[at.dentry];
            match (d.parent, mount.parent) {
                (_, Some(covered)) if at.dentry == mount.root => at = covered,
                (_, None) if at.dentry == mount.root => break false,
                (Some(parent), _) => {
                    names.push(&d.name);
                    at.dentry = parent;
                }
                // It was moved out of its mount's root.
                (None, _) => break false,
            }
        };
        let mut path = Vec::new();
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        (path, reached)
    }

    /// d_path(): the absolute path under `root`, with " (deleted)" if it is unlinked.
    pub fn d_path(&self, path: Path, root: Path) -> Vec<u8> {
        let (mut text, _) = self.prepend_path(path, root);
        if !self.dentries[path.dentry].hashed {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }

    /// What getcwd(2) says: None if it is unlinked; "(unreachable)" in front of what is not below
    /// `root`.
    pub fn d_path_reachable(&self, path: Path, root: Path) -> Option<Vec<u8>> {
        if !self.dentries[path.dentry].hashed {
            return None;
        }
        let (text, reached) = self.prepend_path(path, root);
        Some(if reached { text } else { [b"(unreachable)", &text[..]].concat() })
    }

    /// seq_path_root(): None for what is not below `root`.
    pub(super) fn path_below(&self, path: Path, root: Path) -> Option<Vec<u8>> {
        let (text, reached) = self.prepend_path(path, root);
        reached.then_some(text)
    }

    /// dentry_path(): where it is in its file system, whatever is mounted.
    pub(super) fn dentry_path(&self, dentry: DentryId) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = dentry;
        while let Some(parent) = self.dentries[at].parent {
            names.push([b"/", &self.dentries[at].name[..]].concat());
            at = parent;
        }
        names.reverse();
        if names.is_empty() { b"/".to_vec() } else { names.concat() }
    }
}

impl Kernel {
    /// path_put() for a name that only its dentry was counted for.
    pub fn path_put(&mut self, path: Path) {
        self.dput(path.dentry);
    }

    /// A process changes its working directory to `pwd`.
    pub fn set_fs_pwd(&mut self, fs: FsId, pwd: Path) {
        let old = core::mem::replace(&mut self.fs_structs[fs].pwd, pwd);
        self.dentry_reap(old.dentry);
        self.release_detached();
    }

    /// A process changes its root to `root`.
    pub fn set_fs_root(&mut self, fs: FsId, root: Path) {
        let old = core::mem::replace(&mut self.fs_structs[fs].root, root);
        self.dentry_reap(old.dentry);
        self.release_detached();
    }
}
