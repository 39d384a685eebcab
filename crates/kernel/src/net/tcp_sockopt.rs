//! Options of tcp(7), and what a changed option of socket(7) means for TCP. A socket keeps its own
//! copy of the settings for the connection or listener to come; a living connection is told.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::net::conn::ConnId;
use crate::net::inet::TcpUse;
use crate::net::socket::{SocketId, SocketKind};
use crate::net::sockopt::int_option;
use crate::net::tcp::TcpState;
use crate::net::tcp::{Linger2, TCP_MSS_DEFAULT, TcpConfig};
use crate::time::Duration;
use linux_raw_sys::net as raw;

/// TCP_FIN_TIMEOUT_MAX: the most that TCP_LINGER2 may ask for.
const LINGER2_MAX: u32 = 120;

fn seconds(int: i32, most: i32) -> Result<Duration, Errno> {
    if (1..=most).contains(&int) { Ok(Duration::from_secs(int as u64)) } else { Err(Errno::EINVAL) }
}

/// TCP_DEFER_ACCEPT is kept as a number of retransmissions, 255 at most, and told in seconds again
/// (secs_to_retrans, retrans_to_secs): 2 becomes 3, 5 becomes 7, 100 becomes 127. Both are given.
fn defer_accept(asked: i32) -> (u32, u32) {
    if asked <= 0 {
        return (0, 0);
    }
    let (mut count, mut timeout, mut total) = (1, 1, 1);
    while count < 255 && total < asked as u32 {
        timeout = (timeout * 2).min(120);
        total += timeout;
        count += 1;
    }
    (count, total)
}

impl Kernel {
    /// The settings of this socket: its TCP options and those of socket(7) that TCP looks at.
    /// `tcp_config_for` adds what depends on the other end.
    pub fn tcp_effective_config(&self, socket: SocketId) -> TcpConfig {
        let options = &self.net.sockets[socket].options;
        TcpConfig {
            keepalive: options.keepalive,
            oob_inline: options.oobinline,
            rcvlowat: options.rcvlowat,
            rmem_max: self.sysctls.rmem[1],
            rcvbuf: options.rcvbuf,
            sndbuf: options.sndbuf,
            rx_stamps: options.timestamping.on_arrival(),
            ..self.tcp_sock(socket).config.clone()
        }
    }

    /// An option of socket(7) changed: a living connection hears of it, and the table of ports.
    pub fn socket_options_changed(&mut self, socket: SocketId) {
        let s = &self.net.sockets[socket];
        let options = s.options.clone();
        let SocketKind::Tcp(tcp) = &s.kind else { return };
        let (port, usage) = (tcp.bound.port(), tcp.usage.clone());
        let own = crate::net::port::Owner::Socket(socket);
        if let Some(bind) = self.net.tcp_ports.of_mut(port, own) {
            bind.reuse = options.reuseaddr;
            bind.reuseport = options.reuseport;
        }
        let TcpUse::Connected(conn) = usage else { return };
        let port = self.net.tcp.conns[conn].local.port();
        let own = crate::net::port::Owner::Conn(conn);
        if let Some(bind) = self.net.tcp_ports.of_mut(port, own) {
            bind.reuse = options.reuseaddr;
            bind.reuseport = options.reuseport;
        }
        let choice = self.ip_choice(socket, self.net.tcp.conns[conn].remote.ip());
        self.with_conn(conn, |tcp, now, _| {
            let config = tcp.config().clone();
            if config.keepalive != options.keepalive {
                tcp.set_keepalive(now, options.keepalive);
            }
            if config.rcvbuf != options.rcvbuf
                && let Some(bytes) = options.rcvbuf
            {
                tcp.set_rcvbuf(bytes);
            }
            if config.sndbuf != options.sndbuf
                && let Some(bytes) = options.sndbuf
            {
                tcp.set_sndbuf(bytes);
            }
            tcp.config_mut().oob_inline = options.oobinline;
            tcp.config_mut().rcvlowat = options.rcvlowat;
            tcp.config_mut().rx_stamps = options.timestamping.on_arrival();
            tcp.config_mut().tos = choice.tos;
            tcp.config_mut().ttl = choice.ttl;
            tcp.config_mut().mtu_discover = choice.mtu_discover;
        });
    }

