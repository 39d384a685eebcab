//! The bytes of a regular file. Bytes have one home (architecture, Platforms): the machine's file
//! until the first write, then pages of ours above it, then, once it is mapped from anything else
//! than an untouched machine's file, a memory object of the platform, so that mapping and file are
//! one. Everything that reads, writes or truncates goes through here. Neighbours: `inode`,
//! `file_rw` (the calls), `mm` (mappings, by `Kernel::mmap_backing`).

use crate::abi::Errno;
use crate::platform::{ObjectId, Platform};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of one page.
pub const PAGE: u64 = 4096;

/// The largest size that a file may get (s_maxbytes).
pub const MAX_LFS_FILESIZE: u64 = i64::MAX as u64;

type Page = Arc<[u8; PAGE as usize]>;

/// One of the machine's files, of which the first `len` bytes show through.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Below {
    pub path: Vec<u8>,
    pub len: u64,
}

/// Bytes in memory: pages above what shows through from below; the rest is holes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Pages {
    size: u64,
    pages: BTreeMap<u64, Page>,
    /// Pages that fallocate(2) took and nobody wrote: holes that take room.
    reserved: BTreeSet<u64>,
    below: Option<Below>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Pages {{ size {} pages {} below {:?} }}",
            self.size,
            self.pages.len(),
            self.below
        )
    }
}

/// Where a file's bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileBytes {
    /// One of the machine's files that nobody here has written.
    Lower(Below),
    /// Private to this host.
    Memory(Pages),
    /// A memory object: the file is or was mapped.
    Object {
        /// Which one.
        id: ObjectId,
        /// Its size in bytes.
        size: u64,
    },
}

impl Default for FileBytes {
    fn default() -> Self {
        FileBytes::Memory(Pages::default())
    }
}

impl FileBytes {
    /// A file in memory with these contents.
    pub fn from_bytes(bytes: &[u8]) -> FileBytes {
        let mut pages = Pages { size: bytes.len() as u64, ..Pages::default() };
        for (index, chunk) in bytes.chunks(PAGE as usize).enumerate() {
            let mut page = [0; PAGE as usize];
            page[..chunk.len()].copy_from_slice(chunk);
            pages.pages.insert(index as u64, Arc::new(page));
        }
        FileBytes::Memory(pages)
    }

    /// i_size.
    pub fn size(&self) -> u64 {
        match self {
            FileBytes::Lower(below) => below.len,
            FileBytes::Memory(pages) => pages.size,
            FileBytes::Object { size, .. } => *size,
        }
    }

    /// Bytes that take room, for st_blocks: whole pages.
    pub fn allocated(&self) -> u64 {
        match self {
            FileBytes::Lower(below) => below.len.next_multiple_of(PAGE),
            FileBytes::Memory(pages) => pages.allocated(),
            FileBytes::Object { size, .. } => size.saturating_add(PAGE - 1) / PAGE * PAGE,
        }
    }

    /// Bytes of this kernel's memory that it takes (not the machine's, nor an object's).
    pub fn resident(&self) -> u64 {
        match self {
            FileBytes::Memory(pages) => (pages.pages.len() + pages.reserved.len()) as u64 * PAGE,
            FileBytes::Lower(_) | FileBytes::Object { .. } => 0,
        }
    }

    /// How many of `len` bytes at `offset` can be written when `free` more pages may be taken.
    pub fn room_for(&self, offset: u64, len: usize, free: u64) -> usize {
        let (mut at, end, mut free) = (offset, offset + len as u64, free);
        while at < end {
            let there = match self {
                FileBytes::Lower(below) => at < below.len,
                FileBytes::Memory(pages) => pages.has_page(at / PAGE),
                FileBytes::Object { size, .. } => at < size.next_multiple_of(PAGE),
            };
            if !there && free == 0 {
                return (at - offset) as usize;
            }
            free -= u64::from(!there);
            at = (at / PAGE + 1) * PAGE;
        }
        len
    }

