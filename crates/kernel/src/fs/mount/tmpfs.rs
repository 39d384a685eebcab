//! tmpfs(5) as mount(2) makes it: its options, and how much fits in. Bytes are counted in pages by
//! `Kernel::change_bytes`, inodes when they are made and freed. The file systems of the boot have no
//! limits of their own. Neighbours: `calls`, `fs/file_rw`, `fs/create`.

use crate::abi::Errno;
use crate::fs::dcache::Vfs;
use crate::fs::file_bytes::PAGE;
use core::fmt::Write as _;

/// TMPFS_MAGIC.
pub const MAGIC: u64 = 0x0102_1994;

/// What fits into a tmpfs, and what is in it: struct shmem_sb_info.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShmemSbInfo {
    /// Pages; 0 for no limit.
    pub max_blocks: u64,
    /// Pages in use.
    pub used_blocks: u64,
    /// Inodes; 0 for no limit.
    pub max_inodes: u64,
    /// Inodes there are.
    pub used_inodes: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    noswap: bool,
    /// What `max_blocks` and `max_inodes` are when nobody says: half of the memory.
    default: u64,
}

/// What mount(2) was told: struct shmem_options. None where nothing was said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct ShmemOptions {
    pub blocks: Option<u64>,
    pub inodes: Option<u64>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub noswap: bool,
}

/// memparse(): a number with a suffix of size.
fn memparse(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| "kKmMgGtTpPeE".contains(c));
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        "p" | "P" => 50,
        "e" | "E" => 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl ShmemOptions {
    /// shmem_parse_monolithic(): "size=1m,mode=700". EINVAL for what tmpfs does not know; the
    /// second value names an option that only we do not know.
    pub fn parse(data: &[u8], memory: u64) -> Result<ShmemOptions, (Errno, Option<String>)> {
        let bad = (Errno::EINVAL, None);
        let text = core::str::from_utf8(data).map_err(|_| bad.clone())?;
        let mut options = ShmemOptions::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let octal = || u32::from_str_radix(value, 8).map_err(|_| bad.clone());
            let number = || value.parse::<u32>().map_err(|_| bad.clone());
            match key {
                "size" => {
                    let bytes = match value.strip_suffix('%') {
                        Some(percent) => memparse(percent).map(|n| memory / 100 * n),
                        None => memparse(value),
                    };
                    options.blocks = Some(bytes.ok_or(bad.clone())?.div_ceil(PAGE));
                }
                "nr_blocks" => options.blocks = Some(memparse(value).ok_or(bad.clone())?),
                "nr_inodes" => options.inodes = Some(memparse(value).ok_or(bad.clone())?),
                "mode" => options.mode = Some(octal()? & 0o7777),
                "uid" => options.uid = Some(number()?),
                "gid" => options.gid = Some(number()?),
                "noswap" => options.noswap = true,
                // How things are anyhow.
                "huge" if value == "never" => {}
                "inode32" | "huge" | "inode64" | "mpol" => {
                    return Err((Errno::EINVAL, Some(word.to_owned())));
                }
                _ => return Err(bad),
            }
        }
        Ok(options)
    }
}

impl ShmemSbInfo {
    /// shmem_fill_super(): a new file system on a host with `memory` bytes, made by (uid, gid).
    pub fn new(options: &ShmemOptions, memory: u64, owner: (u32, u32)) -> ShmemSbInfo {
        let default = memory / 2 / PAGE;
        ShmemSbInfo {
            max_blocks: options.blocks.unwrap_or(default),
            max_inodes: options.inodes.unwrap_or(default),
            mode: options.mode.unwrap_or(0o1777),
            uid: options.uid.unwrap_or(owner.0),
            gid: options.gid.unwrap_or(owner.1),
            noswap: options.noswap,
            default,
            ..ShmemSbInfo::default()
        }
    }

    /// Mode and owner of its root.
    pub fn root(&self) -> (u32, u32, u32) {
        (self.mode, self.uid, self.gid)
    }