    /// do_tcp_setsockopt().
    pub(super) fn set_tcp_option(
        &mut self,
        socket: SocketId,
        name: u32,
        value: &[u8],
    ) -> Result<(), Errno> {
        if name == raw::TCP_CONGESTION {
            // One algorithm is there, under the name that it has on Linux.
            let wanted: Vec<u8> = value.iter().copied().take_while(|b| *b != 0).collect();
            return if wanted == b"cubic" { Ok(()) } else { Err(Errno::ENOENT) };
        }
        let int = int_option(value)?;
        let mut config = self.tcp_sock(socket).config.clone();
        match name {
            raw::TCP_NODELAY => config.nodelay = int != 0,
            raw::TCP_CORK => config.cork = int != 0,
            raw::TCP_KEEPIDLE => config.keepidle = seconds(int, 32767)?,
            raw::TCP_KEEPINTVL => config.keepintvl = seconds(int, 32767)?,
            raw::TCP_KEEPCNT if (1..=127).contains(&int) => config.keepcnt = int as u32,
            raw::TCP_SYNCNT if (1..=127).contains(&int) => config.syn_retries = int as u32,
            raw::TCP_KEEPCNT | raw::TCP_SYNCNT => return Err(Errno::EINVAL),
            raw::TCP_LINGER2 => {
                config.linger2 = match u32::try_from(int) {
                    Err(_) => Linger2::Never,
                    Ok(0) => Linger2::Default,
                    Ok(s) => Linger2::For(Duration::from_secs(s.min(LINGER2_MAX).into())),
                };
            }
            raw::TCP_USER_TIMEOUT => {
                if int < 0 {
                    return Err(Errno::EINVAL);
                }
                config.user_timeout = (int > 0).then(|| Duration::from_millis(int as u64));
            }
            raw::TCP_DEFER_ACCEPT => {
                let (count, seconds) = defer_accept(int);
                config.defer_accept = count;
                self.tcp_sock_mut(socket).defer_accept = seconds;
            }
            // TCP_MIN_MSS to MAX_TCP_WINDOW; 0 takes it back. For handshakes to come.
            raw::TCP_MAXSEG if int == 0 => config.user_mss = None,
            raw::TCP_MAXSEG if (88..=32_767).contains(&int) => config.user_mss = Some(int as u32),
            raw::TCP_MAXSEG => return Err(Errno::EINVAL),
            raw::TCP_NOTSENT_LOWAT => config.own_notsent_lowat = int as u32,
            raw::TCP_INQ if (0..=1).contains(&int) => config.inq = int == 1,
            raw::TCP_INQ => return Err(Errno::EINVAL),
            raw::TCP_QUICKACK => config.quickack = int != 0,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.tcp_sock_mut(socket).config = config.clone();
        if name == raw::TCP_QUICKACK {
            self.set_quickack(socket, int);
        } else if let Some(conn) = self.tcp_conn_of(socket) {
            self.tell_conn_of_option(conn, name, &config);
        }
        Ok(())
    }

    fn set_quickack(&mut self, socket: SocketId, value: i32) {
        if let Some(conn) = self.tcp_conn_of(socket) {
            self.with_conn(conn, |tcp, now, out| tcp.set_quickack(now, value, out));
        }
    }

    fn tell_conn_of_option(&mut self, conn: ConnId, name: u32, config: &TcpConfig) {
        self.with_conn(conn, |tcp, now, out| match name {
            raw::TCP_NODELAY => tcp.set_nodelay(now, config.nodelay, out),
            raw::TCP_CORK => tcp.set_cork(now, config.cork, out),
            raw::TCP_KEEPIDLE => tcp.set_keepidle(now, config.keepidle),
            _ => {
                let own = tcp.config_mut();
                own.keepintvl = config.keepintvl;
                own.keepcnt = config.keepcnt;
                own.linger2 = config.linger2;
                own.user_timeout = config.user_timeout;
                own.syn_retries = config.syn_retries;
                own.own_notsent_lowat = config.own_notsent_lowat;
            }
        });
    }

    /// do_tcp_getsockopt().
    pub(super) fn get_tcp_option(&self, socket: SocketId, name: u32) -> Result<Vec<u8>, Errno> {
        let config = &self.tcp_sock(socket).config;
        let number = match name {
            raw::TCP_NODELAY => config.nodelay.into(),
            raw::TCP_CORK => config.cork.into(),
            raw::TCP_KEEPIDLE => config.keepidle.as_secs() as u32,
            raw::TCP_KEEPINTVL => config.keepintvl.as_secs() as u32,
            raw::TCP_KEEPCNT => config.keepcnt,
            raw::TCP_SYNCNT => config.syn_retries,
            raw::TCP_LINGER2 => match config.linger2 {
                Linger2::Never => u32::MAX,
                Linger2::Default => config.fin_timeout.as_secs() as u32,
                Linger2::For(time) => time.as_secs() as u32,
            },
            raw::TCP_USER_TIMEOUT => config.user_timeout.map_or(0, |t| t.as_millis() as u32),
            raw::TCP_MAXSEG => match self.tcp_of(socket) {
                Some(tcp) if tcp.state() != TcpState::Close => tcp.info().snd_mss,
                Some(_) | None => config.user_mss.unwrap_or(TCP_MSS_DEFAULT),
            },
            raw::TCP_NOTSENT_LOWAT => config.own_notsent_lowat,
            raw::TCP_INQ => config.inq.into(),
            // CUBIC has nothing to tell.
            raw::TCP_CC_INFO => return Ok(Vec::new()),
            raw::TCP_DEFER_ACCEPT => self.tcp_sock(socket).defer_accept,
            raw::TCP_QUICKACK => {
                self.tcp_of(socket).map_or(config.quickack, |tcp| tcp.quickack()).into()
            }
            raw::TCP_CONGESTION => return Ok(b"cubic\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            raw::TCP_INFO => return Ok(self.tcp_info_bytes(socket)),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_le_bytes().to_vec())
    }

    /// SO_MEMINFO: what received segments cost, and what waits to be sent or acknowledged.
    pub(super) fn tcp_memory(&self, socket: SocketId) -> (u32, u32) {
        self.tcp_of(socket).map_or((0, 0), |tcp| (tcp.rmem_alloc(), tcp.wmem_queued()))
    }

    /// SO_SNDBUF.
    pub(super) fn tcp_sndbuf(&self, socket: SocketId) -> u32 {
        let set = self.net.sockets[socket].options.sndbuf;
        self.tcp_of(socket)
            .map_or(set.unwrap_or(self.tcp_sock(socket).config.wmem[1]), |tcp| tcp.info().sndbuf)
    }

    /// SO_RCVBUF.
    pub(super) fn tcp_rcvbuf(&self, socket: SocketId) -> u32 {
        let set = self.net.sockets[socket].options.rcvbuf;
        self.tcp_of(socket)
            .map_or(set.unwrap_or(self.tcp_sock(socket).config.rmem[1]), |tcp| tcp.info().rcvbuf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deferred_accepts_are_told_in_the_seconds_of_their_retransmissions() {
        // Measured on 6.18.
        let told = [0, 1, 2, 5, 100, 200, -3, 1000, 100_000].map(|asked| defer_accept(asked).1);
        assert_eq!(told, [0, 1, 3, 7, 127, 247, 0, 1087, 29_887]);
    }
}
