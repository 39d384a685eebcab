//! Units of transmission: Linux hands several segments to the device at once, as one large packet
//! that the device takes apart (TSO). Two things of that are seen on a wire: how long a sender waits
//! to fill a unit (`tcp_tso_should_defer`), and that the last segment of a unit of several carries PSH
//! (measured on 6.18). Names from Linux's tcp_output.c. Neighbours: `output` (who sends), `congestion`.

use super::congestion::CaState;
use super::output::Nagle;
use super::state::TcpConn;
use crate::time::{Duration, Instant};

/// `sk_gso_max_size`: what a device takes at once, less room for headers.
pub(super) const GSO_MAX_SIZE: u64 = 65_215;
/// `sk_pacing_shift`: a unit is what leaves in about a millisecond.
const PACING_SHIFT: u32 = 10;
/// `tcp_tso_rtt_log`: the nearer the other side is, the more goes at once.
const TSO_RTT_LOG: u32 = 9;
/// `tcp_tso_win_divisor`: a third of the window is always worth sending.
const TSO_WIN_DIVISOR: u32 = 3;

/// An acknowledgment that is farther away is not waited for (measured on 6.18: at 35 of 40 ms a unit
/// leaves, at 39.5 it waits).
const ACK_IS_NEAR: Duration = Duration::from_millis(1);

/// How much `tcp_write_xmit` is to send (its `push_one`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Push {
    /// All that may leave.
    All,
    /// One unit, without waiting for more (`tcp_push_one`).
    One,
    /// The same as a tail loss probe: a segment even if the congestion window is full.
    Probe,
}

/// What may leave next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// So many bytes, in one or several segments.
    Send(u32),
    /// Nothing: the congestion window is full, or waits to open further.
    CwndLimited,
    /// Nothing: the other side's window is too small.
    RwndLimited,
    /// Nothing: Nagle, or the hope for more.
    Held,
}

impl TcpConn {
    /// `tcp_update_pacing_rate`: bytes a second, twice the window a round trip in slow start and 1.2
    /// times later. Nothing is paced by it; units are as large as it says.
    pub(super) fn pacing_rate(&self) -> u64 {
        let Some(rtt) = self.rtt.srtt().filter(|rtt| !rtt.is_zero()) else { return u64::MAX };
        let percent = if self.cc.cwnd < self.cc.ssthresh / 2 { 200 } else { 120 };
        let window = self.cc.cwnd.max(self.snd.flight.packets_out());
        let bytes = u64::from(window) * u64::from(self.mss());
        bytes * percent * 10_000 / (rtt.as_micros() as u64).max(1)
    }

    /// `tcp_tso_segs`: how many segments a unit has at most.
    pub fn tso_segs(&self) -> u32 {
        let near = match self.rtt.min() {
            Some(rtt) => GSO_MAX_SIZE.checked_shr((rtt.as_micros() >> TSO_RTT_LOG) as u32),
            None => None,
        };
        let bytes = (self.pacing_rate() >> PACING_SHIFT).saturating_add(near.unwrap_or(0));
        let segments = (bytes.min(GSO_MAX_SIZE) / u64::from(self.mss())) as u32;
        segments.max(self.config.min_tso_segs)
    }

    /// `tcp_cwnd_test`: how many segments the congestion window lets go now: never more than half of
    /// it at once, so that two units are on their way.
    fn cwnd_quota(&self, push: Push) -> u32 {
        let cwnd = self.cc.cwnd;
        let quota = cwnd.saturating_sub(self.in_flight()).min((cwnd / 2).max(1));
        quota.max(u32::from(push == Push::Probe))
    }

    /// The first sk_buff becomes as long as a unit may be, if the second has the bytes.
    pub(super) fn tcp_grow_skb(&mut self, push: Push) {
        let unit = self.cwnd_quota(push).min(self.tso_segs()) * self.segment_size();
        if let Some(first) = self.snd.skbs.front() {
            self.snd.skbs.grow(unit.saturating_sub(first.end.since(self.snd.nxt)));
        }
    }

