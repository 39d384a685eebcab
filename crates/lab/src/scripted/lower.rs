//! The machine's files as scripted tests imagine them: a tree in memory, read only for guests.
//! Neighbour: `scripted`. Implements [`LowerFiles`] by its contract: lstat, no symlink followed.

use kernel::abi::Errno;
use kernel::platform::{LowerFiles, LowerKind, LowerStat};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Directory,
    File { mode: u32, bytes: Arc<Vec<u8>> },
    Symlink(Vec<u8>),
}

/// A tree of files by absolute path. Directories come into being with what is in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LowerTree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

impl Default for LowerTree {
    fn default() -> Self {
        LowerTree { nodes: BTreeMap::from([(b"/".to_vec(), Node::Directory)]) }
    }
}

impl LowerTree {
    /// Puts a regular file of root's at `path`, with these permission bits.
    pub fn add_file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.add(path, Node::File { mode, bytes: Arc::new(bytes.into()) });
    }

    /// Makes a directory.
    pub fn add_directory(&mut self, path: &str) {
        self.add(path, Node::Directory);
    }

    /// Puts a symbolic link at `path`.
    pub fn add_symlink(&mut self, path: &str, target: &str) {
        self.add(path, Node::Symlink(target.into()));
    }

    fn add(&mut self, path: &str, node: Node) {
        assert!(path.starts_with('/'), "{path} must be absolute");
        let slashes = path.match_indices('/').map(|(i, _)| i).filter(|i| *i > 0);
        for end in slashes {
            self.nodes.entry(path.as_bytes()[..end].to_vec()).or_insert(Node::Directory);
        }
        self.nodes.insert(path.as_bytes().to_vec(), node);
    }

    fn node(&self, path: &[u8]) -> Result<&Node, Errno> {
        if let Some(node) = self.nodes.get(path) {
            return Ok(node);
        }
        // A file in the middle of the path says ENOTDIR, a missing name ENOENT.
        let above = (1..path.len()).filter(|i| path[*i] == b'/').map(|end| &path[..end]);
        for directory in above {
            match self.nodes.get(directory) {
                Some(Node::Directory) => {}
                Some(Node::File { .. } | Node::Symlink(_)) => return Err(Errno::ENOTDIR),
                None => return Err(Errno::ENOENT),
            }
        }
        Err(Errno::ENOENT)
    }
}

fn kind(node: &Node) -> LowerKind {
    match node {
        Node::Directory => LowerKind::Directory,
        Node::File { .. } => LowerKind::Regular,
        Node::Symlink(_) => LowerKind::Symlink,
    }
}

impl LowerFiles for LowerTree {
    fn lower_stat(&mut self, path: &[u8]) -> Result<LowerStat, Errno> {
        let node = self.node(path)?;
        let (mode, size, nlink) = match node {
            Node::Directory => (0o755, 4096, 2),
            Node::File { mode, bytes } => (*mode, bytes.len() as u64, 1),
            Node::Symlink(target) => (0o777, target.len() as u64, 1),
        };
        Ok(LowerStat { kind: kind(node), mode, uid: 0, gid: 0, size, nlink })
    }

    fn lower_list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        match self.node(path)? {
            Node::Directory => {}
            Node::File { .. } | Node::Symlink(_) => return Err(Errno::ENOTDIR),
        }
        let mut prefix = path.to_vec();
        if prefix.last() != Some(&b'/') {
            prefix.push(b'/');
        }
        let below = self.nodes.range(prefix.clone()..).take_while(|(p, _)| p.starts_with(&prefix));
        let names = below.filter_map(|(p, node)| {
            let name = &p[prefix.len()..];
            (!name.is_empty() && !name.contains(&b'/')).then(|| (name.to_vec(), kind(node)))
        });
        Ok(names.collect())
    }

    fn lower_readlink(&mut self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        match self.node(path)? {
            Node::Symlink(target) => Ok(target.clone()),
            Node::Directory | Node::File { .. } => Err(Errno::EINVAL),
        }
    }

    fn lower_read(&mut self, path: &[u8], offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let bytes = match self.node(path)? {
            Node::File { bytes, .. } => bytes,
            Node::Directory => return Err(Errno::EISDIR),
            Node::Symlink(_) => return Err(Errno::ELOOP),
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_with_what_is_in_them() {
        let mut tree = LowerTree::default();
        tree.add_file("/usr/bin/x", 0o755, "hi");
        tree.add_symlink("/bin", "usr/bin");
        let names = |list: Vec<(Vec<u8>, LowerKind)>| -> Vec<String> {
            list.into_iter().map(|(n, _)| String::from_utf8(n).unwrap()).collect()
        };
        assert_eq!(names(tree.lower_list(b"/").unwrap()), ["bin", "usr"]);
        assert_eq!(names(tree.lower_list(b"/usr").unwrap()), ["bin"]);
        assert_eq!(tree.lower_stat(b"/usr/bin/x/y"), Err(Errno::ENOTDIR));
        assert_eq!(tree.lower_stat(b"/usr/lib"), Err(Errno::ENOENT));
        let mut two = [0; 8];
        assert_eq!(tree.lower_read(b"/usr/bin/x", 1, &mut two), Ok(1));
    }
}
