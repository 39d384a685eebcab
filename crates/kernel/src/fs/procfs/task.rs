//! Files of procfs that are about one process or thread, apart from its memory: status, stat, comm,
//! limits, mounts, fdinfo and others; and what can be written there. Neighbours: `memory`, `mod`.

use crate::abi::Errno;
use crate::abi::signal::SigSet;
use crate::fs::file::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::mm::PAGE_SIZE;
use crate::platform::Platform;
use crate::task::capability::Cap;
use crate::task::pid_namespace::PidNs;
use crate::task::timer::clock::{Clock, nanos};
use crate::task::user_namespace::{IdKind, UserNs};
use crate::task::{Run, TaskId};
use core::fmt::Write;

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum PidFile {
    Auxv,
    Cgroup,
    Cmdline,
    Comm,
    Environ,
    GidMap,
    Limits,
    Loginuid,
    Maps,
    Mountinfo,
    Mounts,
    OomScore,
    OomScoreAdj,
    Personality,
    ProjidMap,
    Sessionid,
    Setgroups,
    Smaps,
    Stat,
    Statm,
    Status,
    Syscall,
    TimensOffsets,
    UidMap,
    Wchan,
    NetDev,
    NetIfInet6,
    NetSockstat6,
    NetTcp,
    NetTcp6,
    NetUdp,
    NetUdp6,
    NetUnix,
    NetRoute,
}

/// The files in /proc/PID besides those that threads have too.
pub const PROCESS_ONLY: &[(&str, PidFile)] = &[("timens_offsets", PidFile::TimensOffsets)];

/// The files in /proc/PID/task/TID.
pub const THREAD_FILES: &[(&str, PidFile)] = &[
    ("auxv", PidFile::Auxv),
    ("cgroup", PidFile::Cgroup),
    ("cmdline", PidFile::Cmdline),
    ("comm", PidFile::Comm),
    ("environ", PidFile::Environ),
    ("gid_map", PidFile::GidMap),
    ("limits", PidFile::Limits),
    ("loginuid", PidFile::Loginuid),
    ("maps", PidFile::Maps),
    ("mountinfo", PidFile::Mountinfo),
    ("mounts", PidFile::Mounts),
    ("oom_score", PidFile::OomScore),
    ("oom_score_adj", PidFile::OomScoreAdj),
    ("personality", PidFile::Personality),
    ("projid_map", PidFile::ProjidMap),
    ("sessionid", PidFile::Sessionid),
    ("setgroups", PidFile::Setgroups),
    ("smaps", PidFile::Smaps),
    ("stat", PidFile::Stat),
    ("statm", PidFile::Statm),
    ("status", PidFile::Status),
    ("syscall", PidFile::Syscall),
    ("uid_map", PidFile::UidMap),
    ("wchan", PidFile::Wchan),
];

/// The files in /proc/PID/net.
pub const NET_FILES: &[(&str, PidFile)] = &[
    ("dev", PidFile::NetDev),
    ("if_inet6", PidFile::NetIfInet6),
    ("route", PidFile::NetRoute),
    ("sockstat6", PidFile::NetSockstat6),
    ("tcp", PidFile::NetTcp),
    ("tcp6", PidFile::NetTcp6),
    ("udp", PidFile::NetUdp),
    ("udp6", PidFile::NetUdp6),
    ("unix", PidFile::NetUnix),
];

impl PidFile {
    /// Permission bits.
    pub fn mode(self) -> u32 {
        match self {
            PidFile::Auxv | PidFile::Environ | PidFile::Personality | PidFile::Syscall => 0o400,
            PidFile::Comm
            | PidFile::GidMap
            | PidFile::OomScoreAdj
            | PidFile::ProjidMap
            | PidFile::Setgroups
            | PidFile::TimensOffsets
            | PidFile::UidMap => 0o644,
            PidFile::Cgroup
            | PidFile::Cmdline
            | PidFile::Limits
            | PidFile::Loginuid
            | PidFile::Maps
            | PidFile::Mountinfo
            | PidFile::Mounts
            | PidFile::OomScore
            | PidFile::Sessionid
            | PidFile::Smaps
            | PidFile::Stat
            | PidFile::Statm
            | PidFile::Status
            | PidFile::Wchan
            | PidFile::NetDev
            | PidFile::NetIfInet6
            | PidFile::NetSockstat6
            | PidFile::NetTcp
            | PidFile::NetTcp6
            | PidFile::NetUdp
            | PidFile::NetUdp6
            | PidFile::NetUnix
            | PidFile::NetRoute => 0o444,
        }
    }
}

