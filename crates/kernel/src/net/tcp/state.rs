//! The value that is a connection: `TcpConn` and its halves, `SendSide` and `RecvSide`, how it is
//! born. How it looks from outside is in `look`; what changes it is in the neighbours: `input`,
//! `output`, `close`, `timer`.

use std::collections::VecDeque;

use super::byte_queue::ByteQueue;
use super::chrono::Chrono;
use super::config::{TCP_MSS_DEFAULT, TcpConfig};
use super::congestion::Congestion;
use super::delack::DelayedAck;
use super::ecn::Ecn;
use super::fact::{Output, TcpFact};
use super::minisock::MiniSock;
use super::options::Options;
use super::rack::Rack;
use super::reassembly::Reassembly;
use super::receive_queue::ReceiveQueue;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::sack::CompressedAck;
use super::scoreboard::Scoreboard;
use super::segment::Flags;
use super::seq::Seq;
use super::stats::Stats;
use super::timer::Timers;
use super::tstamp::TxMark;
use super::window::Window;
use super::write_queue::WriteQueue;
use crate::abi::Errno;
use crate::time::Instant;

/// The states of RFC 9293, 3.3.2, with Linux's names and numbers (tcp_info).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TcpState {
    /// Both ways open.
    Established = 1,
    /// We sent a SYN.
    SynSent = 2,
    /// Both SYNs are sent, ours is not acknowledged.
    SynRecv = 3,
    /// We sent (or queued) our FIN first.
    FinWait1 = 4,
    /// Our FIN is acknowledged, theirs is awaited.
    FinWait2 = 5,
    /// Both FINs are acknowledged; old segments die out.
    TimeWait = 6,
    /// Nothing.
    Close = 7,
    /// Their FIN came first; the program has not closed.
    CloseWait = 8,
    /// Their FIN came first, ours is sent.
    LastAck = 9,
    /// Waiting for SYNs.
    Listen = 10,
    /// The FINs crossed.
    Closing = 11,
}

impl TcpState {
    /// Linux's name, as ss(8) and the kernel's headers have it.
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::Established => "ESTABLISHED",
            TcpState::SynSent => "SYN_SENT",
            TcpState::SynRecv => "SYN_RECV",
            TcpState::FinWait1 => "FIN_WAIT1",
            TcpState::FinWait2 => "FIN_WAIT2",
            TcpState::TimeWait => "TIME_WAIT",
            TcpState::Close => "CLOSE",
            TcpState::CloseWait => "CLOSE_WAIT",
            TcpState::LastAck => "LAST_ACK",
            TcpState::Listen => "LISTEN",
            TcpState::Closing => "CLOSING",
        }
    }
}

/// What we send: buffer, window of the other side, flight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SendSide {
    /// Oldest unacknowledged number (SND.UNA).
    pub una: Seq,
    /// Next number to send (SND.NXT).
    pub nxt: Seq,
    /// After the last byte that the program wrote, and after the FIN once it is queued.
    pub write_seq: Seq,
    /// The sequence number of the segment that last set the window (SND.WL1).
    pub wl1: Seq,
    /// The other side's window in bytes (SND.WND).
    pub wnd: u32,
    /// The greatest window seen.
    pub max_window: u32,
    /// The other side's window scale.
    pub wscale: u8,
    /// The segment size that the other side named, without options.
    pub mss_clamp: u32,
    /// The bytes from `una` on.
    pub queue: ByteQueue,
    /// The segments from `una` to `nxt`.
    pub flight: Scoreboard,
    /// `tcp_send_fin` was called: the FIN takes the last number before `write_seq`.
    pub fin: bool,
    /// The sk_buffs from `nxt` on.
    pub skbs: WriteQueue,
    /// Bytes of them and of the flight that somebody waits for, in their order.
    pub marks: VecDeque<TxMark>,
    /// Up to where the bytes were marked to be pushed (`pushed_seq`).
    pub pushed: Seq,
    /// After the last urgent byte (`snd_up`).
    pub up: Option<Seq>,
    /// The end of the last segment that was not full (Minshall's Nagle).
    pub small: Seq,
    /// When data was last sent.
    pub last: Instant,
    /// Size of the send buffer.
    pub sndbuf: u32,
    /// Somebody was told that the buffer is full.
    pub nospace: bool,
    /// A program waits for the handshake with data (`sk_write_pending`).
    pub write_pending: bool,
    /// Duplicate acknowledgments in a row, for peers without SACK.
    pub dupacks: u32,
    /// How far the congestion window is in use.
    pub usage: CwndUsage,
    /// A tail loss probe is out, with this end.
    pub probe_high: Option<Seq>,
    /// It was a retransmission.
    pub probe_retrans: bool,
    /// What was unacknowledged and unsent when the queue was thrown away: the numbers stay as they
    /// were in Linux, so SIOCOUTQ goes on counting them (measured).
    pub purged: (u32, u32),
    /// How many segments were ever sent again.
    pub total_retrans: u32,
}

