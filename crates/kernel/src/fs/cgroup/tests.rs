//! Groups without guests: who is populated, what is kept of a removed group, freezing, and when
//! changes are told.

use super::{CgroupId, CgroupRootFlags, kernfs_path_from_node};
use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::task::nsproxy::CgroupNs;
use crate::task::signal::testing::World;
use crate::task::{Run, TaskId};
use crate::time::{Duration, Instant};

/// A new group below another one.
fn group(w: &mut World, parent: CgroupId, name: &str) -> CgroupId {
    let (dir, init) = (w.kernel.cgroups.all[parent].dir, w.kernel.init_task());
    w.kernel.cgroup_mkdir(init, dir, name.as_bytes(), 0o755).unwrap();
    *w.kernel.cgroups.all[parent].children.last().unwrap()
}

fn rmdir(w: &mut World, cgroup: CgroupId) -> Result<(), Errno> {
    w.kernel.cgroup_rmdir(w.kernel.cgroups.all[cgroup].dir)
}

fn shown(w: &World, task: TaskId) -> String {
    String::from_utf8(w.kernel.proc_cgroup_show(task, w.kernel.init_task())).unwrap()
}

/// Lets time come to a moment.
fn at(w: &mut World, time: Duration) {
    w.kernel.now = Instant::ZERO + time;
    w.kernel.run_cgroup_notifications();
}

#[test]
fn paths_are_told_from_the_root_of_a_namespace() {
    let from = |path: &str, root: &str| {
        String::from_utf8(kernfs_path_from_node(path.as_bytes(), root.as_bytes())).unwrap()
    };
    assert_eq!((from("/", "/"), from("/a/b", "/")), ("/".into(), "/a/b".into()));
    assert_eq!((from("/a/b", "/a"), from("/a", "/a")), ("/b".into(), "/".into()));
    assert_eq!((from("/c", "/a/b"), from("/", "/a")), ("/../../c".into(), "/..".into()));
    assert_eq!((from("/ab", "/a"), from("/a/c", "/a/b")), ("/../ab".into(), "/../c".into()));
}

#[test]
fn a_task_populates_its_group_and_those_above() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let (a, task) = (group(&mut w, root, "a"), w.process());
    let b = group(&mut w, a, "b");
    assert_eq!(shown(&w, task), "0::/\n");
    w.kernel.cgroup_migrate(task, b);
    let populated = |w: &World| [root, a, b].map(|at| w.kernel.cgroups.all[at].populated > 0);
    assert_eq!(populated(&w), [true, true, true]);
    assert_eq!(shown(&w, task), "0::/a/b\n");
    assert_eq!(rmdir(&mut w, b), Err(Errno::EBUSY));
    w.kernel.cgroup_migrate(task, a);
    assert_eq!(populated(&w), [true, true, false]);
    assert_eq!(rmdir(&mut w, b), Ok(()));
    w.kernel.cgroup_exit(task);
    assert_eq!([root, a].map(|at| w.kernel.cgroups.all[at].populated > 0), [true, false]);
}

#[test]
fn a_removed_group_is_kept_for_its_zombies_and_no_longer() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let (a, task) = (group(&mut w, root, "a"), w.process());
    let b = group(&mut w, a, "b");
    w.kernel.cgroup_migrate(task, b);
    w.kernel.account_cputime(task, Duration::from_micros(3), Duration::from_micros(4));
    w.kernel.cgroup_exit(task);
    assert_eq!((rmdir(&mut w, b), rmdir(&mut w, a)), (Ok(()), Ok(())));
    assert_eq!(shown(&w, task), "0::/a/b (deleted)\n");
    assert_eq!(w.kernel.cgroups.nr_dying_descendants(root), 2);
    w.kernel.tasks[task].cgroup = root;
    w.kernel.cgroup_release(task, b);
    assert_eq!((w.kernel.cgroups.nr_dying_descendants(root), w.kernel.cgroups.all.len()), (0, 1));
    let text = w.kernel.cgroups.cpu_stat_show(root);
    assert_eq!(text, "usage_usec 7\nuser_usec 3\nsystem_usec 4\nnice_usec 0\n");
}

