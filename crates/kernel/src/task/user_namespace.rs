//! User namespaces (user_namespaces(7)): which of the host's users and groups have a number in one, and
//! which capabilities a task has over what belongs to it. Ids are kept everywhere as the host's own
//! (kuid_t); they become numbers of a namespace, and back, only at the border, by the functions here.
//! Pure but for the last block. Neighbours: `capability`, `id_map` (the files that set the maps),
//! `nsproxy` (namespaces of other kinds and who owns them).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::task::capability::{Cap, CapSet};
use crate::task::{Cred, TaskId};

/// How deep they nest: a parent deeper than this has no children.
const MAX_LEVEL: u32 = 32;
/// What an id is called where it has no number (/proc/sys/kernel/overflowuid and overflowgid).
pub const OVERFLOW_ID: u32 = 65534;

/// Names a user namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct UserNs(u32);

impl UserNs {
    /// The host's own.
    pub const INIT: UserNs = UserNs(0);
}

/// Which ids: each kind has a map of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum IdKind {
    User,
    Group,
    Project,
}

/// uid_gid_extent: `count` ids from `first` on are the host's from `lower_first` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Extent {
    pub first: u32,
    pub lower_first: u32,
    pub count: u32,
}

/// uid_gid_map: nobody has a number until it is set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdMap(pub Vec<Extent>);

impl IdMap {
    /// The host's own: everybody is who he is.
    fn identity() -> IdMap {
        IdMap(vec![Extent { first: 0, lower_first: 0, count: u32::MAX }])
    }

    /// map_id_range_down(): the host's id for the first of `count` ids that lie in one extent.
    pub fn down(&self, id: u32, count: u32) -> Option<u32> {
        let last = id.checked_add(count.max(1) - 1)?;
        let holds = |e: &&Extent| id >= e.first && last - e.first < e.count;
        self.0.iter().filter(|e| id >= e.first).find(holds).map(|e| e.lower_first + (id - e.first))
    }

    /// map_id_up(): what the host's id is called here.
    pub fn up(&self, id: u32) -> Option<u32> {
        let holds = |e: &&Extent| id >= e.lower_first && id - e.lower_first < e.count;
        self.0.iter().find(holds).map(|e| e.first + (id - e.lower_first))
    }
}

/// One user namespace. Unlike Linux's, it stays known when nobody is left in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNamespace {
    /// The one that it was made in; None for the host's own.
    pub parent: Option<UserNs>,
    level: u32,
    /// Who made it, a user of the host: he has all capabilities over it.
    pub owner: u32,
    pub(super) maps: [IdMap; 3],
    /// USERNS_SETGROUPS_ALLOWED.
    pub setgroups_allowed: bool,
    /// Who made it could have given files capabilities.
    pub parent_could_setfcap: bool,
    /// The number of its file (/proc/PID/ns/user).
    pub inum: u32,
}

/// All user namespaces of a host, its own first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNamespaces(Vec<UserNamespace>);

impl Default for UserNamespaces {
    fn default() -> UserNamespaces {
        UserNamespaces(vec![UserNamespace {
            parent: None,
            level: 0,
            owner: 0,
            maps: [IdMap::identity(), IdMap::identity(), IdMap::identity()],
            setgroups_allowed: true,
            parent_could_setfcap: true,
            inum: 0,
        }])
    }
}

impl UserNamespaces {
    /// One of them.
    pub fn get(&self, ns: UserNs) -> &UserNamespace {
        &self.0[ns.0 as usize]
    }

    /// The same, to change.
    pub(super) fn get_mut(&mut self, ns: UserNs) -> &mut UserNamespace {
        &mut self.0[ns.0 as usize]
    }

    /// A namespace's map.
    pub fn map(&self, ns: UserNs, kind: IdKind) -> &IdMap {
        &self.get(ns).maps[kind as usize]
    }

    /// create_user_ns(): a child of the one that `cred` is in, and `cred` is almighty in it. ENOSPC if
    /// it were too deep; EPERM for who has no number where he is.
    fn create(&mut self, cred: &mut Cred, inum: u32) -> Result<(), Errno> {
        let parent = cred.user_ns;
        if self.get(parent).level > MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        let known = self.from_kid(parent, IdKind::User, cred.euid).is_some()
            && self.from_kid(parent, IdKind::Group, cred.egid).is_some();
        if !known {
            return Err(Errno::EPERM);
        }
        self.0.push(UserNamespace {
            parent: Some(parent),
            level: self.get(parent).level + 1,
            owner: cred.euid,
            maps: Default::default(),
            setgroups_allowed: self.get(parent).setgroups_allowed,
            parent_could_setfcap: cred.has_cap(Cap::Setfcap),
            inum,
        });
        cred.set_user_ns(UserNs(self.0.len() as u32 - 1));
        Ok(())
    }

