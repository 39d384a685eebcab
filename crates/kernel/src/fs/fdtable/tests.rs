//! Tests of descriptor tables: against a plain set that says what Linux does, bit by bit across
//! words, and the walks that fork, exec and exit make over a table. Rules F-1 to F-8.

use super::*;
use crate::arena::Arena;
use crate::fact::Fact;
use crate::fs::file::{File, FileKind};
use crate::task::signal::testing::World;
use std::collections::BTreeMap;

fn file() -> FileId {
    let mut files: Arena<File> = Arena::default();
    files.insert(File::new(FileKind::Null, crate::abi::open::OFlags::RDWR))
}

#[test]
fn the_lowest_free_descriptor_is_given_out() {
    // F-3.
    let mut table = FdTable::default();
    for expected in 0..200 {
        assert_eq!(table.alloc_fd(0, 1024, false), Ok(expected));
        table.fd_install(expected, file());
    }
    assert!(table.take(130).is_some());
    assert!(table.take(7).is_some());
    assert_eq!(table.alloc_fd(8, 1024, false), Ok(130));
    assert_eq!(table.alloc_fd(0, 1024, false), Ok(7));
    assert_eq!(table.alloc_fd(0, 200, false), Err(Errno::EMFILE));
    assert_eq!(table.full_fds_bits[0] & 0b111, 0b111);
}

#[test]
fn a_closed_descriptor_is_not_close_on_exec_any_more() {
    let mut table = FdTable::default();
    let fd = table.alloc_fd(0, 10, true).unwrap();
    table.fd_install(fd, file());
    assert!(table.close_on_exec(fd));
    table.take(fd);
    assert!(!table.close_on_exec(fd));
    assert_eq!(table.get(fd), Err(Errno::EBADF));
    assert_eq!(table.get(-1), Err(Errno::EBADF));
}

/// What a table holds, said plainly: each descriptor in use, whether it is installed, FD_CLOEXEC.
type Plain = BTreeMap<usize, (bool, bool)>;

fn lowest_free(plain: &Plain, start: usize) -> usize {
    (start..).find(|fd| !plain.contains_key(fd)).unwrap()
}

fn compare(table: &FdTable, plain: &Plain) {
    assert_eq!(table.open_count(), plain.values().filter(|(installed, _)| *installed).count());
    assert_eq!(table.max_fds() % 64, 0);
    assert_eq!(table.open_fds.len() * 64, table.max_fds());
    assert_eq!(table.full_fds_bits.len(), table.open_fds.len().div_ceil(64));
    for fd in 0..table.max_fds() + 70 {
        let (installed, cloexec) = plain.get(&fd).copied().unwrap_or_default();
        let number = fd as i32;
        assert_eq!(table.get(number).is_ok(), installed, "{fd} installed");
        assert_eq!(table.close_on_exec(number), cloexec, "{fd} close-on-exec");
        assert_eq!(table.is_reserved(number), plain.contains_key(&fd) && !installed, "{fd}");
    }
    for (word, bits) in table.open_fds.iter().enumerate() {
        let full = table.full_fds_bits[word / 64] >> (word % 64) & 1 == 1;
        assert_eq!(full, *bits == u64::MAX, "word {word}");
    }
}

#[test]
fn a_table_says_what_a_plain_set_says() {
    // F-3, over three words of full_fds_bits' first word and into its second (4096 descriptors).
    let (mut table, mut plain) = (FdTable::default(), Plain::new());
    assert_eq!(table.max_fds(), 64);
    for fd in 0..4300 {
        assert_eq!(table.alloc_fd(0, 5000, fd % 3 == 0), Ok(fd as i32));
        table.fd_install(fd as i32, file());
        plain.insert(fd, (true, fd % 3 == 0));
    }
    assert_eq!(table.max_fds(), 4352, "whole words, and not more than needed");
    compare(&table, &plain);
    // Any numbers, the same on every machine.
    let mut random = 1_u64;
    for round in 0..600 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (fd, on) = ((random >> 33) as usize % 4300, random >> 60 & 1 == 1);
        match round % 6 {
            0 | 1 => {
                let old = plain.get(&fd).is_some_and(|(installed, _)| *installed);
                assert_eq!(table.take(fd as i32).is_some(), old);
                if old {
                    plain.remove(&fd);
                }
            }
            2 => {
                let free = lowest_free(&plain, fd);
                assert_eq!(table.alloc_fd(fd, 5000, on), Ok(free as i32));
                plain.insert(free, (false, on));
            }
            3 => {
                if plain.get(&fd).is_some_and(|(installed, _)| !installed) {
                    table.put_unused_fd(fd as i32);
                    table.set_close_on_exec(fd as i32, false);
                    plain.remove(&fd);
                }
            }
            4 => {
                let old = plain.insert(fd, (true, on)).is_some_and(|(installed, _)| installed);
                assert_eq!(table.replace(fd as i32, file(), on).is_some(), old);
            }
            _ => {
                if let Some((_, cloexec)) = plain.get_mut(&fd) {
                    *cloexec = on;
                    table.set_close_on_exec(fd as i32, on);
                }
            }
        }
        if round % 50 == 0 {
            compare(&table, &plain);
        }
    }
    compare(&table, &plain);
}

#[test]
fn dup2_far_beyond_makes_room_and_no_more() {
    // F-3: dup2 may leave a hole.
    let mut table = FdTable::default();
    assert_eq!(table.replace(127, file(), true), None);
    assert_eq!(table.max_fds(), 128);
    assert_eq!(table.replace(128, file(), false), None);
    assert_eq!(table.max_fds(), 192);
    assert_eq!((table.open_count(), table.alloc_fd(0, 192, false)), (2, Ok(0)));
    assert_eq!(table.alloc_fd(127, 192, false), Ok(129));
    let first = table.get(127);
    assert_eq!(table.replace(127, file(), false), first.ok());
    assert!(!table.close_on_exec(127));
}

