//! /proc/PID/{uid_map,gid_map,projid_map,setgroups}: what a user namespace calls its users
//! (user_namespaces(7), "User and group ID mappings: uid_map and gid_map"). A map is written once, by
//! somebody in the namespace or in its parent. Neighbours: `user_namespace`, `fs/procfs/task`.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::PAGE_SIZE;
use crate::task::capability::Cap;
use crate::task::user_namespace::{Extent, IdKind, IdMap, UserNs};
use crate::task::{Cred, TaskId};
use core::fmt::Write;

/// UID_GID_MAP_MAX_EXTENTS.
const MAX_EXTENTS: usize = 340;

impl IdMap {
    /// The lines of a map as they are written: EINVAL for what is none, for ids that wrap, and for
    /// ranges that overlap.
    fn parse(text: &[u8]) -> Result<IdMap, Errno> {
        let text = text.split(|b| *b == 0).next().unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut map = IdMap::default();
        for line in text.split(|b| *b == b'\n') {
            if map.0.len() >= MAX_EXTENTS {
                return Err(Errno::EINVAL);
            }
            let extent = Extent::parse(line).ok_or(Errno::EINVAL)?;
            if map.0.iter().any(|other| other.overlaps(&extent)) {
                return Err(Errno::EINVAL);
            }
            map.0.push(extent);
        }
        Ok(map)
    }
}

impl Extent {
    fn parse(line: &[u8]) -> Option<Extent> {
        let line = core::str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        // simple_strtoul() takes any number of digits and keeps the low bits.
        let mut next = || {
            let digits = words.next()?;
            let digit = |n: u32, b: u8| n.wrapping_mul(10).wrapping_add(u32::from(b - b'0'));
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.bytes().fold(0, digit))
        };
        let (first, lower_first, count) = (next()?, next()?, next()?);
        let fits = |from: u32| from != u32::MAX && from.wrapping_add(count) > from;
        let whole = words.next().is_none() && fits(first) && fits(lower_first);
        whole.then_some(Extent { first, lower_first, count })
    }

    fn overlaps(&self, other: &Extent) -> bool {
        let meet = |a: u32, b: u32| a.max(b) <= (a + (self.count - 1)).min(b + (other.count - 1));
        meet(self.first, other.first) || meet(self.lower_first, other.lower_first)
    }
}

impl Kernel {
    /// uid_m_show() and its kin: the map of the namespace that `task` is in, with the ids below it as
    /// `reader`'s namespace calls them, or its parent if they are the same.
    pub(crate) fn id_map_show(&self, task: TaskId, kind: IdKind, reader: UserNs) -> String {
        let (ns, users) = (self.tasks[task].cred.user_ns, &self.namespaces.user);
        let parent = users.get(ns).parent.filter(|_| ns == reader);
        let lower = parent.unwrap_or(reader);
        let mut text = String::new();
        for e in &users.map(ns, kind).0 {
            let seen = users.from_kid(lower, kind, e.lower_first).unwrap_or(u32::MAX);
            let _ = writeln!(text, "{:>10} {seen:>10} {:>10}", e.first, e.count);
        }
        text
    }

    /// map_write(), by `writer`, of a file that `opener` opened: EPERM for the host's own namespace,
    /// from outside, a second time, or for ids that one may not take; EINVAL for what is no map.
    pub(crate) fn id_map_write(
        &mut self,
        writer: TaskId,
        opener: &Cred,
        task: TaskId,
        kind: IdKind,
        (pos, bytes): (u64, &[u8]),
    ) -> Result<usize, Errno> {
        let (ns, users) = (self.tasks[task].cred.user_ns, &self.namespaces.user);
        let parent = users.get(ns).parent.ok_or(Errno::EPERM)?;
        if opener.user_ns != ns && opener.user_ns != parent {
            return Err(Errno::EPERM);
        }
        if pos != 0 || bytes.len() as u64 >= PAGE_SIZE {
            return Err(Errno::EINVAL);
        }
        let admin = users.caps_over(opener, ns).has(Cap::SysAdmin);
        if !users.map(ns, kind).0.is_empty() || kind != IdKind::Project && !admin {
            return Err(Errno::EPERM);
        }
        let mut map = IdMap::parse(bytes)?;
        if !self.new_idmap_permitted(writer, opener, ns, kind, &map) {
            return Err(Errno::EPERM);
        }
        let users = &mut self.namespaces.user;
        for extent in &mut map.0 {
            let lower = users.map(parent, kind).down(extent.lower_first, extent.count);
            extent.lower_first = lower.ok_or(Errno::EPERM)?;
        }
        users.get_mut(ns).maps[kind as usize] = map;
        Ok(bytes.len())
    }

