//! What an administrator and a program can set: the sysctls and socket options that TCP looks at,
//! with Linux 6.18's defaults (T-1, tcp(7), ip-sysctl). One copy lives in each connection.

use super::receive_queue::RxMemory;
use crate::time::{Duration, Instant};

/// The life of a TIME_WAIT mini-socket. A constant in Linux, not a sysctl.
pub const TCP_TIMEWAIT_LEN: Duration = Duration::from_secs(60);
/// The retransmission timeout before there is a measurement (RFC 6298, 2.1).
pub const TCP_TIMEOUT_INIT: Duration = Duration::from_secs(1);
/// The period of Linux's timer interrupt (CONFIG_HZ=250). Retransmission timeouts are whole ticks:
/// that decides how many of them fit into the time after which a connection is given up (T-31).
pub const TICK: Duration = Duration::from_millis(4);
/// The timer interrupts until now (`jiffies`).
pub fn jiffies(now: Instant) -> u64 {
    now.as_nanos() / TICK.as_nanos() as u64
}

/// `usecs_to_jiffies`: rounded up, as timers can't fire between ticks.
pub fn whole_ticks(time: Duration) -> Duration {
    let tick = TICK.as_nanos() as u64;
    Duration::from_nanos((time.as_nanos() as u64).next_multiple_of(tick))
}

/// What a loss probe and the reordering timer wait beyond their time: with the rest of the tick
/// (measured on 6.18: a probe comes 4 to 8 ms after two segments on a link without delay).
pub const TCP_TIMEOUT_MIN_US: Duration = Duration::from_millis(2);
/// The shortest time that a timer is set to where Linux has a least one: two ticks.
pub const TCP_TIMEOUT_MIN: Duration = Duration::from_millis(8);
/// The shortest delay of a delayed acknowledgment.
pub const TCP_ATO_MIN: Duration = Duration::from_millis(40);
/// The longest delay of a delayed acknowledgment.
pub const TCP_DELACK_MAX: Duration = Duration::from_millis(200);
/// The segment size assumed when the other side names none (RFC 9293, MUST-15).
pub const TCP_MSS_DEFAULT: u32 = 536;
/// No segments are smaller than this for long.
pub const TCP_MIN_MSS: u32 = 88;

/// TCP_LINGER2: how long an orphan stays in FIN_WAIT2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Linger2 {
    /// As `tcp_fin_timeout` says.
    #[default]
    Default,
    /// This long (at most 120 s).
    For(Duration),
    /// A negative value: not at all, the connection is reset instead (T-16, T-24).
    Never,
}

