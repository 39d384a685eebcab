//! Memory objects: one memfd each, the one home of bytes that are mapped. Reads and writes of files
//! go through it too, so that mapping and file are coherent. Neighbour: `map.rs` maps them.

use super::sys;
use kernel::abi::Errno;
use kernel::platform::ObjectId;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// All objects that somebody names.
#[derive(Debug, Default)]
pub(super) struct Objects {
    files: BTreeMap<ObjectId, File>,
    next: u64,
}

impl Objects {
    pub(super) fn create(&mut self, size: u64) -> Result<ObjectId, Errno> {
        let file = File::from(sys::memfd(c"object", size)?);
        let id = ObjectId(self.next);
        self.next += 1;
        self.files.insert(id, file);
        Ok(id)
    }

    /// Using an object after its release is a bug of the kernel crate.
    fn file(&self, id: ObjectId) -> &File {
        self.files.get(&id).unwrap_or_else(|| panic!("{id:?} was released"))
    }

    pub(super) fn fd(&self, id: ObjectId) -> RawFd {
        self.file(id).as_raw_fd()
    }

    pub(super) fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> usize {
        read_at(self.file(id), offset, into).expect("a memfd can be read")
    }

    pub(super) fn write(&self, id: ObjectId, offset: u64, from: &[u8]) {
        self.file(id).write_all_at(from, offset).expect("a memfd that is long enough takes bytes");
    }

    pub(super) fn resize(&self, id: ObjectId, size: u64) -> Result<(), Errno> {
        self.file(id).set_len(size).map_err(|error| sys::from_io(&error))
    }

    pub(super) fn release(&mut self, id: ObjectId) {
        self.files.remove(&id);
    }
}

/// pread(2) until `into` is full or the file ends.
pub(super) fn read_at(file: &File, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
