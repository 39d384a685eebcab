//! Futex keys: what makes two addresses the same futex. Neighbour: `task/futex`. futex(2):
//! FUTEX_PRIVATE_FLAG; get_futex_key() in Linux.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::{MmId, PAGE_SIZE, Pin};
use crate::platform::{Backing, ObjectId, UserPtr};
use crate::task::TaskId;

/// Names the word that a futex lives in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FutexKey {
    /// Memory of one address space, with FUTEX_PRIVATE_FLAG.
    Private(MmId, u64),
    /// Without the flag, in memory that is not shared with anyone (FUT_OFF_MMSHARED): in Linux not
    /// the same futex as the private one at that address.
    MmShared(MmId, u64),
    /// Shared memory: the same object and offset wherever it is mapped.
    Shared(ObjectId, u64),
}

impl Kernel {
    /// get_futex_key(): EINVAL if `address` is not 4-aligned, EFAULT if a shared one is unmapped
    /// or cannot be read.
    /// `shared` is false with FUTEX_PRIVATE_FLAG: then nobody looks whether anything is mapped.
    pub fn futex_key(
        &self,
        task: TaskId,
        address: UserPtr,
        shared: bool,
    ) -> Result<FutexKey, Errno> {
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let mm = self.tasks[task].mm.ok_or(Errno::EFAULT)?;
        if !shared {
            return Ok(FutexKey::Private(mm, address.0));
        }
        let (start, vma) = self.mms[mm].areas.find(address.0).ok_or(Errno::EFAULT)?;
        if vma.prot == 0 {
            return Err(Errno::EFAULT);
        }
        if vma.flags.shared
            && let Some(Pin::File(file)) = vma.pin
            && let Some(inode) = self.file_inode(file)
        {
            // A page beyond the end of its file is none.
            let at = vma.offset + (address.0 - start);
            let size = self.vfs.inodes[inode].size().next_multiple_of(PAGE_SIZE);
            if self.vfs.inodes[inode].is_reg() && at >= size {
                return Err(Errno::EFAULT);
            }
        }
        match vma.backing_at(start, address.0) {
            Backing::Object { id, offset, shared: true } => Ok(FutexKey::Shared(id, offset)),
            // Private memory: only threads of the same address space can mean the same word.
            Backing::Object { .. } | Backing::Anonymous | Backing::Lower { .. } => {
                Ok(FutexKey::MmShared(mm, address.0))
            }
        }
    }
}
