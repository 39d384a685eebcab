//! Propagation of mounts (mount_namespaces(7), "Shared subtrees"). Mounts of one peer group see what
//! is mounted on any of them; those of a slave see what is mounted on its master's group, and not the
//! other way round. Unlike Linux, whose slaves name one mount as their master, they name its group,
//! which comes to the same: a group that loses a member keeps its slaves. Neighbours: `tree`
//! (attach_recursive_mnt), `umount`, `show` (shared:, master:, propagate_from:).

use super::tree::CloneAs;
use super::{Mount, MountId};
use crate::fs::dcache::Vfs;
use crate::fs::path::Path;
use linux_raw_sys::general as raw;
use std::collections::BTreeSet;

/// mnt_group_id: names a peer group.
pub type PeerGroup = u32;

impl Vfs {
    /// mnt_alloc_group_id(): the lowest that is free.
    pub(super) fn alloc_group_id(&self) -> PeerGroup {
        let taken: BTreeSet<PeerGroup> = self.mounts.values().filter_map(|m| m.group).collect();
        (1..).find(|id| !taken.contains(id)).expect("numbers do not end")
    }

    fn mnt(&mut self, mnt: MountId) -> &mut Mount {
        self.mounts.get_mut(&mnt).expect("it is known")
    }

    fn peers(&self, group: PeerGroup) -> impl Iterator<Item = MountId> {
        let peer = move |mount: &Mount| mount.group == Some(group);
        self.mounts.iter().filter(move |(_, mount)| peer(mount)).map(|(mnt, _)| *mnt)
    }

    fn slaves(&self, group: PeerGroup) -> impl Iterator<Item = MountId> {
        let slave = move |mount: &Mount| mount.master == Some(group);
        self.mounts.iter().filter(move |(_, mount)| slave(mount)).map(|(mnt, _)| *mnt)
    }

    /// change_mnt_propagation(): to MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE.
    pub(super) fn change_mnt_propagation(&mut self, mnt: MountId, kind: u32) {
        if kind == raw::MS_SHARED {
            let group = self.mounts[&mnt].group.unwrap_or_else(|| self.alloc_group_id());
            let mount = self.mnt(mnt);
            (mount.group, mount.unbindable) = (Some(group), false);
            return;
        }
        self.do_make_slave(mnt);
        if kind != raw::MS_SLAVE {
            let mount = self.mnt(mnt);
            (mount.master, mount.unbindable) = (None, kind == raw::MS_UNBINDABLE);
        }
    }

    /// do_make_slave(): of its group if it has peers; who is alone in its group keeps its master and
    /// leaves it to its slaves.
    fn do_make_slave(&mut self, mnt: MountId) {
        let Some(group) = self.mnt(mnt).group.take() else { return };
        if self.peers(group).next().is_some() {
            self.mnt(mnt).master = Some(group);
            return;
        }
        let master = self.mounts[&mnt].master;
        for slave in self.slaves(group).collect::<Vec<_>>() {
            self.mnt(slave).master = master;
        }
    }

    /// propagation_next(): all mounts that hear of what happens on `mnt`: its peers, the slaves of
    /// their group, and so on.
    pub(super) fn propagation(&self, mnt: MountId) -> Vec<MountId> {
        let mut found = Vec::new();
        let mut groups: Vec<PeerGroup> = self.mounts[&mnt].group.into_iter().collect();
        let mut next = 0;
        while let Some(group) = groups.get(next).copied() {
            next += 1;
            for other in self.peers(group).chain(self.slaves(group)) {
                if other != mnt && !found.contains(&other) && self.mounts[&other].ns.is_some() {
                    found.push(other);
                }
                let below = self.mounts[&other].group.filter(|below| !groups.contains(below));
                groups.extend(below);
            }
        }
        found
    }

    /// propagate_mnt(): copies of the tree `source` for all that hear of what is mounted at `at`, and
    /// where each is to be.
    pub(super) fn propagate_mnt(&mut self, at: Path, source: MountId) -> Vec<(MountId, Path)> {
        let Some(group) = self.mounts[&at.mnt].group else { return Vec::new() };
        for mnt in self.mount_tree(source) {
            self.change_mnt_propagation(mnt, raw::MS_SHARED);
        }
        let mut copies = Vec::new();
        let peers = self.peers(group).filter(|mnt| *mnt != at.mnt).collect();
        self.propagate_to_peers(at, source, peers, &mut copies);
        self.propagate_to_slaves(at, source, group, &mut copies);
        copies
    }

    /// A copy of `source`, and a peer of it, for each that covers the place.
    fn propagate_to_peers(
        &mut self,
        at: Path,
        source: MountId,
        peers: Vec<MountId>,
        copies: &mut Vec<(MountId, Path)>,
    ) {
        for mnt in peers {
            if self.covers(mnt, at) {
                let copy = self.copy_whole_tree(source, CloneAs::Peer);
                copies.push((copy, Path { mnt, ..at }));
            }
        }
    }

