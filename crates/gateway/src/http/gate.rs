//! The gate between a client's socket and the HTTP parser: what a client may do before anybody reads its request.
//!
//! The parser (hyper) bounds a head and can time it, but it cannot tell waiting for a head from receiving one, answers a
//! late head with silence, and quietly drops a `Content-Length` that stands beside a `Transfer-Encoding`. The gate cuts the
//! byte stream into heads and bodies and passes on only whole heads that mean one thing:
//!
//! ```text
//!             head, whole and unambiguous           Content-Length: n
//!   ┌─ Head ─────────────────────────────▶ passed ───────────────────▶ Body(n) ─┐
//!   │   │ first byte + 5 s, 16 KiB, 100 headers  │ no body                       │ n bytes later
//!   │   │                                        ▼                               │
//!   └───┼───────────────────────────────────── Head ◀────────────────────────────┘
//!       │ misframed                              │ chunked
//!       ▼                                        ▼
//!      Shut: a stand-in request is passed,      Tail: everything is passed; the answer closes the connection,
//!      whose answer is the refusal              so that nothing after it is read as a request
//! ```
//!
//! A refusal travels through the parser as a stand-in request, so that it is answered in its turn and in the same form as
//! every other. Towards the client the gate cuts readers that stall, and it lingers: when a connection ends before its
//! request was read, the rest is read and dropped for a moment, so that the client sees the answer and not a reset.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::settings::Limits;

/// Read from the socket at once.
const CHUNK_BYTES: usize = 8 << 10;
/// How long the rest of an unread request is read and dropped.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES_MAX: usize = 4 << 20;
/// What the parser reads in place of a misframed request. The service recognises it by its place in the connection.
const STAND_IN: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// Why a request was refused before it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Misframed {
    #[error("the head of the request is longer than {max} bytes")]
    HeadTooLarge { max: usize },
    #[error("the request has more than {max} headers")]
    TooManyHeaders { max: usize },
    #[error("the head of the request came too slowly")]
    HeadTooSlow,
    #[error("where the request ends is ambiguous: {0}")]
    Ambiguous(&'static str),
}

impl Misframed {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Misframed::HeadTooLarge { .. } | Misframed::TooManyHeaders { .. } => "head_too_large",
            Misframed::HeadTooSlow => "head_too_slow",
            Misframed::Ambiguous(_) => "misframed",
        }
    }
}

/// What the gate tells the service of its connection: which request, counted from 0, is a stand-in, and for what.
#[derive(Clone, Default, Debug)]
pub(crate) struct Verdict(Arc<Mutex<Option<(u64, Misframed)>>>);

impl Verdict {
    fn refuse(&self, request: u64, why: Misframed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((request, why));
    }

    /// Whether this request is a stand-in.
    pub(crate) fn on(&self, request: u64) -> Option<Misframed> {
        let verdict = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdict.filter(|(refused, _)| *refused == request).map(|(_, why)| why)
    }
}

/// Where in a request the stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    /// Before or within a head.
    Head,
    /// Within a body of which so much is to come.
    Body(u64),
    /// Within a body whose end only the parser finds.
    Tail,
    /// Nothing more is passed.
    Shut,
}

/// A socket behind the gate.
pub(crate) struct Gate<S> {
    socket: S,
    limits: Limits,
    verdict: Verdict,
    framing: Framing,
    /// Read, not yet judged.
    incoming: BytesMut,
    /// The part of `incoming` in which no end of a head was found.
    scanned: usize,
    /// Judged, not yet taken by the parser.
    passing: BytesMut,
    /// Heads passed, stand-ins included.
    heads: u64,
    /// When the head under way began.
    head_began: Option<Instant>,
    /// When something was last passed on, in either direction. Empty lines do not count.
    used: Instant,
    ended: bool,
    /// When writing began to stall, and what was written since.
    stalled: Option<(Instant, u64)>,
    lingering: Option<(Instant, usize)>,
    read_clock: Clock,
    write_clock: Clock,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Puts `socket` behind a gate that reports to `verdict`.
    pub(crate) fn new(socket: S, limits: Limits, verdict: Verdict) -> Gate<S> {
        let now = Instant::now();
        Gate {
            socket,
            limits,
            verdict,
            framing: Framing::Head,
            incoming: BytesMut::new(),
            scanned: 0,
            passing: BytesMut::new(),
            heads: 0,
            head_began: None,
            used: now,
            ended: false,
            stalled: None,
            lingering: None,
            read_clock: Clock::default(),
            write_clock: Clock::default(),
        }
    }

    /// Moves what may be passed from `incoming` to `passing`. Whether anything changed.
    fn advance(&mut self) -> bool {
        match self.framing {
            Framing::Shut => false,
            Framing::Tail if self.incoming.is_empty() => false,
            Framing::Tail => {
                self.passing.unsplit(self.incoming.split());
                true
            }
            Framing::Body(left) => {
                let here = left.min(self.incoming.len() as u64);
                self.passing.unsplit(self.incoming.split_to(here as usize));
                self.framing = if left == here { self.await_head() } else { Framing::Body(left - here) };
                here > 0 || left == 0
            }
            Framing::Head => self.advance_head(),
        }
    }

