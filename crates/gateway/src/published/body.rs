//! The body of an answer: a part of a file, read as fast as it is taken, off the threads that serve connections.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::shelf::{Opened, Shelf};

/// Read at once, and held for each answer while it is taken.
const CHUNK_BYTES: usize = 128 << 10;

/// A part of something published.
pub(super) struct PublishedBody {
    opened: Arc<Opened>,
    left: Range<u64>,
    shelf: Arc<Shelf>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl PublishedBody {
    pub(super) fn new(opened: Opened, part: Range<u64>, shelf: Arc<Shelf>) -> PublishedBody {
        shelf.began();
        PublishedBody { opened: Arc::new(opened), left: part, shelf, reading: None }
    }

    fn remaining(&self) -> u64 {
        self.left.end - self.left.start
    }
}

impl Body for PublishedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = &mut *self;
        if body.remaining() == 0 {
            return Poll::Ready(None);
        }
        let reading = body.reading.get_or_insert_with(|| {
            let (opened, shelf, at) = (body.opened.clone(), body.shelf.clone(), body.left.start);
            let count = CHUNK_BYTES.min(usize::try_from(body.left.end - at).unwrap_or(CHUNK_BYTES));
            tokio::task::spawn_blocking(move || opened.read(at, count, &shelf))
        });
        let read = ready!(Pin::new(reading).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)));
        body.reading = None;
        match read {
            Ok(bytes) => {
                body.left.start += bytes.len() as u64;
                body.shelf.gave(bytes.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // The connection is cut, by which who fetches sees that it was not all.
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}
