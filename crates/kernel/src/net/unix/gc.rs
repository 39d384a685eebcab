//! unix_gc(): sockets that only messages in flight still name (rule F-21). It runs when some unix
//! socket is released, so a cycle lives on until then. Unlike Linux, at once and not in a worker
//! some milliseconds later.

use crate::fs::file::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::net::socket::SocketId;
use crate::task::TaskId;
use std::collections::{BTreeMap, BTreeSet};

impl Kernel {
    /// Purges the queues of sockets that nobody can reach; their descriptions go with the messages.
    pub(super) fn unix_gc(&mut self, task: Option<TaskId>) {
        let garbage = self.unix_unreachable();
        let mut hitlist = Vec::new();
        for socket in garbage {
            hitlist.append(&mut self.unix_mut(socket).receive_queue.drain(..).collect());
        }
        for skb in hitlist {
            self.unix_free_skb(task, skb);
        }
    }

    /// Sockets whose every reference is a message in flight, and which no living socket's queue
    /// leads to.
    fn unix_unreachable(&self) -> Vec<SocketId> {
        let mut in_flight: BTreeMap<FileId, u32> = BTreeMap::new();
        for (id, _) in self.net.sockets.iter() {
            for file in self.files_queued_at(id) {
                *in_flight.entry(file).or_default() += 1;
            }
        }
        let suspects: BTreeMap<SocketId, FileId> = in_flight
            .iter()
            .filter(|(file, count)| self.files[**file].count == **count)
            .filter_map(|(file, _)| Some((self.unix_of_file(*file)?, *file)))
            .collect();
        if suspects.is_empty() {
            return Vec::new();
        }
        // Everything that a socket with another reference leads to is reachable. A connection that
        // waits to be accepted is as reachable as its listener.
        let embryos: BTreeSet<SocketId> = self
            .net
            .sockets
            .iter()
            .filter_map(|(id, _)| self.unix_get(id))
            .flat_map(|unix| unix.accept_queue.iter().copied())
            .collect();
        let mut reached: BTreeSet<SocketId> = BTreeSet::new();
        let mut todo: Vec<SocketId> = self
            .net
            .sockets
            .iter()
            .map(|(id, _)| id)
            .filter(|id| !suspects.contains_key(id) && !embryos.contains(id))
            .collect();
        while let Some(id) = todo.pop() {
            if reached.insert(id) {
                todo.extend(self.files_queued_at(id).iter().filter_map(|f| self.unix_of_file(*f)));
                todo.extend(self.unix_get(id).iter().flat_map(|u| u.accept_queue.iter().copied()));
            }
        }
        suspects.into_keys().filter(|id| !reached.contains(id)).collect()
    }

    fn files_queued_at(&self, id: SocketId) -> Vec<FileId> {
        let queue = self.unix_get(id).map(|unix| &unix.receive_queue);
        queue.into_iter().flatten().flat_map(|skb| skb.rights.iter().copied()).collect()
    }

    fn unix_of_file(&self, file: FileId) -> Option<SocketId> {
        match self.files[file].kind {
            FileKind::Socket(socket) => self.unix_get(socket).map(|_| socket),
            FileKind::Inode
            | FileKind::Pipe(_)
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_)
            | FileKind::Console(_) => None,
        }
    }
}
