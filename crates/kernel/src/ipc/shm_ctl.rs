//! shmctl(2): what a segment is, its owner and mode, its removal; and /proc/sysvipc/shm.
//! Neighbour: `shm` (segments and their attachments).

use super::namespace::IpcId;
use super::shm::Shm;
use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, IpcObject, S_IRUGO};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::PAGE_SIZE;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
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
        let (id, cmd, buf) = (self.ipc_id(call)?, call.int(1), call.ptr(2));
        let (task, caps) = (call.task, self.ipc_caps(call.task));
        let cred = &self.tasks[task].cred;
        match cmd {
            IPC_INFO => {
                let s = self.ipc_limits(task);
                let mni = u64::from(s.shmmni);
                // shmmax, shmmin, shmmni, shmseg, shmall and four that are not used
                let info = [s.shmmax, 1, mni, mni, s.shmall, 0, 0, 0, 0];
                call.write_user(buf, &info.map(u64::to_le_bytes).concat())?;
                Ok(self.ipc.shm.ids.of(id.ns).max_index())
            }
            SHM_INFO => {
                let ids = self.ipc.shm.ids.of(id.ns);
                let pages = self.ipc.shm.pages_of(id.ns);
                // Segments, pages; resident is what there is (unlike Linux: what was touched).
                let info = [ids.in_use() as u64, pages, pages, 0, 0, 0];
                call.write_user(buf, &info.map(u64::to_le_bytes).concat())?;
                Ok(self.ipc.shm.ids.of(id.ns).max_index())
            }
            IPC_STAT | SHM_STAT | SHM_STAT_ANY => self.shmctl_stat(call, id, cmd, buf),
            IPC_SET => {
                let bytes = call.read_array::<112>(buf)?;
                let now = self.real_seconds();
                let segment = self.ipc.shm.ids.get_mut(id)?;
                segment.perm.check_owner(cred, caps)?;
                let bytes = bytes.first_chunk().ok_or(Errno::EFAULT)?;
                segment.perm.update(bytes, &self.namespaces.user, cred.user_ns)?;
                segment.what.ctime = now;
                Ok(0)
            }
            IPC_RMID => {
                let segment = self.ipc.shm.ids.get(id)?;
                segment.perm.check_owner(cred, caps)?;
                self.shm_rmid(id);
                self.release_dead_objects(call.user);
                Ok(0)
            }
            SHM_LOCK | SHM_UNLOCK => self.shmctl_do_lock(call, id, cmd == SHM_LOCK),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn shmctl_stat(
        &mut self,
        call: &mut Call<'_>,
        IpcId { ns, id }: IpcId,
        cmd: i32,
        to: UserPtr,
    ) -> SysResult {
        let ids = self.ipc.shm.ids.of(ns);
        let segment = if cmd == IPC_STAT { ids.get(id)? } else { ids.at_index(id)? };
        if cmd != SHM_STAT_ANY {
            segment.perm.check(&self.tasks[call.task].cred, self.ipc_caps(call.task), S_IRUGO)?;
        }
        let value = if cmd == IPC_STAT { 0 } else { segment.id as u64 };
        let bytes = self.shmid64_ds(call.task, segment);
        call.write_user(to, &bytes)?;
        Ok(value)
    }

    /// struct shmid64_ds.
    fn shmid64_ds(&self, task: TaskId, segment: &IpcObject<Shm>) -> Vec<u8> {
        let shm = &segment.what;
        let times = [shm.atime, shm.dtime, shm.ctime].map(i64::to_le_bytes).concat();
        let pids = [shm.cpid, shm.lpid].map(u32::to_le_bytes).concat();
        let rest = [self.shm_nattch(IpcId { ns: self.ipc_ns(task), id: segment.id }), 0, 0]
            .map(u64::to_le_bytes)
            .concat();
        let perm = segment.perm.encode(&self.namespaces.user, self.tasks[task].cred.user_ns);
        [&perm[..], &shm.size.to_le_bytes(), &times, &pids, &rest].concat()
    }

    /// SHM_LOCK and SHM_UNLOCK: a hint that shows in the mode. EPERM, ENOMEM beyond
    /// RLIMIT_MEMLOCK.
    fn shmctl_do_lock(&mut self, call: &mut Call<'_>, id: IpcId, lock: bool) -> SysResult {
        let limit = self.rlimit(call.task, RLIMIT_MEMLOCK);
        let caps = self.ipc_caps(call.task);
        let segment = self.ipc.shm.ids.get_mut(id)?;
        let cred = &self.tasks[call.task].cred;
        if !caps.has(Cap::IpcLock) {
            segment.perm.check_owner(cred, caps)?;
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
    pub(crate) fn sysvipc_shm(&self, reader: TaskId) -> String {
        let ns = self.ipc_ns(reader);
        let mut text = "       key      shmid perms                  size  cpid  lpid nattch   \
            uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n"
            .to_owned();
        for segment in self.ipc.shm.ids.of(ns).iter() {
            let (p, shm) = (&segment.perm, &segment.what);
            let _ = write!(text, "{:10} {:10}  {:4o} {:21}", p.key, segment.id, p.mode, shm.size);
            let nattch = self.shm_nattch(IpcId { ns, id: segment.id });
            let _ = write!(text, " {:5} {:5}  {nattch:5}", shm.cpid, shm.lpid);
            text.push_str(&self.ipc_owner_columns(reader, p));
            let _ = write!(text, " {:10} {:10} {:10}", shm.atime, shm.dtime, shm.ctime);
            let _ = writeln!(text, " {:21} {:21}", shm.pages() * PAGE_SIZE, 0);
        }
        text
    }
}