    /// Copies that are slaves of `source`: for each slave of the group, and for those that are a
    /// group themselves one group of copies, which goes on to their slaves.
    fn propagate_to_slaves(
        &mut self,
        at: Path,
        source: MountId,
        group: PeerGroup,
        copies: &mut Vec<(MountId, Path)>,
    ) {
        let mut done = BTreeSet::new();
        for slave in self.slaves(group).collect::<Vec<_>>() {
            let Some(group) = self.mounts[&slave].group else {
                if self.covers(slave, at) {
                    let copy = self.copy_whole_tree(source, CloneAs::Slave);
                    copies.push((copy, Path { mnt: slave, ..at }));
                }
                continue;
            };
            if !done.insert(group) {
                continue;
            }
            let mut covering: Vec<MountId> = self.peers(group).collect();
            covering.retain(|mnt| self.covers(*mnt, at));
            let mut from = source;
            if let Some((first, others)) = covering.split_first() {
                from = self.copy_whole_tree(source, CloneAs::SharedSlave);
                copies.push((from, Path { mnt: *first, ..at }));
                self.propagate_to_peers(at, from, others.to_vec(), copies);
            }
            self.propagate_to_slaves(at, from, group, copies);
        }
    }

    fn copy_whole_tree(&mut self, mnt: MountId, kind: CloneAs) -> MountId {
        self.copy_tree(self.mnt_root(mnt), kind, true)
    }

    /// Is the place seen through this mount too? Not by those that are being made.
    fn covers(&self, mnt: MountId, at: Path) -> bool {
        let mount = &self.mounts[&mnt];
        mount.ns.is_some() && self.is_subdir(at.dentry, mount.root)
    }

    /// What is mounted, at the same place, on those that hear of what happens to `mnt`.
    fn counterparts(&self, mnt: MountId) -> Vec<MountId> {
        let Some(at) = self.mounts[&mnt].parent else { return Vec::new() };
        let there = |mnt| self.lookup_mnt(Path { mnt, ..at });
        self.propagation(at.mnt).into_iter().filter_map(there).collect()
    }

    /// find_topper(): the only mount on this one, if it covers it whole.
    fn find_topper(&self, mnt: MountId) -> Option<MountId> {
        let mut above = self.mounts_on(mnt);
        let only = above.next().filter(|_| above.next().is_none())?;
        (self.mounts[&only].parent == Some(self.mnt_root(mnt))).then_some(only)
    }

    /// propagate_mount_busy(): what would go with `mnt` when it is unmounted, as far as somebody's
    /// use of it is a reason to refuse.
    pub(super) fn unmounted_with(&self, mnt: MountId) -> Vec<MountId> {
        let bare = |mnt: &MountId| {
            self.find_topper(*mnt).is_some() || self.mounts_on(*mnt).next().is_none()
        };
        self.counterparts(mnt).into_iter().filter(bare).collect()
    }

    /// propagate_umount(): the counterparts of what is unmounted, but those on which something else
    /// stays mounted. What covers one whole stays too, and is where that was.
    pub(super) fn propagate_umount(&mut self, set: &[MountId]) -> Vec<MountId> {
        let mut gone: Vec<MountId> = set.to_vec();
        let mut maybe: Vec<MountId> = Vec::new();
        for mnt in set {
            maybe.extend(self.counterparts(*mnt).into_iter().filter(|other| !gone.contains(other)));
        }
        maybe.sort_unstable();
        maybe.dedup();
        loop {
            let stays = |vfs: &Vfs, above: MountId, on: MountId| {
                !gone.contains(&above) && vfs.mounts[&above].parent != Some(vfs.mnt_root(on))
            };
            let may_go = |on: &MountId| !self.mounts_on(*on).any(|above| stays(self, above, *on));
            let Some(i) = maybe.iter().position(may_go) else { break };
            gone.push(maybe.remove(i));
        }
        let more = gone.split_off(set.len());
        for mnt in &more {
            let on_it: Vec<MountId> = self.mounts_on(*mnt).collect();
            for topper in on_it.into_iter().filter(|topper| !set.contains(topper)) {
                if !more.contains(&topper) {
                    self.reparent(topper, *mnt, &more);
                }
            }
        }
        more
    }

    /// restore_mounts(): `topper`, on what goes, is where the lowest that goes was.
    fn reparent(&mut self, topper: MountId, from: MountId, gone: &[MountId]) {
        let mut at = self.mounts[&from].parent.expect("a counterpart is on something");
        while gone.contains(&at.mnt) {
            at = self.mounts[&at.mnt].parent.expect("a counterpart is on something");
        }
        self.change_mountpoint(topper, at);
    }

    /// get_dominating_id(): the nearest group above that has a member in sight of `root`.
    pub(super) fn dominating_id(&self, mnt: MountId, root: Path) -> Option<PeerGroup> {
        let ns = self.mounts[&mnt].ns;
        let mut group = self.mounts[&mnt].master;
        while let Some(id) = group {
            let seen = |peer: &MountId| {
                self.mounts[peer].ns == ns && self.is_path_reachable(self.mnt_root(*peer), root)
            };
            if self.peers(id).any(|peer| seen(&peer)) {
                return Some(id);
            }
            group = self.peers(id).find_map(|peer| self.mounts[&peer].master);
        }
        None
    }
}
