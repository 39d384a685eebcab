//! The digest of a run: one hash over the seed, every fact with its arguments, and every byte that
//! moved between a kernel and a guest. Two runs with the same digest were the same run; another
//! seed changes it. Neighbour: `world` feeds it.

use kernel::abi::Errno;
use kernel::platform::{
    GuestId, LowerFiles, LowerKind, LowerStat, MapChange, ObjectId, Platform, Registers, Trap,
    UserMemory, UserPtr,
};
use kernel::time::Instant;
use std::hash::{Hash, Hasher};

/// How many bytes are hashed at once: the hash is several times faster over many than over a few.
const BLOCK: usize = 1 << 16;

/// A digest in the making.
#[derive(Clone, Debug)]
pub struct Digest {
    hasher: blake3::Hasher,
    /// What the hasher has not taken yet.
    pending: Vec<u8>,
}

impl Digest {
    /// Nothing happened yet, under this seed.
    pub fn new(seed: u64) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"afterlife digest 2\n");
        hasher.update(&seed.to_le_bytes());
        Digest { hasher, pending: Vec::new() }
    }

    /// A fact, with all its arguments.
    pub fn fact(&mut self, fact: &impl Hash) {
        fact.hash(&mut Feed(&mut self.pending));
        self.flush();
    }

    /// Bytes that moved, with the address they moved from or to.
    fn bytes(&mut self, direction: u8, address: UserPtr, bytes: &[u8]) {
        self.pending.push(direction);
        self.pending.extend_from_slice(&address.0.to_le_bytes());
        self.pending.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.pending.extend_from_slice(bytes);
        self.flush();
    }

    fn flush(&mut self) {
        if self.pending.len() >= BLOCK {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
    }

    /// The digest of what happened so far, in hexadecimal.
    pub fn hex(&self) -> String {
        self.hasher.clone().update(&self.pending).finalize().to_hex()[..32].to_owned()
    }
}

/// Writes down what a value gives to be hashed; derived implementations give all fields, lengths
/// before elements and a variant's number before its fields, so that no two values give the same
/// bytes. They are the same for 32 and 64 bits; arrays of numbers come as a little-endian machine has
/// them.
struct Feed<'a>(&'a mut Vec<u8>);

impl Hasher for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn write_u8(&mut self, number: u8) {
        self.0.push(number);
    }
    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }
    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }
    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }
    /// Lengths and the numbers of variants (as `isize`, which comes here too): small ones mostly.
    fn write_usize(&mut self, number: usize) {
        match u8::try_from(number) {
            Ok(small) if small < u8::MAX => self.write_u8(small),
            Ok(_) | Err(_) => {
                self.write_u8(u8::MAX);
                self.write_u64(number as u64);
            }
        }
    }
    fn finish(&self) -> u64 {
        unreachable!("what was written down is hashed later, with all the rest")
    }
}

/// A platform that tells a digest which bytes move through it.
pub struct Witness<'a, P> {
    /// Who does the work.
    pub platform: &'a mut P,
    /// Who hears of it.
    pub digest: &'a mut Digest,
}

impl<P: Platform> UserMemory for Witness<'_, P> {
    fn read_user(&mut self, guest: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        let len = self.platform.read_user(guest, from, into);
        self.digest.bytes(b'r', from, &into[..len]);
        len
    }
    fn peek_user(&mut self, guest: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        self.platform.peek_user(guest, from, into)
    }
    fn write_user(&mut self, guest: GuestId, to: UserPtr, from: &[u8]) -> usize {
        let len = self.platform.write_user(guest, to, from);
        self.digest.bytes(b'w', to, &from[..len]);
        len
    }
}

impl<P: Platform> LowerFiles for Witness<'_, P> {
    fn lower_stat(&mut self, path: &[u8]) -> Result<LowerStat, Errno> {
        self.platform.lower_stat(path)
    }
    fn lower_list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        self.platform.lower_list(path)
    }
    fn lower_readlink(&mut self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        self.platform.lower_readlink(path)
    }
    fn lower_read(&mut self, path: &[u8], offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.platform.lower_read(path, offset, into)
    }
}

impl<P: Platform> Platform for Witness<'_, P> {
    fn user_range(&self) -> (u64, u64) {
        self.platform.user_range()
    }
    fn spawn(&mut self) -> Result<GuestId, Errno> {
        self.platform.spawn()
    }
    fn fork(&mut self, parent: GuestId, share_memory: bool) -> Result<GuestId, Errno> {
        self.platform.fork(parent, share_memory)
    }
    fn release(&mut self, guest: GuestId) {
        self.platform.release(guest);
    }
    fn change_map(&mut self, guest: GuestId, changes: &[MapChange]) -> Result<(), (usize, Errno)> {
        self.platform.change_map(guest, changes)
    }
    fn run(&mut self, guest: GuestId, regs: &mut Registers) -> Trap {
        self.platform.run(guest, regs)
    }
    fn xstate(&mut self, guest: GuestId) -> Vec<u8> {
        self.platform.xstate(guest)
    }
    fn set_xstate(&mut self, guest: GuestId, area: &[u8]) -> bool {
        self.platform.set_xstate(guest, area)
    }
    fn resident(&mut self, guest: GuestId) -> u64 {
        self.platform.resident(guest)
    }
    fn xfeatures(&self) -> u64 {
        self.platform.xfeatures()
    }
    fn hwcap(&self) -> (u64, u64) {
        self.platform.hwcap()
    }
    fn object_create(&mut self, size: u64) -> Result<ObjectId, Errno> {
        self.platform.object_create(size)
    }
    fn object_read(&mut self, id: ObjectId, offset: u64, into: &mut [u8]) -> usize {
        self.platform.object_read(id, offset, into)
    }
    fn object_write(&mut self, id: ObjectId, offset: u64, from: &[u8]) {
        self.platform.object_write(id, offset, from);
    }
    fn object_resize(&mut self, id: ObjectId, size: u64) -> Result<(), Errno> {
        self.platform.object_resize(id, size)
    }
    fn object_release(&mut self, id: ObjectId) {
        self.platform.object_release(id);
    }
    fn set_time(&mut self, now: Instant) {
        self.platform.set_time(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_changes_with_the_seed_a_fact_and_a_byte() {
        let run = |seed, fact: &str, byte| {
            let mut digest = Digest::new(seed);
            digest.fact(&fact);
            digest.bytes(b'r', UserPtr(8), &[byte]);
            digest.hex()
        };
        let one = run(1, "x", 0);
        assert_eq!(one, run(1, "x", 0));
        assert_eq!(one.len(), 32);
        for other in [run(2, "x", 0), run(1, "y", 0), run(1, "x", 1)] {
            assert_ne!(one, other);
        }
    }
}
