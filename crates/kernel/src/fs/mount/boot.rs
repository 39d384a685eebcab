//! What is mounted when a host boots: the overlay over the machine's files at `/`, processes at
//! `/proc`, devices at `/dev`, shared memory at `/dev/shm`, a small `/sys`; and the files that must
//! not be the machine's (names that resolve, the host's name). Neighbours: `dcache`, `overlay`,
//! `calls` (what is mounted later).

use crate::arena::Arena;
use crate::fs::cgroup::{self, CgroupRootFlags};
use crate::fs::dcache::{Child, Dentry, DentryId, Vfs};
use crate::fs::file_bytes::FileBytes;
use crate::fs::inode::{Device, InodeKind};
use crate::fs::loop_device::LOOP_MIN_COUNT;
use crate::fs::mount::namespace::{MntNamespaces, MntNs};
use crate::fs::mount::{MountId, SuperBlock, tmpfs};
use crate::fs::path::Path;
use crate::kernel::Config;
use crate::task::pid_namespace::PidNs;
use crate::task::user_namespace::UserNs;
use crate::time::Instant;
use core::net::IpAddr;
use linux_raw_sys::general as raw;
use std::collections::{BTreeMap, BTreeSet};

/// Minor device numbers of the file systems.
pub mod dev {
    /// `/`.
    pub const OVERLAY: u32 = 32;
    /// `/proc`.
    pub const PROC: u32 = 22;
    /// `/sys`.
    pub const SYSFS: u32 = 23;
    /// Control groups.
    pub const CGROUP2: u32 = 25;
    /// `/dev`.
    pub const DEVTMPFS: u32 = 5;
    /// `/dev/pts`.
    pub const DEVPTS: u32 = 26;
    /// `/dev/shm`.
    pub const SHM: u32 = 24;
    /// Files without a name: memfd_create(2).
    pub const TMPFS: u32 = 1;
    /// Namespaces.
    pub const NSFS: u32 = 4;
    /// Sockets.
    pub const SOCKFS: u32 = 8;
    /// Pipes.
    pub const PIPEFS: u32 = 14;
    /// eventfd, epoll and their kin.
    pub const ANON_INODEFS: u32 = 15;
    /// The first of those that mount(2) makes; numbers are used again, as Linux does.
    pub const FIRST_MOUNTED: u32 = 40;
}

/// The flags of file systems of the kernel's own.
const NOTHING: u32 = raw::MS_NOSUID | raw::MS_NODEV | raw::MS_NOEXEC;

/// The devices under /dev, with their modes.
const DEVICES: [(&str, Device, u32); 9] = [
    ("console", Device::Console, 0o600),
    ("full", Device::Full, 0o666),
    ("loop-control", Device::LoopControl, 0o660),
    ("null", Device::Null, 0o666),
    ("ptmx", Device::Ptmx, 0o666),
    ("random", Device::Random, 0o666),
    ("tty", Device::Tty, 0o666),
    ("urandom", Device::Urandom, 0o666),
    ("zero", Device::Zero, 0o666),
];

/// /sys/kernel/cgroup/delegate: the files that belong to whom a group is given to.
const CGROUP_DELEGATE: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";

/// The symbolic links under /dev.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

impl Vfs {
    /// Mounts everything.
    pub fn new(config: &Config) -> Vfs {
        let mut vfs = Vfs {
            dentries: Arena::<Dentry>::default(),
            inodes: Arena::default(),
            root: Path::nobody(),
            supers: BTreeMap::new(),
            mounts: BTreeMap::new(),
            mountpoints: BTreeMap::new(),
            detached: Vec::new(),
            expiring: BTreeSet::new(),
            mnt_namespaces: MntNamespaces::default(),
            mount_lists: BTreeMap::new(),
            mnt_id_ctr: 0,
            shm_mnt: MountId::default(),
            shmem: BTreeMap::new(),
            loops: Vec::new(),
            snapshots: BTreeMap::new(),
            dead_objects: Vec::new(),
            marks: BTreeMap::new(),
            dead_watched: Vec::new(),
            sync_cookie: 0,
            locks: BTreeMap::new(),
            leases: BTreeMap::new(),
            dnotify: BTreeMap::new(),
            resident: 0,
            proc_texts: BTreeMap::new(),
            oom_score_adj: BTreeMap::new(),
            cgroup_flags: CgroupRootFlags::default(),
            epoch: config.epoch,
            next_ino: 0,
        };
        vfs.alloc_mnt_ns(UserNs::INIT, 0);
        vfs.mount(dev::OVERLAY, "/", "overlay", raw::MS_RELATIME, 0x794c_7630);
        let proc = vfs.mount(dev::PROC, "/proc", "proc", NOTHING | raw::MS_RELATIME, 0x9fa0);
        vfs.fill_proc(proc);
        vfs.mount_dev();
        vfs.mount_sys();
        let shm = vfs.new_super(dev::TMPFS, "tmpfs", None, (0, tmpfs::MAGIC));
        vfs.shm_mnt = vfs.alloc_vfsmnt(dev::TMPFS, shm, b"tmpfs".to_vec(), 0);
        for _ in 0..LOOP_MIN_COUNT {
            vfs.loop_add();
        }
        for (path, mode) in [("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/run", 0o755)] {
            let dir = vfs.ensure_dir(path.as_bytes());
            vfs.inode_mut(dir).mode = mode;
        }
        for (path, text) in host_files(config) {
            vfs.add_file(path.as_bytes(), text.as_bytes(), 0o644);
        }
        vfs
    }

