//! The client: what an application outside the network can ask.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::access::AccessToken;
use crate::answer::{
    GetOptions, Held, Kind, Network, Node, Page, Peers, PutOptions, PutReceipt, Readiness, Reads,
    RemoveReceipt, Traced, Usage, Value, Whereabouts,
};
use crate::bulk::{self, BulkAnswer, BulkPut};
use crate::failure::ClientError;
use crate::gateways::{Answer, Ask, BYTES, Gateways, Stream, refusal};
use crate::key::Key;
use crate::signing::{Claim, Proof, Secret, SignedKind, Signer};
use crate::watch::Watch;

/// Where a gateway is looked for when nobody says otherwise.
pub const GATEWAY_DEFAULT: &str = "http://127.0.0.1:5851";

/// Bounds on time and size, and what opens doors.
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
    /// Shown to every gateway that is asked.
    pub token: Option<AccessToken>,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(12),
            deadline: Duration::from_secs(30),
            answer_bytes_max: 16 << 20,
            token: None,
        }
    }
}

/// A client of one or more gateways, which fail over for each other. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    gateways: Arc<Gateways>,
    network: Arc<OnceCell<u64>>,
}

impl Client {
    /// A client of these gateways (`http://host:port`, or `host:port`), asked in this order until one answers; the one
    /// that answered is asked first from then on, until another turns out to be less than half as far away. Connects to nobody
    /// yet.
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
        let gateways = Arc::new(Gateways::new(gateways, settings)?);
        Ok(Client { gateways, network: Arc::default() })
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
        self.put_with(key, value, &PutOptions { ttl, secret_hash: None }).await
    }

    /// The same, for those to remove who know a secret.
    ///
    /// # Errors
    /// As [`Client::put`]; a refusal with code `hidden` when this value under this secret was removed.
    pub async fn put_with(
        &self,
        key: &Key,
        value: Bytes,
        options: &PutOptions,
    ) -> Result<PutReceipt, ClientError> {
        let path = format!("/v1/ids/{key}{}", ttl_query(options.ttl));
        let hash = Key::hash(&value);
        let mut ask = Ask::change(Method::PUT, path, BYTES, value)?;
        if let Some(secret_hash) = options.secret_hash {
            ask = ask.with(SECRET_HASH, &secret_hash.to_string())?;
        }
        stored(self.ask(ask).await?, key, &hash)
    }

    /// Stores `value` under its own hash ([`Key::content`]), by which whoever reads it can know it. It cannot be removed; others may put other values beside it.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn put_immutable(
        &self,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<PutReceipt, ClientError> {
        let key = Key::content(&value);
        let path = format!("/v1/immutable{}", ttl_query(ttl));
        stored(self.ask(Ask::change(Method::POST, path, BYTES, value)?).await?, &key, &key)
    }

    /// Stores many values in as few requests as fit, each for itself: the results are in the order of `puts`. A put that is refused
    /// does not keep others from being stored.
    ///
    /// # Errors
    /// As [`Client::put`], when a request as a whole failed; what was asked before it is stored.
    pub async fn put_many(
        &self,
        puts: &[BulkPut],
    ) -> Result<Vec<Result<PutReceipt, ClientError>>, ClientError> {
        let mut results = Vec::with_capacity(puts.len());
        for (puts, body) in bulk::puts(puts)? {
            let answer: BulkAnswer<PutReceipt> = self.ask(bulk::ask("/v1/bulk/put", body)).await?;
            let answers = answer.into_results(puts.len())?;
            results.extend(puts.iter().zip(answers).map(|(put, receipt)| {
                let receipt = receipt?;
                let (key, hash) = put.names();
                if receipt.key == key && receipt.value_hash == hash {
                    return Ok(receipt);
                }
                Err(ClientError::Invalid("the receipt is of another value".into()))
            }));
        }
        Ok(results)
    }

    /// Reads many keys, one page of each, in as few requests as fit; the pages are in the order of `keys`.
    ///
    /// # Errors
    /// As [`Client::get`], when a request as a whole failed, or gave data that is not what it is called.
    pub async fn get_many(
        &self,
        keys: &[Key],
        reads: Reads,
    ) -> Result<Vec<Result<Page, ClientError>>, ClientError> {
        let mut results = Vec::with_capacity(keys.len());
        while results.len() < keys.len() {
            let keys = &keys[results.len()..];
            let keys = &keys[..keys.len().min(bulk::ENTRIES_MAX)];
            let body = bulk::gets(keys, reads)?;
            let answer: BulkAnswer<Page> = self.ask(bulk::ask("/v1/bulk/get", body)).await?;
            let before = results.len();
            for (key, page) in keys.iter().zip(answer.into_results(keys.len())?) {
                match page {
                    // The answer has no room for more: the rest is asked for again.
                    Err(ClientError::Refused { code, .. }) if code == "answer_full" => break,
                    Err(refused) => results.push(Err(refused)),
                    Ok(page) => {
                        self.check(key, &page).await?;
                        results.push(Ok(page));
                    }
                }
            }
            if results.len() == before {
                return Err(ClientError::Protocol("the gateway answered none of the gets".into()));
            }
        }
        Ok(results)
    }

    /// Signs a value or the next of a series, and stores it. With `cas` only if the series is at that number (0: there is
    /// none yet).
    ///
    /// # Errors
    /// As [`Client::put`]; refusals with the codes `conflict` (the number at which the series is stands in the error),
    /// `outlived`, `expired`, `hidden`.
    pub async fn put_signed(
        &self,
        claim: &Claim,
        signer: &Signer,
        cas: Option<u64>,
    ) -> Result<PutReceipt, ClientError> {
        if !matches!(claim.kind, SignedKind::Signed | SignedKind::Sequenced) {
            return Err(ClientError::Usage("a removal is not put".into()));
        }
        stored(self.ask(self.signed(claim, signer, cas).await?).await?, &claim.key, &claim.name())
    }

    /// Signs a removal, and stores it: of a signed value, or of a series.
    ///
    /// # Errors
    /// As [`Client::put_signed`]; a refusal with code `nothing_removed` when there was nothing to remove.
    pub async fn remove_signed(
        &self,
        claim: &Claim,
        signer: &Signer,
        cas: Option<u64>,
    ) -> Result<RemoveReceipt, ClientError> {
        if !matches!(claim.kind, SignedKind::SignedRemove | SignedKind::SequencedRemove) {
            return Err(ClientError::Usage("a value is not a removal".into()));
        }
        self.ask(self.signed(claim, signer, cas).await?).await
    }

    /// Removes the plain value with this SHA-1 that was put under this secret: hides it until it ends. The secret is revealed
    /// by it: a later put needs another one.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal with code `nothing_removed` when there is no such value, or none under this secret.
    pub async fn remove(
        &self,
        key: &Key,
        value_hash: &Key,
        secret: &Secret,
    ) -> Result<RemoveReceipt, ClientError> {
        let path = format!("/v1/ids/{key}?value_hash={value_hash}");
        let secret = Zeroizing::new(STANDARD.encode(secret.bytes()));
        self.ask(Ask::change(Method::DELETE, path, BYTES, Bytes::new())?.with(SECRET, &secret)?).await
    }

    /// Puts a value of this key again as it was, for `ttl` from now if that is longer than what is left: with the same secret,
    /// which need not be known, or the same signer, whose key must be given.
    ///
    /// # Errors
    /// As [`Client::put_with`] and [`Client::put_signed`]; [`ClientError::Usage`] without the right signer.
    pub async fn renew(
        &self,
        key: &Key,
        value: &Value,
        ttl: Option<Duration>,
        signer: Option<&Signer>,
    ) -> Result<PutReceipt, ClientError> {
        let bytes = value.bytes.clone();
        match value.kind {
            Kind::Put => self.put_with(key, bytes, &PutOptions { ttl, secret_hash: value.secret_hash }).await,
            Kind::Immutable => self.put_immutable(bytes, ttl).await,
            Kind::Signed | Kind::Sequenced => {
                let signer = signer.filter(|signer| Some(signer.authenticator()) == value.signer);
                let signer = signer.ok_or_else(|| {
                    ClientError::Usage("what was signed is renewed with its signer's key".into())
                })?;
                let claim = value.claim(key, expires_in(ttl.unwrap_or(TTL_DEFAULT)));
                let claim = claim.ok_or_else(|| ClientError::Invalid("it has no signature".into()))?;
                self.put_signed(&claim, signer, None).await
            }
            Kind::Unknown => Err(ClientError::Usage("this library does not know such values".into())),
        }
    }

    async fn signed(&self, claim: &Claim, signer: &Signer, cas: Option<u64>) -> Result<Ask, ClientError> {
        let proof = signer.sign(self.network_id().await?, claim);
        let body = SignedBody {
            kind: claim.kind,
            value_base64: matches!(claim.kind, SignedKind::Signed | SignedKind::Sequenced)
                .then(|| STANDARD.encode(&claim.content)),
            value_sha256: (claim.kind == SignedKind::SignedRemove)
                .then(|| claim.content.iter().map(|byte| format!("{byte:02x}")).collect()),
            proof: &proof,
            seq: (claim.seq > 0).then_some(claim.seq),
            cas,
        };
        let body = serde_json::to_vec(&body).map_err(|why| ClientError::Usage(why.to_string()))?;
        let path = format!("/v1/ids/{}/signed", claim.key);
        Ask::change(Method::POST, path, "application/json", body.into())
    }

    /// The id of the network behind the gateways, for which signatures are made. Asked for once.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal with code `not_joined` while the gateway's node has not found its network.
    pub async fn network_id(&self) -> Result<u64, ClientError> {
        let asked = self.network.get_or_try_init(|| async {
            let network = self.node().await?.network;
            let network = network.ok_or_else(|| ClientError::Refused {
                status: 503,
                code: "not_joined".into(),
                message: "the gateway's node has not found its network".into(),
                hint: None,
                seq: None,
                expires_ms: None,
                retry_after_secs: None,
            })?;
            u64::from_str_radix(&network, 16).map_err(|e| ClientError::Protocol(e.to_string()))
        });
        asked.await.copied()
    }

    /// One page of the values under `key`, in put-time order. None there is an empty page, not an error.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Invalid`] when a value is not the one that its hash names, or was not signed by
    /// whom it names for this network.
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
        self.check(key, &page).await?;
        Ok(page)
    }

    /// Whether a page is what it says that it is.
    async fn check(&self, key: &Key, page: &Page) -> Result<(), ClientError> {
        if page.key != *key {
            return Err(ClientError::Invalid(format!("the gateway answered for the key {}", page.key)));
        }
        let signed = page.values.iter().any(|value| value.proof.is_some());
        let network = if signed { Some(self.network_id().await?) } else { None };
        page.values.iter().try_for_each(|value| value.check(key, network))
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

    /// Watches `key`: what is there, then what changes. Connects when the first event is asked for.
    #[must_use]
    pub fn watch(&self, key: &Key) -> Watch {
        Watch::new(self.clone(), *key)
    }

    pub(crate) async fn open(&self, ask: &Ask) -> Result<Stream, ClientError> {
        self.gateways.open(ask).await
    }

    pub(crate) fn answer_bytes_max(&self) -> usize {
        self.gateways.answer_bytes_max()
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

    /// How full the disk of the node behind the gateway is, and who uses it; at most `max` clients.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn clients(&self, max: u32) -> Result<Usage, ClientError> {
        self.ask(Ask::get(format!("/v1/clients?max={max}"))).await
    }

    /// What the node behind the gateway itself holds, at most `max` records strictly after a place ([`Held::next`]).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn held(&self, after: Option<&str>, max: u32) -> Result<Held, ClientError> {
        let after = after.map(|after| format!("&after={}", opaque(after))).unwrap_or_default();
        self.ask(Ask::get(format!("/v1/node/records?max={max}{after}"))).await
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

    pub(crate) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ClientError> {
        parse(&self.gateways.send(&ask).await?)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The life of what is signed when nobody says: a day.
const TTL_DEFAULT: Duration = Duration::from_secs(24 * 3600);
const SECRET: HeaderName = HeaderName::from_static("keyway-secret");
const SECRET_HASH: HeaderName = HeaderName::from_static("keyway-secret-hash");

/// What is signed, as a gateway takes it.
#[derive(Serialize)]
struct SignedBody<'a> {
    kind: SignedKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_sha256: Option<String>,
    #[serde(flatten)]
    proof: &'a Proof,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cas: Option<u64>,
}

/// The instant that is `life` from now, in whole seconds since 1970, rounded up.
#[must_use]
pub fn expires_in(life: Duration) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    whole_secs(since.saturating_add(life))
}

fn whole_secs(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

fn ttl_query(ttl: Option<Duration>) -> String {
    ttl.map(|ttl| format!("?ttl={}", whole_secs(ttl))).unwrap_or_default()
}

/// The receipt, if it is for what was put.
fn stored(receipt: PutReceipt, key: &Key, name: &Key) -> Result<PutReceipt, ClientError> {
    if receipt.key == *key && receipt.value_hash == *name {
        return Ok(receipt);
    }
    let (value, key) = (receipt.value_hash, receipt.key);
    Err(ClientError::Invalid(format!("the gateway stored {value} under {key}")))
}

/// A cursor as it stands in a query.
fn opaque(cursor: &str) -> String {
    let escaped = cursor.bytes().map(|b| match b {
        b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    });
    escaped.collect()
}

fn get_path(key: &Key, options: &GetOptions) -> String {
    let mut query = Vec::new();
    if let Some(max) = options.max {
        query.push(format!("max={max}"));
    }
    if let Some(after) = &options.after {
        query.push(format!("after={}", opaque(after)));
    }
    if let Some(signer) = &options.signer {
        query.push(format!("signer={signer}"));
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
