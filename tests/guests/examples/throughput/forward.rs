//! Carries packets between the two devices, each when it is due. Waits without sleeping while something
//! is due soon: waking up takes longer than a packet does.

use crate::packet::Packet;
use crate::queue::{Direction, Shape};
use guests::sys::{Fd, monotonic};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// What takes longer than this, in nanoseconds, is slept for, until so long before.
const SOON: u64 = 100_000;
/// Packets are handed over so much before they are due, in nanoseconds: on average they are late by that
/// (measured, with windows of a few packets over 1 ms).
const EARLY: u64 = 12_000;
/// How long it sleeps when nothing is on its way: whether all is done is asked then.
const IDLE: u64 = 100_000_000;
/// The longest packet with what is before it.
const LONGEST: usize = 66_000;
/// Packets that are taken from one device before the other has its turn.
const TURN: usize = 4;

/// The packets of one direction, each with the time at which it is due.
type Due = VecDeque<(u64, Vec<u8>)>;

/// Forwards until `done`; says what did not arrive, and how late the others did on average.
pub fn forward(devices: [Fd; 2], shape: &Shape, joined: bool, done: &AtomicBool) -> String {
    let mut ways = [0, 1].map(|i| Direction::new(*shape, i));
    let mut due = [Due::new(), Due::new()];
    let mut buffer = vec![0_u8; LONGEST];
    let (mut late, mut carried, mut last) = (0_i64, 0_i64, monotonic());
    while !done.load(Ordering::Relaxed) {
        let mut idle = true;
        for from in 0..2 {
            for _ in 0..TURN {
                let Some(packet) = read(devices[from], &mut buffer) else { break };
                idle = false;
                take(monotonic(), &packet, &mut ways[from], joined, &mut due[from]);
            }
            let now = monotonic();
            while let Some((at, bytes)) = due[from].pop_front_if(|(at, _)| *at <= now + EARLY) {
                (late, carried, idle) = (late + now as i64 - at as i64, carried + 1, false);
                write(devices[1 - from], &bytes);
            }
        }
        let now = monotonic();
        if !idle {
            last = now;
        }
        let next = due.iter().filter_map(|it| it.front()).map(|(at, _)| *at).min();
        let wait = next.map_or(IDLE, |at| at.saturating_sub(now + SOON + EARLY));
        if wait > 0 && now - last > SOON {
            sleep(devices, wait);
        }
    }
    let (lost, full) = (ways[0].lost + ways[1].lost, ways[0].full + ways[1].full);
    format!("lost {lost}, without room {full}, late by {} ns", late / carried.max(1))
}

/// A packet comes from a device at `now`: what of it arrives, and when. Those of its segments that follow
/// each other arrive as one, when `joined`.
fn take(now: u64, packet: &Packet, way: &mut Direction, joined: bool, due: &mut Due) {
    if !packet.is_tcp() {
        return;
    }
    let count = packet.segments();
    // The first segment of those that arrive together, and when the last of them does.
    let mut run: Option<(usize, u64)> = None;
    for i in 0..count {
        let arrival = way.send(now, packet.length(i));
        if let (Some(at), Some((first, _)), true) = (arrival, run, joined) {
            run = Some((first, at));
            continue;
        }
        if let Some((first, at)) = run {
            due.push_back((at, packet.piece(first, i)));
        }
        run = arrival.map(|at| (i, at));
    }
    if let Some((first, at)) = run {
        due.push_back((at, packet.piece(first, count)));
    }
}

fn read(device: Fd, buffer: &mut [u8]) -> Option<Packet> {
    // SAFETY: the buffer has the length that is given.
    let got = unsafe { libc::read(device, buffer.as_mut_ptr().cast(), buffer.len()) };
    (got > 0).then(|| Packet { bytes: buffer[..got as usize].to_vec() })
}

fn write(device: Fd, bytes: &[u8]) {
    // SAFETY: the pointer and the length are those of the bytes. A packet that the device does not take
    // is lost, as on a wire.
    unsafe { libc::write(device, bytes.as_ptr().cast(), bytes.len()) };
}

fn sleep(devices: [Fd; 2], nanos: u64) {
    let mut both = devices.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let second = 1_000_000_000;
    let time = libc::timespec { tv_sec: (nanos / second) as i64, tv_nsec: (nanos % second) as i64 };
    // SAFETY: two struct pollfd and a struct timespec that live here.
    unsafe { libc::ppoll(both.as_mut_ptr(), 2, &raw const time, std::ptr::null()) };
}
