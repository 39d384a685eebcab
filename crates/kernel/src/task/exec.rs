//! execve(2), in Linux's order: the file is opened and read as far as its format shows
//! (`prepare_binprm`), the other threads are killed and awaited (`de_thread`), then the point of no
//! return: a fresh guest takes the place of the old one, descriptors marked close-on-exec close,
//! handlers are reset, the image is mapped. Rules S-40, X-16, X-32, F-8. Neighbours: `binprm` (what
//! is read), `elf`, `binfmt_script`, `mm/stack`, `exit` (mm_release).

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::kernel::Kernel;
use crate::mm::stack::{self, AuxInfo, Stack};
use crate::mm::{ELF_ET_DYN_BASE, Mm, PAGE_SIZE, Pin, Space, Vma, page_align};
use crate::platform::{Backing, GuestId, MapChange, Platform, Registers, UserPtr};
use crate::syscall::{Call, Progress, Stop, SysResult, Wait};
use crate::task::binprm::{Binprm, Image};
use crate::task::elf::{PHDR_SIZE, Plan, Step};
use crate::task::rlimit::RLIMIT_STACK;
use crate::task::signal::{AltStack, SigHand};
use crate::task::{TaskId, WaitStatus};
use crate::wait_queue::Event;
use linux_raw_sys::general as lx;

/// USER_CS and USER_DS as 64-bit programs see them.
const USER_CS: u64 = 0x33;
const USER_DS: u64 = 0x2b;
/// The stack is mapped whole: at most this much where RLIMIT_STACK says "unlimited".
const STACK_MAX: u64 = 64 << 20;
/// And at least this much, with room for the arguments.
const STACK_MIN: u64 = 128 << 10;

impl Kernel {
    /// execve(2).
    pub fn sys_execve(&mut self, call: &mut Call<'_>) -> SysResult {
        if let Some(bprm) = resumed(call) {
            return self.bprm_execve(call, bprm);
        }
        let path = call.read_path(call.ptr(0))?;
        let (argv, envp) = self.copy_strings(call, call.ptr(1), call.ptr(2), &path)?;
        let file = self.open_exec(call.task, &path, call.user)?;
        let bprm = self.prepare_binprm(call, path, file, argv, envp)?;
        self.bprm_execve(call, bprm)
    }

    /// execveat(2). With AT_EMPTY_PATH the program is the descriptor itself (fexecve), and a script
    /// is told to read /dev/fd/N; ENOENT if that will be closed by then.
    pub fn sys_execveat(&mut self, call: &mut Call<'_>) -> SysResult {
        if let Some(bprm) = resumed(call) {
            return self.bprm_execve(call, bprm);
        }
        let (dfd, flags) = (call.int(0), call.arg(4) as u32);
        if flags & !(lx::AT_EMPTY_PATH | lx::AT_SYMLINK_NOFOLLOW) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = call.read_path(call.ptr(1))?;
        let follow = flags & lx::AT_SYMLINK_NOFOLLOW == 0;
        let empty = flags & lx::AT_EMPTY_PATH != 0;
        let lookup = Lookup { follow, empty, ..Lookup::FOLLOW };
        let shown = match &path[..] {
            _ if path.starts_with(b"/") || dfd == AT_FDCWD => path.clone(),
            b"" => format!("/dev/fd/{dfd}").into_bytes(),
            _ => [format!("/dev/fd/{dfd}/").as_bytes(), &path].concat(),
        };
        let (argv, envp) = self.copy_strings(call, call.ptr(2), call.ptr(3), &shown)?;
        let file = self.open_exec_at(call.task, dfd, &path, lookup, call.user)?;
        if shown != path && self.table(call.task).close_on_exec(dfd) {
            self.check_path_accessible(call, file)?;
        }
        let bprm = self.prepare_binprm(call, shown, file, argv, envp)?;
        self.bprm_execve(call, bprm)
    }

    /// What comes after everything was read and checked.
    fn bprm_execve(&mut self, call: &mut Call<'_>, bprm: Box<Binprm>) -> SysResult {
        if let Err(stop) = self.de_thread(call.task) {
            call.flight.progress = Progress::Exec(bprm);
            return Err(stop);
        }
        let guest = call.user.spawn()?;
        self.tell(Some(call.task), bprm.fact());
        if self.start_program(call.task, guest, &bprm, call.user).is_err() {
            // Past the point of no return Linux has nothing better than SIGSEGV (bprm_execve).
            self.do_group_exit(call.task, WaitStatus::killed(Signal::SIGSEGV), call.user);
        }
        Err(Stop::NoReturn)
    }

