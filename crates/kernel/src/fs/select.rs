//! select(2) and pselect(2): three bitmaps, copied at entry. Neighbour: `poll`, with which it
//! shares the deadline and the mask.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::poll::{PollProgress, TimeLayout};
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult};
use crate::task::TaskId;

/// What makes a descriptor a member of the first, second and third result (POLLIN_SET,
/// POLLOUT_SET, POLLEX_SET).
const SETS: [PollBits; 3] = [
    PollBits(0x40 | 0x80 | 0x1 | 0x10 | 0x8 | 0x20),
    PollBits(0x200 | 0x100 | 0x4 | 0x8 | 0x20),
    PollBits(0x2 | 0x20),
];

/// The sets of one call, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectSets {
    /// How many descriptors are looked at.
    n: usize,
    /// Read, write, except; empty where the user gave none.
    asked: [Vec<u64>; 3],
}

fn has(set: &[u64], fd: usize) -> bool {
    set.get(fd / 64).is_some_and(|word| word & (1 << (fd % 64)) != 0)
}

impl Kernel {
    /// select(2): with a timeval, which is written back.
    pub fn sys_select(&mut self, call: &mut Call<'_>) -> SysResult {
        let tvp = call.ptr(4);
        if call.flight.progress == Progress::Fresh {
            call.flight.until = self.read_timeout(call, tvp, TimeLayout::Timeval)?;
        }
        let result = self.core_sys_select(call);
        self.poll_select_finish(call, tvp, TimeLayout::Timeval, result)
    }

    /// pselect6(2): with a timespec and a temporary mask; the last argument is a pair of the
    /// mask's address and its size.
    pub fn sys_pselect6(&mut self, call: &mut Call<'_>) -> SysResult {
        let (tsp, pack) = (call.ptr(4), call.ptr(5));
        if call.flight.progress == Progress::Fresh {
            let (mut mask, mut size) = (UserPtr::NULL, 0);
            if !pack.is_null() {
                mask = UserPtr(call.read_u64(pack)?);
                size = call.read_u64(pack.add(8))?;
            }
            call.flight.until = self.read_timeout(call, tsp, TimeLayout::Timespec)?;
            self.set_user_sigmask(call, mask, size)?;
        }
        let result = self.core_sys_select(call);
        self.poll_select_finish(call, tsp, TimeLayout::Timespec, result)
    }

    fn core_sys_select(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.flight.progress == Progress::Fresh {
            let sets = self.import_fd_sets(call)?;
            for fd in 0..sets.n {
                if sets.asked.iter().any(|set| has(set, fd)) {
                    self.table(call.task).get(fd as i32)?;
                    self.hold_for_poll(call, fd as i32);
                }
            }
            call.flight.progress = Progress::Poll(PollProgress::Select(sets));
        }
        let Progress::Poll(PollProgress::Select(sets)) = call.flight.progress.clone() else {
            unreachable!("select keeps its sets");
        };
        let (found, ready) = self.do_select(call.task, &sets);
        let over = call.flight.until.is_some_and(|until| self.now >= until);
        if ready == 0 && !over {
            return Err(self.poll_wait(call).with_restart(Restart::NoHand).into());
        }
        for held in call.flight.held.clone() {
            self.mounts_polled(held.file);
        }
        for (i, set) in found.iter().enumerate() {
            let bytes: Vec<u8> = set.iter().flat_map(|word| word.to_le_bytes()).collect();
            call.write_user(call.ptr(1 + i), &bytes)?;
        }
        Ok(ready)
    }

    /// Only as many bits as the table has slots are looked at.
    fn import_fd_sets(&mut self, call: &mut Call<'_>) -> Result<SelectSets, Errno> {
        let n = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
        let n = n.min(self.table(call.task).max_fds());
        let mut asked = [Vec::new(), Vec::new(), Vec::new()];
        for (i, set) in asked.iter_mut().enumerate() {
            let from = call.ptr(1 + i);
            if !from.is_null() {
                let raw = call.read_bytes(from, n.div_ceil(64) * 8)?;
                let word = |b: &[u8]| u64::from_le_bytes(b.try_into().expect("8 bytes"));
                *set = raw.chunks_exact(8).map(word).collect();
            }
        }
        Ok(SelectSets { n, asked })
    }

    /// One look at all descriptors: the result sets, and how many bits are in them.
    fn do_select(&self, task: TaskId, sets: &SelectSets) -> ([Vec<u64>; 3], u64) {
        let mut found = sets.asked.clone().map(|set| vec![0; set.len()]);
        let mut ready = 0;
        for fd in 0..sets.n {
            if !sets.asked.iter().any(|set| has(set, fd)) {
                continue;
            }
            let bits = match self.fd_lookup(task, fd as i32) {
                Ok(file) => self.file_poll(task, file),
                // Closed meanwhile.
                Err(_) => PollBits::NVAL,
            };
            for (i, set) in found.iter_mut().enumerate() {
                if has(&sets.asked[i], fd) && bits.any(SETS[i]) {
                    set[fd / 64] |= 1 << (fd % 64);
                    ready += 1;
                }
            }
        }
        (found, ready)
    }
}
