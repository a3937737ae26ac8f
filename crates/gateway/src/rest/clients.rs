//! Who uses how much of a node's disk: what the fair allocation knows of its clients (docs/storage.md, "Fair storage").
//!
//! Clients are told apart by the name under which they are charged, a hash: an operator who knows an address computes its name
//! and finds it here, a stranger learns no addresses.

use std::net::IpAddr;

use axum::Extension;
use axum::body::Body;
use http::{Response, StatusCode, Uri};
use keyway_core::machine::{CLIENTS_MAX, Op, OpDone};
use keyway_core::store::{ClientId, Room, Share};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::openapi::AskNode;
use super::{Shared, json, or_refusal, our_fault, query};
use crate::http::service::ClientAddr;
use crate::node::Node;

/// Clients of an answer whose asker does not say.
const CLIENTS_DEFAULT: u32 = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClientsQuery {
    /// Clients at most: 100 if it is not said, 1000 in any case.
    max: Option<u32>,
}

/// One client of a node.
#[derive(Serialize, ToSchema)]
struct ClientView {
    /// The name under which it is charged: 16 hex digits.
    client: String,
    /// What of its records this node keeps, heads included, in bytes.
    stored_bytes: u64,
    /// Records of it that wait for room.
    waiting: u64,
}

/// How full a node's disk is, and who uses it.
#[derive(Serialize, ToSchema)]
struct ClientsView {
    /// The name under which whoever asks is charged.
    you: String,
    /// What clients share; null if the disk is not bounded: then nothing is charged, and nobody listed.
    shared_bytes: Option<u64>,
    /// What is charged; above what clients share, copies that were handed over fill the reserve, and nothing new is admitted.
    charged_bytes: u64,
    /// Records that wait for room.
    waiting: u64,
    /// Clients that are known.
    known: u64,
    /// Those who use most first.
    clients: Vec<ClientView>,
}

fn name(client: ClientId) -> String {
    format!("{:016x}", client.0)
}

impl ClientsView {
    fn of(room: Room, shares: &[Share], from: IpAddr) -> ClientsView {
        let view = |share: &Share| ClientView {
            client: name(share.client),
            stored_bytes: share.usage.stored_bytes,
            waiting: share.usage.waiting_count,
        };
        ClientsView {
            you: name(ClientId::of_address(from)),
            shared_bytes: (room.shared_bytes > 0).then_some(room.shared_bytes),
            charged_bytes: room.charged_bytes,
            waiting: room.waiting_count,
            known: room.clients_count,
            clients: shares.iter().map(view).collect(),
        }
    }
}

/// How full this node's disk is, and what each client uses of it, those who use most first.
#[utoipa::path(
    get, path = "/v1/clients", tag = "node",
    params(ClientsQuery),
    responses((status = 200, description = "The disk and its clients", body = ClientsView), AskNode),
)]
pub(super) async fn clients<N: Node>(
    shop: Shared<N>,
    Extension(from): Extension<ClientAddr>,
    uri: Uri,
) -> Response<Body> {
    or_refusal(async {
        let asked: ClientsQuery = query(&uri)?;
        let max = asked.max.unwrap_or(CLIENTS_DEFAULT).min(CLIENTS_MAX);
        match shop.desk.op(Op::Clients { max }).await? {
            OpDone::Clients { room, shares } => {
                Ok(json(StatusCode::OK, &ClientsView::of(room, &shares, from.0)))
            }
            _ => Err(our_fault()),
        }
    })
    .await
}