    /// make_kuid() and make_kgid(): the host's id of `id` in `ns`. None if it stands for nobody.
    pub fn make_kid(&self, ns: UserNs, kind: IdKind, id: u32) -> Option<u32> {
        self.map(ns, kind).down(id, 1)
    }

    /// from_kuid() and from_kgid(): what the host's `id` is called in `ns`. None if nothing.
    #[allow(clippy::wrong_self_convention)] // Linux's name
    pub fn from_kid(&self, ns: UserNs, kind: IdKind, id: u32) -> Option<u32> {
        self.map(ns, kind).up(id)
    }

    /// in_userns(): is `ns` the same as `above`, or below it?
    pub fn is_within(&self, ns: UserNs, above: UserNs) -> bool {
        let mut at = Some(ns);
        while let Some(ns) = at.filter(|ns| *ns != above) {
            at = self.get(ns).parent;
        }
        at.is_some()
    }

    /// cap_capable(): which capabilities `cred` has in effect over what belongs to `target`: its own
    /// there and below; all over a namespace that its user made from where it is, and below that.
    pub fn caps_over(&self, cred: &Cred, target: UserNs) -> CapSet {
        let mut at = target;
        loop {
            if at == cred.user_ns {
                return cred.cap_effective;
            }
            let ns = self.get(at);
            match ns.parent {
                Some(parent) if parent == cred.user_ns && ns.owner == cred.euid => {
                    return CapSet::FULL;
                }
                Some(parent) => at = parent,
                None => return CapSet::EMPTY,
            }
        }
    }

    /// capable_wrt_inode_uidgid(): which ones count for a file of these owners: those over one's own
    /// namespace, if both have a number there.
    pub fn caps_over_file(&self, cred: &Cred, uid: u32, gid: u32) -> CapSet {
        let known = self.from_kid(cred.user_ns, IdKind::User, uid).is_some()
            && self.from_kid(cred.user_ns, IdKind::Group, gid).is_some();
        if known { cred.cap_effective } else { CapSet::EMPTY }
    }

    /// cred_cap_issubset(): could `old` do all that `new` can?
    pub fn cap_issubset(&self, old: &Cred, new: &Cred) -> bool {
        if old.user_ns == new.user_ns {
            return new.cap_permitted.is_subset(old.cap_permitted);
        }
        let mut at = new.user_ns;
        while let Some(parent) = self.get(at).parent {
            if parent == old.user_ns && self.get(at).owner == old.euid {
                return true;
            }
            at = parent;
        }
        false
    }
}

impl Cred {
    /// set_cred_user_ns(): all capabilities, in a namespace where they mean nothing to others.
    pub(super) fn set_user_ns(&mut self, ns: UserNs) {
        self.securebits = 0;
        self.cap_inheritable = CapSet::EMPTY;
        self.cap_permitted = CapSet::FULL;
        self.cap_effective = CapSet::FULL;
        self.cap_ambient = CapSet::EMPTY;
        self.cap_bset = CapSet::FULL;
        self.user_ns = ns;
    }
}

impl Kernel {
    /// create_user_ns() for `task` or its child, whose credentials these are: EPERM in a chroot too.
    pub(super) fn create_user_ns(&mut self, task: TaskId, cred: &mut Cred) -> Result<(), Errno> {
        if self.current_chrooted(task) && self.namespaces.user.get(cred.user_ns).level <= MAX_LEVEL
        {
            return Err(Errno::EPERM);
        }
        let inum = self.new_inum();
        self.namespaces.user.create(cred, inum)
    }

    /// ns_capable(): has `task` a capability over what belongs to `ns`?
    pub fn ns_capable(&self, task: TaskId, ns: UserNs, cap: Cap) -> bool {
        self.namespaces.user.caps_over(&self.tasks[task].cred, ns).has(cap)
    }

    /// from_kuid_munged() for `task`: what it calls a user of the host.
    pub fn uid_seen_by(&self, task: TaskId, kuid: u32) -> u32 {
        self.munged(self.tasks[task].cred.user_ns, IdKind::User, kuid)
    }

