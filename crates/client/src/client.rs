//! The client: what an application outside the network can ask.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::answer::{
    GetOptions, Network, Node, Page, Peers, PutReceipt, Readiness, Reads, Traced, Value, Whereabouts,
};
use crate::failure::ClientError;
use crate::gateways::{Answer, Ask, Gateways, refusal};
use crate::key::Key;

/// Where a gateway is looked for when nobody says otherwise.
pub const GATEWAY_DEFAULT: &str = "http://127.0.0.1:5851";

/// Bounds on time and size.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// To establish a connection.
    pub connect_timeout: Duration,
    /// For one gateway to answer one request. More than a gateway's own time-out of 10 s, so that its answer wins.
    pub request_timeout: Duration,
    /// For a request with all its repetitions.
    pub deadline: Duration,
    /// Greatest answer taken, in bytes.
    pub answer_bytes_max: usize,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(12),
            deadline: Duration::from_secs(30),
            answer_bytes_max: 16 << 20,
        }
    }
}

/// A client of one or more gateways, which fail over for each other. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    gateways: Arc<Gateways>,
}

impl Client {
    /// A client of these gateways (`http://host:port`, or `host:port`), asked in this order until one answers; the one
    /// that answered is asked first from then on. Connects to nobody yet.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when there is none, or when one is not an address.
    pub fn new(gateways: &[String]) -> Result<Client, ClientError> {
        Client::with_settings(gateways, ClientSettings::default())
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_settings(gateways: &[String], settings: ClientSettings) -> Result<Client, ClientError> {
        Ok(Client { gateways: Arc::new(Gateways::new(gateways, settings)?) })
    }

    /// Stores `value` under `key` for `ttl` (whole seconds, rounded up; the gateway's default of a day if `None`).
    ///
    /// # Errors
    /// See [`ClientError`]. After a [`ClientError::Timeout`] or a refusal with code `quorum` the value may be stored;
    /// putting it again is harmless.
    pub async fn put(
        &self,
        key: &Key,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<PutReceipt, ClientError> {
        let path = match ttl {
            Some(ttl) => format!("/v1/ids/{key}?ttl={}", ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)),
            None => format!("/v1/ids/{key}"),
        };
        let hash = Key::hash(&value);
        let receipt: PutReceipt = self.ask(Ask { method: Method::PUT, path, body: value }).await?;
        if receipt.key != *key || receipt.value_hash != hash {
            return Err(ClientError::Invalid(format!(
                "the gateway stored {} under {}",
                receipt.value_hash, receipt.key
            )));
        }
        Ok(receipt)
    }

    /// One page of the values under `key`, in put-time order. None there is an empty page, not an error.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Invalid`] when a value is not the one that its hash names.
    pub async fn get(&self, key: &Key, options: &GetOptions) -> Result<Page, ClientError> {
        let answer = self.gateways.send(&Ask::get(get_path(key, options))).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return match refusal(&answer) {
                ClientError::Refused { code, .. } if code == "not_found" => {
                    Ok(Page { key: *key, values: Vec::new(), next: None, merged: 0 })
                }
                error => Err(error),
            };
        }
        let page: Page = parse(&answer)?;
        if page.key != *key {
            return Err(ClientError::Invalid(format!("the gateway answered for the key {}", page.key)));
        }
        match page.values.iter().find(|value| Key::hash(&value.bytes) != value.value_hash) {
            Some(value) => {
                Err(ClientError::Invalid(format!("a value is not the one with hash {}", value.value_hash)))
            }
            None => Ok(page),
        }
    }

    /// All values under `key`, page by page, up to `values_max`; the flag says whether there may be more.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_all(
        &self,
        key: &Key,
        reads: Reads,
        values_max: usize,
    ) -> Result<(Vec<Value>, bool), ClientError> {
        let mut options = GetOptions { reads, ..GetOptions::default() };
        let mut values = Vec::new();
        loop {
            let page = self.get(key, &options).await?;
            let nothing = page.values.is_empty();
            values.extend(page.values);
            if values.len() >= values_max {
                let more = page.next.is_some() || values.len() > values_max;
                values.truncate(values_max);
                return Ok((values, more));
            }
            // A page without values ends the walk even if it names a next one, so that the loop is bounded.
            match page.next {
                Some(next) if !nothing => options.after = Some(next),
                _ => return Ok((values, false)),
            }
        }
    }

    /// The state of the node behind the gateway.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn node(&self) -> Result<Node, ClientError> {
        self.ask(Ask::get("/v1/node".into())).await
    }

    /// The overlay's tables of the node behind the gateway.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn peers(&self) -> Result<Peers, ClientError> {
        self.ask(Ask::get("/v1/peers".into())).await
    }

    /// Which replicas hold what under `key`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn where_is(&self, key: &Key) -> Result<Whereabouts, ClientError> {
        self.ask(Ask::get(format!("/v1/ids/{key}/where"))).await
    }

    /// The lookup of `key`, question by question.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn trace(&self, key: &Key) -> Result<Traced, ClientError> {
        self.ask(Ask::get(format!("/v1/ids/{key}/trace"))).await
    }

    /// Who is in the network and what each holds, at most `max` nodes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn network(&self, max: u32) -> Result<Network, ClientError> {
        self.ask(Ask::get(format!("/v1/network?max={max}"))).await
    }

    /// Whether the node behind the gateway serves, and if not, why. Not being ready is an answer, not an error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&self) -> Result<Readiness, ClientError> {
        let answer = self.gateways.send(&Ask::get("/readyz?verbose".into())).await?;
        match answer.status {
            StatusCode::SERVICE_UNAVAILABLE => decode(&answer),
            _ => parse(&answer),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ClientError> {
        parse(&self.gateways.send(&ask).await?)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn get_path(key: &Key, options: &GetOptions) -> String {
    let mut query = Vec::new();
    if let Some(max) = options.max {
        query.push(format!("max={max}"));
    }
    if let Some(after) = &options.after {
        let opaque: String = after
            .bytes()
            .map(|b| match b {
                b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
                b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect();
        query.push(format!("after={opaque}"));
    }
    if options.reads == Reads::First {
        query.push("reads=first".to_owned());
    }
    let question_mark = if query.is_empty() { "" } else { "?" };
    format!("/v1/ids/{key}{question_mark}{}", query.join("&"))
}

/// The body of an answer that says yes; the refusal of one that says no.
fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, ClientError> {
    if answer.status.is_success() { decode(answer) } else { Err(refusal(answer)) }
}

fn decode<T: DeserializeOwned>(answer: &Answer) -> Result<T, ClientError> {
    serde_json::from_slice(&answer.body).map_err(|e| ClientError::Protocol(e.to_string()))
}
