//! Tests of epoll over the system call table, with pipes, eventfds and sockets underneath.
//! Expectations that cite no rule were measured on Linux 6.18.

use super::{EPOLLET, EPOLLONESHOT};
use crate::abi::Errno;
use crate::fs::testing::{Outcome, Tiny, World};

const CLOSE: u64 = 3;
const WAIT: u64 = 232;
const CTL: u64 = 233;
const ADD: u64 = 1;
const DEL: u64 = 2;
const MOD: u64 = 3;
const BUF: u64 = 0x10_000;
const IN: u32 = 1;
const OUT: u32 = 4;
const HUP: u32 = 0x10;

fn pipe(w: &mut World) -> (u64, u64) {
    w.sys(293, &[World::OUT, 0o4000]).expect("pipe2");
    (u64::from(w.out(8)[0]), u64::from(w.out(8)[4]))
}

fn epoll(w: &mut World) -> u64 {
    w.sys(291, &[0]).expect("epoll_create1")
}

fn ctl(w: &mut World, ep: u64, op: u64, fd: u64, events: u32) -> Result<u64, Errno> {
    let mut raw = events.to_le_bytes().to_vec();
    raw.extend_from_slice(&fd.to_le_bytes());
    let at = w.put(&raw);
    w.sys(CTL, &[ep, op, fd, at])
}

/// What is reported now: (data, events).
fn wait(w: &mut World, ep: u64, max: u64) -> Vec<(u64, u32)> {
    let n = w.sys(WAIT, &[ep, World::OUT, max, 0]).expect("epoll_wait") as usize;
    let event = |b: &[u8]| {
        let data = u64::from_le_bytes(b[4..12].try_into().unwrap());
        (data, u32::from_le_bytes(b[..4].try_into().unwrap()))
    };
    w.out(n * 12).chunks_exact(12).map(event).collect()
}

fn write(w: &mut World, fd: u64) {
    assert_eq!(w.sys(1, &[fd, BUF, 1]), Ok(1));
}

#[test]
fn level_triggered_items_are_reported_until_they_are_served() {
    let mut w = World::new(Tiny::default());
    let ((r, wr), ep) = (pipe(&mut w), epoll(&mut w));
    ctl(&mut w, ep, ADD, r, IN).unwrap();
    assert!(wait(&mut w, ep, 8).is_empty());
    write(&mut w, wr);
    assert_eq!(wait(&mut w, ep, 8), [(r, IN)]);
    assert_eq!(wait(&mut w, ep, 8), [(r, IN)]);
    w.sys(0, &[r, BUF, 9]).unwrap();
    assert!(wait(&mut w, ep, 8).is_empty());
    w.sys(CLOSE, &[wr]).unwrap();
    assert_eq!(wait(&mut w, ep, 8), [(r, HUP)]);
}

#[test]
fn edge_triggered_items_are_reported_once_for_each_publication() {
    let mut w = World::new(Tiny::default());
    let ((r, wr), ep) = (pipe(&mut w), epoll(&mut w));
    ctl(&mut w, ep, ADD, r, IN | OUT | EPOLLET).unwrap();
    write(&mut w, wr);
    assert_eq!(wait(&mut w, ep, 8), [(r, IN)]);
    assert!(wait(&mut w, ep, 8).is_empty());
    write(&mut w, wr);
    assert_eq!(wait(&mut w, ep, 8), [(r, IN)], "also if it was readable already");
    w.sys(0, &[r, BUF, 1]).unwrap();
    assert!(wait(&mut w, ep, 8).is_empty(), "room is news for writers only");
}

#[test]
fn a_one_shot_item_is_silent_until_it_is_modified() {
    let mut w = World::new(Tiny::default());
    let ((r, wr), ep) = (pipe(&mut w), epoll(&mut w));
    ctl(&mut w, ep, ADD, r, IN | EPOLLONESHOT).unwrap();
    write(&mut w, wr);
    assert_eq!(wait(&mut w, ep, 8), [(r, IN)]);
    write(&mut w, wr);
    w.sys(CLOSE, &[wr]).unwrap();
    assert!(wait(&mut w, ep, 8).is_empty(), "not even HUP");
    ctl(&mut w, ep, MOD, r, IN | EPOLLONESHOT).unwrap();
    assert_eq!(wait(&mut w, ep, 8), [(r, IN | HUP)]);
}

#[test]
fn an_item_lives_as_long_as_its_description() {
    // F-12.
    let mut w = World::new(Tiny::default());
    let ((r, wr), ep) = (pipe(&mut w), epoll(&mut w));
    ctl(&mut w, ep, ADD, r, IN).unwrap();
    let dup = w.sys(32, &[r]).unwrap();
    w.sys(CLOSE, &[r]).unwrap();
    write(&mut w, wr);
    assert_eq!(wait(&mut w, ep, 8), [(r, IN)], "with the old data");
    assert_eq!(ctl(&mut w, ep, DEL, r, 0), Err(Errno::EBADF));
    assert_eq!(ctl(&mut w, ep, ADD, dup, IN), Ok(0), "another descriptor: another item");
    assert_eq!(wait(&mut w, ep, 8).len(), 2);
    w.sys(CLOSE, &[dup]).unwrap();
    assert!(wait(&mut w, ep, 8).is_empty());
}