    /// From the point of no return on: `task` becomes what `bprm` says, in `guest`.
    pub(crate) fn start_program(
        &mut self,
        task: TaskId,
        guest: GuestId,
        bprm: &Binprm,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        self.begin_new_exec(task, guest, bprm, user);
        self.load_elf_binary(task, bprm, user)
    }

    /// de_thread(): the other threads are killed; when they are gone the caller is the leader and
    /// has the process's number (rule X-32). EAGAIN if another exec or an exit was first.
    fn de_thread(&mut self, task: TaskId) -> Result<(), Stop> {
        let group = self.tasks[task].group;
        let g = &mut self.groups[group];
        if g.group_exit.is_some() || g.group_exec_task.is_some_and(|t| t != task) {
            return Err(Errno::EAGAIN.into());
        }
        if g.tasks.len() > 1 && g.group_exec_task.is_none() {
            g.group_exec_task = Some(task);
            self.zap_other_threads(task);
        }
        let old_leader = self.groups[group].leader;
        let others = self.groups[group].tasks.iter().copied().filter(|t| *t != task);
        let alive = others.filter(|t| *t != old_leader || !self.is_zombie(*t)).count();
        if alive > 0 {
            let wait = Wait::on(Event::Group(group));
            return Err(Wait { killable: true, ..wait }.into());
        }
        if old_leader != task {
            self.take_over_leader(task, old_leader);
        }
        let g = &mut self.groups[group];
        g.group_exec_task = None;
        g.curr_target = task;
        g.exit_signal = Some(Signal::SIGCHLD);
        Ok(())
    }

    /// The caller becomes the leader: number, start time, children; the old leader is released.
    fn take_over_leader(&mut self, task: TaskId, old_leader: TaskId) {
        let group = self.tasks[task].group;
        let tgid = self.groups[group].tgid;
        let old_tid = self.tasks[task].tid;
        let leader = &mut self.tasks[old_leader];
        let (start_time, children) = (leader.start_time, core::mem::take(&mut leader.children));
        leader.tid = old_tid;
        self.pids.attach(old_tid, old_leader);
        self.pids.attach(tgid, task);
        let t = &mut self.tasks[task];
        t.tid = tgid;
        t.start_time = start_time;
        t.children = children;
        self.groups[group].leader = task;
        self.release_thread(old_leader);
    }

    /// begin_new_exec(): nothing of the old program is left but what exec keeps.
    fn begin_new_exec(
        &mut self,
        task: TaskId,
        guest: GuestId,
        bprm: &Binprm,
        user: &mut dyn Platform,
    ) {
        // Unlike Linux, which fails with EMFILE where fs.nr_open became too small, it is shared then.
        let _ = self.unshare_files(task);
        self.exec_mmap(task, guest, bprm, user);
        self.timens_on_fork(task); // exec_task_namespaces()
        self.exit_itimers(task);
        self.unshare_sighand(task);
        let sighand = self.groups[self.tasks[task].group].sighand;
        self.sighands[sighand].flush_signal_handlers(); // rule S-40
        self.do_close_on_exec(task);
        let t = &mut self.tasks[task];
        t.sas_ss = AltStack::default();
        t.comm = bprm.comm();
        if bprm.secure {
            t.pdeath_signal = None;
        }
        t.cred = bprm.cred.clone();
        t.restart_block = None;
        let group = t.group;
        self.groups[group].did_exec = true;
        self.groups[group].self_exec_id += 1;
    }

    /// unshare_sighand(): so are dispositions.
    fn unshare_sighand(&mut self, task: TaskId) {
        let group = self.tasks[task].group;
        let shared = self.groups[group].sighand;
        if self.sighands[shared].users > 1 {
            self.sighands[shared].users -= 1;
            let copy = SigHand { users: 1, ..self.sighands[shared].clone() };
            self.groups[group].sighand = self.sighands.insert(copy);
        }
    }

