//! Two connections and a wire in memory: the whole of TCP without a host. Rules T-… are cited from
//! linux-semantics.md.

mod closing;
mod device;
mod ecn;
mod hostile;
mod probes;
mod reading;
mod resets;
mod rmem;
mod sacks;
mod settings;
mod timers;
mod transfer;
mod tstamp;

use super::*;
use crate::time::{Duration, Instant};

pub const ISS_A: Seq = Seq(u32::MAX - 1000);
pub const ISS_B: Seq = Seq(5_000_000);

/// Which side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    A,
    B,
}
pub use Side::{A, B};

type Drop = Box<dyn FnMut(Side, &Segment) -> bool>;

/// A connects to B's listener. Segments take `latency`; `drop` decides which are lost.
pub struct Pair {
    pub now: Instant,
    pub a: TcpConn,
    pub b: Option<TcpConn>,
    pub listener: Option<Listener<u8, u8>>,
    pub latency: Duration,
    pub drop: Drop,
    /// What was sent: when, by whom, what.
    pub log: Vec<(Instant, Side, Segment)>,
    pub facts: Vec<(Side, TcpFact)>,
    pub wake: [Ready; 2],
    /// B's program reads whenever something arrives.
    pub reads_at_once: bool,
    /// So many bytes A's program has still to write; it does as soon as there is room.
    pub to_write: usize,
    wire: Vec<(Instant, Side, Segment)>,
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Pair {
    /// A's SYN is on the wire.
    pub fn connecting(config_a: TcpConfig, config_b: TcpConfig) -> Pair {
        let now = Instant(1_000_000_000);
        let mut out = Output::default();
        let a = TcpConn::connect(config_a, now, ISS_A, &mut out);
        let mut pair = Pair {
            now,
            a,
            b: None,
            listener: Some(Listener::new(config_b, 5)),
            latency: Duration::from_micros(100),
            drop: Box::new(|_, _| false),
            log: Vec::new(),
            facts: Vec::new(),
            wake: [Ready::NONE; 2],
            reads_at_once: false,
            to_write: 0,
            wire: Vec::new(),
        };
        pair.take(A, out);
        pair
    }

    /// Both ends ESTABLISHED and quiet.
    pub fn with(config_a: TcpConfig, config_b: TcpConfig) -> Pair {
        let mut pair = Pair::connecting(config_a, config_b);
        pair.run(ms(10));
        assert_eq!(pair.a.state(), TcpState::Established);
        assert_eq!(pair.b().state(), TcpState::Established);
        pair.log.clear();
        pair.facts.clear();
        pair
    }

    pub fn new() -> Pair {
        Pair::with(TcpConfig::default(), TcpConfig::default())
    }

    pub fn b(&mut self) -> &mut TcpConn {
        self.b.as_mut().expect("the handshake is complete")
    }

    pub fn conn(&mut self, side: Side) -> &mut TcpConn {
        match side {
            A => &mut self.a,
            B => self.b(),
        }
    }

    pub fn take(&mut self, from: Side, out: Output) {
        for s in out.segments {
            self.log.push((self.now, from, s.clone()));
            if !(self.drop)(from, &s) {
                self.wire.push((self.now + self.latency, from, s));
            }
        }
        self.facts.extend(out.facts.into_iter().map(|f| (from, f)));
        self.wake[from as usize] |= out.wake;
    }

    /// Calls something on one side and puts what it sends on the wire.
    pub fn with_conn<R>(
        &mut self,
        side: Side,
        f: impl FnOnce(&mut TcpConn, Instant, &mut Output) -> R,
    ) -> R {
        let now = self.now;
        let mut out = Output::default();
        let r = f(self.conn(side), now, &mut out);
        self.take(side, out);
        r
    }

    pub fn send(&mut self, side: Side, data: &[u8]) -> Result<usize, SendError> {
        self.with_conn(side, |c, now, out| c.send(now, data, SendFlags::default(), out))
    }

    pub fn recv(&mut self, side: Side, max: usize) -> Result<Received, crate::abi::Errno> {
        self.with_conn(side, |c, now, out| c.recv(now, max, false, out))
    }

    pub fn close(&mut self, side: Side) -> CloseOutcome {
        self.close_as(side, Close::default())
    }

    pub fn close_as(&mut self, side: Side, how: Close) -> CloseOutcome {
        self.with_conn(side, |c, now, out| c.close(now, how, out))
    }

    pub fn shutdown(&mut self, side: Side, how: Shutdown) {
        self.with_conn(side, |c, now, out| c.shutdown(now, how, out)).unwrap();
    }

    /// A forged segment reaches `to`.
    pub fn inject(&mut self, to: Side, s: &Segment) {
        self.with_conn(to, |c, now, out| c.input(now, s, out));
    }

    fn deliver(&mut self, from: Side, s: &Segment) {
        let now = self.now;
        let mut out = Output::default();
        let to = match from {
            A => B,
            B => A,
        };
        let conn = match to {
            A => Some(&mut self.a),
            B => self.b.as_mut(),
        };
        let listener = self.listener.as_mut().filter(|_| to == B);
        match (conn.filter(|c| c.is_hashed()), listener) {
            (Some(conn), _) => conn.input(now, s, &mut out),
            (None, Some(listener)) => {
                let event = listener.input(now, 0, s, ISS_B, &mut out);
                if let ListenerEvent::Established(conn) = event {
                    self.b = Some(*conn);
                    listener.push(0);
                }
            }
            (None, None) => out.segments.extend(reply_reset(s)),
        }
        self.take(to, out);
        if to == B && self.reads_at_once {
            self.drain(B);
        }
        if to == A && self.to_write > 0 && self.a.poll().has(Ready::OUT) {
            self.write();
        }
    }

    /// A's program writes of what it has to until it would have to wait.
    pub fn write(&mut self) {
        while self.to_write > 0 {
            match self.send(A, &vec![7; self.to_write.min(1 << 18)]) {
                Ok(taken) if taken > 0 => self.to_write -= taken,
                _ => return self.a.wants_space(),
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let wire = self.wire.iter().map(|w| w.0).min();
        let b = self.b.as_ref().and_then(|b| b.next_deadline());
        let l = self.listener.as_ref().and_then(|l| l.next_deadline());
        [wire, self.a.next_deadline(), b, l].into_iter().flatten().min()
    }

    /// Lets time pass, delivering segments and firing timers on the way.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            if let Some(i) = self.wire.iter().position(|w| w.0 <= self.now) {
                let (_, from, s) = self.wire.remove(i);
                self.deliver(from, &s);
                continue;
            }
            self.fire();
        }
        self.now = end;
    }

