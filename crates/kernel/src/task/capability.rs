//! Capabilities (capabilities(7)): root's powers, one by one. What setuid(2) and its relatives do to
//! them (`cap_emulate_setxuid`), what execve(2) does (`cap_bprm_creds_from_file`; files have none
//! here), capget(2), capset(2), and the options of prctl(2) about them: the bounding set, the ambient
//! set, securebits. Neighbours: `cred` (users and groups), `binprm`, `prctl`.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::user_namespace::UserNs;
use crate::task::{Cred, TaskId};
use linux_raw_sys::prctl as pr;

/// One capability, by its number (include/uapi/linux/capability.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Cap {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysChroot = 18,
    SysPtrace = 19,
    SysAdmin = 21,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    Mknod = 27,
    Lease = 28,
    Setfcap = 31,
    MacOverride = 32,
    WakeAlarm = 35,
    CheckpointRestore = 40,
}

/// CAP_LAST_CAP of 6.18.
const LAST: u64 = Cap::CheckpointRestore as u64;
const CAPABILITY_V1: u32 = 0x1998_0330;
const CAPABILITY_V2: u32 = 0x2007_1026;
const CAPABILITY_V3: u32 = 0x2008_0522;

/// SECBIT_*: root's user id means nothing at execve.
const NOROOT: u32 = 1;
/// Changes of user ids change no capabilities.
const NO_SETUID_FIXUP: u32 = 1 << 2;
/// PR_SET_KEEPCAPS.
const KEEP_CAPS: u32 = 1 << 4;
const NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
/// SECBIT_EXEC_RESTRICT_FILE and SECBIT_EXEC_DENY_INTERACTIVE: for interpreters, anybody's to set.
const UNPRIVILEGED: u32 = 1 << 8 | 1 << 10;
const ALL_BITS: u32 = NOROOT | NO_SETUID_FIXUP | KEEP_CAPS | NO_CAP_AMBIENT_RAISE | UNPRIVILEGED;
/// Each bit's lock is the one above it.
const ALL_LOCKS: u32 = ALL_BITS << 1;

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapSet(pub u64);

impl CapSet {
    /// None.
    pub const EMPTY: CapSet = CapSet(0);
    /// All of them.
    pub const FULL: CapSet = CapSet((1 << (LAST + 1)) - 1);
    /// CAP_FS_SET: those that follow the file system's user id.
    const FS: CapSet = CapSet(
        1 << Cap::Chown as u64
            | 1 << Cap::DacOverride as u64
            | 1 << Cap::DacReadSearch as u64
            | 1 << Cap::Fowner as u64
            | 1 << Cap::Fsetid as u64
            | 1 << Cap::LinuxImmutable as u64
            | 1 << Cap::Mknod as u64
            | 1 << Cap::MacOverride as u64,
    );

    /// Is it in the set?
    pub const fn has(self, cap: Cap) -> bool {
        self.0 >> cap as u64 & 1 != 0
    }

    /// checkpoint_restore_ns_capable(): CAP_CHECKPOINT_RESTORE, or CAP_SYS_ADMIN as before there was
    /// that.
    pub const fn checkpoint_restore(self) -> bool {
        self.has(Cap::CheckpointRestore) || self.has(Cap::SysAdmin)
    }

    /// Are all of these in `other`?
    pub const fn is_subset(self, other: CapSet) -> bool {
        self.0 & !other.0 == 0
    }

