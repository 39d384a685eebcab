//! The files in the directory of a control group: what they say, and what writing there does. Texts
//! are made when a file is read at its beginning, and kept for the description, as those of procfs
//! are. Neighbours: `attach` (cgroup.procs, cgroup.threads), `threaded` (cgroup.type).

use super::{CgroupFileCtx, CgroupId};
use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::InodeKind;
use crate::kernel::Kernel;
use crate::task::signal::{SigInfo, Target};
use crate::task::{Pid, Run, TaskId};
use std::sync::Arc;

/// The most that one write may bring.
const PAGE_SIZE: usize = 4096;

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum CgroupFile {
    Type,
    Procs,
    Threads,
    Controllers,
    SubtreeControl,
    Events,
    MaxDescendants,
    MaxDepth,
    Stat,
    StatLocal,
    Freeze,
    Kill,
    CpuStat,
    CpuStatLocal,
}

/// cgroup_base_files: each with its mode, and whether the root has it too.
pub(super) const BASE_FILES: [(CgroupFile, &str, u32, bool); 14] = [
    (CgroupFile::Type, "cgroup.type", 0o644, false),
    (CgroupFile::Procs, "cgroup.procs", 0o644, true),
    (CgroupFile::Threads, "cgroup.threads", 0o644, true),
    (CgroupFile::Controllers, "cgroup.controllers", 0o444, true),
    (CgroupFile::SubtreeControl, "cgroup.subtree_control", 0o644, true),
    (CgroupFile::Events, "cgroup.events", 0o444, false),
    (CgroupFile::MaxDescendants, "cgroup.max.descendants", 0o644, true),
    (CgroupFile::MaxDepth, "cgroup.max.depth", 0o644, true),
    (CgroupFile::Stat, "cgroup.stat", 0o444, true),
    (CgroupFile::StatLocal, "cgroup.stat.local", 0o444, false),
    (CgroupFile::Freeze, "cgroup.freeze", 0o644, false),
    (CgroupFile::Kill, "cgroup.kill", 0o200, false),
    (CgroupFile::CpuStat, "cpu.stat", 0o444, true),
    (CgroupFile::CpuStatLocal, "cpu.stat.local", 0o444, true),
];

/// strstrip() of what was written, up to a NUL.
fn strstrip(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes[..end].trim_ascii()
}

/// kstrtoint() with base 0: decimal, 0x… or octal. EINVAL for what is no number, ERANGE for one that
/// is too large.
pub(super) fn kstrtoint(bytes: &[u8]) -> Result<i32, Errno> {
    let text = core::str::from_utf8(strstrip(bytes)).map_err(|_| Errno::EINVAL)?;
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (base, digits) = match (hex, digits.strip_prefix('0')) {
        (Some(hex), _) => (16, hex),
        (None, Some(octal)) if !octal.is_empty() => (8, octal),
        (None, _) => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(Errno::EINVAL);
    }
    let number = i64::from_str_radix(digits, base).map_err(|_| Errno::ERANGE)?;
    i32::try_from(if minus { -number } else { number }).map_err(|_| Errno::ERANGE)
}

/// "max" or a number that is not negative.
fn limit(bytes: &[u8]) -> Result<i32, Errno> {
    if strstrip(bytes) == b"max" {
        return Ok(i32::MAX);
    }
    let number = kstrtoint(bytes)?;
    if number < 0 { Err(Errno::ERANGE) } else { Ok(number) }
}

fn show_limit(limit: i32) -> String {
    if limit == i32::MAX { "max\n".into() } else { format!("{limit}\n") }
}

impl Kernel {
    /// kernfs_fop_open(): the opener's credentials are asked for later. ENODEV if the group was
    /// removed.
    pub(crate) fn cgroup_open(
        &mut self,
        task: TaskId,
        file: FileId,
        cgroup: CgroupId,
    ) -> Result<(), Errno> {
        self.files[file].f_cred = Some(Box::new(self.tasks[task].cred.clone()));
        self.cgroup_is_alive(cgroup)?;
        let ns = self.tasks[task].nsproxy.cgroup;
        self.cgroups.open.insert(file, CgroupFileCtx { ns, event: None });
        Ok(())
    }

    /// ENODEV for a group that was removed.
    fn cgroup_is_alive(&self, cgroup: CgroupId) -> Result<(), Errno> {
        let dead = self.cgroups.all.get(cgroup).is_none_or(|c| c.dead);
        if dead { Err(Errno::ENODEV) } else { Ok(()) }
    }

