//! unix_release_sock(): the end of an AF_UNIX socket and what its peer learns (rules F-16 to F-19).
//! Where the walk of a death ends for local sockets: no segment leaves, the peer is told at once.

use super::{Bound, UnixSocket};
use crate::abi::Errno;
use crate::fact::NetFact;
use crate::fs::fasync::Band;
use crate::fs::inode::InodeKind;
use crate::fs::mount::MountId;
use crate::kernel::Kernel;
use crate::net::socket::{SocketId, SocketKind};
use crate::task::TaskId;
use crate::wait_queue::Event;

impl Kernel {
    /// Is a socket bound to a name that was seen through this mount? It keeps that from being
    /// unmounted.
    pub(crate) fn unix_is_bound_on(&self, mnt: MountId) -> bool {
        self.net.sockets.iter().any(|(_, socket)| match &socket.kind {
            SocketKind::Unix(UnixSocket { bound: Some(Bound::Path(_, on)), .. }) => *on == mnt,
            _ => false, // not unix, or without a name in the file system
        })
    }

    /// The last reference to the socket went. `sock_close` removes it afterwards.
    pub fn unix_release(&mut self, task: Option<TaskId>, s: SocketId) {
        self.unix_release_sock(task, s, false);
        self.unix_gc(task);
    }

    /// `embryo`: it was never accepted; its peer hears ECONNRESET whatever is unread (F-19).
    fn unix_release_sock(&mut self, task: Option<TaskId>, s: SocketId, embryo: bool) {
        if let Some(Bound::Path(inode, _)) = self.unix_mut(s).bound.take()
            && let Some(inode) = self.vfs.inodes.get_mut(inode)
            && inode.kind == InodeKind::Socket(Some(s))
        {
            // The name stays and refuses connections (rule F-19).
            inode.kind = InodeKind::Socket(None);
        }
        // It may have been the last user of a mount that nobody sees any more.
        self.release_detached();
        self.publish_all(Event::UnixPeer(s));
        if let Some(peer) = self.unix_mut(s).peer.take() {
            self.unix_tell_peer(task, s, peer, embryo);
        }
        let unread = core::mem::take(&mut self.unix_mut(s).receive_queue);
        for skb in unread {
            self.unix_free_skb(task, skb);
        }
        while let Some(half) = self.unix_mut(s).accept_queue.pop_front() {
            self.unix_release_sock(task, half, true);
            self.net.sockets.remove(half);
        }
    }

    /// A connection's other end can neither send nor receive any more; unread data on this side is
    /// an error on that (rules F-16, F-17). Datagram peers hear nothing (rule F-18).
    fn unix_tell_peer(&mut self, task: Option<TaskId>, s: SocketId, peer: SocketId, embryo: bool) {
        if self.unix_get(peer).is_none() {
            return;
        }
        let what = self.describe_unix(s);
        let reset = embryo || !self.unix(s).receive_queue.is_empty();
        let name = self.unix(s).name.clone();
        let connection = self.is_connection_based(s);
        let other = self.unix_mut(peer);
        if other.peer == Some(s) {
            other.dead_peer_name = name;
        }
        if connection {
            other.rcv_shutdown = true;
            other.send_shutdown = true;
            if reset {
                other.error = Some(Errno::ECONNRESET);
            }
        }
        let decision = match (connection, reset, embryo) {
            (false, _, _) => "a datagram peer is told nothing",
            (true, _, true) => "never accepted: the peer gets ECONNRESET",
            (true, true, false) => "unread data: the peer gets ECONNRESET",
            (true, false, false) => "nothing unread: the peer reads the end",
        };
        self.tell(task, NetFact::UnixRelease { what, decision }.into());
        if connection {
            self.publish_all(Event::Socket(peer));
            self.sock_wake_waitd(peer, Band::Hup);
        }
    }
}
