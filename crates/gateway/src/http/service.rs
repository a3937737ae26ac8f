//! One connection's requests: checks that hold for all of them, then the interface that each is for.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tower::Service as _;

use super::body::{self, BodyError};
use super::gate::Verdict;
use super::host;
use crate::access::{self, Bearer, Denied, Need};
use crate::node::Node;
use crate::rest::Shop;
use crate::rest::refusal::Refusal;
use crate::xmlrpc;

/// Longest XML-RPC request, if not twice the greatest value is more: room for values beyond their limit, so that they are
/// refused with a fault. The greatest that REST takes by default fits, in base64 of short lines.
const XML_BODY_BYTES_MAX: u64 = 128 << 10;

/// A connection's end without an answer, where the protocol of 2005 has none.
#[derive(Debug, thiserror::Error)]
#[error("the connection was closed without an answer: {0}")]
pub(crate) struct Cut(String);

/// The address at which the client reached the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached(pub(crate) SocketAddr);

/// The service of one connection.
pub(crate) struct Connection<N> {
    shop: Arc<Shop<N>>,
    router: Router,
    verdict: Verdict,
    /// What the client connected to.
    local: Option<SocketAddr>,
    from: IpAddr,
    requests: AtomicU64,
}

impl<N: Node> Connection<N> {
    pub(crate) fn new(
        shop: Arc<Shop<N>>,
        router: Router,
        verdict: Verdict,
        local: Option<SocketAddr>,
        from: IpAddr,
    ) -> Connection<N> {
        Connection { shop, router, verdict, local, from, requests: AtomicU64::new(0) }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let began = Instant::now();
        let metrics = &self.shop.desk.metrics;
        let ordinal = self.requests.fetch_add(1, Ordering::Relaxed);
        // The end of a chunked body is known to the parser alone, so nothing may follow it (see the gate).
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let (interface, answer) = match self.verdict.on(ordinal) {
            Some(why) => {
                metrics.turned_away(why.name());
                ("refused", Err(why.into()))
            }
            None => self.dispatch(request).await?,
        };
        let mut response = answer.unwrap_or_else(Refusal::into_response);
        if interface != "xmlrpc" {
            response
                .headers_mut()
                .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        if chunked {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        metrics.answered(interface, response.status().as_u16(), began.elapsed());
        Ok(response)
    }

    async fn dispatch(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<(&'static str, Result<Response<Body>, Refusal>), Cut> {
        if let Err(refusal) = host::check(
            &request,
            self.local.map(|local| local.ip()),
            &self.shop.config.allowed_hosts,
            is_xmlrpc(&request),
        ) {
            self.shop.desk.metrics.turned_away(refusal.code());
            return Ok(("refused", Err(refusal)));
        }
        let need = access::of_request(request.method(), request.uri().path());
        let who = match self.shop.access.enter(self.from, request.headers()) {
            Ok(who) => who,
            // Who only asks whether the node is well is told, whatever token is shown.
            Err(_) if need == Need::Nothing && !is_xmlrpc(&request) => self.shop.access.nobody(),
            Err(denied) => return Ok(("refused", Err(self.denied(denied).close()))),
        };
        if is_xmlrpc(&request) {
            return Ok(("xmlrpc", self.xmlrpc(request, &who).await?));
        }
        let interface = if request.uri().path().starts_with("/v1/") { "rest" } else { "house" };
        if let Err(denied) = who.request(need) {
            return Ok((interface, Err(self.denied(denied).close())));
        }
        if let Some(local) = self.local {
            request.extensions_mut().insert(Reached(local));
        }
        request.extensions_mut().insert(who);
        // The router's error type has no values, and it is always ready.
        let Ok(response) = self.router.clone().call(request).await;
        Ok((interface, Ok(response)))
    }

    /// XML-RPC: the answer of 2005, whatever the version of the request: HTTP/1.0, and the connection closes.
    async fn xmlrpc(
        &self,
        request: Request<Incoming>,
        who: &Bearer,
    ) -> Result<Result<Response<Body>, Refusal>, Cut> {
        let headers = request.headers();
        if !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(self.cut("xmlrpc_no_length", "no Content-Length".into()));
        }
        let config = &self.shop.config;
        let greatest = config.legacy.value_bytes_max.min(config.value_bytes_max);
        let max = XML_BODY_BYTES_MAX.max(2 * u64::from(greatest));
        let body = match body::read(request.into_body(), max, &config.limits).await {
            Ok(body) => body,
            Err(BodyError::Cut) => return Err(self.cut("xmlrpc_unreadable", "the body ended early".into())),
            Err(why) => return Ok(Err(why.into())),
        };
        let call = match xmlrpc::read_call(&body) {
            Ok(call) => call,
            Err(why) => return Err(self.cut("xmlrpc_unreadable", why.to_string())),
        };
        if let Err(denied) = who.request(xmlrpc::need(&call)) {
            return Ok(Err(self.denied(denied).close()));
        }
        let reply = xmlrpc::answer(&self.shop.desk, &config.legacy, who, &call).await;
        let mut response = Response::new(Body::from(reply));
        *response.version_mut() = Version::HTTP_10;
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("bamboo"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(Ok(response))
    }

    fn denied(&self, denied: Denied) -> Refusal {
        let refusal = Refusal::from(denied);
        self.shop.desk.metrics.turned_away(refusal.code());
        refusal
    }

    fn cut(&self, reason: &'static str, why: String) -> Cut {
        self.shop.desk.metrics.turned_away(reason);
        Cut(why)
    }
}

/// A POST of XML to any path, since that was ignored; one that does not say what it is, unless it asks for REST; and a POST of
/// anything to the two paths that old clients use.
fn is_xmlrpc<B>(request: &Request<B>) -> bool {
    if request.method() != Method::POST {
        return false;
    }
    match content_type(request.headers()) {
        Some(essence)
            if ["text/xml", "application/xml"].iter().any(|xml| essence.eq_ignore_ascii_case(xml)) =>
        {
            true
        }
        None if !is_ours(request.uri().path()) => true,
        _ => matches!(request.uri().path(), "/" | "/RPC2"),
    }
}

/// Whether a path is one of those that are read and not posted to, or of REST. Programs of 2005 post to `/`, and to whatever
/// their libraries make of that.
fn is_ours(path: &str) -> bool {
    let read = ["/livez", "/readyz", "/metrics", "/openapi.json", "/servers.txt"];
    path.starts_with("/v1/") || path.starts_with("/assets/") || read.contains(&path)
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// What a connection above the bounds is told, before anything of it is read.
pub(crate) fn crowded() -> Vec<u8> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = "{\"error\":{\"code\":\"busy\",\"message\":\"too many connections\",\"hint\":\"reuse connections, or ask another gateway\"}}\n";
    let length = body.len();
    format!(
        "HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nRetry-After: 1\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