    /// Up to `len` bytes at `pos`.
    pub(crate) fn cgroup_read(
        &mut self,
        file: FileId,
        (cgroup, which): (CgroupId, CgroupFile),
        pos: u64,
        len: usize,
    ) -> Result<Vec<u8>, Errno> {
        self.cgroup_is_alive(cgroup)?;
        if pos == 0 || !self.vfs.proc_texts.contains_key(&file) {
            let text = self.cgroup_seqfile_show(file, cgroup, which)?;
            // A list without a line was not shown.
            let list = matches!(which, CgroupFile::Procs | CgroupFile::Threads);
            if !list || !text.is_empty() {
                let event = Some(self.cgroups.event_of(cgroup, which));
                self.cgroups.open.entry(file).or_default().event = event;
            }
            self.vfs.proc_texts.insert(file, Arc::new(text.into()));
        }
        let text = &self.vfs.proc_texts[&file];
        let start = usize::try_from(pos).unwrap_or(usize::MAX).min(text.len());
        Ok(text[start..text.len().min(start.saturating_add(len))].to_vec())
    }

    /// The text of a file. EINVAL for one that is only written.
    fn cgroup_seqfile_show(
        &self,
        file: FileId,
        cgroup: CgroupId,
        which: CgroupFile,
    ) -> Result<String, Errno> {
        let c = &self.cgroups.all[cgroup];
        Ok(match which {
            CgroupFile::Type => format!("{}\n", self.cgroups.type_of(cgroup)),
            CgroupFile::Procs => self.cgroup_pids(file, self.cgroup_processes(cgroup)?),
            CgroupFile::Threads => self.cgroup_pids(file, c.tasks.clone()),
            // There are no controllers.
            CgroupFile::Controllers | CgroupFile::SubtreeControl | CgroupFile::CpuStatLocal => {
                String::new()
            }
            CgroupFile::CpuStat => self.cgroups.cpu_stat_show(cgroup),
            CgroupFile::Events => {
                let (populated, frozen) = (c.populated > 0, c.freezer.frozen);
                format!("populated {}\nfrozen {}\n", u8::from(populated), u8::from(frozen))
            }
            CgroupFile::MaxDescendants => show_limit(c.max_descendants),
            CgroupFile::MaxDepth => show_limit(c.max_depth),
            CgroupFile::Stat => {
                let living = self.cgroups.and_descendants(cgroup).len() - 1;
                let dying = self.cgroups.nr_dying_descendants(cgroup);
                format!("nr_descendants {living}\nnr_dying_descendants {dying}\n")
            }
            CgroupFile::StatLocal => {
                format!("frozen_usec {}\n", c.freezer.time_until(self.now).as_micros())
            }
            CgroupFile::Freeze => format!("{}\n", u8::from(c.freezer.freeze)),
            CgroupFile::Kill => return Err(Errno::EINVAL),
        })
    }

    /// cgroup_procs_show(): one number in each line, as who opened the file sees it.
    fn cgroup_pids(&self, file: FileId, tasks: Vec<TaskId>) -> String {
        // Unlike Linux, the reader is whose process opened it.
        let opener = self.files[file].opened_by.and_then(|pid| self.pids.task(pid));
        let reader = opener.unwrap_or(self.init_task());
        let number = |task: TaskId| self.pid_vnr(reader, self.tasks[task].tid);
        tasks.into_iter().map(|task| format!("{}\n", number(task))).collect()
    }

    /// Processes that the group has, those in the threaded groups below it too: leaders that live,
    /// then those that exited before their threads. EOPNOTSUPP in a threaded group.
    pub(super) fn cgroup_processes(&self, cgroup: CgroupId) -> Result<Vec<TaskId>, Errno> {
        if self.cgroups.is_threaded(cgroup) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut found = Vec::new();
        for at in self.cgroups.domain_members(cgroup) {
            let leads = |task: &TaskId| self.groups[self.tasks[*task].group].leader == *task;
            found.extend(self.cgroups.all[at].tasks.iter().copied().filter(leads));
            let outlived = |task: &TaskId| {
                let t = &self.tasks[*task];
                let group = &self.groups[t.group];
                t.cgroup == at
                    && t.run == Run::Zombie
                    && group.leader == *task
                    && group.tasks.iter().any(|thread| !self.tasks[*thread].exiting)
            };
            found.extend(self.tasks.iter().map(|(id, _)| id).filter(outlived));
        }
        Ok(found)
    }

    /// kernfs_fop_write_iter() and cgroup_file_write(). E2BIG for more than a page, EINVAL for a file
    /// that is only read, EPERM for what who was given a group by nsdelegate may not change there.
    pub(crate) fn cgroup_write(
        &mut self,
        (task, file): (TaskId, FileId),
        (cgroup, which): (CgroupId, CgroupFile),
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        if bytes.len() > PAGE_SIZE {
            return Err(Errno::E2BIG);
        }
        self.cgroup_is_alive(cgroup)?;
        let ns = self.cgroups.opened(file).ns;
        let given = [CgroupFile::Procs, CgroupFile::Threads, CgroupFile::SubtreeControl];
        if !given.contains(&which) && self.is_delegated_root(cgroup, ns) {
            return Err(Errno::EPERM);
        }
        match which {
            CgroupFile::Type => self.cgroup_type_write(cgroup, strstrip(bytes))?,
            CgroupFile::Procs => self.cgroup_procs_write((task, file), cgroup, bytes, true)?,
            CgroupFile::Threads => self.cgroup_procs_write((task, file), cgroup, bytes, false)?,
            CgroupFile::SubtreeControl => self.cgroup_subtree_control_write(task, bytes)?,
            CgroupFile::MaxDescendants => {
                self.cgroups.all[cgroup].max_descendants = limit(bytes)?;
            }
            CgroupFile::MaxDepth => self.cgroups.all[cgroup].max_depth = limit(bytes)?,
            CgroupFile::Kill => self.cgroup_kill_write(task, cgroup, kstrtoint(bytes)?)?,
            CgroupFile::Freeze => self.cgroup_freeze_write(cgroup, kstrtoint(bytes)?)?,
            CgroupFile::Controllers
            | CgroupFile::Events
            | CgroupFile::Stat
            | CgroupFile::StatLocal
            | CgroupFile::CpuStat
            | CgroupFile::CpuStatLocal => return Err(Errno::EINVAL),
        }
        Ok(bytes.len())
    }

