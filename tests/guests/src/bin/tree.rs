//! The file tree: opening, offsets, names, links, directories, what lives on after its name. See
//! open(2), rename(2), unlink(2), symlink(7), path_resolution(7).

use guests::process::{fork_check, wait_ok};
use guests::sys::{
    self, Fd, Sys, c_path, close, count, fcntl, lseek, open, read, scratch, small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{AT_FDCWD, EACCES, EBADF, EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR};
use libc::{ENOTEMPTY, ENXIO, EXDEV, O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH};
use libc::{O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SEEK_CUR, SEEK_END, SEEK_SET};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

guests::cases! {
    exclusive_creation_happens_once,
    append_writes_at_the_end,
    open_modes_are_enforced,
    truncation_cuts_and_extends_with_zeroes,
    seek_moves_and_leaves_holes,
    positioned_calls_leave_the_offset,
    unlinked_file_lives_until_its_last_close,
    renaming_replaces_and_keeps_the_file,
    renaming_directories_has_rules,
    renaming_without_replacement_refuses,
    hard_links_count,
    symbolic_links_are_followed_and_read,
    loops_of_links_end,
    directories_list_their_entries,
    directories_must_be_empty_to_go,
    working_directory_follows,
    removed_working_directory_has_no_name,
    open_relative_to_a_directory,
    path_errors_are_linuxs,
    modes_and_umask,
    permissions_bind_an_ordinary_user,
    metadata_of_a_file,
    times_can_be_set,
    devices_behave,
    copy_file_range_copies,
    path_descriptors_do_no_io,
    written_bytes_are_seen_by_another_process,
}

fn io<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// A file with these bytes in a fresh directory.
fn file(bytes: &[u8]) -> Result<(PathBuf, PathBuf), String> {
    let directory = scratch()?;
    let path = directory.join("file");
    io(std::fs::write(&path, bytes))?;
    Ok((directory, path))
}

fn done(directory: &Path) -> Check {
    io(std::fs::remove_dir_all(directory))
}

/// open(2).
fn exclusive_creation_happens_once() -> Check {
    let directory = scratch()?;
    let path = directory.join("new");
    fails!(open(&path, O_RDONLY, 0), ENOENT);
    open(&path, O_WRONLY | O_CREAT | O_EXCL, 0o600)?;
    fails!(open(&path, O_WRONLY | O_CREAT | O_EXCL, 0o600), EEXIST);
    open(&path, O_WRONLY | O_CREAT, 0o600)?;
    let link = directory.join("link");
    io(symlink("nowhere", &link))?;
    fails!(open(&link, O_WRONLY | O_CREAT | O_EXCL, 0o600), EEXIST);
    done(&directory)
}

/// open(2).
fn append_writes_at_the_end() -> Check {
    let (directory, path) = file(b"start ")?;
    let first = open(&path, O_WRONLY | O_APPEND, 0)?;
    let second = open(&path, O_WRONLY | O_APPEND, 0)?;
    for fd in [first, second, first] {
        lseek(fd, 0, SEEK_SET)?;
        write(fd, b"+")?;
    }
    same!(lseek(first, 0, SEEK_CUR)?, 9, "the offset");
    same!(io(std::fs::read(&path))?, b"start +++", "the file");
    done(&directory)
}

/// open(2), read(2).
fn open_modes_are_enforced() -> Check {
    let (directory, path) = file(b"text")?;
    fails!(write(open(&path, O_RDONLY, 0)?, b"x"), EBADF);
    fails!(read(open(&path, O_WRONLY, 0)?, 1), EBADF);
    let fd = open(&path, O_RDWR | O_TRUNC, 0)?;
    same!(read(fd, 8)?, b"", "read after O_TRUNC");
    same!(fcntl(fd, libc::F_GETFL, 0)? & libc::O_ACCMODE, O_RDWR, "the access mode");
    done(&directory)
}

fn truncate(fd: Fd, length: i64) -> Sys<()> {
    // SAFETY: no memory is involved.
    small("ftruncate", unsafe { libc::ftruncate(fd, length) }).map(|_| ())
}

/// ftruncate(2).
fn truncation_cuts_and_extends_with_zeroes() -> Check {
    let (directory, path) = file(b"abcdef")?;
    let fd = open(&path, O_RDWR, 0)?;
    truncate(fd, 3)?;
    truncate(fd, 5)?;
    same!(read(fd, 16)?, b"abc\0\0", "the file");
    fails!(truncate(fd, -1), EINVAL);
    fails!(truncate(open(&path, O_RDONLY, 0)?, 1), EINVAL);
    done(&directory)
}

/// lseek(2).
fn seek_moves_and_leaves_holes() -> Check {
    let (directory, path) = file(b"abc")?;
    let fd = open(&path, O_RDWR, 0)?;
    same!(lseek(fd, 2, SEEK_END)?, 5, "beyond the end");
    same!(read(fd, 4)?, b"", "read there");
    write(fd, b"f")?;
    same!(lseek(fd, -6, SEEK_CUR)?, 0, "back to the start");
    same!(read(fd, 16)?, b"abc\0\0f", "the file");
    fails!(lseek(fd, -1, SEEK_SET), EINVAL);
    fails!(lseek(fd, 0, 99), EINVAL);
    fails!(lseek(fd, 6, libc::SEEK_DATA), ENXIO);
    same!(lseek(fd, 0, libc::SEEK_HOLE)?, 6, "the hole at the end");
    done(&directory)
}

/// pread(2), pwrite(2).
fn positioned_calls_leave_the_offset() -> Check {
    let (directory, path) = file(b"abcdef")?;
    let fd = open(&path, O_RDWR, 0)?;
    let mut two = [0_u8; 2];
    // SAFETY: two bytes of room, and two to write.
    unsafe {
        same!(count("pread", libc::pread(fd, two.as_mut_ptr().cast(), 2, 3))?, 2, "pread");
        same!(&two, b"de", "the bytes");
        same!(count("pwrite", libc::pwrite(fd, c"XY".as_ptr().cast(), 2, 1))?, 2, "pwrite");
        fails!(count("pread", libc::pread(fd, two.as_mut_ptr().cast(), 2, -1)), EINVAL);
    }
    same!(read(fd, 16)?, b"aXYdef", "the file from its unmoved offset");
    done(&directory)
}

/// unlink(2).
fn unlinked_file_lives_until_its_last_close() -> Check {
    let (directory, path) = file(b"text")?;
    let fd = open(&path, O_RDWR, 0)?;
    io(std::fs::remove_file(&path))?;
    fails!(open(&path, O_RDONLY, 0), ENOENT);
    same!(stat(fd)?.st_nlink, 0, "its links");
    same!(read(fd, 8)?, b"text", "read");
    write(fd, b" and more")?;
    let again = PathBuf::from(format!("/proc/self/fd/{fd}"));
    same!(read(open(&again, O_RDONLY, 0)?, 64)?, b"text and more", "through /proc/self/fd");
    io(std::fs::write(&path, b"another"))?;
    same!(stat(fd)?.st_size, 13, "the size of the old one");
    done(&directory)
}

/// rename(2).
fn renaming_replaces_and_keeps_the_file() -> Check {
    let (directory, path) = file(b"new")?;
    let target = directory.join("target");
    io(std::fs::write(&target, b"old"))?;
    let (old, number) = (open(&target, O_RDONLY, 0)?, io(std::fs::metadata(&path))?.ino());
    io(std::fs::rename(&path, &target))?;
    same!(io(std::fs::read(&target))?, b"new", "the target");
    same!(io(std::fs::metadata(&target))?.ino(), number, "the inode's number");
    same!(read(old, 8)?, b"old", "what the old one's descriptor reads");
    ensure!(!path.exists(), "the old name is still there");
    done(&directory)
}

fn rename(from: &Path, to: &Path, flags: u32) -> Sys<()> {
    let (from, to) = (c_path(from), c_path(to));
    // SAFETY: C strings.
    small("renameat2", unsafe {
        libc::renameat2(AT_FDCWD, from.as_ptr(), AT_FDCWD, to.as_ptr(), flags)
    })
    .map(|_| ())
}

/// rename(2).
fn renaming_directories_has_rules() -> Check {
    let (directory, path) = file(b"x")?;
    let (empty, full) = (directory.join("empty"), directory.join("full"));
    io(std::fs::create_dir(&empty))?;
    io(std::fs::create_dir_all(full.join("inner")))?;
    fails!(rename(&empty, &full, 0), ENOTEMPTY);
    fails!(rename(&path, &empty, 0), EISDIR);
    fails!(rename(&empty, &path, 0), ENOTDIR);
    fails!(rename(&full, &full.join("inner/deeper"), 0), EINVAL);
    rename(&full, &empty, 0)?;
    ensure!(empty.join("inner").is_dir() && !full.exists(), "the directory did not move");
    rename(&path, &path, 0)?;
    fails!(rename(&path, Path::new("/proc/self/x"), 0), EXDEV);
    done(&directory)
}

/// rename(2), RENAME_NOREPLACE and RENAME_EXCHANGE.
fn renaming_without_replacement_refuses() -> Check {
    let (directory, path) = file(b"one")?;
    let other = directory.join("other");
    io(std::fs::write(&other, b"two"))?;
    fails!(rename(&path, &other, libc::RENAME_NOREPLACE), EEXIST);
    rename(&path, &other, libc::RENAME_EXCHANGE)?;
    same!(io(std::fs::read(&path))?, b"two", "the first after the exchange");
    same!(io(std::fs::read(&other))?, b"one", "the second after the exchange");
    done(&directory)
}

/// link(2).
fn hard_links_count() -> Check {
    let (directory, path) = file(b"text")?;
    let other = directory.join("other");
    io(std::fs::hard_link(&path, &other))?;
    let (a, b) = (io(std::fs::metadata(&path))?, io(std::fs::metadata(&other))?);
    same!((a.nlink(), a.ino()), (2, b.ino()), "links and inode");
    io(std::fs::remove_file(&path))?;
    same!(io(std::fs::metadata(&other))?.nlink(), 1, "links after one name went");
    same!(io(std::fs::read(&other))?, b"text", "the file");
    done(&directory)
}

/// symlink(7).
fn symbolic_links_are_followed_and_read() -> Check {
    let (directory, path) = file(b"text")?;
    let link = directory.join("link");
    io(symlink("file", &link))?;
    same!(io(std::fs::read(&link))?, b"text", "through the link");
    same!(io(std::fs::read_link(&link))?, Path::new("file"), "the link");
    ensure!(io(std::fs::symlink_metadata(&link))?.is_symlink(), "lstat follows the link");
    fails!(open(&link, O_RDONLY | O_NOFOLLOW, 0), ELOOP);
    let mut room = [0_u8; 2];
    let name = c_path(&link);
    // SAFETY: a C string, two bytes of room.
    let cut = unsafe { libc::readlink(name.as_ptr(), room.as_mut_ptr().cast(), 2) };
    same!((count("readlink", cut)?, &room), (2, b"fi"), "a short buffer cuts");
    io(std::fs::remove_file(&path))?;
    fails!(open(&link, O_RDONLY, 0), ENOENT);
    open(&link, O_WRONLY | O_CREAT, 0o600)?;
    ensure!(path.exists(), "O_CREAT through a dangling link makes its target");
    done(&directory)
}

/// path_resolution(7).
fn loops_of_links_end() -> Check {
    let directory = scratch()?;
    let (a, b) = (directory.join("a"), directory.join("b"));
    io(symlink("b", &a))?;
    io(symlink("a", &b))?;
    fails!(open(&a, O_RDONLY, 0), ELOOP);
    done(&directory)
}

/// readdir(3).
fn directories_list_their_entries() -> Check {
    let directory = scratch()?;
    let mut expected: Vec<String> = (0..300).map(|number| format!("entry-{number}")).collect();
    for name in &expected {
        io(std::fs::write(directory.join(name), b""))?;
    }
    let list = || -> Result<Vec<String>, String> {
        let entries = io(std::fs::read_dir(&directory))?;
        let mut names: Vec<String> =
            entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    expected.sort();
    same!(list()?, expected, "the names");
    io(std::fs::remove_file(directory.join("entry-7")))?;
    same!(list()?.len(), 299, "how many after one went");
    done(&directory)
}

/// rmdir(2), mkdir(2), unlink(2).
fn directories_must_be_empty_to_go() -> Check {
    let (directory, path) = file(b"x")?;
    let errno = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    same!(errno(std::fs::remove_dir(&directory)), Some(ENOTEMPTY), "rmdir of a full one");
    same!(errno(std::fs::remove_dir(&path)), Some(ENOTDIR), "rmdir of a file");
    same!(errno(std::fs::remove_file(&directory)), Some(EISDIR), "unlink of a directory");
    same!(errno(std::fs::create_dir(&directory)), Some(EEXIST), "mkdir of what is there");
    let inner = directory.join("inner");
    io(std::fs::create_dir(&inner))?;
    same!(io(std::fs::metadata(&directory))?.nlink() >= 1, true, "a directory has links");
    io(std::fs::remove_dir(&inner))?;
    done(&directory)
}

/// chdir(2), getcwd(2).
fn working_directory_follows() -> Check {
    let (directory, _) = file(b"here")?;
    io(std::env::set_current_dir(&directory))?;
    let real = io(std::fs::canonicalize(&directory))?;
    same!(io(std::env::current_dir())?, real, "getcwd");
    same!(io(std::fs::read("file"))?, b"here", "a relative name");
    same!(io(std::fs::read("./../././../")).is_err(), true, "a directory is not read");
    let root = open(Path::new("/"), O_RDONLY | O_DIRECTORY, 0)?;
    // SAFETY: no memory is involved.
    small("fchdir", unsafe { libc::fchdir(root) })?;
    same!(io(std::env::current_dir())?, Path::new("/"), "getcwd after fchdir");
    same!(io(std::fs::canonicalize("/.."))?, Path::new("/"), "the root's parent");
    fails!(open(Path::new("file-that-is-not-in-the-root"), O_RDONLY, 0), ENOENT);
    done(&directory)
}

/// getcwd(2).
fn removed_working_directory_has_no_name() -> Check {
    let directory = scratch()?;
    io(std::env::set_current_dir(&directory))?;
    io(std::fs::remove_dir(&directory))?;
    let error = std::env::current_dir().err().and_then(|error| error.raw_os_error());
    same!(error, Some(ENOENT), "getcwd");
    fails!(open(Path::new("new"), O_WRONLY | O_CREAT, 0o600), ENOENT);
    Ok(())
}

/// openat(2).
fn open_relative_to_a_directory() -> Check {
    let (directory, path) = file(b"here")?;
    let at = open(&directory, O_RDONLY | O_DIRECTORY, 0)?;
    let name = c_path(Path::new("file"));
    let openat = |at, flags| {
        // SAFETY: a C string.
        small("openat", unsafe { libc::openat(at, name.as_ptr(), flags, 0) })
    };
    same!(read(openat(at, O_RDONLY)?, 8)?, b"here", "read");
    fails!(openat(at, O_DIRECTORY), ENOTDIR);
    fails!(openat(999, O_RDONLY), EBADF);
    fails!(openat(open(&path, O_RDONLY, 0)?, O_RDONLY), ENOTDIR);
    let moved = directory.with_extension("moved");
    io(std::fs::rename(&directory, &moved))?;
    same!(read(openat(at, O_RDONLY)?, 8)?, b"here", "read after the directory moved");
    done(&moved)
}

/// path_resolution(7).
fn path_errors_are_linuxs() -> Check {
    let (directory, path) = file(b"x")?;
    fails!(open(&path.join("below"), O_RDONLY, 0), ENOTDIR);
    fails!(open(Path::new(""), O_RDONLY, 0), ENOENT);
    fails!(open(&directory, O_WRONLY, 0), EISDIR);
    fails!(open(&directory.join("x".repeat(256)), O_RDONLY, 0), ENAMETOOLONG);
    fails!(open(&directory.join("none/below"), O_WRONLY | O_CREAT, 0o600), ENOENT);
    fails!(read(open(&directory, O_RDONLY, 0)?, 1), EISDIR);
    let null = sys::raw("open", libc::SYS_open, [8, 0, 0, 0, 0, 0]);
    fails!(null, libc::EFAULT);
    done(&directory)
}

/// umask(2), chmod(2).
fn modes_and_umask() -> Check {
    let directory = scratch()?;
    let path = directory.join("new");
    // SAFETY: no memory is involved.
    unsafe { libc::umask(0o027) };
    close(open(&path, O_WRONLY | O_CREAT, 0o666)?)?;
    same!(io(std::fs::metadata(&path))?.mode() & 0o7777, 0o640, "the mode");
    io(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4711)))?;
    same!(io(std::fs::metadata(&path))?.mode() & 0o7777, 0o4711, "the mode after chmod");
    // SAFETY: no memory is involved.
    same!(unsafe { libc::umask(0) }, 0o027, "the umask");
    done(&directory)
}

