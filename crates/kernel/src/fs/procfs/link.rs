//! The magic links of procfs: self, thread-self, fd/N, cwd, exe, root. They jump to a dentry or an
//! open file instead of giving a path. Who may follow: whoever may ptrace the process (ptrace(2),
//! "Ptrace access mode checking"). Neighbours: `namei` (pick_link), `mod`.

use super::{PidLink, ProcNode};
use crate::abi::Errno;
use crate::fs::namei::{Found, Link};
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::task::pid_namespace::PidNs;

impl Kernel {
    /// proc_pid_get_link() and its kin, for `reader`, in a procfs
    /// of `ns`.
    pub(crate) fn proc_get_link(
        &self,
        reader: TaskId,
        node: ProcNode,
        ns: PidNs,
    ) -> Result<Link, Errno> {
        match node {
            ProcNode::SelfLink => {
                let tgid = self.groups[self.tasks[reader].group].tgid;
                match self.pids.pid_nr_ns(tgid, ns) {
                    0 => Err(Errno::ENOENT),
                    nr => Ok(Link::Path(nr.to_string().into_bytes())),
                }
            }
            ProcNode::ThreadSelf => {
                let (tgid, tid) =
                    (self.groups[self.tasks[reader].group].tgid, self.tasks[reader].tid);
                match [tgid, tid].map(|pid| self.pids.pid_nr_ns(pid, ns)) {
                    [_, 0] => Err(Errno::ENOENT),
                    [tgid, tid] => Ok(Link::Path(format!("{tgid}/task/{tid}").into_bytes())),
                }
            }
            ProcNode::Fd(task, fd) => {
                self.ptrace_may_access(reader, task)?;
                let file = self.proc_file_of(task, fd).ok_or(Errno::ENOENT)?;
                let found = self.files[file].path.map_or(Found::File(file), Found::Path);
                Ok(Link::Jump(found))
            }
            ProcNode::Link(task, link) => {
                self.ptrace_may_access(reader, task)?;
                let fs = self.tasks[task].fs.map(|fs| &self.fs_structs[fs]);
                let path = match link {
                    PidLink::Cwd => fs.map(|fs| fs.pwd),
                    PidLink::Root => fs.map(|fs| fs.root),
                    PidLink::Exe => self.proc_exe(task),
                };
                Ok(Link::Jump(Found::Path(path.ok_or(Errno::ENOENT)?)))
            }
            ProcNode::Ns(task, i) => {
                self.ptrace_may_access(reader, task)?;
                let ns = self.ns_link(task, i).ok_or(Errno::ENOENT)?;
                Ok(Link::Jump(Found::Namespace(ns)))
            }
            ProcNode::Root
            | ProcNode::Process(_)
            | ProcNode::Thread(_)
            | ProcNode::TaskDir(_)
            | ProcNode::FdDir(_)
            | ProcNode::FdinfoDir(_)
            | ProcNode::NetDir(_)
            | ProcNode::NsDir(_)
            | ProcNode::Fdinfo(..)
            | ProcNode::File(..)
            | ProcNode::System(_) => Err(Errno::EINVAL),
        }
    }

    /// ptrace_may_access(): the same process; all ids of the target those of the reader, unless it is
    /// not dumpable or may more; CAP_SYS_PTRACE. EACCES otherwise, ESRCH if the target is gone.
    pub(crate) fn ptrace_may_access(&self, reader: TaskId, target: TaskId) -> Result<(), Errno> {
        let Some(other) = self.tasks.get(target) else { return Err(Errno::ESRCH) };
        let me = &self.tasks[reader];
        let (a, b) = (&me.cred, &other.cred);
        let uids = [b.uid, b.euid, b.suid].iter().all(|uid| *uid == a.fsuid);
        let gids = [b.gid, b.egid, b.sgid].iter().all(|gid| *gid == a.fsgid);
        let over = |ns| self.ns_capable(reader, ns, Cap::SysPtrace);
        // A memory that is not dumpable belongs to where its program was started.
        let mm = other.mm.map(|mm| &self.mms[mm]);
        let dumpable = mm.is_none_or(|mm| mm.dumpable || over(mm.user_ns));
        let caps = a.user_ns == b.user_ns && b.cap_permitted.is_subset(a.cap_effective);
        let own = uids && gids && caps;
        if me.group == other.group || dumpable && (own || over(b.user_ns)) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }
}
