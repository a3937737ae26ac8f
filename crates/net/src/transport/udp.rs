//! The socket for datagrams: one per node, never waited for when sending.

use std::io;
use std::net::SocketAddr;

use keyway_core::frame::DATAGRAM_BYTES_MAX;
use keyway_core::peer::Addr;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::metrics::DriverMetrics;

/// Receive buffer asked of the kernel, which may grant less: bursts wait here while the node works.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Send buffer asked of the kernel.
pub const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Datagrams given to the machine in one batch.
pub const BATCH_DATAGRAMS_MAX: usize = 64;
/// Room for one datagram; one byte more than any of ours has, so that a longer one is told apart.
const SLOT_BYTES: usize = DATAGRAM_BYTES_MAX + 1;

/// The socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    is_v6: bool,
}

/// What [`Datagrams::receive`] saw besides datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// Nothing more is waiting.
    Drained,
    /// The batch is full.
    More,
    /// The socket reports an error that may come again at once.
    Failed,
}

/// Received datagrams in one reused buffer.
#[derive(Debug)]
pub struct Batch {
    slots: Box<[u8]>,
    entries: Vec<(Addr, usize)>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { slots: vec![0; SLOT_BYTES * BATCH_DATAGRAMS_MAX].into(), entries: Vec::new() }
    }
}

impl Batch {
    /// What was received: `(from, bytes)`.
    pub fn iter(&self) -> impl Iterator<Item = (Addr, &[u8])> {
        self.slots
            .chunks_exact(SLOT_BYTES)
            .zip(&self.entries)
            .map(|(slot, (from, len))| (*from, &slot[..*len]))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl Datagrams {
    /// Binds the socket.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(listen: SocketAddr) -> io::Result<Datagrams> {
        let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
        // Smaller buffers only mean more loss in bursts: not worth refusing to start.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&listen.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        // Until the runtime has seen the socket once, `try_send_to` would say that its buffer is full.
        socket.writable().await?;
        Ok(Datagrams { socket, is_v6: listen.is_ipv6() })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Until something may be there. Cancel-safe.
    ///
    /// # Errors
    /// If the runtime is going down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes what is there, up to a full batch. A datagram longer than any of ours is dropped. An error that belongs to
    /// one datagram, such as ECONNREFUSED for one that was sent to a closed port, does not end the batch.
    pub fn receive(&self, batch: &mut Batch, metrics: &DriverMetrics) -> Received {
        const ERRORS_MAX: usize = 16;
        let mut errors = 0;
        for slot in batch.slots.chunks_exact_mut(SLOT_BYTES).skip(batch.entries.len()) {
            let (len, from) = loop {
                match self.socket.try_recv_from(slot) {
                    Ok((len, from)) if len <= DATAGRAM_BYTES_MAX => break (len, from),
                    Ok(_) => {
                        metrics.receive_errors.inc();
                        errors += 1;
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Received::Drained,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        metrics.receive_errors.inc();
                        errors += 1;
                    }
                }
                if errors >= ERRORS_MAX {
                    return Received::Failed;
                }
            };
            metrics.datagrams_in.inc();
            batch.entries.push((from.into(), len));
        }
        Received::More
    }

    /// Sends one datagram if there is room; otherwise it is lost, as any datagram may be.
    pub fn send(&self, to: Addr, bytes: &[u8], metrics: &DriverMetrics) {
        let sent = match self.reachable(to) {
            Some(to) => self.try_send(bytes, to),
            None => false,
        };
        if sent {
            metrics.datagrams_out.inc();
        } else {
            metrics.datagrams_dropped.inc();
        }
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        const TRIES_MAX: usize = 4;
        for _ in 0..TRIES_MAX {
            match self.socket.try_send_to(bytes, to) {
                Ok(_) => return true,
                // A refusal is the news of an earlier datagram, delivered late: this one was not sent.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// The address in the socket's family, if it has one.
    fn reachable(&self, to: Addr) -> Option<SocketAddr> {
        match (to, self.is_v6) {
            (Addr::V4(ip, port), true) => {
                Some(SocketAddr::from((std::net::Ipv4Addr::from(ip).to_ipv6_mapped(), port)))
            }
            (Addr::V6(..), false) => None,
            (to, _) => Some(to.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bound() -> Datagrams {
        Datagrams::bind(([127, 0, 0, 1], 0).into()).await.expect("bound")
    }

    #[tokio::test]
    async fn datagrams_arrive_in_batches_and_longer_ones_are_dropped() {
        let metrics = DriverMetrics::default();
        let (a, b) = (bound().await, bound().await);
        let to: Addr = b.local_addr().expect("bound").into();
        a.send(to, &[1; DATAGRAM_BYTES_MAX], &metrics);
        a.send(to, &[2; DATAGRAM_BYTES_MAX + 1], &metrics);
        a.send(to, &[3], &metrics);
        let mut batch = Batch::default();
        while batch.entries.len() < 2 {
            b.readable().await.expect("open");
            b.receive(&mut batch, &metrics);
        }
        let lengths: Vec<_> = batch.iter().map(|(_, bytes)| (bytes[0], bytes.len())).collect();
        assert_eq!(lengths, [(1, DATAGRAM_BYTES_MAX), (3, 1)]);
        assert_eq!(metrics.receive_errors.get(), 1);
    }

    #[tokio::test]
    async fn a_closed_port_does_not_break_the_socket() {
        let metrics = DriverMetrics::default();
        let (a, b) = (bound().await, bound().await);
        let gone: Addr = bound().await.local_addr().expect("bound").into();
        for _ in 0..10 {
            a.send(gone, b"nobody", &metrics);
        }
        a.send(b.local_addr().expect("bound").into(), b"somebody", &metrics);
        let mut batch = Batch::default();
        b.readable().await.expect("open");
        b.receive(&mut batch, &metrics);
        assert_eq!(batch.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [b"somebody"]);
    }

    #[tokio::test]
    async fn an_address_of_the_other_family_is_loss() {
        let metrics = DriverMetrics::default();
        let a = bound().await;
        a.send(Addr::V6([1; 16], 9), b"x", &metrics);
        assert_eq!(metrics.datagrams_dropped.get(), 1);
    }
}