/// Who reads a file: a task, the user namespace that it was in when it opened the file, and the pid
/// namespace of who mounted the procfs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Reader {
    pub task: TaskId,
    pub user_ns: UserNs,
    pub pid_ns: PidNs,
}

/// Names, units and numbers of resource limits, in the order of `limits`.
const LIMITS: [(&str, &str, usize); 16] = [
    ("Max cpu time", "seconds", 0),
    ("Max file size", "bytes", 1),
    ("Max data size", "bytes", 2),
    ("Max stack size", "bytes", 3),
    ("Max core file size", "bytes", 4),
    ("Max resident set", "bytes", 5),
    ("Max processes", "processes", 6),
    ("Max open files", "files", 7),
    ("Max locked memory", "bytes", 8),
    ("Max address space", "bytes", 9),
    ("Max file locks", "locks", 10),
    ("Max pending signals", "signals", 11),
    ("Max msgqueue size", "bytes", 12),
    ("Max nice priority", "", 13),
    ("Max realtime priority", "", 14),
    ("Max realtime timeout", "us", 15),
];

impl Kernel {
    /// The text of a file about `task`, for `reader`.
    pub(crate) fn proc_pid_file(
        &mut self,
        task: TaskId,
        file: PidFile,
        reader: Reader,
        user: &mut dyn Platform,
    ) -> Result<Vec<u8>, Errno> {
        let seq_ns = reader.user_ns;
        Ok(match file {
            PidFile::Auxv => self.proc_auxv(task),
            PidFile::Cgroup => self.proc_cgroup_show(task, reader.task),
            PidFile::Cmdline => self.proc_cmdline(task, user),
            PidFile::Comm => [&self.tasks[task].comm[..], b"\n"].concat(),
            PidFile::Environ => self.proc_environ(task, user),
            PidFile::UidMap => self.id_map_show(task, IdKind::User, seq_ns).into(),
            PidFile::GidMap => self.id_map_show(task, IdKind::Group, seq_ns).into(),
            PidFile::ProjidMap => self.id_map_show(task, IdKind::Project, seq_ns).into(),
            PidFile::Limits => self.proc_limits(task).into(),
            PidFile::Loginuid | PidFile::Sessionid => u32::MAX.to_string().into(),
            PidFile::Maps => self.proc_maps(task, false),
            PidFile::Smaps => self.proc_maps(task, true),
            // Shown to the description that was opened; see proc_read().
            PidFile::Mountinfo | PidFile::Mounts => Vec::new(),
            PidFile::OomScore => self.proc_oom_score(task).into(),
            PidFile::OomScoreAdj => format!("{}\n", self.oom_score_adj(task)).into(),
            PidFile::Personality => format!("{:08x}\n", self.tasks[task].personality).into(),
            PidFile::Setgroups => self.setgroups_show(task).into(),
            PidFile::Stat => self.proc_pid_stat(task, reader),
            PidFile::Statm => self.proc_statm(task).into(),
            PidFile::Status => self.proc_status(task, reader),
            PidFile::TimensOffsets => self.timens_offsets_show(task).into(),
            PidFile::Syscall => {
                self.ptrace_may_access(reader.task, task)?;
                self.proc_pid_syscall(reader.task, task).into()
            }
            PidFile::Wchan => b"0".to_vec(),
            PidFile::NetDev => self.proc_net_dev(self.has_no_network(task)).into(),
            PidFile::NetIfInet6 => self.proc_net_if_inet6(self.has_no_network(task)).into(),
            PidFile::NetSockstat6 => self.proc_net_sockstat6(self.has_no_network(task)).into(),
            PidFile::NetRoute => self.net_table(task, self.proc_net_route()),
            PidFile::NetTcp => self.net_table(task, self.proc_net_tcp(false, seq_ns)),
            PidFile::NetTcp6 => self.net_table(task, self.proc_net_tcp(true, seq_ns)),
            PidFile::NetUdp => self.net_table(task, self.proc_net_udp(false, seq_ns)),
            PidFile::NetUdp6 => self.net_table(task, self.proc_net_udp(true, seq_ns)),
            PidFile::NetUnix => self.proc_net_unix(task),
        })
    }

    /// A table of the host's network; its head only in a network namespace of one's own.
    fn net_table(&self, task: TaskId, mut text: String) -> Vec<u8> {
        if self.has_no_network(task) {
            text.truncate(text.find('\n').map_or(0, |end| end + 1));
        }
        text.into()
    }

    fn oom_score_adj(&self, task: TaskId) -> i32 {
        let group = self.tasks[task].group;
        self.vfs.oom_score_adj.get(&group).copied().unwrap_or(0)
    }