#[test]
fn a_change_is_told_a_moment_later_and_the_next_after_ten_milliseconds() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let (a, task) = (group(&mut w, root, "a"), w.process());
    at(&mut w, Duration::from_millis(5));
    let told = |w: &World| w.kernel.cgroups.all[a].event;
    for to in [a, root, a] {
        w.kernel.cgroup_migrate(task, to);
    }
    let due = w.kernel.next_cgroup_notification();
    assert_eq!((told(&w), due), (1, Some(Instant::ZERO + Duration::from_micros(5010))));
    at(&mut w, Duration::from_micros(5010));
    assert_eq!(told(&w), 2);
    at(&mut w, Duration::from_micros(14_999));
    assert_eq!(told(&w), 2);
    at(&mut w, Duration::from_millis(15));
    assert_eq!((told(&w), w.kernel.next_cgroup_notification()), (3, None));
    w.kernel.cgroup_migrate(task, root);
    assert_eq!(rmdir(&mut w, a), Ok(()));
    at(&mut w, Duration::from_millis(99));
    assert_eq!(w.kernel.next_cgroup_notification(), None);
}

#[test]
fn a_frozen_task_sleeps_until_the_thaw_or_death() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let (a, task) = (group(&mut w, root, "a"), w.process());
    let (b, other) = (group(&mut w, a, "b"), w.process());
    w.kernel.cgroup_migrate(task, a);
    w.kernel.cgroup_migrate(other, b);
    assert_eq!(w.kernel.cgroup_freeze_write(a, 2), Err(Errno::ERANGE));
    w.kernel.cgroup_freeze_write(a, 1).unwrap();
    let frozen = |w: &World| [a, b].map(|at| w.kernel.cgroups.all[at].freezer.frozen);
    assert_eq!(frozen(&w), [false, false]);
    w.kernel.exit_to_user_mode(task, &mut w.memory);
    assert_eq!((&w.kernel.tasks[task].run, frozen(&w)), (&Run::Frozen, [false, false]));
    w.kernel.exit_to_user_mode(other, &mut w.memory);
    assert_eq!(frozen(&w), [true, true]);
    assert!(!w.kernel.is_ready(other));
    w.kernel.now = w.kernel.now + Duration::from_micros(7);
    assert_eq!(w.kernel.cgroups.all[b].freezer.time_until(w.kernel.now), Duration::from_micros(7));
    // What it cannot take it looks at, and sleeps again.
    w.kernel.signal_wake_up(other, false);
    w.kernel.exit_to_user_mode(other, &mut w.memory);
    assert_eq!((&w.kernel.tasks[other].run, frozen(&w)), (&Run::Frozen, [true, true]));
    w.kernel.send_sig(Signal::SIGKILL, other);
    w.kernel.exit_to_user_mode(other, &mut w.memory);
    assert_eq!((&w.kernel.tasks[other].run, frozen(&w)), (&Run::Zombie, [true, true]));
    w.kernel.cgroup_freeze_write(a, 0).unwrap();
    assert_eq!(frozen(&w), [false, false]);
    w.kernel.exit_to_user_mode(task, &mut w.memory);
    assert!(w.kernel.goes_on_in_user_mode(task) && !w.kernel.tasks[task].freezer.frozen);
}

#[test]
fn a_wish_to_freeze_counts_once_for_each_group_above() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let a = group(&mut w, root, "a");
    let b = group(&mut w, a, "b");
    w.kernel.cgroup_freeze_write(b, 1).unwrap();
    w.kernel.cgroup_freeze_write(a, 1).unwrap();
    w.kernel.cgroup_freeze_write(b, 0).unwrap();
    assert!(w.kernel.cgroups.is_freezing(b) && w.kernel.cgroups.all[a].freezer.frozen);
    let c = group(&mut w, b, "c");
    assert!(w.kernel.cgroups.all[c].freezer.frozen, "born in the frost");
    w.kernel.cgroup_freeze_write(a, 0).unwrap();
    assert!(!w.kernel.cgroups.is_freezing(c) && !w.kernel.cgroups.all[c].freezer.frozen);
}

