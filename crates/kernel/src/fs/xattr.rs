//! Extended attributes (xattr(7)): there are none, as on a tmpfs that nobody labelled. Asking is
//! answered, setting refused with EOPNOTSUPP, loudly. Neighbours: `namei`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};

/// The prefixes of names that may have a value here.
const PREFIXES: [&[u8]; 3] = [b"user.", b"security.", b"trusted."];
/// ACLs are names of their own.
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

impl Kernel {
    /// The path in argument 0 must exist.
    fn xattr_path(&mut self, call: &mut Call<'_>, lookup: Lookup) -> Result<(), Errno> {
        let path = call.read_path(call.ptr(0))?;
        self.filename_lookup(call.task, AT_FDCWD, &path, lookup, call.user).map(|_| ())
    }

    /// A value that nobody set: ENODATA; EOPNOTSUPP for a name of no known kind.
    fn xattr_get(&mut self, call: &mut Call<'_>) -> SysResult {
        let name = xattr_name(call)?;
        let known = ACLS.contains(&&name[..]) || PREFIXES.iter().any(|p| name.starts_with(p));
        Err(if known { Errno::ENODATA } else { Errno::EOPNOTSUPP }.into())
    }

    fn xattr_set(&mut self, call: &mut Call<'_>) -> SysResult {
        let name = xattr_name(call)?;
        let detail = String::from_utf8_lossy(&name).into_owned();
        self.tell(Some(call.task), Fact::unsupported("setxattr", detail));
        Err(Errno::EOPNOTSUPP.into())
    }

    /// getxattr(2), removexattr(2): no such attribute.
    pub fn sys_getxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.xattr_path(call, Lookup::FOLLOW)?;
        self.xattr_get(call)
    }

    /// lgetxattr(2), lremovexattr(2).
    pub fn sys_lgetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.xattr_path(call, Lookup::NOFOLLOW)?;
        self.xattr_get(call)
    }

    /// fgetxattr(2), fremovexattr(2).
    pub fn sys_fgetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.fd_lookup(call.task, call.int(0))?;
        self.xattr_get(call)
    }

    /// listxattr(2): an empty list.
    pub fn sys_listxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.xattr_path(call, Lookup::FOLLOW)?;
        Ok(0)
    }

    /// llistxattr(2).
    pub fn sys_llistxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.xattr_path(call, Lookup::NOFOLLOW)?;
        Ok(0)
    }

    /// flistxattr(2).
    pub fn sys_flistxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.fd_lookup(call.task, call.int(0))?;
        Ok(0)
    }

    /// setxattr(2).
    pub fn sys_setxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.xattr_path(call, Lookup::FOLLOW)?;
        self.xattr_set(call)
    }

    /// lsetxattr(2).
    pub fn sys_lsetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.xattr_path(call, Lookup::NOFOLLOW)?;
        self.xattr_set(call)
    }

    /// fsetxattr(2).
    pub fn sys_fsetxattr(&mut self, call: &mut Call<'_>) -> SysResult {
        self.fd_lookup(call.task, call.int(0))?;
        self.xattr_set(call)
    }
}

/// The attribute's name in argument 1: ERANGE if it is empty or longer than 255 bytes.
fn xattr_name(call: &mut Call<'_>) -> Result<Vec<u8>, Errno> {
    let name = call.read_cstr(call.ptr(1), 256, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}
