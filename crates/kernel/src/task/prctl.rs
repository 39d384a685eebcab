//! prctl(2), arch_prctl(2), personality(2): one match over what a task may ask about itself. Options
//! that this kernel has not are told and answered as by a Linux without the feature.

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::mm::TASK_SIZE;
use crate::syscall::{Call, SysResult};
use linux_raw_sys::prctl as pr;

/// A personality that sees an old release in uname(2).
pub const UNAME26: u32 = 0x002_0000;
/// A personality whose select(2) leaves the time alone.
pub const STICKY_TIMEOUTS: u32 = 0x400_0000;
const ARCH_SET_GS: i32 = 0x1001;
const ARCH_SET_FS: i32 = 0x1002;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;
const ARCH_GET_CPUID: i32 = 0x1011;
const ARCH_SET_CPUID: i32 = 0x1012;
const ARCH_CET_STATUS: i32 = 0x3001;
const ARCH_SHSTK_STATUS: i32 = 0x5005;
/// The timer slack of the first task, in nanoseconds.
pub const TIMER_SLACK: u64 = 50_000;

impl Kernel {
    /// prctl(2).
    // tidy: long, because each arm is one option
    pub fn sys_prctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (option, task) = (call.arg(0) as u32, call.task);
        let args = [1, 2, 3, 4].map(|i| call.arg(i));
        let [arg2, rest @ ..] = args;
        let group = self.tasks[task].group;
        let einval = Err(Errno::EINVAL.into());
        if let Some(result) = self.cap_task_prctl(task, option, args) {
            return result;
        }
        match option {
            pr::PR_SET_PDEATHSIG => {
                self.tasks[task].pdeath_signal = match arg2 {
                    0 => None,
                    n => Some(Signal::new(n).ok_or(Errno::EINVAL)?),
                };
                Ok(0)
            }
            pr::PR_GET_PDEATHSIG => {
                let signal = self.tasks[task].pdeath_signal.map_or(0, |s| u32::from(s.number()));
                call.write_u32(call.ptr(1), signal)?;
                Ok(0)
            }
            pr::PR_SET_NAME => {
                let mut name = self.read_comm(call)?;
                name.truncate(15);
                self.tasks[task].comm = name;
                Ok(0)
            }
            pr::PR_GET_NAME => {
                let mut name = self.tasks[task].comm.clone();
                name.resize(16, 0);
                call.write_user(call.ptr(1), &name)?;
                Ok(0)
            }
            pr::PR_GET_DUMPABLE => Ok(self.mm_of(task).dumpable.into()),
            pr::PR_SET_DUMPABLE if arg2 <= 1 => {
                let mm = self.space(task).mm;
                self.mms[mm].dumpable = arg2 == 1;
                Ok(0)
            }
            pr::PR_SET_DUMPABLE => einval,
            pr::PR_SET_CHILD_SUBREAPER => {
                self.groups[group].is_child_subreaper = arg2 != 0;
                Ok(0)
            }
            pr::PR_GET_CHILD_SUBREAPER => {
                let is = self.groups[group].is_child_subreaper.into();
                call.write_u32(call.ptr(1), is)?;
                Ok(0)
            }
            pr::PR_SET_NO_NEW_PRIVS if arg2 == 1 && rest == [0; 3] => {
                self.tasks[task].no_new_privs = true;
                Ok(0)
            }
            pr::PR_SET_NO_NEW_PRIVS => einval,
            pr::PR_GET_NO_NEW_PRIVS if args == [0; 4] => Ok(self.tasks[task].no_new_privs.into()),
            pr::PR_GET_NO_NEW_PRIVS => einval,
            pr::PR_SET_TIMERSLACK => {
                self.tasks[task].timer_slack = match arg2 {
                    0 => self.tasks[task].default_timer_slack,
                    slack => slack,
                };
                Ok(0)
            }
            pr::PR_GET_TIMERSLACK => Ok(self.tasks[task].timer_slack),
            pr::PR_GET_SECCOMP => Ok(0),
            pr::PR_GET_TIMING => Ok(0), // PR_TIMING_STATISTICAL
            pr::PR_SET_TIMING if arg2 == 0 => Ok(0),
            pr::PR_GET_THP_DISABLE if args == [0; 4] => Ok(0),
            pr::PR_GET_TSC => {
                call.write_u32(call.ptr(1), pr::PR_TSC_ENABLE)?;
                Ok(0)
            }
            pr::PR_SET_TSC if arg2 == u64::from(pr::PR_TSC_ENABLE) => Ok(0),
            pr::PR_MCE_KILL_GET if args == [0; 4] => Ok(pr::PR_MCE_KILL_DEFAULT.into()),
            // CONFIG_ANON_VMA_NAME is off in many kernels; callers expect EINVAL.
            pr::PR_SET_VMA => einval,
            _ => {
                let loud = Fact::unsupported("prctl", format!("option {option}, {args:x?}"));
                self.tell(Some(task), loud);
                einval
            }
        }
    }

    /// PR_SET_NAME's argument: up to 16 bytes, which need not end in a NUL.
    fn read_comm(&mut self, call: &mut Call<'_>) -> Result<Vec<u8>, Errno> {
        let mut name = Vec::new();
        for i in 0..15 {
            match call.read_array::<1>(call.ptr(1).add(i))?[0] {
                0 => break,
                byte => name.push(byte),
            }
        }
        Ok(name)
    }

    /// arch_prctl(2).
    pub fn sys_arch_prctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (option, addr) = (call.int(0), call.arg(1));
        let regs = &mut self.tasks[call.task].regs;
        match option {
            ARCH_SET_FS | ARCH_SET_GS if addr >= TASK_SIZE => return Err(Errno::EPERM.into()),
            ARCH_SET_FS => regs.fs_base = addr,
            ARCH_SET_GS => regs.gs_base = addr,
            ARCH_GET_FS => {
                let base = regs.fs_base;
                call.write_u64(call.ptr(1), base)?;
            }
            ARCH_GET_GS => {
                let base = regs.gs_base;
                call.write_u64(call.ptr(1), base)?;
            }
            // As where the CPU cannot fault on cpuid: it is always allowed, and can't be forbidden.
            ARCH_GET_CPUID => return Ok(1),
            ARCH_SET_CPUID => return Err(Errno::ENODEV.into()),
            // glibc asks at start; a CPU or kernel without shadow stacks says EINVAL.
            ARCH_CET_STATUS | ARCH_SHSTK_STATUS => return Err(Errno::EINVAL.into()),
            _ => {
                let loud = Fact::unsupported("arch_prctl", format!("option {option:#x}"));
                self.tell(Some(call.task), loud);
                return Err(Errno::EINVAL.into());
            }
        }
        Ok(0)
    }

    /// personality(2): the number is stored and told. UNAME26 and STICKY_TIMEOUTS are obeyed; what
    /// else there is concerns the layout, which is fixed here, and systems that nobody runs. Two flags
    /// would be seen and are not obeyed (loudly).
    pub fn sys_personality(&mut self, call: &mut Call<'_>) -> SysResult {
        const QUERY: u32 = 0xffff_ffff;
        const MMAP_PAGE_ZERO: u32 = 0x010_0000;
        const READ_IMPLIES_EXEC: u32 = 0x040_0000;
        let new = call.arg(0) as u32;
        let old = self.tasks[call.task].personality;
        if new != QUERY {
            if new & (MMAP_PAGE_ZERO | READ_IMPLIES_EXEC) != 0 {
                self.tell(Some(call.task), Fact::unsupported("personality", format!("{new:#x}")));
            }
            self.tasks[call.task].personality = new;
        }
        Ok(u64::from(old))
    }
}
