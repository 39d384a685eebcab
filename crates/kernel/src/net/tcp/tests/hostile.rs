//! A hostile peer: segments with any flags, numbers near (and far from) the window, lying options,
//! in any state, mixed with the program's own calls and with timers. Nothing may panic, spin, or
//! make a dead connection speak. Seeds are fixed; a failure names the seed that replays it.

use super::*;
use bytes::Bytes;

/// A small generator of its own: this room imports no other.
struct Draw(u64);

impl Draw {
    fn next(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn near(&mut self, seq: Seq) -> Seq {
        match self.next(8) {
            0 => Seq(self.next(1 << 32) as u32),
            1 => seq - self.next(3000) as u32,
            2 => seq + self.next(70_000) as u32,
            3 => seq + (1 << 31),
            _ => seq,
        }
    }
}

/// Any segment; more often than not one that could be the next.
fn segment(draw: &mut Draw, conn: &TcpConn) -> Segment {
    let flags = match draw.next(40) {
        0 => Flags(draw.next(256) as u8),
        1 => Flags::RST,
        2 | 3 => Flags::SYN | Flags::ACK,
        4..8 => Flags::FIN | Flags::ACK,
        _ => Flags::ACK,
    };
    let len = [0, 0, 1, 7, 1448, 9000][draw.next(6) as usize];
    let (rcv, snd) = (conn.rcv.nxt, if draw.next(2) == 0 { conn.snd.una } else { conn.snd.nxt });
    let timestamps = (draw.next(3) > 0)
        .then(|| Timestamps { val: draw.next(1 << 32) as u32, ecr: draw.next(1 << 32) as u32 });
    let sacks = (0..draw.next(4)).map(|_| (draw.near(snd), draw.near(snd))).collect();
    let syn = flags.has(Flags::SYN);
    Segment {
        seq: draw.near(rcv),
        ack: draw.near(snd),
        flags,
        window: draw.next(65_536) as u16,
        urgent: draw.next(65_536) as u16,
        ecn: draw.next(4) as u8,
        options: Options {
            mss: syn.then(|| draw.next(65_536) as u16),
            wscale: syn.then(|| draw.next(256) as u8),
            sack_permitted: syn,
            timestamps,
            sacks,
        },
        payload: Bytes::from(vec![b'x'; len]),
    }
}

/// One thing that the program, the clock or the peer does.
fn step(draw: &mut Draw, conn: &mut TcpConn, now: &mut Instant, out: &mut Output) {
    match draw.next(12) {
        0 => drop(conn.send(
            *now,
            &vec![b'y'; draw.next(40_000) as usize],
            SendFlags::default(),
            out,
        )),
        1 => drop(conn.recv(*now, draw.next(20_000) as usize + 1, draw.next(2) == 0, out)),
        2 => drop(conn.take_error()),
        3 if draw.next(8) == 0 => drop(conn.shutdown(*now, Shutdown::Write, out)),
        4 if draw.next(30) == 0 && !conn.is_orphan() => {
            let linger = (draw.next(3) == 0).then_some(Duration::ZERO);
            conn.close(*now, Close { linger, exiting: true, ..Close::default() }, out);
        }
        5 | 6 => {
            if let Some(at) = conn.next_deadline() {
                *now = (*now).max(at);
                conn.expire(*now, out);
            }
        }
        7 => drop(conn.send(*now, b"!", SendFlags { oob: true, ..SendFlags::default() }, out)),
        _ => {
            let s = segment(draw, conn);
            conn.input(*now, &s, out);
        }
    }
}

/// Runs one seed; how many steps the connection lived.
fn run(seed: u64) -> u32 {
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut now = Instant(1_000_000_000);
    let mut out = Output::default();
    let config = TcpConfig { keepalive: draw.next(2) == 0, ..TcpConfig::default() };
    let mut conn = if draw.next(3) == 0 {
        TcpConn::connect(config, now, ISS_A, &mut out)
    } else {
        let mut pair = Pair::new();
        now = pair.now;
        pair.conn(if draw.next(2) == 0 { A } else { B }).clone()
    };
    let mut steps = 0;
    for _ in 0..300 {
        steps += 1;
        out = Output::default();
        now = now + Duration::from_micros(draw.next(300_000));
        step(&mut draw, &mut conn, &mut now, &mut out);
        assert!(out.segments.len() < 4000, "seed {seed}: {} segments", out.segments.len());
        let _ = (conn.poll(), conn.info());
        assert_eq!(conn.check(), Ok(()), "seed {seed}, step {steps}: {conn:#?}");
        let flags = out.segments.iter().map(|s| check_flags(s.flags));
        assert_eq!(flags.collect::<Result<(), _>>(), Ok(()), "seed {seed}, step {steps}");
        if conn.is_dead() {
            assert!(conn.next_deadline().is_none(), "seed {seed}: a dead connection has a timer");
            break;
        }
    }
    // Left alone, an orphan dies and a timer that fired does not stay due.
    for _ in 0..2000 {
        let Some(at) = conn.next_deadline() else { break };
        now = now.max(at);
        conn.expire(now, &mut Output::default());
        let again = conn.next_deadline();
        assert!(again.is_none_or(|next| next > now), "seed {seed}: due again at once: {again:?}");
    }
    steps
}

#[test]
fn no_segment_in_any_state_makes_it_panic_or_spin() {
    let steps: u32 = (1..=4000).map(run).sum();
    // A test that kills its connections at once would find nothing.
    assert!(steps > 200_000, "{steps} steps");
}

#[test]
fn a_syn_with_any_segment_size_is_answered_with_the_same_window() {
    // The window is ours and counts our segments (measured on 6.18: see Window::start_behind).
    for mss in [None, Some(0), Some(5), Some(88), Some(1460), Some(65_535)] {
        let mut listener: Listener<u8, u8> = Listener::new(TcpConfig::default(), 5);
        let timestamps = Some(Timestamps { val: 1, ecr: 0 });
        let options = Options { mss, timestamps, ..Options::default() };
        let syn = Segment { flags: Flags::SYN, options, ..Segment::default() };
        let mut out = Output::default();
        listener.input(Instant(1), 0, &syn, ISS_B, &mut out);
        assert_eq!(out.segments[0].window, 65_160, "{mss:?}");
        let ack = Segment { seq: Seq(1), ack: ISS_B + 1, flags: Flags::ACK, ..Segment::default() };
        let event = listener.input(Instant(2), 0, &ack, ISS_B, &mut out);
        let ListenerEvent::Established(conn) = event else { panic!("{mss:?}: {event:?}") };
        let takes = match mss {
            None | Some(0) => 536,
            Some(mss) => u32::from(mss).clamp(48, 1460),
        };
        assert_eq!(conn.info().snd_mss, takes - 12, "{mss:?}");
        assert_eq!(conn.check(), Ok(()));
    }
}
