//! Names of AF_UNIX sockets: in the file system (bind makes an inode, which stays when the socket
//! is gone: rule F-19) or abstract (the bytes behind a leading NUL; gone with the socket).

use super::Bound;
use crate::abi::Errno;
use crate::fs::inode::{InodeKind, MAY_WRITE};
use crate::fs::namei::{AT_FDCWD, Last, Lookup};
use crate::kernel::Kernel;
use crate::net::socket::{Socket, SocketId, SocketKind};
use crate::syscall::Call;

/// AUTOBIND_LEN: five hexadecimal digits.
const AUTOBIND_NAMES: u32 = 1 << 20;

impl Kernel {
    /// unix_bind(): EINVAL if it has a name, EADDRINUSE if another has this one.
    pub fn unix_bind(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        path: &[u8],
    ) -> Result<(), Errno> {
        match path.first() {
            None => self.unix_autobind(s),
            Some(0) => self.unix_bind_abstract(s, path),
            Some(_) => self.unix_bind_bsd(call, s, path),
        }
    }

    fn unix_bind_abstract(&mut self, s: SocketId, name: &[u8]) -> Result<(), Errno> {
        if !self.unix(s).name.is_empty() {
            return Err(Errno::EINVAL);
        }
        if self.unix_find_abstract(name, s).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        let unix = self.unix_mut(s);
        unix.name = name.to_vec();
        unix.bound = Some(Bound::Abstract);
        Ok(())
    }

    /// unix_autobind(): an abstract name of five hexadecimal digits. Unlike Linux, which starts at a
    /// random one, the lowest that is free.
    pub(super) fn unix_autobind(&mut self, s: SocketId) -> Result<(), Errno> {
        if !self.unix(s).name.is_empty() {
            return Ok(());
        }
        let name = (0..AUTOBIND_NAMES)
            .map(|n| format!("\0{n:05x}").into_bytes())
            .find(|name| self.unix_find_abstract(name, s).is_none())
            .ok_or(Errno::ENOSPC)?;
        self.unix_bind_abstract(s, &name)
    }

    /// unix_bind_bsd(): an inode of type socket, mode 0777 cut by the umask.
    fn unix_bind_bsd(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        path: &[u8],
    ) -> Result<(), Errno> {
        let task = call.task;
        let (dir, name) = self.filename_parentat(task, AT_FDCWD, path, call.user)?;
        let Last::Norm(last) = name.last else { return Err(Errno::EADDRINUSE) };
        if self.lookup(dir.dentry, &last, call.user)?.is_some() {
            return Err(Errno::EADDRINUSE);
        }
        if name.slash {
            return Err(Errno::ENOENT);
        }
        // Linux makes the name and takes it away again if the socket has one.
        self.vfs.mnt_want_write(dir.mnt)?;
        self.may_create(task, dir.dentry)?;
        if !self.unix(s).name.is_empty() {
            return Err(Errno::EINVAL);
        }
        let dentry = self.create_in(task, dir.dentry, &last, InodeKind::Socket(Some(s)), 0o777)?;
        let inode = self.vfs.dentries[dentry].inode;
        let unix = self.unix_mut(s);
        unix.name = path.to_vec();
        unix.bound = Some(Bound::Path(inode, dir.mnt));
        Ok(())
    }

    /// Who has this name, of the type and in the network namespace of `s`.
    fn unix_find_abstract(&self, name: &[u8], s: SocketId) -> Option<SocketId> {
        let Socket { ty, net, .. } = self.net.sockets[s];
        let found = |kind: &SocketKind| match kind {
            SocketKind::Unix(u) => u.bound == Some(Bound::Abstract) && u.name == name,
            SocketKind::Tcp(_) | SocketKind::Udp(_) => false,
        };
        self.net
            .sockets
            .iter()
            .find(|(_, s)| (s.ty, s.net) == (ty, net) && found(&s.kind))
            .map(|(id, _)| id)
    }

    /// unix_find_other(): who has this name. EINVAL for an empty one, ECONNREFUSED if nobody,
    /// EPROTOTYPE if a socket of another type than `s`, EACCES without permission to write.
    pub(super) fn unix_find_other(
        &mut self,
        call: &mut Call<'_>,
        path: &[u8],
        s: SocketId,
    ) -> Result<SocketId, Errno> {
        let ty = self.net.sockets[s].ty;
        match path.first() {
            None => Err(Errno::EINVAL),
            Some(0) => self.unix_find_abstract(path, s).ok_or(Errno::ECONNREFUSED),
            Some(_) => {
                let task = call.task;
                let path = self.user_path_at(task, AT_FDCWD, path, Lookup::FOLLOW, call.user)?;
                self.inode_permission(path.dentry, &self.tasks[task].cred, MAY_WRITE)?;
                let InodeKind::Socket(Some(other)) = self.vfs.inode(path.dentry).kind else {
                    return Err(Errno::ECONNREFUSED);
                };
                if self.net.sockets[other].ty != ty {
                    return Err(Errno::EPROTOTYPE);
                }
                Ok(other)
            }
        }
    }
}
