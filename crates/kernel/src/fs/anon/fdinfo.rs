//! What /proc/PID/fdinfo/N tells of an anonymous object, below position, flags, mount and inode.
//! proc_pid_fdinfo(5). Neighbours: `fs/procfs/task`, the kinds.

use crate::fs::anon::Anon;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::task::pid_namespace::PidNs;

impl Kernel {
    /// .show_fdinfo of an object that only a descriptor has.
    pub(crate) fn anon_show_fdinfo(&self, file: FileId, id: u64, ns: PidNs) -> String {
        match self.anon.of(id) {
            Anon::Eventfd(eventfd) => eventfd.fdinfo(),
            Anon::Timerfd(timerfd) => self.timerfd_fdinfo(timerfd),
            Anon::Signalfd(signalfd) => signalfd.fdinfo(),
            Anon::Pidfd(_) => {
                self.pidfd_of(file).map_or(String::new(), |pidfd| self.pidfd_show_fdinfo(pidfd, ns))
            }
            Anon::Inotify(inotify) => self.inotify_fdinfo(inotify),
            // These have no lines of their own.
            Anon::Mqueue(_) | Anon::Namespace(_) => String::new(),
        }
    }
}
