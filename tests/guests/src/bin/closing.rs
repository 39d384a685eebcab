//! The close table in every state that programs can reach over loopback: the state in which a
//! process is killed × unread data × SO_LINGER 0 × TCP_LINGER2 < 0 × another process holds the
//! socket too. Each case says what the surviving peer's poll bits and calls then are, asked in
//! three orders: read first, write first, SO_ERROR first. Rules T-5 to T-19, T-22, T-24, T-27,
//! T-34, T-38 to T-41, T-46 and F-2 of docs/linux-semantics.md; `fates` tells the common ones.

use guests::case::matrix;
use guests::net::{
    accept, dial, linger, listener, send, set_option, shutdown, so_error, socket, tcp_state,
    until_hung_up, until_readable, until_state, victim_with, write_is_epipe,
};
use guests::process::{Gate, Pid, fork, fork_check, kill_and_wait, pause_for_ever};
use guests::signal;
use guests::sys::{Fd, close, drain, fcntl, pipe, poll_bits, poll_one, read, write};
use guests::{Check, ensure, fails, same};
use libc::{ECONNRESET, EINPROGRESS, EPIPE, MSG_DONTWAIT, SHUT_WR, SIGKILL, SIGPIPE};
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP};
use std::iter::once;

const ENDED: i16 = POLLIN | POLLOUT | POLLRDHUP;
const RESET: i16 = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
const GONE: i16 = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
const CLOSE_WAIT: u8 = 8;
const CLOSE: u8 = 7;

/// The victim's state when it dies. In the last three its FIN waits behind data for which the peer
/// has no room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Established,
    CloseWait,
    FinWait2,
    FinWait1,
    Closing,
    LastAck,
}

use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck};

/// What the peer does first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Read,
    Write,
    SoError,
}

/// One row of the matrix.
#[derive(Clone, Copy)]
struct Row {
    state: State,
    unread: bool,
    linger0: bool,
    linger2: bool,
    shared: bool,
}

/// What becomes of the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// T-39: a FIN, and nothing else.
    End,
    /// T-40: a RST, and no FIN before it.
    Reset,
    /// T-41: a RST after the FIN.
    Epipe,
    /// T-46: both FINs.
    Gone,
}

impl Row {
    fn name(self) -> String {
        let state = match self.state {
            Established => "established",
            CloseWait => "close_wait",
            FinWait2 => "fin_wait2",
            FinWait1 => "fin_wait1",
            Closing => "closing",
            LastAck => "last_ack",
        };
        let marks = [
            (self.unread, "_unread"),
            (self.linger0, "_linger0"),
            (self.linger2, "_linger2"),
            (self.shared, "_shared"),
        ];
        let marks = marks.iter().filter(|mark| mark.0).map(|mark| mark.1);
        once(state).chain(marks).collect()
    }

    /// The table of T-7 to T-18 as the peer sees it.
    fn fate(self) -> Fate {
        let aborts = self.unread || self.linger0;
        match (self.state, aborts, self.linger2) {
            // T-14, T-15: the FIN was there long ago. T-16: TCP_LINGER2.
            (FinWait2, true, _) | (FinWait2, false, true) => Fate::Epipe,
            // T-8, T-9, T-11, T-12; and T-14, T-15, T-18 while the FIN has not left.
            (Established | CloseWait | FinWait1 | Closing | LastAck, true, _) => Fate::Reset,
            // T-24: the acknowledgment of the FIN is answered by a RST.
            (Established | FinWait1, false, true) => Fate::Epipe,
            // T-7, T-13, T-16.
            (Established | FinWait1 | FinWait2, false, false) => Fate::End,
            // T-10, T-17: no FIN_WAIT2 comes, so TCP_LINGER2 means nothing.
            (CloseWait | Closing | LastAck, false, _) => Fate::Gone,
        }
    }

    /// The peer's room is full of the victim's data.
    fn filled(self) -> bool {
        matches!(self.state, FinWait1 | Closing | LastAck)
    }

    /// The peer sent its FIN before the victim prepared itself.
    fn peer_first(self) -> bool {
        matches!(self.state, CloseWait | LastAck)
    }
}