    /// How many pages fallocate(2) of this range would take.
    pub fn missing(&self, offset: u64, len: u64) -> u64 {
        let pages = offset / PAGE..(offset + len).div_ceil(PAGE);
        let there = match self {
            FileBytes::Lower(below) => pages.end.min(below.len.div_ceil(PAGE)).max(pages.start),
            FileBytes::Object { size, .. } => pages.end.min(size.div_ceil(PAGE)).max(pages.start),
            FileBytes::Memory(own) => {
                let from = own.below_len().div_ceil(PAGE).clamp(pages.start, pages.end);
                let own = own.pages.range(from..pages.end).count()
                    + own.reserved.range(from..pages.end).count();
                from + own as u64
            }
        };
        pages.end - there
    }

    /// fallocate(2): the range takes room from now on. An object's pages are taken when its size
    /// is set; beyond that nothing is.
    pub fn reserve(&mut self, offset: u64, len: u64) {
        self.copy_up();
        if let FileBytes::Memory(own) = self {
            let pages = offset / PAGE..(offset + len).div_ceil(PAGE);
            let from = own.below_len().div_ceil(PAGE).clamp(pages.start, pages.end);
            let missing = (from..pages.end).filter(|page| !own.pages.contains_key(page));
            own.reserved.extend(missing);
        }
    }

    /// Reads at `offset`; short only at the end of the file. EIO and friends are the machine's.
    pub fn read(
        &self,
        offset: u64,
        into: &mut [u8],
        user: &mut dyn Platform,
    ) -> Result<usize, Errno> {
        let left = self.size().saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = &mut into[..len];
        if len == 0 {
            return Ok(0);
        }
        match self {
            FileBytes::Lower(below) => read_below(Some(below), offset, into, user)?,
            FileBytes::Memory(pages) => pages.read(offset, into, user)?,
            FileBytes::Object { id, .. } => {
                let got = user.object_read(*id, offset, into);
                into[got..].fill(0);
            }
        }
        Ok(len)
    }

    /// Writes at `offset`, extending the file as needed; what lies between is a hole.
    pub fn write(
        &mut self,
        offset: u64,
        from: &[u8],
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let end = offset.checked_add(from.len() as u64).ok_or(Errno::EFBIG)?;
        self.copy_up();
        match self {
            FileBytes::Lower(_) => unreachable!("copy_up left it in memory"),
            FileBytes::Memory(pages) => pages.write(offset, from, user),
            FileBytes::Object { id, size } => {
                if end > *size {
                    user.object_resize(*id, end)?;
                    *size = end;
                }
                user.object_write(*id, offset, from);
                Ok(())
            }
        }
    }

    /// ftruncate(2).
    pub fn truncate(&mut self, new: u64, user: &mut dyn Platform) -> Result<(), Errno> {
        self.copy_up();
        match self {
            FileBytes::Lower(_) => unreachable!("copy_up left it in memory"),
            FileBytes::Memory(pages) => pages.truncate(new),
            FileBytes::Object { id, size } => {
                user.object_resize(*id, new)?;
                *size = new;
            }
        }
        Ok(())
    }

    /// FALLOC_FL_PUNCH_HOLE: the range reads as zeroes, the size stays.
    pub fn punch_hole(
        &mut self,
        offset: u64,
        len: u64,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let all = offset.saturating_add(len);
        let end = all.min(self.size());
        self.copy_up();
        if let FileBytes::Memory(pages) = self {
            let whole = offset.div_ceil(PAGE)..all / PAGE;
            pages.reserved.retain(|page| !whole.contains(page));
        }
        let mut at = offset;
        while at < end {
            let next = (at / PAGE + 1).saturating_mul(PAGE).min(end);
            let whole = at.is_multiple_of(PAGE) && next - at == PAGE;
            match self {
                FileBytes::Memory(pages) if whole && pages.below.is_none() => {
                    // Straight to the next page that exists: the hole may be exabytes long.
                    let Some(page) = pages.pages.range(at / PAGE..).next().map(|(p, _)| *p) else {
                        return Ok(());
                    };
                    if page * PAGE >= end {
                        return Ok(());
                    }
                    if page == at / PAGE && end - at >= PAGE {
                        pages.pages.remove(&page);
                    } else {
                        at = page * PAGE;
                        continue;
                    }
                }
                FileBytes::Lower(_) | FileBytes::Memory(_) | FileBytes::Object { .. } => {
                    let zeroes = [0; PAGE as usize];
                    self.write(at, &zeroes[..(next - at) as usize], user)?;
                }
            }
            at = next;
        }
        Ok(())
    }

