//! dnotify (fcntl(2), F_NOTIFY): a signal when something in a directory changes. Older than inotify
//! and without names. Neighbours: `inotify/fsnotify` (where changes are told), `fasync` (the signal).

use crate::abi::Errno;
use crate::fs::fasync::Band;
use crate::fs::fdtable::TableId;
use crate::fs::file::FileId;
use crate::fs::inode::InodeId;
use crate::fs::inotify::bits::{
    IN_ACCESS, IN_ATTRIB, IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO,
};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use linux_raw_sys::general as raw;

/// FS_RENAME: a new name in the same directory, which only dnotify hears of.
pub const FS_RENAME: u32 = 0x1000_0000;

/// What each DN_* is about.
const EVENTS: [(u32, u32); 6] = [
    (raw::DN_ACCESS, IN_ACCESS),
    (raw::DN_MODIFY, IN_MODIFY),
    (raw::DN_CREATE, IN_CREATE | IN_MOVED_TO),
    (raw::DN_DELETE, IN_DELETE | IN_MOVED_FROM),
    (raw::DN_RENAME, FS_RENAME),
    (raw::DN_ATTRIB, IN_ATTRIB),
];

/// dnotify_struct: one description that watches a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dnotify {
    file: FileId,
    /// The descriptor that the signal tells, and whose it is.
    fd: i32,
    table: TableId,
    /// IN_* and FS_RENAME.
    mask: u32,
    /// DN_MULTISHOT: more than once.
    again: bool,
}

impl Kernel {
    /// fcntl_dirnotify(): ENOTDIR. What was asked for before stays; nothing at all takes it back.
    pub(super) fn fcntl_dirnotify(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        arg: u32,
    ) -> SysResult {
        let table = self.tasks[call.task].files.expect("the caller has a table");
        let inode = self.file_inode(file);
        if arg & !raw::DN_MULTISHOT == 0 {
            self.dnotify_flush(table, file);
            return Ok(0);
        }
        let inode = inode.filter(|inode| self.vfs.inodes[*inode].is_dir()).ok_or(Errno::ENOTDIR)?;
        let asked = EVENTS.iter().filter(|(flag, _)| arg & flag != 0);
        let mask = asked.fold(0, |mask, (_, events)| mask | events);
        let again = arg & raw::DN_MULTISHOT != 0;
        self.own_unless_owned(call, file);
        let watches = self.vfs.dnotify.entry(inode).or_default();
        match watches.iter_mut().find(|watch| watch.file == file && watch.table == table) {
            Some(watch) => {
                (watch.fd, watch.mask, watch.again) =
                    (call.int(0), watch.mask | mask, watch.again | again);
            }
            None => watches.insert(0, Dnotify { file, fd: call.int(0), table, mask, again }),
        }
        Ok(0)
    }

    /// dnotify_flush(): a descriptor of that table was closed.
    pub(super) fn dnotify_flush(&mut self, table: TableId, file: FileId) {
        if self.vfs.dnotify.is_empty() {
            return;
        }
        let Some(inode) = self.file_inode(file) else { return };
        self.forget_dnotify(inode, |watch| watch.file == file && watch.table == table);
    }

    fn forget_dnotify(&mut self, inode: InodeId, which: impl Fn(&Dnotify) -> bool) {
        if let Some(watches) = self.vfs.dnotify.get_mut(&inode) {
            watches.retain(|watch| !which(watch));
            if watches.is_empty() {
                self.vfs.dnotify.remove(&inode);
            }
        }
    }

    /// dnotify_handle_event(): who watches `dir` for one of these is told.
    pub(super) fn dnotify_handle_event(&mut self, dir: InodeId, mask: u32) {
        let Some(watches) = self.vfs.dnotify.get(&dir) else { return };
        for watch in watches.clone() {
            if watch.mask & mask == 0 {
                continue;
            }
            self.send_sigio(watch.file, watch.fd, Band::Msg);
            if !watch.again {
                self.forget_dnotify(dir, |other| *other == watch);
            }
        }
    }
}