/// path_resolution(7).
fn permissions_bind_an_ordinary_user() -> Check {
    let (directory, path) = file(b"x")?;
    let mode = |path: &Path, mode| {
        io(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
    };
    mode(&path, 0o000)?;
    let child = fork_check(|| {
        // SAFETY: no memory is involved. An ordinary user stays who he is.
        unsafe { libc::setuid(65534) };
        fails!(open(&path, O_RDONLY, 0), EACCES);
        let name = c_path(&path);
        // SAFETY: a C string.
        fails!(small("access", unsafe { libc::access(name.as_ptr(), libc::R_OK) }), EACCES);
        Ok(())
    })?;
    wait_ok(child)?;
    mode(&path, 0o600)?;
    mode(&directory, 0o600)?;
    let child = fork_check(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::setuid(65534) };
        fails!(open(&path, O_RDONLY, 0), EACCES);
        Ok(())
    })?;
    wait_ok(child)?;
    mode(&directory, 0o700)?;
    done(&directory)
}

fn stat(fd: Fd) -> Sys<libc::stat> {
    // SAFETY: a valid struct.
    unsafe {
        let mut stat = std::mem::zeroed();
        small("fstat", libc::fstat(fd, &mut stat))?;
        Ok(stat)
    }
}

/// stat(2).
fn metadata_of_a_file() -> Check {
    let (directory, path) = file(b"text")?;
    let fd = open(&path, O_RDWR, 0)?;
    let it = stat(fd)?;
    // SAFETY: no memory is involved.
    let owner = unsafe { (libc::geteuid(), libc::getegid()) };
    same!((it.st_size, it.st_nlink, (it.st_uid, it.st_gid)), (4, 1, owner), "size, links, owner");
    same!(it.st_mode & libc::S_IFMT, libc::S_IFREG, "the kind");
    same!(stat(open(&directory, O_RDONLY, 0)?)?.st_mode & libc::S_IFMT, libc::S_IFDIR, "the kind");
    let (reader, _) = sys::pipe()?;
    same!(stat(reader)?.st_mode & libc::S_IFMT, libc::S_IFIFO, "a pipe's kind");
    let socket = guests::net::socket(libc::AF_INET, libc::SOCK_STREAM)?;
    same!(stat(socket)?.st_mode & libc::S_IFMT, libc::S_IFSOCK, "a socket's kind");
    let null = stat(open(Path::new("/dev/null"), O_RDONLY, 0)?)?;
    same!(null.st_mode & libc::S_IFMT, libc::S_IFCHR, "/dev/null's kind");
    same!((libc::major(null.st_rdev), libc::minor(null.st_rdev)), (1, 3), "/dev/null's number");
    done(&directory)
}