fn main() {
    let mut cases: Vec<guests::case::Row> = vec![];
    let yes_no = [false, true];
    for state in [Established, CloseWait, FinWait2, FinWait1, Closing, LastAck] {
        for bits in 0..16 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let (unread, linger0, linger2, shared) = (bit(0), bit(1), bit(2), bit(3));
            let row = Row { state, unread, linger0, linger2, shared };
            cases.push((row.name(), Box::new(move || run(row))));
        }
    }
    for queued in [Queued::Idle, Queued::Data, Queued::Half, Queued::DataHalf] {
        for (linger0, shared) in yes_no.map(|a| yes_no.map(|b| (a, b))).into_iter().flatten() {
            let marks =
                [if linger0 { "_linger0" } else { "" }, if shared { "_shared" } else { "" }];
            let name = format!("listen_{}{}{}", queued.name(), marks[0], marks[1]);
            cases.push((name, Box::new(move || listening(queued, linger0, shared))));
        }
    }
    for (unread, linger0) in yes_no.map(|a| yes_no.map(|b| (a, b))).into_iter().flatten() {
        let marks = [if unread { "_unread" } else { "" }, if linger0 { "_linger0" } else { "" }];
        for first in yes_no {
            let closer = if first { "first" } else { "second" };
            let name = format!("both_fins_{closer}{}{}", marks[0], marks[1]);
            cases.push((name, Box::new(move || both_fins(first, unread, linger0))));
        }
    }
    cases.push(("syn_sent".into(), Box::new(|| syn_sent(false))));
    cases.push(("syn_sent_linger0".into(), Box::new(|| syn_sent(true))));
    matrix(&cases);
}

fn run(row: Row) -> Check {
    // SAFETY: no memory is involved.
    same!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0, "prctl");
    for (first, name) in
        [(First::Read, "read"), (First::Write, "write"), (First::SoError, "SO_ERROR")]
    {
        once_through(row, first).map_err(|why| format!("{name} first: {why}"))?;
    }
    Ok(())
}

/// What the peer holds when the victim lies ready, and who else holds the socket.
struct Scene {
    peer: Fd,
    victim: Pid,
    heir: Option<Pid>,
    /// Bytes that the victim's sends took.
    sent: usize,
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn stage(row: Row) -> Result<Scene, String> {
    let (told, tell) = pipe()?;
    let before = |peer| {
        if row.unread {
            write(peer, b"hello")?;
        }
        if row.peer_first() {
            shutdown(peer, SHUT_WR)?;
        }
        Ok(())
    };
    let (victim, peer) = victim_with(before, |fd| {
        if row.linger0 {
            linger(fd, 0)?;
        }
        if row.linger2 {
            set_option(fd, libc::IPPROTO_TCP, libc::TCP_LINGER2, -1)?;
        }
        if row.unread {
            until_readable(fd)?;
        }
        if row.peer_first() {
            poll_one(fd, POLLRDHUP, -1)?;
        }
        let sent = if row.filled() { fill(fd)? } else { 0 };
        if !matches!(row.state, Established | CloseWait) {
            shutdown(fd, SHUT_WR)?;
        }
        if row.state == FinWait2 {
            until_state(fd, 5)?;
        }
        write(tell, &sent.to_le_bytes())?;
        let heir = if row.shared { fork(|| pause_for_ever())? } else { 0 };
        write(tell, &(heir as usize).to_le_bytes())?;
        Ok(())
    })?;
    let (sent, heir) = (number(&read(told, 8)?), number(&read(told, 8)?) as Pid);
    close(told)?;
    close(tell)?;
    if row.state == Closing {
        shutdown(peer, SHUT_WR)?;
    }
    if row.state == Closing || row.peer_first() {
        // The victim acknowledged our FIN, so it knows of it; and no late one changes our state.
        until_state(peer, 5)?;
    }
    Ok(Scene { peer, victim, heir: row.shared.then_some(heir), sent })
}

/// Sends until the peer has no more room, and this side neither.
fn fill(fd: Fd) -> Result<usize, String> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 65_536)?;
    let mut sent = 0;
    while let Ok(length) = send(fd, &[b'd'; 4096], MSG_DONTWAIT) {
        sent += length;
    }
    Ok(sent)
}

