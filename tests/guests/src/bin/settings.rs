//! What an administrator can set of TCP, IP and sockets under /proc/sys/net, and what each setting does
//! to sockets; the constants of T-1, as files and options tell them; T-23. ip-sysctl, tcp(7),
//! socket(7). In a network namespace of its own, so that nothing of the machine changes; who may not
//! make one passes without a word where that is needed. Over loopback.

use guests::net::{
    accept, bind, connect, connection, dial, errno_of, listener, loopback, option, own_settings,
    recv, send, set_option, set_sysctl, shutdown, socket, sysctl, tcp_state, until_hung_up,
    until_readable,
};
use guests::process::{fork_check, wait_ok};
use guests::sys::{Fd, Sys, close, poll_bits, small};
use guests::{Check, cases, ensure, fails, same};
use libc::{AF_INET, EINVAL, IPPROTO_TCP, MSG_DONTWAIT, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET};
use libc::{SOCK_DGRAM, SOCK_STREAM, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_LINGER2};
use libc::{TCP_SYNCNT, TCP_USER_TIMEOUT};

cases! {
    files_tell_what_a_host_boots_with,
    files_take_what_fits_only,
    options_begin_with_the_settings,
    options_have_their_limits,
    living_sockets_follow,
    timers_obey_rto_min,
    what_a_syn_offers,
    buffers_begin_with_tcp_rmem_and_wmem,
    buffers_of_others_and_the_most_that_can_be_asked,
    a_backlog_is_cut_to_somaxconn,
    a_full_queue_resets_if_tcp_abort_on_overflow_says_so,
    ports_below_the_unprivileged_ones,
    one_orphan_too_many,
    a_buffer_that_may_not_grow,
}

/// T-1, and what else is on every 6.18 without a look at its memory. tcp_max_orphans is there in the
/// first network namespace only.
const BOOT: &[(&str, &str)] = &[
    ("core/somaxconn", "4096"),
    ("ipv4/ip_local_port_range", "32768 60999"),
    ("ipv4/ip_unprivileged_port_start", "1024"),
    ("ipv4/tcp_abort_on_overflow", "0"),
    ("ipv4/tcp_challenge_ack_limit", "2147483647"),
    ("ipv4/tcp_ecn", "2"),
    ("ipv4/tcp_fin_timeout", "60"),
    ("ipv4/tcp_invalid_ratelimit", "500"),
    ("ipv4/tcp_keepalive_intvl", "75"),
    ("ipv4/tcp_keepalive_probes", "9"),
    ("ipv4/tcp_keepalive_time", "7200"),
    ("ipv4/tcp_migrate_req", "0"),
    ("ipv4/tcp_min_tso_segs", "2"),
    ("ipv4/tcp_moderate_rcvbuf", "1"),
    ("ipv4/tcp_notsent_lowat", "4294967295"),
    ("ipv4/tcp_orphan_retries", "0"),
    ("ipv4/tcp_retries1", "3"),
    ("ipv4/tcp_retries2", "15"),
    ("ipv4/tcp_rfc1337", "0"),
    ("ipv4/tcp_rto_max_ms", "120000"),
    ("ipv4/tcp_rto_min_us", "200000"),
    ("ipv4/tcp_sack", "1"),
    ("ipv4/tcp_slow_start_after_idle", "1"),
    ("ipv4/tcp_syn_linear_timeouts", "4"),
    ("ipv4/tcp_syn_retries", "6"),
    ("ipv4/tcp_synack_retries", "5"),
    ("ipv4/tcp_syncookies", "1"),
    ("ipv4/tcp_timestamps", "1"),
    ("ipv4/tcp_window_scaling", "1"),
];

/// False where this process cannot have settings of its own.
fn alone() -> bool {
    own_settings().is_ok()
}

fn tcp() -> Sys<Fd> {
    socket(AF_INET, SOCK_STREAM)
}

fn tcp_option(fd: Fd, name: i32) -> Sys<i32> {
    option(fd, IPPROTO_TCP, name)
}

fn files_tell_what_a_host_boots_with() -> Check {
    if !alone() {
        return Ok(());
    }
    for (name, value) in BOOT {
        same!(sysctl(&format!("net/{name}"))?, *value, "{name}");
    }
    Ok(())
}

