//! Streams for frames that no datagram holds: TCP on the node's port number.
//!
//! ```text
//!   a stream:  | length 4 | frame | length 4 | frame | ...      one direction; answers take the answerer's own stream
//!
//!   driver ── send(to, frame) ──▶ Outgoing: one task per peer, cached, closed after STREAM_IDLE_MAX
//!   driver ◀── (from, frame) ──── Incoming: one task per accepted stream
//! ```
//!
//! A stream that cannot be opened, breaks, or has its queue full loses frames, as a datagram would be lost; the node's
//! own retries are the remedy. Everything that a stranger can make us keep is bounded: streams, the bytes of frames that
//! are not whole yet, and the time that one may take. A length is checked before anything is allocated for it, and
//! memory grows with the bytes that have really come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyway_core::frame::FRAME_BYTES_MAX;
use keyway_core::peer::Addr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::metrics::DriverMetrics;

/// Streams kept open to others.
pub const STREAMS_OUT_MAX: usize = 128;
/// Streams accepted from others.
pub const STREAMS_IN_MAX: usize = 256;
/// Bytes waiting for one outgoing stream; room for several greatest frames.
pub const STREAM_QUEUE_BYTES_MAX: usize = 8 * FRAME_BYTES_MAX;
/// Frames waiting for one outgoing stream.
pub const STREAM_QUEUE_FRAMES_MAX: usize = 1024;
/// Whole frames waiting for the driver.
pub const FRAMES_IN_MAX: usize = 256;
/// Bytes of incoming frames, whole or not, over all streams.
pub const FRAMES_IN_BYTES_MAX: usize = 64 << 20;
/// How long opening a stream may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a frame may take from its first byte to its last, and one write may take.
pub const FRAME_MAX: Duration = Duration::from_secs(10);
/// A stream on which nothing happens for so long is closed by its opener ...
pub const STREAM_IDLE_MAX: Duration = Duration::from_secs(30);
/// ... and a little later by its acceptor.
const ACCEPTED_IDLE_MAX: Duration = Duration::from_secs(45);
/// Memory for an incoming frame grows by so much at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Pause after an error of `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A frame that came by stream.
#[derive(Debug)]
pub struct StreamFrame {
    /// The stream's other end: not the port on which that node listens.
    pub from: Addr,
    /// The frame.
    pub bytes: Vec<u8>,
    /// Its share of [`FRAMES_IN_BYTES_MAX`], given back when the frame is dropped.
    _share: Option<OwnedSemaphorePermit>,
}

/// The streams to others, and the frames that wait for them. Dropping it closes them.
#[derive(Debug)]
pub struct Outgoing {
    streams: BTreeMap<Addr, OutStream>,
    uses: u64,
    metrics: DriverMetrics,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct OutStream {
    frames: mpsc::Sender<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
    last_use: u64,
}

impl Outgoing {
    /// No streams yet.
    #[must_use]
    pub fn new(metrics: DriverMetrics) -> Outgoing {
        Outgoing { streams: BTreeMap::new(), uses: 0, metrics, tasks: JoinSet::new() }
    }

    /// Queues a frame for `to`, opening a stream if none is open; loses it if there is no room.
    pub fn send(&mut self, to: Addr, frame: &[u8]) {
        if self.try_send(to, frame) {
            self.metrics.stream_frames_out.inc();
        } else {
            self.metrics.stream_frames_dropped.inc();
        }
        self.metrics.streams_out.set(self.streams.len() as i64);
    }

