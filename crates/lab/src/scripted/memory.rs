//! Address spaces of scripted guests: pages in a map, copied on write. What the ptrace platform
//! leaves to the machine's MMU is spelled out here: protections, holes, private and shared
//! backing. Neighbours: `scripted` (the platform), `cpu` (who loads and stores).

use super::lower::LowerTree;
use kernel::abi::Errno;
use kernel::platform::{Backing, LowerFiles, MapChange, ObjectId, Prot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// PROT_READ.
pub const READ: Prot = 1;
/// PROT_WRITE.
pub const WRITE: Prot = 2;
/// PROT_EXEC.
pub const EXEC: Prot = 4;
/// The machine's memory: pages that one space may have (256 MiB), whatever stands behind them.
const MOST_PAGES: u64 = 1 << 16;

type Frame = Arc<[u8; PAGE as usize]>;

/// Memory objects by id; their bytes stay for as long as the platform lives, so that mappings of
/// an object that nobody names any more still read.
pub type Objects = BTreeMap<ObjectId, Vec<u8>>;

/// What stands behind one page.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Page {
    /// Bytes of this space only. `clean` is what MADV_DONTNEED brings back.
    Private { bytes: Frame, clean: Option<Frame> },
    /// A page of an object, written through.
    Shared { object: ObjectId, offset: u64 },
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Mapped {
    prot: Prot,
    page: Page,
}

/// Why an access failed: as the error code of a page fault says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hole {
    /// Nothing is mapped (SEGV_MAPERR).
    Unmapped,
    /// The protection forbids it (SEGV_ACCERR).
    Forbidden,
    /// Behind the end of a shared object (BUS_ADRERR).
    BeyondObject,
}

/// One address space.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Space {
    pages: BTreeMap<u64, Mapped>,
}

impl Space {
    /// Bytes of its private pages, which are there from the beginning.
    pub fn resident(&self) -> u64 {
        let private = |it: &&Mapped| matches!(it.page, Page::Private { .. });
        self.pages.values().filter(private).count() as u64 * PAGE
    }

    /// Reads up to the end of the page; returns how many bytes, or why none.
    fn read_in_page(
        &self,
        at: u64,
        into: &mut [u8],
        need: Prot,
        objects: &Objects,
    ) -> Result<usize, Hole> {
        let mapped = self.pages.get(&(at / PAGE)).ok_or(Hole::Unmapped)?;
        if mapped.prot & need != need {
            return Err(Hole::Forbidden);
        }
        let inside = (at % PAGE) as usize;
        let len = into.len().min(PAGE as usize - inside);
        match &mapped.page {
            Page::Private { bytes, .. } => {
                into[..len].copy_from_slice(&bytes[inside..inside + len])
            }
            Page::Shared { object, offset } => {
                let source = shared(objects, *object, *offset).ok_or(Hole::BeyondObject)?;
                // Behind the last byte but inside the last page, zeroes are read.
                let known = source.get(inside..).unwrap_or_default();
                let copied = len.min(known.len());
                into[..copied].copy_from_slice(&known[..copied]);
                into[copied..len].fill(0);
            }
        }
        Ok(len)
    }

    /// Reads with protection `need`; how many bytes came before the first hole, and that hole.
    pub fn read(
        &self,
        from: u64,
        into: &mut [u8],
        need: Prot,
        objects: &Objects,
    ) -> (usize, Option<Hole>) {
        let mut done = 0;
        while done < into.len() {
            let at = from.wrapping_add(done as u64);
            match self.read_in_page(at, &mut into[done..], need, objects) {
                Ok(len) => done += len,
                Err(hole) => return (done, Some(hole)),
            }
        }
        (done, None)
    }

