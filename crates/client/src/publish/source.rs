//! One address of one publisher: its connection, and what it was asked and gave.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::address::{Address, unasked};
use super::content::Content;
use super::fetch::FetchSettings;
use crate::answer::ErrorBody;
use crate::gateways::cause;
use crate::hex::{Authenticator, Hex};

/// Addresses of one host name that are tried.
const ADDRESSES_OF_NAME_MAX: usize = 4;
/// Longest refusal that is read.
const REFUSAL_BYTES_MAX: usize = 4 << 10;
/// Of it told.
const TOLD_CHARS_MAX: usize = 160;
/// Room for an answer's head, and for what is read at once of its body.
const READ_BYTES_MAX: usize = 128 << 10;

/// How an attempt missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Miss {
    /// It may do better another time.
    Failed(String),
    /// It will not: it does not have it, or may not be asked.
    Hopeless(String),
    /// What it says or gives is not what its pointer names.
    Lied(String),
    /// It is not to blame: no more is taken, from whomever.
    Full,
}

/// A connection that is open.
struct Line {
    sender: SendRequest<Empty<Bytes>>,
    /// Drives it; it ends with the line.
    driver: AbortHandle,
    used: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One address of one publisher.
pub(super) struct Source {
    pub(super) address: Address,
    pub(super) signer: Authenticator,
    pub(super) expires_unix_seconds: u64,
    /// Bytes that it gave.
    pub(super) given: u64,
    /// Attempts in a row that missed.
    pub(super) missed: u32,
    /// Not to be asked any more.
    pub(super) out: bool,
    /// Whether it gave what is not what its pointer names.
    pub(super) lied: bool,
    /// What its latest miss was.
    pub(super) why: Option<String>,
    line: Option<Line>,
}

impl Source {
    pub(super) fn new(address: Address, signer: Authenticator, expires_unix_seconds: u64) -> Source {
        Source {
            address,
            signer,
            expires_unix_seconds,
            given: 0,
            missed: 0,
            out: false,
            lied: false,
            why: None,
            line: None,
        }
    }

    /// Notes how an attempt ended.
    pub(super) fn miss(&mut self, miss: Miss) {
        self.missed += 1;
        self.line = None;
        let (why, out, lied) = match miss {
            Miss::Failed(why) => (why, false, false),
            Miss::Hopeless(why) => (why, true, false),
            Miss::Lied(why) => (why, true, true),
            Miss::Full => ("no more is taken".into(), false, false),
        };
        self.out |= out;
        self.lied |= lied;
        self.why = Some(why);
    }

    /// Asks for all of `content` from the byte `from` on, of which `room` bytes may come.
    pub(super) async fn open(
        &mut self,
        content: &Content,
        from: u64,
        room: u64,
        settings: &FetchSettings,
    ) -> Result<Flow, Miss> {
        let response = self.ask(content, from, settings).await?;
        let status = response.status();
        let mut skip = 0;
        let length = match status {
            StatusCode::PARTIAL_CONTENT => {
                check_range(response.headers(), from, content.bytes)?;
                content.bytes - from
            }
            StatusCode::OK => {
                // It does not know ranges: what is here already is passed over.
                skip = from;
                content.bytes
            }
            _ => return Err(refused(response, settings).await),
        };
        if let Some(said) = response.body().size_hint().exact()
            && said != length
        {
            return Err(Miss::Lied(format!(
                "says that it has {said} bytes where its pointer names {length}"
            )));
        }
        Ok(Flow {
            body: response.into_body(),
            left: length,
            skip,
            waited: Duration::ZERO,
            taken: 0,
            room,
            settings: settings.clone(),
        })
    }

    /// A flow was taken to its end, and its connection may serve again.
    pub(super) fn finished(&mut self, flow: &Flow) {
        self.missed = 0;
        if !flow.body.is_end_stream() {
            self.line = None;
        }
    }

    /// Sends the one request there is. A connection that was kept may have been closed meanwhile: then over a new one.
    async fn ask(
        &mut self,
        content: &Content,
        from: u64,
        settings: &FetchSettings,
    ) -> Result<Response<Incoming>, Miss> {
        loop {
            let mut line = match self.line.take() {
                Some(line) if !line.sender.is_closed() => line,
                _ => self.connect(settings).await?,
            };
            let request = self.request(content, from)?;
            let asked = async {
                line.sender.ready().await?;
                line.sender.send_request(request).await
            };
            match timeout(settings.answer_timeout, asked).await {
                Ok(Ok(response)) => {
                    line.used = true;
                    self.line = Some(line);
                    return Ok(response);
                }
                Ok(Err(_)) if line.used => {}
                Ok(Err(error)) => return Err(Miss::Failed(cause(&error))),
                Err(_) => return Err(Miss::Failed("no answer in time".into())),
            }
        }
    }

