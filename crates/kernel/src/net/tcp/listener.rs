//! A listening socket: half-open requests by peer, and the accept queue (T-5, T-34…T-38). It is
//! generic in `K`, what names a peer (its address and port), and `I`, what names a connection in the
//! caller's arena: connections are owned outside, so that one table finds them all.
//!
//! Unlike Linux, a SYN cookie is no number that only the other side keeps: the request is kept as one
//! that does not count, which nobody can tell apart.

use std::collections::{BTreeMap, VecDeque};

use super::config::TcpConfig;
use super::fact::{DropWhy, Output, Ready, ReplyWhy, TcpFact};
use super::request::{Checked, Request};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::{TcpConn, TcpState};
use crate::time::Instant;

/// The state of a listening socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener<K: Ord, I> {
    /// Settings; accepted connections inherit them (T-58).
    pub config: TcpConfig,
    backlog: u32,
    requests: BTreeMap<K, Request>,
    queue: VecDeque<I>,
}

/// What a segment did to a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenerEvent {
    /// Nothing that the caller must act on; there may be segments in `out`.
    None,
    /// A handshake is complete. Store the connection, enter its 4-tuple into the table and call
    /// `push` with its name at once; wake whoever waits for `Ready::IN` on the listener.
    Established(Box<TcpConn>),
}

impl<K: Ord + Copy, I> Listener<K, I> {
    /// `inet_listen`. `backlog` is already limited by `somaxconn`.
    pub fn new(config: TcpConfig, backlog: u32) -> Listener<K, I> {
        Listener { config, backlog, requests: BTreeMap::new(), queue: VecDeque::new() }
    }

    /// listen(2) again: only the backlog changes.
    pub fn set_backlog(&mut self, backlog: u32) {
        self.backlog = backlog;
    }

    /// Connections ready to be accepted.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True when accept would block.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The backlog that listen(2) set.
    pub fn backlog(&self) -> u32 {
        self.backlog
    }

    /// Peers whose handshake is not complete (SYN_RECV), in their order.
    pub fn requests(&self) -> impl Iterator<Item = (&K, &Request)> {
        self.requests.iter().filter(|(_, request)| !request.cookie)
    }

    /// Is there a handshake with this peer?
    pub fn has_request(&self, peer: &K) -> bool {
        self.requests.contains_key(peer)
    }

    /// The handshakes, to be taken in by another listener.
    pub fn take_requests(&mut self) -> BTreeMap<K, Request> {
        core::mem::take(&mut self.requests)
    }

    /// A handshake that began with another listener (`inet_reqsk_clone`).
    pub fn migrate(&mut self, peer: K, request: Request) {
        self.requests.insert(peer, request);
    }

    /// `sk_acceptq_is_full`: one more than the backlog fits.
    fn is_full(&self) -> bool {
        self.queue.len() > self.backlog as usize
    }

    /// `inet_csk_reqsk_queue_len`.
    fn waiting(&self) -> u32 {
        self.requests().count() as u32
    }

    /// `inet_csk_reqsk_queue_is_full`: like the accept queue it takes one more than the backlog.
    fn is_request_queue_full(&self) -> bool {
        self.requests.len() > self.backlog as usize && self.waiting() > self.backlog
    }

    /// It is full, or the share of `tcp_max_syn_backlog` that is kept for peers
    /// who were heard before: here nobody was.
    fn has_too_many_requests(&self) -> bool {
        let most = self.config.max_syn_backlog;
        self.is_request_queue_full() || most.saturating_sub(self.waiting()) < most >> 2
    }

    /// `inet_csk_listen_poll`.
    pub fn poll(&self) -> Ready {
        if self.queue.is_empty() { Ready::NONE } else { Ready::IN }
    }

