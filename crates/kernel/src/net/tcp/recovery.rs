//! Loss recovery: when it begins, when it ends, and when it turns out to have been needless
//! (`tcp_fastretrans_alert`). RFC 6675, RFC 5682 (F-RTO), RFC 4015 (undo by timestamps), RFC 3708
//! (undo by DSACK). Names from Linux's tcp_input.c. Neighbours: `ack` (who asks), `rack` (what is
//! lost), `congestion` (the windows).

use super::congestion::CaState;
use super::options::Timestamps;
use super::seq::Seq;
use super::state::TcpConn;
use crate::time::Instant;

/// What is remembered of a recovery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recovery {
    /// What was sent when it began: it ends when this is acknowledged (`high_seq`).
    pub high: Seq,
    /// SND.UNA when it began, while it may still be undone.
    pub undo_marker: Option<Seq>,
    /// Retransmissions not yet reported as needless; −1 when there was none.
    pub undo_retrans: i64,
    /// The threshold before it, to come back to.
    pub prior_ssthresh: Option<u32>,
    /// When the first retransmission left (`retrans_stamp`).
    pub retrans_stamp: Option<Instant>,
    /// F-RTO: a timeout that may have been premature.
    pub frto: bool,
    /// So many segments may come late (`tp->reordering`).
    pub reordering: u32,
}

impl Recovery {
    pub fn new(iss: Seq, reordering: u32) -> Recovery {
        Recovery {
            high: iss,
            undo_marker: None,
            undo_retrans: 0,
            prior_ssthresh: None,
            retrans_stamp: None,
            frto: false,
            reordering,
        }
    }
}

/// What an acknowledgment brought (Linux's FLAG_…).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct AckWork {
    /// SND.UNA moved.
    pub advanced: bool,
    /// Nothing but a duplicate.
    pub dupack: bool,
    /// SACK reported something new.
    pub sacked: bool,
    /// Something arrived that was sent once, before the recovery began.
    pub orig_sacked: bool,
    /// It reported something received twice.
    pub dsack: bool,
    /// The same, of the tail loss probe.
    pub dsack_tlp: bool,
    /// The reordering timer runs: the retransmission timer stays off.
    pub reorder_timer: bool,
    /// A retransmission was lost.
    pub lost_retrans: bool,
    /// The other side met congestion marks (RFC 3168).
    pub ece: bool,
    /// The timestamp echoed.
    pub echo: Option<Timestamps>,
}

/// What may be sent after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rexmit {
    /// Only what is new.
    None,
    /// What is lost.
    Lost,
    /// F-RTO: what is new, to see whether anything was lost at all.
    New,
}

impl TcpConn {
    /// `tcp_fastretrans_alert`.
    pub(super) fn fastretrans_alert(&mut self, now: Instant, work: &mut AckWork) -> Rexmit {
        let passed_high = !self.snd.una.before(self.recovery.high);
        if work.ece {
            self.recovery.prior_ssthresh = None; // congestion was met: nothing is to be undone
        }
        match self.cc.state {
            CaState::Open => self.recovery.retrans_stamp = None,
            CaState::Recovery if passed_high => {
                if !self.agreed.sack {
                    self.snd.dupacks = 0;
                }
                if self.try_undo_recovery(work) {
                    return Rexmit::None;
                }
                self.end_cwnd_reduction();
            }
            // Held until more than what was out is acknowledged.
            CaState::Cwr if self.snd.una.after(self.recovery.high) => {
                self.end_cwnd_reduction();
                self.cc.state = CaState::Open;
            }
            CaState::Disorder | CaState::Cwr | CaState::Recovery | CaState::Loss => {}
        }
        match self.cc.state {
            CaState::Recovery => self.in_recovery(now, work),
            CaState::Loss => {
                let rexmit = self.process_loss(work);
                self.identify(now, work);
                let goes_on = self.cc.state == CaState::Open || work.lost_retrans;
                if goes_on { self.look_for_loss(now, work) } else { rexmit }
            }
            CaState::Open | CaState::Disorder | CaState::Cwr => {
                if self.cc.state != CaState::Cwr
                    && self.recovery.undo_marker.is_some()
                    && self.try_undo_dsack()
                {
                    self.keep_open();
                }
                self.look_for_loss(now, work)
            }
        }
    }

    fn identify(&mut self, now: Instant, work: &mut AckWork) {
        let before = self.snd.flight.retrans_out();
        work.reorder_timer |= self.identify_packet_loss(now, work.advanced);
        work.lost_retrans |= self.snd.flight.retrans_out() < before;
    }

    /// Not in recovery: does it begin (`tcp_time_to_recover`)?
    fn look_for_loss(&mut self, now: Instant, work: &mut AckWork) -> Rexmit {
        self.identify(now, work);
        if self.snd.flight.lost_out() == 0 {
            self.try_to_open(work.ece);
            return Rexmit::None;
        }
        self.enter_recovery(work.ece);
        Rexmit::Lost
    }

