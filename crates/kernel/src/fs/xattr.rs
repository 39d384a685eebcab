//! Extended attributes (xattr(7)), as tmpfs has them: user.*, trusted.* and security.* with any
//! value. ACLs (system.posix_acl_*) and file capabilities would change who may do what: setting
//! them is refused loudly. What the machine's own files have stays with them.
//! Neighbours: `namei`, `create` (inode_permission), `mount` (mnt_want_write).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::inode::{InodeKind, MAY_READ, MAY_WRITE};
use crate::fs::inotify::bits::IN_ATTRIB;
use crate::fs::mount::dev;
use crate::fs::namei::{AT_FDCWD, Found, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;

/// XATTR_SIZE_MAX and XATTR_LIST_MAX.
const SIZE_MAX: u64 = 65536;
const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

/// Which file a call is about: argument 0 is a path or a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The path, links followed.
    Path,
    /// The path; a link itself.
    Link,
    /// The descriptor.
    Fd,
}

/// The kinds of names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    User,
    Trusted,
    Security,
    Acl,
    /// No handler knows it.
    Unknown,
}

fn space(name: &[u8]) -> Space {
    match name {
        b"system.posix_acl_access" | b"system.posix_acl_default" => Space::Acl,
        _ if name.starts_with(b"user.") => Space::User,
        _ if name.starts_with(b"trusted.") => Space::Trusted,
        _ if name.starts_with(b"security.") => Space::Security,
        _ => Space::Unknown,
    }
}

