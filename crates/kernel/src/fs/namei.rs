//! Path walk: from a string to a path (path_resolution(7), openat2(2)). Symbolic links, mounts,
//! "..", permissions to search, and links of /proc that jump. Whoever creates or removes a name
//! walks to its parent (`filename_parentat`) and looks the last component up itself.
//! Neighbours: `overlay` (lookup in one directory), `open`, `dir`.

use crate::abi::Errno;
use crate::fs::dcache::DentryId;
use crate::fs::file::FileId;
use crate::fs::inode::{InodeKind, MAY_EXEC};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::task::TaskId;
use crate::task::nsproxy::Namespace;
use linux_raw_sys::general as raw;

/// The working directory in place of a directory's descriptor.
pub const AT_FDCWD: i32 = -100;

/// The most symbolic links that one walk follows.
const MAXSYMLINKS: u32 = 40;

/// How a walk treats its last component and its links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lookup {
    /// Follow a symbolic link at the end (LOOKUP_FOLLOW).
    pub follow: bool,
    /// An empty path means the descriptor itself (AT_EMPTY_PATH).
    pub empty: bool,
    /// The end must be a directory (LOOKUP_DIRECTORY).
    pub directory: bool,
    /// RESOLVE_* of openat2(2).
    pub resolve: u32,
}

impl Lookup {
    /// Follows links to the end.
    pub const FOLLOW: Lookup = Lookup { follow: true, ..Lookup::NOFOLLOW };
    /// A link at the end is itself the result.
    pub const NOFOLLOW: Lookup =
        Lookup { follow: false, empty: false, directory: false, resolve: 0 };
}

/// Where a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// At a name in the tree.
    Path(Path),
    /// At an open file that has no name (a pipe, a socket): by AT_EMPTY_PATH or /proc/PID/fd.
    File(FileId),
    /// At a namespace: by /proc/PID/ns.
    Namespace(Namespace),
}

/// The last component of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Last {
    /// The path is all slashes.
    Root,
    /// "."
    Dot,
    /// ".."
    DotDot,
    /// A name.
    Norm(Vec<u8>),
}

/// The last component, and whether slashes follow it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct LastName {
    pub last: Last,
    pub slash: bool,
}

/// What a symbolic link says.
pub enum Link {
    /// A path to go on with.
    Path(Vec<u8>),
    /// A jump (magic links of /proc).
    Jump(Found),
}

/// A walk in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nameidata {
    /// On whose behalf.
    pub task: TaskId,
    /// Where it is.
    pub at: Path,
    /// It jumped to something that has no name.
    pub nameless: Option<Found>,
    root: Path,
    start: Path,
    links: u32,
    resolve: u32,
}

impl Nameidata {
    fn found(&self) -> Found {
        self.nameless.unwrap_or(Found::Path(self.at))
    }

    fn has(&self, resolve: u32) -> bool {
        self.resolve & resolve != 0
    }
}

impl Kernel {
    /// filename_lookup(): walks all of `path`, relative to `dfd`.
    pub fn filename_lookup(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        lookup: Lookup,
        user: &mut dyn Platform,
    ) -> Result<Found, Errno> {
        if path.is_empty() && lookup.empty {
            return self.empty_path(task, dfd);
        }
        let mut nd = self.path_init(task, dfd, path, lookup.resolve)?;
        let name = self.link_path_walk(&mut nd, path, user)?;
        self.walk_component(&mut nd, &name.last, lookup.follow || name.slash, user)?;
        if name.slash || lookup.directory {
            self.must_be_dir(&nd)?;
        }
        self.vfs.expiring.remove(&nd.at.mnt);
        Ok(nd.found())
    }