    fn fire(&mut self) {
        let now = self.now;
        for side in [A, B] {
            if side == B && self.b.is_none() {
                continue;
            }
            if self.conn(side).next_deadline().is_some_and(|at| at <= now) {
                let before = self.conn(side).clone();
                self.with_conn(side, |c, now, out| c.expire(now, out));
                assert_ne!(before, *self.conn(side), "a timer that fires must change something");
            }
        }
        let due = self.listener.as_mut().map(|l| l.expire(now)).unwrap_or_default();
        for (_, out) in due {
            self.take(B, out);
        }
    }

    /// The flags that `side` sent since the last call of `clear`, as in linux-semantics.md.
    pub fn sent(&self, side: Side) -> Vec<String> {
        let of = |(_, from, s): &(Instant, Side, Segment)| {
            (*from == side).then(|| format!("[{}]", s.flags))
        };
        self.log.iter().filter_map(of).collect()
    }

    /// When `side` sent something, in seconds since `start`.
    pub fn times(&self, side: Side, start: Instant) -> Vec<f64> {
        let of = |(at, from, _): &(Instant, Side, Segment)| {
            (*from == side).then(|| (*at - start).as_secs_f64())
        };
        self.log.iter().filter_map(of).collect()
    }

    pub fn last(&self, side: Side) -> &Segment {
        &self.log.iter().rfind(|l| l.1 == side).expect("something was sent").2
    }

    pub fn clear(&mut self) {
        self.log.clear();
        self.facts.clear();
    }

    /// Everything readable at `side`.
    pub fn drain(&mut self, side: Side) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(Received::Data(bytes)) = self.recv(side, 1 << 20) {
            all.extend_from_slice(&bytes);
        }
        all
    }

    /// Nothing reaches the other side any more.
    pub fn partition(&mut self) {
        self.drop = Box::new(|_, _| true);
        self.wire.clear();
    }
}

/// A segment that fits `side`'s expectations: from its peer, at RCV.NXT, acknowledging everything.
pub fn from_peer(pair: &mut Pair, to: Side, flags: Flags, payload: &'static [u8]) -> Segment {
    let conn = pair.conn(to);
    Segment {
        seq: conn.rcv.nxt,
        ack: conn.snd.nxt,
        flags,
        window: 500,
        payload: bytes::Bytes::from_static(payload),
        ..Segment::default()
    }
}

#[test]
fn a_handshake_is_three_segments_with_the_windows_of_6_18() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.run(ms(10));
    let seen: Vec<_> = pair
        .log
        .iter()
        .map(|(_, from, s)| (*from, format!("{:?}", s.flags), s.window, s.header_len()))
        .collect();
    let want = [(A, "[S]", 64_240, 40), (B, "[S.]", 65_160, 40), (A, "[.]", 63, 32)];
    assert_eq!(seen, want.map(|(side, f, win, len)| (side, f.to_string(), win, len)));
    assert_eq!(pair.a.poll(), Ready::OUT);
    assert!(pair.wake[0].has(Ready::OUT), "connect is told");
    assert_eq!(pair.listener.as_ref().unwrap().poll(), Ready::IN);
    assert_eq!(pair.a.rcv.ts_recent.map(|t| t.0), Some(1000));
}

#[test]
fn a_byte_goes_over_and_comes_back() {
    let mut pair = Pair::new();
    assert_eq!(pair.send(A, b"hello"), Ok(5));
    pair.run(ms(1));
    assert_eq!(pair.sent(A), ["[P.]"]);
    assert_eq!(pair.sent(B), ["[.]"], "the first data is acknowledged at once");
    assert_eq!(pair.b().poll(), Ready::IN | Ready::OUT);
    assert_eq!(pair.drain(B), b"hello");
    assert_eq!(pair.recv(B, 10), Ok(Received::WouldBlock));
    assert_eq!(pair.a.info().unacked, 0);
}
