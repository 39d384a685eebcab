//! What the kernel asks of whoever runs the guests: run one until it traps, change its address
//! space, move bytes. Neighbours: `platform::ptrace` (real ELF programs) and `lab::scripted` (Rust
//! values) implement these traits; nothing here assumes ptrace, nor two processes.
//! The kernel owns the words (areas, registers, signal frames), the platform moves the bytes.

use crate::abi::Errno;
use crate::time::{Duration, Instant};
use core::fmt;

/// One native execution context: a thread of a guest program with an address space that it may
/// share with others. Given out by the platform, meaningless to guests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GuestId(pub u64);

/// A memory object of the platform: the one home of bytes that are mapped (a memfd, say).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ObjectId(pub u64);

/// An address in a guest. It is never dereferenced here: only [`UserMemory`] takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UserPtr(pub u64);

impl UserPtr {
    /// The null pointer.
    pub const NULL: UserPtr = UserPtr(0);

    /// True for address 0.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `offset` bytes further on (wrapping, as a bad pointer may).
    #[must_use]
    pub const fn add(self, offset: u64) -> UserPtr {
        UserPtr(self.0.wrapping_add(offset))
    }
}

impl fmt::Debug for UserPtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() { f.write_str("NULL") } else { write!(f, "{:#x}", self.0) }
    }
}

/// The user-visible registers, in the order and under the names of `struct user_regs_struct`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The system call's number while one is in progress, −1 otherwise.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registers {{ rip {:#x} rsp {:#x} rax {:#x} }}", self.rip, self.rsp, self.rax)
    }
}

/// Why a guest stopped running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// The `syscall` instruction: number in `orig_rax`, arguments in rdi rsi rdx r10 r8 r9, rip
    /// behind the instruction, `rax` = −ENOSYS, as at Linux's own entry.
    Syscall,
    /// A system call through a door that we do not serve: `int 0x80`, x32, the vsyscall page. The
    /// registers are behind the call, rax = −ENOSYS, as for [`Trap::Syscall`]; with `int 0x80` the
    /// arguments are where the i386 ABI has them.
    ForeignSyscall {
        /// Which door, as a word for the facts: `"int 0x80"`, `"x32"`, `"vsyscall"`,
        /// `"sysenter"`, `"32-bit syscall"`.
        door: &'static str,
        /// The number asked for at that door.
        number: u64,
    },
    /// The CPU refused an instruction or an access; to become a signal.
    Fault(Fault),
    /// `rdtsc` (length 2) or `rdtscp` (length 3) at rip: to be answered from virtual time.
    Tsc {
        /// Length of the instruction in bytes.
        length: u8,
    },
    /// The watchdog found that the guest spins without any effect: it gives up the CPU. The
    /// registers are in the same state in every run.
    Spin,
    /// The guest computes and has not trapped. Nothing happened: run again, it goes on as if it had
    /// not been stopped. When this is told depends on the real machine, so whoever makes use of it
    /// makes a run that may not repeat.
    Computing {
        /// The CPU time that it has used without a trap, about.
        spent: Duration,
    },
    /// The native process vanished (killed from outside, the machine's OOM killer): the guest can
    /// never run again.
    Gone,
}

/// A synchronous fault, with what `siginfo` and the signal frame report of it (rule S-46).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGTRAP.
    pub signo: u8,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub addr: u64,
    /// The CPU's exception number (14 for a page fault), for the frame's `trapno`.
    pub trapno: u64,
    /// The CPU's error code, for the frame's `err`.
    pub error: u64,
}

/// Access to the memory of a *named* guest. Protections are honoured as by the CPU.
pub trait UserMemory {
    /// Copies from the guest; returns how many bytes could be read before the first hole.
    fn read_user(&mut self, guest: GuestId, from: UserPtr, into: &mut [u8]) -> usize;
    /// The same for onlookers (a trace): whoever counts the bytes that move does not count these.
    fn peek_user(&mut self, guest: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        self.read_user(guest, from, into)
    }
    /// Copies to the guest; returns how many bytes could be written before the first hole.
    fn write_user(&mut self, guest: GuestId, to: UserPtr, from: &[u8]) -> usize;
}

/// What kind of thing the machine has at a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LowerKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Devices, sockets, fifos: shown by name, never opened.
    Other,
}

/// Metadata of one of the machine's files: only what does not leak the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LowerStat {
    /// File, directory, symlink or other.
    pub kind: LowerKind,
    /// Permission bits with setuid, setgid and sticky (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Number of hard links.
    pub nlink: u32,
}

/// The machine's files, read only: the layer below the guests' private in-memory one. Paths are
/// absolute; the last component is never followed if it is a symlink, and the kernel resolves
/// symlinks in the middle itself, so that no path given here contains one.
pub trait LowerFiles {
    /// lstat(2). `ENOENT`, `EACCES`, `ENOTDIR` as the machine says.
    fn lower_stat(&mut self, path: &[u8]) -> Result<LowerStat, Errno>;
    /// The names in a directory without `.` and `..`, sorted by byte.
    fn lower_list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno>;
    /// readlink(2).
    fn lower_readlink(&mut self, path: &[u8]) -> Result<Vec<u8>, Errno>;
    /// pread(2): fewer bytes than asked for only at the end of the file.
    fn lower_read(&mut self, path: &[u8], offset: u64, into: &mut [u8]) -> Result<usize, Errno>;
}

