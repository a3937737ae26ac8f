//! One connection: records in, calls under way, replies out in the order in which calls end.
//!
//! ```text
//!                  may a call begin?                      one task each, at most calls_per_connection_max
//!   socket ──▶ unread ──▶ reassembler ──▶ waiting ──▶ calls ──▶ unsent ──▶ socket
//!              while none may              for a seat, of calls_max in all
//! ```
//!
//! No call begins while too many are under way, or too many bytes of replies were not taken; then nothing is read either, and
//! TCP holds the client back. Three clocks run, each for one state:
//!
//! | state | over after | then |
//! | --- | --- | --- |
//! | nothing outstanding | `idle_timeout` | closed |
//! | a record is half there | `body_grace`, and what its bytes may take at `rate_bytes_min` | cut |
//! | replies are not taken | `write_stall`, and what those taken may take at `rate_bytes_min` | cut |

use std::future::pending;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, Interest, Ready};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{Answered, answer, need};
use super::message::{self, AcceptStat, Head, NotACall};
use super::program::{self, Call};
use super::record::Reassembler;
use crate::accept::Visitor;
use crate::access::Bearer;
use crate::crowd::Place;
use crate::node::Node;
use crate::rest::Shop;
use crate::tasks::spawn_begun;

/// Read from the socket at once.
const CHUNK_BYTES: usize = 16 << 10;
/// How long what a client still sends is read and dropped after an error answer, so that it sees the answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES_MAX: usize = 4 << 20;
/// Until the alarm is looked at again when nothing is timed.
const NOTHING_TIMED: Duration = Duration::from_secs(60);

/// Why nothing more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// The client has said everything, or the server stops.
    Quiet,
    /// The client was given an error answer, or cannot be understood any more: it may still be sending.
    Refused,
}

/// One connection at work.
pub(super) struct Connection<N> {
    shop: Arc<Shop<N>>,
    seats: Arc<Semaphore>,
    socket: TcpStream,
    /// Who is charged for what is written.
    who: Bearer,
    place: Place,
    stopping: watch::Receiver<bool>,
    reassembler: Reassembler,
    /// Received, not yet cut into records.
    unread: Vec<u8>,
    /// A call that has no seat yet.
    waiting: Option<(Head, Call)>,
    calls: JoinSet<Answered>,
    unsent: Vec<u8>,
    /// The part of `unsent` that was sent.
    sent: usize,
    ending: Option<Ending>,
    /// Since when nothing is outstanding.
    rested: Instant,
    /// When the record that is half there began.
    record_began: Option<Instant>,
    /// When replies began to be not taken, and bytes taken since.
    stalled: Option<(Instant, u64)>,
}

impl<N: Node> Connection<N> {
    pub(super) fn new(visitor: Visitor, shop: Arc<Shop<N>>, seats: Arc<Semaphore>) -> Connection<N> {
        let Visitor { socket, from, place, stopping } = visitor;
        place.rest();
        Connection {
            reassembler: Reassembler::new(shop.config.sunrpc.record_bytes_max),
            seats,
            socket,
            who: shop.access.address(from.ip()),
            shop,
            place,
            stopping,
            unread: Vec::new(),
            waiting: None,
            calls: JoinSet::new(),
            unsent: Vec::new(),
            sent: 0,
            ending: None,
            rested: Instant::now(),
            record_began: None,
            stalled: None,
        }
    }

    /// From its first byte to its end.
    pub(super) async fn run(mut self) {
        // Replies are written whole; waiting to fill segments only delays them.
        let _ = self.socket.set_nodelay(true);
        match self.converse().await {
            Ok(Ending::Refused) => self.linger().await,
            Ok(Ending::Quiet) => {}
            Err(why) => tracing::debug!(error = %why, "connection ended"),
        }
    }

