//! msgctl(2): what a queue holds, its owner, mode and size, its end; and /proc/sysvipc/msg.
//! Neighbour: `msg` (queues, senders and receivers).

use super::msg::MsgQueue;
use super::namespace::{IpcId, IpcNs};
use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, IpcObject, S_IRUGO};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use core::fmt::Write;

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// struct msqid64_ds after its permissions.
fn msqid64_ds(perm: &[u8; 48], queue: &IpcObject<MsgQueue>) -> Vec<u8> {
    let q = &queue.what;
    let times = [q.stime, q.rtime, q.ctime].map(i64::to_le_bytes).concat();
    let sizes = [q.cbytes, q.qnum() as u64, q.qbytes].map(u64::to_le_bytes).concat();
    let pids = [q.lspid, q.lrpid].map(u32::to_le_bytes).concat();
    [&perm[..], &times, &sizes, &pids, &[0; 16]].concat()
}

impl Kernel {
    /// msgctl(2).
    pub fn sys_msgctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (id, cmd, buf) = (self.ipc_id(call)?, call.int(1), call.ptr(2));
        match cmd {
            IPC_INFO | MSG_INFO => self.msgctl_info(call, id.ns, cmd, buf),
            IPC_STAT | MSG_STAT | MSG_STAT_ANY => self.msgctl_stat(call, id, cmd, buf),
            IPC_SET => self.msgctl_set(call, id, buf),
            IPC_RMID => {
                let queue = self.ipc.msg.ids.get(id)?;
                queue.perm.check_owner(&self.tasks[call.task].cred, self.ipc_caps(call.task))?;
                self.freeque(id);
                Ok(0)
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// struct msginfo: limits, or with MSG_INFO what is in use.
    fn msgctl_info(&mut self, call: &mut Call<'_>, ns: IpcNs, cmd: i32, to: UserPtr) -> SysResult {
        let s = self.ipc_limits(call.task);
        let (max, mnb, mni) = (s.msgmax, s.msgmnb, s.msgmni);
        let (pool, map, tql) = match cmd {
            MSG_INFO => {
                let (messages, bytes) = self.ipc.msg.in_use(ns);
                (self.ipc.msg.ids.of(ns).in_use() as u32, messages as u32, bytes as u32)
            }
            _ => (mni.wrapping_mul(mnb / 1024), mnb, mnb),
        };
        // msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg
        let info = [pool, map, max, mnb, mni, 16, tql, 0xffff];
        call.write_user(to, &info.map(u32::to_le_bytes).concat())?;
        Ok(self.ipc.msg.ids.of(ns).max_index())
    }

    fn msgctl_stat(
        &mut self,
        call: &mut Call<'_>,
        IpcId { ns, id }: IpcId,
        cmd: i32,
        to: UserPtr,
    ) -> SysResult {
        let ids = self.ipc.msg.ids.of(ns);
        let cred = &self.tasks[call.task].cred;
        let queue = if cmd == IPC_STAT { ids.get(id)? } else { ids.at_index(id)? };
        if cmd != MSG_STAT_ANY {
            queue.perm.check(cred, self.ipc_caps(call.task), S_IRUGO)?;
        }
        let value = if cmd == IPC_STAT { 0 } else { queue.id as u64 };
        let perm = queue.perm.encode(&self.namespaces.user, cred.user_ns);
        let bytes = msqid64_ds(&perm, queue);
        call.write_user(to, &bytes)?;
        Ok(value)
    }

    /// IPC_SET: owner, mode and msg_qbytes; all receivers look again, and senders that fit now.
    fn msgctl_set(&mut self, call: &mut Call<'_>, id: IpcId, from: UserPtr) -> SysResult {
        let bytes = call.read_array::<120>(from)?;
        let qbytes = u32::from_le_bytes([88, 89, 90, 91].map(|i| bytes[i]));
        let now = self.real_seconds();
        let (most, caps) = (self.ipc_limits(call.task).msgmnb, self.ipc_caps(call.task));
        let queue = self.ipc.msg.ids.get_mut(id)?;
        let cred = &self.tasks[call.task].cred;
        queue.perm.check_owner(cred, caps)?;
        if qbytes > most && !cred.capable(Cap::SysResource) {
            return Err(Errno::EPERM.into());
        }
        let bytes = bytes.first_chunk().ok_or(Errno::EFAULT)?;
        queue.perm.update(bytes, &self.namespaces.user, cred.user_ns)?;
        (queue.what.qbytes, queue.what.ctime) = (qbytes.into(), now);
        let (receivers, _) = self.msg_sleepers(id);
        self.expunge_all(id, &receivers, Errno::EAGAIN);
        self.ss_wakeup(id);
        Ok(0)
    }

    /// freeque(): the queue goes with its messages; whoever waits in it gets EIDRM.
    fn freeque(&mut self, id: IpcId) {
        let (receivers, senders) = self.msg_sleepers(id);
        self.ipc.msg.ids.remove(id);
        self.expunge_all(id, &receivers, Errno::EIDRM);
        self.wake_senders(&senders);
    }

    /// /proc/sysvipc/msg.
    pub(crate) fn sysvipc_msg(&self, reader: TaskId) -> String {
        let mut text =
            "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  \
            cuid  cgid      stime      rtime      ctime\n"
                .to_owned();
        for queue in self.ipc.msg.ids.of(self.ipc_ns(reader)).iter() {
            let (p, q) = (&queue.perm, &queue.what);
            let _ = write!(text, "{:10} {:10}  {:4o}  ", p.key, queue.id, p.mode);
            let _ = write!(text, "{:10} {:10} {:5} {:5}", q.cbytes, q.qnum(), q.lspid, q.lrpid);
            text.push_str(&self.ipc_owner_columns(reader, p));
            let _ = writeln!(text, " {:10} {:10} {:10}", q.stime, q.rtime, q.ctime);
        }
        text
    }
}
