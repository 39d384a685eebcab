//! The machine's files as the lower layer.
//! Read only, sorted, by bytes: what the trait `LowerFiles` promises.

mod common;
use common::*;
use kernel::abi::Errno;
use kernel::platform::{LowerFiles, LowerKind, LowerStat};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A directory of our own with a file, a directory, a symlink and a hidden place.
fn tree(name: &str) -> PathBuf {
    let root: PathBuf = [env!("CARGO_TARGET_TMPDIR"), name].iter().collect();
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(root.join("dir")).expect("mkdir");
    std::fs::create_dir_all(root.join("proc/1")).expect("mkdir");
    std::fs::write(root.join("file"), b"0123456789").expect("write");
    std::fs::set_permissions(root.join("file"), PermissionsExt::from_mode(0o4751)).expect("chmod");
    symlink("../target", root.join("link")).expect("symlink");
    root
}

#[test]
fn files_are_shown_as_the_machine_has_them() {
    let root = tree("lower-files");
    let mut p = Ptrace::new(Config { root: Some(root), ..Config::default() }).expect("platform");
    let stat = p.lower_stat(b"/file").expect("stat");
    assert_eq!((stat.kind, stat.mode, stat.size, stat.nlink), (LowerKind::Regular, 0o4751, 10, 1));
    assert_eq!(p.lower_stat(b"/link").map(|stat| stat.kind), Ok(LowerKind::Symlink));
    assert_eq!(p.lower_readlink(b"/link"), Ok(b"../target".to_vec()));
    assert_eq!(p.lower_readlink(b"/file"), Err(Errno::EINVAL));
    let names = p.lower_list(b"/").expect("list");
    let names: Vec<_> = names.iter().map(|(name, kind)| (name.as_slice(), *kind)).collect();
    assert_eq!(
        names,
        [
            (&b"dir"[..], LowerKind::Directory),
            (b"file", LowerKind::Regular),
            (b"link", LowerKind::Symlink),
            (b"proc", LowerKind::Directory),
        ]
    );
    assert_eq!(p.lower_list(b"/file"), Err(Errno::ENOTDIR));
    assert_eq!(p.lower_stat(b"/file/x"), Err(Errno::ENOTDIR));
    assert_eq!(p.lower_stat(b"/none"), Err(Errno::ENOENT));
    let mut bytes = [0; 8];
    assert_eq!(p.lower_read(b"/file", 4, &mut bytes), Ok(6));
    assert_eq!(&bytes[..6], b"456789");
    assert_eq!(p.lower_read(b"/file", 10, &mut bytes), Ok(0));
    assert_eq!(p.lower_read(b"/dir", 0, &mut bytes), Err(Errno::EISDIR));
    assert_eq!(p.lower_read(b"/link", 0, &mut bytes), Err(Errno::ELOOP));
}

#[test]
fn nothing_of_proc_sys_and_dev_is_shown() {
    let root = tree("lower-hidden");
    for config in [Config::default(), Config { root: Some(root), ..Config::default() }] {
        let mut p = Ptrace::new(config).expect("platform");
        let empty = LowerStat {
            kind: LowerKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            nlink: 2,
        };
        assert_eq!(p.lower_stat(b"/proc"), Ok(empty));
        assert_eq!(p.lower_list(b"/proc"), Ok(vec![]));
        for path in [&b"/proc/1"[..], b"/sys/kernel", b"/dev/null"] {
            assert_eq!(p.lower_stat(path), Err(Errno::ENOENT));
            assert_eq!(p.lower_read(path, 0, &mut [0]), Err(Errno::ENOENT));
        }
    }
}

#[test]
fn many_files_can_be_open_at_once() {
    let root: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "lower-many"].iter().collect();
    std::fs::create_dir_all(&root).expect("mkdir");
    let mut p = platform();
    for round in 0..2 {
        for i in 0..300 {
            let path = root.join(i.to_string());
            if round == 0 {
                std::fs::write(&path, i.to_string()).expect("write");
            }
            let mut bytes = [0; 8];
            let len = p.lower_read(path.as_os_str().as_bytes(), 0, &mut bytes).expect("read");
            assert_eq!(&bytes[..len], i.to_string().as_bytes());
        }
    }
}
