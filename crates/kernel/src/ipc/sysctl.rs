//! The limits of an IPC namespace that root may change: /proc/sys/kernel/{msg,sem,shm}* and
//! /proc/sys/fs/mqueue. proc_sys_kernel(5), proc_sys_fs(5), mq_overview(7). Neighbours: `msg`, `sem`,
//! `shm`, `mqueue` (which look them up), `fs/procfs/tunable` (the files).

use super::Ipc;
use super::namespace::IpcNs;
use crate::abi::Errno;

/// The limits, with what Linux sets them to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpcSysctls {
    /// kernel.msgmax: bytes of a message.
    pub msgmax: u32,
    /// kernel.msgmnb: bytes of a new queue.
    pub msgmnb: u32,
    /// kernel.msgmni: queues.
    pub msgmni: u32,
    /// kernel.sem: SEMMSL (in a set), SEMMNS (in all), SEMOPM (operations of a call), SEMMNI (sets).
    pub sem: [u32; 4],
    /// kernel.shmmax: bytes of a segment.
    pub shmmax: u64,
    /// kernel.shmall: pages in all.
    pub shmall: u64,
    /// kernel.shmmni: segments.
    pub shmmni: u32,
    /// fs.mqueue.queues_max: beyond it only with CAP_SYS_RESOURCE.
    pub mq_queues_max: u32,
    /// fs.mqueue.msg_max: the most messages that a queue may be made for.
    pub mq_msg_max: u32,
    /// fs.mqueue.msgsize_max: the most bytes of a message that a queue may be made for.
    pub mq_msgsize_max: u32,
    /// fs.mqueue.msg_default.
    pub mq_msg_default: u32,
    /// fs.mqueue.msgsize_default.
    pub mq_msgsize_default: u32,
}

impl Default for IpcSysctls {
    fn default() -> IpcSysctls {
        IpcSysctls {
            msgmax: 8192,
            msgmnb: 16384,
            msgmni: 32000,
            sem: [32000, 1_024_000_000, 500, 32000],
            shmmax: u64::MAX - (1 << 24),
            shmall: u64::MAX - (1 << 24),
            shmmni: 4096,
            mq_queues_max: 256,
            mq_msg_max: 10,
            mq_msgsize_max: 8192,
            mq_msg_default: 10,
            mq_msgsize_default: 8192,
        }
    }
}

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum IpcSysctl {
    Msgmax,
    Msgmnb,
    Msgmni,
    MsgNextId,
    Sem,
    SemNextId,
    Shmall,
    Shmmax,
    Shmmni,
    ShmNextId,
    MqMsgDefault,
    MqMsgMax,
    MqMsgsizeDefault,
    MqMsgsizeMax,
    MqQueuesMax,
}

/// What a file may be set to.
const INT_MAX: u32 = i32::MAX as u32;
/// See [`INT_MAX`]: HARD_MSGMAX.
pub(super) const HARD_MSGMAX: u32 = 65536;
/// See [`INT_MAX`]: MIN_MSGSIZEMAX.
const MIN_MSGSIZEMAX: u32 = 128;
/// See [`INT_MAX`]: HARD_MSGSIZEMAX.
pub(super) const HARD_MSGSIZEMAX: u32 = 16 << 20;

impl IpcSysctl {
    /// Permission bits; what a restorer of processes sets is only for who may do that.
    pub fn mode(self) -> u32 {
        match self {
            IpcSysctl::MsgNextId | IpcSysctl::SemNextId | IpcSysctl::ShmNextId => 0o444,
            IpcSysctl::Msgmax
            | IpcSysctl::Msgmnb
            | IpcSysctl::Msgmni
            | IpcSysctl::Sem
            | IpcSysctl::Shmall
            | IpcSysctl::Shmmax
            | IpcSysctl::Shmmni
            | IpcSysctl::MqMsgDefault
            | IpcSysctl::MqMsgMax
            | IpcSysctl::MqMsgsizeDefault
            | IpcSysctl::MqMsgsizeMax
            | IpcSysctl::MqQueuesMax => 0o644,
        }
    }

    /// What the file says, without the newline.
    pub fn text(self, ipc: &Ipc, ns: IpcNs) -> String {
        let s = &ipc.spaces.get(ns).sysctls;
        let next = |id: Option<i32>| id.unwrap_or(-1).to_string();
        match self {
            IpcSysctl::Msgmax => s.msgmax.to_string(),
            IpcSysctl::Msgmnb => s.msgmnb.to_string(),
            IpcSysctl::Msgmni => s.msgmni.to_string(),
            IpcSysctl::Sem => s.sem.map(|it| it.to_string()).join("\t"),
            IpcSysctl::Shmall => s.shmall.to_string(),
            IpcSysctl::Shmmax => s.shmmax.to_string(),
            IpcSysctl::Shmmni => s.shmmni.to_string(),
            IpcSysctl::MsgNextId => next(ipc.msg.ids.of(ns).next_id),
            IpcSysctl::SemNextId => next(ipc.sem.ids.of(ns).next_id),
            IpcSysctl::ShmNextId => next(ipc.shm.ids.of(ns).next_id),
            IpcSysctl::MqMsgDefault => s.mq_msg_default.to_string(),
            IpcSysctl::MqMsgMax => s.mq_msg_max.to_string(),
            IpcSysctl::MqMsgsizeDefault => s.mq_msgsize_default.to_string(),
            IpcSysctl::MqMsgsizeMax => s.mq_msgsize_max.to_string(),
            IpcSysctl::MqQueuesMax => s.mq_queues_max.to_string(),
        }
    }