    fn write_in_page(
        &mut self,
        at: u64,
        from: &[u8],
        objects: &mut Objects,
    ) -> Result<usize, Hole> {
        let mapped = self.pages.get_mut(&(at / PAGE)).ok_or(Hole::Unmapped)?;
        if mapped.prot & WRITE == 0 {
            return Err(Hole::Forbidden);
        }
        let inside = (at % PAGE) as usize;
        let len = from.len().min(PAGE as usize - inside);
        match &mut mapped.page {
            Page::Private { bytes, .. } => {
                Arc::make_mut(bytes)[inside..inside + len].copy_from_slice(&from[..len]);
            }
            Page::Shared { object, offset } => {
                let bytes = objects.get_mut(object).ok_or(Hole::BeyondObject)?;
                let start = *offset as usize;
                if start >= bytes.len() {
                    return Err(Hole::BeyondObject);
                }
                let end = bytes.len().min(start + inside + len);
                let fits = end.saturating_sub(start + inside);
                bytes[start + inside..][..fits].copy_from_slice(&from[..fits]);
            }
        }
        Ok(len)
    }

    /// Writes; how many bytes went before the first hole, and that hole.
    pub fn write(&mut self, to: u64, from: &[u8], objects: &mut Objects) -> (usize, Option<Hole>) {
        let mut done = 0;
        while done < from.len() {
            match self.write_in_page(to.wrapping_add(done as u64), &from[done..], objects) {
                Ok(len) => done += len,
                Err(hole) => return (done, Some(hole)),
            }
        }
        (done, None)
    }

    /// May the CPU fetch an instruction here?
    pub fn can_execute(&self, at: u64) -> Result<(), Hole> {
        let mapped = self.pages.get(&(at / PAGE)).ok_or(Hole::Unmapped)?;
        if mapped.prot & EXEC == 0 { Err(Hole::Forbidden) } else { Ok(()) }
    }

    /// Applies one change. The kernel checked addresses and lengths.
    pub fn change(
        &mut self,
        change: &MapChange,
        lower: &mut LowerTree,
        objects: &Objects,
    ) -> Result<(), Errno> {
        match change {
            MapChange::Map { start, len, prot, backing } => {
                self.map(*start, *len, *prot, backing, lower, objects)
            }
            MapChange::Unmap { start, len } => {
                for page in pages_of(*start, *len) {
                    self.pages.remove(&page);
                }
                Ok(())
            }
            MapChange::Protect { start, len, prot } => {
                for page in pages_of(*start, *len) {
                    self.pages.get_mut(&page).ok_or(Errno::ENOMEM)?.prot = *prot;
                }
                Ok(())
            }
            MapChange::Move { from, old_len, to, new_len } => {
                self.relocate(*from, *old_len, *to, *new_len)
            }
            MapChange::Discard { start, len } => {
                for page in pages_of(*start, *len) {
                    if let Some(Mapped { page: Page::Private { bytes, clean }, .. }) =
                        self.pages.get_mut(&page)
                    {
                        *bytes = clean.clone().unwrap_or_else(zeroes);
                    }
                }
                Ok(())
            }
        }
    }

