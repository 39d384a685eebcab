//! shutdown(2) in every state × SHUT_RD, SHUT_WR, SHUT_RDWR, seen from both ends, as a table that
//! was measured on Linux 6.18; closes that linger; a full accept queue. Rules T-4, T-36 and T-44 to
//! T-47 of docs/linux-semantics.md. Over loopback, both ends in one process.

use guests::case::{Row, matrix};
use guests::net::{
    accept, connect, connection, dial, linger, listener, loopback, recv, send, set_option,
    shutdown, so_error, socket, tcp_state, until_hung_up, until_readable,
};
use guests::signal;
use guests::sys::{Fd, Sys, close, drain, fcntl, monotonic, poll_bits, poll_one, write};
use guests::{Check, ensure, fails, same};
use libc::{ECONNREFUSED, EINPROGRESS, MSG_DONTWAIT, O_NONBLOCK, POLLIN, POLLOUT};
use libc::{SHUT_RD, SHUT_RDWR, SHUT_WR};

/// State of our end, how it is shut, and what both ends then see, step by step: the call's result;
/// poll bits/state/SO_ERROR of ours and of the peer's; a write of the peer's and again both; a read
/// and a write of ours.
const TABLE: &[(&str, &str)] = &[
    ("fresh rd", "errno 107, 0x2015/7 -, [], errno 32, 0, 0x2015/7 -"),
    ("fresh wr", "errno 107, 0x14/7 -, errno 107, errno 32, 0, 0x14/7 -"),
    ("fresh rdwr", "errno 107, 0x2015/7 -, [], errno 32, 0, 0x2015/7 -"),
    (
        "listen rd",
        "(), 0x14/7 0x201d/7, errno 104, 0x14/7 0x2015/7, 0, errno 107, errno 32, 0, 0x14/7 0x2015/7",
    ),
    ("listen wr", "(), 0x1/10 0x4/1, 1, 0x1/10 0x4/1, 0, errno 107, errno 32, 0, 0x1/10 0x4/1"),
    (
        "listen rdwr",
        "(), 0x14/7 0x201d/7, errno 104, 0x14/7 0x2015/7, 0, errno 107, errno 32, 0, 0x14/7 0x2015/7",
    ),
    ("syn_sent rd", "(), 0x1c/7 -, errno 104, errno 32, 0, 0x14/7 -"),
    ("syn_sent wr", "(), 0x1c/7 -, errno 104, errno 32, 0, 0x14/7 -"),
    ("syn_sent rdwr", "(), 0x1c/7 -, errno 104, errno 32, 0, 0x14/7 -"),
    ("established rd", "(), 0x2005/1 0x4/1, 1, 0x2005/1 0x4/1, 0, [120], 1, 0, 0x2005/1 0x5/1"),
    (
        "established wr",
        "(), 0x4/5 0x2005/8, 1, 0x5/5 0x2005/8, 0, [120], errno 32, 0, 0x4/5 0x2005/8",
    ),
    (
        "established rdwr",
        "(), 0x2015/5 0x2005/8, 1, 0x201d/7 0x201d/7, 32, errno 104, errno 32, 0, 0x2015/7 0x2015/7",
    ),
    ("close_wait rd", "(), 0x2005/8 0x4/5, errno 32, 0x2005/8 0x4/5, 0, [], 1, 0, 0x2005/8 0x5/5"),
    (
        "close_wait wr",
        "(), 0x2015/7 0x2015/7, errno 32, 0x2015/7 0x2015/7, 0, [], errno 32, 0, 0x2015/7 0x2015/7",
    ),
    (
        "close_wait rdwr",
        "(), 0x2015/7 0x2015/7, errno 32, 0x2015/7 0x2015/7, 0, [], errno 32, 0, 0x2015/7 0x2015/7",
    ),
    (
        "fin_wait2 rd",
        "(), 0x2015/5 0x2005/8, 1, 0x201d/7 0x201d/7, 32, errno 104, errno 32, 0, 0x2015/7 0x2015/7",
    ),
    (
        "fin_wait2 wr",
        "(), 0x4/5 0x2005/8, 1, 0x5/5 0x2005/8, 0, [120], errno 32, 0, 0x4/5 0x2005/8",
    ),
    (
        "fin_wait2 rdwr",
        "(), 0x2015/5 0x2005/8, 1, 0x201d/7 0x201d/7, 32, errno 104, errno 32, 0, 0x2015/7 0x2015/7",
    ),
    (
        "both_fins rd",
        "errno 107, 0x2015/7 0x2015/7, errno 32, 0x2015/7 0x2015/7, 0, [], errno 32, 0, 0x2015/7 0x2015/7",
    ),
    (
        "both_fins wr",
        "errno 107, 0x2015/7 0x2015/7, errno 32, 0x2015/7 0x2015/7, 0, [], errno 32, 0, 0x2015/7 0x2015/7",
    ),
    (
        "both_fins rdwr",
        "errno 107, 0x2015/7 0x2015/7, errno 32, 0x2015/7 0x2015/7, 0, [], errno 32, 0, 0x2015/7 0x2015/7",
    ),
    ("reset rd", "errno 107, 0x201d/7 -, errno 104, errno 32, 0, 0x2015/7 -"),
    ("reset wr", "errno 107, 0x201d/7 -, errno 104, errno 32, 0, 0x2015/7 -"),
    ("reset rdwr", "errno 107, 0x201d/7 -, errno 104, errno 32, 0, 0x2015/7 -"),
];

