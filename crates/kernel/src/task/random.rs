//! getrandom(2): bytes of the caller's own stream, so that one process's draw never shifts
//! another's. Neighbours: `crate::random` (streams), `fs` (/dev/urandom).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use linux_raw_sys::general as lx;

/// The most that one call gives (INT_MAX, as Linux).
const MOST: u64 = 0x7fff_ffff;
/// Bytes moved at a time.
const CHUNK: usize = 4096;

impl Kernel {
    /// getrandom(2). The pool is always ready: GRND_NONBLOCK and GRND_INSECURE change nothing.
    pub fn sys_getrandom(&mut self, call: &mut Call<'_>) -> SysResult {
        let (to, len, flags) = (call.ptr(0), call.arg(1).min(MOST), call.arg(2) as u32);
        let both = lx::GRND_RANDOM | lx::GRND_INSECURE;
        if flags & !(both | lx::GRND_NONBLOCK) != 0 || flags & both == both {
            return Err(Errno::EINVAL.into());
        }
        let group = self.tasks[call.task].group;
        let mut done = 0;
        while done < len {
            let mut bytes = vec![0; CHUNK.min((len - done) as usize)];
            self.groups[group].random.fill(&mut bytes);
            match call.write_user(to.add(done), &bytes) {
                Ok(()) => done += bytes.len() as u64,
                Err(errno) if done == 0 => return Err(errno.into()),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}
