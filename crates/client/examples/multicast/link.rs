//! A connection between a parent and a child: frames as lines of JSON over TCP.
//!
//! ```text
//!   child ── join { id, address, heard } ─▶ parent
//!         ◀─ accepted { heard } ──────────        or refused { children }, and the end
//!         ◀═ what each lacks, then what is new, alive when there is nothing ═▶
//! ```
//!
//! Bounds: the length of a frame, the frames that wait to be written (a neighbour that does not read them is cut off: it comes
//! back, and is sent what it lacks), and the silence after which a neighbour is held for dead.

use std::time::Duration;

use bytes::Bytes;
use keyway_client::Key;
use keyway_client::redir::Endpoint;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::group::Inside;
use super::journal::{Heard, Message};

/// Longest frame, its end of line included.
const FRAME_BYTES_MAX: u64 = 128 * 1024;
/// Frames that wait to be written to a neighbour, beside what it lacked when it came.
const QUEUE_MAX: usize = 256;
/// A sign of life after so much silence of ours.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// A neighbour is dead after so much silence.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// For a connection, and for the answer of whoever is knocked at.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A member as frames name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) id: Key,
    pub(crate) address: String,
}

impl Named {
    pub(crate) fn of(member: &Endpoint) -> Named {
        Named { id: *member.id(), address: member.address().to_owned() }
    }
}

/// What neighbours tell each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Frame {
    Join { member: Named, heard: Heard },
    Accepted { heard: Heard },
    Refused { children: Vec<Named> },
    Message(Message),
    Alive,
}

impl Frame {
    /// As it is written: one line.
    pub(crate) fn line(&self) -> Bytes {
        // Maps of texts and numbers cannot fail to be JSON.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }
}

/// Both ends of a connection, before it is known what it is for.
pub(crate) struct Wire {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        // Frames are small and waited for.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Wire { read: BufReader::new(read), write }
    }

    /// The next frame; nothing at the end, in silence, or after nonsense.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        timeout(KNOCK_TIMEOUT, read_frame(&mut self.read)).await.ok().flatten()
    }

    /// Writes a last frame.
    pub(crate) async fn refuse(mut self, children: Vec<Named>) {
        // Whoever does not read it sees the end of the connection.
        let _ = timeout(KNOCK_TIMEOUT, self.write.write_all(&Frame::Refused { children }.line())).await;
    }
}

async fn read_frame(read: &mut BufReader<OwnedReadHalf>) -> Option<Frame> {
    let mut line = Vec::new();
    let count = read.take(FRAME_BYTES_MAX).read_until(b'\n', &mut line).await.ok()?;
    if count == 0 || line.last() != Some(&b'\n') {
        return None;
    }
    serde_json::from_slice(&line).ok()
}

/// What whoever was knocked at said.
pub(crate) enum Knocked {
    Accepted(Wire, Heard),
    Refused(Vec<Named>),
    Unreachable,
}

/// Asks a member to be our parent.
pub(crate) async fn knock(address: &str, me: &Named, heard: Heard) -> Knocked {
    let asked = async {
        let mut wire = Wire::new(TcpStream::connect(address).await.ok()?);
        let join = Frame::Join { member: me.clone(), heard };
        wire.write.write_all(&join.line()).await.ok()?;
        match read_frame(&mut wire.read).await? {
            Frame::Accepted { heard } => Some(Knocked::Accepted(wire, heard)),
            Frame::Refused { children } => Some(Knocked::Refused(children)),
            _ => None,
        }
    };
    timeout(KNOCK_TIMEOUT, asked).await.ok().flatten().unwrap_or(Knocked::Unreachable)
}

/// A connection to a neighbour. Dropping it cuts it, once what waits is written.
pub(crate) struct Link {
    pub(crate) neighbour: Named,
    frames: mpsc::Sender<Bytes>,
    writer: JoinHandle<()>,
    _reader: Reader,
}

struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Begins to read and write; what is read, and the end, is told under `number`.
    pub(crate) fn start(wire: Wire, neighbour: Named, number: u64, tell: mpsc::Sender<Inside>) -> Link {
        let (frames, queue) = mpsc::channel(QUEUE_MAX);
        let Wire { mut read, write } = wire;
        let writer = tokio::spawn(write_all(write, queue));
        let reader = tokio::spawn(async move {
            while let Ok(Some(frame)) = timeout(SILENCE_MAX, read_frame(&mut read)).await {
                if tell.send(Inside::Frame(number, frame)).await.is_err() {
                    return;
                }
            }
            // Nobody listens any more: then nobody misses it.
            let _ = tell.send(Inside::Down(number)).await;
        });
        Link { neighbour, frames, writer, _reader: Reader(reader) }
    }

    /// Hands over what is to be written; `false` if the neighbour does not read.
    pub(crate) fn send(&self, bytes: Bytes) -> bool {
        self.frames.try_send(bytes).is_ok()
    }

    /// Ends it when what waits is written, or when the neighbour takes too long to read it.
    pub(crate) async fn close(self) {
        drop(self.frames);
        // What a neighbour does not read now it gets from another.
        let _ = timeout(KNOCK_TIMEOUT, self.writer).await;
    }
}

async fn write_all(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    loop {
        let bytes = match timeout(ALIVE_EVERY, queue.recv()).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(_) => Frame::Alive.line(),
        };
        // A neighbour that is gone is seen by the reader.
        if !matches!(timeout(SILENCE_MAX, write.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}