/// How far the congestion window was in use, over one window of data (`cwnd_usage_seq`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CwndUsage {
    /// It kept us from sending.
    pub limited: bool,
    /// The most segments that were out at a time.
    pub max_packets_out: u32,
    /// Until this is acknowledged.
    pub until: Seq,
}

/// What we receive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RecvSide {
    /// Next number expected (RCV.NXT).
    pub nxt: Seq,
    /// Next number that the program will read.
    pub copied: Seq,
    /// The bytes from `copied` to `nxt`.
    pub queue: ReceiveQueue,
    /// When the last of them came, if that is to be told.
    pub stamp: Option<Instant>,
    /// Numbers before `nxt` that are FINs and no bytes. More than one if the other side goes on
    /// after its FIN with segments that begin before it: as in Linux, such text is taken.
    pub fins: u32,
    /// What came too early.
    pub ooo: Reassembly,
    /// Acknowledgments of it that wait.
    pub compressed: CompressedAck,
    /// What came twice and was not told yet (`duplicate_sack`).
    pub dsack: Option<(Seq, Seq)>,
    /// The window that we offer, and the buffer behind it.
    pub window: Window,
    /// When and how to acknowledge.
    pub ack: DelayedAck,
    /// TS.Recent (RFC 7323) and when it was set.
    pub ts_recent: Option<(u32, Instant)>,
    /// The acknowledgment in our last segment: TS.Recent moves only with segments that cover it.
    pub last_ack_sent: Seq,
    /// When that was.
    pub last_ack_at: Option<Instant>,
    /// When the last segment came (`rcv_tstamp`), for keepalive.
    pub heard: Instant,
    /// The urgent byte.
    pub urgent: Urgent,
    /// When the last answer to an out-of-window segment left.
    pub last_oow_ack: Option<Instant>,
}

/// The state of the one urgent byte that Linux keeps (`urg_data`, `urg_seq`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Urgent {
    /// There was none, or the reader passed it.
    #[default]
    None,
    /// Announced, but not yet here.
    Announced(Seq),
    /// Here, not read.
    Valid(Seq, u8),
    /// Read with MSG_OOB, the stream not yet past it.
    Read(Seq),
}

impl Urgent {
    pub fn seq(self) -> Option<Seq> {
        match self {
            Urgent::None => None,
            Urgent::Announced(seq) | Urgent::Valid(seq, _) | Urgent::Read(seq) => Some(seq),
        }
    }
}

/// What was agreed in the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Agreed {
    pub timestamps: bool,
    pub sack: bool,
    pub wscale: bool,
    pub ecn: bool,
}