/// A process with a table of three descriptors, 0, 5 and 70, of three descriptions.
fn world() -> (World, TaskId, TableId, [FileId; 3]) {
    let mut w = World::new();
    let task = w.process();
    let table = w.kernel.tables.insert(FdTable::default());
    w.kernel.tasks[task].files = Some(table);
    let files = [0, 5, 70].map(|fd| {
        let file = File::new(FileKind::Null, crate::abi::open::OFlags::RDWR);
        let file = w.kernel.files.insert(file);
        w.kernel.tables[table].replace(fd, file, fd == 5);
        file
    });
    w.kernel.facts.clear();
    (w, task, table, files)
}

/// The facts of this room, without their strings.
fn told(w: &World) -> Vec<String> {
    let facts = w.kernel.facts.iter().filter_map(|entry| match &entry.fact {
        Fact::Task(TaskFact::ExitFiles { last, open }) => Some(format!("exit {last} {open}")),
        Fact::File(FileFact::CloseFiles { open }) => Some(format!("close {open}")),
        Fact::File(FileFact::FilpClose { fd, refs_left, .. }) => Some(format!("{fd} {refs_left}")),
        Fact::File(FileFact::Fput { deferred, .. }) => Some(format!("fput {deferred}")),
        Fact::File(FileFact::FinalFput { .. }) => Some("final".into()),
        _ => None,
    });
    facts.collect()
}

#[test]
fn the_last_user_of_a_table_closes_it_ascending() {
    // F-1, F-6, X-7 (11).
    let (mut w, task, table, files) = world();
    w.kernel.files[files[1]].count = 3;
    w.kernel.exit_files(task);
    assert_eq!(w.kernel.tasks[task].files, None);
    assert!(w.kernel.tables.get(table).is_none());
    let expected = ["exit true 3", "close 3", "0 0", "fput true", "5 2", "70 0", "fput true"];
    assert_eq!(told(&w), expected);
    // The releases wait for task_work_run, and the shared description stays.
    assert!(files.iter().all(|file| w.kernel.files.get(*file).is_some()));
    w.kernel.task_work_run(task);
    assert_eq!(files.map(|file| w.kernel.files.get(file).is_some()), [false, true, false]);
    assert_eq!(w.kernel.files[files[1]].count, 2);
    w.kernel.exit_files(task);
    assert_eq!(told(&w).len(), expected.len() + 2, "who has no table closes nothing");
}

#[test]
fn who_shares_its_table_leaves_it_open() {
    // F-1.
    let (mut w, task, table, files) = world();
    w.kernel.tables[table].count = 2;
    w.kernel.exit_files(task);
    assert_eq!(told(&w), ["exit false 3"]);
    assert_eq!((w.kernel.tables[table].count, w.kernel.tables[table].open_count()), (1, 3));
    assert!(files.iter().all(|file| w.kernel.files[*file].count == 1));
}

#[test]
fn fork_copies_the_table_and_counts_references() {
    // F-2: reserved slots are skipped.
    let (mut w, task, table, files) = world();
    assert_eq!(w.kernel.table_mut(task).alloc_fd(0, 64, false), Ok(1));
    w.kernel.tables[table].count = 2;
    let copy = w.kernel.dup_fd(table);
    assert_ne!(copy, table);
    assert!(files.iter().all(|file| w.kernel.files[*file].count == 2));
    let copied = &w.kernel.tables[copy];
    assert_eq!(
        (copied.count, copied.iter().collect::<Vec<_>>()),
        (1, vec![(0, files[0]), (5, files[1]), (70, files[2])])
    );
    assert!(copied.close_on_exec(5) && !copied.close_on_exec(0) && !copied.is_reserved(1));
    assert!(w.kernel.tables[table].is_reserved(1));
}

#[test]
fn exec_closes_what_is_marked() {
    // F-8.
    let (mut w, task, table, files) = world();
    w.kernel.tables[table].set_close_on_exec(70, true);
    w.kernel.do_close_on_exec(task);
    assert_eq!(told(&w), ["5 0", "fput true", "70 0", "fput true"]);
    assert_eq!(w.kernel.tables[table].iter().collect::<Vec<_>>(), [(0, files[0])]);
    assert_eq!(w.kernel.tables[table].alloc_fd(5, 64, false), Ok(5));
}

#[test]
fn a_descriptor_over_the_limit_is_refused_and_its_reference_dropped() {
    // F-3, RLIMIT_NOFILE.
    let (mut w, task, table, _) = world();
    let group = w.kernel.tasks[task].group;
    w.kernel.groups[group].rlimits.0[crate::task::rlimit::RLIMIT_NOFILE].soft = 2;
    let new = |w: &mut World| {
        let file = File::new(FileKind::Null, crate::abi::open::OFlags::RDWR);
        w.kernel.files.insert(file)
    };
    let (first, second) = (new(&mut w), new(&mut w));
    assert_eq!(w.kernel.install_fd(task, first, true), Ok(1));
    assert_eq!(w.kernel.tables[table].get(1), Ok(first));
    assert!(w.kernel.tables[table].close_on_exec(1));
    assert_eq!(w.kernel.install_fd(task, second, false), Err(Errno::EMFILE));
    w.kernel.task_work_run(task);
    assert!(w.kernel.files.get(second).is_none() && w.kernel.files.get(first).is_some());
}