fn files_take_what_fits_only() -> Check {
    if !alone() {
        return Ok(());
    }
    for (name, bad) in [
        ("tcp_retries2", "256"),
        ("tcp_retries2", "-1"),
        ("tcp_retries2", "x"),
        ("tcp_syn_retries", "0"),
        ("tcp_syn_retries", "128"),
        ("tcp_rto_max_ms", "999"),
        ("tcp_rto_max_ms", "120001"),
        ("tcp_migrate_req", "2"),
        ("ip_local_port_range", "50000 40000"),
        ("ip_local_port_range", "1000 2000"),
        ("ip_local_port_range", "40000 65536"),
        ("ip_unprivileged_port_start", "40000"),
    ] {
        let before = sysctl(&format!("net/ipv4/{name}"))?;
        let result = set_sysctl(&format!("net/ipv4/{name}"), bad);
        let why = result.err().unwrap_or_default();
        ensure!(why.contains("Invalid argument"), "{name} = {bad}: {why:?}");
        same!(sysctl(&format!("net/ipv4/{name}"))?, before, "{name} after {bad}");
    }
    Ok(())
}

fn options_begin_with_the_settings() -> Check {
    if !alone() {
        return Ok(());
    }
    let defaults = || -> Sys<[i32; 6]> {
        let fd = tcp()?;
        let names =
            [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_USER_TIMEOUT];
        let mut values = [0; 6];
        for (value, name) in values.iter_mut().zip(names) {
            *value = tcp_option(fd, name)?;
        }
        Ok(values)
    };
    same!(defaults()?, [7200, 75, 9, 6, 60, 0], "T-1");
    for (name, value) in [
        ("tcp_keepalive_time", "100"),
        ("tcp_keepalive_intvl", "7"),
        ("tcp_keepalive_probes", "3"),
        ("tcp_syn_retries", "2"),
        ("tcp_fin_timeout", "30"),
    ] {
        set_sysctl(&format!("net/ipv4/{name}"), value)?;
    }
    same!(defaults()?, [100, 7, 3, 2, 30, 0], "what was set");
    Ok(())
}

/// T-1: the greatest that each takes, one more, and the least.
fn options_have_their_limits() -> Check {
    let fd = tcp()?;
    for (name, most) in
        [(TCP_KEEPIDLE, 32_767), (TCP_KEEPINTVL, 32_767), (TCP_KEEPCNT, 127), (TCP_SYNCNT, 127)]
    {
        set_option(fd, IPPROTO_TCP, name, most)?;
        same!(tcp_option(fd, name)?, most, "option {name}");
        for bad in [most + 1, 0, -1] {
            fails!(set_option(fd, IPPROTO_TCP, name, bad), EINVAL);
        }
        same!(tcp_option(fd, name)?, most, "option {name} after what it refused");
    }
    for (set, told) in [(120, 120), (121, 120), (i32::MAX, 120), (-1, -1), (-7, -1), (1, 1)] {
        set_option(fd, IPPROTO_TCP, TCP_LINGER2, set)?;
        same!(tcp_option(fd, TCP_LINGER2)?, told, "TCP_LINGER2 after {set}");
    }
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, i32::MAX)?;
    fails!(set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), EINVAL);
    same!(tcp_option(fd, TCP_USER_TIMEOUT)?, i32::MAX, "TCP_USER_TIMEOUT");
    Ok(())
}

/// A setting holds for sockets that are there, unless they have their own.
fn living_sockets_follow() -> Check {
    if !alone() {
        return Ok(());
    }
    let (near, far) = connection()?;
    set_option(far, IPPROTO_TCP, TCP_KEEPCNT, 5)?;
    set_option(far, IPPROTO_TCP, TCP_LINGER2, 17)?;
    set_sysctl("net/ipv4/tcp_keepalive_probes", "4")?;
    set_sysctl("net/ipv4/tcp_fin_timeout", "20")?;
    let both = |fd| Ok::<_, String>((tcp_option(fd, TCP_KEEPCNT)?, tcp_option(fd, TCP_LINGER2)?));
    same!(both(near)?, (4, 20), "of one without options");
    same!(both(far)?, (5, 17), "of one with options");
    Ok(())
}

/// struct tcp_info.
fn tcp_info(fd: Fd) -> Sys<[u8; 104]> {
    let (mut info, mut length) = ([0_u8; 104], 104_u32);
    // SAFETY: that many bytes of room.
    small("getsockopt", unsafe {
        libc::getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut length)
    })?;
    Ok(info)
}