    /// exec_mmap(): the task leaves its old address space for an empty one in a fresh guest.
    fn exec_mmap(&mut self, task: TaskId, guest: GuestId, bprm: &Binprm, user: &mut dyn Platform) {
        self.mm_release(task, user);
        self.files[bprm.image.file].count += 1;
        let mut mm = Mm::new(user.user_range());
        mm.exe_file = Some(bprm.image.file);
        mm.user_ns = self.tasks[task].cred.user_ns;
        let mm = self.mms.insert(mm);
        let t = &mut self.tasks[task];
        let (old_mm, old_guest) = (t.mm.replace(mm), t.guest.replace(guest));
        t.rseq = None;
        t.crashes_at = None;
        if let Some(old) = old_guest {
            user.release(old);
        }
        if let Some(old) = old_mm {
            self.mmput(task, old, user);
        }
    }

    /// load_elf_binary() after the point of no return: image, interpreter, stack, registers.
    fn load_elf_binary(
        &mut self,
        task: TaskId,
        bprm: &Binprm,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let at = self.space(task);
        let stack = self.map_stack(at, bprm, user)?;
        let base = self.choose_base(at, bprm)?;
        let plan = bprm.image.elf.plan(base)?;
        self.map_image(at, &bprm.image, &plan, user)?;
        let interp = match &bprm.interpreter {
            Some(image) => {
                let (low, high) = image.elf.span()?;
                let load = if image.elf.header.is_dyn {
                    self.mms[at.mm].get_unmapped_area(0, high - low)?.wrapping_sub(low)
                } else {
                    0
                };
                let plan = image.elf.plan(load)?;
                self.map_image(at, image, &plan, user)?;
                Some(plan)
            }
            None => None,
        };
        self.set_layout(at, bprm, &plan, &stack);
        let stack = self.create_elf_tables(at, bprm, &plan, interp.as_ref(), user);
        if user.write_user(at.guest, UserPtr(stack.sp), &stack.bytes) != stack.bytes.len() {
            return Err(Errno::EFAULT);
        }
        self.start_thread(task, interp.as_ref().map_or(plan.entry, |i| i.entry), stack.sp);
        let mm = &mut self.mms[at.mm];
        (mm.arg_start, mm.arg_end) = (stack.arg_start, stack.arg_end);
        (mm.env_start, mm.env_end) = (stack.env_start, stack.env_end);
        mm.start_stack = stack.sp;
        mm.saved_auxv = stack.auxv;
        Ok(())
    }

    /// The whole stack, unlike Linux, which lets it grow. Returns its range.
    fn map_stack(
        &mut self,
        at: Space,
        bprm: &Binprm,
        user: &mut dyn Platform,
    ) -> Result<(u64, u64), Errno> {
        let top = self.mms[at.mm].stack_top();
        let strings = stack::strings_size(&bprm.argv) + stack::strings_size(&bprm.envp);
        let strings = page_align(strings as u64).ok_or(Errno::E2BIG)?;
        let limit = self.rlimit(at.task, RLIMIT_STACK).min(STACK_MAX) & !(PAGE_SIZE - 1);
        let len = limit.max(STACK_MIN + strings);
        let start = top - len;
        let prot = if bprm.image.elf.executable_stack() { 7 } else { 3 };
        let change = MapChange::Map { start, len, prot, backing: Backing::Anonymous };
        self.change_map(at, user, &[change])?;
        let mut vma = Vma::anonymous(top, prot);
        vma.flags.growsdown = true;
        self.insert_area(at, user, start, vma);
        Ok((start, top))
    }

    /// The load bias: 0 for fixed programs; programs with an interpreter at ELF_ET_DYN_BASE;
    /// static-pie ones (and interpreters run as programs) where mmap would put them.
    fn choose_base(&self, at: Space, bprm: &Binprm) -> Result<u64, Errno> {
        let elf = &bprm.image.elf;
        if !elf.header.is_dyn {
            return Ok(0);
        }
        let (low, high) = elf.span()?;
        let align = elf.alignment();
        let base = if bprm.interpreter.is_some() {
            ELF_ET_DYN_BASE
        } else {
            let extra = if align > PAGE_SIZE { align } else { 0 };
            let len = (high - low).checked_add(extra).ok_or(Errno::ENOMEM)?;
            self.mms[at.mm].get_unmapped_area(0, len)?.checked_next_multiple_of(align).unwrap_or(0)
        };
        Ok((base & !(align - 1)).wrapping_sub(low))
    }