    /// Bytes of the first sk_buff: 0 when only a FIN waits.
    pub(super) fn head_len(&self) -> u32 {
        self.snd.skbs.front().map_or(0, |skb| skb.end.since(self.snd.nxt))
    }

    /// `tcp_snd_wnd_test`: does the other side's window take the first segment, with its FIN?
    pub(super) fn snd_wnd_test(&self) -> bool {
        let whole = self.head_len();
        let fin = self.snd.fin && whole == self.unsent() && whole <= self.segment_size();
        let first = whole.min(self.segment_size()) + u32::from(fin);
        self.wnd_end().saturating_since(self.snd.nxt) >= first
    }

    /// What leaves next: of the first sk_buff what windows and Nagle allow.
    pub(super) fn next_unit(&self, now: Instant, nagle: Nagle, push: Push) -> Unit {
        let mss = self.segment_size();
        let quota = self.cwnd_quota(push);
        if quota == 0 {
            return Unit::CwndLimited;
        }
        if !self.snd_wnd_test() {
            return Unit::RwndLimited;
        }
        let unsent = self.unsent();
        let whole = self.head_len();
        let window = self.wnd_end().saturating_since(self.snd.nxt);
        if whole <= mss {
            // The FIN's segment is never held back, nor one before others (`tcp_nagle_test`).
            let waits = whole == unsent && whole < mss && !self.snd.fin;
            return if waits && self.held_back(nagle) { Unit::Held } else { Unit::Send(whole) };
        }
        let segments = self.tso_segs();
        if push == Push::All
            && let Some(why) = self.tso_should_defer(now, whole, segments * mss)
        {
            return why;
        }
        // `tcp_mss_split_point`: whole segments, and the rest only if Nagle lets it go.
        let most = mss * segments.min(quota);
        let needed = whole.min(window).min(most);
        let partial = needed % mss;
        let last = self.snd.fin && needed == unsent && window > needed;
        let held = partial > 0 && needed < most && !last && self.held_back(nagle);
        Unit::Send(if held { needed - partial } else { needed })
    }

    /// `tcp_tso_should_defer`: is it better to wait for the next acknowledgment, and send more then?
    fn tso_should_defer(&self, now: Instant, whole: u32, full: u32) -> Option<Unit> {
        let mss = self.segment_size();
        let since_last = now.saturating_since(self.snd.last);
        let send_win = self.wnd_end().saturating_since(self.snd.nxt);
        let cong_win = self.cc.cwnd.saturating_sub(self.in_flight()).saturating_mul(mss);
        let limit = send_win.min(cong_win);
        let third = self.snd.wnd.min(self.cc.cwnd.saturating_mul(mss)) / TSO_WIN_DIVISOR;
        let srtt = self.rtt.srtt().unwrap_or(Duration::ZERO);
        let expected = self.snd.flight.front().map(|s| s.at + srtt);
        let soon = now + ACK_IS_NEAR.min(srtt / 2);
        match expected {
            _ if matches!(self.cc.state, CaState::Recovery | CaState::Loss) => None,
            // It slept for a millisecond: no burst is to be feared, and nobody to wait for.
            _ if since_last > Duration::from_millis(1) => None,
            _ if limit >= full => None,
            // All of this unit, and more waits behind it.
            _ if whole < self.unsent() && limit >= whole => None,
            _ if limit >= third => None,
            // No acknowledgment will come, or not soon.
            None => None,
            Some(ack) if ack > soon => None,
            Some(_) if cong_win < send_win && cong_win <= whole => Some(Unit::CwndLimited),
            Some(_) if cong_win >= send_win && send_win <= whole => Some(Unit::RwndLimited),
            // Nothing will be added to it.
            Some(_) if self.snd.fin || self.snd.skbs.front().is_some_and(|skb| skb.eor) => None,
            // The program may add something.
            Some(_) => Some(Unit::Held),
        }
    }
}