    const fn or(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    const fn and(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    const fn without(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }
}

impl Cred {
    /// capable(): has it the power over the host, in effect? Who is in a user namespace of its own
    /// never has.
    pub fn capable(&self, cap: Cap) -> bool {
        self.user_ns == UserNs::INIT && self.has_cap(cap)
    }

    /// ns_capable() over the user namespace that it is in.
    pub fn has_cap(&self, cap: Cap) -> bool {
        self.cap_effective.has(cap)
    }

    /// cap_emulate_setxuid(): who leaves root for good loses all capabilities unless it asked to keep
    /// them, who leaves it for now has none in effect, who comes back has them again. `old` and `new`
    /// are real, effective, saved; `root` is the root of its user namespace, if that has one.
    pub(super) fn cap_emulate_setxuid(&mut self, old: [u32; 3], new: [u32; 3], root: Option<u32>) {
        if self.securebits & NO_SETUID_FIXUP != 0 {
            return;
        }
        let is_root = |id: u32| Some(id) == root;
        if old.into_iter().any(is_root) && !new.into_iter().any(is_root) {
            if self.securebits & KEEP_CAPS == 0 {
                (self.cap_permitted, self.cap_effective) = (CapSet::EMPTY, CapSet::EMPTY);
            }
            self.cap_ambient = CapSet::EMPTY;
        }
        match (is_root(old[1]), is_root(new[1])) {
            (true, false) => self.cap_effective = CapSet::EMPTY,
            (false, true) => self.cap_effective = self.cap_permitted,
            (true, true) | (false, false) => {}
        }
    }

    /// cap_task_fix_setuid() of LSM_SETID_FS: those about files go and come with fsuid 0.
    pub(super) fn cap_fix_fsuid(&mut self, old: u32, new: u32, root: Option<u32>) {
        if self.securebits & NO_SETUID_FIXUP != 0 {
            return;
        }
        match (Some(old) == root, Some(new) == root) {
            (true, false) => self.cap_effective = self.cap_effective.without(CapSet::FS),
            (false, true) => {
                let back = self.cap_permitted.and(CapSet::FS);
                self.cap_effective = self.cap_effective.or(back);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// cap_bprm_creds_from_file(), of a program whose file has no capabilities. `setid` says that it
    /// changed an effective id, `root` who is root in its user namespace.
    pub(super) fn cap_bprm_creds_from_file(&mut self, setid: bool, root: Option<u32>) {
        let root = root.filter(|_| self.securebits & NOROOT == 0);
        let mut permitted = CapSet::EMPTY;
        if root.is_some_and(|root| self.uid == root || self.euid == root) {
            permitted = self.cap_bset.or(self.cap_inheritable);
        }
        if setid {
            self.cap_ambient = CapSet::EMPTY;
        }
        self.cap_permitted = permitted.or(self.cap_ambient);
        let effective = root == Some(self.euid);
        self.cap_effective = if effective { self.cap_permitted } else { self.cap_ambient };
        self.securebits &= !KEEP_CAPS;
    }

    /// cap_capset(): EPERM for what one has not.
    fn cap_capset(
        &mut self,
        [effective, permitted, inheritable]: [CapSet; 3],
    ) -> Result<(), Errno> {
        let capped = !self.has_cap(Cap::Setpcap);
        let may = inheritable.is_subset(self.cap_inheritable.or(self.cap_bset))
            && (!capped || inheritable.is_subset(self.cap_inheritable.or(self.cap_permitted)))
            && permitted.is_subset(self.cap_permitted)
            && effective.is_subset(permitted);
        if !may {
            return Err(Errno::EPERM);
        }
        self.cap_effective = effective;
        self.cap_permitted = permitted;
        self.cap_inheritable = inheritable;
        self.cap_ambient = self.cap_ambient.and(permitted).and(inheritable);
        Ok(())
    }

    /// PR_SET_SECUREBITS: EPERM for what is locked or unknown, or without CAP_SETPCAP.
    fn set_securebits(&mut self, new: u64) -> Result<(), Errno> {
        let old = self.securebits;
        let new = u32::try_from(new).map_err(|_| Errno::EPERM)?;
        let changed = old ^ new;
        let locks = old & ALL_LOCKS;
        // To change nothing takes the capability too.
        let harmless = changed != 0 && changed & !(UNPRIVILEGED | UNPRIVILEGED << 1) == 0;
        let allowed = locks >> 1 & changed == 0
            && locks & !new == 0
            && new & !(ALL_BITS | ALL_LOCKS) == 0
            && (harmless || self.has_cap(Cap::Setpcap));
        if !allowed {
            return Err(Errno::EPERM);
        }
        self.securebits = new;
        Ok(())
    }

    /// PR_CAP_AMBIENT.
    fn cap_ambient(&mut self, [what, cap, rest @ ..]: [u64; 4]) -> Result<u64, Errno> {
        if what == u64::from(pr::PR_CAP_AMBIENT_CLEAR_ALL) {
            if cap != 0 || rest != [0; 2] {
                return Err(Errno::EINVAL);
            }
            self.cap_ambient = CapSet::EMPTY;
            return Ok(0);
        }
        if rest != [0; 2] || cap > LAST {
            return Err(Errno::EINVAL);
        }
        let one = CapSet(1 << cap);
        match u32::try_from(what).map_err(|_| Errno::EINVAL)? {
            pr::PR_CAP_AMBIENT_IS_SET => return Ok(one.is_subset(self.cap_ambient).into()),
            pr::PR_CAP_AMBIENT_LOWER => self.cap_ambient = self.cap_ambient.without(one),
            pr::PR_CAP_AMBIENT_RAISE => {
                let own = self.cap_permitted.and(self.cap_inheritable);
                if !one.is_subset(own) || self.securebits & NO_CAP_AMBIENT_RAISE != 0 {
                    return Err(Errno::EPERM);
                }
                self.cap_ambient = self.cap_ambient.or(one);
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }
}

impl Kernel {
    /// cap_task_prctl(): the options about capabilities. None for others.
    pub(super) fn cap_task_prctl(
        &mut self,
        task: TaskId,
        option: u32,
        args: [u64; 4],
    ) -> Option<SysResult> {
        let cred = &mut self.tasks[task].cred;
        let arg = args[0];
        Some(match option {
            pr::PR_CAPBSET_READ if arg <= LAST => Ok(cred.cap_bset.0 >> arg & 1),
            pr::PR_CAPBSET_READ => Err(Errno::EINVAL.into()),
            pr::PR_CAPBSET_DROP if !cred.has_cap(Cap::Setpcap) => Err(Errno::EPERM.into()),
            pr::PR_CAPBSET_DROP if arg > LAST => Err(Errno::EINVAL.into()),
            pr::PR_CAPBSET_DROP => {
                cred.cap_bset = cred.cap_bset.without(CapSet(1 << arg));
                Ok(0)
            }
            pr::PR_GET_SECUREBITS => Ok(cred.securebits.into()),
            pr::PR_SET_SECUREBITS => cred.set_securebits(arg).map(|()| 0).map_err(Into::into),
            pr::PR_GET_KEEPCAPS => Ok(u64::from(cred.securebits & KEEP_CAPS != 0)),
            pr::PR_SET_KEEPCAPS if arg > 1 => Err(Errno::EINVAL.into()),
            pr::PR_SET_KEEPCAPS if cred.securebits & KEEP_CAPS << 1 != 0 => {
                Err(Errno::EPERM.into())
            }
            pr::PR_SET_KEEPCAPS => {
                let bit = if arg == 1 { KEEP_CAPS } else { 0 };
                cred.securebits = cred.securebits & !KEEP_CAPS | bit;
                Ok(0)
            }
            pr::PR_CAP_AMBIENT => cred.cap_ambient(args).map_err(Into::into),
            _ => return None,
        })
    }

    /// capget(2).
    pub fn sys_capget(&mut self, call: &mut Call<'_>) -> SysResult {
        let (header, data) = (call.ptr(0), call.ptr(1));
        let words = match self.cap_version(call, header)? {
            Some(words) => words,
            // An unknown version: the header says the right one now, and without data that was all.
            None if data.is_null() => return Ok(0),
            None => return Err(Errno::EINVAL.into()),
        };
        let target = self.cap_target(call, header)?;
        if data.is_null() {
            return Ok(0);
        }
        let cred = &self.tasks[target].cred;
        let sets = [cred.cap_effective, cred.cap_permitted, cred.cap_inheritable];
        for i in 0..words {
            for (j, set) in sets.into_iter().enumerate() {
                let word = (set.0 >> (32 * i)) as u32;
                call.write_u32(data.add(12 * i + 4 * j as u64), word)?;
            }
        }
        Ok(0)
    }

    /// capset(2), of oneself. Bits beyond the last capability are dropped.
    pub fn sys_capset(&mut self, call: &mut Call<'_>) -> SysResult {
        let (header, data) = (call.ptr(0), call.ptr(1));
        let words = self.cap_version(call, header)?.ok_or(Errno::EINVAL)?;
        let pid = call.read_u32(header.add(4))?;
        if pid != 0 && pid != self.task_pid_vnr(call.task) {
            return Err(Errno::EPERM.into());
        }
        let mut asked = [0u64; 3];
        for i in 0..words {
            for (j, set) in asked.iter_mut().enumerate() {
                let word = call.read_u32(data.add(12 * i + 4 * j as u64))?;
                *set |= u64::from(word) << (32 * i);
            }
        }
        let asked = asked.map(|set| CapSet(set).and(CapSet::FULL));
        self.tasks[call.task].cred.cap_capset(asked)?;
        Ok(0)
    }

    /// cap_validate_magic(): how many words each set has; None (and the header corrected) for an
    /// unknown version.
    fn cap_version(&mut self, call: &mut Call<'_>, header: UserPtr) -> Result<Option<u64>, Errno> {
        match call.read_u32(header)? {
            CAPABILITY_V1 => Ok(Some(1)),
            CAPABILITY_V2 | CAPABILITY_V3 => Ok(Some(2)),
            _ => {
                call.write_u32(header, CAPABILITY_V3)?;
                Ok(None)
            }
        }
    }

    fn cap_target(&mut self, call: &mut Call<'_>, header: UserPtr) -> Result<TaskId, Errno> {
        match call.read_u32(header.add(4))? as i32 {
            0 => Ok(call.task),
            n if n < 0 => Err(Errno::EINVAL),
            n => self.find_task_by_vpid(call.task, n).ok_or(Errno::ESRCH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_root_for_good_has_nothing_left_unless_it_asked() {
        let mut cred = Cred::default();
        cred.cap_emulate_setxuid([0; 3], [5; 3], Some(0));
        assert_eq!(cred.cap_permitted, CapSet::EMPTY);
        let mut cred = Cred { securebits: KEEP_CAPS, ..Cred::default() };
        cred.cap_emulate_setxuid([0; 3], [5; 3], Some(0));
        assert_eq!((cred.cap_permitted, cred.cap_effective), (CapSet::FULL, CapSet::EMPTY));
        let mut cred = Cred { securebits: NO_SETUID_FIXUP, ..Cred::default() };
        cred.cap_emulate_setxuid([0; 3], [5; 3], Some(0));
        assert_eq!(cred.cap_effective, CapSet::FULL);
    }

    #[test]
    fn ambient_ones_survive_an_exec_of_nobody() {
        let mut cred = Cred { uid: 7, euid: 7, ..Cred::default() };
        cred.cap_inheritable = CapSet::FULL;
        let raise = pr::PR_CAP_AMBIENT_RAISE.into();
        assert_eq!(cred.cap_ambient([raise, Cap::NetRaw as u64, 0, 0]), Ok(0));
        cred.cap_bprm_creds_from_file(false, Some(0));
        let left = CapSet(1 << Cap::NetRaw as u64);
        assert_eq!((cred.cap_permitted, cred.cap_effective), (left, left));
        cred.cap_bprm_creds_from_file(true, Some(0));
        assert_eq!(cred.cap_permitted, CapSet::EMPTY);
    }

    #[test]
    fn roots_exec_brings_back_what_the_bounding_set_leaves() {
        let cap_bset = CapSet::FULL.without(CapSet(1 << Cap::Kill as u64));
        let mut cred = Cred { cap_bset, ..Cred::default() };
        assert_eq!(cred.cap_capset([CapSet::EMPTY; 3]), Ok(()));
        assert_eq!(cred.cap_capset([CapSet(1), CapSet(1), CapSet::EMPTY]), Err(Errno::EPERM));
        cred.cap_bprm_creds_from_file(false, Some(0));
        assert_eq!(cred.cap_effective, cred.cap_bset);
    }

    #[test]
    fn a_locked_bit_stays() {
        let mut cred = Cred::default();
        assert_eq!(cred.set_securebits((NOROOT | NOROOT << 1).into()), Ok(()));
        assert_eq!(cred.set_securebits(0), Err(Errno::EPERM));
        assert_eq!(cred.set_securebits(1 << 31), Err(Errno::EPERM));
    }
}
