//! The receive window: how much buffer is left, how much of it is offered, and how both grow
//! (`tcp_select_initial_window`, `tcp_select_window`, `tcp_grow_window`, `tcp_rcv_space_adjust`).
//! RFC 9293, 3.8.6; RFC 7323, 2. A window once offered is never taken back.

use super::config::{TCP_MIN_MSS, TCP_MSS_DEFAULT, TcpConfig};
use super::receive_queue::RxMemory;
use super::segment::{Flags, Segment};
use super::seq::Seq;
use crate::time::{Duration, Instant};

/// What a sender sends before it hears anything, in segments (RFC 6928).
const TCP_INIT_CWND: u32 = 10;

/// Does a segment end what a program wrote?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteEnd {
    /// Nothing says so.
    No,
    /// It has a whole segment's size, and PSH.
    Full,
    /// It is shorter than the others.
    Short,
}

/// The receive buffer and the window that it allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// `sk_rcvbuf` in bytes.
    pub rcvbuf: u32,
    /// `rcv_wnd`: what was last offered, counted from `wup`.
    pub wnd: u32,
    /// `rcv_wup`: RCV.NXT when `wnd` was offered.
    pub wup: Seq,
    /// What queued segments cost (`sk_rmem_alloc`).
    pub charged: u32,
    /// Our window scale; 0 if the other side doesn't scale.
    pub shift: u8,
    /// The slow start of the window (`rcv_ssthresh`).
    pub ssthresh: u32,
    /// Payload bytes per 256 bytes of buffer (`scaling_ratio`).
    ratio: u32,
    /// The size of the other side's segments, as seen (`rcv_mss`).
    pub rcv_mss: u32,
    /// The size of the last segment, if it was smaller than that (`last_seg_size`).
    last_seg_size: u32,
    /// Autotuning: bytes that the program read in the round trip since `.1`.
    pub space: (u32, Option<Instant>),
    space_seq: Seq,
    rmem_max: u32,
    autotune: bool,
    memory: RxMemory,
}

impl Window {
    /// Before the handshake.
    pub fn new(config: &TcpConfig) -> Window {
        let mut window = Window {
            rcvbuf: config.initial_rcvbuf(),
            wnd: 0,
            wup: Seq(0),
            charged: 0,
            shift: if config.window_scaling { config.window_shift() } else { 0 },
            ssthresh: 0,
            ratio: 128,
            rcv_mss: 536,
            last_seg_size: 0,
            space: (0, None),
            space_seq: Seq(0),
            rmem_max: config.rmem[2],
            memory: config.rx_memory,
            autotune: config.rcvbuf.is_none(),
        };
        window.start(config.advertised_mss());
        window
    }

    /// The window of a SYN-ACK (`tcp_openreq_init_rwin`): whole segments of the size that we
    /// advertise, whatever the other side takes (a SYN with an MSS of 88 was answered with a window
    /// of 65483 on loopback, as one with 65495; measured).
    pub fn start_behind(&mut self, config: &TcpConfig, timestamps: bool) {
        self.start(config.advertised_mss() - if timestamps { 12 } else { 0 });
    }

    /// `tcp_initialize_rcv_mss`: a first guess at the size of the other side's segments, from the
    /// size that we may send.
    pub fn initialize_rcv_mss(&mut self, mss: u32) {
        self.rcv_mss = mss.min(self.wnd / 2).clamp(TCP_MIN_MSS, TCP_MSS_DEFAULT);
    }

    /// `tcp_select_initial_window`: whole segments. A SYN says at most 65535 of it, because its
    /// window is not scaled. Measured: 64240 for 1460, 65160 for 1448, 65495 and 65483 on loopback.
    pub fn start(&mut self, mss: u32) {
        let space = self.full_space();
        self.wnd = if space > mss { space / mss * mss } else { space };
        self.ssthresh = self.wnd;
        self.initialize_rcv_mss(mss);
        // `tcp_init_buffer_space`: as if the first window of a sender had been read.
        self.space = (self.wnd.min(TCP_INIT_CWND * mss), None);
    }

    /// The handshake settled whether windows are scaled.
    pub fn scale(&mut self, both: bool) {
        if !both {
            self.shift = 0;
        }
    }

    /// `tcp_win_from_space`.
    pub fn win_from_space(&self, space: u32) -> u32 {
        (u64::from(space) * u64::from(self.ratio) / 256) as u32
    }

    /// `tcp_full_space`.
    pub fn full_space(&self) -> u32 {
        self.win_from_space(self.rcvbuf)
    }

    /// `tcp_space`.
    fn free_space(&self) -> u32 {
        self.win_from_space(self.rcvbuf.saturating_sub(self.charged))
    }

    /// What is left of the window offered last (`tcp_receive_window`).
    pub fn current(&self, rcv_nxt: Seq) -> u32 {
        (self.wup + self.wnd).saturating_since(rcv_nxt)
    }

    /// Less than half of the buffer is free.
    pub fn is_half_full(&self) -> bool {
        self.free_space() < self.full_space() / 2
    }

    /// The window that could be offered now (`__tcp_select_window`), rounded so that the silly
    /// window syndrome is avoided (RFC 9293, 3.8.6.2.2).
    pub fn selectable(&self) -> u32 {
        let full = self.full_space();
        let free = self.free_space();
        let mss = self.rcv_mss.min(full);
        if mss == 0 {
            return 0; // tcp_rmem leaves no room at all
        }
        if self.is_half_full() && (free < full >> 4 || free < mss) {
            return 0;
        }
        let free = free.min(self.ssthresh);
        if self.shift > 0 {
            return free.next_multiple_of(1 << self.shift);
        }
        if self.wnd + mss <= free || self.wnd > free { free / mss * mss } else { self.wnd }
    }

