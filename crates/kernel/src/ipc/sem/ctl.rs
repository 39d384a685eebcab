//! semctl(2): values and waiters of a set, its owner and mode, its end; and /proc/sysvipc/sem.
//! Neighbour: `sem` (the sets and what waits for them).

use super::{SEMVMX, Sem, SemArray};
use crate::abi::Errno;
use crate::ipc::namespace::{IpcId, IpcNs};
use crate::ipc::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, IpcObject, S_IRUGO, S_IWUGO};
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use core::fmt::Write;

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// struct semid64_ds, with these permissions.
fn semid64_ds(perm: &[u8; 48], array: &IpcObject<SemArray>) -> [u8; 104] {
    let mut bytes = [0; 104];
    bytes[..48].copy_from_slice(perm);
    bytes[48..56].copy_from_slice(&array.what.otime.to_le_bytes());
    bytes[64..72].copy_from_slice(&array.what.ctime.to_le_bytes());
    bytes[80..88].copy_from_slice(&(array.what.sems.len() as u64).to_le_bytes());
    bytes
}

impl Kernel {
    /// semctl(2).
    pub fn sys_semctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (id, num, cmd, arg) = (self.ipc_id(call)?, call.int(1), call.int(2), call.ptr(3));
        let caps = self.ipc_caps(call.task);
        let cred = &self.tasks[call.task].cred;
        match cmd {
            IPC_INFO | SEM_INFO => self.semctl_info(call, id.ns, cmd, arg),
            IPC_STAT | SEM_STAT | SEM_STAT_ANY => self.semctl_stat(call, id, cmd, arg),
            GETALL => {
                let array = self.ipc.sem.ids.get(id)?;
                array.perm.check(cred, caps, S_IRUGO)?;
                let values = array.what.sems.iter().flat_map(|s| (s.value as u16).to_le_bytes());
                let values: Vec<u8> = values.collect();
                call.write_user(arg, &values)?;
                Ok(0)
            }
            SETALL => self.semctl_setall(call, id, arg),
            SETVAL => self.semctl_setval(call, id, num, arg.0 as i32),
            GETVAL | GETPID | GETNCNT | GETZCNT => self.semctl_get(call, id, num, cmd),
            IPC_SET => {
                let bytes = call.read_array::<104>(arg)?;
                let now = self.real_seconds();
                let array = self.ipc.sem.ids.get_mut(id)?;
                array.perm.check_owner(cred, caps)?;
                let bytes = bytes.first_chunk().ok_or(Errno::EFAULT)?;
                array.perm.update(bytes, &self.namespaces.user, cred.user_ns)?;
                array.what.ctime = now;
                Ok(0)
            }
            IPC_RMID => {
                let array = self.ipc.sem.ids.get(id)?;
                array.perm.check_owner(cred, caps)?;
                self.freeary(id);
                Ok(0)
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// struct seminfo: limits, or with SEM_INFO what is in use.
    fn semctl_info(&mut self, call: &mut Call<'_>, ns: IpcNs, cmd: i32, to: UserPtr) -> SysResult {
        let ids = self.ipc.sem.ids.of(ns);
        let (sets, semaphores) = match cmd {
            SEM_INFO => (ids.in_use() as u32, self.semaphores_in_use(ns) as u32),
            _ => (20, SEMVMX as u32),
        };
        let [msl, mns, opm, mni] = self.ipc_limits(call.task).sem;
        // semmap, mni, mns, mnu, msl, opm, ume, usz, vmx, aem
        let info = [mns, mni, mns, mns, msl, opm, opm, sets, SEMVMX as u32, semaphores];
        call.write_user(to, &info.map(u32::to_le_bytes).concat())?;
        Ok(self.ipc.sem.ids.of(ns).max_index())
    }

    fn semctl_stat(
        &mut self,
        call: &mut Call<'_>,
        IpcId { ns, id }: IpcId,
        cmd: i32,
        to: UserPtr,
    ) -> SysResult {
        let ids = self.ipc.sem.ids.of(ns);
        let cred = &self.tasks[call.task].cred;
        let array = if cmd == IPC_STAT { ids.get(id)? } else { ids.at_index(id)? };
        if cmd != SEM_STAT_ANY {
            array.perm.check(cred, self.ipc_caps(call.task), S_IRUGO)?;
        }
        let value = if cmd == IPC_STAT { 0 } else { array.id as u64 };
        let perm = array.perm.encode(&self.namespaces.user, cred.user_ns);
        let bytes = semid64_ds(&perm, array);
        call.write_user(to, &bytes)?;
        Ok(value)
    }

    fn semctl_setval(&mut self, call: &mut Call<'_>, id: IpcId, num: i32, value: i32) -> SysResult {
        if !(0..=SEMVMX).contains(&value) {
            return Err(Errno::ERANGE.into());
        }
        let (pid, now) = (self.tgid(call.task).0, self.real_seconds());
        let caps = self.ipc_caps(call.task);
        let array = self.ipc.sem.ids.get_mut(id)?;
        let index = usize::try_from(num).ok().filter(|i| *i < array.what.sems.len());
        let index = index.ok_or(Errno::EINVAL)?;
        array.perm.check(&self.tasks[call.task].cred, caps, S_IWUGO)?;
        array.what.sems[index] = Sem { value, pid };
        array.what.ctime = now;
        self.ipc.sem.forget_undos(id, Some(index as u16..index as u16 + 1));
        self.update_queue(id);
        Ok(0)
    }

    fn semctl_setall(&mut self, call: &mut Call<'_>, id: IpcId, from: UserPtr) -> SysResult {
        let (pid, now) = (self.tgid(call.task).0, self.real_seconds());
        let caps = self.ipc_caps(call.task);
        let array = self.ipc.sem.ids.get_mut(id)?;
        array.perm.check(&self.tasks[call.task].cred, caps, S_IWUGO)?;
        let bytes = call.read_bytes(from, 2 * array.what.sems.len())?;
        let values = bytes.chunks_exact(2).map(|b| i32::from(u16::from_le_bytes([b[0], b[1]])));
        let values: Vec<i32> = values.collect();
        if values.iter().any(|value| *value > SEMVMX) {
            return Err(Errno::ERANGE.into());
        }
        let count = values.len() as u16;
        array.what.sems = values.into_iter().map(|value| Sem { value, pid }).collect();
        array.what.ctime = now;
        self.ipc.sem.forget_undos(id, Some(0..count));
        self.update_queue(id);
        Ok(0)
    }

    /// GETVAL, GETPID, GETNCNT, GETZCNT.
    fn semctl_get(&mut self, call: &mut Call<'_>, id: IpcId, num: i32, cmd: i32) -> SysResult {
        let array = self.ipc.sem.ids.get(id)?;
        array.perm.check(&self.tasks[call.task].cred, self.ipc_caps(call.task), S_IRUGO)?;
        let index = usize::try_from(num).ok().filter(|i| *i < array.what.sems.len());
        let index = index.ok_or(Errno::EINVAL)?;
        let sem = array.what.sems[index];
        Ok(match cmd {
            GETVAL => sem.value as u64,
            GETPID => sem.pid.into(),
            _ => self.count_semcnt(&array.what, index, cmd == GETZCNT),
        })
    }

    /// count_semcnt(): calls that this semaphore blocks, because it is not zero or is too small.
    fn count_semcnt(&self, array: &SemArray, index: usize, zero: bool) -> u64 {
        let blocked = array.pending.iter().filter_map(|task| self.ipc.sem.queues.get(task));
        let ops = blocked.map(|q| q.ops[q.blocking]);
        let counts = ops.filter(|op| usize::from(op.num) == index && (op.op == 0) == zero);
        counts.count() as u64
    }

    /// freeary(): the set goes; whoever waits for it gets EIDRM.
    fn freeary(&mut self, id: IpcId) {
        let Some(gone) = self.ipc.sem.ids.remove(id) else { return };
        self.ipc.sem.forget_undos(id, None);
        for task in gone.what.pending {
            self.wake_up_sem_queue(task, Err(Errno::EIDRM));
        }
    }

    /// /proc/sysvipc/sem.
    pub(crate) fn sysvipc_sem(&self, reader: TaskId) -> String {
        let mut text = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n".to_owned();
        for array in self.ipc.sem.ids.of(self.ipc_ns(reader)).iter() {
            let p = &array.perm;
            let _ = write!(
                text,
                "{:10} {:10}  {:4o} {:10}",
                p.key,
                array.id,
                p.mode,
                array.what.sems.len()
            );
            text.push_str(&self.ipc_owner_columns(reader, p));
            let _ = writeln!(text, " {:10} {:10}", array.what.otime, array.what.ctime);
        }
        text
    }
}