    /// cgroup_subtree_control_write(): there is no controller that could be named.
    fn cgroup_subtree_control_write(&mut self, task: TaskId, bytes: &[u8]) -> Result<(), Errno> {
        let text = strstrip(bytes);
        if text.is_empty() {
            return Ok(());
        }
        let what = String::from_utf8_lossy(text).into_owned();
        self.tell(Some(task), Fact::unsupported("cgroup controller", what));
        Err(Errno::EINVAL)
    }

    /// cgroup_kill_write(): SIGKILL for every process in the group and below it.
    fn cgroup_kill_write(
        &mut self,
        writer: TaskId,
        cgroup: CgroupId,
        kill: i32,
    ) -> Result<(), Errno> {
        if kill != 1 {
            return Err(Errno::ERANGE);
        }
        if self.cgroups.is_threaded(cgroup) {
            return Err(Errno::EOPNOTSUPP);
        }
        for at in self.cgroups.and_descendants(cgroup) {
            for task in self.cgroups.all[at].tasks.clone() {
                let dying = self.tasks[task].pending.signal.has(Signal::SIGKILL);
                if !dying {
                    let by = (Pid(self.task_tgid_vnr(writer)), self.tasks[writer].cred.uid);
                    let info = SigInfo::user(Signal::SIGKILL, by.0, by.1);
                    // A standard signal with si_code 0 cannot fail.
                    let _ = self.send_signal(info, Target::Thread(task));
                }
            }
        }
        Ok(())
    }

    /// The file of a control group that a description is open on.
    pub(crate) fn cgroup_file(&self, file: FileId) -> Option<(CgroupId, CgroupFile)> {
        let dentry = self.files[file].dentry().filter(|_| self.files[file].kind == FileKind::Inode);
        match self.vfs.inode(dentry?).kind {
            InodeKind::Cgroup(cgroup, which) => Some((cgroup, which)),
            _ => None, // of another file system
        }
    }

    /// kernfs_fop_poll(): POLLERR and POLLPRI if it changed since it was read, if it was not read
    /// at all, or if the group was removed. None for other files.
    pub(crate) fn cgroup_poll(&self, file: FileId) -> Option<PollBits> {
        let (cgroup, which) = self.cgroup_file(file)?;
        let gone = self.cgroup_is_alive(cgroup).is_err();
        let seen = self.cgroups.opened(file).event;
        let news = gone || seen != Some(self.cgroups.event_of(cgroup, which));
        let news = if news { PollBits::ERR | PollBits::PRI } else { PollBits(0) };
        Some(PollBits::IN | PollBits::RDNORM | PollBits::OUT | PollBits::WRNORM | news)
    }

    /// The last reference to a description is gone.
    pub(crate) fn cgroup_file_release(&mut self, file: FileId) {
        self.cgroups.open.remove(&file);
    }
}

impl super::Cgroups {
    /// What is known of a description; nothing of one that exec made.
    pub(super) fn opened(&self, file: FileId) -> CgroupFileCtx {
        self.open.get(&file).copied().unwrap_or_default()
    }

    /// How often a file changed and told of it: only cgroup.events does.
    fn event_of(&self, cgroup: CgroupId, which: CgroupFile) -> u64 {
        match which {
            CgroupFile::Events => self.all[cgroup].event,
            _never_tell => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_kstrtoint_reads_them() {
        let read = |text: &str| kstrtoint(text.as_bytes());
        assert_eq!(
            (read(" 12\n"), read("0x10"), read("010"), read("-1")),
            (Ok(12), Ok(16), Ok(8), Ok(-1))
        );
        assert_eq!((read("0"), read("+5"), read("5\0x")), (Ok(0), Ok(5), Ok(5)));
        for bad in ["", "x", "1 2", "0x", "--1", "+-1", "09"] {
            assert_eq!(read(bad), Err(Errno::EINVAL), "{bad}");
        }
        for large in ["2147483648", "-2147483649", "99999999999999999999"] {
            assert_eq!(read(large), Err(Errno::ERANGE), "{large}");
        }
    }
}
