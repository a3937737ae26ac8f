//! What operators ask of a gateway: its node's records as a snapshot, and records of one put back.
//!
//! Snapshots and records are bytes here: their form is that of the network's documents (docs/snapshot.md, docs/storage.md), and
//! whoever reads or makes them knows it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::client::Client;
use crate::failure::ClientError;
use crate::gateways::{Ask, BYTES, Stream};

/// A gateway that sends nothing of a snapshot for this long sends nothing any more: it gives up on its node earlier.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// A snapshot as it comes; see [`Client::snapshot`].
pub struct SnapshotBytes {
    stream: Stream,
}

impl SnapshotBytes {
    /// The next bytes; nothing at the end. Whether that is the snapshot's own end its last bytes say.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the connection ends early, [`ClientError::Timeout`] when nothing comes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let tried = |why: &str| [("the gateway".to_owned(), why.to_owned())].into();
        loop {
            match timeout(SILENCE_MAX, self.stream.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    // Trailers say nothing here.
                    Err(_) => continue,
                },
                Ok(Some(Err(_))) => {
                    let tried = tried("the snapshot was cut off");
                    return Err(ClientError::Unreachable { tried, hung_up: true });
                }
                Err(_) => return Err(ClientError::Timeout { tried: tried("nothing more came") }),
            }
        }
    }
}

/// What became of a record that was put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It, or a copy that lives longer, is durable.
    Stands,
    /// It was removed, and stays so.
    Hidden,
    /// Its series has gone on.
    Superseded,
    /// Its life is over.
    Expired,
    /// It is not taken here.
    Refused,
    /// Not now; asking again may help.
    Later,
    /// What this library does not know.
    #[serde(other)]
    Unknown,
}

/// Why a record is not there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestoreError {
    /// The gateway's word for it, as of a refused put.
    pub code: String,
    /// For people.
    pub message: String,
}

/// How putting back one record ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Restored {
    /// What became of it.
    pub fate: Fate,
    /// Where its series is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Why it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RestoreError>,
    /// Of one that waits for room: when it makes sense to ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
struct RestoredPage {
    results: Vec<Restored>,
}

impl Client {
    /// The records of the node behind the gateway as a snapshot.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal with code `busy` while another snapshot of it is being taken.
    pub async fn snapshot(&self) -> Result<SnapshotBytes, ClientError> {
        let stream = self.open(&Ask::get("/v1/admin/snapshot".into())).await?;
        Ok(SnapshotBytes { stream })
    }

    /// Puts records of a snapshot back as they were: `count` records in their own form, one behind the other, at most 256. `network` is
    /// the one that the snapshot names; with `other_network` the gateway's may be another. Repeating it is harmless.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal with code `other_network` when it is another one.
    pub async fn restore(
        &self,
        records: Bytes,
        count: usize,
        network: u64,
        other_network: bool,
    ) -> Result<Vec<Restored>, ClientError> {
        let path = format!("/v1/admin/restore?network={network:016x}&other_network={other_network}");
        let page: RestoredPage = self.ask(Ask::change(Method::POST, path, BYTES, records)?).await?;
        if page.results.len() == count {
            return Ok(page.results);
        }
        let answered = page.results.len();
        Err(ClientError::Protocol(format!("{count} records were sent, {answered} answered for")))
    }
}
