//! Who uses how much of a node's disk: what the fair allocation knows of its clients (docs/storage.md, "Fair storage").
//!
//! Beside it stands what each has asked of this gateway. Whoever is not an operator sees its own account only.
//!
//! Clients are told apart by the name under which they are charged, a hash: an operator who knows an address computes its name
//! and finds it here, a stranger learns no addresses.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Body;
use http::{Response, StatusCode, Uri};
use keyway_core::machine::{CLIENTS_MAX, Op, OpDone};
use keyway_core::store::{ClientId, Room, Share};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::explain::at_least_one;
use super::openapi::AskNode;
use super::{Shared, json, or_refusal, our_fault, query};
use crate::access::{Access, Bearer, Scope, Tally};
use crate::node::Node;

/// Clients of an answer whose asker does not say.
const CLIENTS_DEFAULT: u32 = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClientsQuery {
    /// Clients at most: 100 if it is not said, 1000 in any case.
    #[param(minimum = 1, maximum = 4_294_967_295u64, value_type = Option<u64>)]
    max: Option<u32>,
}

/// One client of a node.
#[derive(Serialize, ToSchema)]
struct ClientView {
    /// The name under which it is charged: 16 hex digits.
    client: String,
    /// The access token of that name, if it is one that this gateway knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// What of its records this node keeps, heads included, in bytes; 0 where nothing is charged.
    stored_bytes: u64,
    /// Records of it that wait for room.
    waiting: u64,
    /// What it has asked of this gateway since it started.
    asked: AskedView,
}

/// What a client has asked of a gateway.
#[derive(Serialize, ToSchema)]
struct AskedView {
    /// Writes that were acknowledged.
    writes: u64,
    /// Bytes of their values.
    bytes: u64,
    /// Writes that were told to wait for room.
    waited: u64,
    /// Writes that found no room.
    over_capacity: u64,
    /// Writes that failed otherwise.
    failed: u64,
    /// Requests beyond what it may do, or beyond its quotas.
    denied: u64,
}

impl From<Tally> for AskedView {
    fn from(tally: Tally) -> AskedView {
        let Tally { writes, bytes, waited, over_capacity, failed, denied } = tally;
        AskedView { writes, bytes, waited, over_capacity, failed, denied }
    }
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
    /// Those who use most first, then those who asked last.
    clients: Vec<ClientView>,
}

fn name(client: ClientId) -> String {
    format!("{:016x}", client.0)
}

/// A client by what a node and a gateway know of it.
pub(crate) struct Account {
    pub(crate) client: ClientId,
    pub(crate) token: Option<String>,
    pub(crate) stored_bytes: u64,
    pub(crate) waiting: u64,
    pub(crate) asked: Tally,
}

/// The accounts of all clients, at most `max`: those who use most of the node's disk, then those who asked last.
pub(super) fn accounts(access: &Access, shares: &[Share], max: usize) -> Vec<Account> {
    let tokens = access.token_names();
    let mut usage: BTreeMap<ClientId, (u64, u64)> = BTreeMap::new();
    let mut order: Vec<ClientId> = Vec::new();
    for share in shares {
        usage.insert(share.client, (share.usage.stored_bytes, share.usage.waiting_count));
        order.push(share.client);
    }
    let others = access.ledger().latest(max).into_iter().map(|(client, _)| client);
    order.extend(others.filter(|client| !usage.contains_key(client)));
    let account = |client: ClientId| {
        let (stored_bytes, waiting) = usage.get(&client).copied().unwrap_or_default();
        let token = tokens.get(&client).cloned();
        Account { client, token, stored_bytes, waiting, asked: access.ledger().of(client) }
    };
    order.into_iter().take(max).map(account).collect()
}

impl ClientsView {
    fn of(room: Room, accounts: Vec<Account>, you: ClientId) -> ClientsView {
        let view = |account: Account| ClientView {
            client: name(account.client),
            token: account.token,
            stored_bytes: account.stored_bytes,
            waiting: account.waiting,
            asked: account.asked.into(),
        };
        ClientsView {
            you: name(you),
            shared_bytes: (room.shared_bytes > 0).then_some(room.shared_bytes),
            charged_bytes: room.charged_bytes,
            waiting: room.waiting_count,
            known: room.clients_count,
            clients: accounts.into_iter().map(view).collect(),
        }
    }
}

/// How full this node's disk is, what each client uses of it, those who use most first, and what each has asked of this gateway.
///
/// Without the scope `admin` only what concerns whoever asks.
#[utoipa::path(
    get, path = "/v1/clients", tag = "node",
    params(ClientsQuery),
    responses((status = 200, description = "The disk and its clients", body = ClientsView), AskNode),
)]
pub(super) async fn clients<N: Node>(
    shop: Shared<N>,
    Extension(who): Extension<Bearer>,
    uri: Uri,
) -> Response<Body> {
    or_refusal(async {
        let ClientsQuery { max } = query(&uri)?;
        let max = at_least_one(max)?.unwrap_or(CLIENTS_DEFAULT).min(CLIENTS_MAX);
        // Somebody's own account may be behind those of greater ones.
        let asked = if who.is(Scope::Admin) { max } else { CLIENTS_MAX };
        match shop.desk.op(Op::Clients { max: asked }).await? {
            OpDone::Clients { room, shares } => {
                let mut accounts = accounts(&shop.access, &shares, asked as usize);
                let mut room = room;
                if !who.is(Scope::Admin) {
                    accounts.retain(|account| account.client == who.client);
                    // Of others nothing is told, not even in sum.
                    room.charged_bytes = accounts.iter().map(|account| account.stored_bytes).sum();
                    room.waiting_count = accounts.iter().map(|account| account.waiting).sum();
                    room.clients_count = accounts.len() as u64;
                }
                Ok(json(StatusCode::OK, &ClientsView::of(room, accounts, who.client)))
            }
            _ => Err(our_fault()),
        }
    })
    .await
}
