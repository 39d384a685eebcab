//! TCP_INFO: `struct tcp_info` as bytes. Neighbours: `tcp_sockopt` (who asks), `tcp::look` (what is
//! told), `tcp::stats` (what is counted).

use crate::kernel::Kernel;
use crate::net::inet::TcpUse;
use crate::net::socket::SocketId;
use crate::net::tcp::{TCP_MSS_DEFAULT, TCP_TIMEOUT_INIT, TICK, TcpConfig, TcpInfo, TcpState};
use crate::time::{Duration, Instant};

/// What Linux added to the first 104 bytes over the years.
fn put_counts(bytes: &mut [u8], info: &TcpInfo, now: Instant) {
    let stats = &info.stats;
    let [busy, rwnd_limited, sndbuf_limited] =
        info.chrono.ticks(now).map(|ticks| ticks * TICK.as_micros() as u64);
    let longs = [
        (104, info.pacing_rate),
        (112, u64::MAX), // tcpi_max_pacing_rate: SO_MAX_PACING_RATE
        (120, stats.bytes_acked),
        (128, stats.bytes_received),
        (168, busy),
        (176, rwnd_limited),
        (184, sndbuf_limited),
        (200, stats.bytes_sent),
        (208, stats.bytes_retrans),
    ];
    for (at, value) in longs {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let min_rtt = info.min_rtt.map_or(u32::MAX, |rtt| rtt.as_micros() as u32);
    let words = [
        (136, stats.segs_out),
        (140, stats.segs_in),
        (144, info.unsent),
        (148, min_rtt),
        (152, stats.data_segs_in),
        (156, stats.data_segs_out),
        (192, stats.delivered),
        (216, stats.dsack_dups),
        (220, stats.reord_seen),
        (224, stats.rcv_ooopack),
        (228, info.wnd[0]),
        (232, info.wnd[1]),
        (240, u32::from(stats.total_rto) | u32::from(stats.total_rto_recoveries) << 16),
    ];
    for (at, value) in words {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

impl Kernel {
    /// tcp_get_info(): the 280 bytes of struct tcp_info as 6.18 has it. Unlike Linux, which measures
    /// them, delivery rates stay 0, as before the first measurement.
    pub(super) fn tcp_info_bytes(&self, socket: SocketId) -> Vec<u8> {
        let mut bytes = vec![0u8; 280];
        let config = TcpConfig::default();
        let state = match &self.tcp_sock(socket).usage {
            TcpUse::Idle => TcpState::Close,
            TcpUse::Listening(_) => TcpState::Listen,
            TcpUse::Connected(conn) => self.net.tcp.conns[*conn].tcp.state(),
        };
        bytes[0] = state as u8;
        let mut put =
            |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let micros = |time: Duration| time.as_micros() as u32;
        put(80, config.init_cwnd);
        put(88, 3); // reordering: tcp_reordering
        if let TcpUse::Listening(listener) = &self.tcp_sock(socket).usage {
            put(24, listener.len() as u32);
            put(28, listener.backlog());
            return bytes;
        }
        let Some(tcp) = self.tcp_of(socket) else {
            put(8, micros(TCP_TIMEOUT_INIT));
            put(16, TCP_MSS_DEFAULT);
            put(72, micros(TCP_TIMEOUT_INIT) / 4);
            put(76, i32::MAX as u32); // TCP_INFINITE_SSTHRESH
            put(148, u32::MAX); // no round trip yet
            bytes[104..120].fill(0xff); // pacing rates
            return bytes;
        };
        let info = tcp.info();
        let since = |at: crate::time::Instant| self.now.saturating_since(at).as_millis() as u32;
        put(8, micros(info.rto));
        put(12, micros(info.ato));
        put(16, info.snd_mss);
        put(20, info.rcv_mss);
        put(24, info.packets_out);
        put(28, info.sacked_out);
        put(32, info.lost_out);
        put(36, info.retrans_out);
        put(44, since(info.last[0]));
        put(52, since(info.last[1]));
        put(56, since(info.last[2]));
        put(60, info.pmtu);
        put(64, info.rcv_ssthresh);
        put(68, micros(info.rtt));
        put(72, micros(info.rttvar));
        put(76, info.snd_ssthresh);
        put(80, info.snd_cwnd);
        put(84, info.advmss);
        put(96, info.rcv_space);
        put(88, info.reordering);
        put(100, info.total_retrans);
        put_counts(&mut bytes, &info, self.now);
        bytes[1] = info.ca_state;
        bytes[2] = info.retransmits as u8;
        bytes[3] = info.probes as u8;
        bytes[4] = info.backoff as u8;
        bytes[5] = info.options;
        bytes[6] = info.wscale[0] | info.wscale[1] << 4;
        bytes
    }
}
