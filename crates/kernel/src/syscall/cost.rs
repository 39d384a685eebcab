//! What a system call costs in virtual time, in units of `Config::syscall_cost`: half a microsecond
//! buys what most calls do; those that make or tear down something take longer, and a loop of them
//! ends sooner. The numbers are those of Linux 6.18 on a virtual machine of today, rounded: loops of
//! stat, open, mkdir, rename, creat, fcntl locks, pipe, mmap, brk, socket, connect, fork, vfork,
//! threads and exec, pinned to one CPU. What was not measured stands with its kind, and how a pair's
//! time divides (fork and exit, exec and exit) is a guess. How long the work behind a call takes,
//! bytes copied or pages filled, is not counted. Neighbours: `in_vain` (what asking again and again
//! costs), `enter_syscall` (who charges).

use crate::syscall::InFlight;
use linux_raw_sys::general as raw;

/// Units for one call, by its number and, of clone(2) and fcntl(2), its arguments.
pub fn units(flight: &InFlight) -> u32 {
    let args = &flight.args;
    match flight.nr as u32 {
        // A program is mapped, and the old one torn down: 0.5 ms with its exit, vfork and wait.
        raw::__NR_execve | raw::__NR_execveat => 400,
        raw::__NR_exit_group => 80,
        raw::__NR_exit => 10,
        // The address space is copied, or is not; clone3's flags are in memory and not looked at.
        raw::__NR_fork => 100,
        raw::__NR_vfork => 20,
        raw::__NR_clone if args[0] & u64::from(raw::CLONE_VM) == 0 => 100,
        raw::__NR_clone | raw::__NR_clone3 => 20,
        raw::__NR_unshare | raw::__NR_setns => 20,
        raw::__NR_mmap
        | raw::__NR_munmap
        | raw::__NR_mremap
        | raw::__NR_mprotect
        | raw::__NR_brk
        | raw::__NR_shmat
        | raw::__NR_shmdt => 4,
        // A walk along a path.
        raw::__NR_stat
        | raw::__NR_lstat
        | raw::__NR_newfstatat
        | raw::__NR_statx
        | raw::__NR_access
        | raw::__NR_faccessat
        | raw::__NR_faccessat2
        | raw::__NR_readlink
        | raw::__NR_readlinkat => 2,
        raw::__NR_open | raw::__NR_openat | raw::__NR_openat2 => 3,
        // And a change of a directory.
        raw::__NR_creat
        | raw::__NR_mkdir
        | raw::__NR_mkdirat
        | raw::__NR_rmdir
        | raw::__NR_rename
        | raw::__NR_renameat
        | raw::__NR_renameat2
        | raw::__NR_link
        | raw::__NR_linkat
        | raw::__NR_symlink
        | raw::__NR_symlinkat
        | raw::__NR_unlink
        | raw::__NR_unlinkat
        | raw::__NR_mknod
        | raw::__NR_mknodat => 6,
        raw::__NR_fcntl => match args[1] as u32 {
            raw::F_SETLK | raw::F_SETLKW | raw::F_OFD_SETLK | raw::F_OFD_SETLKW => 2,
            _no_lock => 1,
        },
        raw::__NR_flock => 2,
        raw::__NR_pipe | raw::__NR_pipe2 => 4,
        raw::__NR_socket | raw::__NR_socketpair | raw::__NR_accept | raw::__NR_accept4 => 8,
        raw::__NR_connect => 20,
        // Whatever else there is takes about as long as the way into the kernel and out of it.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn a_process_costs_more_than_a_thread() {
        let clone = |flags: u32| {
            let args = [flags.into(), 0, 0, 0, 0, 0];
            units(&InFlight::new(raw::__NR_clone.into(), args, Instant(0)))
        };
        assert!(clone(raw::SIGCHLD) > clone(raw::CLONE_VM | raw::CLONE_THREAD));
        assert_eq!(units(&InFlight::new(raw::__NR_getpid.into(), [0; 6], Instant(0))), 1);
    }
}
