//! /proc/config.gz (CONFIG_IKCONFIG_PROC): which parts of Linux are here, in the words of its own
//! configuration, for programs that look before they ask. Only what is there, and what is asked for
//! often and is not. Neighbour: `system`.

/// The configuration.
const CONFIG: &str = "#
# Linux/x86 6.18.0 Kernel Configuration
#
CONFIG_64BIT=y
CONFIG_X86_64=y
CONFIG_IKCONFIG=y
CONFIG_IKCONFIG_PROC=y
CONFIG_MULTIUSER=y
CONFIG_SYSVIPC=y
CONFIG_FUTEX=y
CONFIG_FUTEX_PI=y
CONFIG_POSIX_TIMERS=y
CONFIG_HIGH_RES_TIMERS=y
CONFIG_EPOLL=y
CONFIG_SIGNALFD=y
CONFIG_TIMERFD=y
CONFIG_EVENTFD=y
CONFIG_SHMEM=y
CONFIG_MEMFD_CREATE=y
CONFIG_MEMBARRIER=y
CONFIG_KCMP=y
CONFIG_RSEQ=y
CONFIG_ADVISE_SYSCALLS=y
CONFIG_FILE_LOCKING=y
CONFIG_DNOTIFY=y
CONFIG_BINFMT_ELF=y
CONFIG_BINFMT_SCRIPT=y
CONFIG_TTY=y
CONFIG_UNIX98_PTYS=y
CONFIG_PROC_FS=y
CONFIG_PROC_SYSCTL=y
CONFIG_SYSFS=y
CONFIG_TMPFS=y
CONFIG_NET=y
CONFIG_UNIX=y
CONFIG_INET=y
# CONFIG_SMP is not set
CONFIG_NAMESPACES=y
CONFIG_USER_NS=y
CONFIG_PID_NS=y
CONFIG_NET_NS=y
CONFIG_UTS_NS=y
CONFIG_IPC_NS=y
CONFIG_TIME_NS=y
CONFIG_CGROUPS=y
# CONFIG_SECCOMP is not set
# CONFIG_BPF_SYSCALL is not set
# CONFIG_IO_URING is not set
# CONFIG_AIO is not set
# CONFIG_USERFAULTFD is not set
# CONFIG_FANOTIFY is not set
# CONFIG_MODULES is not set
# CONFIG_IPV6 is not set
";

/// The text in a gzip file of one stored block (RFC 1952, RFC 1951 3.2.4).
pub fn config_gz() -> Vec<u8> {
    let text = CONFIG.as_bytes();
    let len = text.len() as u16;
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    file.extend(len.to_le_bytes());
    file.extend((!len).to_le_bytes());
    file.extend(text);
    file.extend(crc32(text).to_le_bytes());
    file.extend((text.len() as u32).to_le_bytes());
    file
}

/// The check value of RFC 1952, section 8.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert!(CONFIG.len() < 65536, "one stored block is enough");
    }
}