    /// Unlike the machine, we give every page of a mapping its entry at once.
    fn has_room_for(&self, len: u64) -> Result<(), Errno> {
        let pages = self.pages.len() as u64 + len / PAGE;
        if pages > MOST_PAGES { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn map(
        &mut self,
        start: u64,
        len: u64,
        prot: Prot,
        backing: &Backing,
        lower: &mut LowerTree,
        objects: &Objects,
    ) -> Result<(), Errno> {
        self.has_room_for(len)?;
        let zero = zeroes();
        for (i, number) in pages_of(start, len).enumerate() {
            let inside = i as u64 * PAGE;
            let page = match backing {
                Backing::Anonymous => Page::Private { bytes: zero.clone(), clean: None },
                Backing::Lower { path, offset } => {
                    let mut bytes = [0; PAGE as usize];
                    lower.lower_read(path, offset + inside, &mut bytes)?;
                    let bytes = Arc::new(bytes);
                    Page::Private { bytes: bytes.clone(), clean: Some(bytes) }
                }
                Backing::Object { id, offset, shared: true } => {
                    Page::Shared { object: *id, offset: offset + inside }
                }
                Backing::Object { id, offset, shared: false } => {
                    let mut bytes = [0; PAGE as usize];
                    let source = shared(objects, *id, offset + inside).unwrap_or_default();
                    bytes[..source.len()].copy_from_slice(source);
                    let bytes = Arc::new(bytes);
                    Page::Private { bytes: bytes.clone(), clean: Some(bytes) }
                }
            };
            self.pages.insert(number, Mapped { prot, page });
        }
        Ok(())
    }

    /// Moves an area; where it grows, the new pages continue the last one's kind.
    fn relocate(&mut self, from: u64, old_len: u64, to: u64, new_len: u64) -> Result<(), Errno> {
        self.has_room_for(new_len)?;
        let taken: Vec<Option<Mapped>> =
            pages_of(from, old_len).map(|page| self.pages.remove(&page)).collect();
        let last = taken.iter().flatten().last().cloned().ok_or(Errno::EFAULT)?;
        let mut old = taken.into_iter();
        for (i, number) in pages_of(to, new_len).enumerate() {
            let mapped = old.next().flatten().unwrap_or_else(|| Mapped {
                prot: last.prot,
                page: match &last.page {
                    Page::Private { .. } => Page::Private { bytes: zeroes(), clean: None },
                    Page::Shared { object, offset } => Page::Shared {
                        object: *object,
                        offset: offset + (i as u64 + 1) * PAGE - old_len,
                    },
                },
            });
            self.pages.insert(number, mapped);
        }
        Ok(())
    }
}

fn zeroes() -> Frame {
    Arc::new([0; PAGE as usize])
}

fn pages_of(start: u64, len: u64) -> impl Iterator<Item = u64> {
    start / PAGE..(start + len).div_ceil(PAGE)
}

/// The part of `object` that one page at `offset` shows; None behind its end.
fn shared(objects: &Objects, object: ObjectId, offset: u64) -> Option<&[u8]> {
    let bytes = objects.get(&object)?;
    let from = usize::try_from(offset).ok()?;
    let rest = bytes.get(from..).filter(|rest| !rest.is_empty())?;
    Some(&rest[..rest.len().min(PAGE as usize)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymous(start: u64, pages: u64, prot: Prot) -> MapChange {
        MapChange::Map { start, len: pages * PAGE, prot, backing: Backing::Anonymous }
    }

    #[test]
    fn a_copy_stops_at_the_first_hole() {
        let (mut space, mut lower) = (Space::default(), LowerTree::default());
        let mut objects = Objects::new();
        space.change(&anonymous(0x1000, 1, READ | WRITE), &mut lower, &objects).unwrap();
        let written = space.write(0x1ffe, b"abcd", &mut objects);
        assert_eq!(written, (2, Some(Hole::Unmapped)));
        let mut back = [0; 4];
        assert_eq!(space.read(0x1ffe, &mut back, READ, &objects), (2, Some(Hole::Unmapped)));
        assert_eq!(&back[..2], b"ab");
    }

    #[test]
    fn a_copied_space_shares_objects_and_nothing_else() {
        let (mut space, mut lower) = (Space::default(), LowerTree::default());
        let mut objects = Objects::from([(ObjectId(1), vec![0; 8192])]);
        let backing = Backing::Object { id: ObjectId(1), offset: 0, shared: true };
        let shared = MapChange::Map { start: 0x10000, len: 8192, prot: READ | WRITE, backing };
        space.change(&shared, &mut lower, &objects).unwrap();
        space.change(&anonymous(0x1000, 1, READ | WRITE), &mut lower, &objects).unwrap();
        let mut child = space.clone();
        child.write(0x1000, b"x", &mut objects);
        child.write(0x11000, b"y", &mut objects);
        let mut byte = [0];
        space.read(0x1000, &mut byte, READ, &objects);
        assert_eq!(byte, [0]);
        space.read(0x11000, &mut byte, READ, &objects);
        assert_eq!(byte, *b"y");
    }

    #[test]
    fn protections_are_honoured() {
        let (mut space, mut lower) = (Space::default(), LowerTree::default());
        let mut objects = Objects::new();
        space.change(&anonymous(0x1000, 1, READ), &mut lower, &objects).unwrap();
        assert_eq!(space.write(0x1000, b"a", &mut objects), (0, Some(Hole::Forbidden)));
        assert_eq!(space.can_execute(0x1000), Err(Hole::Forbidden));
    }
}