    /// proc_oom_score(): how likely the process is to be killed for memory, of 1333 or so; one that
    /// is not to be killed has 0.
    fn proc_oom_score(&self, task: TaskId) -> String {
        let (adj, total) = (i64::from(self.oom_score_adj(task)), self.config.memory / PAGE_SIZE);
        let points = (self.proc_memory_numbers(task).rss * 1000 / total.max(1)) as i64 + adj;
        let score = if adj == -1000 { 0 } else { (1000 + points) * 2 / 3 };
        format!("{score}\n")
    }

    /// The letter and the word for what a task does.
    fn proc_state(&self, task: TaskId) -> (char, &'static str) {
        match &self.tasks[task].run {
            Run::Ready => ('R', "running"),
            Run::Blocked(wait) if wait.killable => ('D', "disk sleep"),
            Run::Blocked(_) | Run::Frozen => ('S', "sleeping"),
            Run::Stopped => ('T', "stopped"),
            Run::Zombie => ('Z', "zombie"),
        }
    }

    fn proc_ppid(&self, task: TaskId, ns: PidNs) -> u32 {
        let group = &self.groups[self.tasks[task].group];
        let parent = group.parent.and_then(|p| self.groups.get(p));
        parent.map_or(0, |p| self.pids.pid_nr_ns(p.tgid, ns))
    }

    /// Signals that `task`'s process ignores, and those that it catches.
    fn proc_dispositions(&self, task: TaskId) -> (SigSet, SigSet) {
        let (mut ignored, mut caught) = (SigSet::EMPTY, SigSet::EMPTY);
        let group = &self.groups[self.tasks[task].group];
        let Some(sighand) = self.sighands.get(group.sighand) else { return (ignored, caught) };
        for signal in SigSet(u64::MAX).iter() {
            match sighand.of(signal).handler {
                0 => {}
                1 => ignored.add(signal),
                _ => caught.add(signal),
            }
        }
        (ignored, caught)
    }

    /// The numbers of `task` and of its process, group and session, from the namespace `ns` down to
    /// its own; 0 for who has none there.
    fn proc_ns_numbers(&self, task: TaskId, ns: PidNs) -> String {
        let (t, group) = (&self.tasks[task], &self.groups[self.tasks[task].group]);
        let own = self.pids.level(self.task_active_pid_ns(task));
        let levels = own.saturating_sub(self.pids.level(ns)) as usize + 1;
        let numbers = [
            ("NStgid", group.tgid),
            ("NSpid", t.tid),
            ("NSpgid", group.pgrp),
            ("NSsid", group.session),
        ];
        let line = |(name, pid)| {
            let mut all = match self.pids.pid_nr_ns(pid, ns) {
                0 => Vec::new(),
                _ => self.pids.all_numbers(pid, ns),
            };
            all.resize(levels, 0);
            let all: Vec<String> = all.iter().map(u32::to_string).collect();
            format!("{name}:\t{}\n", all.join("\t"))
        };
        numbers.into_iter().map(line).collect()
    }