/// Both ends in a state of ours; the peer's is −1 where there is none.
fn ends(state: &str) -> Result<(Fd, Fd), String> {
    let (near, far) = match state {
        "fresh" => (socket(libc::AF_INET, libc::SOCK_STREAM)?, -1),
        "listen" => {
            let (fd, port) = listener(4)?;
            (fd, dial(port)?)
        }
        "syn_sent" => {
            let (_, port) = full_queue()?;
            (begin(port)?, -1)
        }
        _ => connection()?,
    };
    match state {
        "close_wait" => {
            shutdown(far, SHUT_WR)?;
            until_readable(near)?;
        }
        "fin_wait2" => {
            shutdown(near, SHUT_WR)?;
            until_readable(far)?;
        }
        "both_fins" => {
            shutdown(near, SHUT_WR)?;
            until_readable(far)?;
            shutdown(far, SHUT_WR)?;
            until_hung_up(near)?;
        }
        "reset" => {
            linger(far, 0)?;
            close(far)?;
            return Ok((near, -1));
        }
        _ => {}
    }
    Ok((near, far))
}

/// A listener whose accept queue is full, and its port.
fn full_queue() -> Sys<(Fd, u16)> {
    let (fd, port) = listener(0)?;
    dial(port)?;
    Ok((fd, port))
}

/// A connect that does not wait.
fn begin(port: u16) -> Result<Fd, String> {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    fcntl(fd, libc::F_SETFL, O_NONBLOCK)?;
    fails!(connect(fd, &loopback(port)), EINPROGRESS);
    Ok(fd)
}

fn words<T: std::fmt::Debug>(result: Sys<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(failed) => format!("errno {}", failed.errno),
    }
}

/// Poll bits and state; an acknowledgment of a FIN may be delayed, so both FIN_WAITs are one.
fn look(fd: Fd) -> Sys<String> {
    if fd < 0 {
        return Ok("-".into());
    }
    let state = match tcp_state(fd)? {
        4 => 5,
        state => state,
    };
    Ok(format!("{:#x}/{state}", poll_bits(fd)?))
}

fn told(state: &str, how: &str) -> Result<String, String> {
    signal::ignore(libc::SIGPIPE)?;
    let (near, far) = ends(state)?;
    let how = match how {
        "rd" => SHUT_RD,
        "wr" => SHUT_WR,
        _ => SHUT_RDWR,
    };
    let mut said = vec![words(shutdown(near, how))];
    let both = || -> Sys<String> { Ok(format!("{} {}", look(near)?, look(far)?)) };
    said.push(both()?);
    if far >= 0 {
        said.push(words(send(far, b"x", 0)));
        said.push(both()?);
        said.push(words(so_error(far)));
    }
    said.push(words(recv(near, 8, MSG_DONTWAIT)));
    said.push(words(send(near, b"y", 0)));
    said.push(words(so_error(near)));
    said.push(both()?);
    Ok(said.join(", "))
}