    /// Makes a file system with an empty root and mounts it at `path`.
    fn mount(
        &mut self,
        dev: u32,
        path: &str,
        fstype: &'static str,
        flags: u32,
        magic: u64,
    ) -> DentryId {
        let below = (dev == dev::OVERLAY).then(|| path.as_bytes().to_vec());
        let root = self.new_super(dev, fstype, below, (flags & raw::MS_RDONLY, magic));
        let mnt = self.alloc_vfsmnt(dev, root, fstype.into(), flags);
        if path == "/" {
            self.root = self.mnt_root(mnt);
            self.mnt_ns_mut(MntNs::INIT).root = Some(mnt);
        }
        if path != "/" {
            let at = self.ensure_path(path.as_bytes());
            self.attach_mnt(mnt, at);
        }
        self.commit_tree(mnt, MntNs::INIT);
        root
    }

    /// A file system with an empty root.
    fn new_super(
        &mut self,
        dev: u32,
        fstype: &'static str,
        below: Option<Vec<u8>>,
        (flags, magic): (u32, u64),
    ) -> DentryId {
        let root = self.new_dir(dev, below, 0o755);
        let root = self.d_make_root(root);
        let (user_ns, pid_ns) = (UserNs::INIT, PidNs::INIT);
        let sb = SuperBlock { root, fstype, flags, magic, user_ns, pid_ns };
        self.supers.insert(dev, sb);
        root
    }

    fn new_dir(
        &mut self,
        dev: u32,
        below: Option<Vec<u8>>,
        mode: u32,
    ) -> crate::fs::inode::InodeId {
        let time = self.current_time(Instant::ZERO);
        self.new_inode(dev, InodeKind::Directory { below, listed: false }, mode, time)
    }

    fn mount_dev(&mut self) {
        let root = self.mount(dev::DEVTMPFS, "/dev", "devtmpfs", raw::MS_NOSUID, tmpfs::MAGIC);
        let time = self.current_time(Instant::ZERO);
        for (name, device, mode) in DEVICES {
            let inode = self.new_inode(dev::DEVTMPFS, InodeKind::CharDevice(device), mode, time);
            self.d_add(root, name.as_bytes(), inode);
        }
        for (name, target) in LINKS {
            let kind = InodeKind::Symlink(target.as_bytes().to_vec());
            let inode = self.new_inode(dev::DEVTMPFS, kind, 0o777, time);
            self.d_add(root, name.as_bytes(), inode);
        }
        let flags = raw::MS_NOSUID | raw::MS_NOEXEC | raw::MS_RELATIME;
        let pts = self.mount(dev::DEVPTS, "/dev/pts", "devpts", flags, 0x1cd1);
        let ptmx = InodeKind::CharDevice(Device::Ptmx);
        let ptmx = self.new_inode(dev::DEVPTS, ptmx, 0, time);
        self.inodes[ptmx].ino = 2;
        self.d_add(pts, b"ptmx", ptmx);
        let flags = raw::MS_NOSUID | raw::MS_NODEV;
        let shm = self.mount(dev::SHM, "/dev/shm", "tmpfs", flags, tmpfs::MAGIC);
        self.inode_mut(shm).mode = 0o1777;
    }

