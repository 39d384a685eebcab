//! What LOOP_GET_STATUS and LOOP_SET_STATUS tell and change of a loop device, in the old structure
//! and in the 64-bit one. Neighbour: `loop_device`.

use super::{LO_FLAGS_AUTOCLEAR, LO_NAME_SIZE};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::Call;

const LO_FLAGS_PARTSCAN: u32 = 8;
/// What LOOP_SET_STATUS changes.
const LO_FLAGS_SETTABLE: u32 = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN;

impl Kernel {
    /// loop_get_status(): struct loop_info64, or the old loop_info.
    pub(super) fn loop_get_status(
        &mut self,
        call: &mut Call<'_>,
        number: u32,
        backing: FileId,
        new: bool,
    ) -> Result<(), Errno> {
        let stat = self.file_stat(backing);
        let (device, dev) = (self.loop_mut(number).clone(), u64::from(stat.dev.1));
        let mut out = if new { vec![0; 232] } else { vec![0; 168] };
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        if new {
            for (i, word) in
                [dev, stat.ino, 0, device.offset, device.sizelimit].into_iter().enumerate()
            {
                put(8 * i, &word.to_le_bytes());
            }
            put(40, &number.to_le_bytes());
            put(52, &device.flags.to_le_bytes());
            put(56, &device.file_name);
        } else {
            let offset = i32::try_from(device.offset).map_err(|_| Errno::EOVERFLOW)?;
            put(0, &number.to_le_bytes());
            put(8, &dev.to_le_bytes());
            put(16, &stat.ino.to_le_bytes());
            put(32, &offset.to_le_bytes());
            put(44, &device.flags.to_le_bytes());
            put(48, &device.file_name);
        }
        call.write_user(call.ptr(2), &out)
    }

    /// loop_set_status(): offset, limit, name and flags. EINVAL for encryption, which Linux gave
    /// up too; partitions are not looked for, loudly.
    pub(super) fn loop_set_status(
        &mut self,
        call: &mut Call<'_>,
        number: u32,
        backing: FileId,
        new: bool,
    ) -> Result<(), Errno> {
        let bytes = call.read_bytes(call.ptr(2), if new { 232 } else { 168 })?;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let (offset, sizelimit, encrypt, flags, name) = if new {
            (long(24), long(32), word(44), word(52), 56)
        } else {
            (u64::from(word(32)), 0, word(36), word(44), 48)
        };
        if encrypt != 0 {
            return Err(Errno::EINVAL);
        }
        if offset > i64::MAX as u64 || sizelimit > i64::MAX as u64 {
            return Err(Errno::EOVERFLOW);
        }
        if flags & LO_FLAGS_PARTSCAN != 0 {
            self.tell(Some(call.task), Fact::unsupported("loop device", "LO_FLAGS_PARTSCAN"));
        }
        let size = self.file_stat(backing).size;
        let device = self.loop_mut(number);
        (device.offset, device.sizelimit) = (offset, sizelimit);
        device.flags = device.flags & !LO_FLAGS_SETTABLE | flags & LO_FLAGS_SETTABLE;
        device.file_name.copy_from_slice(&bytes[name..name + LO_NAME_SIZE]);
        device.file_name[LO_NAME_SIZE - 1] = 0;
        device.set_size(size);
        Ok(())
    }
}