fn main() {
    let mut rows: Vec<Row> = vec![
        ("linger_returns_when_the_fin_is_acknowledged".into(), Box::new(linger_acknowledged)),
        ("linger_gives_up_after_its_time".into(), Box::new(linger_gives_up)),
        ("linger_ends_at_a_signal".into(), Box::new(linger_interrupted)),
        ("linger_waits_on_a_nonblocking_socket_too".into(), Box::new(linger_nonblocking)),
        ("full_queue_lets_a_client_in_at_its_second_syn".into(), Box::new(let_in_later)),
        ("full_queue_of_a_dead_listener_refuses_at_the_second_syn".into(), Box::new(refused_later)),
    ];
    for (name, expected) in TABLE {
        let row = move || {
            let (state, how) = name.rsplit_once(' ').ok_or("a name has two words")?;
            same!(told(state, how)?, *expected, "{name}");
            Ok(())
        };
        rows.push((name.replace(' ', "_shut_"), Box::new(row)));
    }
    matrix(&rows);
}

/// Our end with its peer's room full, and the bytes that were taken.
fn blocked(seconds: i32) -> Result<(Fd, Fd, usize), String> {
    let (near, far) = connection()?;
    set_option(near, libc::SOL_SOCKET, libc::SO_SNDBUF, 65_536)?;
    let mut sent = 0;
    while let Ok(length) = send(near, &[b'd'; 4096], MSG_DONTWAIT) {
        sent += length;
    }
    linger(near, seconds)?;
    Ok((near, far, sent))
}

/// Closes; how long it took, in milliseconds.
fn timed_close(fd: Fd) -> Result<u64, String> {
    let before = monotonic();
    close(fd)?;
    Ok((monotonic() - before) / 1_000_000)
}

/// The orphan goes on: all that was taken arrives, then the end.
fn arrives(far: Fd, sent: usize) -> Check {
    let (got, end) = drain(far);
    end?;
    same!(got.len(), sent, "bytes before the end");
    Ok(())
}

/// T-4.
fn linger_acknowledged() -> Check {
    let (near, far) = connection()?;
    linger(near, 10)?;
    write(near, b"last words")?;
    let took = timed_close(near)?;
    ensure!(took < 1000, "close took {took} ms");
    arrives(far, 10)
}

/// T-4: 0 is returned all the same.
fn linger_gives_up() -> Check {
    let (near, far, sent) = blocked(1)?;
    let took = timed_close(near)?;
    ensure!((990..2000).contains(&took), "close took {took} ms");
    arrives(far, sent)
}

/// T-4.
fn linger_interrupted() -> Check {
    let (near, far, sent) = blocked(10)?;
    signal::handle(libc::SIGALRM, 0)?;
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 100_000 },
    };
    // SAFETY: a valid struct.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    let took = timed_close(near)?;
    ensure!((90..5000).contains(&took), "close took {took} ms");
    same!(signal::logged().len(), 1, "signals");
    fails!(fcntl(near, libc::F_GETFD, 0), libc::EBADF);
    arrives(far, sent)
}

/// T-4: O_NONBLOCK does not matter to it.
fn linger_nonblocking() -> Check {
    let (near, far, sent) = blocked(1)?;
    fcntl(near, libc::F_SETFL, O_NONBLOCK)?;
    let took = timed_close(near)?;
    ensure!((990..2000).contains(&took), "close took {took} ms");
    arrives(far, sent)
}

/// T-36.
fn let_in_later() -> Check {
    let (fd, port) = full_queue()?;
    let before = monotonic();
    let late = begin(port)?;
    same!((poll_bits(late)?, tcp_state(late)?), (0, 2), "poll bits and state");
    accept(fd)?;
    same!(poll_one(late, POLLOUT, 5000)?, POLLOUT, "poll of the late one");
    let took = (monotonic() - before) / 1_000_000;
    ensure!((900..1900).contains(&took), "it took {took} ms");
    same!(poll_one(fd, POLLIN, 1000)?, POLLIN, "poll of the listener");
    Ok(())
}

/// T-36, T-35.
fn refused_later() -> Check {
    let (fd, port) = full_queue()?;
    let before = monotonic();
    let late = begin(port)?;
    close(fd)?;
    poll_one(late, POLLOUT, 5000)?;
    same!(so_error(late)?, ECONNREFUSED, "SO_ERROR");
    let took = (monotonic() - before) / 1_000_000;
    ensure!((900..1900).contains(&took), "it took {took} ms");
    Ok(())
}
