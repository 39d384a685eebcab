//! The end of the receive buffer: what is done when a connection holds more than SO_RCVBUF allows
//! (`tcp_try_rmem_schedule`, `tcp_prune_queue`). The window is offered so that this happens only to
//! peers who send crumbs or past the window, and to programs that make the buffer smaller while the
//! window is open. Neighbours: `receive`, which asks; `window`, which offers.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::seq::Seq;
use super::state::TcpConn;
use super::window::truesize;

/// Bytes in a piece that small ones are collapsed into: what fits into a page beside its administration
/// (`SKB_MAX_ORDER(0, 0)`).
const COLLAPSED: usize = 3776;

impl TcpConn {
    /// What the received bytes cost, in order or not (`sk_rmem_alloc`).
    pub fn rmem_alloc(&self) -> u32 {
        self.rcv.window.charged + self.rcv.ooo.charged()
    }

    /// `tcp_try_rmem_schedule`: may one more segment be kept? Like Linux it asks whether the buffer is
    /// overdrawn already, not whether it would be. `seq`: where an out-of-order segment begins.
    ///
    /// Unlike Linux, whose fast path lets a segment in while the page that was charged last has room.
    pub(super) fn try_rmem_schedule(&mut self, seq: Option<Seq>) -> bool {
        if self.rmem_alloc() <= self.rcv.window.rcvbuf {
            return true;
        }
        // Unlike Linux, which collapses after `tcp_clamp_window`: our segments are not coalesced when
        // they arrive, and a buffer of crumbs must not grow (it stayed at 131072 with 100,000 unread
        // bytes that came one by one; measured).
        self.collapse();
        if self.rmem_alloc() > self.rcv.window.rcvbuf {
            self.rcv.ack.quick = 0;
            self.rcv.window.clamp(self.rmem_alloc(), self.config.advertised_mss());
            let rest = self.rcv.window.rcvbuf.saturating_sub(self.rcv.window.charged);
            self.rcv.ooo.prune(rest, seq);
        }
        self.rmem_alloc() <= self.rcv.window.rcvbuf
    }

    /// `tcp_collapse`: pieces of the receive queue that are smaller than the other side's segments
    /// become large ones.
    fn collapse(&mut self) {
        let usual = COLLAPSED.min(self.rcv.window.rcv_mss as usize);
        let mut joined: VecDeque<Bytes> = VecDeque::new();
        let mut last = BytesMut::new();
        for piece in core::mem::take(&mut self.rcv.queue) {
            let ends = piece.len() >= usual || last.len() + piece.len() > COLLAPSED;
            if ends && !last.is_empty() {
                joined.push_back(core::mem::take(&mut last).freeze());
            }
            match piece.len() {
                small if small < usual => last.extend_from_slice(&piece),
                _ => joined.push_back(piece),
            }
        }
        joined.extend((!last.is_empty()).then(|| last.freeze()));
        self.rcv.window.charged = joined.iter().map(|piece| truesize(piece.len() as u32)).sum();
        self.rcv.queue = joined;
    }
}
