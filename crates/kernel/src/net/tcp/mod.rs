//! TCP as a value: no sockets, no addresses, no clock. A connection takes a time and a segment and
//! gives back segments, wake-ups and typed facts. Its neighbours, the socket and the ip room, keep
//! the 4-tuple, the descriptor and the wire.
//!
//! ```text
//!   connect ──► SYN_SENT ──────────┐            Listener: SYN ──► Request (SYN_RECV)
//!                                  ▼                                │ third segment
//!                             ESTABLISHED ◄─────────────────────────┘ accept queue
//!            close, shutdown(WR) │      │ FIN came
//!                                ▼      ▼
//!             FIN_WAIT1 ── FIN ─► CLOSING       CLOSE_WAIT
//!                 │ ACK of FIN       │ ACK          │ close
//!                 ▼                  ▼              ▼
//!             FIN_WAIT2 ── FIN ─► TIME_WAIT     LAST_ACK ── ACK ─► CLOSE
//! ```
//! `close` chooses between FIN, RST and silence (T.2); a RST from the other side or a timer that
//! gives up leads from anywhere to CLOSE. After `close` the connection is an orphan: it lives on by
//! its own timers, and in TIME_WAIT (and an orphan's FIN_WAIT2) only as a mini-socket inside the
//! same value, while the program sees CLOSE.
//!
//! # How to use it
//! - Names: a table maps 4-tuples to connections. After every call: send `out.segments`, tell
//!   `out.facts`, wake by `out.wake`; if `!conn.is_hashed()` take the 4-tuple out of the table; if
//!   `conn.is_dead()` drop the value; ask `next_deadline()` when to call `expire`.
//! - Demultiplex: 4-tuple → `conn.input`; else listener → `listener.input(now, peer, …)`; else
//!   `reply_reset`. If `conn.recycles(&segment)` gives an ISN and the port has a listener: `bury`
//!   the old connection and hand the SYN with that ISN to the listener (T-29).
//! - `listener.input` returns `Established(conn)`: store it, enter its 4-tuple, `listener.push(id)`.
//!   It is a full connection from then on, also while it waits to be accepted.
//! - Blocking: `send` → `Ok(0)` wait for OUT; `recv` → `WouldBlock` wait for IN; `connect` wait until
//!   `state()` leaves SYN_SENT, then `take_error`; a `close` whose outcome has `linger` set: wait,
//!   then `adjudge_to_death`.
//! - Last close of a listener: for each of `listener.close()` in order `conn.forget_unaccepted`.

mod ack;
mod byte_queue;
mod check;
mod chrono;
mod close;
mod config;
mod congestion;
mod cubic;
mod delack;
mod ecn;
mod fact;
mod hystart;
mod icmp;
mod input;
mod keepalive;
mod listener;
mod look;
mod minisock;
mod options;
mod output;
mod rack;
mod reassembly;
mod receive;
mod receive_queue;
mod recovery;
mod request;
mod rmem;
mod rtt;
mod sack;
mod scoreboard;
mod segment;
mod send;
mod seq;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod timer;
mod tso;
mod tstamp;
mod window;
mod write_queue;

pub use check::check_flags;
pub use chrono::{Chrono, Doing};
pub use close::{Close, CloseOutcome, CloseSent, Shutdown, Silence};
pub use config::{Linger2, TCP_MSS_DEFAULT, TCP_TIMEOUT_INIT, TCP_TIMEWAIT_LEN, TICK, TcpConfig};
pub use ecn::{CE, ECT_0};
pub use fact::{Bell, ChallengeWhy, DropWhy, GaveUp, Output, Ready, ReplyWhy, ResetWhy, TcpFact};
pub use listener::{Listener, ListenerEvent};
pub use look::{ProcTcp, ProcTcpFull, TcpInfo};
pub use options::{Options, Timestamps};
pub use receive::Received;
pub use receive_queue::RxMemory;
pub use request::Request;
pub use segment::{Flags, Segment, reply_reset};
pub use send::{SendError, SendFlags};
pub use seq::Seq;
pub use state::{TcpConn, TcpState};
pub use stats::Stats;
pub use tstamp::{TxAsk, TxEvent};
