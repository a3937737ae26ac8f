//! The yardstick of an interface: bytes sent back by a bare TCP server, over as many connections, used in the same way.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::figures::Latencies;
use super::wire::Connections;

/// Read from a socket at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Under way on a shared connection: what the kernel's buffers hold, so that neither end waits for the other to read.
const UNDER_WAY_BYTES_MAX: usize = 256 << 10;

/// What an echo takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Echo {
    pub(super) ms: Latencies,
    pub(super) per_s: f64,
}

/// Sends `bytes` there and back, `count` times, so many at once.
pub(super) async fn measure(how: Connections, at_once: u16, count: usize, bytes: usize) -> io::Result<Echo> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let server = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener));
    // An empty one would be no message at all.
    let message = vec![b'k'; bytes.max(1)];
    let began = Instant::now();
    let spans = match how {
        Connections::Shared => pipelined(server, at_once.into(), count, &message).await?,
        Connections::Kept | Connections::Fresh => {
            let fresh = how == Connections::Fresh;
            let (message, next): (Arc<[u8]>, _) = (message.into(), Arc::new(AtomicUsize::new(0)));
            let mut clients = JoinSet::new();
            for _ in 0..at_once {
                clients.spawn(turns(server, fresh, message.clone(), next.clone(), count));
            }
            let mut spans = Vec::with_capacity(count);
            while let Some(client) = clients.join_next().await {
                spans.extend(client.map_err(io::Error::other)??);
            }
            spans
        }
    };
    Ok(Echo { per_s: spans.len() as f64 / began.elapsed().as_secs_f64(), ms: Latencies::of(spans) })
}

/// One message after the other, as long as there are any left to send.
async fn turns(
    server: SocketAddr,
    fresh: bool,
    message: Arc<[u8]>,
    next: Arc<AtomicUsize>,
    count: usize,
) -> io::Result<Vec<Duration>> {
    let (mut spans, mut answer) = (Vec::new(), vec![0; message.len()]);
    let mut kept = if fresh { None } else { Some(connect(server).await?) };
    while next.fetch_add(1, Ordering::Relaxed) < count {
        let began = Instant::now();
        let mut new;
        let socket = match &mut kept {
            Some(socket) => socket,
            None => {
                new = connect(server).await?;
                &mut new
            }
        };
        socket.write_all(&message).await?;
        socket.read_exact(&mut answer).await?;
        spans.push(began.elapsed());
    }
    Ok(spans)
}

/// All on one connection, a further one for each that comes back.
async fn pipelined(
    server: SocketAddr,
    at_once: usize,
    count: usize,
    message: &[u8],
) -> io::Result<Vec<Duration>> {
    let mut socket = connect(server).await?;
    let at_once = at_once.min(UNDER_WAY_BYTES_MAX / message.len()).max(1);
    let (mut spans, mut chunk) = (Vec::with_capacity(count), vec![0; CHUNK_BYTES]);
    let (mut sent, mut partial, mut under_way) = (0, 0, VecDeque::new());
    while spans.len() < count {
        let more = (at_once - under_way.len()).min(count - sent);
        if more > 0 {
            under_way.extend(std::iter::repeat_n(Instant::now(), more));
            sent += more;
            socket.write_all(&message.repeat(more)).await?;
        }
        let came = socket.read(&mut chunk).await?;
        if came == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        partial += came;
        let whole = partial / message.len();
        partial %= message.len();
        spans.extend(under_way.drain(..whole.min(under_way.len())).map(|began| began.elapsed()));
    }
    Ok(spans)
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Sends back whatever comes, to whoever comes.
async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut socket, _)) = listener.accept().await {
        // Those that ended make room for their successors.
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            socket.set_nodelay(true)?;
            let (mut incoming, mut outgoing) = socket.split();
            tokio::io::copy(&mut incoming, &mut outgoing).await
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_message_comes_back_whichever_way_it_goes() {
        for how in [Connections::Kept, Connections::Fresh, Connections::Shared] {
            for bytes in [0, 10, 100_000] {
                let echo = measure(how, 4, 21, bytes).await.expect("loopback");
                assert!(echo.per_s > 0.0 && echo.ms.p50 > 0.0, "{how:?}: {echo:?}");
            }
        }
    }
}