#[test]
fn threads_stay_in_the_domain_of_their_process() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let a = group(&mut w, root, "a");
    let (b, c) = (group(&mut w, a, "b"), group(&mut w, a, "c"));
    w.kernel.cgroup_type_write(b, b"threaded").unwrap();
    let kinds = |w: &World| [a, b, c].map(|at| w.kernel.cgroups.type_of(at));
    assert_eq!(kinds(&w), ["domain threaded", "threaded", "domain invalid"]);
    let leader = w.process();
    let thread = w.thread();
    let cred = w.kernel.tasks[leader].cred.clone();
    let may = |w: &World, from, to, group| {
        w.kernel.cgroup_attach_permissions((from, to), (&cred, CgroupNs::default()), group)
    };
    assert_eq!(may(&w, root, b, false), Err(Errno::EOPNOTSUPP));
    assert_eq!(may(&w, root, c, true), Err(Errno::EOPNOTSUPP));
    assert_eq!((may(&w, root, b, true), may(&w, a, b, false)), (Ok(()), Ok(())));
    for task in [leader, thread] {
        w.kernel.cgroup_migrate(task, a);
    }
    w.kernel.cgroup_migrate(thread, b);
    assert_eq!(w.kernel.cgroup_processes(a), Ok(vec![leader]));
    assert_eq!(w.kernel.cgroup_processes(b), Err(Errno::EOPNOTSUPP));
    w.kernel.cgroup_exit(leader);
    w.kernel.tasks[leader].run = Run::Zombie;
    w.kernel.tasks[leader].exiting = true;
    assert_eq!(w.kernel.cgroup_processes(a), Ok(vec![leader]), "it is outlived by its thread");
}

#[test]
fn who_was_given_a_group_by_nsdelegate_stays_in_it() {
    let mut w = World::new();
    let root = w.kernel.cgroups.root;
    let (a, task) = (group(&mut w, root, "a"), w.process());
    let b = group(&mut w, a, "b");
    w.kernel.cgroup_migrate(task, a);
    let flags = u64::from(linux_raw_sys::general::CLONE_NEWCGROUP);
    let (proxy, cred) = w.kernel.create_new_namespaces(task, flags).unwrap();
    let (init, ns) = (CgroupNs::default(), proxy.cgroup);
    let may =
        |w: &World, from, to, ns| w.kernel.cgroup_attach_permissions((from, to), (&cred, ns), true);
    assert_eq!((may(&w, a, root, ns), w.kernel.is_delegated_root(a, ns)), (Ok(()), false));
    assert_eq!(CgroupRootFlags::parse(b"nsdelegate,other"), Err(Errno::EINVAL));
    let flags = CgroupRootFlags::parse(b"memory_recursiveprot,nsdelegate").unwrap();
    assert_eq!(flags.show(), ",nsdelegate,memory_recursiveprot");
    w.kernel.apply_cgroup_root_flags(task, flags);
    assert_eq!(
        (may(&w, a, root, ns), may(&w, root, a, ns)),
        (Err(Errno::ENOENT), Err(Errno::ENOENT))
    );
    assert_eq!((may(&w, a, b, ns), may(&w, a, root, init)), (Ok(()), Ok(())));
    let fixed = [(a, ns), (b, ns), (root, init)].map(|(at, ns)| w.kernel.is_delegated_root(at, ns));
    assert_eq!(fixed, [true, false, false]);
    // From within nobody changes the options.
    w.kernel.tasks[task].nsproxy = proxy;
    w.kernel.apply_cgroup_root_flags(task, CgroupRootFlags::default());
    assert_eq!(w.kernel.vfs.cgroup_flags, flags);
}
