//! A tun device in a network namespace of the calling thread's own, through which segments pass before
//! they are cut (IFF_VNET_HDR, TUNSETOFFLOAD): tun(4), Documentation/networking/tuntap.rst, netdevice(7).

use guests::sys::{Fd, Sys, small};
use std::net::Ipv4Addr;

const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const IFF_TUN: i16 = 1;
const IFF_NO_PI: i16 = 0x1000;
const IFF_VNET_HDR: i16 = 0x4000;
/// Checksums and TCP over IPv4 are the device's.
const TUN_F_CSUM_TSO4: libc::c_ulong = 3;
/// What waits here waits for the forwarder only: the queue that counts is behind it.
const QUEUE: i32 = 32_000;

/// Leaves the namespace for a new one and makes the device there.
pub fn create(address: Ipv4Addr) -> Result<Fd, String> {
    // SAFETY: no memory is involved.
    small("unshare", unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    // SAFETY: a path that ends with a zero.
    let tun = unsafe { libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_NONBLOCK) };
    small("open /dev/net/tun", tun)?;
    // SAFETY: no memory is involved.
    let socket = small("socket", unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) })?;
    request(tun, TUNSETIFF, |r| r.ifr_ifru.ifru_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)?;
    // SAFETY: the argument is a number.
    small("TUNSETOFFLOAD", unsafe { libc::ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM_TSO4) })?;
    request(socket, libc::SIOCSIFADDR, |r| r.ifr_ifru.ifru_addr = inet(address))?;
    let mask = Ipv4Addr::new(255, 255, 255, 0);
    request(socket, libc::SIOCSIFNETMASK, |r| r.ifr_ifru.ifru_netmask = inet(mask))?;
    request(socket, libc::SIOCSIFTXQLEN, |r| r.ifr_ifru.ifru_metric = QUEUE)?;
    let up = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    request(socket, libc::SIOCSIFFLAGS, |r| r.ifr_ifru.ifru_flags = up)?;
    guests::sys::close(socket)?;
    Ok(tun)
}

/// An ioctl about the device.
fn request(fd: Fd, what: libc::Ioctl, fill: impl FnOnce(&mut libc::ifreq)) -> Sys<()> {
    // SAFETY: zeros are a struct ifreq.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"wire") {
        *to = *from as libc::c_char;
    }
    fill(&mut request);
    // SAFETY: the argument is a struct ifreq that lives here.
    small("ioctl of the tun device", unsafe { libc::ioctl(fd, what, &raw mut request) }).map(|_| ())
}

fn inet(address: Ipv4Addr) -> libc::sockaddr {
    let [a, b, c, d] = address.octets();
    let data = [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0].map(|byte| byte as libc::c_char);
    libc::sockaddr { sa_family: libc::AF_INET as u16, sa_data: data }
}