/// utimensat(2).
fn times_can_be_set() -> Check {
    let (directory, path) = file(b"text")?;
    let fd = open(&path, O_RDWR, 0)?;
    let times = [1_000_000_007, 1_000_000_009].map(|tv_sec| libc::timespec { tv_sec, tv_nsec: 5 });
    // SAFETY: two valid times.
    small("futimens", unsafe { libc::futimens(fd, times.as_ptr()) })?;
    let it = stat(fd)?;
    same!((it.st_atime, it.st_mtime, it.st_mtime_nsec), (1_000_000_007, 1_000_000_009, 5), "times");
    write(fd, b"x")?;
    ensure!(stat(fd)?.st_mtime != 1_000_000_009, "a write leaves mtime as it was");
    done(&directory)
}

/// null(4), random(4).
fn devices_behave() -> Check {
    let device = |name: &str| open(Path::new(name), O_RDWR, 0);
    let null = device("/dev/null")?;
    same!((write(null, b"hello")?, read(null, 8)?), (5, vec![]), "/dev/null");
    same!(read(device("/dev/zero")?, 4)?, [0; 4], "/dev/zero");
    let random = open(Path::new("/dev/urandom"), O_RDONLY, 0)?;
    let (first, second) = (read(random, 32)?, read(random, 32)?);
    ensure!(first.len() == 32 && first != second, "/dev/urandom repeats itself");
    let full = device("/dev/full")?;
    fails!(write(full, b"x"), libc::ENOSPC);
    Ok(())
}

