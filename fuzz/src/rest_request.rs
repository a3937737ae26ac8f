//! REST: whatever a client asks is answered, by JSON where it says so, and never by a panic or by the gateway's own fault.
//!
//! ```text
//!   method 1 | path bytes 1 | path | query bytes 1 | query | headers 1 | body
//!              as /v1/...                            which of them the request has; their values are taken from the body's end
//! ```

use std::net::{IpAddr, Ipv4Addr};

use http::header::CONTENT_LENGTH;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use keyway_core::machine::{GetAnswer, Op, OpDone, OpError, OpResult};
use keyway_gateway::{GatewayConfig, Node, Rest};
use tokio::runtime::{Builder, Runtime};

/// A node that has nothing and takes nothing.
#[derive(Clone)]
struct Nothing;

impl Node for Nothing {
    async fn op(&self, what: Op) -> OpResult {
        match what {
            Op::Get { .. } => Ok(OpDone::Got(GetAnswer { values: Vec::new(), next: None, merged: 2 })),
            _ => Err(OpError::NotJoined),
        }
    }
}

const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::HEAD];
/// Each with the bit that says that the request has it.
const HEADERS: [(u8, &str); 4] =
    [(1, "keyway-secret"), (2, "keyway-secret-hash"), (4, "idempotency-key"), (8, "authorization")];
/// Bytes of a header.
const HEADER_BYTES: usize = 56;

/// The next part of `data`, which is behind its length.
fn part<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = data.split_first()?;
    let (part, rest) = rest.split_at_checked(usize::from(*length))?;
    *data = rest;
    Some(part)
}

fn request(mut data: &[u8]) -> Option<Request<Vec<u8>>> {
    let (method, rest) = data.split_first()?;
    data = rest;
    let path = String::from_utf8_lossy(part(&mut data)?).into_owned();
    let query = String::from_utf8_lossy(part(&mut data)?).into_owned();
    let (which, body) = data.split_first()?;
    let address = if query.is_empty() { format!("/v1/{path}") } else { format!("/v1/{path}?{query}") };
    let method = METHODS[usize::from(*method) % METHODS.len()].clone();
    let mut request = Request::builder().method(method).uri(address).header(CONTENT_LENGTH, body.len());
    for (bit, name) in HEADERS {
        if which & bit != 0 {
            request = request.header(name, &body[body.len().saturating_sub(HEADER_BYTES)..]);
        }
    }
    // What is no request never reaches a router.
    request.body(body.to_vec()).ok()
}

thread_local! {
    /// Made once: to make the routes and their document takes a hundred times as long as to answer. So a run may see request ids and
    /// accounts of earlier ones, which must not matter to what is judged here; if a finding does not repeat alone, that is why.
    static GATEWAY: (Runtime, Rest<Nothing>) = {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        (runtime, Rest::new(Nothing, GatewayConfig::default()))
    };
}

/// Asks what `data` says, and judges the answer.
pub fn run(data: &[u8]) {
    let Some(request) = request(data) else { return };
    // A watch has no end.
    if request.uri().path().ends_with("/watch") {
        return;
    }
    let is_head = request.method() == Method::HEAD;
    GATEWAY.with(|(runtime, gateway)| runtime.block_on(judge(gateway, request, is_head)));
}

async fn judge(gateway: &Rest<Nothing>, request: Request<Vec<u8>>, is_head: bool) {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let response = gateway.answer(here, request).await;
    let status = response.status().as_u16();
    assert!(status != 500 && (200..=599).contains(&status), "status {status}");
    let is_json = response.headers().get("content-type").is_some_and(|t| t.as_bytes() == b"application/json");
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    if is_json && !is_head {
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert!(status < 400 || answer["error"]["code"].is_string(), "{status}: {answer}");
    }
}