    fn proc_status(&self, task: TaskId, reader: Reader) -> Vec<u8> {
        let Reader { user_ns: seq_ns, pid_ns: ns, .. } = reader;
        let nr = |pid| self.pids.pid_nr_ns(pid, ns);
        let t = &self.tasks[task];
        let group = &self.groups[t.group];
        let (cred, (letter, word)) = (&t.cred, self.proc_state(task));
        let mut s = String::new();
        if let Some(fs) = t.fs {
            let _ = writeln!(s, "Umask:\t{:04o}", self.fs_structs[fs].umask);
        }
        let _ = writeln!(s, "State:\t{letter} ({word})\nTgid:\t{}\nNgid:\t0", nr(group.tgid));
        let _ =
            writeln!(s, "Pid:\t{}\nPPid:\t{}\nTracerPid:\t0", nr(t.tid), self.proc_ppid(task, ns));
        let uids = [cred.uid, cred.euid, cred.suid, cred.fsuid];
        let gids = [cred.gid, cred.egid, cred.sgid, cred.fsgid];
        for (name, kind, ids) in [("Uid", IdKind::User, uids), ("Gid", IdKind::Group, gids)] {
            let [real, effective, saved, fs] = ids.map(|id| self.munged(seq_ns, kind, id));
            let _ = writeln!(s, "{name}:\t{real}\t{effective}\t{saved}\t{fs}");
        }
        let slots = t.files.map_or(0, |files| self.tables[files].max_fds());
        let seen = |gid: &u32| self.munged(seq_ns, IdKind::Group, *gid).to_string();
        let groups: Vec<String> = cred.groups.iter().map(seen).collect();
        let _ = writeln!(s, "FDSize:\t{slots}\nGroups:\t{} ", groups.join(" "));
        s.push_str(&self.proc_ns_numbers(task, ns));
        s.push_str("Kthread:\t0\n");
        s.push_str(&self.proc_status_memory(task));
        let threads = group.tasks.len();
        let pending = t.pending.list.len() + group.shared_pending.list.len();
        let limit = group.rlimits.0[crate::task::rlimit::RLIMIT_SIGPENDING].soft;
        let _ = writeln!(s, "Threads:\t{threads}\nSigQ:\t{pending}/{limit}");
        let (ignored, caught) = self.proc_dispositions(task);
        let sets = [
            ("SigPnd", t.pending.signal),
            ("ShdPnd", group.shared_pending.signal),
            ("SigBlk", t.blocked),
            ("SigIgn", ignored),
            ("SigCgt", caught),
        ];
        for (name, set) in sets {
            let _ = writeln!(s, "{name}:\t{:016x}", set.0);
        }
        let caps = [
            ("CapInh", cred.cap_inheritable),
            ("CapPrm", cred.cap_permitted),
            ("CapEff", cred.cap_effective),
            ("CapBnd", cred.cap_bset),
            ("CapAmb", cred.cap_ambient),
        ];
        for (name, set) in caps {
            let _ = writeln!(s, "{name}:\t{:016x}", set.0);
        }
        let _ = writeln!(s, "NoNewPrivs:\t{}", u8::from(t.no_new_privs));
        s.push_str("Seccomp:\t0\nSeccomp_filters:\t0\nSpeculation_Store_Bypass:\tnot vulnerable\n");
        s.push_str("SpeculationIndirectBranch:\tnot affected\n");
        s.push_str("Cpus_allowed:\t1\nCpus_allowed_list:\t0\n");
        s.push_str("Mems_allowed:\t1\nMems_allowed_list:\t0\n");
        s.push_str("voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
        [b"Name:\t", &t.comm[..], b"\n", s.as_bytes()].concat()
    }

    /// stat: 52 numbers, the name in parentheses.
    fn proc_pid_stat(&self, task: TaskId, by: Reader) -> Vec<u8> {
        let (reader, nr) = (by.task, |pid| self.pids.pid_nr_ns(pid, by.pid_ns));
        let t = &self.tasks[task];
        let group = &self.groups[t.group];
        let ticks = |d: crate::time::Duration| d.as_nanos() / 10_000_000;
        let (ignored, caught) = self.proc_dispositions(task);
        let tty = group.tty.map(|tty| &self.ttys[tty]);
        let tty_nr = tty.map_or(0, |tty| new_encode_dev(tty.rdev()));
        let tpgid = tty.and_then(|tty| tty.pgrp).map_or(-1, |pgrp| i64::from(nr(pgrp)));
        let m = self.proc_memory_numbers(task);
        let mut s = format!(" ({}) ", String::from_utf8_lossy(&t.comm));
        let _ = write!(s, "{} {} ", self.proc_state(task).0, self.proc_ppid(task, by.pid_ns));
        let _ = write!(s, "{} {} {tty_nr} {tpgid} 0 0 0 0 0 ", nr(group.pgrp), nr(group.session));
        let (utime, stime) = (group.utime + t.utime, group.stime + t.stime);
        let _ = write!(s, "{} {} ", ticks(utime), ticks(stime));
        let _ = write!(s, "{} {} 20 0 ", ticks(group.cutime), ticks(group.cstime));
        let start = (t.start_time - self.config.booted) + self.config.uptime;
        let start = nanos(start).saturating_add_signed(self.timens_offset(reader, Clock::Boottime));
        let start = start / 10_000_000;
        let _ = write!(s, "{} 0 {start} {} {} ", group.tasks.len(), m.vsize, m.rss);
        let rsslim = group.rlimits.0[5].soft;
        let _ = write!(s, "{rsslim} {} {} {} 0 0 ", m.start_code, m.end_code, m.start_stack);
        let low = |set: SigSet| set.0 & 0x7fff_ffff;
        let (pending, blocked) = (low(t.pending.signal), low(t.blocked));
        let _ = write!(s, "{pending} {blocked} {} {} 0 0 0 ", low(ignored), low(caught));
        let exit_signal = group.exit_signal.map_or(0, |signal| signal.number());
        let (start_data, end_data) = (m.start_data, m.end_data);
        let _ = write!(s, "{exit_signal} 0 0 0 0 0 0 {start_data} {end_data} {} ", m.start_brk);
        let _ = write!(s, "{} {} {} {} ", m.arg_start, m.arg_end, m.env_start, m.env_end);
        let _ = writeln!(s, "{}", t.exit_code.0);
        format!("{}{s}", nr(t.tid)).into_bytes()
    }

    fn proc_limits(&self, task: TaskId) -> String {
        let limits = &self.groups[self.tasks[task].group].rlimits;
        let show = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
        let mut text =
            format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
        for (name, unit, number) in LIMITS {
            let limit = limits.0[number];
            let (soft, hard) = (show(limit.soft), show(limit.hard));
            let unit = if unit.is_empty() { String::new() } else { format!("{unit:<10}") };
            let _ = writeln!(text, "{name:<25} {soft:<20} {hard:<20} {unit}");
        }
        text
    }

    /// proc_pid_syscall(): the call that it sleeps in, or reads this with: number, arguments, stack
    /// pointer and program counter.
    fn proc_pid_syscall(&self, reader: TaskId, task: TaskId) -> String {
        let t = &self.tasks[task];
        let r = &t.regs;
        let (sp, pc) = (r.rsp, r.rip);
        let asleep = t.run != Run::Ready;
        if task == reader || asleep && t.in_flight.is_some() {
            let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9].map(|it| format!("{it:#x}"));
            format!("{} {} {sp:#x} {pc:#x}\n", r.orig_rax as i64, args.join(" "))
        } else if asleep {
            format!("-1 {sp:#x} {pc:#x}\n")
        } else {
            "running\n".into()
        }
    }

