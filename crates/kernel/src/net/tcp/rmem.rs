//! The end of the receive buffer: what is done when a connection holds more than SO_RCVBUF allows
//! (`tcp_try_rmem_schedule`, `tcp_prune_queue`). The window is offered so that this happens only to
//! peers who send crumbs or past the window, and to programs that make the buffer smaller while the
//! window is open. Neighbours: `receive`, which asks; `receive_queue`, which collapses; `window`, which
//! offers.

use super::seq::Seq;
use super::state::TcpConn;

impl TcpConn {
    /// What the received bytes cost, in order or not (`sk_rmem_alloc`).
    pub fn rmem_alloc(&self) -> u32 {
        self.rcv.queue.charged() + self.rcv.ooo.charged()
    }

    /// `tcp_try_rmem_schedule`: may one more segment be kept? Like Linux it asks whether the buffer is
    /// overdrawn already, not whether it would be. `seq`: where an out-of-order segment begins.
    ///
    /// Unlike Linux, whose fast path lets a segment in while the page that was charged last has room.
    pub(super) fn try_rmem_schedule(&mut self, seq: Option<Seq>) -> bool {
        if self.rmem_alloc() <= self.rcv.window.rcvbuf {
            return true;
        }
        // Unlike Linux, which collapses after `tcp_clamp_window`: a buffer of crumbs must not grow (it
        // stayed at 131072 with 100,000 unread bytes that came one by one; measured).
        let window = &self.rcv.window;
        self.rcv.queue.collapse(|cost, len| window.win_from_space(cost) as usize > len);
        if self.rmem_alloc() > self.rcv.window.rcvbuf {
            self.rcv.ack.quick = 0;
            self.rcv.window.clamp(self.rmem_alloc(), self.config.advertised_mss());
            let rest = self.rcv.window.rcvbuf.saturating_sub(self.rcv.queue.charged());
            self.rcv.ooo.prune(rest, seq);
        }
        self.rcv.window.charged = self.rmem_alloc();
        self.rmem_alloc() <= self.rcv.window.rcvbuf
    }
}
