//! Ancillary data of AF_UNIX messages: descriptors (SCM_RIGHTS: references in flight, rule F-20) and
//! credentials (SCM_CREDENTIALS). See unix(7), "Ancillary messages".

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::net::msg::{ControlMessage, Received};
use crate::net::sockaddr::SockAddr;
use crate::net::socket::SocketId;
use crate::syscall::Call;
use crate::task::capability::Cap;
use crate::task::{Pid, TaskId};

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// SCM_MAX_FD.
const SCM_MAX_FD: usize = 253;

/// What a message carries besides its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Scm {
    files: Vec<FileId>,
    cred: Option<[u32; 3]>,
}

impl Kernel {
    /// scm_send(): looks at the control messages. EBADF, EINVAL, EPERM for credentials that are
    /// not the caller's. No reference is taken yet.
    pub(super) fn scm_send(
        &mut self,
        call: &Call<'_>,
        control: &[ControlMessage],
    ) -> Result<Scm, Errno> {
        let mut scm = Scm::default();
        for message in control {
            match (message.level, message.kind) {
                (SOL_SOCKET, SCM_RIGHTS) => self.scm_fp_copy(call.task, &message.data, &mut scm)?,
                (SOL_SOCKET, SCM_CREDENTIALS) => {
                    scm.cred = Some(self.scm_check_creds(call.task, &message.data)?);
                }
                (SOL_SOCKET, kind) => {
                    let what = format!("SOL_SOCKET type {kind}");
                    self.tell(Some(call.task), Fact::unsupported("control message", what));
                    return Err(Errno::EINVAL);
                }
                // Another level's: not ours to look at.
                (_, _) => {}
            }
        }
        Ok(scm)
    }

    fn scm_fp_copy(&self, task: TaskId, data: &[u8], scm: &mut Scm) -> Result<(), Errno> {
        let count = data.len() / 4;
        if count > SCM_MAX_FD || scm.files.len() + count > SCM_MAX_FD {
            return Err(Errno::EINVAL);
        }
        for raw in data.chunks_exact(4) {
            let fd = i32::from_le_bytes(raw.try_into().expect("4 bytes"));
            scm.files.push(self.table(task).get(fd)?);
        }
        Ok(())
    }

    /// scm_check_creds(): one's own, unless privileged.
    fn scm_check_creds(&self, task: TaskId, data: &[u8]) -> Result<[u32; 3], Errno> {
        let raw: &[u8; 12] = data.try_into().map_err(|_| Errno::EINVAL)?;
        let word = |i: usize| u32::from_le_bytes([raw[i], raw[i + 1], raw[i + 2], raw[i + 3]]);
        let pid = word(0);
        let (uid, gid) = (self.make_kuid(task, word(4))?, self.make_kgid(task, word(8))?);
        let t = &self.tasks[task];
        let cred = &t.cred;
        let owner = self.pids.owner_of(self.task_active_pid_ns(task));
        let own_uid = [cred.uid, cred.euid, cred.suid].contains(&uid);
        let own_gid = [cred.gid, cred.egid, cred.sgid].contains(&gid);
        let may = (pid == self.task_tgid_vnr(task) || self.ns_capable(task, owner, Cap::SysAdmin))
            && (own_uid || cred.has_cap(Cap::Setuid))
            && (own_gid || cred.has_cap(Cap::Setgid));
        if !may {
            return Err(Errno::EPERM);
        }
        let sender = self.find_vpid(task, pid).filter(|pid| self.pids.task(*pid).is_some());
        Ok([sender.ok_or(Errno::ESRCH)?.0, uid, gid])
    }

    /// unix_attach_fds(): the message holds its own references from now on.
    pub(super) fn scm_get_files(&mut self, scm: &Scm) -> Vec<FileId> {
        for file in &scm.files {
            self.files[*file].count += 1;
        }
        scm.files.clone()
    }

    /// unix_maybe_add_creds(): whose message it is, if given or if an end wants to know.
    pub(super) fn scm_cred(
        &self,
        task: TaskId,
        s: SocketId,
        other: Option<SocketId>,
        scm: &Scm,
    ) -> Option<[u32; 3]> {
        let wanted = |id: SocketId| self.net.sockets.get(id).is_some_and(|s| s.options.passcred);
        if scm.cred.is_some() || (!wanted(s) && !other.is_some_and(wanted)) {
            return scm.cred;
        }
        let t = &self.tasks[task];
        Some([self.groups[t.group].tgid.0, t.cred.uid, t.cred.gid])
    }

    /// unix_copy_addr(): the sender's name, if it has one and none was told yet.
    pub(super) fn scm_recv_name(&self, s: SocketId, i: usize, received: &mut Received) {
        let skb = &self.unix(s).receive_queue[i];
        // The name that the sender has now, as long as it lives.
        let from = self.unix_get(skb.owner).map_or(&skb.from, |sender| &sender.name);
        if received.from.is_none() && !from.is_empty() {
            received.from = Some(SockAddr::Unix(from.clone()));
        }
    }

    /// SCM_CREDENTIALS for the receiver, with the number as it sees it.
    pub(super) fn scm_recv_cred(
        &self,
        task: TaskId,
        s: SocketId,
        i: usize,
        received: &mut Received,
    ) {
        let cred = self.unix(s).receive_queue[i].cred;
        let [pid, uid, gid] = cred.unwrap_or([0, u32::MAX, u32::MAX]);
        let (uid, gid) = (self.uid_seen_by(task, uid), self.gid_seen_by(task, gid));
        let cred = [self.pid_vnr(task, Pid(pid)), uid, gid];
        received.control.push(ControlMessage {
            level: SOL_SOCKET,
            kind: SCM_CREDENTIALS,
            data: cred.iter().flat_map(|word| word.to_le_bytes()).collect(),
        });
    }

    /// unix_peek_fds(): the reader gets references of its own, the message keeps its.
    pub(super) fn scm_peek_files(&mut self, files: &[FileId], received: &mut Received) {
        for file in files {
            self.files[*file].count += 1;
            received.rights.push(*file);
        }
    }
}