fn once_through(row: Row, first: First) -> Check {
    let Scene { peer, victim, heir, sent } = stage(row)?;
    let before = (poll_bits(peer)?, tcp_state(peer)?);
    same!(kill_and_wait(victim, SIGKILL)?, SIGKILL, "the victim's status");
    if let Some(heir) = heir {
        // F-2: nothing happens while somebody holds the socket.
        same!((poll_bits(peer)?, tcp_state(peer)?), before, "poll bits and state before and after");
        same!(kill_and_wait(heir, SIGKILL)?, SIGKILL, "the heir's status");
    }
    let told = match row.fate() {
        // T-27: the orphan's unsent data is lost when the peer writes into its FIN_WAIT1.
        Fate::End if row.filled() && first == First::Write => {
            same!(write(peer, b"x")?, 1, "a write to the orphan");
            until_hung_up(peer)?;
            reset(peer, sent, First::Read)
        }
        Fate::Epipe if row.filled() && first == First::Write => {
            same!(write(peer, b"x")?, 1, "a write to the orphan");
            until_hung_up(peer)?;
            reset(peer, sent, First::Read)
        }
        Fate::End => ended(peer, sent, first),
        Fate::Reset => reset(peer, sent, first),
        Fate::Epipe => epipe(peer, sent, first),
        Fate::Gone => gone(peer, sent, first),
    };
    close(peer)?;
    told
}

/// Reads to the end; the bytes are all that the victim sent.
fn all(peer: Fd, sent: usize) -> Check {
    let (got, end) = drain(peer);
    end?;
    same!(got.len(), sent, "bytes before the end");
    Ok(())
}

/// T-39, then T-41 by our own write.
fn ended(peer: Fd, sent: usize, first: First) -> Check {
    all(peer, sent)?;
    same!(poll_bits(peer)?, ENDED, "poll bits");
    same!(tcp_state(peer)?, CLOSE_WAIT, "the state");
    same!(so_error(peer)?, 0, "SO_ERROR");
    same!(write(peer, b"x")?, 1, "the first write");
    epipe(peer, 0, first)
}

/// T-22, T-40: what had come stays readable; one ECONNRESET for whoever asks first.
fn reset(peer: Fd, sent: usize, first: First) -> Check {
    same!(poll_bits(peer)?, RESET, "poll bits");
    same!(tcp_state(peer)?, CLOSE, "the state");
    match first {
        First::Read => {}
        First::Write => {
            signal::handle(SIGPIPE, 0)?;
            let before = signal::logged().len();
            fails!(write(peer, b"x"), ECONNRESET);
            same!(signal::logged().len(), before, "deliveries of SIGPIPE");
        }
        First::SoError => same!(so_error(peer)?, ECONNRESET, "SO_ERROR"),
    }
    let (got, end) = drain(peer);
    match first {
        First::Read => fails!(end, ECONNRESET),
        First::Write | First::SoError => end?,
    }
    ensure!(got.len() <= sent, "{} bytes came of {sent}", got.len());
    ensure!(sent == 0 || !got.is_empty() && got.len() < sent, "{} of {sent} bytes", got.len());
    same!(read(peer, 8)?, b"", "read after the error");
    same!(poll_bits(peer)?, GONE, "poll bits after the error");
    same!(so_error(peer)?, 0, "SO_ERROR after the error");
    write_is_epipe(peer)
}

/// T-41: readers never see an error; the first write, or SO_ERROR, takes it.
fn epipe(peer: Fd, sent: usize, first: First) -> Check {
    all(peer, sent)?;
    until_hung_up(peer)?;
    same!(poll_bits(peer)?, RESET, "poll bits after the reset");
    same!(tcp_state(peer)?, CLOSE, "the state after the reset");
    match first {
        First::Read => {
            same!(read(peer, 8)?, b"", "read");
            same!(poll_bits(peer)?, RESET, "poll bits after a read");
        }
        First::Write => write_is_epipe(peer)?,
        First::SoError => same!(so_error(peer)?, EPIPE, "SO_ERROR"),
    }
    write_is_epipe(peer)?;
    same!(poll_bits(peer)?, GONE, "poll bits after the error was told");
    same!((so_error(peer)?, read(peer, 8)?), (0, vec![]), "SO_ERROR and read at last");
    Ok(())
}

/// T-46: an orderly end on both sides; our writes are EPIPE since our own shutdown.
fn gone(peer: Fd, sent: usize, first: First) -> Check {
    match first {
        First::Read => {}
        First::Write => write_is_epipe(peer)?,
        First::SoError => same!(so_error(peer)?, 0, "SO_ERROR"),
    }
    all(peer, sent)?;
    same!((poll_bits(peer)?, tcp_state(peer)?), (GONE, CLOSE), "poll bits and state");
    same!((so_error(peer)?, read(peer, 8)?), (0, vec![]), "SO_ERROR and read");
    write_is_epipe(peer)
}