    /// Until everything that was begun has ended, or the connection has to be cut.
    async fn converse(&mut self) -> io::Result<Ending> {
        let mut alarm = pin!(sleep_until(self.rested + self.shop.config.sunrpc.idle_timeout));
        loop {
            self.begin_calls();
            self.send()?;
            // Replies that were in the way are gone, and nobody else would wake what was read behind them.
            while !self.unread.is_empty() && self.may_begin() {
                self.begin_calls();
                self.send()?;
            }
            if let Some(ending) = self.ending.filter(|_| self.is_done()) {
                return Ok(ending);
            }
            // An alarm that is too early only looks again.
            if let Some((deadline, _)) = self.deadline().filter(|(deadline, _)| *deadline < alarm.deadline())
            {
                alarm.as_mut().reset(deadline);
            }
            let interest = self.interest();
            tokio::select! {
                biased;
                () = self.place.asked_to_go() => return Err(self.cut("sunrpc_made_room")),
                () = told(&mut self.stopping), if self.ending.is_none() => self.end(Ending::Quiet),
                Some(ended) = self.calls.join_next() => self.on_ended(ended)?,
                Ok(seat) = self.seats.clone().acquire_owned(), if self.waiting.is_some() => self.seat(seat),
                ready = ready(&self.socket, interest) => if ready?.is_readable() { self.receive()? },
                () = &mut alarm => {
                    let now = Instant::now();
                    match self.deadline() {
                        Some((deadline, why)) if deadline <= now => return Err(self.cut(why)),
                        Some((deadline, _)) => alarm.as_mut().reset(deadline),
                        None => alarm.as_mut().reset(now + NOTHING_TIMED),
                    }
                }
            }
        }
    }

    /// Nothing is under way for the client.
    fn is_done(&self) -> bool {
        self.calls.is_empty() && self.waiting.is_none() && self.unsent.is_empty()
    }

    fn may_begin(&self) -> bool {
        let limits = &self.shop.config.sunrpc;
        self.ending.is_none()
            && self.waiting.is_none()
            && self.calls.len() < limits.calls_per_connection_max.max(1)
            && self.unsent.len() - self.sent < limits.unsent_bytes_max.max(1)
    }

    fn interest(&self) -> Option<Interest> {
        let reads = (self.may_begin() && self.unread.is_empty()).then_some(Interest::READABLE);
        let writes = (!self.unsent.is_empty()).then_some(Interest::WRITABLE);
        match (reads, writes) {
            (Some(reads), Some(writes)) => Some(reads | writes),
            (one, other) => one.or(other),
        }
    }

    /// What is waited for with a bound, until when, and what its end is called.
    fn deadline(&self) -> Option<(Instant, &'static str)> {
        let limits = &self.shop.config.limits;
        if let Some((since, taken)) = self.stalled {
            return Some((since + limits.write_stall + limits.pace(taken), "sunrpc_not_read"));
        }
        if let Some(began) = self.record_began {
            let received = self.reassembler.begun().unwrap_or(0) as u64;
            return Some((began + limits.body_grace + limits.pace(received), "sunrpc_slow_record"));
        }
        let idle = self.rested + self.shop.config.sunrpc.idle_timeout;
        self.is_done().then_some((idle, "sunrpc_idle"))
    }