    /// SEEK_DATA: the first byte at or after `offset` that is not in a hole; ENXIO if there is none.
    pub fn seek_data(&self, offset: u64) -> Result<u64, Errno> {
        if offset >= self.size() {
            return Err(Errno::ENXIO);
        }
        let FileBytes::Memory(pages) = self else { return Ok(offset) };
        if offset < pages.below_len() {
            return Ok(offset);
        }
        let page = pages.pages.range(offset / PAGE..).next().ok_or(Errno::ENXIO)?;
        Ok((page.0 * PAGE).max(offset))
    }

    /// SEEK_HOLE: the first hole at or after `offset`; the end of the file counts as one.
    pub fn seek_hole(&self, offset: u64) -> Result<u64, Errno> {
        if offset >= self.size() {
            return Err(Errno::ENXIO);
        }
        let FileBytes::Memory(pages) = self else { return Ok(self.size()) };
        let mut at = offset.max(pages.below_len());
        while at < pages.size && pages.pages.contains_key(&(at / PAGE)) {
            at = (at / PAGE + 1) * PAGE;
        }
        Ok(at.min(pages.size))
    }

    /// Moves the bytes into a memory object, where they stay; gives its name.
    pub fn to_object(&mut self, user: &mut dyn Platform) -> Result<ObjectId, Errno> {
        if let FileBytes::Object { id, .. } = self {
            return Ok(*id);
        }
        let size = self.size();
        let id = user.object_create(size)?;
        let mut buffer = vec![0; 64 * PAGE as usize];
        let mut at = 0;
        // Holes stay holes in the object.
        while let Ok(data) = self.seek_data(at) {
            let end = self.seek_hole(data).unwrap_or(size);
            at = data;
            while at < end {
                let want = buffer.len().min((end - at) as usize);
                let got = match self.read(at, &mut buffer[..want], user) {
                    Ok(got) => got,
                    Err(errno) => {
                        user.object_release(id);
                        return Err(errno);
                    }
                };
                user.object_write(id, at, &buffer[..got]);
                at += got as u64;
            }
        }
        *self = FileBytes::Object { id, size };
        Ok(id)
    }

    /// Copy-up, lazily: the machine's bytes show through below pages of ours.
    fn copy_up(&mut self) {
        if let FileBytes::Lower(below) = self {
            let (size, below) = (below.len, Some(below.clone()));
            *self = FileBytes::Memory(Pages { size, below, ..Pages::default() });
        }
    }
}

/// Reads what shows through; zeroes where nothing does.
fn read_below(
    below: Option<&Below>,
    offset: u64,
    into: &mut [u8],
    user: &mut dyn Platform,
) -> Result<(), Errno> {
    into.fill(0);
    let Some(below) = below else { return Ok(()) };
    let len = (below.len.saturating_sub(offset)).min(into.len() as u64) as usize;
    if len > 0 {
        user.lower_read(&below.path, offset, &mut into[..len])?;
    }
    Ok(())
}

impl Pages {
    fn below_len(&self) -> u64 {
        self.below.as_ref().map_or(0, |b| b.len)
    }

    /// Does it take room?
    fn has_page(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
            || self.reserved.contains(&page)
            || page < self.below_len().div_ceil(PAGE)
    }

    fn allocated(&self) -> u64 {
        let own = (self.pages.len() + self.reserved.len()) as u64;
        let shown = self.below_len().div_ceil(PAGE);
        let both = if shown == 0 { 0 } else { self.pages.range(..shown).count() as u64 };
        (shown + own - both) * PAGE
    }