    fn mount_sys(&mut self) {
        let flags = raw::MS_RDONLY | NOTHING | raw::MS_RELATIME;
        self.mount(dev::SYSFS, "/sys", "sysfs", flags, 0x6265_6572);
        for path in ["/sys/class/net", "/sys/fs/cgroup", "/sys/kernel/mm", "/sys/block"] {
            self.ensure_dir(path.as_bytes());
        }
        for name in ["online", "possible", "present"] {
            let path = format!("/sys/devices/system/cpu/{name}");
            self.add_file(path.as_bytes(), b"0\n", 0o444);
        }
        self.ensure_dir(b"/sys/devices/system/cpu/cpu0");
        for (name, text) in [("delegate", CGROUP_DELEGATE), ("features", &cgroup::features())] {
            let path = format!("/sys/kernel/cgroup/{name}");
            self.add_file(path.as_bytes(), text.as_bytes(), 0o444);
        }
        let flags = NOTHING | raw::MS_RELATIME;
        self.mount(dev::CGROUP2, "/sys/fs/cgroup", "cgroup2", flags, cgroup::MAGIC);
    }

    /// The directory at `path` (absolute, without symlinks), made with mode 0755 if it is not known
    /// yet. In the overlay the machine's directory of the same path shows through.
    pub fn ensure_dir(&mut self, path: &[u8]) -> DentryId {
        self.ensure_path(path).dentry
    }

    /// The same in one file system, whatever is mounted there.
    pub(in crate::fs) fn ensure_dir_in(&mut self, root: DentryId, path: &[u8]) -> DentryId {
        let mut at = root;
        for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            at = match self.dentries[at].children.get(name) {
                Some(Child::Dentry(dentry)) => *dentry,
                Some(Child::Lower { .. } | Child::Whiteout) | None => self.add_dir(at, name),
            };
        }
        at
    }

    fn ensure_path(&mut self, path: &[u8]) -> Path {
        let mut at = self.root;
        for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            at = match self.dentries[at.dentry].children.get(name) {
                Some(Child::Dentry(dentry)) => self.traverse_mounts(at.with(*dentry)),
                Some(Child::Lower { .. } | Child::Whiteout) | None => {
                    at.with(self.add_dir(at.dentry, name))
                }
            };
        }
        at
    }

    fn add_dir(&mut self, parent: DentryId, name: &[u8]) -> DentryId {
        let dev = self.inode(parent).dev;
        let below = match &self.inode(parent).kind {
            InodeKind::Directory { below: Some(below), .. } => {
                let slash: &[u8] = if below == b"/" { b"" } else { b"/" };
                Some([below, slash, name].concat())
            }
            _ => None, // not the overlay's
        };
        let inode = self.new_dir(dev, below, 0o755);
        self.count_subdir(parent, true);
        self.d_add(parent, name, inode)
    }

    /// Puts a file of root's at `path` (absolute, without symlinks), whatever the machine has
    /// there; directories on the way are made. For the boot and for the files that the command
    /// carries with it.
    pub fn add_file(&mut self, path: &[u8], bytes: &[u8], mode: u32) {
        let cut = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
        let dir = self.ensure_dir(&path[..cut]);
        let time = self.current_time(Instant::ZERO);
        let dev = self.inode(dir).dev;
        let bytes = FileBytes::from_bytes(bytes);
        self.resident += bytes.resident();
        let kind = InodeKind::Regular(bytes);
        let inode = self.new_inode(dev, kind, mode, time);
        self.d_add(dir, &path[cut + 1..], inode);
    }
}

/// The files under /etc that speak of this host and its world.
fn host_files(config: &Config) -> Vec<(&'static str, String)> {
    let mut hosts = String::from("127.0.0.1\tlocalhost\n");
    if config.address6.is_some() {
        hosts.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
    }
    let mut names: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
    for (name, address) in &config.names {
        names.entry((*address).into()).or_default().push(name);
    }
    for (name, address) in &config.names6 {
        names.entry((*address).into()).or_default().push(name);
    }
    if !config.names.contains_key(&config.hostname) {
        names.entry(config.address.into()).or_default().push(&config.hostname);
    }
    for (address, names) in names {
        hosts.push_str(&format!("{address}\t{}\n", names.join(" ")));
    }
    let nsswitch = ["passwd", "group", "shadow", "hosts", "networks", "protocols", "services"]
        .map(|database| format!("{database}: files\n"));
    vec![
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{}\n", config.hostname)),
        ("/etc/resolv.conf", "# Names resolve by /etc/hosts.\n".into()),
        ("/etc/nsswitch.conf", nsswitch.concat()),
    ]
}