/// tcpi_rto in microseconds: at least `tcp_rto_min_us` and the round trip.
fn timers_obey_rto_min() -> Check {
    if !alone() {
        return Ok(());
    }
    let rto = |fd| -> Result<u32, String> {
        let info = tcp_info(fd)?;
        Ok(u32::from_ne_bytes(info[8..12].try_into().map_err(|_| "four bytes")?))
    };
    let (near, _far) = connection()?;
    let first = rto(near)?;
    ensure!((200_000..400_000).contains(&first), "by default {first} µs");
    set_sysctl("net/ipv4/tcp_rto_min_us", "1000000")?;
    let (near, _far) = connection()?;
    let second = rto(near)?;
    ensure!((1_000_000..1_200_000).contains(&second), "with a second {second} µs");
    Ok(())
}

/// tcpi_options: 1 timestamps, 2 SACK, 4 window scaling, 8 ECN; and the two scales.
fn what_a_syn_offers() -> Check {
    if !alone() {
        return Ok(());
    }
    let offered = || -> Result<u8, String> {
        let (near, far) = connection()?;
        let (near, far) = (tcp_info(near)?, tcp_info(far)?);
        same!(near[5] & 0xf, far[5] & 0xf, "both ends agree");
        Ok(near[5] & 0xf)
    };
    same!(offered()?, 7, "by default");
    for (name, value, left) in [
        ("tcp_ecn", "1", 15),
        ("tcp_timestamps", "0", 14),
        ("tcp_window_scaling", "0", 10),
        ("tcp_sack", "0", 8),
        ("tcp_ecn", "0", 0),
    ] {
        set_sysctl(&format!("net/ipv4/{name}"), value)?;
        same!(offered()?, left, "with {name} = {value}");
    }
    Ok(())
}

fn buffers_begin_with_tcp_rmem_and_wmem() -> Check {
    if !alone() {
        return Ok(());
    }
    set_sysctl("net/ipv4/tcp_rmem", "4096 50000 600000")?;
    set_sysctl("net/ipv4/tcp_wmem", "4096 40000 500000")?;
    let fd = tcp()?;
    same!(option(fd, SOL_SOCKET, SO_RCVBUF)?, 50_000, "SO_RCVBUF");
    same!(option(fd, SOL_SOCKET, SO_SNDBUF)?, 40_000, "SO_SNDBUF");
    // net.core.rmem_max is more, and the scale allows for it.
    let (near, _far) = connection()?;
    same!(tcp_info(near)?[6], 0x77, "both scales");
    Ok(())
}

/// net.core.*mem_*: in the first network namespace only, where they are left alone; what can be asked for
/// is seen all the same.
fn buffers_of_others_and_the_most_that_can_be_asked() -> Check {
    for (option_name, most, default) in
        [(SO_RCVBUF, "rmem_max", "rmem_default"), (SO_SNDBUF, "wmem_max", "wmem_default")]
    {
        let number = |name| -> Result<i32, String> {
            sysctl(&format!("net/core/{name}"))?.parse().map_err(|_| "no number".to_owned())
        };
        let (most, default) = (number(most)?, number(default)?);
        let datagrams = socket(AF_INET, SOCK_DGRAM)?;
        same!(option(datagrams, SOL_SOCKET, option_name)?, default, "of a fresh UDP socket");
        for fd in [datagrams, tcp()?] {
            for asked in [most, i32::MAX, -1] {
                set_option(fd, SOL_SOCKET, option_name, asked)?;
                same!(option(fd, SOL_SOCKET, option_name)?, most * 2, "asked for {asked}");
            }
            set_option(fd, SOL_SOCKET, option_name, most / 2)?;
            same!(option(fd, SOL_SOCKET, option_name)?, most / 2 * 2, "asked for half of it");
            set_option(fd, SOL_SOCKET, option_name, 0)?;
            let least = if option_name == SO_RCVBUF { 2304 } else { 4608 };
            same!(option(fd, SOL_SOCKET, option_name)?, least, "asked for nothing");
        }
    }
    Ok(())
}

/// T-36 with a limit of the host: one more than it fits.
fn a_backlog_is_cut_to_somaxconn() -> Check {
    if !alone() {
        return Ok(());
    }
    set_sysctl("net/core/somaxconn", "1")?;
    let (_fd, at) = listener(100)?;
    dial(at)?;
    dial(at)?;
    let third = tcp()?;
    guests::sys::fcntl(third, libc::F_SETFL, libc::O_NONBLOCK)?;
    fails!(connect(third, &loopback(at)), libc::EINPROGRESS);
    same!((poll_bits(third)?, tcp_state(third)?), (0, 2), "the third waits in SYN_SENT");
    Ok(())
}

