//! Files: descriptor tables (`fdtable`), open file descriptions (`file`), what they can do
//! (`file_operations`), and what is behind them: pipes, epoll sets, anonymous files, the console,
//! and the VFS: names (`dcache`, `path`, `namei`, `overlay`, `mount`), files (`inode`, `file_bytes`,
//! `file_rw`, `inode_operations`, `stat`), the calls on paths (`open`, `create`, `dir`); and control
//! groups (`cgroup`), which are directories. The walk of a death passes `fdtable` → `file`.

pub mod anon;
pub mod attr;
pub mod cgroup;
pub mod console;
pub mod create;
pub mod dcache;
pub mod device;
pub mod dir;
pub mod dnotify;
pub mod epoll;
pub mod fasync;
pub mod fcntl;
pub mod fd_syscalls;
pub mod fdtable;
pub mod file;
pub mod file_bytes;
pub mod file_operations;
pub mod file_rw;
pub mod fileattr;
pub mod fs_struct;
pub mod inode;
pub mod inode_operations;
pub mod inotify;
pub mod ioctl;
pub mod lease;
pub mod locks;
pub mod loop_device;
pub mod memfd;
pub mod mount;
pub mod namei;
pub mod nsfs;
pub mod open;
pub mod open_flags;
pub mod overlay;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod procfs;
pub mod read_write;
pub mod rename;
pub mod select;
pub mod sendfile;
pub mod splice;
pub mod stat;
#[cfg(test)]
pub(crate) mod testing;
pub mod unlink;
pub mod xattr;

pub use dcache::Vfs;
