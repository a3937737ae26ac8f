//! Sending one request to whichever gateway serves: fail-over, time-outs, bounds.
//!
//! ```text
//!   for round in 0 .. ROUNDS_MAX                     within one deadline
//!     for gateway, the one that worked last first, or one that is clearly nearer (distance.rs)
//!        it said when to come back, and it is not time yet ─▶ the next
//!        answer ──────────────────────────────▶ done, and it goes first next time
//!        503 / 504 / 429, no answer, cut ─────▶ the next
//!     everybody refused the connection ───────▶ unreachable, at once
//!     pause, twice as long after each round, and at least as long as was said (`Retry-After`) by all who are there
//!     the pause would go beyond the deadline ─▶ the refusal, at once, which tells when to come back
//! ```
//!
//! Every request here may be repeated without harm: reads change nothing, puts and removes of the same are the same record,
//! and what changes something carries a name (`Idempotency-Key`) by which a gateway knows a repetition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer::ErrorBody;
use crate::client::ClientSettings;
use crate::distance::Distances;
use crate::failure::{ClientError, Tried};
use crate::hex::Hex;

/// Times that the whole list of gateways is tried.
const ROUNDS_MAX: u32 = 4;
/// Pause after the first round; doubles with each.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Gateways that one client keeps.
const GATEWAYS_MAX: usize = 64;
/// Idle connections are dropped before the gateway drops them (after 60 s).
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Greatest part of a strange answer that an error quotes.
const QUOTE_CHARS_MAX: usize = 120;

/// One request, ready to be sent to any gateway.
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query, beginning with `/`.
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    /// Beside those that every request has.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: String) -> Ask {
        Ask { method: Method::GET, path, content_type: BYTES, headers: Vec::new(), body: Bytes::new() }
    }

    /// A request that changes something: named, so that a gateway to which it comes twice does it once.
    pub(crate) fn change(
        method: Method,
        path: String,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Ask, ClientError> {
        let id = Hex::random()?.to_string();
        let ask = Ask { method, path, content_type, headers: Vec::new(), body };
        ask.with(HeaderName::from_static("idempotency-key"), &id[..REQUEST_ID_DIGITS])
    }

    /// The same with a header, which is not shown where requests are shown.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Result<Ask, ClientError> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| ClientError::Usage(format!("this cannot be the header {name}")))?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }
}

/// The type of a body that may be anything.
pub(crate) const BYTES: &str = "application/octet-stream";
/// Digits of a request's name: 128 random bits.
const REQUEST_ID_DIGITS: usize = 32;

/// The body of an answer that has no end.
pub(crate) type Stream = Incoming;

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Seconds that it says to wait.
    retry_after_secs: Option<u64>,
    pub(crate) body: Bytes,
}

/// What one attempt met.
enum Attempt {
    /// An answer that stands.
    Answer(Answer),
    /// Another gateway may do better: its refusal, if it answered at all.
    Next { why: String, how: Miss },
    /// No gateway will do better.
    Fail(ClientError),
}

/// How an attempt missed.
enum Miss {
    NotConnected,
    Silent,
    Cut,
    Refused(ClientError),
}

/// The gateways, their connections, and which of them is asked first.
pub(crate) struct Gateways {
    list: Vec<Uri>,
    distances: Arc<Distances>,
    http: HttpClient<HttpConnector, Full<Bytes>>,
    settings: ClientSettings,
}