    fn try_send(&mut self, to: Addr, frame: &[u8]) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.uses += 1;
        if self.streams.get(&to).is_some_and(|s| s.frames.is_closed()) {
            self.streams.remove(&to);
        }
        if !self.streams.contains_key(&to) {
            if !self.make_room() {
                return false;
            }
            let stream = self.open(to);
            self.streams.insert(to, stream);
        }
        let Some(stream) = self.streams.get_mut(&to) else { return false };
        stream.last_use = self.uses;
        if stream.queued_bytes.load(Ordering::Relaxed) + frame.len() > STREAM_QUEUE_BYTES_MAX {
            return false;
        }
        stream.queued_bytes.fetch_add(frame.len(), Ordering::Relaxed);
        if stream.frames.try_send(frame.to_vec()).is_err() {
            stream.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Lets go the ended streams, then the one unused for longest with nothing queued, if there are too many.
    fn make_room(&mut self) -> bool {
        if self.streams.len() >= STREAMS_OUT_MAX {
            self.streams.retain(|_, s| !s.frames.is_closed());
        }
        if self.streams.len() >= STREAMS_OUT_MAX {
            let idle = self.streams.iter().filter(|(_, s)| s.queued_bytes.load(Ordering::Relaxed) == 0);
            let Some(oldest) = idle.min_by_key(|(_, s)| s.last_use).map(|(to, _)| *to) else { return false };
            self.streams.remove(&oldest);
        }
        true
    }

    fn open(&mut self, to: Addr) -> OutStream {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE_FRAMES_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            frames: receiver,
            queued_bytes: Arc::clone(&queued_bytes),
            metrics: self.metrics.clone(),
        };
        self.tasks.spawn(writer.run(to.into()));
        OutStream { frames: sender, queued_bytes, last_use: self.uses }
    }
}

struct Writer {
    frames: mpsc::Receiver<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
    metrics: DriverMetrics,
}

impl Writer {
    /// Opens the stream and writes what is queued, until it breaks or nothing more comes.
    async fn run(mut self, to: SocketAddr) {
        let opened = timeout(CONNECT_MAX, TcpStream::connect(to)).await;
        if let Ok(Ok(mut stream)) = opened {
            // Frames are written whole; waiting for more to fill a packet only delays the last piece.
            let _ = stream.set_nodelay(true);
            while let Ok(Some(frame)) = timeout(STREAM_IDLE_MAX, self.frames.recv()).await {
                let written = timeout(FRAME_MAX, write_frame(&mut stream, &frame)).await;
                self.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
                if !matches!(written, Ok(Ok(()))) {
                    self.metrics.stream_frames_dropped.inc();
                    break;
                }
            }
        }
        // Closed first, then emptied: a frame queued in between is counted here or refused there.
        self.frames.close();
        while let Ok(frame) = self.frames.try_recv() {
            self.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
            self.metrics.stream_frames_dropped.inc();
        }
    }
}

async fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> std::io::Result<()> {
    let len = u32::try_from(frame.len()).map_err(std::io::Error::other)?;
    stream.write_all(&len.to_be_bytes()).await?;
    stream.write_all(frame).await
}

/// Accepts streams and gives their whole frames to `frames`, until it is dropped or nobody takes them.
pub async fn accept(listener: TcpListener, frames: mpsc::Sender<StreamFrame>, metrics: DriverMetrics) {
    accept_within(FRAME_MAX, listener, frames, metrics).await;
}

/// As [`accept`], with another bound on the time that a frame may take.
async fn accept_within(
    frame_max: Duration,
    listener: TcpListener,
    frames: mpsc::Sender<StreamFrame>,
    metrics: DriverMetrics,
) {
    let places = Arc::new(Semaphore::new(STREAMS_IN_MAX));
    let chunks = Arc::new(Semaphore::new(FRAMES_IN_BYTES_MAX / CHUNK_BYTES));
    let mut tasks = JoinSet::new();
    loop {
        // Without a free place, further streams wait in the kernel's backlog, which is bounded too.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a stream");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = frames.closed() => return,
        };
        while tasks.try_join_next().is_some() {}
        let (frames, metrics, chunks) = (frames.clone(), metrics.clone(), Arc::clone(&chunks));
        tasks.spawn(async move {
            let _place = place;
            metrics.streams_in.inc();
            read_frames(stream, from.into(), frame_max, &chunks, &frames, &metrics).await;
            metrics.streams_in.dec();
        });
    }
}

async fn read_frames(
    mut stream: TcpStream,
    from: Addr,
    frame_max: Duration,
    chunks: &Arc<Semaphore>,
    frames: &mpsc::Sender<StreamFrame>,
    metrics: &DriverMetrics,
) {
    loop {
        let mut first = [0; 1];
        // Between frames a stream may be idle; once a frame has begun it must come to its end.
        match timeout(ACCEPTED_IDLE_MAX, stream.read(&mut first)).await {
            Ok(Ok(1)) => {}
            _ => return,
        }
        let Ok(Some((bytes, share))) = timeout(frame_max, read_frame(&mut stream, first[0], chunks)).await
        else {
            return;
        };
        metrics.stream_frames_in.inc();
        if frames.send(StreamFrame { from, bytes, _share: share }).await.is_err() {
            return;
        }
    }
}

