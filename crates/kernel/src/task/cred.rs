//! Credentials as calls change them: setuid(2) and its many relatives, groups. credentials(7).
//! Neighbour: `capability` (what becomes of capabilities).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::user_namespace::IdKind;
use crate::task::{Cred, TaskId};

/// "Leave it as it is": −1.
const KEEP: u32 = u32::MAX;
/// NGROUPS_MAX.
const NGROUPS_MAX: u64 = 65536;

/// Real, effective, saved: users and groups change by the same rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
}

impl Ids {
    fn has(&self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }

    /// setuid: root sets all three, others choose the effective one among real and saved.
    fn set(&mut self, id: u32, privileged: bool) -> Result<(), Errno> {
        if privileged {
            *self = Ids { real: id, effective: id, saved: id };
        } else if id == self.real || id == self.saved {
            self.effective = id;
        } else {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// setreuid: the saved one follows the effective one if the real one is set, or the effective
    /// one is set to something that is not the real one.
    fn set_re(&mut self, real: u32, effective: u32, privileged: bool) -> Result<(), Errno> {
        let old = *self;
        let real_ok = real == KEEP || [old.real, old.effective].contains(&real);
        let effective_ok = effective == KEEP || old.has(effective);
        if !(privileged || (real_ok && effective_ok)) {
            return Err(Errno::EPERM);
        }
        if real != KEEP {
            self.real = real;
        }
        if effective != KEEP {
            self.effective = effective;
        }
        if real != KEEP || (effective != KEEP && effective != old.real) {
            self.saved = self.effective;
        }
        Ok(())
    }

    /// setresuid.
    fn set_res(&mut self, new: [u32; 3], privileged: bool) -> Result<(), Errno> {
        let old = *self;
        if !privileged && new.iter().any(|id| *id != KEEP && !old.has(*id)) {
            return Err(Errno::EPERM);
        }
        let slots = [&mut self.real, &mut self.effective, &mut self.saved];
        for (slot, id) in slots.into_iter().zip(new).filter(|(_, id)| *id != KEEP) {
            *slot = id;
        }
        Ok(())
    }
}

impl Cred {
    fn uids(&self) -> Ids {
        Ids { real: self.uid, effective: self.euid, saved: self.suid }
    }

    fn gids(&self) -> Ids {
        Ids { real: self.gid, effective: self.egid, saved: self.sgid }
    }

    /// commit_creds() for users: the file system's id follows the effective one, and capabilities
    /// follow all three.
    fn set_uids(&mut self, ids: Ids, root: Option<u32>) {
        let numbers = |ids: Ids| [ids.real, ids.effective, ids.saved];
        self.cap_emulate_setxuid(numbers(self.uids()), numbers(ids), root);
        (self.uid, self.euid, self.suid) = (ids.real, ids.effective, ids.saved);
        self.fsuid = self.euid;
    }

    fn set_gids(&mut self, ids: Ids) {
        (self.gid, self.egid, self.sgid) = (ids.real, ids.effective, ids.saved);
        self.fsgid = self.egid;
    }
}

impl Kernel {
    /// Changes the caller's user ids; who changes its effective one is no longer dumpable and loses
    /// its PDEATHSIG (commit_creds, rule X-27).
    fn change_uids(
        &mut self,
        task: TaskId,
        change: impl FnOnce(&mut Ids, bool) -> Result<(), Errno>,
    ) -> SysResult {
        let cred = &self.tasks[task].cred;
        let (mut ids, old) = (cred.uids(), cred.euid);
        change(&mut ids, cred.has_cap(Cap::Setuid))?;
        let root = self.make_kuid(task, 0).ok();
        self.tasks[task].cred.set_uids(ids, root);
        self.note_changed_cred(task, ids.effective != old);
        Ok(0)
    }

    fn change_gids(
        &mut self,
        task: TaskId,
        change: impl FnOnce(&mut Ids, bool) -> Result<(), Errno>,
    ) -> SysResult {
        let cred = &self.tasks[task].cred;
        let (mut ids, old) = (cred.gids(), cred.egid);
        change(&mut ids, cred.has_cap(Cap::Setgid))?;
        self.tasks[task].cred.set_gids(ids);
        self.note_changed_cred(task, ids.effective != old);
        Ok(0)
    }

    pub(super) fn note_changed_cred(&mut self, task: TaskId, changed: bool) {
        if changed {
            self.tasks[task].pdeath_signal = None;
            if let Some(mm) = self.tasks[task].mm {
                self.mms[mm].dumpable = false;
            }
        }
    }

    /// The ids that a call gives, as the host's own; −1 stays, EINVAL for one that is nobody's.
    fn ids_or_keep<const N: usize>(
        &self,
        call: &Call<'_>,
        kind: IdKind,
    ) -> Result<[u32; N], Errno> {
        let (ns, users) = (self.tasks[call.task].cred.user_ns, &self.namespaces.user);
        let mut ids = [KEEP; N];
        for (i, id) in ids.iter_mut().enumerate() {
            let asked = call.arg(i) as u32;
            if asked != KEEP {
                *id = users.make_kid(ns, kind, asked).ok_or(Errno::EINVAL)?;
            }
        }
        Ok(ids)
    }

    fn write_ids(&self, call: &mut Call<'_>, ids: Ids, kind: IdKind) -> SysResult {
        let ns = self.tasks[call.task].cred.user_ns;
        for (i, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
            call.write_u32(call.ptr(i), self.munged(ns, kind, id))?;
        }
        Ok(0)
    }

    /// setuid(2).
    pub fn sys_setuid(&mut self, call: &mut Call<'_>) -> SysResult {
        let id = self.make_kuid(call.task, call.arg(0) as u32)?;
        self.change_uids(call.task, |ids, root| ids.set(id, root))
    }

    /// setgid(2).
    pub fn sys_setgid(&mut self, call: &mut Call<'_>) -> SysResult {
        let id = self.make_kgid(call.task, call.arg(0) as u32)?;
        self.change_gids(call.task, |ids, root| ids.set(id, root))
    }

    /// setreuid(2).
    pub fn sys_setreuid(&mut self, call: &mut Call<'_>) -> SysResult {
        let [real, effective] = self.ids_or_keep(call, IdKind::User)?;
        self.change_uids(call.task, |ids, root| ids.set_re(real, effective, root))
    }

    /// setregid(2).
    pub fn sys_setregid(&mut self, call: &mut Call<'_>) -> SysResult {
        let [real, effective] = self.ids_or_keep(call, IdKind::Group)?;
        self.change_gids(call.task, |ids, root| ids.set_re(real, effective, root))
    }

    /// setresuid(2).
    pub fn sys_setresuid(&mut self, call: &mut Call<'_>) -> SysResult {
        let new = self.ids_or_keep(call, IdKind::User)?;
        self.change_uids(call.task, |ids, root| ids.set_res(new, root))
    }

    /// setresgid(2).
    pub fn sys_setresgid(&mut self, call: &mut Call<'_>) -> SysResult {
        let new = self.ids_or_keep(call, IdKind::Group)?;
        self.change_gids(call.task, |ids, root| ids.set_res(new, root))
    }

    /// getresuid(2).
    pub fn sys_getresuid(&mut self, call: &mut Call<'_>) -> SysResult {
        let ids = self.tasks[call.task].cred.uids();
        self.write_ids(call, ids, IdKind::User)
    }

    /// getresgid(2).
    pub fn sys_getresgid(&mut self, call: &mut Call<'_>) -> SysResult {
        let ids = self.tasks[call.task].cred.gids();
        self.write_ids(call, ids, IdKind::Group)
    }

    /// setfsuid(2): returns the old id, whether or not the new one was taken.
    pub fn sys_setfsuid(&mut self, call: &mut Call<'_>) -> SysResult {
        let id = self.make_kuid(call.task, call.arg(0) as u32).ok();
        let root = self.make_kuid(call.task, 0).ok();
        let cred = &mut self.tasks[call.task].cred;
        let old = cred.fsuid;
        let may = |id: &u32| cred.uids().has(*id) || *id == old || cred.has_cap(Cap::Setuid);
        if let Some(id) = id.filter(may) {
            cred.fsuid = id;
            cred.cap_fix_fsuid(old, id, root);
        }
        Ok(self.uid_seen_by(call.task, old).into())
    }

    /// setfsgid(2): likewise.
    pub fn sys_setfsgid(&mut self, call: &mut Call<'_>) -> SysResult {
        let id = self.make_kgid(call.task, call.arg(0) as u32).ok();
        let cred = &mut self.tasks[call.task].cred;
        let old = cred.fsgid;
        let may = |id: &u32| cred.gids().has(*id) || *id == old || cred.has_cap(Cap::Setgid);
        if let Some(id) = id.filter(may) {
            cred.fsgid = id;
        }
        Ok(self.gid_seen_by(call.task, old).into())
    }

    /// getgroups(2).
    pub fn sys_getgroups(&mut self, call: &mut Call<'_>) -> SysResult {
        let groups = &self.tasks[call.task].cred.groups;
        let (size, count) = (call.int(0), groups.len());
        if size < 0 || (size > 0 && (size as usize) < count) {
            return Err(Errno::EINVAL.into());
        }
        let seen = groups.iter().map(|g| self.gid_seen_by(call.task, *g));
        let bytes: Vec<u8> = seen.flat_map(u32::to_le_bytes).collect();
        if size > 0 {
            call.write_user(call.ptr(1), &bytes)?;
        }
        Ok(count as u64)
    }

    /// setgroups(2). In a user namespace only once its map of groups is there, and unless it was
    /// denied (may_setgroups()).
    pub fn sys_setgroups(&mut self, call: &mut Call<'_>) -> SysResult {
        let cred = &self.tasks[call.task].cred;
        let mapped = !self.namespaces.user.map(cred.user_ns, IdKind::Group).0.is_empty();
        let allowed = mapped && self.namespaces.user.get(cred.user_ns).setgroups_allowed;
        if !cred.has_cap(Cap::Setgid) || !allowed {
            return Err(Errno::EPERM.into());
        }
        let count = call.arg(0) as u32;
        if u64::from(count) > NGROUPS_MAX {
            return Err(Errno::EINVAL.into());
        }
        let bytes = call.read_bytes(call.ptr(1), 4 * count as usize)?;
        let words = bytes.chunks_exact(4);
        let words = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut groups = Vec::with_capacity(count as usize);
        for word in words {
            groups.push(self.make_kgid(call.task, word)?);
        }
        groups.sort_unstable();
        self.tasks[call.task].cred.groups = groups;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Ids = Ids { real: 1000, effective: 1000, saved: 0 };

    #[test]
    fn a_setuid_program_may_go_back_and_forth() {
        let mut ids = USER;
        assert_eq!(ids.set(0, false), Ok(()));
        assert_eq!(ids, Ids { real: 1000, effective: 0, saved: 0 });
        assert_eq!(ids.set(5, false), Err(Errno::EPERM));
        assert_eq!(ids.set(5, true), Ok(()));
        assert_eq!(ids, Ids { real: 5, effective: 5, saved: 5 });
    }

    #[test]
    fn setreuid_saves_what_becomes_effective() {
        let mut ids = USER;
        assert_eq!(ids.set_re(KEEP, 0, false), Ok(()));
        assert_eq!(ids.saved, 0);
        let mut ids = USER;
        assert_eq!(ids.set_re(1000, KEEP, false), Ok(()));
        assert_eq!(ids.saved, 1000);
        assert_eq!(ids.set_re(0, KEEP, false), Err(Errno::EPERM));
    }

    #[test]
    fn setresuid_permutes_what_one_has() {
        let mut ids = USER;
        assert_eq!(ids.set_res([KEEP, 0, 1000], false), Ok(()));
        assert_eq!(ids, Ids { real: 1000, effective: 0, saved: 1000 });
        assert_eq!(ids.set_res([7, KEEP, KEEP], false), Err(Errno::EPERM));
    }
}
