//! Record locks (fcntl) and flock(2). Rule F-11.
//! First version: none yet; asking for one is loud. The VFS helper fills this room.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::fdtable::TableId;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};

impl Kernel {
    /// F_GETLK, F_SETLK, F_SETLKW and their OFD forms.
    pub fn fcntl_lock(&mut self, call: &mut Call<'_>, file: FileId, cmd: u32) -> SysResult {
        let what = self.describe_file(file);
        self.tell(Some(call.task), Fact::unsupported("fcntl locks", format!("{cmd} on {what}")));
        Err(Errno::ENOLCK.into())
    }

    /// F_ADD_SEALS, F_GET_SEALS: EINVAL where the file is no memfd.
    pub fn fcntl_seals(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        cmd: u32,
        seals: u64,
    ) -> SysResult {
        let what = self.describe_file(file);
        let detail = format!("{cmd} {seals:#x} on {what}");
        self.tell(Some(call.task), Fact::unsupported("fcntl seals", detail));
        Err(Errno::EINVAL.into())
    }

    /// POSIX locks of `table` on the file's inode go (rule F-11).
    pub fn locks_remove_posix(&mut self, table: TableId, file: FileId) {
        let _ = (table, file);
    }

    /// flock and OFD locks of the description go (rule F-11).
    pub fn locks_remove_file(&mut self, file: FileId) {
        let _ = file;
    }
}
