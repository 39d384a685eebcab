//! `linux_binprm`: everything that an exec reads before the point of no return: arguments, the
//! chain of `#!` scripts, the program's and its interpreter's headers, the credentials to come.
//! Neighbours: `exec` (what is done with it), `fs` (open_exec, kernel_read). execve(2), ERRORS.

use crate::abi::Errno;
use crate::fact::{Fact, TaskFact};
use crate::fs::file::FileId;
use crate::fs::inode::Inode;
use crate::kernel::Kernel;
use crate::platform::{Platform, UserPtr};
use crate::syscall::{Call, Held};
use crate::task::binfmt_script::{BINPRM_BUF_SIZE, Script};
use crate::task::elf::{EHDR_SIZE, Elf, Header};
use crate::task::rlimit::RLIMIT_STACK;
use crate::task::user_namespace::IdKind;
use crate::task::{Cred, TaskId};
use linux_raw_sys::general::{MS_NOSUID, S_ISGID, S_ISUID, S_IXGRP};

/// MAX_ARG_STRLEN: one string with its NUL.
const MAX_ARG_STRLEN: usize = 32 * 4096;
/// ARG_MAX: what is allowed however small the stack.
const ARG_MAX: u64 = 128 << 10;
/// Three quarters of _STK_LIM: the most that arguments ever take.
const ARG_LIMIT: u64 = 6 << 20;
/// How often exec_binprm() goes round for scripts.
const MAX_SCRIPTS: usize = 5;
/// No descriptor: files that exec holds for itself.
const NO_FD: i32 = i32::MIN;

/// Arguments or environment.
pub(crate) type Strings = Vec<Vec<u8>>;

/// An open executable with its headers.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Image {
    pub path: Vec<u8>,
    pub file: FileId,
    pub elf: Elf,
}

/// linux_binprm.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Binprm {
    /// The path that exec was given: AT_EXECFN, comm.
    pub execfn: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
    pub image: Image,
    pub interpreter: Option<Image>,
    pub cred: Cred,
    /// AT_SECURE.
    pub secure: bool,
}

impl Binprm {
    /// The new comm: the last component, cut to 15 bytes (TASK_COMM_LEN).
    pub fn comm(&self) -> Vec<u8> {
        let name = self.execfn.rsplit(|b| *b == b'/').next().unwrap_or_default();
        name[..name.len().min(15)].to_vec()
    }

    /// For the story.
    pub fn fact(&self) -> Fact {
        TaskFact::Exec {
            path: self.execfn.clone(),
            argv: self.argv.clone(),
            interpreter: self.interpreter.as_ref().map(|i| i.path.clone()),
        }
        .into()
    }
}

/// What exec needs beside the file: who calls, and a place that keeps files for the call's length.
pub(crate) struct Opener<'a> {
    pub task: TaskId,
    pub user: &'a mut dyn Platform,
    pub held: &'a mut Vec<Held>,
}

impl Opener<'_> {
    /// The call holds `file` from now on.
    fn hold(&mut self, file: FileId) -> FileId {
        self.held.push(Held { fd: NO_FD, file });
        file
    }
}

impl Kernel {
    /// copy_strings() for both vectors; E2BIG as bprm_stack_limits() has it.
    pub(crate) fn copy_strings(
        &mut self,
        call: &mut Call<'_>,
        argv: UserPtr,
        envp: UserPtr,
        path: &[u8],
    ) -> Result<(Strings, Strings), Errno> {
        let quarter = self.rlimit(call.task, RLIMIT_STACK) / 4;
        let mut room = quarter.clamp(ARG_MAX, ARG_LIMIT);
        room = room.checked_sub(path.len() as u64 + 1).ok_or(Errno::E2BIG)?;
        let mut argv = read_vector(call, argv, &mut room)?;
        let envp = read_vector(call, envp, &mut room)?;
        if argv.is_empty() {
            // Since 5.18 no program starts without argv[0].
            argv.push(Vec::new());
        }
        Ok((argv, envp))
    }