    /// The same for callers that need a name in the tree. Unlike Linux, what they would do to a
    /// pipe or socket that was reached by /proc/PID/fd fails with EOPNOTSUPP.
    pub fn user_path_at(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        lookup: Lookup,
        user: &mut dyn Platform,
    ) -> Result<Path, Errno> {
        match self.filename_lookup(task, dfd, path, lookup, user)? {
            Found::Path(path) => Ok(path),
            Found::File(_) | Found::Namespace(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// filename_parentat(): walks to the directory that the last component is in.
    pub fn filename_parentat(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        user: &mut dyn Platform,
    ) -> Result<(Path, LastName), Errno> {
        let mut nd = self.path_init(task, dfd, path, 0)?;
        let name = self.link_path_walk(&mut nd, path, user)?;
        Ok((nd.at, name))
    }

    /// AT_EMPTY_PATH with an empty path: what `dfd` is open on, or the working directory.
    fn empty_path(&mut self, task: TaskId, dfd: i32) -> Result<Found, Errno> {
        if dfd == AT_FDCWD {
            return Ok(Found::Path(self.fs(task).pwd));
        }
        let file = self.table(task).get(dfd)?;
        Ok(self.files[file].path.map_or(Found::File(file), Found::Path))
    }

    /// path_init(): where a walk begins.
    pub fn path_init(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        resolve: u32,
    ) -> Result<Nameidata, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let root = self.fs(task).root;
        let absolute = path[0] == b'/';
        if absolute && resolve & raw::RESOLVE_BENEATH != 0 {
            return Err(Errno::EXDEV);
        }
        let in_root = resolve & raw::RESOLVE_IN_ROOT != 0;
        let start = if absolute && !in_root {
            root
        } else if dfd == AT_FDCWD {
            self.fs(task).pwd
        } else {
            let file = self.table(task).get(dfd)?;
            let path = self.files[file].path.ok_or(Errno::ENOTDIR)?;
            if !self.vfs.inode(path.dentry).is_dir() {
                return Err(Errno::ENOTDIR);
            }
            path
        };
        let root = if in_root { start } else { root };
        Ok(Nameidata { task, at: start, nameless: None, root, start, links: 0, resolve })
    }

    /// link_path_walk(): walks all components but the last.
    pub fn link_path_walk(
        &mut self,
        nd: &mut Nameidata,
        path: &[u8],
        user: &mut dyn Platform,
    ) -> Result<LastName, Errno> {
        let mut rest = without_slashes(path);
        if rest.is_empty() {
            return Ok(LastName { last: Last::Root, slash: false });
        }
        loop {
            self.may_lookup(nd)?;
            let end = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
            let last = match &rest[..end] {
                b"." => Last::Dot,
                b".." => Last::DotDot,
                name => Last::Norm(name.to_vec()),
            };
            let after = without_slashes(&rest[end..]);
            if after.is_empty() {
                return Ok(LastName { last, slash: end < rest.len() });
            }
            self.walk_component(nd, &last, true, user)?;
            self.must_be_dir(nd)?;
            rest = after;
        }
    }

    /// May the walker search the directory where the walk is?
    fn may_lookup(&self, nd: &Nameidata) -> Result<(), Errno> {
        let (users, cred) = (&self.namespaces.user, &self.tasks[nd.task].cred);
        self.vfs.inode(nd.at.dentry).permission(users, cred, MAY_EXEC)
    }

    /// ENOTDIR unless the walk is at a directory.
    pub fn must_be_dir(&self, nd: &Nameidata) -> Result<(), Errno> {
        let dir = nd.nameless.is_none() && self.vfs.inode(nd.at.dentry).is_dir();
        if dir { Ok(()) } else { Err(Errno::ENOTDIR) }
    }

    /// walk_component(): one step.
    pub fn walk_component(
        &mut self,
        nd: &mut Nameidata,
        last: &Last,
        follow: bool,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let name = match last {
            Last::Root | Last::Dot => return Ok(()),
            Last::DotDot => return self.follow_dotdot(nd),
            Last::Norm(name) => name,
        };
        let child = self.lookup(nd.at.dentry, name, user)?.ok_or(Errno::ENOENT)?;
        self.step_into(nd, nd.at.with(child), follow, user)
    }

    /// step_into(): to `child`, through mounts, and through the link that it may be.
    pub fn step_into(
        &mut self,
        nd: &mut Nameidata,
        child: Path,
        follow: bool,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let there = self.follow_mount(nd, child)?;
        if !follow || !self.vfs.inode(there.dentry).is_symlink() {
            nd.at = there;
            return Ok(());
        }
        let Some(target) = self.pick_link(nd, there)? else { return Ok(()) };
        let name = self.link_path_walk(nd, &target, user)?;
        self.walk_component(nd, &name.last, true, user)?;
        if name.slash { self.must_be_dir(nd) } else { Ok(()) }
    }

    /// handle_mounts(): what is seen at `child`. EXDEV for a walk that is to stay in its mount.
    pub fn follow_mount(&self, nd: &Nameidata, child: Path) -> Result<Path, Errno> {
        let there = self.vfs.traverse_mounts(child);
        if there != child && nd.has(raw::RESOLVE_NO_XDEV) { Err(Errno::EXDEV) } else { Ok(there) }
    }

    /// pick_link(): reads the link `link` on behalf of the walk. Gives the path to go on with, and
    /// puts the walk where that path begins; None if the link jumped.
    pub fn pick_link(&mut self, nd: &mut Nameidata, link: Path) -> Result<Option<Vec<u8>>, Errno> {
        nd.links += 1;
        if nd.links > MAXSYMLINKS || nd.has(raw::RESOLVE_NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        if self.vfs.mnt_has(link.mnt, raw::MS_NOSYMFOLLOW) {
            return Err(Errno::ELOOP);
        }
        match self.get_link(nd.task, link.dentry)? {
            Link::Jump(found) => {
                if nd.has(raw::RESOLVE_NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                if nd.has(raw::RESOLVE_BENEATH | raw::RESOLVE_IN_ROOT) {
                    return Err(Errno::EXDEV);
                }
                match found {
                    Found::Path(path) => nd.at = path,
                    Found::File(_) | Found::Namespace(_) => nd.nameless = Some(found),
                }
                Ok(None)
            }
            Link::Path(target) if target.is_empty() => Err(Errno::ENOENT),
            Link::Path(target) => {
                if target[0] == b'/' {
                    if nd.has(raw::RESOLVE_BENEATH) {
                        return Err(Errno::EXDEV);
                    }
                    nd.at = nd.root;
                }
                Ok(Some(target))
            }
        }
    }

    /// follow_dotdot(): to the parent, and what is mounted on that; at the walker's root it stays.
    /// ENOENT from a directory that was moved out of its mount's root.
    fn follow_dotdot(&mut self, nd: &mut Nameidata) -> Result<(), Errno> {
        if nd.at == nd.start && nd.has(raw::RESOLVE_BENEATH) {
            return Err(Errno::EXDEV);
        }
        let mut at = nd.at;
        while at != nd.root && self.vfs.is_mount_root(at) {
            match self.vfs.mounts[&at.mnt].parent {
                Some(_) if nd.has(raw::RESOLVE_NO_XDEV) => return Err(Errno::EXDEV),
                Some(covered) => at = covered,
                None => break,
            }
        }
        if at == nd.root || self.vfs.is_mount_root(at) {
            nd.at = self.vfs.traverse_mounts(nd.at);
            return Ok(());
        }
        let parent = self.vfs.dentries[at.dentry].parent.map(|parent| at.with(parent));
        let parent = parent.filter(|parent| self.vfs.path_connected(*parent));
        let there = self.vfs.traverse_mounts(parent.ok_or(Errno::ENOENT)?);
        if there.mnt != at.mnt && nd.has(raw::RESOLVE_NO_XDEV) {
            return Err(Errno::EXDEV);
        }
        nd.at = there;
        Ok(())
    }

    /// The child `name` of `dir`; None if there is none.
    pub fn lookup(
        &mut self,
        dir: DentryId,
        name: &[u8],
        user: &mut dyn Platform,
    ) -> Result<Option<DentryId>, Errno> {
        match self.vfs.inode(dir).kind {
            InodeKind::Proc(_) if name.len() > 255 => Err(Errno::ENAMETOOLONG),
            InodeKind::Proc(node) => Ok(self.proc_lookup(dir, node, name)),
            InodeKind::Directory { .. }
            | InodeKind::Regular(_)
            | InodeKind::Symlink(_)
            | InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Socket(_) => self.vfs.lookup(dir, name, user),
        }
    }

    /// What the symbolic link `link` says to `task`.
    pub fn get_link(&mut self, task: TaskId, link: DentryId) -> Result<Link, Errno> {
        match &self.vfs.inode(link).kind {
            InodeKind::Symlink(target) => Ok(Link::Path(target.clone())),
            InodeKind::Proc(node) => {
                let ns = self.vfs.proc_pid_ns(self.vfs.inode(link).dev);
                self.proc_get_link(task, *node, ns)
            }
            InodeKind::Regular(_)
            | InodeKind::Directory { .. }
            | InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Socket(_) => Err(Errno::EINVAL),
        }
    }

    /// Root, working directory and umask of `task`.
    pub fn fs(&self, task: TaskId) -> &crate::task::Fs {
        &self.fs_structs[self.tasks[task].fs.expect("a living task has an fs_struct")]
    }
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    &path[start..]
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};

    const STAT: u64 = 4;
    const LSTAT: u64 = 6;

    fn world() -> World {
        let mut user = Tiny::default();
        user.lower_file("/etc/passwd", b"root");
        user.lower_link("/etc/link", "../etc/passwd");
        user.lower_link("/etc/slash", "/etc/");
        user.lower_link("/etc/loop", "loop");
        user.lower_link("/etc/dangling", "nowhere");
        World::new(user)
    }

    #[test]
    fn links_are_followed_and_loops_are_found() {
        let mut w = world();
        assert_eq!(w.read("/etc/link"), Ok(b"root".to_vec()));
        assert_eq!(w.read("/etc/slash/slash/link"), Ok(b"root".to_vec()));
        assert_eq!(w.path(STAT, "/etc/loop", &[World::OUT]), Err(Errno::ELOOP));
        assert_eq!(w.path(LSTAT, "/etc/loop", &[World::OUT]), Ok(0));
        assert_eq!(w.path(STAT, "/etc/dangling", &[World::OUT]), Err(Errno::ENOENT));
    }

    #[test]
    fn a_slash_at_the_end_asks_for_a_directory() {
        let mut w = world();
        assert_eq!(w.path(STAT, "/etc//", &[World::OUT]), Ok(0));
        assert_eq!(w.path(STAT, "/etc/passwd/", &[World::OUT]), Err(Errno::ENOTDIR));
        assert_eq!(w.path(STAT, "/etc/passwd/x", &[World::OUT]), Err(Errno::ENOTDIR));
        assert_eq!(w.path(LSTAT, "/etc/slash/", &[World::OUT]), Ok(0));
        assert_eq!(w.out(28)[24..28], (0o040_755_u32).to_le_bytes());
    }

    #[test]
    fn names_and_paths_may_be_too_long() {
        let mut w = world();
        let name = "n".repeat(256);
        assert_eq!(w.path(STAT, &name, &[World::OUT]), Err(Errno::ENAMETOOLONG));
        assert_eq!(w.path(STAT, &name[1..], &[World::OUT]), Err(Errno::ENOENT));
        let path = "./".repeat(2048);
        assert_eq!(w.path(STAT, &path, &[World::OUT]), Err(Errno::ENAMETOOLONG));
        assert_eq!(w.path(STAT, &path[2..], &[World::OUT]), Ok(0));
        assert_eq!(w.path(STAT, "", &[World::OUT]), Err(Errno::ENOENT));
    }

    #[test]
    fn dotdot_stops_at_the_root_and_crosses_mounts() {
        let mut w = world();
        assert_eq!(w.read("/../../etc/passwd"), Ok(b"root".to_vec()));
        assert_eq!(w.read("/dev/shm/../../etc/passwd"), Ok(b"root".to_vec()));
        assert_eq!(w.path(80, "/dev/shm", &[]), Ok(0));
        assert_eq!(w.sys(79, &[World::OUT, 100]), Ok(9));
        assert_eq!(w.out(9), b"/dev/shm\0");
        assert_eq!(w.sys(79, &[World::OUT, 8]), Err(Errno::ERANGE));
    }

    #[test]
    fn a_directory_that_may_not_be_searched_hides_what_is_in_it() {
        let mut user = Tiny::default();
        user.lower_dir("/closed");
        user.lower_mode("/closed", 0o700);
        user.lower_file("/closed/f", b"");
        let mut w = World::new(user);
        w.become_user(1000, 1000);
        assert_eq!(w.path(STAT, "/closed/f", &[World::OUT]), Err(Errno::EACCES));
        assert_eq!(w.path(STAT, "/closed/nothing", &[World::OUT]), Err(Errno::EACCES));
        assert_eq!(w.path(STAT, "/closed", &[World::OUT]), Ok(0));
    }

    #[test]
    fn names_of_the_world_resolve_by_etc_hosts() {
        let mut w = world();
        let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        assert_eq!(w.read("/etc/hosts"), Ok(format!("{local}10.0.0.1\ta\n").into_bytes()));
    }
}
