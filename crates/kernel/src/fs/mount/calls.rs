//! mount(2): new file systems in memory, and new flags for what is mounted. Errors come in Linux's
//! order: copies (EFAULT), path, permission (EPERM), then what is asked for. What is not here is
//! refused loudly: file systems that are not here. Neighbours: `bind`
//! (MS_BIND, MS_MOVE), `super_block`, `umount`, `show`.

use super::tree::LOCK_ATIME;
use super::{MountId, dev};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::cgroup::CgroupRootFlags;
use crate::fs::namei::{AT_FDCWD, Found, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use linux_raw_sys::general as raw;

/// What a mount can be changed to later, beside what changes its kind.
const SB_FLAGS: u32 =
    raw::MS_RDONLY | raw::MS_SYNCHRONOUS | raw::MS_DIRSYNC | raw::MS_MANDLOCK | raw::MS_LAZYTIME;
/// MS_RMT_MASK, as far as it shows.
const RECONFIGURABLE: u32 =
    raw::MS_RDONLY | raw::MS_SYNCHRONOUS | raw::MS_MANDLOCK | raw::MS_LAZYTIME;
const ATIME: u32 = raw::MS_NOATIME | raw::MS_NODIRATIME | raw::MS_RELATIME;
const MNT_FLAGS: u32 =
    raw::MS_RDONLY | raw::MS_NOSUID | raw::MS_NODEV | raw::MS_NOEXEC | raw::MS_NOSYMFOLLOW;
const PROPAGATION: u32 = raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE;
/// MS_MGC_VAL and its mask: a mark of old callers.
const MS_MGC: (u32, u32) = (0xc0ed_0000, 0xffff_0000);

/// What mount(2) was asked for.
struct Request {
    source: Option<Vec<u8>>,
    fstype: Option<Vec<u8>>,
    /// What is at `source`, for who mounts something again.
    from: Option<Path>,
    at: Path,
    flags: u32,
    /// Flags of the mount.
    mnt_flags: u32,
    data: Vec<u8>,
}

/// path_mount(): the flags of the mount out of those of the call. Without a word about access
/// times they are updated relatively.
fn mnt_flags(flags: u32) -> u32 {
    let mut mnt = flags & (MNT_FLAGS | raw::MS_NOATIME | raw::MS_NODIRATIME);
    if flags & (raw::MS_NOATIME | raw::MS_STRICTATIME) == 0 {
        mnt |= raw::MS_RELATIME;
    }
    if flags & raw::MS_STRICTATIME != 0 {
        mnt &= !raw::MS_NOATIME;
    }
    mnt
}

impl Kernel {
    /// mount(2).
    pub fn sys_mount(&mut self, call: &mut Call<'_>) -> SysResult {
        let word = |call: &mut Call<'_>, at: UserPtr| match at.is_null() {
            true => Ok(None),
            false => call.read_cstr(at, 4096, Errno::EINVAL).map(Some),
        };
        let fstype = word(call, call.ptr(2))?;
        let source = word(call, call.ptr(0))?;
        let data = copy_mount_options(call, call.ptr(4))?;
        let path = call.read_path(call.ptr(1))?;
        let at = self.user_path_at(call.task, AT_FDCWD, &path, Lookup::FOLLOW, call.user)?;
        let mut flags = call.arg(3) as u32;
        if flags & MS_MGC.1 == MS_MGC.0 {
            flags &= !MS_MGC.1;
        }
        if flags & raw::MS_NOUSER != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.may_mount(call.task)?;
        let from =
            match (flags & raw::MS_REMOUNT, flags & (raw::MS_BIND | PROPAGATION | raw::MS_MOVE)) {
                (0, what) if what & raw::MS_BIND != 0 || what & PROPAGATION == 0 && what != 0 => {
                    let from =
                        source.as_deref().filter(|from| !from.is_empty()).ok_or(Errno::EINVAL)?;
                    Some(self.mount_source(call, from)?)
                }
                _ => None,
            };
        let mnt_flags = mnt_flags(flags);
        let request = Request { source, from, fstype, at, flags, mnt_flags, data };
        self.path_mount(call.task, request)?;
        Ok(0)
    }

    /// What MS_BIND or MS_MOVE is to show elsewhere.
    fn mount_source(&mut self, call: &mut Call<'_>, from: &[u8]) -> Result<Path, Errno> {
        match self.filename_lookup(call.task, AT_FDCWD, from, Lookup::FOLLOW, call.user)? {
            Found::Path(path) => Ok(path),
            Found::File(_) => Err(Errno::EINVAL),
            Found::Namespace(_) => {
                self.tell(Some(call.task), Fact::unsupported("mount", "MS_BIND of a namespace"));
                Err(Errno::EINVAL)
            }
        }
    }

    /// path_mount(): what the flags ask for.
    fn path_mount(&mut self, task: TaskId, request: Request) -> Result<(), Errno> {
        let flags = request.flags;
        let has = |flag: u32| flags & flag != 0;
        if has(raw::MS_REMOUNT) && has(raw::MS_BIND) {
            return self.do_reconfigure_mnt(task, &request);
        }
        if has(raw::MS_REMOUNT) {
            return self.do_remount(task, &request);
        }
        if has(raw::MS_BIND)
            && let Some(from) = request.from
        {
            return self.do_loopback(task, from, request.at, has(raw::MS_REC));
        }
        if has(PROPAGATION) {
            return self.do_change_type(task, &request);
        }
        if let Some(from) = request.from {
            return self.do_move_mount(task, from, request.at);
        }
        self.do_new_mount(task, request)
    }

    /// do_change_type(): how mounts hear of each other from now on.
    fn do_change_type(&mut self, task: TaskId, request: &Request) -> Result<(), Errno> {
        let propagation = request.flags & PROPAGATION;
        let known = PROPAGATION | raw::MS_REC | raw::MS_SILENT;
        if request.flags & !known != 0 || !propagation.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let mnt = self.mount_at(task, request.at)?;
        let all = match request.flags & raw::MS_REC {
            0 => vec![mnt],
            _ => self.vfs.mount_tree(mnt),
        };
        for mnt in all {
            self.vfs.change_mnt_propagation(mnt, propagation);
        }
        Ok(())
    }

    /// The mount whose root is `at`. EINVAL if it is no root of one
    /// in the namespace of `task`.
    pub(super) fn mount_at(&self, task: TaskId, at: Path) -> Result<MountId, Errno> {
        let here = self.vfs.is_mount_root(at) && self.check_mnt(task, at.mnt);
        if here { Ok(at.mnt) } else { Err(Errno::EINVAL) }
    }

    /// do_new_mount().
    fn do_new_mount(&mut self, task: TaskId, request: Request) -> Result<(), Errno> {
        let fstype = request.fstype.as_deref().ok_or(Errno::EINVAL)?;
        // MS_RDONLY of a new mount is the file system's; the mount's own follows it.
        let dev = self.get_tree(task, fstype, request.flags & SB_FLAGS, &request.data)?;
        let mounted = self.do_add_mount(task, dev, &request);
        if mounted.is_err() {
            self.deactivate_super(dev);
        }
        mounted
    }

    /// do_add_mount(): EBUSY for a file system on its own root.
    fn do_add_mount(&mut self, task: TaskId, dev: u32, request: &Request) -> Result<(), Errno> {
        self.mount_too_revealing(task, dev, request.mnt_flags)?;
        let at = self.lock_mount(request.at)?;
        if !self.check_mnt(task, at.mnt) {
            return Err(Errno::EINVAL);
        }
        if self.vfs.is_mount_root(at) && self.vfs.mounts[&at.mnt].dev == dev {
            return Err(Errno::EBUSY);
        }
        let source = request.source.clone().unwrap_or_else(|| b"none".to_vec());
        let root = match dev {
            dev::CGROUP2 => self.cgroup_mount_root(task)?,
            _one_root_for_all => self.vfs.supers[&dev].root,
        };
        let mnt = self.vfs.alloc_vfsmnt(dev, root, source, request.mnt_flags);
        self.graft_tree(mnt, at).inspect_err(|_| {
            self.umount_tree(mnt);
            self.release_detached();
        })
    }

    /// do_reconfigure_mnt(): MS_REMOUNT | MS_BIND changes the mount and not the file system.
    fn do_reconfigure_mnt(&mut self, task: TaskId, request: &Request) -> Result<(), Errno> {
        let mnt = self.mount_at(task, request.at)?;
        self.can_change_locked_flags(mnt, request)?;
        let readonly = request.flags & raw::MS_RDONLY != 0;
        if readonly && !self.vfs.mnt_has(mnt, raw::MS_RDONLY) && self.mnt_has_writers(mnt) {
            return Err(Errno::EBUSY);
        }
        self.set_mount_flags(mnt, request);
        Ok(())
    }

    /// What a mount's flags will be: where a change says nothing of access times, they stay as they
    /// are.
    fn changed_flags(&self, mnt: MountId, request: &Request) -> u32 {
        match request.flags & (ATIME | raw::MS_STRICTATIME) {
            0 => request.mnt_flags & !ATIME | self.vfs.mounts[&mnt].flags & ATIME,
            _ => request.mnt_flags,
        }
    }

    /// can_change_locked_flags(): EPERM for what another user namespace settled.
    fn can_change_locked_flags(&self, mnt: MountId, request: &Request) -> Result<(), Errno> {
        let (new, mount) = (self.changed_flags(mnt, request), &self.vfs.mounts[&mnt]);
        let atime = mount.locked_flags & LOCK_ATIME != 0 && (new ^ mount.flags) & ATIME != 0;
        let lost = mount.locked_flags & !LOCK_ATIME & !new != 0;
        if atime || lost { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// set_mount_attributes().
    fn set_mount_flags(&mut self, mnt: MountId, request: &Request) {
        let flags = self.changed_flags(mnt, request);
        self.vfs.mounts.get_mut(&mnt).expect("the caller found it").flags = flags;
    }

    /// do_remount(): the file system's flags and options, and the mount's. Only tmpfs and
    /// cgroup2 have options; others refuse theirs loudly.
    fn do_remount(&mut self, task: TaskId, request: &Request) -> Result<(), Errno> {
        let mnt = self.mount_at(task, request.at)?;
        self.can_change_locked_flags(mnt, request)?;
        let dev = self.vfs.mounts[&mnt].dev;
        self.may_reconfigure(task, dev)?;
        if self.vfs.shmem.contains_key(&dev) {
            let options = self.shmem_options(task, &request.data)?;
            self.check_remount_readonly(dev, request)?;
            self.vfs.shmem.get_mut(&dev).expect("looked up above").reconfigure(&options)?;
        } else if dev == dev::CGROUP2 {
            let flags = CgroupRootFlags::parse(&request.data)?;
            self.check_remount_readonly(dev, request)?;
            self.apply_cgroup_root_flags(task, flags);
        } else {
            if !request.data.is_empty() {
                let what = format!("remount {}", String::from_utf8_lossy(&request.data));
                self.tell(Some(task), Fact::unsupported("mount", what));
                return Err(Errno::EINVAL);
            }
            self.check_remount_readonly(dev, request)?;
        }
        let sb = self.vfs.supers.get_mut(&dev).expect("what is mounted has one");
        sb.flags = sb.flags & !RECONFIGURABLE | request.flags & RECONFIGURABLE;
        self.set_mount_flags(mnt, request);
        Ok(())
    }

    /// EPERM without CAP_SYS_ADMIN over the user namespace that a file system was made in.
    fn may_reconfigure(&self, task: TaskId, dev: u32) -> Result<(), Errno> {
        let owner = self.vfs.supers[&dev].user_ns;
        if self.ns_capable(task, owner, Cap::SysAdmin) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// do_umount_root().
    pub(super) fn sb_make_readonly(&mut self, task: TaskId, dev: u32) -> Result<(), Errno> {
        self.may_reconfigure(task, dev)?;
        if self.has_writers(dev) && self.vfs.supers[&dev].flags & raw::MS_RDONLY == 0 {
            return Err(Errno::EBUSY);
        }
        self.vfs.supers.get_mut(&dev).expect("what is mounted has one").flags |= raw::MS_RDONLY;
        Ok(())
    }

    /// reconfigure_super(): EBUSY for what is to be read-only while somebody writes.
    fn check_remount_readonly(&self, dev: u32, request: &Request) -> Result<(), Errno> {
        let was = self.vfs.supers[&dev].flags & raw::MS_RDONLY != 0;
        let wanted = request.flags & raw::MS_RDONLY != 0;
        if wanted && !was && self.has_writers(dev) { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// name_to_handle_at(2), open_by_handle_at(2): no file system here has handles.
    pub fn sys_name_to_handle_at(&mut self, call: &mut Call<'_>) -> SysResult {
        self.tell(Some(call.task), Fact::unsupported("file handles", ""));
        Err(Errno::EOPNOTSUPP.into())
    }
}

/// copy_mount_options(): up to a page, or to where memory ends; a string.
fn copy_mount_options(call: &mut Call<'_>, at: UserPtr) -> Result<Vec<u8>, Errno> {
    if at.is_null() {
        return Ok(Vec::new());
    }
    let mut page = vec![0; 4095];
    let got = call.user.read_user(call.guest, at, &mut page);
    if got == 0 {
        return Err(Errno::EFAULT);
    }
    page.truncate(got);
    let end = page.iter().position(|byte| *byte == 0).unwrap_or(page.len());
    page.truncate(end);
    Ok(page)
}