    /// BINPRM_FLAGS_PATH_INACCESSIBLE: a script that its interpreter could not open is ENOENT.
    pub(crate) fn check_path_accessible(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
    ) -> Result<(), Errno> {
        let mut buf = vec![0; BINPRM_BUF_SIZE];
        let got = self.kernel_read(file, 0, &mut buf, call.user);
        let script = got.and_then(|got| Script::parse(&buf[..got]));
        if let Ok(None) = script {
            return Ok(());
        }
        call.flight.held.push(Held { fd: NO_FD, file });
        Err(script.err().unwrap_or(Errno::ENOENT))
    }

    /// bprm_execve() up to the point of no return, for a file that is open.
    pub(crate) fn prepare_binprm(
        &mut self,
        call: &mut Call<'_>,
        execfn: Vec<u8>,
        file: FileId,
        argv: Vec<Vec<u8>>,
        envp: Vec<Vec<u8>>,
    ) -> Result<Box<Binprm>, Errno> {
        let held = &mut call.flight.held;
        let opener = Opener { task: call.task, user: &mut *call.user, held };
        self.search_binary_handler(opener, execfn, file, argv, envp).map(Box::new)
    }

    /// exec_binprm(): scripts are replaced by their interpreters until an ELF program is found.
    pub(crate) fn search_binary_handler(
        &mut self,
        mut opener: Opener<'_>,
        execfn: Vec<u8>,
        file: FileId,
        mut argv: Vec<Vec<u8>>,
        envp: Vec<Vec<u8>>,
    ) -> Result<Binprm, Errno> {
        let mut file = opener.hold(file);
        let mut path = execfn.clone();
        for _ in 0..=MAX_SCRIPTS {
            let mut buf = vec![0; BINPRM_BUF_SIZE];
            let got = self.kernel_read(file, 0, &mut buf, opener.user)?;
            buf.truncate(got);
            let Some(script) = Script::parse(&buf)? else {
                let (cred, secure) = self.bprm_creds_from_file(opener.task, file);
                let (image, interpreter) = self.read_elf(&mut opener, path, file, &buf)?;
                return Ok(Binprm { execfn, argv, envp, image, interpreter, cred, secure });
            };
            // argv[0] gives way to: interpreter, its argument, the script's path.
            let mut line = vec![script.interpreter.clone()];
            line.extend(script.argument);
            line.push(path);
            argv.splice(..1, line);
            let opened = self.open_exec(opener.task, &script.interpreter, opener.user)?;
            file = opener.hold(opened);
            path = script.interpreter;
        }
        Err(Errno::ELOOP)
    }

    /// load_elf_binary() as far as nothing is changed yet.
    fn read_elf(
        &mut self,
        opener: &mut Opener<'_>,
        path: Vec<u8>,
        file: FileId,
        buf: &[u8],
    ) -> Result<(Image, Option<Image>), Errno> {
        if Header::is_foreign(buf) {
            let loud = Fact::unsupported("execve", "an ELF program for another machine");
            self.tell(Some(opener.task), loud);
        }
        let elf = self.load_elf_phdrs(file, buf, opener.user)?;
        let Some(segment) = elf.interp() else {
            return Ok((Image { path, file, elf }, None));
        };
        if segment.filesz > 4096 || segment.filesz < 2 {
            return Err(Errno::ENOEXEC);
        }
        let mut interp_path = vec![0; segment.filesz as usize];
        self.elf_read(file, segment.offset, &mut interp_path, opener.user)?;
        if interp_path.pop() != Some(0) {
            return Err(Errno::ENOEXEC);
        }
        let end = interp_path.iter().position(|b| *b == 0);
        interp_path.truncate(end.unwrap_or(interp_path.len()));
        let opened = self.open_exec(opener.task, &interp_path, opener.user)?;
        let interp = opener.hold(opened);
        let mut head = vec![0; EHDR_SIZE];
        self.elf_read(interp, 0, &mut head, opener.user)?;
        let interp_elf = self.load_elf_phdrs(interp, &head, opener.user);
        let interp_elf = interp_elf.map_err(|_| Errno::ELIBBAD)?;
        let interpreter = Image { path: interp_path, file: interp, elf: interp_elf };
        Ok((Image { path, file, elf }, Some(interpreter)))
    }