    fn in_recovery(&mut self, now: Instant, work: &mut AckWork) -> Rexmit {
        if work.advanced && self.try_undo_partial(work) {
            return Rexmit::None;
        }
        if self.try_undo_dsack() {
            self.try_to_open(work.ece);
        }
        self.identify(now, work);
        if self.cc.state != CaState::Recovery {
            if self.snd.flight.lost_out() == 0 {
                return Rexmit::None;
            }
            // Undone, and there is a loss all the same: another one.
            self.enter_recovery(work.ece);
        }
        Rexmit::Lost
    }

    /// `tcp_enter_recovery`. A reduction for which there was a mark is not undone.
    pub(super) fn enter_recovery(&mut self, ece: bool) {
        self.recovery.prior_ssthresh = None;
        self.init_undo();
        if !self.cc.in_cwnd_reduction() {
            if !ece {
                self.recovery.prior_ssthresh = Some(self.cc.current_ssthresh());
            }
            self.init_cwnd_reduction();
        }
        self.cc.state = CaState::Recovery;
    }

    fn init_undo(&mut self) {
        self.recovery.undo_marker = Some(self.snd.una);
        let probe = u32::from(self.snd.probe_high.is_some() && self.snd.probe_retrans);
        let out = i64::from(self.snd.flight.retrans_out() + probe);
        self.recovery.undo_retrans = if out == 0 { -1 } else { out };
    }

    /// `tcp_init_cwnd_reduction`.
    fn init_cwnd_reduction(&mut self) {
        self.recovery.high = self.snd.nxt;
        self.snd.probe_high = None;
        self.cc.init_cwnd_reduction();
        self.ecn_queue_cwr();
    }

    /// `tcp_end_cwnd_reduction`: nothing where the reduction was undone.
    fn end_cwnd_reduction(&mut self) {
        if self.recovery.undo_marker.is_some() || self.cc.state == CaState::Cwr {
            self.cc.cwnd = self.cc.ssthresh;
        }
    }

    /// `tcp_enter_cwr`: a sign of congestion. There is nothing to be undone.
    pub(super) fn enter_cwr(&mut self) {
        self.recovery.prior_ssthresh = None;
        match self.cc.state {
            CaState::Open | CaState::Disorder => {
                self.recovery.undo_marker = None;
                self.init_cwnd_reduction();
                self.cc.state = CaState::Cwr;
            }
            CaState::Cwr | CaState::Recovery | CaState::Loss => {}
        }
    }

    /// A tail loss probe repaired a loss: the window is reduced once (RFC 8985, 7.4.2).
    pub(super) fn reduce_for_probe(&mut self) {
        self.init_cwnd_reduction();
        self.cc.cwnd = self.cc.ssthresh;
        self.keep_open();
    }

    /// `tcp_try_to_open`.
    fn try_to_open(&mut self, ece: bool) {
        if ece {
            self.enter_cwr();
        }
        if self.cc.state != CaState::Cwr {
            self.keep_open();
        }
    }

    /// `tcp_try_keep_open`.
    fn keep_open(&mut self) {
        let flight = &self.snd.flight;
        let left_out = flight.sacked_out() + flight.lost_out() + self.emulated_sacks();
        if !self.any_retrans_done() {
            self.recovery.retrans_stamp = None;
        }
        let disorder = left_out > 0 || self.any_retrans_done();
        let state = if disorder { CaState::Disorder } else { CaState::Open };
        if self.cc.state != state {
            self.cc.state = state;
            self.recovery.high = self.snd.nxt;
        }
    }

    fn any_retrans_done(&self) -> bool {
        self.snd.flight.retrans_out() > 0
            || self.snd.flight.front().is_some_and(|s| s.ever_retransmitted)
    }

    /// `tcp_enter_loss`: the timer fired.
    pub(super) fn enter_loss(&mut self, now: Instant) {
        self.snd.flight.timeout_mark_lost(now, self.rack.rtt);
        self.snd.dupacks = 0;
        let fresh = match self.cc.state {
            CaState::Open | CaState::Disorder => true,
            CaState::Cwr | CaState::Recovery => !self.recovery.high.after(self.snd.una),
            CaState::Loss => {
                self.timers.retransmits == 0 || !self.recovery.high.after(self.snd.una)
            }
        };
        let in_recovery = matches!(self.cc.state, CaState::Recovery | CaState::Loss);
        let reordered = self.snd.flight.sacked_out() >= self.config.reordering;
        if !in_recovery && self.cc.state != CaState::Cwr && reordered {
            // So many arrivals, and a timeout all the same: less is reordered than was thought.
            self.recovery.reordering = self.recovery.reordering.min(self.config.reordering);
        }
        if fresh {
            self.recovery.prior_ssthresh = Some(self.cc.current_ssthresh());
            self.cc.reduce_at_loss();
            self.init_undo();
            self.stats.total_rto_recoveries = self.stats.total_rto_recoveries.saturating_add(1);
        }
        self.cc.enter_loss(self.in_flight() + 1);
        self.recovery.high = self.snd.nxt;
        self.snd.probe_high = None;
        self.ecn_queue_cwr();
        self.recovery.frto = self.config.frto != 0 && (!in_recovery || self.timers.retransmits > 0);
    }