    fn request(&self, content: &Content, from: u64) -> Result<Request<Empty<Bytes>>, Miss> {
        let mut request = Request::builder()
            .uri(format!("/sha256/{}", content.sha256))
            .header(header::HOST, self.address.authority())
            .header(header::USER_AGENT, concat!("keyway-client/", env!("CARGO_PKG_VERSION")));
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.body(Empty::new()).map_err(|error| Miss::Hopeless(format!("cannot be asked: {error}")))
    }

    async fn connect(&self, settings: &FetchSettings) -> Result<Line, Miss> {
        let connected = timeout(settings.connect_timeout, self.reach());
        let socket = connected.await.map_err(|_| Miss::Failed("no connection in time".into()))??;
        let _ = socket.set_nodelay(true);
        let shaken = Builder::new().max_buf_size(READ_BYTES_MAX).handshake(TokioIo::new(socket)).await;
        let (sender, connection) = shaken.map_err(|error| Miss::Failed(cause(&error)))?;
        // How the connection ends is seen by who uses it.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Line { sender, driver, used: false })
    }

    async fn reach(&self) -> Result<TcpStream, Miss> {
        let found = lookup_host(self.address.host_and_port()).await;
        let found = found.map_err(|error| Miss::Failed(format!("its name is not known: {error}")))?;
        let (mut asked, mut left_out) = (None, None);
        for addr in found.take(ADDRESSES_OF_NAME_MAX) {
            let addr: SocketAddr = addr;
            if let Some(why) = unasked(addr.ip()) {
                left_out = Some(Miss::Hopeless(format!("not asked: {} is {why}", addr.ip())));
                continue;
            }
            match TcpStream::connect(addr).await {
                Ok(socket) => return Ok(socket),
                Err(error) => asked = Some(Miss::Failed(cause(&error))),
            }
        }
        Err(asked.or(left_out).unwrap_or_else(|| Miss::Failed("its name has no address".into())))
    }
}

/// Whether a part is the one that was asked for, of the whole that is sought.
fn check_range(headers: &HeaderMap, from: u64, bytes: u64) -> Result<(), Miss> {
    let said = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if said == format!("bytes {from}-{}/{bytes}", bytes - 1) {
        return Ok(());
    }
    Err(Miss::Lied(format!("gave another part than was asked for ({})", told(said))))
}

/// What a publisher said instead of giving it.
async fn refused(response: Response<Incoming>, settings: &FetchSettings) -> Miss {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect();
    let body = match timeout(settings.answer_timeout, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => Bytes::new(),
    };
    let why = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => told(&body.error.message),
        Err(_) => format!("answers {status}"),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Miss::Failed(why),
        status if status.is_server_error() => Miss::Failed(why),
        _ => Miss::Hopeless(why),
    }
}

/// A stranger's text, to be shown.
fn told(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TOLD_CHARS_MAX).collect()
}

/// Bytes that come from one source.
pub(super) struct Flow {
    body: Incoming,
    /// Bytes still to come.
    left: u64,
    /// Of those, how many are here already.
    skip: u64,
    /// How long we waited for it. What its reader takes does not count.
    waited: Duration,
    /// Bytes that came, those passed over included.
    pub(super) taken: u64,
    /// Bytes that may come.
    room: u64,
    settings: FetchSettings,
}

impl Flow {
    /// The next bytes; `None` when all have come.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Miss> {
        while self.left > 0 {
            let began = Instant::now();
            let frame = timeout(self.settings.stall_timeout, self.body.frame()).await;
            self.waited += began.elapsed();
            let frame = match frame {
                Err(_) => return Err(Miss::Failed(format!("went silent after {} bytes", self.taken))),
                Ok(None) => return Err(Miss::Failed(format!("ended after {} bytes", self.taken))),
                Ok(Some(Err(error))) => {
                    let why = cause(&error);
                    return Err(Miss::Failed(format!("was cut after {} bytes: {why}", self.taken)));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(mut data) = frame.into_data() else { continue };
            let count = data.len() as u64;
            if count > self.left {
                return Err(Miss::Lied("gave more bytes than its pointer names".into()));
            }
            self.left -= count;
            self.taken += count;
            if self.taken > self.room {
                return Err(Miss::Full);
            }
            let pace = Duration::from_secs(self.taken / self.settings.rate_bytes_min.max(1));
            if self.waited > self.settings.stall_timeout + pace {
                let rate = self.settings.rate_bytes_min;
                return Err(Miss::Failed(format!("gave less than {rate} bytes a second")));
            }
            let known = self.skip.min(count);
            self.skip -= known;
            // At most the length of `data`.
            let data = data.split_off(known as usize);
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// SHA-256 of nothing is known without asking anybody.
pub(super) fn is_nothing(content: &Content) -> bool {
    content.bytes == 0 && content.sha256 == Hex::sha256(b"")
}