/// xattr_resolve_name(): EINVAL for a prefix and no more.
fn resolve_name(name: &[u8]) -> Result<(), Errno> {
    if [&b"user."[..], b"trusted.", b"security."].contains(&name) {
        return Err(Errno::EINVAL);
    }
    if space(name) == Space::Unknown { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

impl Kernel {
    /// The file that the call is about.
    fn xattr_file(&mut self, call: &mut Call<'_>, by: By) -> Result<Found, Errno> {
        if by == By::Fd {
            let file = self.fd_lookup(call.task, call.int(0))?;
            return Ok(self.files[file].path.map_or(Found::File(file), Found::Path));
        }
        let path = call.read_path(call.ptr(0))?;
        let lookup = if by == By::Path { Lookup::FOLLOW } else { Lookup::NOFOLLOW };
        self.filename_lookup(call.task, AT_FDCWD, &path, lookup, call.user)
    }

    /// xattr_permission(): may `task` do `mask` to an attribute of this name?
    fn xattr_permission(
        &self,
        task: TaskId,
        dentry: DentryId,
        name: &[u8],
        mask: u32,
    ) -> Result<(), Errno> {
        let (cred, inode) = (&self.tasks[task].cred, self.vfs.inode(dentry));
        let write = mask & MAY_WRITE != 0;
        if write && (inode.is_immutable() || inode.is_append()) {
            return Err(Errno::EPERM);
        }
        let denied = if write { Errno::EPERM } else { Errno::ENODATA };
        match space(name) {
            Space::Security | Space::Acl => return Ok(()),
            Space::Trusted if !cred.capable(Cap::SysAdmin) => return Err(denied),
            Space::User if !inode.is_reg() && !inode.is_dir() => return Err(denied),
            Space::User if write && inode.is_dir() && inode.mode & 0o1000 != 0 => {
                if !inode.owner_or_capable(&self.namespaces.user, cred) {
                    return Err(Errno::EPERM);
                }
            }
            Space::Unknown if name.starts_with(b"system.") => return Ok(()),
            Space::Trusted | Space::User | Space::Unknown => {}
        }
        self.inode_permission(dentry, cred, mask)
    }

    /// Do files of this kind have attributes at all? Those of procfs and devpts do not.
    fn has_xattrs(&self, dentry: DentryId) -> bool {
        let dev = self.vfs.inode(dentry).dev;
        dev != dev::DEVPTS && !self.vfs.is_proc(dev)
    }

    fn do_setxattr(&mut self, call: &mut Call<'_>, by: By) -> SysResult {
        let (value, size, flags) = (call.ptr(2), call.arg(3), call.arg(4) as u32);
        if flags & !(XATTR_CREATE | XATTR_REPLACE) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let name = xattr_name(call)?;
        if size > SIZE_MAX {
            return Err(Errno::E2BIG.into());
        }
        let value = call.read_bytes(value, size as usize)?;
        let Found::Path(Path { mnt, dentry }) = self.xattr_file(call, by)? else {
            return Err(nameless(&name, true).into());
        };
        self.vfs.mnt_want_write(mnt)?;
        if space(&name) == Space::Acl || name == b"security.capability" {
            return Err(self.refuse_xattr(call.task, dentry, &name, &value).into());
        }
        self.xattr_permission(call.task, dentry, &name, MAY_WRITE)?;
        self.may_change_security(call.task, &name)?;
        if !self.has_xattrs(dentry) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        resolve_name(&name)?;
        let time = self.current_time();
        let inode = self.vfs.inode_mut(dentry);
        match inode.xattrs.contains_key(&name) {
            true if flags & XATTR_CREATE != 0 => return Err(Errno::EEXIST.into()),
            false if flags & XATTR_REPLACE != 0 => return Err(Errno::ENODATA.into()),
            true | false => {}
        }
        inode.xattrs.insert(name, value);
        inode.ctime = time;
        self.fsnotify_dentry(dentry, IN_ATTRIB);
        Ok(0)
    }

    /// cap_inode_setxattr(): security.* is root's to change.
    fn may_change_security(&self, task: TaskId, name: &[u8]) -> Result<(), Errno> {
        let root = self.tasks[task].cred.capable(Cap::SysAdmin);
        if space(name) == Space::Security && !root { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// What would change permissions and does not here. EINVAL for what is no ACL or capability.
    fn refuse_xattr(&mut self, task: TaskId, dentry: DentryId, name: &[u8], value: &[u8]) -> Errno {
        let acl = space(name) == Space::Acl;
        if acl && (value.len() < 4 || value[..4] != 2u32.to_le_bytes()) {
            return Errno::EINVAL;
        }
        if acl
            && !self
                .vfs
                .inode(dentry)
                .owner_or_capable(&self.namespaces.user, &self.tasks[task].cred)
        {
            return Errno::EPERM;
        }
        let detail = String::from_utf8_lossy(name).into_owned();
        self.tell(Some(task), Fact::unsupported("setxattr", detail));
        Errno::EOPNOTSUPP
    }

    fn do_getxattr(&mut self, call: &mut Call<'_>, by: By) -> SysResult {
        let name = xattr_name(call)?;
        let Found::Path(Path { dentry, .. }) = self.xattr_file(call, by)? else {
            return Err(nameless(&name, false).into());
        };
        if space(&name) == Space::Acl {
            // Nobody could set one.
            return Err(self.no_acl(dentry).into());
        }
        self.xattr_permission(call.task, dentry, &name, MAY_READ)?;
        if !self.has_xattrs(dentry) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        resolve_name(&name)?;
        let value = self.vfs.inode(dentry).xattrs.get(&name).ok_or(Errno::ENODATA)?.clone();
        put_out(call, call.ptr(2), call.arg(3), &value)
    }

    fn no_acl(&self, dentry: DentryId) -> Errno {
        let inode = self.vfs.inode(dentry);
        let none = !self.has_xattrs(dentry) || matches!(inode.kind, InodeKind::Symlink(_));
        if none { Errno::EOPNOTSUPP } else { Errno::ENODATA }
    }

    /// listxattr(2): the names, the last first, as simple_xattr_list() gives them. trusted.* shows
    /// itself to root only.
    fn do_listxattr(&mut self, call: &mut Call<'_>, by: By) -> SysResult {
        let Found::Path(Path { dentry, .. }) = self.xattr_file(call, by)? else {
            return Ok(0);
        };
        let root = self.tasks[call.task].cred.capable(Cap::SysAdmin);
        let mut list = Vec::new();
        for name in self.vfs.inode(dentry).xattrs.keys().rev() {
            if root || space(name) != Space::Trusted {
                list.extend_from_slice(name);
                list.push(0);
            }
        }
        put_out(call, call.ptr(1), call.arg(2), &list)
    }

    fn do_removexattr(&mut self, call: &mut Call<'_>, by: By) -> SysResult {
        let name = xattr_name(call)?;
        let Found::Path(Path { mnt, dentry }) = self.xattr_file(call, by)? else {
            return Err(nameless(&name, true).into());
        };
        self.vfs.mnt_want_write(mnt)?;
        if space(&name) == Space::Acl {
            return match self.no_acl(dentry) {
                Errno::ENODATA => Ok(0),
                errno => Err(errno.into()),
            };
        }
        self.xattr_permission(call.task, dentry, &name, MAY_WRITE)?;
        self.may_change_security(call.task, &name)?;
        if !self.has_xattrs(dentry) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        resolve_name(&name)?;
        let time = self.current_time();
        let inode = self.vfs.inode_mut(dentry);
        inode.xattrs.remove(&name).ok_or(Errno::ENODATA)?;
        inode.ctime = time;
        self.fsnotify_dentry(dentry, IN_ATTRIB);
        Ok(0)
    }

    /// getxattr(2).
    pub fn sys_getxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_getxattr(call, By::Path)
    }

    /// lgetxattr(2).
    pub fn sys_lgetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_getxattr(call, By::Link)
    }

    /// fgetxattr(2).
    pub fn sys_fgetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_getxattr(call, By::Fd)
    }

    /// listxattr(2).
    pub fn sys_listxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_listxattr(call, By::Path)
    }

    /// llistxattr(2).
    pub fn sys_llistxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_listxattr(call, By::Link)
    }

    /// flistxattr(2).
    pub fn sys_flistxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_listxattr(call, By::Fd)
    }

    /// setxattr(2).
    pub fn sys_setxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_setxattr(call, By::Path)
    }

    /// lsetxattr(2).
    pub fn sys_lsetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_setxattr(call, By::Link)
    }

    /// fsetxattr(2).
    pub fn sys_fsetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_setxattr(call, By::Fd)
    }

    /// removexattr(2).
    pub fn sys_removexattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_removexattr(call, By::Path)
    }

    /// lremovexattr(2).
    pub fn sys_lremovexattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_removexattr(call, By::Link)
    }

    /// fremovexattr(2).
    pub fn sys_fremovexattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_removexattr(call, By::Fd)
    }
}

/// What a pipe, socket or anonymous file says: no handlers, and user.* is for files only.
fn nameless(name: &[u8], write: bool) -> Errno {
    match (space(name), write) {
        (Space::User, true) => Errno::EPERM,
        (Space::User, false) => Errno::ENODATA,
        (Space::Trusted | Space::Security | Space::Acl | Space::Unknown, _) => Errno::EOPNOTSUPP,
    }
}

/// Copies out what was asked for: only its length for size 0, ERANGE if it does not fit.
fn put_out(call: &mut Call<'_>, into: UserPtr, size: u64, bytes: &[u8]) -> SysResult {
    if size == 0 {
        return Ok(bytes.len() as u64);
    }
    if (bytes.len() as u64) > size {
        return Err(Errno::ERANGE.into());
    }
    call.write_user(into, bytes)?;
    Ok(bytes.len() as u64)
}

/// The attribute's name in argument 1: ERANGE if it is empty or longer than 255 bytes.
fn xattr_name(call: &mut Call<'_>) -> Result<Vec<u8>, Errno> {
    let name = call.read_cstr(call.ptr(1), 256, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}
