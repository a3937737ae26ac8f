//! Reading a request's body: bounded in length and in time.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use crate::settings::Limits;

/// A body that is too long by no more than this is read to its end and dropped, so that a client which sends first and
/// reads afterwards sees why it was refused.
const EXCESS_BYTES_MAX: u64 = 1 << 20;

/// Why a body was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyError {
    /// Longer than `max` bytes.
    TooLarge { max: u64 },
    /// Below the least rate.
    TooSlow,
    /// It ended early, or its chunks are malformed.
    Cut,
}

/// Reads a body of at most `max` bytes.
pub(crate) async fn read<B>(mut body: B, max: u64, limits: &Limits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let began = Instant::now();
    let declared = body.size_hint().exact();
    if declared.is_some_and(|length| length > max.saturating_add(EXCESS_BYTES_MAX)) {
        return Err(BodyError::TooLarge { max });
    }
    let mut whole = BytesMut::new();
    let mut received: u64 = 0;
    loop {
        let deadline = began + limits.body_grace + limits.pace(received);
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(Some(Err(_))) => return Err(BodyError::Cut),
            Ok(Some(Ok(frame))) => frame,
            Ok(None) if received > max => return Err(BodyError::TooLarge { max }),
            Ok(None) => return Ok(whole.freeze()),
        };
        let Ok(data) = frame.into_data() else { continue };
        received += data.len() as u64;
        if received > max.saturating_add(EXCESS_BYTES_MAX) {
            return Err(BodyError::TooLarge { max });
        }
        if received <= max {
            whole.extend_from_slice(&data);
        } else {
            whole.clear();
        }
    }
}