/// Where the bytes of a mapping come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Zeroes, private to the address space.
    Anonymous,
    /// One of the machine's files (always a private mapping of a file nobody can write).
    Lower {
        /// Its absolute path.
        path: Vec<u8>,
        /// Byte offset of the first page.
        offset: u64,
    },
    /// A memory object.
    Object {
        /// Which one.
        id: ObjectId,
        /// Byte offset of the first page.
        offset: u64,
        /// MAP_SHARED (writes go to the object) or MAP_PRIVATE (copy on write).
        shared: bool,
    },
}

impl Backing {
    /// The same, where offset `from` of what is behind it becomes offset `to`. None where there is
    /// nothing behind it, or not so much before it.
    pub fn moved(mut self, from: u64, to: u64) -> Option<Backing> {
        match &mut self {
            Backing::Anonymous => return None,
            Backing::Lower { offset, .. } | Backing::Object { offset, .. } => {
                *offset = offset.checked_sub(from)?.checked_add(to)?;
            }
        }
        Some(self)
    }
}

/// PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4.
pub type Prot = u32;

/// One change of an address space. Addresses and lengths are page-aligned and were checked against
/// the kernel's areas: the platform obeys (MAP_FIXED).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum MapChange {
    Map {
        start: u64,
        len: u64,
        prot: Prot,
        backing: Backing,
    },
    Unmap {
        start: u64,
        len: u64,
    },
    Protect {
        start: u64,
        len: u64,
        prot: Prot,
    },
    /// mremap(MREMAP_MAYMOVE|MREMAP_FIXED): moves and resizes one area, its bytes with it.
    Move {
        from: u64,
        old_len: u64,
        to: u64,
        new_len: u64,
    },
    /// madvise(MADV_DONTNEED): private anonymous pages read as zero again, file pages as the file.
    Discard {
        start: u64,
        len: u64,
    },
}

/// The one door to whoever runs the guests. All errors are the machine's (out of memory, out of
/// processes): the kernel turns them into the errno that Linux would give.
pub trait Platform: UserMemory + LowerFiles {
    /// The lowest and one-past-highest address that the kernel may hand out in a guest; what lies
    /// outside (a gadget page, say) belongs to the platform.
    fn user_range(&self) -> (u64, u64);
    /// A fresh guest with an empty address space in `user_range`, default extended registers, made
    /// for exec; the caller maps the image into it. Virtual time's TSC and CPUID rules apply.
    fn spawn(&mut self) -> Result<GuestId, Errno>;
    /// A second guest: a copy of `parent`'s address space (fork), or one that shares it
    /// (`share_memory`: threads, vfork). Extended registers are copied from the parent.
    fn fork(&mut self, parent: GuestId, share_memory: bool) -> Result<GuestId, Errno>;
    /// Ends the native context; its memory goes with the last that shares it.
    fn release(&mut self, guest: GuestId);
    /// Bytes of its private memory that it touched; what it shares with copies of itself counts in
    /// parts. Asked only where more is promised than there is.
    /// A guest that is gone has none.
    fn resident(&mut self, guest: GuestId) -> u64;
    /// Applies changes in order to the address space of `guest`. On error the index of the first
    /// change that failed is given and later ones were not tried. A change outside `user_range`, not
    /// page-aligned or empty is our bug and panics. As on x86, what can be written or executed can
    /// be read.
    fn change_map(&mut self, guest: GuestId, changes: &[MapChange]) -> Result<(), (usize, Errno)>;
    /// Lets `guest` run in user mode from `regs` until it traps; `regs` holds its state then. All
    /// registers count, cs (0x33) and ss (0x2b) too; only `orig_rax` is ignored, and it is −1
    /// afterwards unless a system call trapped. Registers that the CPU cannot hold (a selector that
    /// is none) are a general protection fault at rip; which of them were set is not defined then.
    fn run(&mut self, guest: GuestId, regs: &mut Registers) -> Trap;
    /// The CPU's extended state in XSAVE layout (standard format, with its header); empty if the
    /// guest is gone.
    fn xstate(&mut self, guest: GuestId) -> Vec<u8>;
    /// Puts the extended state; `false` if the CPU would refuse it (bad MXCSR or header), in which
    /// case nothing changed.
    fn set_xstate(&mut self, guest: GuestId, area: &[u8]) -> bool;
    /// The XCR0 mask of enabled state components, as the signal frame's software bytes report it.
    fn xfeatures(&self) -> u64;
    /// AT_HWCAP and AT_HWCAP2 as guests are told.
    fn hwcap(&self) -> (u64, u64);
    /// A new memory object of `size` zero bytes.
    fn object_create(&mut self, size: u64) -> Result<ObjectId, Errno>;
    /// Reads from an object; short only at its end.
    fn object_read(&mut self, id: ObjectId, offset: u64, into: &mut [u8]) -> usize;
    /// Writes into an object, which must be long enough.
    fn object_write(&mut self, id: ObjectId, offset: u64, from: &[u8]);
    /// ftruncate(2) on the object.
    fn object_resize(&mut self, id: ObjectId, size: u64) -> Result<(), Errno>;
    /// Nobody names the object any more (mappings keep its bytes).
    fn object_release(&mut self, id: ObjectId);
    /// The virtual time from which the platform may answer what it answers itself.
    fn set_time(&mut self, _now: Instant) {}
}
