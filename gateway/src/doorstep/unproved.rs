//! Callers that have not yet proved who they are: so many at a time on a port, and fewer from one address, so that nobody
//! shuts it alone.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

/// Those of one port.
#[derive(Debug)]
pub(super) struct Unproved {
    places: Arc<Semaphore>,
    peer_max: usize,
    peers: Mutex<HashMap<IpAddr, usize>>,
}

impl Unproved {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits.handshakes_max));
        Arc::new(Self {
            places,
            peer_max: limits.peer_handshakes_max,
            peers: Mutex::new(HashMap::new()),
        })
    }

    /// Waits for a place for the next caller, whoever it is.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// One more of this address, until what is returned is dropped; `None` if it has as many as it may.
    pub(super) fn come_from(self: &Arc<Self>, address: IpAddr) -> Option<OfPeer> {
        let peer = peer_of(address);
        let mut peers = self.peers();
        let count = peers.entry(peer).or_default();
        if *count >= self.peer_max {
            return None;
        }
        *count = count.saturating_add(1);
        Some(OfPeer { unproved: Arc::clone(self), peer })
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // No code that can panic runs under the lock.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that is counted under its address.
#[derive(Debug)]
pub(crate) struct OfPeer {
    unproved: Arc<Unproved>,
    peer: IpAddr,
}

impl Drop for OfPeer {
    fn drop(&mut self) {
        let mut peers = self.unproved.peers();
        let left = peers.get(&self.peer).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            peers.remove(&self.peer);
        } else {
            peers.insert(self.peer, left);
        }
    }
}

/// Whoever has one IPv6 address has all that begin with the same 64 bits (RFC 6177, section 2).
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_only_so_many_whichever_way_it_is_written() {
        let unproved = Unproved::new(&Limits { peer_handshakes_max: 1, ..Limits::default() });
        let from = |address: &str| unproved.come_from(address.parse().unwrap());
        for (first, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ] {
            let standing = from(first).unwrap();
            assert!(from(same).is_none() && from(other).is_some(), "{first}");
            drop(standing);
            assert!(from(same).is_some(), "{first}");
        }
        assert!(unproved.peers().is_empty(), "who is gone is not remembered");
    }
}