    /// from_kgid_munged() for `task`.
    pub fn gid_seen_by(&self, task: TaskId, kgid: u32) -> u32 {
        self.munged(self.tasks[task].cred.user_ns, IdKind::Group, kgid)
    }

    /// from_kuid_munged() and from_kgid_munged(): [`OVERFLOW_ID`] for who has no number in `ns`.
    pub fn munged(&self, ns: UserNs, kind: IdKind, id: u32) -> u32 {
        self.namespaces.user.from_kid(ns, kind, id).unwrap_or(OVERFLOW_ID)
    }

    /// make_kuid() of a number that `task` gave: EINVAL for one that stands for nobody.
    pub fn make_kuid(&self, task: TaskId, uid: u32) -> Result<u32, Errno> {
        let ns = self.tasks[task].cred.user_ns;
        self.namespaces.user.make_kid(ns, IdKind::User, uid).ok_or(Errno::EINVAL)
    }

    /// make_kgid(), likewise.
    pub fn make_kgid(&self, task: TaskId, gid: u32) -> Result<u32, Errno> {
        let ns = self.tasks[task].cred.user_ns;
        self.namespaces.user.make_kid(ns, IdKind::Group, gid).ok_or(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(users: &mut UserNamespaces, of: &Cred) -> Cred {
        let mut cred = of.clone();
        users.create(&mut cred, 0).unwrap();
        cred
    }

    #[test]
    fn a_map_leads_down_and_up() {
        let map = IdMap(vec![
            Extent { first: 0, lower_first: 1000, count: 1 },
            Extent { first: 10, lower_first: 5000, count: 10 },
        ]);
        assert_eq!(
            (map.down(0, 1), map.down(12, 8), map.down(12, 9)),
            (Some(1000), Some(5002), None)
        );
        assert_eq!((map.up(1000), map.up(5009), map.up(0)), (Some(0), Some(19), None));
        assert_eq!(IdMap::identity().down(u32::MAX, 1), None, "-1 is nobody");
    }

    #[test]
    fn the_maker_has_all_capabilities_over_it_and_it_has_none_outside() {
        let mut users = UserNamespaces::default();
        let maker = Cred::user(7, 7);
        let inside = child(&mut users, &maker);
        assert_eq!(users.caps_over(&maker, inside.user_ns), CapSet::FULL);
        assert_eq!(users.caps_over(&Cred::user(8, 8), inside.user_ns), CapSet::EMPTY);
        assert_eq!(users.caps_over(&inside, inside.user_ns), CapSet::FULL);
        assert_eq!(users.caps_over(&inside, UserNs::INIT), CapSet::EMPTY);
        assert!(users.cap_issubset(&maker, &inside) && !users.cap_issubset(&inside, &maker));
        assert!(users.is_within(inside.user_ns, UserNs::INIT));
        assert!(!users.is_within(UserNs::INIT, inside.user_ns));
    }

    #[test]
    fn capabilities_count_for_files_whose_owners_have_numbers() {
        let mut users = UserNamespaces::default();
        let inside = child(&mut users, &Cred::user(7, 7));
        assert_eq!(users.caps_over_file(&inside, 7, 7), CapSet::EMPTY, "no map yet");
        for kind in [IdKind::User, IdKind::Group] {
            let extent = Extent { first: 0, lower_first: 7, count: 1 };
            users.get_mut(inside.user_ns).maps[kind as usize] = IdMap(vec![extent]);
        }
        assert_eq!(users.caps_over_file(&inside, 7, 7), CapSet::FULL);
        assert_eq!(users.caps_over_file(&inside, 7, 0), CapSet::EMPTY);
    }

    #[test]
    fn they_nest_to_a_depth_for_who_has_a_number() {
        let mut users = UserNamespaces::default();
        let mut cred = Cred::default();
        for _ in 0..=MAX_LEVEL {
            users.create(&mut cred, 0).unwrap();
            let ns = cred.user_ns;
            users.get_mut(ns).maps = [IdMap::identity(), IdMap::identity(), IdMap::identity()];
        }
        assert_eq!(users.create(&mut cred, 0), Err(Errno::ENOSPC));
        let mut nobody = child(&mut users, &Cred::user(7, 7));
        assert_eq!(users.create(&mut nobody, 0), Err(Errno::EPERM));
    }
}