/// T-36: a connection whose last ACK finds no room is reset. Two wait for data (TCP_DEFER_ACCEPT) and
/// fill the request queue; two more get cookies, which wait for nothing, and fill the accept queue.
fn a_full_queue_resets_if_tcp_abort_on_overflow_says_so() -> Check {
    if !alone() {
        return Ok(());
    }
    set_sysctl("net/ipv4/tcp_abort_on_overflow", "1")?;
    let (fd, at) = listener(1)?;
    set_option(fd, IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)?;
    let deferred = [dial(at)?, dial(at)?];
    same!(poll_bits(fd)?, 0, "poll of the listener before data");
    let queued = [dial(at)?, dial(at)?];
    until_readable(fd)?;
    send(deferred[0], b"x", 0)?;
    until_hung_up(deferred[0])?;
    same!(errno_of(recv(deferred[0], 1, MSG_DONTWAIT)), libc::ECONNRESET, "recv of the deferred");
    for (number, client) in queued.into_iter().enumerate() {
        let served = accept(fd)?;
        send(client, &[number as u8], 0)?;
        until_readable(served)?;
        same!(recv(served, 9, 0)?, [number as u8], "queue in the order of arrival");
        // Without a timestamp a cookie would know neither.
        same!(tcp_info(served)?[5] & 6, 6, "SACK and window scaling");
    }
    send(deferred[1], b"y", 0)?;
    let served = accept(fd)?;
    same!(recv(served, 9, 0)?, b"y", "there is room again");
    Ok(())
}

fn ports_below_the_unprivileged_ones() -> Check {
    if !alone() {
        return Ok(());
    }
    let as_nobody = |at: u16| -> Result<i32, String> {
        let (reader, writer) = guests::sys::pipe()?;
        let child = fork_check(|| {
            // SAFETY: no memory is involved.
            small("setresuid", unsafe { libc::setresuid(65_534, 65_534, 65_534) })?;
            let errno = errno_of(bind(tcp()?, &loopback(at)));
            guests::sys::write(writer, &[errno as u8])?;
            Ok(())
        })?;
        wait_ok(child)?;
        Ok(guests::sys::read(reader, 1)?[0].into())
    };
    same!(
        [as_nobody(80)?, as_nobody(1023)?, as_nobody(1024)?],
        [libc::EACCES, libc::EACCES, 0],
        ""
    );
    set_sysctl("net/ipv4/ip_unprivileged_port_start", "80")?;
    same!([as_nobody(79)?, as_nobody(80)?], [libc::EACCES, 0], "from 80 on");
    Ok(())
}

/// T-23: the FIN leaves first, the RST right behind it. The setting is of all network namespaces, and
/// only the first one shows it: on a machine that is left alone.
fn one_orphan_too_many() -> Check {
    if !alone() {
        return Ok(());
    }
    if sysctl("net/ipv4/tcp_max_orphans").is_err() {
        return Ok(());
    }
    set_sysctl("net/ipv4/tcp_max_orphans", "1")?;
    let pairs = [connection()?, connection()?];
    for (near, _) in pairs {
        close(near)?;
    }
    let far = pairs.map(|(_, far)| far);
    same!(poll_bits(far[0])?, 0x2005, "the first: IN, OUT and RDHUP");
    until_hung_up(far[1])?;
    same!(errno_of(send(far[1], b"x", libc::MSG_NOSIGNAL)), libc::EPIPE, "T-41 at the second");
    Ok(())
}

/// tcp_moderate_rcvbuf: 8 MB go over, and SO_RCVBUF is what it was.
fn a_buffer_that_may_not_grow() -> Check {
    if !alone() {
        return Ok(());
    }
    set_sysctl("net/ipv4/tcp_moderate_rcvbuf", "0")?;
    let (near, far) = connection()?;
    let before = option(far, SOL_SOCKET, SO_RCVBUF)?;
    let child = fork_check(|| {
        close(far)?;
        for _ in 0..128 {
            let mut left = &[b'x'; 65_536][..];
            while !left.is_empty() {
                left = &left[send(near, left, 0)?..];
            }
        }
        Ok(shutdown(near, libc::SHUT_WR)?)
    })?;
    close(near)?;
    let mut got = 0;
    loop {
        let piece = recv(far, 65_536, 0)?;
        if piece.is_empty() {
            break;
        }
        got += piece.len();
    }
    same!(got, 8 << 20, "bytes");
    same!(option(far, SOL_SOCKET, SO_RCVBUF)?, before, "SO_RCVBUF");
    wait_ok(child)
}