impl Gateways {
    pub(crate) fn new(gateways: &[String], settings: ClientSettings) -> Result<Gateways, ClientError> {
        if gateways.is_empty() || gateways.len() > GATEWAYS_MAX {
            let count = gateways.len();
            return Err(ClientError::Usage(format!("1 to {GATEWAYS_MAX} gateways are needed, not {count}")));
        }
        let list = gateways.iter().map(|text| base_uri(text)).collect::<Result<Vec<Uri>, _>>()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(settings.connect_timeout));
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        let distances = Distances::new(&list);
        Ok(Gateways { list, distances, http, settings })
    }

    /// Sends `ask` until a gateway's answer stands.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + self.settings.deadline;
        let mut tried = Tried::new();
        let mut refusal = None;
        let (mut silent, mut hung_up) = (false, false);
        let mut turns = vec![Turn::Next; self.list.len()];
        for round in 0..ROUNDS_MAX {
            let first = self.distances.first(self.settings.connect_timeout);
            for step in 0..self.list.len() {
                let at = (first + step) % self.list.len();
                if turns[at].is_later() {
                    continue;
                }
                match self.attempt(at, ask, deadline).await {
                    Attempt::Answer(answer) => {
                        self.distances.worked(at);
                        return Ok(answer);
                    }
                    Attempt::Fail(error) => return Err(error),
                    Attempt::Next { why, how } => {
                        self.distances.missed(at);
                        turns[at] = Turn::after(&how);
                        silent |= matches!(how, Miss::Silent);
                        hung_up |= matches!(how, Miss::Cut);
                        if let Miss::Refused(error) = how {
                            refusal = Some(error);
                        }
                        note(&mut tried, self.name(at), why);
                    }
                }
                if Instant::now() >= deadline {
                    return Err(summary(tried, refusal, true, hung_up));
                }
            }
            let pause = ROUND_PAUSE * 2u32.pow(round);
            // Who is not there is asked again if another is worth a further round, and is no reason for one.
            let pause = turns.iter().filter_map(|turn| turn.pause(pause)).min();
            let left = deadline.saturating_duration_since(Instant::now());
            match pause {
                Some(pause) if round + 1 < ROUNDS_MAX && pause < left => sleep(pause).await,
                _ => break,
            }
        }
        Err(summary(tried, refusal, silent, hung_up))
    }

    /// Sends `ask` until a gateway answers without an end, and gives what comes of it.
    pub(crate) async fn open(&self, ask: &Ask) -> Result<Stream, ClientError> {
        let (mut tried, mut refused) = (Tried::new(), None);
        let (mut silent, mut hung_up) = (false, false);
        let first = self.distances.first(self.settings.connect_timeout);
        for step in 0..self.list.len() {
            let at = (first + step) % self.list.len();
            let until = Instant::now() + self.settings.request_timeout;
            let response = timeout_at(until, self.http.request(self.request(at, ask)?)).await;
            let why = match response {
                Ok(Ok(response)) if response.status() == StatusCode::OK => {
                    self.distances.worked(at);
                    return Ok(response.into_body());
                }
                Ok(Ok(response)) => match timeout_at(until, self.read(response)).await {
                    Ok(Attempt::Answer(answer)) => match refusal(&answer) {
                        // A proxy's, while the gateway behind it is away.
                        ClientError::Protocol(why) if answer.status.is_server_error() => why,
                        error => return Err(error),
                    },
                    Ok(Attempt::Fail(error)) => return Err(error),
                    Ok(Attempt::Next { why, how }) => {
                        if let Miss::Refused(error) = how {
                            refused = Some(error);
                        }
                        why
                    }
                    Err(_) => "no answer in time".to_owned(),
                },
                Ok(Err(error)) => {
                    hung_up |= !error.is_connect();
                    cause(&error)
                }
                Err(_) => {
                    silent = true;
                    "no answer in time".to_owned()
                }
            };
            self.distances.missed(at);
            note(&mut tried, self.name(at), why);
        }
        Err(summary(tried, refused, silent, hung_up))
    }

    pub(crate) fn answer_bytes_max(&self) -> usize {
        self.settings.answer_bytes_max
    }

    fn name(&self, at: usize) -> String {
        self.list[at].to_string().trim_end_matches('/').to_owned()
    }

    fn request(&self, at: usize, ask: &Ask) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = request(&self.list[at], ask)?;
        if let Some(token) = &self.settings.token {
            request.headers_mut().insert(http::header::AUTHORIZATION, token.header());
        }
        Ok(request)
    }

    async fn attempt(&self, at: usize, ask: &Ask, deadline: Instant) -> Attempt {
        let request = match self.request(at, ask) {
            Ok(request) => request,
            Err(error) => return Attempt::Fail(error),
        };
        let until = deadline.min(Instant::now() + self.settings.request_timeout);
        match timeout_at(until, self.exchange(request)).await {
            Err(_) => Attempt::Next { why: "no answer in time".into(), how: Miss::Silent },
            Ok(attempt) => attempt,
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Attempt {
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let how = if error.is_connect() { Miss::NotConnected } else { Miss::Cut };
                return Attempt::Next { why: cause(&error), how };
            }
        };
        self.read(response).await
    }

    /// Reads a whole answer.
    async fn read(&self, response: Response<Stream>) -> Attempt {
        let status = response.status();
        let retry_after_secs = retry_after(response.headers());
        match Limited::new(response.into_body(), self.settings.answer_bytes_max).collect().await {
            Ok(body) => judge(Answer { status, retry_after_secs, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => {
                let max = self.settings.answer_bytes_max;
                Attempt::Fail(ClientError::Protocol(format!("the answer is longer than {max} bytes")))
            }
            Err(error) => Attempt::Next { why: cause(error.as_ref()), how: Miss::Cut },
        }
    }
}

/// Whether an answer stands, or another gateway should be asked.
fn judge(answer: Answer) -> Attempt {
    use StatusCode as S;
    match answer.status {
        S::SERVICE_UNAVAILABLE | S::GATEWAY_TIMEOUT | S::TOO_MANY_REQUESTS | S::BAD_GATEWAY => {
            match refusal(&answer) {
                error @ ClientError::Refused { .. } => {
                    Attempt::Next { why: error.to_string(), how: Miss::Refused(error) }
                }
                // Not in the gateway's form, such as the answer of `/readyz`: the caller judges.
                _ => Attempt::Answer(answer),
            }
        }
        _ => Attempt::Answer(answer),
    }
}

/// When a gateway is asked next.
#[derive(Clone, Copy)]
enum Turn {
    /// In the next round.
    Next,
    /// In the next round, if there is one: it was not there.
    Absent,
    /// It said so.
    At(Instant),
    /// It said so, and nobody here will live to see it.
    Never,
}

impl Turn {
    fn after(miss: &Miss) -> Turn {
        match miss {
            Miss::NotConnected => Turn::Absent,
            Miss::Refused(error) => error.retry_after().map_or(Turn::Next, |wait| {
                // From strangers: it may be any number.
                Instant::now().checked_add(wait).map_or(Turn::Never, Turn::At)
            }),
            Miss::Silent | Miss::Cut => Turn::Next,
        }
    }

    fn is_later(self) -> bool {
        match self {
            Turn::Next | Turn::Absent => false,
            Turn::At(when) => Instant::now() < when,
            Turn::Never => true,
        }
    }

    /// How long a round waits for this gateway; nothing if it is worth none.
    fn pause(self, usual: Duration) -> Option<Duration> {
        match self {
            Turn::Next => Some(usual),
            Turn::At(when) => Some(usual.max(when.saturating_duration_since(Instant::now()))),
            Turn::Absent | Turn::Never => None,
        }
    }
}

/// Seconds of `Retry-After`. A date, which RFC 9110 allows as well and no gateway sends, counts as nothing said.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// The error that an answer with a status of refusal stands for.
pub(crate) fn refusal(answer: &Answer) -> ClientError {
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(body) => ClientError::Refused {
            status: answer.status.as_u16(),
            code: body.error.code,
            message: body.error.message,
            hint: body.error.hint,
            seq: body.error.seq,
            expires_ms: body.error.expires_ms,
            retry_after_secs: answer.retry_after_secs,
        },
        Err(_) => ClientError::Protocol(format!("status {}: {}", answer.status, quote(&answer.body))),
    }
}