/// A client in the accept queue.
#[derive(Clone, Copy)]
enum Queued {
    Idle,
    Data,
    Half,
    DataHalf,
}

impl Queued {
    fn name(self) -> &'static str {
        match self {
            Queued::Idle => "idle",
            Queued::Data => "data",
            Queued::Half => "half_closed",
            Queued::DataHalf => "data_half_closed",
        }
    }
}

/// T-5, T-34, T-38: all in the queue are reset, when the last holder of the listener is gone.
fn listening(queued: Queued, linger0: bool, shared: bool) -> Check {
    let (fd, port) = listener(8)?;
    if linger0 {
        linger(fd, 0)?;
    }
    let holders: Vec<Pid> =
        (0..1 + i32::from(shared)).map(|_| fork(|| pause_for_ever())).collect::<Result<_, _>>()?;
    close(fd)?;
    let mut clients = vec![];
    for _ in 0..3 {
        let client = dial(port)?;
        if matches!(queued, Queued::Data | Queued::DataHalf) {
            write(client, b"hello")?;
        }
        if matches!(queued, Queued::Half | Queued::DataHalf) {
            shutdown(client, SHUT_WR)?;
            until_state(client, 5)?;
        }
        clients.push(client);
    }
    let (last, others) = holders.split_last().ok_or("no holder")?;
    for other in others {
        kill_and_wait(*other, SIGKILL)?;
        for client in &clients {
            same!(poll_bits(*client)?, POLLOUT, "poll bits while another holds the listener");
        }
    }
    kill_and_wait(*last, SIGKILL)?;
    for (client, first) in clients.into_iter().zip([First::Read, First::Write, First::SoError]) {
        reset(client, 0, first)?;
    }
    Ok(())
}

/// T-19: after both FINs a death says nothing, whoever was first and whatever lies unread.
fn both_fins(first: bool, unread: bool, linger0: bool) -> Check {
    let go = Gate::new()?;
    let before = |peer| {
        if unread {
            write(peer, b"hello")?;
        }
        if !first {
            shutdown(peer, SHUT_WR)?;
        }
        Ok(())
    };
    let (victim, peer) = victim_with(before, |fd| {
        if linger0 {
            linger(fd, 0)?;
        }
        if unread {
            until_readable(fd)?;
        }
        if !first {
            poll_one(fd, POLLRDHUP, -1)?;
        }
        shutdown(fd, SHUT_WR)?;
        fork_check(|| {
            until_hung_up(fd)?;
            Ok(go.open()?)
        })?;
        Ok(())
    })?;
    same!(read(peer, 8)?, b"", "read");
    if first {
        shutdown(peer, SHUT_WR)?;
    }
    go.wait()?;
    until_hung_up(peer)?;
    same!((poll_bits(peer)?, tcp_state(peer)?), (GONE, CLOSE), "poll bits and state before");
    same!(kill_and_wait(victim, SIGKILL)?, SIGKILL, "the victim's status");
    gone(peer, 0, First::SoError)
}

/// T-6: a handshake that nobody answers (the queue is full: T-36) ends without a word; the server
/// never hears of it again.
fn syn_sent(linger0: bool) -> Check {
    let (fd, port) = listener(0)?;
    let queued = dial(port)?;
    let ready = Gate::new()?;
    let victim = fork_check(|| {
        let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
        if linger0 {
            linger(fd, 0)?;
        }
        fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK)?;
        fails!(guests::net::connect(fd, &guests::net::loopback(port)), EINPROGRESS);
        same!((tcp_state(fd)?, poll_bits(fd)?), (2, 0), "state and poll bits");
        ready.open()?;
        pause_for_ever()
    })?;
    ready.wait()?;
    same!(kill_and_wait(victim, SIGKILL)?, SIGKILL, "the victim's status");
    let accepted = accept(fd)?;
    // A living one would try again after a second.
    same!(poll_one(fd, POLLIN, 1300)?, 0, "poll of the listener");
    same!((poll_bits(queued)?, poll_bits(accepted)?), (POLLOUT, POLLOUT), "the other client");
    Ok(())
}
