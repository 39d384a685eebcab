//! Areas of an address space (`vm_area_struct`) and their algebra: find, cut, insert, merge, choose
//! an address. Pure values: nothing here touches a guest. Neighbours: `mm/mmap` (the calls that use
//! it), `mm/mod` (what an address space is). mmap(2), proc(5) "maps".

use crate::arena::Id;
use crate::fs::file::File;
use crate::ipc::namespace::IpcId;
use crate::platform::{Backing, ObjectId, Prot};
use std::collections::BTreeMap;

/// Bytes in a page.
pub const PAGE_SIZE: u64 = 4096;
/// stack_guard_gap: nothing is placed this close below an area that grows down.
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;

/// Rounds up to a page; `None` beyond the end of the address space.
pub const fn page_align(n: u64) -> Option<u64> {
    match n.checked_add(PAGE_SIZE - 1) {
        Some(n) => Some(n & !(PAGE_SIZE - 1)),
        None => None,
    }
}

/// What an area keeps alive as long as it is mapped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Pin {
    /// vm_file: the mapping holds a reference to the description (rule F-1).
    File(Id<File>),
    /// Shared anonymous memory: an object without a name.
    Shmem(ObjectId),
    /// A System V segment, by its identifier.
    SysV(IpcId),
}

/// VM_* flags beside the protection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct VmFlags {
    pub shared: bool,
    /// The stack. Mapped whole: it never really grows.
    pub growsdown: bool,
    /// MAP_NORESERVE: not charged.
    pub noreserve: bool,
    /// mlock(2): a hint here, nothing is ever paged out.
    pub locked: bool,
    /// mseal(2).
    pub sealed: bool,
    /// MADV_DONTFORK.
    pub dontfork: bool,
    /// MADV_WIPEONFORK.
    pub wipeonfork: bool,
}

/// One area; its start is its key in [`Areas`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vma {
    /// One past its last byte.
    pub end: u64,
    /// PROT_*.
    pub prot: Prot,
    /// VM_MAY*: what mprotect may raise the protection to.
    pub max_prot: Prot,
    /// The rest.
    pub flags: VmFlags,
    /// Where the platform takes its bytes from.
    pub backing: Backing,
    /// What it keeps alive.
    pub pin: Option<Pin>,
    /// Offset in the file of the first byte, as /proc/pid/maps shows it.
    pub offset: u64,
}

impl Vma {
    /// A private anonymous area up to `end`.
    pub fn anonymous(end: u64, prot: Prot) -> Vma {
        Vma {
            end,
            prot,
            max_prot: 7,
            flags: VmFlags::default(),
            backing: Backing::Anonymous,
            pin: None,
            offset: 0,
        }
    }

    /// Is it private and writable, and so charged against the host's memory?
    pub fn is_charged(&self) -> bool {
        self.prot & 2 != 0 && !self.flags.shared && !self.flags.noreserve && !self.flags.growsdown
    }

    /// The part of it that begins `skip` bytes further on.
    fn advanced(&self, skip: u64) -> Vma {
        let mut vma = self.clone();
        vma.offset = if self.pin.is_some() { self.offset + skip } else { 0 };
        match &mut vma.backing {
            Backing::Anonymous => {}
            Backing::Lower { offset, .. } | Backing::Object { offset, .. } => *offset += skip,
        }
        vma
    }

    /// Where the bytes of an area come from that goes on where this one (which starts at `start`)
    /// ends, or anywhere else relative to it.
    pub fn backing_at(&self, start: u64, address: u64) -> Backing {
        self.advanced(address - start).backing
    }

    /// Could `next`, which starts where this one ends, be part of it?
    fn continues_as(&self, start: u64, next: &Vma) -> bool {
        let mut expected = self.advanced(self.end - start);
        expected.end = next.end;
        expected == *next
    }
}

/// The areas of one address space by their start; they never overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Areas {
    map: BTreeMap<u64, Vma>,
    /// total_vm, in bytes.
    total: u64,
    /// Bytes of private writable memory.
    charged: u64,
}

