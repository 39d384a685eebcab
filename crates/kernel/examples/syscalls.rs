//! Prints docs/syscalls.md; `cargo xtask syscalls` writes it there. An example and no program of the
//! project: the kernel crate itself does no I/O. The page is made in `syscall::document`.

fn main() {
    print!("{}", kernel::syscall::document::page());
}