    /// Maps what a plan says, in one batch, then clears the rests of pages.
    fn map_image(
        &mut self,
        at: Space,
        image: &Image,
        plan: &Plan,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let mut changes = Vec::new();
        let mut areas = Vec::new();
        let range = self.mms[at.mm].range;
        for step in &plan.steps {
            let (start, len, prot) = match *step {
                Step::File { start, len, prot, .. } | Step::Zero { start, len, prot } => {
                    (start, len, prot)
                }
                Step::Clear { .. } => continue,
            };
            let mut vma = Vma::anonymous(start + len, prot);
            if let Step::File { offset, .. } = *step {
                vma.backing = self.mmap_backing(image.file, offset, false, user)?;
                vma.pin = Some(Pin::File(image.file));
                vma.offset = offset;
            }
            if start < range.0 || vma.end > range.1 {
                return Err(Errno::EPERM);
            }
            if vma.is_charged() {
                self.vm_enough_memory(len, user)?;
            }
            changes.push(MapChange::Map { start, len, prot, backing: vma.backing.clone() });
            areas.push((start, vma));
        }
        self.change_map(at, user, &changes)?;
        for (start, vma) in areas {
            self.insert_area(at, user, start, vma);
        }
        for step in &plan.steps {
            if let Step::Clear { start, len, must } = *step {
                let zeroes = vec![0; len as usize];
                let cleared = user.write_user(at.guest, UserPtr(start), &zeroes);
                if must && cleared != zeroes.len() {
                    return Err(Errno::EFAULT);
                }
            }
        }
        Ok(())
    }

    /// Where code and heap are.
    fn set_layout(&mut self, at: Space, bprm: &Binprm, plan: &Plan, stack: &(u64, u64)) {
        let mm = &mut self.mms[at.mm];
        mm.start_code = plan.start_code;
        mm.end_code = plan.end_code;
        (mm.start_data, mm.end_data) = (plan.start_data, plan.end_data);
        // A static-pie program lies among the mappings, where a heap has no room to grow.
        let among_mappings = bprm.image.elf.header.is_dyn && bprm.interpreter.is_none();
        mm.start_brk = if among_mappings { ELF_ET_DYN_BASE } else { plan.end };
        mm.brk = mm.start_brk;
        mm.start_stack = stack.1 - PAGE_SIZE;
    }

    /// create_elf_tables(): the stack's bytes.
    fn create_elf_tables(
        &mut self,
        at: Space,
        bprm: &Binprm,
        plan: &Plan,
        interp: Option<&Plan>,
        user: &mut dyn Platform,
    ) -> Stack {
        let (hwcap, hwcap2) = user.hwcap();
        let group = self.tasks[at.task].group;
        let mut random = [0; 16];
        self.groups[group].random.fill(&mut random);
        let cred = &self.tasks[at.task].cred;
        // get_sigframe_size(): frame, padding, extended state with its end mark, legacy FSAVE.
        let xstate = user.xstate(at.guest).len() as u64;
        let aux = AuxInfo {
            phdr: plan.phdr,
            phent: PHDR_SIZE as u64,
            phnum: u64::from(bprm.image.elf.header.phnum),
            base: interp.map_or(0, |i| i.bias),
            entry: plan.entry,
            uid: self.uid_seen_by(at.task, cred.uid),
            euid: self.uid_seen_by(at.task, cred.euid),
            gid: self.gid_seen_by(at.task, cred.gid),
            egid: self.gid_seen_by(at.task, cred.egid),
            secure: bprm.secure,
            random,
            hwcap,
            hwcap2,
            minsigstksz: (440 + 15 + xstate + 4 + 112 + 63 + 15) & !15,
        };
        stack::build(self.mms[at.mm].stack_top(), &bprm.execfn, &bprm.argv, &bprm.envp, &aux)
    }

    /// start_thread(): all registers zero but these.
    fn start_thread(&mut self, task: TaskId, entry: u64, sp: u64) {
        self.tasks[task].regs = Registers {
            rip: entry,
            rsp: sp,
            cs: USER_CS,
            ss: USER_DS,
            eflags: 0x200,
            orig_rax: u64::MAX,
            ..Registers::default()
        };
    }
}

/// What an exec that waits for other threads has prepared.
pub(crate) fn resumed(call: &mut Call<'_>) -> Option<Box<Binprm>> {
    match core::mem::take(&mut call.flight.progress) {
        Progress::Exec(bprm) => Some(bprm),
        other => {
            call.flight.progress = other;
            None
        }
    }
}
