//! /proc/sys/net/ipv4/tcp_*: the settings from which every TCP socket starts (T-1, ip-sysctl). They
//! are read from the very defaults that TCP uses, so that a file cannot say something else.
//! Unlike Linux, nobody can change them here: opening one for writing is refused by the neighbour
//! `mod`. Settings that our TCP does not look at have no file.

use crate::net::tcp::TcpConfig;

/// Which setting: Linux's name without `tcp_`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum TcpSysctl {
    AbortOnOverflow,
    FinTimeout,
    KeepaliveIntvl,
    KeepaliveProbes,
    KeepaliveTime,
    OrphanRetries,
    Retries2,
    Rfc1337,
    Rmem,
    RtoMaxMs,
    RtoMinUs,
    Sack,
    SynLinearTimeouts,
    SynRetries,
    SynackRetries,
    Timestamps,
    WindowScaling,
    Wmem,
}

impl TcpSysctl {
    /// What the file says, with its newline.
    pub(super) fn text(self) -> String {
        let c = TcpConfig::default();
        let flag = |on: bool| u32::from(on).to_string();
        let triple = |[least, initial, most]: [u32; 3]| format!("{least}\t{initial}\t{most}");
        let value = match self {
            TcpSysctl::AbortOnOverflow => flag(c.abort_on_overflow),
            TcpSysctl::FinTimeout => c.fin_timeout.as_secs().to_string(),
            TcpSysctl::KeepaliveIntvl => c.keepintvl.as_secs().to_string(),
            TcpSysctl::KeepaliveProbes => c.keepcnt.to_string(),
            TcpSysctl::KeepaliveTime => c.keepidle.as_secs().to_string(),
            TcpSysctl::OrphanRetries => c.orphan_retries.to_string(),
            TcpSysctl::Retries2 => c.retries2.to_string(),
            TcpSysctl::Rfc1337 => flag(c.rfc1337),
            TcpSysctl::Rmem => triple(c.rmem),
            TcpSysctl::RtoMaxMs => c.rto_max.as_millis().to_string(),
            TcpSysctl::RtoMinUs => c.rto_min.as_micros().to_string(),
            TcpSysctl::Sack => flag(c.sack),
            TcpSysctl::SynLinearTimeouts => c.syn_linear_timeouts.to_string(),
            TcpSysctl::SynRetries => c.syn_retries.to_string(),
            TcpSysctl::SynackRetries => c.synack_retries.to_string(),
            TcpSysctl::Timestamps => flag(c.timestamps),
            TcpSysctl::WindowScaling => flag(c.window_scaling),
            TcpSysctl::Wmem => triple(c.wmem),
        };
        value + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_as_on_linux() {
        // ip-sysctl's defaults, as `sysctl net.ipv4` of Linux 6.18 shows them.
        assert_eq!(TcpSysctl::KeepaliveTime.text(), "7200\n");
        assert_eq!(TcpSysctl::Retries2.text(), "15\n");
        assert_eq!(TcpSysctl::AbortOnOverflow.text(), "0\n");
        assert_eq!(TcpSysctl::RtoMinUs.text(), "200000\n");
        assert_eq!(TcpSysctl::Rmem.text(), "4096\t131072\t33554432\n");
    }
}