    fn advance_head(&mut self) -> bool {
        // Empty lines before a request are allowed, and are no part of it (RFC 9112 section 2.2).
        while self.scanned == 0 && matches!(self.incoming.first(), Some(b'\r' | b'\n')) {
            self.incoming.advance(1);
        }
        if self.incoming.is_empty() {
            self.head_began = None;
            return false;
        }
        let max = self.limits.head_bytes_max;
        let Some(end) = end_of_head(&self.incoming, self.scanned) else {
            self.scanned = self.incoming.len();
            if self.scanned > max {
                self.refuse(Misframed::HeadTooLarge { max });
                return true;
            }
            return false;
        };
        self.scanned = 0;
        if end > max {
            self.refuse(Misframed::HeadTooLarge { max });
            return true;
        }
        match framing_of(&self.incoming[..end], self.limits.headers_max) {
            Err(why) => self.refuse(why),
            Ok(framing) => {
                self.passing.unsplit(self.incoming.split_to(end));
                self.heads += 1;
                self.framing = if framing == Framing::Head { self.await_head() } else { framing };
            }
        }
        true
    }

    /// A request has ended here; bytes that are already there begin the next.
    fn await_head(&mut self) -> Framing {
        self.head_began = (!self.incoming.is_empty()).then(Instant::now);
        Framing::Head
    }

    fn refuse(&mut self, why: Misframed) {
        self.verdict.refuse(self.heads, why);
        self.heads += 1;
        self.passing.extend_from_slice(STAND_IN);
        self.incoming.clear();
        self.framing = Framing::Shut;
    }

    /// Reads from the socket into `incoming`; the count is 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK_BYTES];
        let mut buf = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
        let filled = buf.filled();
        self.incoming.extend_from_slice(filled);
        if !filled.is_empty() && self.framing == Framing::Head && self.head_began.is_none() {
            self.head_began = Some(Instant::now());
        }
        Poll::Ready(Ok(filled.len()))
    }

    /// Nothing came: whether it is too late for what should come. The body's own pace is kept by who reads it.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(keyway_bug = "gateway_header_timer_unset")] // planted: a head may take for ever
        if self.framing == Framing::Head {
            return Poll::Pending;
        }
        let limits = &self.limits;
        let deadline = match (self.framing, self.head_began) {
            (Framing::Head, Some(began)) => began + limits.head_timeout,
            (Framing::Head, None) if self.heads == 0 => self.used + limits.head_timeout,
            _ => self.used + limits.idle_timeout,
        };
        ready!(self.read_clock.poll(cx, deadline));
        match (self.framing, self.head_began) {
            (Framing::Head, Some(_)) => self.refuse(Misframed::HeadTooSlow),
            (Framing::Head, None) => self.ended = true,
            _ => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
        Poll::Ready(Ok(()))
    }

    /// Judges a write of `offered` bytes: a client must take what it asked for, and not by the drop.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                self.used = Instant::now();
                self.stalled = match self.stalled {
                    Some((since, bytes)) if count < offered => Some((since, bytes + count as u64)),
                    _ => None,
                };
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => {
                let (since, bytes) = *self.stalled.get_or_insert_with(|| (Instant::now(), 0));
                let deadline = since + self.limits.write_stall + self.limits.pace(bytes);
                ready!(self.write_clock.poll(cx, deadline));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        loop {
            if !gate.passing.is_empty() {
                gate.used = Instant::now();
                let count = gate.passing.len().min(buf.remaining());
                buf.put_slice(&gate.passing[..count]);
                gate.passing.advance(count);
                return Poll::Ready(Ok(()));
            }
            if gate.advance() {
                continue;
            }
            if gate.ended || gate.framing == Framing::Shut {
                return Poll::Ready(Ok(()));
            }
            match gate.poll_fill(cx) {
                Poll::Ready(Ok(count)) => gate.ended = count == 0,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => ready!(gate.poll_late(cx))?,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(cx, written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(cx, written, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        if gate.lingering.is_none() {
            ready!(Pin::new(&mut gate.socket).poll_shutdown(cx))?;
            if gate.ended || (gate.framing == Framing::Head && gate.incoming.is_empty()) {
                return Poll::Ready(Ok(()));
            }
            gate.lingering = Some((Instant::now(), 0));
        }
        loop {
            let Some((since, dropped)) = gate.lingering else { return Poll::Ready(Ok(())) };
            gate.incoming.clear();
            match gate.poll_fill(cx) {
                Poll::Ready(Ok(count)) if count > 0 && dropped + count <= LINGER_BYTES_MAX => {
                    gate.lingering = Some((since, dropped + count));
                }
                // At its end, cut, or beyond the bound: who still sends is not waiting for an answer.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(gate.read_clock.poll(cx, since + LINGER));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// A timer that is made on first use and moved afterwards.
#[derive(Default)]
struct Clock(Option<Pin<Box<Sleep>>>);

impl Clock {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// Where the head ends, given that no end lies wholly within the first `scanned` bytes.
fn end_of_head(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let rest = &bytes[from..];
    let line_ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    line_ends.into_iter().find_map(|at| match &rest[at + 1..] {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// How the body that follows this head is framed, if the head leaves no doubt.
fn framing_of(head: &[u8], headers_max: usize) -> Result<Framing, Misframed> {
    let mut length = None;
    let mut chunked = false;
    let lines = head.split(|byte| *byte == b'\n').skip(1).map(<[u8]>::trim_ascii_end);
    for (count, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if count >= headers_max {
            return Err(Misframed::TooManyHeaders { max: headers_max });
        }
        // A line without a colon is for the parser to refuse.
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Misframed::Ambiguous("more than one Content-Length"));
            }
            length = Some(digits(value).ok_or(Misframed::Ambiguous("Content-Length is not a number"))?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Misframed::Ambiguous("the only Transfer-Encoding accepted is chunked, once"));
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Misframed::Ambiguous("Content-Length beside Transfer-Encoding")),
        (None, true) => Ok(Framing::Tail),
        (Some(length), false) if length > 0 => Ok(Framing::Body(length)),
        _ => Ok(Framing::Head),
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    let all_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| all_digits)?.parse().ok()
}