    /// fdinfo/N: position, flags, mount, inode.
    pub(crate) fn proc_fdinfo(&self, task: TaskId, fd: i32, ns: PidNs) -> Vec<u8> {
        let Some(file) = self.proc_file_of(task, fd) else { return Vec::new() };
        let f = &self.files[file];
        let table = self.tasks[task].files.expect("proc_file_of found it there");
        let cloexec = self.tables[table].close_on_exec(fd);
        let flags = f.flags.0 | if cloexec { linux_raw_sys::general::O_CLOEXEC } else { 0 };
        let stat = self.file_stat(file);
        let mut text = format!(
            "pos:\t{}\nflags:\t0{flags:o}\nmnt_id:\t{}\nino:\t{}\n",
            f.pos, stat.mnt_id, stat.ino
        );
        match f.kind {
            FileKind::Anon(id) => text.push_str(&self.anon_show_fdinfo(file, id, ns)),
            FileKind::Epoll(id) => text.push_str(&self.ep_show_fdinfo(id)),
            _others_have_no_lines => {}
        }
        text.into_bytes()
    }

    /// Writes to a file about `target`: comm, oom_score_adj and the maps of its user namespace. EIO
    /// for files that nobody writes.
    pub(crate) fn proc_write(
        &mut self,
        (writer, opened): (TaskId, FileId),
        target: TaskId,
        file: PidFile,
        (pos, bytes): (u64, &[u8]),
    ) -> Result<usize, Errno> {
        if self.tasks.get(target).is_none() {
            return Err(Errno::ESRCH);
        }
        let opener = self.files[opened].f_cred.clone().unwrap_or_default();
        match file {
            PidFile::UidMap => {
                self.id_map_write(writer, &opener, target, IdKind::User, (pos, bytes))
            }
            PidFile::GidMap => {
                self.id_map_write(writer, &opener, target, IdKind::Group, (pos, bytes))
            }
            PidFile::ProjidMap => {
                self.id_map_write(writer, &opener, target, IdKind::Project, (pos, bytes))
            }
            PidFile::Setgroups => self.setgroups_write(target, (pos, bytes)),
            PidFile::TimensOffsets => self.timens_offsets_write(&opener, target, (pos, bytes)),
            PidFile::Comm => {
                if self.tasks[writer].group != self.tasks[target].group {
                    return Err(Errno::EINVAL);
                }
                let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
                self.tasks[target].comm = bytes[..end.min(15)].to_vec();
                Ok(bytes.len())
            }
            PidFile::OomScoreAdj => {
                let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim();
                let value: i32 = text.parse().map_err(|_| Errno::EINVAL)?;
                if !(-1000..=1000).contains(&value) {
                    return Err(Errno::EINVAL);
                }
                let (group, old) = (self.tasks[target].group, self.oom_score_adj(target));
                if value < old && !self.tasks[writer].cred.capable(Cap::SysResource) {
                    return Err(Errno::EACCES);
                }
                self.vfs.oom_score_adj.insert(group, value);
                Ok(bytes.len())
            }
            _ => Err(Errno::EIO),
        }
    }
}

/// new_encode_dev(): a device number in 32 bits.
fn new_encode_dev((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