    fn read(&self, offset: u64, into: &mut [u8], user: &mut dyn Platform) -> Result<(), Errno> {
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            match self.pages.get(&(at / PAGE)) {
                Some(page) => {
                    let len = (PAGE as usize - within).min(into.len() - done);
                    into[done..done + len].copy_from_slice(&page[within..within + len]);
                    done += len;
                }
                None => {
                    // Up to the next page that is there, in one read.
                    let next = self.pages.range(at / PAGE..).next().map(|(p, _)| p * PAGE - at);
                    let left = (into.len() - done) as u64;
                    let len = next.unwrap_or(u64::MAX).min(left) as usize;
                    read_below(self.below.as_ref(), at, &mut into[done..done + len], user)?;
                    done += len;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8], user: &mut dyn Platform) -> Result<(), Errno> {
        let mut done = 0;
        while done < from.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let len = (PAGE as usize - within).min(from.len() - done);
            let index = at / PAGE;
            if !self.pages.contains_key(&index) {
                let mut page = [0; PAGE as usize];
                if len < PAGE as usize {
                    read_below(self.below.as_ref(), index * PAGE, &mut page, user)?;
                }
                self.pages.insert(index, Arc::new(page));
                self.reserved.remove(&index);
            }
            let page = self.pages.get_mut(&index).expect("inserted above");
            Arc::make_mut(page)[within..within + len].copy_from_slice(&from[done..done + len]);
            done += len;
            self.size = self.size.max(at + len as u64);
        }
        Ok(())
    }

    fn truncate(&mut self, new: u64) {
        if new < self.size {
            drop(self.pages.split_off(&new.div_ceil(PAGE)));
            drop(self.reserved.split_off(&new.div_ceil(PAGE)));
            if let Some(page) = self.pages.get_mut(&(new / PAGE)) {
                Arc::make_mut(page)[(new % PAGE) as usize..].fill(0);
            }
            if let Some(below) = &mut self.below {
                below.len = below.len.min(new);
            }
        }
        self.size = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::Tiny;

    fn contents(bytes: &FileBytes, user: &mut Tiny) -> Vec<u8> {
        let mut all = vec![0; bytes.size() as usize];
        assert_eq!(bytes.read(0, &mut all, user), Ok(all.len()));
        all
    }

    #[test]
    fn a_machines_file_shows_through_until_it_is_written_and_stays_itself() {
        let mut user = Tiny::default();
        user.lower_file("/f", b"hello world");
        let below = Below { path: b"/f".to_vec(), len: 11 };
        let mut bytes = FileBytes::Lower(below);
        assert_eq!(contents(&bytes, &mut user), b"hello world");
        bytes.write(6, b"W", &mut user).unwrap();
        assert_eq!(contents(&bytes, &mut user), b"hello World");
        bytes.truncate(3, &mut user).unwrap();
        bytes.truncate(6, &mut user).unwrap();
        assert_eq!(contents(&bytes, &mut user), b"hel\0\0\0");
    }

    #[test]
    fn an_exabyte_hole_takes_no_room() {
        let mut user = Tiny::default();
        let mut bytes = FileBytes::default();
        bytes.truncate(MAX_LFS_FILESIZE, &mut user).unwrap();
        bytes.write(1 << 60, b"x", &mut user).unwrap();
        assert_eq!(bytes.allocated(), PAGE);
        assert_eq!(bytes.seek_data(5), Ok(1 << 60));
        assert_eq!(bytes.seek_hole(1 << 60), Ok((1 << 60) + PAGE));
        bytes.punch_hole(0, MAX_LFS_FILESIZE, &mut user).unwrap();
        assert_eq!(bytes.seek_data(5), Err(Errno::ENXIO));
        bytes.truncate(0, &mut user).unwrap();
        assert_eq!(bytes.allocated(), 0);
    }

    #[test]
    fn a_mapped_file_lives_in_its_object() {
        let mut user = Tiny::default();
        let mut bytes = FileBytes::from_bytes(&[7; 5000]);
        let id = bytes.to_object(&mut user).unwrap();
        bytes.write(4999, b"ab", &mut user).unwrap();
        assert_eq!(bytes.size(), 5001);
        let mut two = [0; 2];
        assert_eq!(user.object_read(id, 4999, &mut two), 2);
        assert_eq!(&two, b"ab");
        bytes.truncate(1, &mut user).unwrap();
        assert_eq!(contents(&bytes, &mut user), [7]);
    }
}