impl Areas {
    /// All areas, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Vma)> {
        self.map.iter().map(|(start, vma)| (*start, vma))
    }

    /// How many there are (map_count).
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True when nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// total_vm: mapped bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes charged against the host's memory.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// locked_vm: bytes that mlock(2) and its kind hold.
    pub fn locked(&self) -> u64 {
        self.iter().filter(|(_, v)| v.flags.locked).map(|(s, v)| v.end - s).sum()
    }

    /// The area that contains `address`.
    pub fn find(&self, address: u64) -> Option<(u64, &Vma)> {
        let (start, vma) = self.map.range(..=address).next_back()?;
        (vma.end > address).then_some((*start, vma))
    }

    /// Areas that touch `start..end`, ascending, whole.
    pub fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &Vma)> {
        let first = self.find(start).map_or(start, |(s, _)| s);
        self.map.range(first..end.max(first)).map(|(s, v)| (*s, v))
    }

    /// Is `start..end` free?
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// Is `start..end` mapped without a hole?
    pub fn is_covered(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for (s, vma) in self.overlapping(start, end) {
            if s > at {
                return false;
            }
            at = vma.end;
        }
        at >= end
    }

    fn put(&mut self, start: u64, vma: Vma) {
        self.total += vma.end - start;
        if vma.is_charged() {
            self.charged += vma.end - start;
        }
        let old = self.map.insert(start, vma);
        debug_assert!(old.is_none(), "an area was put over another");
    }

    fn take(&mut self, start: u64) -> Option<Vma> {
        let vma = self.map.remove(&start)?;
        self.total -= vma.end - start;
        if vma.is_charged() {
            self.charged -= vma.end - start;
        }
        Some(vma)
    }

    /// split_vma(): makes `address` a border if it lies inside an area.
    fn split(&mut self, address: u64) {
        let Some((start, _)) = self.find(address) else { return };
        if start == address {
            return;
        }
        let Some(mut low) = self.take(start) else { return };
        let high = low.advanced(address - start);
        low.end = address;
        self.put(start, low);
        self.put(address, high);
    }

    /// Takes everything in `start..end` out, in pieces, ascending.
    pub fn cut(&mut self, start: u64, end: u64) -> Vec<(u64, Vma)> {
        self.split(start);
        self.split(end);
        let inside: Vec<u64> = self.map.range(start..end.max(start)).map(|(s, _)| *s).collect();
        inside.into_iter().filter_map(|s| self.take(s).map(|v| (s, v))).collect()
    }

    /// Puts an area into free space and merges it with neighbours that it continues (vma_merge).
    pub fn insert(&mut self, start: u64, vma: Vma) {
        let (mut start, mut vma) = (start, vma);
        let below = self.map.range(..start).next_back().map(|(s, v)| (*s, v.clone()));
        if let Some((low, v)) = below
            && v.end == start
            && v.continues_as(low, &vma)
        {
            self.take(low);
            let end = vma.end;
            (start, vma) = (low, v);
            vma.end = end;
        }
        if let Some(next) = self.map.get(&vma.end).cloned()
            && vma.continues_as(start, &next)
        {
            self.take(vma.end);
            vma.end = next.end;
        }
        self.put(start, vma);
    }

    /// Changes every area in `start..end`, splitting at the borders and merging afterwards.
    pub fn change(&mut self, start: u64, end: u64, mut change: impl FnMut(&mut Vma)) {
        for (s, mut vma) in self.cut(start, end) {
            change(&mut vma);
            self.insert(s, vma);
        }
    }

    /// Does any area keep `pin` alive?
    pub fn pins(&self, pin: Pin) -> bool {
        self.map.values().any(|v| v.pin == Some(pin))
    }

    /// What areas keep alive, each once, in the order in which unmapping from below lets go of it.
    pub fn all_pins(&self) -> Vec<Pin> {
        let mut pins: Vec<Pin> = Vec::new();
        for pin in self.map.values().filter_map(|v| v.pin) {
            pins.retain(|p| *p != pin);
            pins.push(pin);
        }
        pins
    }

    /// The highest free place for `len` bytes in `low..high` (vm_unmapped_area, top down).
    pub fn unmapped_below(&self, len: u64, low: u64, high: u64) -> Option<u64> {
        let mut ceiling = high;
        for (start, vma) in self.map.range(..high).rev() {
            if vma.end < ceiling && ceiling - vma.end >= len && ceiling - len >= low {
                return Some(ceiling - len);
            }
            let guard = if vma.flags.growsdown { STACK_GUARD_GAP } else { 0 };
            ceiling = ceiling.min(start.saturating_sub(guard));
        }
        (ceiling >= low && ceiling - low >= len).then(|| ceiling - len)
    }

    /// The lowest free place for `len` bytes in `low..high` (vm_unmapped_area, bottom up).
    pub fn unmapped_above(&self, len: u64, low: u64, high: u64) -> Option<u64> {
        let mut floor = low;
        for (start, vma) in self.overlapping(low, high) {
            let guard = if vma.flags.growsdown { STACK_GUARD_GAP } else { 0 };
            if start.saturating_sub(guard) >= floor.saturating_add(len) {
                return Some(floor);
            }
            floor = floor.max(vma.end);
        }
        (high >= floor && high - floor >= len).then_some(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rw(end: u64) -> Vma {
        Vma::anonymous(end, 3)
    }

    fn file(end: u64, offset: u64) -> Vma {
        let mut vma = rw(end);
        vma.pin = Some(Pin::Shmem(ObjectId(1)));
        vma.offset = offset;
        vma.backing = Backing::Object { id: ObjectId(1), offset, shared: false };
        vma
    }

    fn ranges(areas: &Areas) -> Vec<(u64, u64)> {
        areas.iter().map(|(s, v)| (s, v.end)).collect()
    }

    #[test]
    fn a_hole_splits_an_area_and_filling_it_merges_again() {
        let mut areas = Areas::default();
        areas.insert(0x1000, rw(0x9000));
        assert_eq!(areas.cut(0x3000, 0x5000).len(), 1);
        assert_eq!(ranges(&areas), [(0x1000, 0x3000), (0x5000, 0x9000)]);
        assert_eq!((areas.total(), areas.charged()), (0x6000, 0x6000));
        areas.insert(0x3000, rw(0x5000));
        assert_eq!(ranges(&areas), [(0x1000, 0x9000)]);
        assert_eq!(areas.total(), 0x8000);
    }

    #[test]
    fn file_areas_merge_only_where_their_offsets_go_on() {
        let mut areas = Areas::default();
        areas.insert(0x1000, file(0x2000, 0));
        areas.insert(0x2000, file(0x3000, 0x1000));
        assert_eq!(ranges(&areas), [(0x1000, 0x3000)]);
        areas.insert(0x3000, file(0x4000, 0x1000));
        assert_eq!(areas.len(), 2);
        let cut = areas.cut(0x2000, 0x3000);
        assert_eq!(cut[0].1.offset, 0x1000);
    }

    #[test]
    fn a_change_of_protection_changes_the_charge() {
        let mut areas = Areas::default();
        areas.insert(0x1000, rw(0x4000));
        areas.change(0x2000, 0x3000, |v| v.prot = 1);
        assert_eq!((areas.len(), areas.charged()), (3, 0x2000));
        areas.change(0x1000, 0x4000, |v| v.prot = 3);
        assert_eq!((areas.len(), areas.charged()), (1, 0x3000));
    }

    #[test]
    fn addresses_are_chosen_from_the_top_and_holes_are_reused() {
        let mut areas = Areas::default();
        let top = 0x10_0000;
        assert_eq!(areas.unmapped_below(0x1000, 0x1000, top), Some(top - 0x1000));
        areas.insert(top - 0x4000, rw(top - 0x2000));
        assert_eq!(areas.unmapped_below(0x2000, 0x1000, top), Some(top - 0x2000));
        assert_eq!(areas.unmapped_below(0x3000, 0x1000, top), Some(top - 0x7000));
        assert_eq!(areas.unmapped_below(top, 0x1000, top), None);
        assert_eq!(areas.unmapped_above(0x1000, 0x1000, top), Some(0x1000));
    }

    #[test]
    fn nothing_is_placed_close_below_the_stack() {
        let mut areas = Areas::default();
        let mut stack = rw(0x100_0000);
        stack.flags.growsdown = true;
        areas.insert(0xf0_0000, stack);
        let at = areas.unmapped_below(0x1000, 0x1000, 0x100_0000);
        assert_eq!(at, Some(0xf0_0000 - STACK_GUARD_GAP - 0x1000));
    }

    #[test]
    fn coverage_sees_holes() {
        let mut areas = Areas::default();
        areas.insert(0x1000, rw(0x2000));
        areas.insert(0x2000, file(0x3000, 0));
        assert!(areas.is_covered(0x1000, 0x3000));
        assert!(!areas.is_covered(0x1000, 0x3001));
        assert!(!areas.is_covered(0x0, 0x2000));
        assert!(areas.is_free(0x3000, 0x9000));
    }
}
