//! What somebody has signed elsewhere: a signed value, the next of a series, or a removal of either.
//!
//! ```text
//!   POST   /v1/keys/{text}/signed     body: JSON, by `kind`
//!            signed             value_base64                       sequenced          value_base64, seq, cas?
//!            signed-remove      value_sha256                       sequenced-remove   seq, cas?
//!          and in each: public_key, nonce, expires_unix_seconds, signature
//! ```
//!
//! The fields that all four have are written out in each: serde cannot flatten them into a choice and still refuse unknown ones.
//! The gateway needs no key: it passes on what is proven by itself. docs/protocol.md says which bytes a signature covers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use keyway_core::Id;
use keyway_core::machine::SignedPut;
use keyway_core::store::{ClientId, Kind, Proof};
use serde::Deserialize;
use utoipa::ToSchema;

use super::input::{self, Object};
use super::openapi::PutSigned;
use super::refusal::Refusal;
use super::writes::{Asked, RepeatHeaders, Write, digits};
use super::{Named, PathText, Shared, Shop, json, or_refusal, path_text};
use crate::node::Node;

/// What a signed request has beside its value: names, hex and base64 of everything else.
const OVERHEAD_BYTES: u64 = 4 << 10;

/// What somebody has signed. docs/protocol.md says which bytes the signature covers.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum SignedBody {
    /// A value under its signer's name.
    Signed {
        /// The value.
        #[schema(pattern = "^([A-Za-z0-9+/]{4})*$")]
        value_base64: String,
        /// The signer's Ed25519 key: 64 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        public_key: String,
        /// 64 hex digits, random.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        nonce: String,
        /// When its life ends: seconds since 1970.
        #[serde(deserialize_with = "input::read_whole")]
        expires_unix_seconds: u64,
        /// 128 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{128}$")]
        signature: String,
    },
    /// The removal of one.
    SignedRemove {
        /// SHA-256 of the value that is removed, 64 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        value_sha256: String,
        /// The signer's Ed25519 key: 64 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        public_key: String,
        /// 64 hex digits: those of the value.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        nonce: String,
        /// When the removal ends: seconds since 1970.
        #[serde(deserialize_with = "input::read_whole")]
        expires_unix_seconds: u64,
        /// 128 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{128}$")]
        signature: String,
    },
    /// The latest value of a series.
    Sequenced {
        /// The value.
        #[schema(pattern = "^([A-Za-z0-9+/]{4})*$")]
        value_base64: String,
        /// The number in the series, from 1.
        #[serde(deserialize_with = "input::read_whole")]
        #[schema(minimum = 1)]
        seq: u64,
        /// Only if the series is at this number now; 0: if there is none yet.
        #[serde(default, deserialize_with = "input::read_whole_option")]
        cas: Option<u64>,
        /// The signer's Ed25519 key: 64 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        public_key: String,
        /// 64 hex digits: the name of the series.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        nonce: String,
        /// When its life ends: seconds since 1970.
        #[serde(deserialize_with = "input::read_whole")]
        expires_unix_seconds: u64,
        /// 128 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{128}$")]
        signature: String,
    },
    /// The end of a series.
    SequencedRemove {
        /// The number in the series, from 1.
        #[serde(deserialize_with = "input::read_whole")]
        #[schema(minimum = 1)]
        seq: u64,
        /// Only if the series is at this number now.
        #[serde(default, deserialize_with = "input::read_whole_option")]
        cas: Option<u64>,
        /// The signer's Ed25519 key: 64 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        public_key: String,
        /// 64 hex digits: the name of the series.
        #[schema(pattern = "^[0-9a-fA-F]{64}$")]
        nonce: String,
        /// When the removal ends: seconds since 1970.
        #[serde(deserialize_with = "input::read_whole")]
        expires_unix_seconds: u64,
        /// 128 hex digits.
        #[schema(pattern = "^[0-9a-fA-F]{128}$")]
        signature: String,
    },
}