/// One TCP connection, whether a descriptor still refers to it or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpConn {
    pub(super) state: TcpState,
    pub(super) config: TcpConfig,
    pub(super) snd: SendSide,
    pub(super) rcv: RecvSide,
    pub(super) agreed: Agreed,
    pub(super) rtt: Rtt,
    pub(super) cc: Congestion,
    pub(super) rack: Rack,
    pub(super) recovery: Recovery,
    pub(super) timers: Timers,
    pub(super) stats: Stats,
    pub(super) chrono: Chrono,
    pub(super) ecn: Ecn,
    /// The device's queue is full: it drops what it is given, and says so (`NET_XMIT_DROP`).
    pub(super) device_full: bool,
    /// `sk_err`: what SO_ERROR will say.
    pub(super) err: Option<Errno>,
    /// `sk_err_soft`: what a timeout will say instead of ETIMEDOUT.
    pub(super) soft_err: Option<Errno>,
    /// RCV_SHUTDOWN.
    pub(super) shut_rd: bool,
    /// SEND_SHUTDOWN.
    pub(super) shut_wr: bool,
    /// SOCK_DONE: a FIN was received.
    pub(super) done: bool,
    /// SOCK_DEAD: no descriptor refers to it any more.
    pub(super) orphan: bool,
    /// The mini-socket that lives on when the connection itself is CLOSE.
    pub(super) mini: Option<MiniSock>,
}

impl TcpConn {
    /// A connection about to send its SYN with sequence number `iss`.
    pub(super) fn new(config: TcpConfig, now: Instant, iss: Seq, state: TcpState) -> TcpConn {
        let window = Window::new(&config);
        TcpConn {
            state,
            snd: SendSide {
                una: iss,
                nxt: iss,
                write_seq: iss + 1,
                wl1: Seq(0),
                wnd: 0,
                max_window: 0,
                wscale: 0,
                mss_clamp: TCP_MSS_DEFAULT,
                queue: ByteQueue::default(),
                flight: Scoreboard::default(),
                fin: false,
                skbs: WriteQueue::default(),
                marks: VecDeque::new(),
                pushed: iss,
                up: None,
                small: iss,
                last: now,
                sndbuf: config.sndbuf.unwrap_or(config.wmem[1]),
                nospace: false,
                write_pending: false,
                dupacks: 0,
                usage: CwndUsage { limited: false, max_packets_out: 0, until: iss },
                probe_high: None,
                probe_retrans: false,
                purged: (0, 0),
                total_retrans: 0,
            },
            rcv: RecvSide {
                nxt: Seq(0),
                copied: Seq(0),
                fins: 0,
                queue: ReceiveQueue::default(),
                stamp: None,
                ooo: Reassembly::default(),
                compressed: CompressedAck::default(),
                dsack: None,
                window,
                ack: DelayedAck { pingpong: !config.quickack, ..DelayedAck::default() },
                ts_recent: None,
                last_ack_sent: Seq(0),
                last_ack_at: None,
                heard: now,
                urgent: Urgent::None,
                last_oow_ack: None,
            },
            agreed: Agreed::default(),
            rtt: Rtt::default(),
            cc: Congestion::new(config.init_cwnd),
            rack: Rack::new(iss),
            recovery: Recovery::new(iss, config.reordering),
            timers: Timers::default(),
            stats: Stats::default(),
            chrono: Chrono::default(),
            ecn: Ecn::default(),
            device_full: false,
            err: None,
            soft_err: None,
            shut_rd: false,
            shut_wr: false,
            done: false,
            orphan: false,
            mini: None,
            config,
        }
    }

    /// `tcp_v4_connect`: SYN_SENT, and the SYN is in `out`. `isn` is drawn by the caller.
    pub fn connect(config: TcpConfig, now: Instant, isn: Seq, out: &mut Output) -> TcpConn {
        let mut conn = TcpConn::new(config, now, isn, TcpState::SynSent);
        out.fact(TcpFact::StateChange { from: TcpState::Close, to: TcpState::SynSent });
        conn.send_first(now, Flags::SYN, out);
        conn
    }

