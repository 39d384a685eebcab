//! What a connection counts and TCP_INFO tells (RFC 4898): nothing here decides anything.
//! Neighbours: `output`, `input`, `ack` (who count), `look` (who shows).

/// Segments and bytes, each since the connection began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Bytes that the other side acknowledged; its SYN-ACK's counts as one, as on Linux.
    pub bytes_acked: u64,
    /// Bytes that came in order.
    pub bytes_received: u64,
    /// Bytes that left, retransmissions with them.
    pub bytes_sent: u64,
    /// Of these, retransmissions.
    pub bytes_retrans: u64,
    /// Segments that left.
    pub segs_out: u32,
    /// Segments that came.
    pub segs_in: u32,
    /// Segments with data that came.
    pub data_segs_in: u32,
    /// Segments with data that left.
    pub data_segs_out: u32,
    /// Segments that arrived at the other side, as far as its acknowledgments say.
    pub delivered: u32,
    /// Segments that it reported to have got twice.
    pub dsack_dups: u32,
    /// How often reordering was seen.
    pub reord_seen: u32,
    /// Segments that came out of order.
    pub rcv_ooopack: u32,
    /// Retransmission timeouts, a SYN's with them.
    pub total_rto: u16,
    /// How often recovery from one began.
    pub total_rto_recoveries: u16,
}
