//! shmctl(2): what a segment is, its owner and mode, its removal; and /proc/sysvipc/shm.
//! Neighbour: `shm` (segments and their attachments).

use super::shm::Shm;
use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, IpcObject, S_IRUGO};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::PAGE_SIZE;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::rlimit::RLIMIT_MEMLOCK;
use core::fmt::Write;

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
/// In a mode: SHM_LOCK was done. A hint, nothing is ever paged out.
const SHM_LOCKED: u32 = 0o2000;

impl Kernel {
    /// shmctl(2).
    pub fn sys_shmctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (id, cmd, buf) = (call.int(0), call.int(1), call.ptr(2));
        if cmd < 0 || id < 0 {
            return Err(Errno::EINVAL.into());
        }
        match cmd {
            IPC_INFO => {
                let s = &self.ipc.sysctls;
                let mni = u64::from(s.shmmni);
                // shmmax, shmmin, shmmni, shmseg, shmall and four that are not used
                let info = [s.shmmax, 1, mni, mni, s.shmall, 0, 0, 0, 0];
                call.write_user(buf, &info.map(u64::to_le_bytes).concat())?;
                Ok(self.ipc.shm.ids.max_index())
            }
            SHM_INFO => {
                let shm = &self.ipc.shm;
                // Segments, pages; resident is what there is (unlike Linux: what was touched).
                let info = [shm.ids.in_use() as u64, shm.pages(), shm.pages(), 0, 0, 0];
                call.write_user(buf, &info.map(u64::to_le_bytes).concat())?;
                Ok(self.ipc.shm.ids.max_index())
            }
            IPC_STAT | SHM_STAT | SHM_STAT_ANY => self.shmctl_stat(call, id, cmd, buf),
            IPC_SET => {
                let bytes = call.read_array::<112>(buf)?;
                let now = self.real_seconds();
                let segment = self.ipc.shm.ids.get_mut(id)?;
                segment.perm.check_owner(&self.tasks[call.task].cred)?;
                segment.perm.update(bytes.first_chunk().ok_or(Errno::EFAULT)?)?;
                segment.what.ctime = now;
                Ok(0)
            }
            IPC_RMID => {
                let segment = self.ipc.shm.ids.get(id)?;
                segment.perm.check_owner(&self.tasks[call.task].cred)?;
                self.shm_rmid(id, call.user);
                Ok(0)
            }
            SHM_LOCK | SHM_UNLOCK => self.shmctl_do_lock(call, id, cmd == SHM_LOCK),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn shmctl_stat(&mut self, call: &mut Call<'_>, id: i32, cmd: i32, to: UserPtr) -> SysResult {
        let ids = &self.ipc.shm.ids;
        let segment = if cmd == IPC_STAT { ids.get(id)? } else { ids.at_index(id)? };
        if cmd != SHM_STAT_ANY {
            segment.perm.check(&self.tasks[call.task].cred, S_IRUGO)?;
        }
        let value = if cmd == IPC_STAT { 0 } else { segment.id as u64 };
        let bytes = self.shmid64_ds(segment);
        call.write_user(to, &bytes)?;
        Ok(value)
    }

    /// struct shmid64_ds.
    fn shmid64_ds(&self, segment: &IpcObject<Shm>) -> Vec<u8> {
        let shm = &segment.what;
        let times = [shm.atime, shm.dtime, shm.ctime].map(i64::to_le_bytes).concat();
        let pids = [shm.cpid, shm.lpid].map(u32::to_le_bytes).concat();
        let rest = [self.shm_nattch(segment.id), 0, 0].map(u64::to_le_bytes).concat();
        let perm = segment.perm.encode();
        [&perm[..], &shm.size.to_le_bytes(), &times, &pids, &rest].concat()
    }

    /// SHM_LOCK and SHM_UNLOCK: a hint that shows in the mode. EPERM, ENOMEM beyond
    /// RLIMIT_MEMLOCK.
    fn shmctl_do_lock(&mut self, call: &mut Call<'_>, id: i32, lock: bool) -> SysResult {
        let limit = self.rlimit(call.task, RLIMIT_MEMLOCK);
        let segment = self.ipc.shm.ids.get_mut(id)?;
        let cred = &self.tasks[call.task].cred;
        if !cred.capable(Cap::IpcLock) {
            segment.perm.check_owner(cred)?;
            if lock && limit == 0 {
                return Err(Errno::EPERM.into());
            }
            if lock && segment.what.size > limit {
                return Err(Errno::ENOMEM.into());
            }
        }
        if lock {
            segment.perm.mode |= SHM_LOCKED;
        } else {
            segment.perm.mode &= !SHM_LOCKED;
        }
        Ok(0)
    }

    /// /proc/sysvipc/shm.
    pub(crate) fn sysvipc_shm(&self) -> String {
        let mut text = "       key      shmid perms                  size  cpid  lpid nattch   \
            uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n"
            .to_owned();
        for segment in self.ipc.shm.ids.iter() {
            let (p, shm) = (&segment.perm, &segment.what);
            let _ = write!(text, "{:10} {:10}  {:4o} {:21}", p.key, segment.id, p.mode, shm.size);
            let nattch = self.shm_nattch(segment.id);
            let _ = write!(text, " {:5} {:5}  {nattch:5}", shm.cpid, shm.lpid);
            let _ = write!(text, " {:5} {:5} {:5} {:5}", p.uid, p.gid, p.cuid, p.cgid);
            let _ = write!(text, " {:10} {:10} {:10}", shm.atime, shm.dtime, shm.ctime);
            let _ = writeln!(text, " {:21} {:21}", shm.pages() * PAGE_SIZE, 0);
        }
        text
    }
}
