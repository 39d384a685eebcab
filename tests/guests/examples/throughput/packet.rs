//! What passes a tun device with IFF_VNET_HDR: a struct virtio_net_hdr, then an IPv4 packet, which may be
//! several segments that are not yet cut (virtio 1.2, 5.1.6). Here they are cut: into pieces of those that
//! arrive together.

/// The length of the struct virtio_net_hdr before each packet.
const VNET: usize = 10;

/// What has been read from a device.
pub struct Packet {
    /// As they were read.
    pub bytes: Vec<u8>,
}

impl Packet {
    fn half(&self, at: usize) -> usize {
        usize::from(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    /// TCP of IPv4; what else there is (router solicitations) has no place on this link.
    pub fn is_tcp(&self) -> bool {
        self.bytes.len() >= VNET + 40 && self.bytes[VNET] >> 4 == 4 && self.bytes[VNET + 9] == 6
    }

    fn tcp(&self) -> usize {
        VNET + usize::from(self.bytes[VNET] & 15) * 4
    }

    /// Where the payload begins.
    fn payload(&self) -> usize {
        self.tcp() + usize::from(self.bytes[self.tcp() + 12] >> 4) * 4
    }

    /// Bytes of payload in a segment.
    fn size(&self) -> usize {
        let kind = self.bytes[1];
        let all = self.bytes.len() - self.payload();
        if kind == 0 {
            all
        } else {
            usize::from(u16::from_le_bytes([self.bytes[4], self.bytes[5]]))
        }
    }

    /// How many segments it is.
    pub fn segments(&self) -> usize {
        (self.bytes.len() - self.payload()).div_ceil(self.size().max(1)).max(1)
    }

    /// The length of one of them on the wire, from the IP header on.
    pub fn length(&self, segment: usize) -> u64 {
        let all = self.bytes.len() - self.payload();
        let size = self.size().min(all - segment * self.size());
        (self.payload() - VNET + size) as u64
    }

    /// The segments from `first` to before `end`, as a packet that a device takes.
    pub fn piece(&self, first: usize, end: usize) -> Vec<u8> {
        if (first, end) == (0, self.segments()) {
            return self.bytes.clone();
        }
        let (head, size) = (self.payload(), self.size());
        let from = head + first * size;
        let to = (head + end * size).min(self.bytes.len());
        let mut piece = [&self.bytes[..head], &self.bytes[from..to]].concat();
        let tcp = self.tcp();
        if end - first == 1 {
            // No longer several: VIRTIO_NET_HDR_GSO_NONE.
            (piece[1], piece[4], piece[5]) = (0, 0, 0);
        }
        if end < self.segments() {
            // FIN and PSH are the last segment's.
            piece[tcp + 13] &= !0b1001;
        }
        let total = ((piece.len() - VNET) as u16).to_be_bytes();
        piece[VNET + 2..VNET + 4].copy_from_slice(&total);
        let id = (self.half(VNET + 4) as u16).wrapping_add(first as u16).to_be_bytes();
        piece[VNET + 4..VNET + 6].copy_from_slice(&id);
        let seq = [0, 1, 2, 3].map(|i| self.bytes[tcp + 4 + i]);
        let seq = u32::from_be_bytes(seq).wrapping_add((first * size) as u32).to_be_bytes();
        piece[tcp + 4..tcp + 8].copy_from_slice(&seq);
        checksum(&mut piece[VNET..tcp]);
        piece
    }
}

/// That of the IP header. TCP's is left to the device (VIRTIO_NET_HDR_F_NEEDS_CSUM), which believes it.
fn checksum(header: &mut [u8]) {
    (header[10], header[11]) = (0, 0);
    let halves = header.chunks(2).map(|it| u32::from(u16::from_be_bytes([it[0], it[1]])));
    let sum: u32 = halves.sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = !(sum + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
