//! mmap(2), munmap(2), mprotect(2), brk(2): checked as Linux checks them, then told to the platform,
//! then written down as areas. Neighbours: `mm/area` (the algebra), `fs` (`mmap_backing`).

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::file::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::mm::area::{VmFlags, Vma};
use crate::mm::overcommit::Overcommit;
use crate::mm::{MAX_MAP_COUNT, Mm, PAGE_SIZE, Pin, Space, TASK_SIZE, page_align};
use crate::platform::{Backing, MapChange, Platform, Prot};
use crate::syscall::{Call, SysResult};
use crate::task::rlimit::{RLIMIT_AS, RLIMIT_DATA};
use linux_raw_sys::general as lx;

const PROT_WRITE: Prot = lx::PROT_WRITE;
const PROT_ALL: Prot = lx::PROT_READ | lx::PROT_WRITE | lx::PROT_EXEC;
const MAP_TYPE: u32 = lx::MAP_TYPE;
/// Flags that MAP_SHARED_VALIDATE knows (LEGACY_MAP_MASK).
const MAP_LEGACY: u32 = MAP_TYPE
    | lx::MAP_FIXED
    | lx::MAP_ANONYMOUS
    | lx::MAP_DENYWRITE
    | lx::MAP_EXECUTABLE
    | lx::MAP_UNINITIALIZED
    | lx::MAP_GROWSDOWN
    | lx::MAP_LOCKED
    | lx::MAP_NORESERVE
    | lx::MAP_POPULATE
    | lx::MAP_NONBLOCK
    | lx::MAP_STACK
    | lx::MAP_HUGETLB
    | lx::MAP_32BIT;

/// A request for memory, after the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Request {
    addr: u64,
    len: u64,
    prot: Prot,
    flags: u32,
    offset: u64,
}

impl Request {
    fn is_fixed(&self) -> bool {
        self.flags & (lx::MAP_FIXED | lx::MAP_FIXED_NOREPLACE) != 0
    }
}

impl Mm {
    /// get_unmapped_area() for anything but MAP_FIXED: at the hint if that is free, else the highest
    /// free place below mmap_base, else the lowest above it.
    pub fn get_unmapped_area(&self, hint: u64, len: u64) -> Result<u64, Errno> {
        let (low, high) = self.range;
        if len > high - low {
            return Err(Errno::ENOMEM);
        }
        let hint = page_align(hint).unwrap_or(0);
        if hint >= low && hint <= high - len {
            let guard = |start: u64, vma: &Vma| {
                if vma.flags.growsdown { start - crate::mm::area::STACK_GUARD_GAP } else { start }
            };
            let next = self.areas.overlapping(hint, high).next();
            if next.is_none_or(|(start, vma)| vma.end > hint && guard(start, vma) >= hint + len) {
                return Ok(hint);
            }
        }
        let base = self.mmap_base();
        let found = self.areas.unmapped_below(len, low, base);
        found.or_else(|| self.areas.unmapped_above(len, base, high)).ok_or(Errno::ENOMEM)
    }

