//! The system calls of x86-64 Linux 6.18 that are not here: their names, and what is missing with
//! them. A program that makes one gets ENOSYS, as from a Linux built without it, and the run says so
//! by name (`Fact::Unsupported`, architecture, invariant 7). Neighbour: `table`, the calls that are
//! here; `document` prints both as docs/syscalls.md.
// tidy: table

use Absent::{Missing, NotInLinux};

/// Why a call is not in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// Linux 6.18 itself answers ENOSYS (measured; sys_ni_syscall): nothing is missing.
    NotInLinux,
    /// Linux has it and we do not; what it belongs to.
    Missing(&'static str),
}

/// Number, name, and why it is absent; ascending.
pub const ABSENT: &[(u64, &str, Absent)] = &[
    (134, "uselib", NotInLinux),
    (139, "sysfs", Missing("old interfaces without users")),
    (153, "vhangup", Missing("old interfaces without users")),
    (154, "modify_ldt", Missing("I/O ports and segments of one's own: a guest has no hardware")),
    (156, "_sysctl", NotInLinux),
    (159, "adjtimex", Missing("adjusting the clock: time is the world's")),
    (163, "acct", Missing("quotas and process accounting")),
    (167, "swapon", Missing("swap: a host has none")),
    (168, "swapoff", Missing("swap: a host has none")),
    (172, "iopl", Missing("I/O ports and segments of one's own: a guest has no hardware")),
    (173, "ioperm", Missing("I/O ports and segments of one's own: a guest has no hardware")),
    (174, "create_module", NotInLinux),
    (175, "init_module", Missing("kernel modules")),
    (176, "delete_module", Missing("kernel modules")),
    (177, "get_kernel_syms", NotInLinux),
    (178, "query_module", NotInLinux),
    (179, "quotactl", Missing("quotas and process accounting")),
    (180, "nfsservctl", NotInLinux),
    (181, "getpmsg", NotInLinux),
    (182, "putpmsg", NotInLinux),
    (183, "afs_syscall", NotInLinux),
    (184, "tuxcall", NotInLinux),
    (185, "security", NotInLinux),
    (205, "set_thread_area", NotInLinux),
    (206, "io_setup", Missing("asynchronous I/O")),
    (207, "io_destroy", Missing("asynchronous I/O")),
    (208, "io_getevents", Missing("asynchronous I/O")),
    (209, "io_submit", Missing("asynchronous I/O")),
    (210, "io_cancel", Missing("asynchronous I/O")),
    (211, "get_thread_area", NotInLinux),
    (212, "lookup_dcookie", NotInLinux),
    (214, "epoll_ctl_old", NotInLinux),
    (215, "epoll_wait_old", NotInLinux),
    (236, "vserver", NotInLinux),
    (237, "mbind", Missing("NUMA: a host here has one node")),
    (238, "set_mempolicy", Missing("NUMA: a host here has one node")),
    (239, "get_mempolicy", Missing("NUMA: a host here has one node")),
    (246, "kexec_load", Missing("another kernel: a host has this one")),
    (248, "add_key", Missing("keyrings")),
    (249, "request_key", Missing("keyrings")),
    (250, "keyctl", Missing("keyrings")),
    (256, "migrate_pages", Missing("NUMA: a host here has one node")),
    (279, "move_pages", Missing("NUMA: a host here has one node")),
    (298, "perf_event_open", Missing("watching the kernel or the processor")),
    (300, "fanotify_init", Missing("watches of files")),
    (301, "fanotify_mark", Missing("watches of files")),
    (305, "clock_adjtime", Missing("adjusting the clock: time is the world's")),
    (313, "finit_module", Missing("kernel modules")),
    (317, "seccomp", Missing("filters and security modules")),
    (320, "kexec_file_load", Missing("another kernel: a host has this one")),
    (321, "bpf", Missing("watching the kernel or the processor")),
    (323, "userfaultfd", Missing("watching the kernel or the processor")),
    (329, "pkey_mprotect", Missing("protection keys")),
    (330, "pkey_alloc", Missing("protection keys")),
    (331, "pkey_free", Missing("protection keys")),
    (333, "io_pgetevents", Missing("asynchronous I/O")),
    (425, "io_uring_setup", Missing("asynchronous I/O")),
    (426, "io_uring_enter", Missing("asynchronous I/O")),
    (427, "io_uring_register", Missing("asynchronous I/O")),
    (428, "open_tree", Missing("mounts are the scenario's")),
    (429, "move_mount", Missing("mounts are the scenario's")),
    (430, "fsopen", Missing("mounts are the scenario's")),
    (431, "fsconfig", Missing("mounts are the scenario's")),
    (432, "fsmount", Missing("mounts are the scenario's")),
    (433, "fspick", Missing("mounts are the scenario's")),
    (440, "process_madvise", Missing("another process's memory and descriptors")),
    (442, "mount_setattr", Missing("mounts are the scenario's")),
    (443, "quotactl_fd", Missing("quotas and process accounting")),
    (444, "landlock_create_ruleset", Missing("filters and security modules")),
    (445, "landlock_add_rule", Missing("filters and security modules")),
    (446, "landlock_restrict_self", Missing("filters and security modules")),
    (447, "memfd_secret", Missing("memory that nobody else can see or change")),
    (448, "process_mrelease", Missing("another process's memory and descriptors")),
    (450, "set_mempolicy_home_node", Missing("NUMA: a host here has one node")),
    (451, "cachestat", Missing("what the page cache holds")),
    (453, "map_shadow_stack", NotInLinux),
    (457, "statmount", Missing("mounts are the scenario's")),
    (458, "listmount", Missing("mounts are the scenario's")),
    (459, "lsm_get_self_attr", Missing("filters and security modules")),
    (460, "lsm_set_self_attr", Missing("filters and security modules")),
    (461, "lsm_list_modules", Missing("filters and security modules")),
    (463, "setxattrat", Missing("extended attributes and flags relative to a directory")),
    (464, "getxattrat", Missing("extended attributes and flags relative to a directory")),
    (465, "listxattrat", Missing("extended attributes and flags relative to a directory")),
    (466, "removexattrat", Missing("extended attributes and flags relative to a directory")),
    (467, "open_tree_attr", Missing("mounts are the scenario's")),
    (468, "file_getattr", Missing("extended attributes and flags relative to a directory")),
    (469, "file_setattr", Missing("extended attributes and flags relative to a directory")),
];

/// The name of an absent call and why it is absent, if Linux has a call of this number.
pub fn absent(nr: u64) -> Option<(&'static str, Absent)> {
    let at = ABSENT.binary_search_by_key(&nr, |(number, ..)| *number).ok()?;
    let (_, name, why) = ABSENT[at];
    Some((name, why))
}

/// The name of any call of Linux 6.18.
pub fn name(nr: u64) -> Option<&'static str> {
    super::table::row(nr).map(|row| row.name).or_else(|| absent(nr).map(|(name, _)| name))
}
