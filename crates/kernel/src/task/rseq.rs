//! rseq(2): restartable sequences. The host has one CPU, so the numbers in the area never change
//! once they are written; what is real is the abort: a thread that is pre-empted or gets a signal
//! inside a critical section goes on at the section's abort handler.
//! Neighbours: `signal/restart` (which calls both `rseq_*` hooks), `syscall` (pre-emption).

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::platform::{GuestId, Platform, UserPtr};
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;

/// A registered area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rseq {
    /// Where it is.
    pub area: UserPtr,
    /// Its length as registered.
    pub len: u32,
    /// What stands in front of every abort handler.
    pub sig: u32,
    /// RSEQ_EVENT_PREEMPT: look at the critical section on the way to user mode.
    pub preempted: bool,
}

/// sizeof(struct rseq) in its first version, and the alignment.
const ORIG_SIZE: u32 = 32;
const ALIGN: u64 = 32;
/// RSEQ_FLAG_UNREGISTER.
const UNREGISTER: i32 = 1;
/// RSEQ_CPU_ID_UNINITIALIZED.
const UNINITIALIZED: u32 = u32::MAX;
/// rseq_cs: the pointer to the section that the thread is in.
const RSEQ_CS: u64 = 8;
/// node_id, mm_cid.
const NODE_ID: u64 = 20;

impl Kernel {
    /// rseq(2): EINVAL, EPERM (another signature), EBUSY (registered already), EFAULT.
    pub fn sys_rseq(&mut self, call: &mut Call<'_>) -> SysResult {
        let (area, len, flags, sig) =
            (call.ptr(0), call.arg(1) as u32, call.int(2), call.arg(3) as u32);
        let current = self.tasks[call.task].rseq;
        let same = current.is_some_and(|r| (r.area, r.len) == (area, len));
        let other_sig = current.is_some_and(|r| r.sig != sig);
        match (flags, current) {
            (UNREGISTER, _) if !same => Err(Errno::EINVAL.into()),
            (UNREGISTER, _) if other_sig => Err(Errno::EPERM.into()),
            (UNREGISTER, _) => {
                write_ids(call.user, call.guest, area, UNINITIALIZED).ok_or(Errno::EFAULT)?;
                self.tasks[call.task].rseq = None;
                Ok(0)
            }
            (0, Some(_)) if !same => Err(Errno::EINVAL.into()),
            (0, Some(_)) if other_sig => Err(Errno::EPERM.into()),
            (0, Some(_)) => Err(Errno::EBUSY.into()),
            (0, None) => self.register_rseq(call, Rseq { area, len, sig, preempted: false }),
            (_, _) => Err(Errno::EINVAL.into()),
        }
    }

    fn register_rseq(&mut self, call: &mut Call<'_>, rseq: Rseq) -> SysResult {
        if rseq.len < ORIG_SIZE || !rseq.area.0.is_multiple_of(ALIGN) {
            return Err(Errno::EINVAL.into());
        }
        call.write_u64(rseq.area.add(RSEQ_CS), 0)?;
        write_ids(call.user, call.guest, rseq.area, 0).ok_or(Errno::EFAULT)?;
        self.tasks[call.task].rseq = Some(rseq);
        Ok(0)
    }

    /// rseq_preempt(): somebody else may have run in the middle of a section.
    pub fn rseq_preempt(&mut self, task: TaskId) {
        if let Some(rseq) = &mut self.tasks[task].rseq {
            rseq.preempted = true;
        }
    }

    /// rseq_handle_notify_resume(): on the way to user mode after a pre-emption.
    pub(crate) fn rseq_handle_notify_resume(&mut self, task: TaskId, user: &mut dyn Platform) {
        if self.tasks[task].rseq.is_some_and(|r| r.preempted) {
            self.rseq_signal_deliver(task, user);
        }
    }

    /// rseq_signal_deliver(): before a frame is made, so that it shows the abort handler. A
    /// section that makes no sense is SIGSEGV.
    pub(crate) fn rseq_signal_deliver(&mut self, task: TaskId, user: &mut dyn Platform) {
        let t = &mut self.tasks[task];
        let (Some(rseq), Some(guest)) = (&mut t.rseq, t.guest) else { return };
        rseq.preempted = false;
        let rseq = *rseq;
        match rseq_ip_fixup(user, guest, &rseq, t.regs.rip) {
            Some(rip) => t.regs.rip = rip,
            None => self.force_sig(task, Signal::SIGSEGV),
        }
    }
}