    /// `tcp_process_loss`: was the timeout premature?
    fn process_loss(&mut self, work: &AckWork) -> Rexmit {
        let recovered = !self.snd.una.before(self.recovery.high);
        if work.advanced && self.try_undo_loss(work, false) {
            return Rexmit::None;
        }
        if self.recovery.frto {
            // RFC 5682, 3.1, step 3: something arrived that was not sent again.
            if work.orig_sacked && self.try_undo_loss(work, true) {
                return Rexmit::None;
            }
            if self.snd.nxt.after(self.recovery.high) {
                if work.sacked || work.dupack {
                    self.recovery.frto = false; // 3a: a loss it was
                }
            } else if work.advanced && !recovered {
                self.recovery.high = self.snd.nxt;
                // 2b: new data shows it, if some may leave.
                if self.has_send_head() && self.wnd_end().after(self.snd.nxt) {
                    return Rexmit::New;
                }
                self.recovery.frto = false;
            }
        }
        if recovered {
            self.try_undo_recovery(work);
            return Rexmit::None;
        }
        Rexmit::Lost
    }

    /// `tcp_packet_delayed`: the acknowledgment is of what was sent before any retransmission.
    fn packet_delayed(&self, work: &AckWork) -> bool {
        let Some(since) = self.recovery.retrans_stamp else { return true };
        let echo = work.echo.filter(|ts| self.agreed.timestamps && ts.ecr != 0);
        echo.is_some_and(|ts| Seq(ts.ecr).before(Seq(self.tcp_clock(since))))
    }

    fn may_undo(&self, work: &AckWork) -> bool {
        self.recovery.undo_marker.is_some()
            && (self.recovery.undo_retrans == 0 || self.packet_delayed(work))
    }

    /// `tcp_undo_cwnd_reduction`.
    fn undo_cwnd_reduction(&mut self, unmark: bool) {
        if unmark {
            self.snd.flight.unmark_lost();
        }
        if let Some(before) = self.recovery.prior_ssthresh {
            self.cc.undo(before);
            self.ecn_withdraw_cwr();
        }
        self.recovery.undo_marker = None;
        self.rack.advanced = true;
    }

    /// `tcp_try_undo_recovery`: all is acknowledged. True while it stays where it is: without SACK
    /// later duplicates could be of this recovery (RFC 6582, 3.2).
    fn try_undo_recovery(&mut self, work: &AckWork) -> bool {
        if self.may_undo(work) {
            self.undo_cwnd_reduction(false);
        } else {
            self.rack.recovered(false);
        }
        if !self.agreed.sack && self.snd.una == self.recovery.high {
            if !self.any_retrans_done() {
                self.recovery.retrans_stamp = None;
            }
            return true;
        }
        self.cc.state = CaState::Open;
        self.recovery.retrans_stamp = None;
        false
    }

    /// `tcp_try_undo_partial`: true when the retransmissions are to be waited for.
    fn try_undo_partial(&mut self, work: &AckWork) -> bool {
        if self.recovery.undo_marker.is_none() || !self.packet_delayed(work) {
            return false;
        }
        if self.snd.flight.retrans_out() > 0 {
            return true;
        }
        if !self.any_retrans_done() {
            self.recovery.retrans_stamp = None;
        }
        self.undo_cwnd_reduction(true);
        self.keep_open();
        false
    }

    /// `tcp_try_undo_dsack`: every retransmission was needless.
    fn try_undo_dsack(&mut self) -> bool {
        if self.recovery.undo_marker.is_none() || self.recovery.undo_retrans != 0 {
            return false;
        }
        self.rack.recovered(true);
        self.undo_cwnd_reduction(false);
        true
    }

    /// `tcp_try_undo_loss`: a premature timeout.
    fn try_undo_loss(&mut self, work: &AckWork, frto: bool) -> bool {
        if !frto && !self.may_undo(work) {
            return false;
        }
        self.undo_cwnd_reduction(true);
        self.timers.retransmits = 0;
        if frto || self.agreed.sack {
            self.cc.state = CaState::Open;
        }
        true
    }

    /// `tcp_check_sack_reordering`: something below what was reported before arrived late, and was
    /// sent once.
    pub(super) fn check_sack_reordering(&mut self, low: Seq, highest: Seq) {
        if !low.before(highest) {
            return;
        }
        let mss = self.mss().max(1);
        let metric = highest.since(low);
        if metric > self.recovery.reordering * mss {
            self.recovery.reordering = metric.div_ceil(mss).min(self.config.max_reordering);
        }
        self.stats.reord_seen += 1;
    }
}