/// Settings of one connection or listener. Public: the socket room fills it before `connect` and
/// `listen`; on a living connection use the setters of `TcpConn`, which act on what they change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpConfig {
    /// MTU of the route in bytes: 1500 on Ethernet, 65536 on loopback.
    pub mtu: u32,
    /// Length of the network header in bytes: 20 for IPv4, 40 for IPv6.
    pub network_header: u32,
    /// `tcp_rmem`: least, initial and greatest receive buffer in bytes.
    pub rmem: [u32; 3],
    /// `tcp_wmem`: least, initial and greatest send buffer in bytes.
    pub wmem: [u32; 3],
    /// `net.core.rmem_max`, which the window scale allows for too.
    pub rmem_max: u32,
    /// SO_RCVBUF as stored (already doubled), which also ends autotuning.
    pub rcvbuf: Option<u32>,
    /// SO_SNDBUF as stored (already doubled), which also ends autotuning.
    pub sndbuf: Option<u32>,
    /// How the device hands over what it received.
    pub rx_memory: RxMemory,
    /// SO_RCVLOWAT in bytes.
    pub rcvlowat: u32,
    /// `tcp_timestamps`.
    pub timestamps: bool,
    /// Added to the millisecond clock in TSval; Linux draws it per connection.
    pub ts_offset: u32,
    /// `tcp_sack`.
    pub sack: bool,
    /// `tcp_ecn`: 0 never, 1 asks for it too, 2 only if asked.
    pub ecn: u8,
    /// `tcp_window_scaling`.
    pub window_scaling: bool,
    /// `tcp_syn_retries` or TCP_SYNCNT.
    pub syn_retries: u32,
    /// `tcp_syn_linear_timeouts` (V-3).
    pub syn_linear_timeouts: u32,
    /// `tcp_synack_retries`.
    pub synack_retries: u32,
    /// `tcp_retries2`.
    pub retries2: u32,
    /// `tcp_orphan_retries`; 0 means what T-1 says.
    pub orphan_retries: u32,
    /// `tcp_rto_min_us`.
    pub rto_min: Duration,
    /// `tcp_rto_max_ms`.
    pub rto_max: Duration,
    /// `tcp_fin_timeout`.
    pub fin_timeout: Duration,
    /// TCP_LINGER2.
    pub linger2: Linger2,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// TCP_KEEPIDLE.
    pub keepidle: Duration,
    /// TCP_KEEPINTVL.
    pub keepintvl: Duration,
    /// TCP_KEEPCNT.
    pub keepcnt: u32,
    /// TCP_USER_TIMEOUT; `None` for 0.
    pub user_timeout: Option<Duration>,
    /// TCP_QUICKACK; without it a connection begins as if its program answered what it gets, and
    /// even the ACK of the handshake waits for data.
    pub quickack: bool,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP_CORK.
    pub cork: bool,
    /// SO_OOBINLINE.
    pub oob_inline: bool,
    /// TCP_DEFER_ACCEPT, as a number of SYN-ACK timeouts: so long an empty ACK is not enough.
    pub defer_accept: u32,
    /// `tcp_rfc1337`.
    pub rfc1337: bool,
    /// `tcp_abort_on_overflow`.
    pub abort_on_overflow: bool,
    /// `tcp_invalid_ratelimit`: at most one answer to an out-of-window segment per connection in
    /// this time.
    pub invalid_ratelimit: Duration,
    /// `tcp_max_syn_backlog`: without cookies a listener with more requests than three quarters of
    /// this hears no new peer.
    pub max_syn_backlog: u32,
    /// `tcp_moderate_rcvbuf`: the receive buffer grows by itself.
    pub moderate_rcvbuf: bool,
    /// `tcp_slow_start_after_idle`.
    pub slow_start_after_idle: bool,
    /// `tcp_syncookies`: 0 drops a SYN that finds the request queue full.
    pub syncookies: u8,
    /// `tcp_dsack`: what comes twice is reported (RFC 2883).
    pub dsack: bool,
    /// `tcp_early_retrans`: loss probes with 3 or 4, whose ways are one today.
    pub early_retrans: u32,
    /// `tcp_frto`: 0 takes every retransmission timeout for a loss (no RFC 5682).
    pub frto: u32,
    /// `tcp_reordering`: so many segments may come late at the start of a connection.
    pub reordering: u32,
    /// `tcp_max_reordering`: the most reordering that is believed in.
    pub max_reordering: u32,
    /// `tcp_min_tso_segs`: the least number of segments in a full unit of transmission.
    pub min_tso_segs: u32,
    /// `tcp_notsent_lowat`: with so many bytes unsent the buffer counts as full.
    pub notsent_lowat: u32,
    /// TCP_NOTSENT_LOWAT; 0 leaves it to the host.
    pub own_notsent_lowat: u32,
    /// TCP_INQ: recvmsg(2) tells how much is left.
    pub inq: bool,
    /// When data came is to be told (SO_TIMESTAMP and its like).
    pub rx_stamps: bool,
    /// TCP_MAXSEG: the most that either side may send in a segment, without options.
    pub user_mss: Option<u32>,
    /// The initial congestion window in segments (RFC 6928).
    pub init_cwnd: u32,
    /// IP_TOS.
    pub tos: u8,
    /// IP_TTL.
    pub ttl: u8,
    /// IP_MTU_DISCOVER.
    pub mtu_discover: u8,
}