/// Reads the rest of a frame whose first length byte has come. `None`: the stream is of no use any more.
async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    first: u8,
    chunks: &Arc<Semaphore>,
) -> Option<(Vec<u8>, Option<OwnedSemaphorePermit>)> {
    let mut rest = [0; 3];
    stream.read_exact(&mut rest).await.ok()?;
    let len = u32::from_be_bytes([first, rest[0], rest[1], rest[2]]) as usize;
    if len > FRAME_BYTES_MAX {
        return None;
    }
    let (mut bytes, mut share): (Vec<u8>, Option<OwnedSemaphorePermit>) = (Vec::new(), None);
    while bytes.len() < len {
        let next = Arc::clone(chunks).acquire_owned().await.ok()?;
        match &mut share {
            Some(share) => share.merge(next),
            None => share = Some(next),
        }
        let chunk = (len - bytes.len()).min(CHUNK_BYTES) as u64;
        let before = bytes.len();
        (&mut *stream).take(chunk).read_to_end(&mut bytes).await.ok()?;
        if ((bytes.len() - before) as u64) < chunk {
            return None;
        }
    }
    Some((bytes, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listening() -> (SocketAddr, mpsc::Receiver<StreamFrame>, DriverMetrics) {
        listening_within(FRAME_MAX).await
    }

    async fn listening_within(
        frame_max: Duration,
    ) -> (SocketAddr, mpsc::Receiver<StreamFrame>, DriverMetrics) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
        let at = listener.local_addr().expect("bound");
        let (sender, receiver) = mpsc::channel(FRAMES_IN_MAX);
        let metrics = DriverMetrics::default();
        tokio::spawn(accept_within(frame_max, listener, sender, metrics.clone()));
        (at, receiver, metrics)
    }

    #[tokio::test]
    async fn frames_of_all_sizes_arrive_over_one_stream_in_order() {
        let (at, mut frames, metrics) = listening().await;
        let mut outgoing = Outgoing::new(metrics.clone());
        let sizes = [1_201, 65_536, 65_537, FRAME_BYTES_MAX, 0, 5];
        for (i, size) in sizes.into_iter().enumerate() {
            outgoing.send(at.into(), &vec![i as u8; size]);
        }
        for (i, size) in sizes.into_iter().enumerate() {
            let frame = frames.recv().await.expect("open");
            assert_eq!(frame.bytes, vec![i as u8; size]);
        }
        assert_eq!((metrics.streams_in.get(), metrics.stream_frames_dropped.get()), (1, 0));
    }

    #[tokio::test]
    async fn a_claim_above_the_bound_closes_the_stream() {
        let (at, mut frames, _) = listening().await;
        let mut liar = TcpStream::connect(at).await.expect("accepted");
        liar.write_all(&(FRAME_BYTES_MAX as u32 + 1).to_be_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        liar.read_to_end(&mut rest).await.expect("closed in order");
        let mut honest = TcpStream::connect(at).await.expect("accepted");
        honest.write_all(b"\0\0\0\x02ok").await.expect("sent");
        assert_eq!(frames.recv().await.expect("open").bytes, b"ok");
    }

    #[tokio::test]
    async fn a_claimed_length_does_not_allocate() {
        let chunks = Arc::new(Semaphore::new(4));
        let mut short = &b"\x10\0\0only this"[..];
        assert!(read_frame(&mut short, 0, &chunks).await.is_none());
        assert_eq!(chunks.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_frame_that_does_not_end_is_given_up() {
        let (at, _frames, _) = listening_within(Duration::from_millis(50)).await;
        let mut slow = TcpStream::connect(at).await.expect("accepted");
        slow.write_all(b"\0\0\x10\0x").await.expect("sent");
        let mut rest = Vec::new();
        let _ = slow.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_is_not_there_is_loss() {
        let gone = {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
            listener.local_addr().expect("bound")
        };
        let metrics = DriverMetrics::default();
        let mut outgoing = Outgoing::new(metrics.clone());
        outgoing.send(gone.into(), b"lost");
        while metrics.stream_frames_dropped.get() == 0 {
            tokio::task::yield_now().await;
        }
        let (at, mut frames, _) = listening().await;
        outgoing.send(at.into(), b"found");
        assert_eq!(frames.recv().await.expect("open").bytes, b"found");
    }
}