    /// Offers a window in a segment that acknowledges `rcv_nxt`: the header's field.
    pub fn offer(&mut self, rcv_nxt: Seq) -> u16 {
        let current = self.current(rcv_nxt);
        let mut new = self.selectable();
        if new < current {
            new = current.next_multiple_of(1 << self.shift);
        }
        let new = new.min(65_535 << self.shift);
        self.wnd = new;
        self.wup = rcv_nxt;
        (new >> self.shift) as u16
    }

    /// Takes the whole window back: what came could not be kept (`ICSK_ACK_NOMEM`).
    pub fn close(&mut self, rcv_nxt: Seq) -> u16 {
        self.wnd = 0;
        self.wup = rcv_nxt;
        0
    }

    /// There is no room, and no autotuning has made any (`tcp_clamp_window`): the buffer grows to what
    /// it holds unless SO_RCVBUF fixed it, in which case the window becomes small.
    pub fn clamp(&mut self, held: u32, advmss: u32) {
        if self.autotune {
            self.rcvbuf = self.rcvbuf.max(held.min(self.rmem_max));
        }
        if held > self.rcvbuf {
            self.ssthresh = 2 * advmss;
        }
    }

    /// `tcp_measure_rcv_mss`: a segment with data came; `header_len` is what a header usually has here.
    /// How large the other side's segments are, and whether this one ends what a program wrote.
    pub fn measure_rcv_mss(&mut self, s: &Segment, header_len: u32, advmss: u32) -> WriteEnd {
        let len = s.len();
        let last = core::mem::take(&mut self.last_seg_size);
        if len >= self.rcv_mss {
            if len != self.rcv_mss {
                self.ratio = (len * 256 / self.memory.truesize(len)).clamp(1, 255);
                self.space.0 = self.space.0.min(self.full_space());
            }
            self.rcv_mss = len.min(advmss);
            return if s.has(Flags::PSH) { WriteEnd::Full } else { WriteEnd::No };
        }
        // How much of a header are options changes with SACK.
        let whole = len + s.header_len() as u32;
        let ends = s.has(Flags::PSH) || s.has(Flags::FIN) || s.has(Flags::URG);
        if whole >= TCP_MSS_DEFAULT + 20 || (whole >= TCP_MIN_MSS + 20 && !ends) {
            let size = whole.saturating_sub(header_len);
            self.last_seg_size = size;
            if size == last {
                self.rcv_mss = size;
                return WriteEnd::No;
            }
        }
        WriteEnd::Short
    }

    /// `tcp_grow_window`: a segment of `len` bytes came; while there is buffer behind it the window
    /// grows by two. True if it grew.
    pub fn grow(&mut self, len: u32, advmss: u32) -> bool {
        let room = self.full_space().min(self.free_space()).saturating_sub(self.ssthresh);
        self.ssthresh += room.min(2 * advmss.max(len));
        room > 0
    }

    /// The program read up to `copied`: once per round trip, double the buffer if it read more
    /// than in the one before (`tcp_rcv_space_adjust`, dynamic right-sizing), if it may `grow`
    /// (`tcp_moderate_rcvbuf`).
    pub fn adjust(
        &mut self,
        now: Instant,
        copied: Seq,
        rtt: Option<Duration>,
        advmss: u32,
        grow: bool,
    ) {
        let (Some(since), Some(rtt)) = (self.space.1, rtt) else {
            self.space.1 = Some(now);
            self.space_seq = copied;
            return;
        };
        if now.saturating_since(since) < rtt {
            return;
        }
        let read = copied.since(self.space_seq);
        if read > self.space.0 && self.autotune && grow {
            let grow =
                u64::from(read) * u64::from(read - self.space.0) / u64::from(self.space.0.max(1));
            let want = 2 * u64::from(read) + 16 * u64::from(advmss) + 2 * grow;
            let buffer = want * 256 / u64::from(self.ratio);
            let buffer = buffer.min(u64::from(self.rmem_max)) as u32;
            self.rcvbuf = self.rcvbuf.max(buffer);
        }
        self.space = (read.max(self.space.0), Some(now));
        self.space_seq = copied;
    }

    /// SO_RCVBUF was set to `bytes` (already doubled): ends autotuning.
    pub fn set_rcvbuf(&mut self, bytes: u32) {
        self.rcvbuf = bytes;
        self.autotune = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_windows_are_those_of_6_18() {
        for (config, mss, want) in [
            (TcpConfig::default(), 1460, 64_240),
            (TcpConfig::default(), 1448, 65_160),
            (TcpConfig::loopback(), 65_495, 65_495),
            (TcpConfig::loopback(), 65_483, 65_483),
        ] {
            let mut w = Window::new(&config);
            w.start(mss);
            assert_eq!(w.wnd, want);
        }
    }

    #[test]
    fn an_offered_window_is_never_taken_back() {
        let mut w = Window::new(&TcpConfig::default());
        w.offer(Seq(0));
        let edge = Seq(0) + w.wnd;
        w.charged = w.rcvbuf;
        assert_eq!(w.selectable(), 0);
        w.offer(Seq(1000));
        assert!(!(Seq(1000) + w.wnd).before(edge));
    }
}