    /// new_idmap_permitted(): one's own id, by who made the namespace (of groups only without
    /// setgroups(2)); any with CAP_SETUID or CAP_SETGID over the parent.
    fn new_idmap_permitted(
        &self,
        writer: TaskId,
        opener: &Cred,
        ns: UserNs,
        kind: IdKind,
        map: &IdMap,
    ) -> bool {
        let users = &self.namespaces.user;
        let (this, me) = (users.get(ns), &self.tasks[writer].cred);
        let Some(parent) = this.parent else { return false };
        // verify_root_map(): who maps the root above can give files capabilities that count there.
        let root = map.0.iter().any(|e| e.lower_first == 0);
        let could = match opener.user_ns == ns {
            true => this.parent_could_setfcap,
            false => users.caps_over(opener, parent).has(Cap::Setfcap),
        };
        if kind == IdKind::User && root && !could {
            return false;
        }
        let one = map.0.first().filter(|e| map.0.len() == 1 && e.count == 1);
        let own = one.and_then(|e| users.make_kid(parent, kind, e.lower_first));
        let mine = own.filter(|_| this.owner == opener.euid);
        let cap = match kind {
            IdKind::User if mine == Some(opener.euid) => return true,
            IdKind::Group if !this.setgroups_allowed && mine == Some(opener.egid) => return true,
            IdKind::User => Cap::Setuid,
            IdKind::Group => Cap::Setgid,
            // Nothing hangs on them.
            IdKind::Project => return true,
        };
        users.caps_over(me, parent).has(cap) && users.caps_over(opener, parent).has(cap)
    }

    /// proc_setgroups_show().
    pub(crate) fn setgroups_show(&self, task: TaskId) -> &'static str {
        let ns = self.namespaces.user.get(self.tasks[task].cred.user_ns);
        if ns.setgroups_allowed { "allow\n" } else { "deny\n" }
    }

    /// proc_setgroups_open() of who would write it: EACCES unless it administers the namespace.
    pub(crate) fn setgroups_open(&self, opener: TaskId, task: TaskId) -> Result<(), Errno> {
        let ns = self.tasks.get(task).ok_or(Errno::ESRCH)?.cred.user_ns;
        if self.ns_capable(opener, ns, Cap::SysAdmin) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// proc_setgroups_write(): `deny` until the map of groups is there; what was denied stays so.
    pub(crate) fn setgroups_write(
        &mut self,
        task: TaskId,
        (pos, bytes): (u64, &[u8]),
    ) -> Result<usize, Errno> {
        if pos != 0 || bytes.len() >= 8 {
            return Err(Errno::EINVAL);
        }
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        let allow = match text.trim_ascii_end() {
            b"allow" => true,
            b"deny" => false,
            _ => return Err(Errno::EINVAL),
        };
        let ns = self.tasks[task].cred.user_ns;
        let ns = self.namespaces.user.get_mut(ns);
        let mapped = !ns.maps[IdKind::Group as usize].0.is_empty();
        match allow {
            true if !ns.setgroups_allowed => return Err(Errno::EPERM),
            true => {}
            false if mapped => return Err(Errno::EPERM),
            false => ns.setgroups_allowed = false,
        }
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_three_numbers_in_each_line() {
        let map = IdMap::parse(b"0 1000 1\n  1\t5000   10 \n").unwrap();
        let extents = [
            Extent { first: 0, lower_first: 1000, count: 1 },
            Extent { first: 1, lower_first: 5000, count: 10 },
        ];
        assert_eq!(map.0, extents);
        for bad in ["", "\n", "0 1", "0 1 1 1", "0 1 0", "x 1 1", "4294967295 0 1", "0 1 1\n\n"] {
            assert_eq!(IdMap::parse(bad.as_bytes()), Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(IdMap::parse(b"0 10 5\n4 100 1"), Err(Errno::EINVAL), "both are 4");
        assert_eq!(IdMap::parse(b"0 10 5\n9 14 1"), Err(Errno::EINVAL), "both are 14");
        let many = |n: u32| (0..n).map(|i| format!("{i} {i} 1\n")).collect::<String>();
        assert!(IdMap::parse(many(340).as_bytes()).is_ok());
        assert_eq!(IdMap::parse(many(341).as_bytes()), Err(Errno::EINVAL));
    }
}