/// rseq_ip_fixup(): where to go on; `None` for a section that Linux refuses. Leaving a section, in
/// whichever way, clears the pointer to it.
fn rseq_ip_fixup(user: &mut dyn Platform, guest: GuestId, rseq: &Rseq, rip: u64) -> Option<u64> {
    let pointer = rseq.area.add(RSEQ_CS);
    let at = read_word(user, guest, pointer)?;
    if at == 0 {
        return Some(rip);
    }
    // struct rseq_cs: version, flags, start_ip, post_commit_offset, abort_ip.
    let mut cs = [0; 32];
    if user.read_user(guest, UserPtr(at), &mut cs) < cs.len() {
        return None;
    }
    let word = |i: usize| u64::from_le_bytes(cs[i..i + 8].try_into().expect("8"));
    let (version_flags, start, len, abort) = (word(0), word(8), word(16), word(24));
    let inside = rip.wrapping_sub(start) < len;
    if !inside {
        return write_word(user, guest, pointer, 0).map(|()| rip);
    }
    if version_flags != 0 || abort.wrapping_sub(start) < len {
        return None;
    }
    let mut sig = [0; 4];
    let before = UserPtr(abort.wrapping_sub(4));
    if user.read_user(guest, before, &mut sig) < 4 || u32::from_le_bytes(sig) != rseq.sig {
        return None;
    }
    write_word(user, guest, pointer, 0).map(|()| abort)
}

/// cpu_id_start, cpu_id, node_id, mm_cid: one CPU, one node.
fn write_ids(user: &mut dyn Platform, guest: GuestId, area: UserPtr, cpu_id: u32) -> Option<()> {
    write_word(user, guest, area, u64::from(cpu_id) << 32)?;
    write_word(user, guest, area.add(NODE_ID), 0)
}

fn read_word(user: &mut dyn Platform, guest: GuestId, from: UserPtr) -> Option<u64> {
    let mut bytes = [0; 8];
    (user.read_user(guest, from, &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
}

fn write_word(user: &mut dyn Platform, guest: GuestId, to: UserPtr, word: u64) -> Option<()> {
    (user.write_user(guest, to, &word.to_le_bytes()) == 8).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::signal::testing::World;

    const SIG: u64 = 0x5305_3053;

    fn registered() -> (World, TaskId) {
        let mut w = World::new();
        let task = w.process();
        w.memory.put(0x3000, &[0xff; 32]);
        let register = [0x3000, 32, 0, SIG, 0, 0];
        assert_eq!(w.call(task, Kernel::sys_rseq, register), Ok(0));
        (w, task)
    }

    #[test]
    fn registering_twice_is_busy_and_another_signature_is_refused() {
        let (mut w, task) = registered();
        assert_eq!((w.memory.word(0x3000), w.memory.word(0x3008)), (0, 0));
        let mut rseq = |a| w.call(task, Kernel::sys_rseq, a);
        assert_eq!(rseq([0x3000, 32, 0, SIG, 0, 0]), Err(Errno::EBUSY));
        assert_eq!(rseq([0x3000, 32, 0, 7, 0, 0]), Err(Errno::EPERM));
        assert_eq!(rseq([0x3020, 32, 0, SIG, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(rseq([0x3000, 32, 1, 7, 0, 0]), Err(Errno::EPERM));
        assert_eq!(rseq([0x3000, 32, 1, SIG, 0, 0]), Ok(0));
        assert_eq!(w.memory.int(0x3004), u32::MAX);
    }

    #[test]
    fn a_signal_inside_a_section_goes_on_at_its_abort_handler() {
        let (mut w, task) = registered();
        w.memory.put(0x3008, &0x3100u64.to_le_bytes());
        for (i, word) in [0, 0x1000, 0x20, 0x5000].into_iter().enumerate() {
            w.memory.put(0x3100 + i as u64 * 8, &u64::to_le_bytes(word));
        }
        w.memory.put(0x4ffc, &(SIG as u32).to_le_bytes());
        w.kernel.tasks[task].regs.rip = 0x1008;
        w.catch(task, Signal::SIGUSR1, 0);
        w.kill(task, Signal::SIGUSR1);
        w.go(task);
        let frame = w.kernel.tasks[task].regs.rsp;
        assert_eq!(w.memory.word(frame + 48 + 128), 0x5000);
        assert_eq!(w.memory.word(0x3008), 0);
    }
}