    fn load_elf_phdrs(
        &mut self,
        file: FileId,
        head: &[u8],
        user: &mut dyn Platform,
    ) -> Result<Elf, Errno> {
        let header = Header::parse(head)?;
        let mut bytes = vec![0; header.phdrs_len()];
        self.elf_read(file, header.phoff, &mut bytes, user).map_err(|_| Errno::ENOEXEC)?;
        Ok(Elf::parse(header, &bytes))
    }

    /// kernel_read(): bytes of a file that exec has open.
    fn kernel_read(
        &mut self,
        file: FileId,
        offset: u64,
        into: &mut [u8],
        user: &mut dyn Platform,
    ) -> Result<usize, Errno> {
        let inode = self.file_inode(file).ok_or(Errno::EACCES)?;
        self.vfs_read_at(inode, offset, into, user)
    }

    /// bprm_creds_from_file(): set-user-ID and set-group-ID programs, unless PR_SET_NO_NEW_PRIVS; the
    /// saved ids follow the effective ones at every exec. The second value is AT_SECURE.
    fn bprm_creds_from_file(&self, task: TaskId, file: FileId) -> (Cred, bool) {
        let mut cred = self.tasks[task].cred.clone();
        let inode = self.file_inode(file).map(|inode| &self.vfs.inodes[inode]);
        let path = self.files[file].path;
        // mnt_may_suid(): neither what somebody below mounted counts.
        let nosuid = path.is_some_and(|path| {
            let sb = self.vfs.super_of(self.vfs.mounts[&path.mnt].dev);
            let users = &self.namespaces.user;
            self.vfs.mnt_has(path.mnt, MS_NOSUID)
                || sb.is_some_and(|sb| !users.is_within(cred.user_ns, sb.user_ns))
        });
        let may_gain = !self.tasks[task].no_new_privs && !nosuid;
        // The ids must be known where the program runs.
        let users = &self.namespaces.user;
        let known = |inode: &&Inode| {
            users.from_kid(cred.user_ns, IdKind::User, inode.uid).is_some()
                && users.from_kid(cred.user_ns, IdKind::Group, inode.gid).is_some()
        };
        let inode = inode.filter(|_| may_gain).filter(known);
        if let Some(inode) = inode {
            if inode.mode & S_ISUID != 0 {
                cred.euid = inode.uid;
            }
            // Without the group's execute bit, setgid means mandatory locking.
            if inode.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP {
                cred.egid = inode.gid;
            }
        }
        (cred.suid, cred.fsuid) = (cred.euid, cred.euid);
        (cred.sgid, cred.fsgid) = (cred.egid, cred.egid);
        let old = &self.tasks[task].cred;
        let root = users.make_kid(cred.user_ns, IdKind::User, 0);
        cred.cap_bprm_creds_from_file(cred.euid != old.euid || cred.egid != old.egid, root);
        let secure = cred.uid != cred.euid || cred.gid != cred.egid;
        (cred, secure)
    }

    /// elf_read(): all of it or EIO.
    fn elf_read(
        &mut self,
        file: FileId,
        offset: u64,
        into: &mut [u8],
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        if offset > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        let got = self.kernel_read(file, offset, into, user)?;
        if got == into.len() { Ok(()) } else { Err(Errno::EIO) }
    }
}

/// A NULL-terminated vector of strings; each takes its bytes and a pointer from `room`.
fn read_vector(
    call: &mut Call<'_>,
    vector: UserPtr,
    room: &mut u64,
) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if vector.is_null() {
        return Ok(strings);
    }
    loop {
        let pointer = call.read_u64(vector.add(8 * strings.len() as u64))?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = call.read_cstr(UserPtr(pointer), MAX_ARG_STRLEN, Errno::E2BIG)?;
        let cost = string.len() as u64 + 1 + 8;
        *room = room.checked_sub(cost).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}