    /// A write there.
    ///
    /// # Errors
    /// EINVAL for no number, or one out of range; ERANGE for more sets than there can be (the other
    /// three numbers are set).
    pub fn write(self, ipc: &mut Ipc, ns: IpcNs, text: &str) -> Result<(), Errno> {
        let s = &mut ipc.spaces.get_mut(ns).sysctls;
        let number = |least: u32, most: u32| -> Result<u32, Errno> {
            let first = text.split_whitespace().next().ok_or(Errno::EINVAL)?;
            let value = first.parse::<u32>().map_err(|_| Errno::EINVAL)?;
            if (least..=most).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
        };
        let long = || text.trim().parse::<u64>().map_err(|_| Errno::EINVAL);
        match self {
            IpcSysctl::Msgmax => s.msgmax = number(0, INT_MAX)?,
            IpcSysctl::Msgmnb => s.msgmnb = number(0, INT_MAX)?,
            IpcSysctl::Msgmni => s.msgmni = number(0, super::IPCMNI)?,
            IpcSysctl::Sem => return set_sem(&mut s.sem, text),
            IpcSysctl::Shmall => s.shmall = long()?,
            IpcSysctl::Shmmax => s.shmmax = long()?,
            IpcSysctl::Shmmni => s.shmmni = number(0, super::IPCMNI)?,
            IpcSysctl::MsgNextId => {
                ipc.msg.ids.of_mut(ns).next_id = Some(number(0, INT_MAX)? as i32)
            }
            IpcSysctl::SemNextId => {
                ipc.sem.ids.of_mut(ns).next_id = Some(number(0, INT_MAX)? as i32)
            }
            IpcSysctl::ShmNextId => {
                ipc.shm.ids.of_mut(ns).next_id = Some(number(0, INT_MAX)? as i32)
            }
            IpcSysctl::MqMsgDefault => s.mq_msg_default = number(1, HARD_MSGMAX)?,
            IpcSysctl::MqMsgMax => s.mq_msg_max = number(1, HARD_MSGMAX)?,
            IpcSysctl::MqMsgsizeDefault => {
                s.mq_msgsize_default = number(MIN_MSGSIZEMAX, HARD_MSGSIZEMAX)?;
            }
            IpcSysctl::MqMsgsizeMax => {
                s.mq_msgsize_max = number(MIN_MSGSIZEMAX, HARD_MSGSIZEMAX)?;
            }
            IpcSysctl::MqQueuesMax => s.mq_queues_max = number(0, INT_MAX)?,
        }
        Ok(())
    }
}

/// kernel.sem: as many of the four numbers as there are.
fn set_sem(sem: &mut [u32; 4], text: &str) -> Result<(), Errno> {
    let mut words = text.split_whitespace().peekable();
    words.peek().ok_or(Errno::EINVAL)?;
    for (at, word) in words.take(4).enumerate() {
        let value = word.parse::<u32>().ok().filter(|it| *it <= INT_MAX).ok_or(Errno::EINVAL)?;
        if at == 3 && value > super::IPCMNI {
            return Err(Errno::ERANGE);
        }
        sem[at] = value;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_changes_nothing() {
        let mut ipc = Ipc::default();
        for (which, text) in [
            (IpcSysctl::MqMsgMax, "0"),
            (IpcSysctl::MqMsgMax, "65537"),
            (IpcSysctl::MqMsgsizeMax, "127"),
            (IpcSysctl::Msgmni, "32769"),
            (IpcSysctl::Msgmax, "-1"),
            (IpcSysctl::Shmmax, "much"),
            (IpcSysctl::Sem, " "),
        ] {
            assert_eq!(
                which.write(&mut ipc, IpcNs::INIT, text),
                Err(Errno::EINVAL),
                "{which:?} {text}"
            );
        }
        assert_eq!(ipc, Ipc::default());
        assert_eq!(IpcSysctl::MqMsgMax.write(&mut ipc, IpcNs::INIT, " 9 \n"), Ok(()));
        assert_eq!(IpcSysctl::MqMsgMax.text(&ipc, IpcNs::INIT), "9");
    }

    #[test]
    fn too_many_sets_leave_the_other_numbers() {
        let mut ipc = Ipc::default();
        assert_eq!(IpcSysctl::Sem.write(&mut ipc, IpcNs::INIT, "1 2 3 40000"), Err(Errno::ERANGE));
        assert_eq!(IpcSysctl::Sem.text(&ipc, IpcNs::INIT), "1\t2\t3\t32000");
    }
}
