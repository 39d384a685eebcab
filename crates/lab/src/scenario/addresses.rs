//! The addresses of a scenario's hosts: those that it names, and those that are given out in order.
//! Neighbour: `parse`, which reads everything else.

use super::HostSpec;
use super::parse::Result;
use super::section::{Found, Source};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host as the file names it, with the places of its addresses.
pub(super) struct NamedHost {
    pub(super) name: String,
    pub(super) address: Option<Found<Ipv4Addr>>,
    /// `"off"` is None inside.
    pub(super) ipv6: Option<Found<Option<Ipv6Addr>>>,
    pub(super) sysctls: Vec<(String, String)>,
}

/// `address = "10.0.0.7"`.
pub(super) fn parse_address(text: &str) -> core::result::Result<Ipv4Addr, String> {
    let bad = |why: &str| format!("{text:?} {why}: write for example \"10.0.0.1\"");
    let address: Ipv4Addr = text.parse().map_err(|_| bad("is no IPv4 address"))?;
    let special = address.is_loopback() || address.is_multicast() || address.is_broadcast();
    if special || address.is_unspecified() {
        Err(bad("cannot be a host's address"))
    } else {
        Ok(address)
    }
}

/// `ipv6 = "fd00::7"`, or `"off"`.
pub(super) fn parse_ipv6(text: &str) -> core::result::Result<Option<Ipv6Addr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let bad = |why: &str| format!("{text:?} {why}: write for example \"fd00::7\", or \"off\"");
    let address: Ipv6Addr = text.parse().map_err(|_| bad("is no IPv6 address"))?;
    let special = address.is_loopback() || address.is_multicast() || address.is_unspecified();
    let local = address.is_unicast_link_local() || address.to_ipv4_mapped().is_some();
    if special || local { Err(bad("cannot be a host's address")) } else { Ok(Some(address)) }
}

/// Addresses in order from 10.0.0.1 and fd00::1 for the hosts that have none of their own.
pub(super) fn give_addresses(source: &Source<'_>, hosts: Vec<NamedHost>) -> Result<Vec<HostSpec>> {
    let mut taken: Vec<Ipv4Addr> = Vec::new();
    let mut taken6: Vec<Ipv6Addr> = Vec::new();
    for host in &hosts {
        let four = host.address.as_ref().map(|f| (f.at, taken.contains(&f.value)));
        let given6 = host.ipv6.as_ref().and_then(|f| Some((f.at, f.value?)));
        let six = given6.map(|(at, value)| (at, taken6.contains(&value)));
        for (at, doubled) in [four, six].into_iter().flatten() {
            if doubled {
                let name = &host.name;
                let message = format!("another host than {name:?} has this address already");
                return Err(source.error(at, message));
            }
        }
        taken.extend(host.address.as_ref().map(|f| f.value));
        taken6.extend(given6.map(|(_, value)| value));
    }
    let mut next = u32::from(Ipv4Addr::new(10, 0, 0, 0));
    let mut free = || loop {
        next += 1;
        let candidate = Ipv4Addr::from(next);
        if !taken.contains(&candidate) && ![0, 255].contains(&candidate.octets()[3]) {
            return candidate;
        }
    };
    let mut next6 = u128::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0));
    let mut free6 = || loop {
        next6 += 1;
        let candidate = Ipv6Addr::from(next6);
        if !taken6.contains(&candidate) {
            return candidate;
        }
    };
    let spec = |host: NamedHost| {
        let address = host.address.map_or_else(&mut free, |f| f.value);
        let name6 = host.ipv6.as_ref().is_some_and(|f| f.value.is_some());
        let ipv6 = host.ipv6.map_or_else(|| Some(free6()), |f| f.value);
        HostSpec { name: host.name, address, ipv6, name6, sysctls: host.sysctls }
    };
    Ok(hosts.into_iter().map(spec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_an_address_of_ipv6_or_none_at_all() {
        let six = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);
        assert_eq!(parse_ipv6("fd00::7"), Ok(Some(six)));
        assert_eq!(parse_ipv6("off"), Ok(None));
        for bad in ["10.0.0.1", "::1", "::", "fe80::1", "ff02::1", "::ffff:10.0.0.1"] {
            assert!(parse_ipv6(bad).is_err(), "{bad}");
        }
    }
}
