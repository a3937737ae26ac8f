//! How frames travel: as one datagram where they fit, else through a stream. Either may lose them.

pub mod stream;
pub mod udp;

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::settings::StartError;
use udp::Datagrams;

/// Tries to find a port that is free for both protocols, when any will do.
const PORT_TRIES_MAX: usize = 32;

/// Binds both protocols to one port.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn bind(listen: SocketAddr) -> Result<(Datagrams, TcpListener), StartError> {
    let failed = |protocol| move |source| StartError::Listen { listen, protocol, source };
    let mut tries_left = if listen.port() == 0 { PORT_TRIES_MAX } else { 1 };
    loop {
        tries_left -= 1;
        let datagrams = Datagrams::bind(listen).await.map_err(failed("UDP"))?;
        let bound = datagrams.local_addr().map_err(failed("UDP"))?;
        match TcpListener::bind(bound).await {
            Ok(listener) => return Ok((datagrams, listener)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {}
            Err(e) => return Err(failed("TCP")(e)),
        }
    }
}
