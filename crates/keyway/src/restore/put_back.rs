//! A batch of records on its way: asked for again and again until each of them is there, refused for good, or given up.

use std::time::Duration;

use bytes::Bytes;
use keyway_client::{Client, ClientError, Fate, Restored};
use keyway_core::store::Record;
use keyway_core::wire::{self, Wire as _};
use tokio::time::sleep;

/// Records of a batch: a gateway puts as many back at once.
pub(super) const BATCH_RECORDS_MAX: usize = 64;
/// Times that a record is asked for, each with the client's own fail-over inside.
const TRIES_MAX: u32 = 8;
/// Pause after the first try; doubles with each, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
/// Greatest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where records go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// The network that the snapshot names.
    pub(super) network: u64,
    /// The gateway's is another one.
    pub(super) other_network: bool,
}

/// Records in their own form.
#[derive(Default)]
pub(super) struct Batch {
    /// Each with its name for people.
    records: Vec<(String, Bytes)>,
    bytes: usize,
}

/// How a batch ended.
#[derive(Default)]
pub(super) struct Outcome {
    /// Records that it had.
    pub(super) count: usize,
    pub(super) stands: u64,
    pub(super) hidden: u64,
    pub(super) superseded: u64,
    pub(super) expired: u64,
    /// What will not be taken, and why.
    pub(super) refused: Vec<(String, String)>,
    /// What was not acknowledged, and what was said last.
    pub(super) unanswered: Vec<(String, String)>,
    /// Why nothing more need be sent.
    pub(super) fatal: Option<ClientError>,
}

impl Batch {
    pub(super) fn add(&mut self, record: &Record) {
        let mut bytes = Vec::with_capacity(record.value.len() + 128);
        record.encode(&mut wire::Writer::new(&mut bytes));
        self.bytes += bytes.len();
        let identity = record.head.identity;
        self.records.push((format!("{}/{:.8}", identity.key, identity.value_hash.to_string()), bytes.into()));
    }

    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts its records back.
    pub(super) async fn put_back(self, client: Client, target: Target) -> Outcome {
        let mut outcome = Outcome { count: self.records.len(), ..Outcome::default() };
        let mut left = self.records;
        let mut pause = PAUSE;
        for attempt in 1..=TRIES_MAX {
            let body: Vec<u8> = left.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
            let asked = client.restore(body.into(), left.len(), target.network, target.other_network).await;
            let (again, mut wait) = match asked {
                Ok(results) => outcome.sort(left, results),
                Err(error) if is_fatal(&error, attempt) => {
                    outcome.fatal = Some(error);
                    return outcome;
                }
                Err(error) => {
                    let why = error.to_string();
                    (left.into_iter().map(|record| (record, why.clone())).collect(), Duration::ZERO)
                }
            };
            if again.is_empty() {
                return outcome;
            }
            if attempt == TRIES_MAX {
                outcome.unanswered = again.into_iter().map(|((name, _), why)| (name, why)).collect();
                return outcome;
            }
            left = again.into_iter().map(|(record, _)| record).collect();
            wait = wait.clamp(pause, PAUSE_MAX);
            sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        outcome
    }
}

/// A record with its name, and why it was not put back yet.
type Again = ((String, Bytes), String);

impl Outcome {
    /// Counts what has ended; what has not, and how long it waits.
    fn sort(&mut self, asked: Vec<(String, Bytes)>, results: Vec<Restored>) -> (Vec<Again>, Duration) {
        let (mut again, mut wait) = (Vec::new(), Duration::ZERO);
        for (record, result) in asked.into_iter().zip(results) {
            let why = result.error.map_or_else(String::new, |error| error.message);
            match result.fate {
                Fate::Stands => self.stands += 1,
                Fate::Hidden => self.hidden += 1,
                Fate::Superseded => self.superseded += 1,
                Fate::Expired => self.expired += 1,
                Fate::Refused => self.refused.push((record.0, why)),
                Fate::Later | Fate::Unknown => {
                    wait = wait.max(Duration::from_millis(result.retry_after_ms.unwrap_or(0)));
                    again.push((record, why));
                }
            }
        }
        (again, wait)
    }
}

/// Whether the rest would meet the same: nobody is there, after all tries.
fn is_fatal(error: &ClientError, attempt: u32) -> bool {
    match error {
        ClientError::Refused { code, status, .. } => {
            matches!(code.as_str(), "bad_request" | "other_network" | "no_such_path")
                || matches!(status, 401 | 403)
        }
        ClientError::Unreachable { .. } => attempt == TRIES_MAX,
        ClientError::Usage(_) => true,
        _ => false,
    }
}