    /// Takes over what the other side's SYN or SYN-ACK says (`tcp_parse_options` and friends).
    /// An option counts only if both sides sent it (RFC 7323, 2.2; RFC 2018, 2).
    pub(super) fn agree(&mut self, now: Instant, theirs: &Options) {
        self.rcv.ack.last = now;
        self.agreed = Agreed {
            timestamps: self.config.timestamps && theirs.timestamps.is_some(),
            sack: self.config.sack && theirs.sack_permitted,
            wscale: self.config.window_scaling && theirs.wscale.is_some(),
            ecn: self.agreed.ecn,
        };
        // RFC 7323, 2.3: a larger shift counts as 14.
        let shift = theirs.wscale.unwrap_or(0).min(14);
        self.snd.wscale = if self.agreed.wscale { shift } else { 0 };
        self.rcv.window.scale(self.agreed.wscale);
        // As in Linux, an MSS of 0 says nothing and one below 48 (`tcp_min_snd_mss`) says 48.
        let mss = theirs.mss.filter(|mss| *mss > 0);
        self.snd.mss_clamp = mss.map_or(TCP_MSS_DEFAULT, |mss| u32::from(mss).max(48));
        if let (true, Some(ts)) = (self.agreed.timestamps, theirs.timestamps) {
            self.rcv.ts_recent = Some((ts.val, now));
        }
    }

    /// Payload bytes in a full segment: the smaller of both sides' limits, less the timestamps
    /// (`tcp_current_mss`).
    pub(super) fn mss(&self) -> u32 {
        let (clamp, timestamps) = match self.state {
            // Nothing is agreed yet: what will be offered counts.
            TcpState::SynSent => {
                (self.config.user_mss.unwrap_or(TCP_MSS_DEFAULT), self.config.timestamps)
            }
            _ => (self.snd.mss_clamp, self.agreed.timestamps),
        };
        clamp.min(self.config.advertised_mss()) - if timestamps { 12 } else { 0 }
    }

    /// `tcp_set_state`.
    pub(super) fn set_state(&mut self, to: TcpState, out: &mut Output) {
        if self.state != to {
            out.fact(TcpFact::StateChange { from: self.state, to });
            self.state = to;
        }
    }

    /// The program's view of the state (TCP_INFO): CLOSE when only a mini-socket lives on.
    pub fn state(&self) -> TcpState {
        self.state
    }

    /// The state that netstat(8) shows for the 4-tuple: the mini-socket's, if there is one.
    pub fn wire_state(&self) -> TcpState {
        self.mini.as_ref().map_or(self.state, |mini| mini.state())
    }

    /// True while segments for the 4-tuple are ours to answer. When it turns false, take the
    /// 4-tuple out of the table of connections.
    pub fn is_hashed(&self) -> bool {
        self.wire_state() != TcpState::Close
    }

    /// True when nobody needs the value any more: no descriptor and nothing on the wire.
    pub fn is_dead(&self) -> bool {
        self.orphan && !self.is_hashed()
    }

    /// True when no descriptor refers to it.
    pub fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// Whether the device has room now. Whoever carries segments says so before each operation.
    pub fn set_device_full(&mut self, full: bool) {
        self.device_full = full;
    }

    /// The settings.
    pub fn config(&self) -> &TcpConfig {
        &self.config
    }

    /// Bytes that the program can read now.
    pub fn unread(&self) -> u32 {
        self.rcv.nxt.since(self.rcv.copied) - self.rcv.fins
    }

    /// Bytes accepted and not yet sent for the first time.
    pub(super) fn unsent(&self) -> u32 {
        let end = self.snd.write_seq - u32::from(self.snd.fin);
        end.saturating_since(self.snd.nxt)
    }

    /// The pending error, cleared by asking (`sock_error`).
    pub fn take_error(&mut self) -> Option<Errno> {
        self.err.take()
    }

    /// SO_ERROR: the pending error or, without one, what is remembered for a timeout (T-49, measured).
    pub fn so_error(&mut self) -> Option<Errno> {
        self.err.take().or_else(|| self.soft_err.take())
    }
}