impl Default for TcpConfig {
    fn default() -> TcpConfig {
        TcpConfig {
            mtu: 1500,
            network_header: 20,
            rmem: [4096, 131_072, 33_554_432],
            wmem: [4096, 16_384, 4_194_304],
            rmem_max: 4 << 20,
            rcvbuf: None,
            sndbuf: None,
            rx_memory: RxMemory::default(),
            rcvlowat: 1,
            timestamps: true,
            ts_offset: 0,
            sack: true,
            ecn: 2,
            window_scaling: true,
            syn_retries: 6,
            syn_linear_timeouts: 4,
            synack_retries: 5,
            retries2: 15,
            orphan_retries: 0,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            fin_timeout: Duration::from_secs(60),
            linger2: Linger2::Default,
            keepalive: false,
            keepidle: Duration::from_secs(7200),
            keepintvl: Duration::from_secs(75),
            keepcnt: 9,
            user_timeout: None,
            quickack: true,
            nodelay: false,
            cork: false,
            oob_inline: false,
            defer_accept: 0,
            rfc1337: false,
            abort_on_overflow: false,
            invalid_ratelimit: Duration::from_millis(500),
            max_syn_backlog: 2048,
            moderate_rcvbuf: true,
            slow_start_after_idle: true,
            syncookies: 1,
            dsack: true,
            early_retrans: 3,
            frto: 2,
            reordering: 3,
            max_reordering: 300,
            min_tso_segs: 2,
            notsent_lowat: u32::MAX,
            own_notsent_lowat: 0,
            inq: false,
            rx_stamps: false,
            user_mss: None,
            init_cwnd: 10,
            tos: 0,
            ttl: 64,
            mtu_discover: 1,
        }
    }
}

impl TcpConfig {
    /// The defaults on the loopback device.
    pub fn loopback() -> TcpConfig {
        TcpConfig { mtu: 65_536, ..TcpConfig::default() }
    }

    /// The MTU that counts: a packet has at most 65535 bytes, to IPv6 without its header.
    pub fn pmtu(&self) -> u32 {
        self.mtu.min(if self.network_header == 20 { 65_535 } else { 65_575 })
    }

    /// The segment size that we advertise: 1460 on Ethernet, 65495 on loopback; to IPv6 1440 and
    /// 65476 (measured).
    pub fn advertised_mss(&self) -> u32 {
        let mss = self.pmtu() - self.network_header - 20;
        self.user_mss.map_or(mss, |most| mss.min(most))
    }

    /// The receive buffer in bytes with which a connection starts.
    pub fn initial_rcvbuf(&self) -> u32 {
        self.rcvbuf.unwrap_or(self.rmem[1])
    }

    /// The window scale that we offer: enough for the greatest receive buffer, or for half of the
    /// one that SO_RCVBUF fixed (`tcp_select_initial_window`). 10 with 6.18's `tcp_rmem` (measured),
    /// 7 with the 6 MB of older kernels.
    pub fn window_shift(&self) -> u8 {
        let space = self.rcvbuf.map_or(self.rmem[2].max(self.rmem_max), |bytes| bytes / 2);
        (space.max(1).ilog2() as u8).saturating_sub(15).min(14)
    }

    /// How long an orphan waits in FIN_WAIT2 (`tcp_fin_time`, T-24): the configured time, but at
    /// least 3.5 retransmission timeouts. `None` for a negative TCP_LINGER2.
    pub fn fin_time(&self, rto: Duration) -> Option<Duration> {
        let time = match self.linger2 {
            Linger2::Never => return None,
            Linger2::Default => self.fin_timeout,
            Linger2::For(time) => time,
        };
        Some(time.max(rto * 7 / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_give_what_6_18_puts_into_a_syn() {
        assert_eq!(TcpConfig::default().advertised_mss(), 1460);
        assert_eq!(TcpConfig::loopback().advertised_mss(), 65_495);
        assert_eq!(TcpConfig::default().window_shift(), 10);
        let older = TcpConfig { rmem: [4096, 131_072, 6_291_456], ..TcpConfig::default() };
        assert_eq!(older.window_shift(), 7);
    }

    #[test]
    fn a_receive_buffer_that_was_set_decides_the_window_scale() {
        // Measured on 6.18: SO_RCVBUF as getsockopt(2) says it, and the scale in the SYN or SYN-ACK.
        for (rcvbuf, want) in
            [(2304, 0), (10_000, 0), (60_000, 0), (200_000, 1), (2_000_000, 4), (8_388_608, 7)]
        {
            let config = TcpConfig { rcvbuf: Some(rcvbuf), ..TcpConfig::default() };
            assert_eq!(config.window_shift(), want, "{rcvbuf}");
        }
    }

    #[test]
    fn fin_wait2_lasts_at_least_three_and_a_half_timeouts() {
        let c = TcpConfig { fin_timeout: Duration::from_secs(1), ..TcpConfig::default() };
        assert_eq!(c.fin_time(Duration::from_secs(2)), Some(Duration::from_secs(7)));
        let never = TcpConfig { linger2: Linger2::Never, ..TcpConfig::default() };
        assert_eq!(never.fin_time(Duration::ZERO), None);
    }
}
