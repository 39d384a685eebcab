//! Calls that ask many descriptors: poll, epoll. The data of an epoll item is its descriptor.
//! Neighbours: `io`, `sockets`.

use super::actor::{Actor, Call, address, sys};

pub const CALLS: &[(&str, Call)] = &[
    ("poll", poll),
    ("epoll", |a, [flags, at, ..]| a.place(sys(libc::SYS_epoll_create1, &[flags]), at)),
    ("epoll_ctl", |_, [ep, how, fd, events, ..]| {
        let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
        sys(libc::SYS_epoll_ctl, &[ep, how, fd, address(&mut event)])
    }),
    ("epoll_wait", epoll_wait),
];

/// poll(2) of the descriptors in a bit mask; −1 waits for ever, anything else not at all.
fn poll(actor: &mut Actor, [fds, events, timeout, ..]: [i64; 6]) -> i64 {
    let mut list: Vec<libc::pollfd> = (0..64)
        .filter(|fd| fds >> fd & 1 == 1)
        .map(|fd| libc::pollfd { fd, events: events as i16, revents: 0 })
        .collect();
    let timeout = if timeout == -1 { -1 } else { 0 };
    let ready = sys(libc::SYS_poll, &[list.as_mut_ptr() as i64, list.len() as i64, timeout]);
    if ready >= 0 {
        let found = list.iter().filter(|it| it.revents != 0);
        actor.more.extend(found.flat_map(|it| [i64::from(it.fd), i64::from(it.revents)]));
    }
    ready
}

/// epoll_wait(2): descriptors and their events, in the order in which they came.
fn epoll_wait(actor: &mut Actor, [ep, most, timeout, ..]: [i64; 6]) -> i64 {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
    let timeout = if timeout == -1 { -1 } else { 0 };
    let to = events.as_mut_ptr() as i64;
    let ready = sys(libc::SYS_epoll_wait, &[ep, to, most.min(16), timeout]);
    for event in events.iter().take(ready.max(0) as usize) {
        let (fd, events) = (event.u64 as i64, i64::from(event.events));
        actor.more.extend([fd, events]);
    }
    ready
}
