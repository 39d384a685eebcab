//! What becomes known of cgroup.events: who polls the file or watches it is told of a change, by a
//! worker a moment later, and at most once in ten milliseconds. What the file says is never late.
//! Neighbours: `files` (cgroup_poll), `fs/inotify/fsnotify`.

use super::CgroupId;
use crate::fs::inotify::bits::IN_MODIFY;
use crate::kernel::Kernel;
use crate::time::{Duration, Instant};
use crate::wait_queue::Event;

/// How long kernfs_notify_workfn() takes to come.
const WORK: Duration = Duration::from_micros(10);
/// CGROUP_FILE_NOTIFY_MIN_INTV.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

impl Kernel {
    /// cgroup_file_notify() of cgroup.events: at once, or when the interval after the last time is
    /// over.
    pub(super) fn cgroup_file_notify(&mut self, cgroup: CgroupId) {
        let now = self.now;
        let c = &mut self.cgroups.all[cgroup];
        if c.events.is_none() {
            return;
        }
        let next = c.notified_at.map(|last| last + MIN_INTERVAL);
        let at = match next.filter(|next| now <= *next) {
            Some(next) => next,
            None => {
                c.notified_at = Some(now);
                now + WORK
            }
        };
        self.cgroups.notify.insert((at, cgroup));
    }

    /// kernfs_notify_workfn(): those whose time has come are told.
    pub(crate) fn run_cgroup_notifications(&mut self) {
        while let Some((at, cgroup)) = self.cgroups.notify.first().copied()
            && at <= self.now
        {
            self.cgroups.notify.pop_first();
            let now = self.now;
            let Some(c) = self.cgroups.all.get_mut(cgroup).filter(|c| !c.dead) else { continue };
            c.notified_at = Some(now);
            c.event += 1;
            let events = c.events.expect("nobody else notifies");
            self.publish(Event::Cgroup(cgroup));
            self.fsnotify_dentry(events, IN_MODIFY);
        }
    }

    /// When somebody is to be told next.
    pub(crate) fn next_cgroup_notification(&self) -> Option<Instant> {
        self.cgroups.notify.first().map(|(at, _)| *at)
    }
}