    /// Where a fixed mapping may not be: EPERM below mmap_min_addr, ENOMEM beyond the top or in what
    /// belongs to the platform, EINVAL if not page-aligned.
    pub(crate) fn check_fixed(&self, addr: u64, len: u64) -> Result<(), Errno> {
        let (low, high) = self.range;
        if len > TASK_SIZE || addr > TASK_SIZE - len {
            return Err(Errno::ENOMEM);
        }
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if addr < low {
            return Err(Errno::EPERM);
        }
        if addr + len > high { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}

impl Kernel {
    /// mmap(2).
    pub fn sys_mmap(&mut self, call: &mut Call<'_>) -> SysResult {
        let (addr, len, offset) = (call.arg(0), call.arg(1), call.arg(5));
        let (prot, flags) = (call.arg(2) as u32, call.arg(3) as u32);
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let file = match flags & lx::MAP_ANONYMOUS {
            0 => Some(self.fget_to_map(call)?),
            _ => None,
        };
        if len == 0 {
            return Err(Errno::EINVAL.into());
        }
        let len = page_align(len).ok_or(Errno::ENOMEM)?;
        if offset.checked_add(len).is_none() {
            return Err(Errno::EOVERFLOW.into());
        }
        let at = self.space(call.task);
        let request = Request { addr, len, prot, flags, offset };
        Ok(self.do_mmap(at, call.user, request, file)?)
    }

    /// The description to map; O_PATH ones don't count as open.
    fn fget_to_map(&self, call: &Call<'_>) -> Result<FileId, Errno> {
        let file = self.table(call.task).get(call.int(4))?;
        if self.files[file].flags.has(OFlags::PATH) { Err(Errno::EBADF) } else { Ok(file) }
    }

    fn do_mmap(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        request: Request,
        file: Option<FileId>,
    ) -> Result<u64, Errno> {
        let Request { len, flags, .. } = request;
        let mm = &self.mms[at.mm];
        if mm.areas.len() > MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        let start = if request.is_fixed() {
            mm.check_fixed(request.addr, len)?;
            if flags & lx::MAP_FIXED_NOREPLACE != 0
                && !mm.areas.is_free(request.addr, request.addr + len)
            {
                return Err(Errno::EEXIST);
            }
            self.can_modify_mm(at, request.addr, request.addr + len)?;
            request.addr
        } else if flags & lx::MAP_32BIT != 0 {
            // 0x40000000..0x80000000, as Linux keeps it for code that wants short addresses.
            mm.areas.unmapped_below(len, 0x4000_0000, 0x8000_0000).ok_or(Errno::ENOMEM)?
        } else {
            mm.get_unmapped_area(request.addr, len)?
        };
        self.check_mmap_flags(at, request, file)?;
        let locked = self.mms[at.mm].locks_future || flags & lx::MAP_LOCKED != 0;
        if flags & lx::MAP_LOCKED != 0 && !self.can_do_mlock(at.task) {
            return Err(Errno::EPERM);
        }
        self.mlock_future_ok(at, locked, len)?;
        self.may_expand_vm(at, len)?;
        let mut vma = self.new_vma(user, start, request, file)?;
        vma.flags.locked = locked;
        if vma.is_charged() {
            self.vm_enough_memory(len, user)?;
        }
        let change = MapChange::Map { start, len, prot: vma.prot, backing: vma.backing.clone() };
        if let Err(errno) = self.change_map(at, user, &[change]) {
            self.forget_unused_pin(user, &vma);
            return Err(errno);
        }
        self.insert_area(at, user, start, vma);
        Ok(start)
    }

    /// The checks of do_mmap() on flags and file; what we don't have is told.
    fn check_mmap_flags(
        &mut self,
        at: Space,
        request: Request,
        file: Option<FileId>,
    ) -> Result<(), Errno> {
        let Request { flags, prot, .. } = request;
        if flags & lx::MAP_HUGETLB != 0 {
            // What Linux says where no huge pages were set aside.
            let loud = Fact::unsupported("mmap MAP_HUGETLB", format!("flags {flags:#x}"));
            self.tell(Some(at.task), loud);
            return Err(Errno::ENOMEM);
        }
        if flags & lx::MAP_GROWSDOWN != 0 {
            // The area is there, as where the first page is never passed; it will not grow.
            let loud = Fact::unsupported("mmap MAP_GROWSDOWN", "the area will not grow");
            self.tell(Some(at.task), loud);
        }
        let kind = flags & MAP_TYPE;
        let Some(file) = file else {
            let known = kind == lx::MAP_SHARED || kind == lx::MAP_PRIVATE;
            return if known { Ok(()) } else { Err(Errno::EINVAL) };
        };
        let mode = self.files[file].flags;
        match kind {
            lx::MAP_SHARED_VALIDATE if flags & !MAP_LEGACY != 0 => return Err(Errno::EOPNOTSUPP),
            lx::MAP_SHARED | lx::MAP_SHARED_VALIDATE => {
                if prot & PROT_WRITE != 0 && !mode.writable() {
                    return Err(Errno::EACCES);
                }
            }
            lx::MAP_PRIVATE => {}
            // A droppable mapping (8) is for anonymous memory; others never were.
            _ => return Err(Errno::EINVAL),
        }
        if !mode.readable() {
            return Err(Errno::EACCES);
        }
        if prot & lx::PROT_EXEC != 0 && self.is_noexec(file) {
            return Err(Errno::EPERM);
        }
        if flags & lx::MAP_GROWSDOWN != 0 { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Is the file on a mount from which nothing may be executed?
    fn is_noexec(&self, file: FileId) -> bool {
        self.files[file].path.is_some_and(|path| self.vfs.path_noexec(path))
    }

    /// The area that a request makes. May create an object for shared anonymous memory.
    fn new_vma(
        &mut self,
        user: &mut dyn Platform,
        start: u64,
        request: Request,
        file: Option<FileId>,
    ) -> Result<Vma, Errno> {
        let shared = request.flags & MAP_TYPE != lx::MAP_PRIVATE;
        let prot = request.prot & PROT_ALL;
        let mut vma = Vma::anonymous(start + request.len, prot);
        vma.flags = VmFlags {
            shared,
            // Who never overcommits does not honour it.
            noreserve: request.flags & lx::MAP_NORESERVE != 0
                && self.sysctls.overcommit_memory != Overcommit::Never,
            ..VmFlags::default()
        };
        match file.filter(|f| self.files[*f].kind != FileKind::Zero) {
            Some(file) => {
                vma.backing = self.mmap_backing(file, request.offset, shared, user)?;
                vma.pin = Some(Pin::File(file));
                vma.offset = request.offset;
                if shared && !self.files[file].flags.writable() {
                    vma.max_prot &= !PROT_WRITE;
                }
                if self.is_noexec(file) {
                    vma.max_prot &= !lx::PROT_EXEC;
                }
            }
            // Anonymous shared memory, and /dev/zero, which is the old way to ask for it.
            None if shared => {
                let id = user.object_create(request.len)?;
                vma.backing = Backing::Object { id, offset: 0, shared: true };
                vma.pin = Some(Pin::Shmem(id));
                if file.is_some_and(|zero| !self.files[zero].flags.writable()) {
                    vma.max_prot &= !PROT_WRITE;
                }
            }
            None => {}
        }
        Ok(vma)
    }

    /// An object that was made for a mapping which then failed goes again.
    fn forget_unused_pin(&mut self, user: &mut dyn Platform, vma: &Vma) {
        match vma.pin {
            Some(Pin::Shmem(object)) if !self.shmem.contains_key(&object) => {
                user.object_release(object);
            }
            Some(Pin::Shmem(_) | Pin::File(_) | Pin::SysV(_)) | None => {}
        }
    }

    /// may_expand_vm(): RLIMIT_AS.
    pub(crate) fn may_expand_vm(&self, at: Space, more: u64) -> Result<(), Errno> {
        let limit = self.rlimit(at.task, RLIMIT_AS);
        let total = self.mms[at.mm].areas.total();
        if total.saturating_add(more) > limit { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// munmap(2).
    pub fn sys_munmap(&mut self, call: &mut Call<'_>) -> SysResult {
        let (start, len) = (call.arg(0), call.arg(1));
        let at = self.space(call.task);
        self.do_munmap(at, call.user, start, len)?;
        Ok(0)
    }

    pub(crate) fn do_munmap(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        start: u64,
        len: u64,
    ) -> Result<(), Errno> {
        if !start.is_multiple_of(PAGE_SIZE) || start > TASK_SIZE || len > TASK_SIZE - start {
            return Err(Errno::EINVAL);
        }
        let len = page_align(len).filter(|l| *l > 0).ok_or(Errno::EINVAL)?;
        let end = start + len;
        self.can_modify_mm(at, start, end)?;
        let changes: Vec<MapChange> = self.mms[at.mm]
            .areas
            .overlapping(start, end)
            .map(|(s, v)| (s.max(start), v.end.min(end)))
            .map(|(s, e)| MapChange::Unmap { start: s, len: e - s })
            .collect();
        self.change_map(at, user, &changes)?;
        self.remove_areas(at, user, start, end);
        Ok(())
    }

    /// mprotect(2).
    pub fn sys_mprotect(&mut self, call: &mut Call<'_>) -> SysResult {
        let (mut start, len, mut prot) = (call.arg(0), call.arg(1), call.arg(2) as u32);
        let grows = prot & (lx::PROT_GROWSDOWN | lx::PROT_GROWSUP);
        prot &= !grows;
        if grows == lx::PROT_GROWSDOWN | lx::PROT_GROWSUP || !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        if len == 0 {
            return Ok(0);
        }
        let end = page_align(len).and_then(|l| start.checked_add(l)).filter(|e| *e > start);
        let end = end.ok_or(Errno::ENOMEM)?;
        if prot & !(PROT_ALL | lx::PROT_SEM) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let at = self.space(call.task);
        if grows == lx::PROT_GROWSDOWN {
            let first = self.mms[at.mm].areas.overlapping(start, end).next();
            match first.map(|(s, v)| (s, v.flags.growsdown)) {
                Some((s, true)) => start = s,
                Some((_, false)) => return Err(Errno::EINVAL.into()),
                None => return Err(Errno::ENOMEM.into()),
            }
        } else if grows == lx::PROT_GROWSUP {
            return Err(Errno::EINVAL.into()); // no area grows up on x86-64
        }
        self.do_mprotect(at, call.user, start, end, prot & PROT_ALL)?;
        Ok(0)
    }

    /// Area by area until one refuses; those before it are changed, as in Linux.
    fn do_mprotect(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        start: u64,
        end: u64,
        prot: Prot,
    ) -> Result<(), Errno> {
        let mut reached = start;
        let mut more = 0;
        let mut verdict = Ok(());
        for (s, vma) in self.mms[at.mm].areas.overlapping(start, end) {
            if s > reached {
                break;
            }
            if prot & !vma.max_prot != 0 || vma.flags.sealed {
                let sealed = vma.flags.sealed && prot & !vma.max_prot == 0;
                verdict = Err(if sealed { Errno::EPERM } else { Errno::EACCES });
                break;
            }
            let mut changed = vma.clone();
            changed.prot = prot;
            if changed.is_charged() && !vma.is_charged() {
                more += vma.end.min(end) - s.max(start);
            }
            if self.vm_enough_memory(more, user).is_err() {
                verdict = Err(Errno::ENOMEM);
                break;
            }
            reached = vma.end.min(end);
        }
        if reached > start {
            let change = MapChange::Protect { start, len: reached - start, prot };
            self.change_map(at, user, &[change])?;
            self.mms[at.mm].areas.change(start, reached, |vma| vma.prot = prot);
        }
        verdict.and(if reached < end { Err(Errno::ENOMEM) } else { Ok(()) })
    }

    /// brk(2): never fails, says where the break is.
    pub fn sys_brk(&mut self, call: &mut Call<'_>) -> SysResult {
        let wanted = call.arg(0);
        let at = self.space(call.task);
        let moved = self.do_brk(at, call.user, wanted);
        // The program sees that nothing moved; the reason (RLIMIT_DATA, no room) is its business.
        Ok(if moved.is_ok() { wanted } else { self.mms[at.mm].brk })
    }

    fn do_brk(&mut self, at: Space, user: &mut dyn Platform, wanted: u64) -> Result<(), Errno> {
        let mm = &self.mms[at.mm];
        if wanted < mm.start_brk || wanted > mm.range.1 {
            return Err(Errno::ENOMEM);
        }
        if wanted - mm.start_brk > self.rlimit(at.task, RLIMIT_DATA) {
            return Err(Errno::ENOMEM);
        }
        let old = page_align(mm.brk).ok_or(Errno::ENOMEM)?;
        let new = page_align(wanted).ok_or(Errno::ENOMEM)?;
        if new < old {
            self.do_munmap(at, user, new, old - new)?;
        } else if new > old {
            // A page must stay free behind the heap.
            if !mm.areas.is_free(old, new + PAGE_SIZE) {
                return Err(Errno::ENOMEM);
            }
            self.mlock_future_ok(at, self.mms[at.mm].locks_future, new - old)?;
            self.may_expand_vm(at, new - old)?;
            self.vm_enough_memory(new - old, user)?;
            let prot = lx::PROT_READ | lx::PROT_WRITE;
            let (start, len) = (old, new - old);
            let change = MapChange::Map { start, len, prot, backing: Backing::Anonymous };
            self.change_map(at, user, &[change])?;
            let mut vma = Vma::anonymous(new, prot);
            vma.flags.locked = self.mms[at.mm].locks_future;
            self.insert_area(at, user, start, vma);
        }
        self.mms[at.mm].brk = wanted;
        Ok(())
    }
}