    /// A segment for the listening port that belongs to no connection. `isn` is used if it begins a
    /// new one.
    pub fn input(
        &mut self,
        now: Instant,
        peer: K,
        s: &Segment,
        isn: Seq,
        out: &mut Output,
    ) -> ListenerEvent {
        let full = self.is_full();
        if let Some(request) = self.requests.get_mut(&peer) {
            return match request.check(&self.config, now, s, full, out) {
                Checked::Stay => ListenerEvent::None,
                Checked::Dropped => {
                    self.requests.remove(&peer);
                    ListenerEvent::None
                }
                Checked::Complete => self.complete(now, peer, s, out),
            };
        }
        // RFC 9293, 3.10.7.2: first RST, second ACK, third SYN.
        if s.has(Flags::RST) {
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RstOutOfWindow });
        } else if s.has(Flags::ACK) {
            out.reply_reset(s, ReplyWhy::NoSocket);
        } else if !s.has(Flags::SYN) || s.has(Flags::FIN) {
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::NotSyn });
        } else if self.config.syncookies == 0 && self.has_too_many_requests() {
            // RFC 4987, 3: without cookies the backlog is all there is.
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RequestQueueFull });
        } else if full {
            // T-36: silence; the other side will try again.
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::AcceptQueueFull });
        } else {
            let begin = if self.is_request_queue_full() { Request::cookie } else { Request::new };
            let request = begin(&self.config, now, isn, s);
            out.fact(TcpFact::StateChange { from: TcpState::Listen, to: TcpState::SynRecv });
            out.segments.push(request.synack(&self.config, now));
            self.requests.insert(peer, request);
        }
        ListenerEvent::None
    }

    fn complete(&mut self, now: Instant, peer: K, s: &Segment, out: &mut Output) -> ListenerEvent {
        let Some(request) = self.requests.remove(&peer) else { return ListenerEvent::None };
        let mut conn = request.into_conn(&self.config, now);
        let mut birth = Output::default();
        conn.input(now, s, &mut birth);
        out.segments.append(&mut birth.segments);
        out.facts.append(&mut birth.facts);
        // Nobody sleeps on the connection yet, but on the listener.
        out.wake |= Ready::IN;
        ListenerEvent::Established(Box::new(conn))
    }

    /// Puts a completed connection at the end of the accept queue.
    pub fn push(&mut self, conn: I) {
        self.queue.push_back(conn);
    }

    /// accept(2): the oldest connection, also when it was reset meanwhile (T-37).
    pub fn accept(&mut self) -> Option<I> {
        self.queue.pop_front()
    }

    /// `inet_csk_listen_stop` (T-5, T-34, T-35): gives back the connections that nobody accepted, in
    /// the order of their handshakes: call `forget_unaccepted` on each. Half-open requests vanish
    /// without a segment.
    pub fn close(&mut self) -> impl Iterator<Item = I> {
        self.requests.clear();
        core::mem::take(&mut self.queue).into_iter()
    }

    /// An ICMP unreachable quoted our SYN-ACK: the request vanishes silently (T-52a).
    pub fn unreachable(&mut self, peer: &K, seq: Seq) {
        if self.requests.get(peer).is_some_and(|request| request.iss() == seq) {
            self.requests.remove(peer);
        }
    }

    /// When `expire` wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.requests.values().map(|r| r.deadline).min()
    }

    /// Time came: SYN-ACKs again, or giving up (T-52). What comes out belongs to the peer beside it.
    pub fn expire(&mut self, now: Instant) -> Vec<(K, Output)> {
        let most = self.synack_retries();
        let config = &self.config;
        let mut all = Vec::new();
        self.requests.retain(|peer, request| {
            if request.deadline > now {
                return true;
            }
            let mut out = Output::default();
            let stays = request.timeout(config, now, most, &mut out);
            all.push((*peer, out));
            stays
        });
        all
    }

    /// `tcp_synack_retries`, fewer when more than half of the request queue is taken and old
    /// requests outnumber the young.
    fn synack_retries(&self) -> u32 {
        let mut most = self.config.synack_retries;
        let waiting = self.waiting();
        if waiting > 1 && waiting * 2 > self.backlog.max(8) {
            let mut young = 2 * self.requests().filter(|(_, r)| r.timeouts == 0).count() as u32;
            while most > 2 && waiting >= young {
                most -= 1;
                young = (young * 2).max(1);
            }
        }
        most
    }
}
