//! Files: descriptor tables (`fdtable`), open file descriptions (`file`), what they can do
//! (`file_operations`), and what is behind them: pipes, epoll sets, anonymous files, the console,
//! and the VFS (`dcache`, `inode`). The walk of a death passes `fdtable` → `file`.

pub mod anon;
pub mod console;
pub mod dcache;
pub mod device;
pub mod epoll;
pub mod fcntl;
pub mod fd_syscalls;
pub mod fdtable;
pub mod file;
pub mod file_operations;
pub mod inode;
pub mod inode_operations;
pub mod ioctl;
pub mod locks;
pub mod pipe;
pub mod poll;
pub mod read_write;

pub use dcache::Vfs;
