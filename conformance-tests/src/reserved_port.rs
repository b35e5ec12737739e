//! Ports on loopback that are known before anybody listens on them, and that stay a test's own while whoever listens dies
//! and comes back.
//!
//! A port is reserved by holding its namesake of UDP, which nobody here uses: the system gives that to one holder, among all
//! processes, and takes it back when the holder ends, however it ends. So two kits on one machine never choose the same.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context;

/// A port nobody listened on when it was reserved; given back when dropped.
#[derive(Debug)]
pub struct ReservedPort {
    /// Loopback, and the port.
    pub address: SocketAddr,
    _namesake: UdpSocket,
}

/// Below those that systems give by chance.
const FIRST: u32 = 16_384;
const PORTS: u32 = 16_000;

impl ReservedPort {
    /// Reserves one.
    ///
    /// # Errors
    /// None is free.
    pub fn reserve() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Several processes at a time begin in different places, so that they need not look for long.
        let own = std::process::id().wrapping_mul(97);
        let reserved = (0..PORTS).find_map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            Self::take(u16::try_from(FIRST + own.wrapping_add(next) % PORTS).ok()?)
        });
        reserved.context("no port is free")
    }

    /// This one, if nobody has reserved it and nobody listens on it.
    fn take(port: u16) -> Option<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let namesake = UdpSocket::bind(address).ok()?;
        let _nobody_listens = TcpListener::bind(address).ok()?;
        Some(Self { address, _namesake: namesake })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_once_and_again_when_it_was_given_back() {
        let reserved = ReservedPort::reserve().unwrap();
        let port = reserved.address.port();
        assert!(ReservedPort::take(port).is_none());
        let listener = TcpListener::bind(reserved.address).unwrap();
        drop(reserved);
        assert!(ReservedPort::take(port).is_none(), "somebody listens");
        drop(listener);
        assert!(ReservedPort::take(port).is_some());
    }
}
