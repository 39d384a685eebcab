//! ioctl(2): what every file knows (do_vfs_ioctl), then the file's own (`file_ioctl`). A command
//! that nobody knows is ENOTTY; loudly, unless it asks a file that is no terminal whether it is
//! one. Neighbours: `console` (terminal commands), `net/socket`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::file::{FileId, FileKind};
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use linux_raw_sys::ioctl as raw;

impl Kernel {
    /// ioctl(2).
    pub fn sys_ioctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (fd, cmd, arg) = (call.int(0), call.arg(1) as u32, call.arg(2));
        let file = self.fdget(call, fd)?;
        match cmd {
            raw::FIOCLEX | raw::FIONCLEX => {
                self.table_mut(call.task).set_close_on_exec(fd, cmd == raw::FIOCLEX);
                Ok(0)
            }
            raw::FIONBIO => {
                let on = call.read_u32(call.ptr(2))? != 0;
                self.set_file_flag(file, OFlags::NONBLOCK, on);
                Ok(0)
            }
            raw::FIOASYNC => {
                let on = call.read_u32(call.ptr(2))? != 0;
                if on == self.files[file].flags.has(OFlags::ASYNC) {
                    return Ok(0);
                }
                if self.fasync_of(file).is_some() {
                    self.fasync_helper(call.task, fd, file, on);
                    return Ok(0);
                }
                // What a file without .fasync says; the console has one on Linux.
                if matches!(self.files[file].kind, FileKind::Console(_)) {
                    self.tell(Some(call.task), Fact::unsupported("ioctl FIOASYNC", "the console"));
                }
                Err(Errno::ENOTTY.into())
            }
            _ => self.file_ioctl(call, file, cmd, arg),
        }
    }

    fn set_file_flag(&mut self, file: FileId, flag: OFlags, on: bool) {
        let flags = &mut self.files[file].flags.0;
        *flags = if on { *flags | flag.0 } else { *flags & !flag.0 };
    }

    /// pipe_ioctl(): FIONREAD.
    pub fn pipe_ioctl(&mut self, call: &mut Call<'_>, pipe: PipeId, cmd: u32) -> SysResult {
        if cmd != raw::FIONREAD {
            return self.no_ioctl(call, cmd);
        }
        let bytes = self.pipes[pipe].len() as u32;
        call.write_u32(call.ptr(2), bytes)?;
        Ok(0)
    }

    /// ENOTTY: the file does not know the command. Terminal commands (0x54..) are how programs
    /// ask whether something is a terminal: no news.
    pub fn no_ioctl(&mut self, call: &Call<'_>, cmd: u32) -> SysResult {
        if (cmd >> 8) & 0xff != 0x54 {
            self.tell(Some(call.task), Fact::unsupported("ioctl", format!("{cmd:#x}")));
        }
        Err(Errno::ENOTTY.into())
    }
}