    /// shmem_reconfigure(): new limits. EINVAL for less than there is already, and for a limit
    /// where none was. Mode and owner stay.
    pub fn reconfigure(&mut self, options: &ShmemOptions) -> Result<(), Errno> {
        let fits = |new: Option<u64>, old: u64, used: u64| match new {
            Some(new) if new > 0 => old > 0 && new >= used,
            Some(_) | None => true,
        };
        if !fits(options.blocks, self.max_blocks, self.used_blocks)
            || !fits(options.inodes, self.max_inodes, self.used_inodes)
            || options.noswap && !self.noswap
        {
            return Err(Errno::EINVAL);
        }
        self.max_blocks = options.blocks.unwrap_or(self.max_blocks);
        self.max_inodes = options.inodes.unwrap_or(self.max_inodes);
        Ok(())
    }

    /// shmem_show_options(): what is not as it is without options, each after a comma.
    pub fn show(&self) -> String {
        let mut text = String::new();
        if self.max_blocks != self.default {
            let _ = write!(text, ",size={}k", self.max_blocks * (PAGE / 1024));
        }
        if self.max_inodes != self.default {
            let _ = write!(text, ",nr_inodes={}", self.max_inodes);
        }
        if self.mode != 0o1777 {
            let _ = write!(text, ",mode={:03o}", self.mode);
        }
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id != 0 {
                let _ = write!(text, ",{name}={id}");
            }
        }
        if self.noswap {
            text.push_str(",noswap");
        }
        text
    }

    /// Pages that are left; None without a limit.
    pub fn free_blocks(&self) -> Option<u64> {
        (self.max_blocks > 0).then(|| self.max_blocks.saturating_sub(self.used_blocks))
    }

    /// Inodes that are left; None without a limit.
    pub fn free_inodes(&self) -> Option<u64> {
        (self.max_inodes > 0).then(|| self.max_inodes.saturating_sub(self.used_inodes))
    }
}

impl Vfs {
    /// shmem_reserve_inode(): ENOSPC if file system `dev` has no room for one more.
    pub fn has_inode_left(&self, dev: u32) -> Result<(), Errno> {
        match self.shmem.get(&dev).and_then(ShmemSbInfo::free_inodes) {
            Some(0) => Err(Errno::ENOSPC),
            Some(_) | None => Ok(()),
        }
    }

    /// An inode of `dev` was made or freed.
    pub fn count_inode(&mut self, dev: u32, more: bool) {
        if let Some(sb) = self.shmem.get_mut(&dev) {
            sb.used_inodes = if more { sb.used_inodes + 1 } else { sb.used_inodes - 1 };
        }
    }

    /// A file of `dev` that took `before` bytes takes `after` now.
    pub fn count_bytes(&mut self, dev: u32, before: u64, after: u64) {
        if let Some(sb) = self.shmem.get_mut(&dev) {
            sb.used_blocks = sb.used_blocks + after / PAGE - before / PAGE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_and_shown_as_tmpfs_does() {
        let shown = |data: &[u8]| {
            ShmemOptions::parse(data, 1 << 30).map(|o| ShmemSbInfo::new(&o, 1 << 30, (0, 0)).show())
        };
        assert_eq!(shown(b""), Ok(String::new()));
        let all = b"size=1m,mode=700,nr_inodes=10,uid=5".as_slice();
        assert_eq!(shown(all), Ok(",size=1024k,nr_inodes=10,mode=700,uid=5".into()));
        assert_eq!(shown(b"size=4097"), Ok(",size=8k".into()));
        for bad in [b"size=abc".as_slice(), b"foo=1", b"size=1x", b"mode=9"] {
            assert_eq!(shown(bad), Err((Errno::EINVAL, None)));
        }
    }

    #[test]
    fn limits_move_but_not_below_what_is_there() {
        let mut sb = ShmemSbInfo::new(&ShmemOptions::default(), 1 << 30, (0, 0));
        sb.used_blocks = 3;
        let size = |pages| ShmemOptions { blocks: Some(pages), ..ShmemOptions::default() };
        assert_eq!(sb.reconfigure(&size(2)), Err(Errno::EINVAL));
        assert_eq!(sb.reconfigure(&size(3)), Ok(()));
        assert_eq!(sb.free_blocks(), Some(0));
        assert_eq!(sb.reconfigure(&size(0)), Ok(()));
        assert_eq!(sb.free_blocks(), None);
        assert_eq!(sb.reconfigure(&size(9)), Err(Errno::EINVAL), "it had no limit");
    }
}