/// copy_file_range(2).
fn copy_file_range_copies() -> Check {
    let (directory, path) = file(b"hello world")?;
    let from = open(&path, O_RDONLY, 0)?;
    let to = open(&directory.join("copy"), O_RDWR | O_CREAT, 0o600)?;
    let (mut at, null) = (6_i64, std::ptr::null_mut());
    // SAFETY: a valid offset.
    let moved = unsafe { libc::copy_file_range(from, &mut at, to, null, 100, 0) };
    same!((count("copy_file_range", moved)?, at), (5, 11), "bytes, and the offset");
    same!(lseek(to, 0, SEEK_CUR)?, 5, "the target's offset");
    same!(io(std::fs::read(directory.join("copy")))?, b"world", "the copy");
    done(&directory)
}

/// open(2).
fn path_descriptors_do_no_io() -> Check {
    let (directory, path) = file(b"text")?;
    let fd = open(&path, O_PATH, 0)?;
    fails!(read(fd, 1), EBADF);
    same!(stat(fd)?.st_size, 4, "fstat works");
    let again = PathBuf::from(format!("/proc/self/fd/{fd}"));
    same!(read(open(&again, O_RDONLY, 0)?, 8)?, b"text", "opened again through /proc/self/fd");
    done(&directory)
}

/// write(2): no cache stands between processes.
fn written_bytes_are_seen_by_another_process() -> Check {
    let (directory, path) = file(b"....")?;
    let fd = open(&path, O_RDWR, 0)?;
    let child = fork_check(|| {
        let mine = open(&path, O_RDWR, 0)?;
        write(mine, b"seen")?;
        Ok(())
    })?;
    wait_ok(child)?;
    same!(read(fd, 8)?, b"seen", "read");
    done(&directory)
}