/// The printable beginning of a strange answer.
fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut quoted: String = text.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS_MAX).collect();
    if quoted.is_empty() {
        quoted.push_str("(nothing)");
    }
    quoted
}

/// Remembers the latest outcome of each gateway once.
fn note(tried: &mut Tried, gateway: String, why: String) {
    match tried.iter_mut().find(|(known, _)| *known == gateway) {
        Some(entry) => entry.1 = why,
        None => tried.push((gateway, why)),
    }
}

/// The most telling of what was met: a gateway's own words, then silence, then absence.
fn summary(tried: Tried, refusal: Option<ClientError>, silent: bool, hung_up: bool) -> ClientError {
    match refusal {
        Some(error) => error,
        None if silent => ClientError::Timeout { tried },
        None => ClientError::Unreachable { tried, hung_up },
    }
}

/// The innermost cause, which is the one that people understand ("connection refused").
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn request(base: &Uri, ask: &Ask) -> Result<Request<Full<Bytes>>, ClientError> {
    let wrong = |e: http::Error| ClientError::Usage(format!("this cannot be asked of {base}: {e}"));
    let path = ask.path.parse().map_err(|e: http::uri::InvalidUri| wrong(e.into()))?;
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path);
    let uri = Uri::from_parts(parts).map_err(|e| wrong(e.into()))?;
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(uri)
        .header(http::header::USER_AGENT, concat!("keyway-client/", env!("CARGO_PKG_VERSION")))
        .header(http::header::CONTENT_TYPE, ask.content_type);
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    if matches!(ask.method, Method::PUT | Method::POST) {
        // Said for an empty value as well, which hyper would send without a length.
        request = request.header(http::header::CONTENT_LENGTH, ask.body.len());
    }
    request.body(Full::new(ask.body.clone())).map_err(wrong)
}

/// `http://host:port` or `host:port`, without a path.
fn base_uri(text: &str) -> Result<Uri, ClientError> {
    let wrong = |why: &str| {
        ClientError::Usage(format!("gateway {text:?}: {why}; it should look like http://127.0.0.1:5851"))
    };
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = full.parse().map_err(|e: http::uri::InvalidUri| wrong(&e.to_string()))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(wrong("TLS is not spoken here, put a proxy in front")),
        _ => return Err(wrong("its scheme is not http")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path"));
    }
    // What cannot be read as a port is no port to this parser, and would be 80.
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if place.len() > uri.host().map_or(0, str::len) && uri.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong("its port is not a number from 1 to 65535"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_has_a_host_and_a_port_that_is_one() {
        for good in [
            "127.0.0.1:5851",
            "http://host",
            "http://host:1/",
            "[::1]:65535",
            "http://[::1]",
            "http://me@host:80",
        ] {
            assert!(base_uri(good).is_ok(), "{good}");
        }
        for bad in [
            "http://127.0.0.1:99999",
            "http://host:0",
            "http://host:",
            "host:",
            "[::1]:",
            "5:65536",
            "me@host:0",
        ] {
            let error = base_uri(bad).expect_err(bad);
            assert!(
                matches!(&error, ClientError::Usage(text) if text.contains("from 1 to 65535")),
                "{bad}: {error}"
            );
        }
        assert!(base_uri("http://host:x").is_err());
    }
}