    /// Reads what is there, once.
    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        match self.socket.try_read(&mut chunk) {
            Ok(0) => self.end(Ending::Quiet),
            Ok(len) => self.cut_records(&chunk[..len]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Begins what was received before and can be begun now.
    fn begin_calls(&mut self) {
        if !self.unread.is_empty() && self.may_begin() {
            let unread = std::mem::take(&mut self.unread);
            self.cut_records(&unread);
        }
    }

    /// Begins the calls in `bytes` as far as they may begin, and keeps the rest.
    fn cut_records(&mut self, mut bytes: &[u8]) {
        while self.may_begin() {
            match self.reassembler.next(&mut bytes) {
                Ok(Some(record)) => {
                    self.record_began = None;
                    self.on_record(&record);
                }
                Ok(None) => break,
                Err(why) => {
                    tracing::debug!(error = %why, "stream refused");
                    self.refuse("sunrpc_misframed");
                }
            }
        }
        if self.ending.is_none() {
            self.unread.extend_from_slice(bytes);
        }
        // While nothing is read for our own reasons, the client is not late.
        let is_late_some_day = self.may_begin() && self.reassembler.begun().is_some();
        self.record_began = self.record_began.filter(|_| is_late_some_day);
        if is_late_some_day {
            self.record_began.get_or_insert_with(Instant::now);
        }
    }

    fn on_record(&mut self, record: &[u8]) {
        let (head, args) = match message::open(record) {
            Ok(opened) => opened,
            Err(why) => {
                tracing::debug!(error = %why, "record refused");
                if let NotACall::OtherRpcVersion { xid } = why {
                    message::denied(&mut self.unsent, xid);
                }
                return self.refuse("sunrpc_not_a_call");
            }
        };
        match program::decode(&head, args, self.shop.config.legacy.value_bytes_max as usize) {
            Ok(call) if need(&call).is_some_and(|need| self.who.may(need).is_err()) => {
                self.shop.desk.metrics.turned_away("unauthorized");
                message::unauthorized(&mut self.unsent, head.xid);
                self.rest();
            }
            Ok(call) => {
                self.waiting = Some((head, call));
                if let Ok(seat) = self.seats.clone().try_acquire_owned() {
                    self.seat(seat);
                }
            }
            Err(stat) => {
                tracing::debug!(?head, ?stat, "call refused");
                self.shop.desk.metrics.answered("sunrpc", stat.code() as u16, Duration::ZERO);
                message::accepted(&mut self.unsent, head.xid, stat, |_| {});
                // Generic tools ask which versions there are, and go on with those on the same connection.
                if matches!(stat, AcceptStat::ProgramMismatch { .. }) && head.procedure == program::PROC_NULL
                {
                    return self.rest();
                }
                self.refuse(match stat {
                    AcceptStat::GarbageArguments => "sunrpc_garbage",
                    _ => "sunrpc_unknown",
                });
            }
        }
    }

    /// Begins the call that waits for a seat.
    fn seat(&mut self, seat: OwnedSemaphorePermit) {
        let Some((head, call)) = self.waiting.take() else { return };
        if self.calls.is_empty() {
            self.place.work();
        }
        let (shop, who) = (self.shop.clone(), self.who.clone());
        // Values come back in the order in which they were put, so calls reach the node in the order in which they were sent.
        spawn_begun(&mut self.calls, async move {
            let answered = answer(&shop, &who, head, call).await;
            drop(seat);
            answered
        });
    }

    /// Takes the replies of a call that ended, and of all others that have.
    fn on_ended(&mut self, ended: Result<Answered, JoinError>) -> io::Result<()> {
        let mut ended = Some(ended);
        while let Some(answered) = ended {
            let Answered { reply, closes } = answered.map_err(|error| {
                tracing::error!(%error, "a call's task ended: our own bug");
                io::Error::other("a call has no reply")
            })?;
            self.unsent.extend_from_slice(&reply);
            if closes {
                self.end(Ending::Refused);
            }
            ended = self.calls.try_join_next();
        }
        if self.calls.is_empty() {
            self.place.served();
            self.rest();
        }
        Ok(())
    }

    fn rest(&mut self) {
        self.rested = Instant::now();
        if self.calls.is_empty() {
            self.place.rest();
        }
    }

    /// Sends what the socket takes.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.unsent.len() {
            match self.socket.try_write(&self.unsent[self.sent..]) {
                Ok(len) => {
                    self.sent += len;
                    if let Some((_, taken)) = &mut self.stalled {
                        *taken += len as u64;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.stalled.get_or_insert_with(|| (Instant::now(), 0));
                    if self.sent >= self.shop.config.sunrpc.unsent_bytes_max {
                        self.unsent.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        if self.sent > 0 {
            self.sent = 0;
            self.unsent.clear();
            self.unsent.shrink_to(CHUNK_BYTES);
            if self.stalled.take().is_some() && self.calls.is_empty() {
                self.rest();
            }
        }
        Ok(())
    }

    /// Nothing more is read; what is under way ends.
    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.record_began = None;
        self.unread = Vec::new();
    }

    fn refuse(&mut self, reason: &'static str) {
        self.shop.desk.metrics.turned_away(reason);
        self.end(Ending::Refused);
    }

    /// The connection ends here, whatever is under way.
    fn cut(&self, reason: &'static str) -> io::Error {
        self.shop.desk.metrics.turned_away(reason);
        io::Error::new(ErrorKind::TimedOut, reason)
    }

    /// Reads and drops what the client still sends, for a moment.
    async fn linger(&mut self) {
        let unheard = async {
            let mut dropped = 0;
            self.socket.shutdown().await?;
            while dropped < LINGER_BYTES_MAX {
                self.socket.readable().await?;
                match self.socket.try_read(&mut [0; CHUNK_BYTES]) {
                    Ok(0) => break,
                    Ok(len) => dropped += len,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        };
        tokio::select! {
            () = self.place.asked_to_go() => {}
            // However it ends, there is nothing left to do.
            _ = timeout(LINGER, unheard) => {}
        }
    }
}

async fn ready(socket: &TcpStream, interest: Option<Interest>) -> io::Result<Ready> {
    match interest {
        Some(interest) => socket.ready(interest).await,
        None => pending().await,
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // The sender is only dropped after it has sent.
    let _ = stopping.wait_for(|stop| *stop).await;
}