/// Stores what somebody has signed under a text key: a value, the next of a series, or a removal of either.
#[utoipa::path(
    post, path = "/v1/keys/{text}/signed", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`"), RepeatHeaders),
    request_body = SignedBody,
    responses(
        (status = 200, description = "Removed, and who acknowledged it", body = json::Removal),
        (status = 201, description = "Stored, and who acknowledged it", body = json::Receipt),
        PutSigned,
    ),
)]
pub(super) async fn signed_text<N: Node>(
    shop: Shared<N>,
    text: PathText,
    request: Request,
) -> Response<Body> {
    or_refusal(async { signed(&shop, Named::Text(path_text(text)?), request).await }).await
}

/// Stores what somebody has signed under a key given by its id: a value, the next of a series, or a removal of either.
#[utoipa::path(
    post, path = "/v1/ids/{hex}/signed", tag = "values",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits"), RepeatHeaders),
    request_body = SignedBody,
    responses(
        (status = 200, description = "Removed, and who acknowledged it", body = json::Removal),
        (status = 201, description = "Stored, and who acknowledged it", body = json::Receipt),
        PutSigned,
    ),
)]
pub(super) async fn signed_id<N: Node>(shop: Shared<N>, hex: PathText, request: Request) -> Response<Body> {
    or_refusal(async { signed(&shop, Named::Hex(path_text(hex)?), request).await }).await
}

async fn signed<N: Node>(shop: &Arc<Shop<N>>, named: Named, request: Request) -> super::Answer {
    let key = named.id()?;
    let value_bytes_max = u64::from(shop.config.value_bytes_max);
    let max = value_bytes_max.div_ceil(3) * 4 + OVERHEAD_BYTES;
    let (asked, body) = Asked::read(shop, request, max).await?;
    let Object(body): Object<SignedBody> = serde_json::from_slice(&body)
        .map_err(|why| Refusal::bad_request(format!("the body makes no sense: {why}")))?;
    asked.answer(shop, Write::Signed(signed_put(key, body)?)).await
}

/// The operation that a signed request stands for, charged to nobody yet.
fn signed_put(key: Id, body: SignedBody) -> Result<SignedPut, Refusal> {
    let value = |base64: String| {
        STANDARD.decode(base64).map_err(|_| Refusal::bad_request("value_base64 is not base64"))
    };
    let (kind, content, seq, cas, [public_key, nonce, signature], expires_secs) = match body {
        SignedBody::Signed { value_base64, public_key, nonce, expires_unix_seconds, signature } => {
            let names = [public_key, nonce, signature];
            (Kind::Signed, value(value_base64)?, 0, None, names, expires_unix_seconds)
        }
        SignedBody::SignedRemove { value_sha256, public_key, nonce, expires_unix_seconds, signature } => {
            let content = digits::<32>("value_sha256", &value_sha256)?.to_vec();
            (Kind::SignedRemove, content, 0, None, [public_key, nonce, signature], expires_unix_seconds)
        }
        SignedBody::Sequenced {
            value_base64,
            seq,
            cas,
            public_key,
            nonce,
            expires_unix_seconds,
            signature,
        } => {
            let names = [public_key, nonce, signature];
            (Kind::Sequenced, value(value_base64)?, seq, cas, names, expires_unix_seconds)
        }
        SignedBody::SequencedRemove { seq, cas, public_key, nonce, expires_unix_seconds, signature } => (
            Kind::SequencedRemove,
            Vec::new(),
            seq,
            cas,
            [public_key, nonce, signature],
            expires_unix_seconds,
        ),
    };
    if kind.is_sequenced() && seq == 0 {
        return Err(Refusal::bad_request("numbers of a series begin with 1"));
    }
    let proof = Proof {
        public_key: digits("public_key", &public_key)?,
        nonce: digits("nonce", &nonce)?,
        expires_secs,
        signature: digits("signature", &signature)?,
    };
    Ok(SignedPut { kind, key, content, seq, proof, cas, client: ClientId::NOBODY })
}
