//! Socket addresses as programs give them: `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`,
//! decoded and encoded (ip(7), ipv6(7), unix(7)). Neighbour: `inet6`, which says what an address
//! means to a socket of either family.

use crate::abi::Errno;
use crate::platform::UserPtr;
use crate::syscall::Call;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// AF_UNSPEC.
pub const AF_UNSPEC: u16 = 0;
/// AF_UNIX.
pub const AF_UNIX: u16 = 1;
/// AF_INET.
pub const AF_INET: u16 = 2;
/// AF_INET6.
pub const AF_INET6: u16 = 10;

/// As much of `struct sockaddr_in6` as RFC 2133 knew: without sin6_scope_id.
pub const SIN6_LEN_RFC2133: usize = 24;

/// sizeof(struct sockaddr_storage): the longest address the kernel copies.
const STORAGE: usize = 128;

/// An address from the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SockAddr {
    /// AF_UNSPEC: disconnects.
    Unspec,
    /// AF_INET.
    Inet(SocketAddrV4),
    /// AF_INET6.
    Inet6(SocketAddrV6),
    /// AF_UNIX: `sun_path` as far as the given length goes; empty for an unnamed address, with a
    /// leading NUL for an abstract one.
    Unix(Vec<u8>),
    /// Another family.
    Other(u16),
}

impl SockAddr {
    /// The family's number.
    pub fn family(&self) -> u16 {
        match self {
            SockAddr::Unspec => AF_UNSPEC,
            SockAddr::Inet(_) => AF_INET,
            SockAddr::Inet6(_) => AF_INET6,
            SockAddr::Unix(_) => AF_UNIX,
            SockAddr::Other(family) => *family,
        }
    }

    /// move_addr_to_kernel() and a look at it. EINVAL for a bad length, EFAULT.
    pub fn read(call: &mut Call<'_>, at: UserPtr, len: u64) -> Result<SockAddr, Errno> {
        let len = len as u32 as i32;
        if len < 0 || len as usize > STORAGE {
            return Err(Errno::EINVAL);
        }
        let raw = call.read_bytes(at, len as usize)?;
        SockAddr::decode(&raw)
    }

    /// Looks at the bytes of an address; EINVAL when it is too short for its family.
    pub fn decode(raw: &[u8]) -> Result<SockAddr, Errno> {
        if raw.len() < 2 {
            return Err(Errno::EINVAL);
        }
        match u16::from_le_bytes([raw[0], raw[1]]) {
            AF_UNSPEC => Ok(SockAddr::Unspec),
            AF_INET => {
                if raw.len() < 16 {
                    return Err(Errno::EINVAL);
                }
                let port = u16::from_be_bytes([raw[2], raw[3]]);
                let ip = Ipv4Addr::new(raw[4], raw[5], raw[6], raw[7]);
                Ok(SockAddr::Inet(SocketAddrV4::new(ip, port)))
            }
            // Whoever wants one says what a shorter one is; to the others it is of another family.
            AF_INET6 if raw.len() >= SIN6_LEN_RFC2133 => Ok(SockAddr::Inet6(decode_in6(raw))),
            AF_UNIX => {
                let path = &raw[2..];
                if path.len() > 108 {
                    return Err(Errno::EINVAL);
                }
                Ok(SockAddr::Unix(match path.first() {
                    // An abstract name has the length that was given, NULs and all.
                    Some(0) => path.to_vec(),
                    _ => path.iter().copied().take_while(|b| *b != 0).collect(),
                }))
            }
            family => Ok(SockAddr::Other(family)),
        }
    }

    /// The bytes that programs get to see.
    pub fn encode(&self) -> Vec<u8> {
        let mut raw = self.family().to_le_bytes().to_vec();
        match self {
            SockAddr::Inet(addr) => {
                raw.extend_from_slice(&addr.port().to_be_bytes());
                raw.extend_from_slice(&addr.ip().octets());
                raw.extend_from_slice(&[0; 8]);
            }
            SockAddr::Inet6(addr) => {
                raw.extend_from_slice(&addr.port().to_be_bytes());
                raw.extend_from_slice(&addr.flowinfo().to_be_bytes());
                raw.extend_from_slice(&addr.ip().octets());
                raw.extend_from_slice(&addr.scope_id().to_le_bytes());
            }
            SockAddr::Unix(path) => {
                raw.extend_from_slice(path);
                if path.first().is_some_and(|b| *b != 0) {
                    raw.push(0);
                }
            }
            SockAddr::Unspec | SockAddr::Other(_) => {}
        }
        raw
    }

    /// move_addr_to_user(): as much as fits in `*len_at`, which then holds the full length.
    pub fn write(&self, call: &mut Call<'_>, at: UserPtr, len_at: UserPtr) -> Result<(), Errno> {
        let room = call.read_u32(len_at)? as i32;
        if room < 0 {
            return Err(Errno::EINVAL);
        }
        let raw = self.encode();
        call.write_user(at, &raw[..raw.len().min(room as usize)])?;
        call.write_u32(len_at, raw.len() as u32)
    }
}

/// At least 24 bytes; without the last four there is no scope.
fn decode_in6(raw: &[u8]) -> SocketAddrV6 {
    let word = |at: usize| raw.get(at..at + 4).map(|b| b.try_into().expect("4 bytes"));
    let port = u16::from_be_bytes([raw[2], raw[3]]);
    let ip: [u8; 16] = raw[8..24].try_into().expect("16 bytes");
    let flowinfo = u32::from_be_bytes(word(4).unwrap_or_default());
    let scope = u32::from_le_bytes(word(24).unwrap_or_default());
    SocketAddrV6::new(Ipv6Addr::from(ip), port, flowinfo, scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inet6_address_may_lack_its_scope() {
        let raw = SockAddr::Inet6("[fe80::1%3]:7000".parse().unwrap()).encode();
        assert_eq!(raw.len(), 28);
        let read = |len: usize| SockAddr::decode(&raw[..len]);
        assert_eq!(read(28), Ok(SockAddr::Inet6("[fe80::1%3]:7000".parse().unwrap())));
        assert_eq!(read(24), Ok(SockAddr::Inet6("[fe80::1]:7000".parse().unwrap())));
        assert_eq!(read(23), Ok(SockAddr::Other(AF_INET6)));
    }

    #[test]
    fn an_inet_address_survives_the_round_trip() {
        let addr = SockAddr::Inet("10.0.0.1:7000".parse().unwrap());
        assert_eq!(addr.encode().len(), 16);
        assert_eq!(SockAddr::decode(&addr.encode()), Ok(addr));
    }

    #[test]
    fn a_short_inet_address_is_invalid() {
        assert_eq!(SockAddr::decode(&[2, 0, 0, 80]), Err(Errno::EINVAL));
        assert_eq!(SockAddr::decode(&[2]), Err(Errno::EINVAL));
    }

    #[test]
    fn abstract_names_keep_their_nuls() {
        let raw = [1, 0, 0, b'a', 0, b'b'];
        assert_eq!(SockAddr::decode(&raw), Ok(SockAddr::Unix(vec![0, b'a', 0, b'b'])));
        let path = [1, 0, b'/', b'a', 0, b'b'];
        assert_eq!(SockAddr::decode(&path), Ok(SockAddr::Unix(b"/a".to_vec())));
    }
}