#[test]
fn items_come_in_the_order_of_readiness_and_take_turns() {
    let mut w = World::new(Tiny::default());
    let (a, b, c, ep) = (pipe(&mut w), pipe(&mut w), pipe(&mut w), epoll(&mut w));
    for (r, _) in [a, b, c] {
        ctl(&mut w, ep, ADD, r, IN).unwrap();
    }
    for (_, wr) in [c, a, b] {
        write(&mut w, wr);
    }
    let data = |events: Vec<(u64, u32)>| events.iter().map(|e| e.0).collect::<Vec<_>>();
    assert_eq!(data(wait(&mut w, ep, 2)), [c.0, a.0]);
    assert_eq!(data(wait(&mut w, ep, 2)), [b.0, c.0]);
    assert_eq!(data(wait(&mut w, ep, 8)), [a.0, b.0, c.0]);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let mut w = World::new(Tiny::default());
    let ((r, _), ep) = (pipe(&mut w), epoll(&mut w));
    let file = w.open("/tmp/f", 0o102, 0o644).unwrap() as u64;
    assert_eq!(ctl(&mut w, ep, ADD, file, IN), Err(Errno::EPERM));
    assert_eq!(ctl(&mut w, ep, ADD, 99, IN), Err(Errno::EBADF));
    assert_eq!(ctl(&mut w, ep, ADD, ep, IN), Err(Errno::EINVAL));
    assert_eq!(ctl(&mut w, r, ADD, ep, IN), Err(Errno::EINVAL));
    assert_eq!(ctl(&mut w, ep, MOD, r, IN), Err(Errno::ENOENT));
    assert_eq!(ctl(&mut w, ep, 9, r, IN), Err(Errno::EINVAL));
    assert_eq!(ctl(&mut w, ep, ADD, r, IN), Ok(0));
    assert_eq!(ctl(&mut w, ep, ADD, r, IN), Err(Errno::EEXIST));
    assert_eq!(w.sys(WAIT, &[ep, World::OUT, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(w.sys(WAIT, &[r, World::OUT, 1, 0]), Err(Errno::EINVAL));
}

#[test]
fn sets_can_be_nested_five_deep_and_never_in_a_circle() {
    let mut w = World::new(Tiny::default());
    let sets: Vec<u64> = (0..6).map(|_| epoll(&mut w)).collect();
    for i in 1..5 {
        assert_eq!(ctl(&mut w, sets[i], ADD, sets[i - 1], IN), Ok(0));
    }
    assert_eq!(ctl(&mut w, sets[5], ADD, sets[4], IN), Err(Errno::ELOOP));
    assert_eq!(ctl(&mut w, sets[0], ADD, sets[4], IN), Err(Errno::ELOOP));
    let (r, wr) = pipe(&mut w);
    ctl(&mut w, sets[0], ADD, r, IN).unwrap();
    let flight = w.begin(WAIT, &[sets[4], World::OUT, 1, u64::MAX]).waiting();
    write(&mut w, wr);
    assert_eq!(w.again(flight), Outcome::Done(Ok(1)));
    w.sys(0, &[r, BUF, 1]).unwrap();
    assert!(wait(&mut w, sets[4], 1).is_empty());
}

#[test]
fn a_wait_that_times_out_reports_nothing() {
    let mut w = World::new(Tiny::default());
    let ep = epoll(&mut w);
    let flight = w.begin(WAIT, &[ep, World::OUT, 1, 10]).waiting();
    w.kernel.now = w.kernel.now + crate::time::Duration::from_millis(10);
    assert_eq!(w.again(flight), Outcome::Done(Ok(0)));
}

#[test]
fn poll_and_select_see_an_eventfd() {
    let mut w = World::new(Tiny::default());
    let efd = w.sys(290, &[0, 0]).unwrap();
    let entry = [&(efd as u32).to_le_bytes()[..], &[5, 0, 0xff, 0xff]].concat();
    let fds = w.put(&entry);
    assert_eq!(w.sys(7, &[fds, 1, u64::MAX]), Ok(1));
    let at = (fds - BUF) as usize;
    assert_eq!(w.user.memory[at + 6..at + 8], [4, 0], "writable, not readable");
    let set = w.put(&(1u64 << efd).to_le_bytes());
    let zero = w.put(&[0; 16]);
    assert_eq!(w.sys(23, &[efd + 1, set, 0, 0, zero]), Ok(0));
    let set = w.put(&(1u64 << efd).to_le_bytes());
    let flight = w.begin(23, &[efd + 1, set, 0, 0, 0]).waiting();
    let one = w.put(&1u64.to_le_bytes());
    assert_eq!(w.sys(1, &[efd, one, 8]), Ok(8));
    assert_eq!(w.again(flight), Outcome::Done(Ok(1)));
    assert_eq!(w.sys(0, &[efd, World::OUT, 8]), Ok(8));
    assert_eq!(w.out(8), 1u64.to_le_bytes());
    let bad = w.put(&(1u64 << 40).to_le_bytes());
    assert_eq!(w.sys(23, &[64, bad, 0, 0, zero]), Err(Errno::EBADF));
}
