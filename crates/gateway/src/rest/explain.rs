//! Answers to "why" and "where": the lookup of a key question by question, who is in the network, what this node holds.
//!
//! For people and pictures: nothing of it is needed to store or to read.

use axum::body::Body;
use http::{Response, StatusCode, Uri};
use keyway_core::Id;
use keyway_core::machine::{HELD_MAX, Op, OpDone, SURVEY_MAX, Surveyed, TraceStep, Traced};
use keyway_core::store::Head;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::json::{CopyView, PeerName, fractional_millis};
use super::openapi::{AskNetwork, AskNode};
use super::refusal::Refusal;
use super::{
    Answer, Named, PAGE_VALUES_DEFAULT, PathText, Shared, Shop, json, not_a_cursor, or_refusal, our_fault,
    path_text, query,
};
use crate::cursor;
use crate::node::Node;

/// Nodes of a survey whose asker does not say.
const SURVEY_DEFAULT: u32 = 256;

// ---- the lookup of a key ----------------------------------------------------------------------------------------

/// One question of a lookup.
#[derive(Serialize, ToSchema)]
struct StepView {
    /// Who was asked.
    peer: PeerName,
    /// How far it is from the key, by the overlay's metric: 40 hex digits.
    distance: String,
    /// From the question to the answer; null if there was none.
    rtt_ms: Option<f64>,
    /// `next`, `root`, `around`, `stuck`, `slow`, `silent`, or `open`: the lookup was over before.
    answer: &'static str,
    /// Whom it named, best first.
    named: Vec<PeerName>,
}

impl From<&TraceStep> for StepView {
    fn from(step: &TraceStep) -> StepView {
        StepView {
            peer: PeerName::from(&step.peer),
            distance: step.distance.to_string(),
            rtt_ms: step.rtt.map(fractional_millis),
            answer: step.answer.word(),
            named: step.named.iter().map(PeerName::from).collect(),
        }
    }
}

/// A lookup, question by question.
#[derive(Serialize, ToSchema)]
struct TraceView {
    /// 40 hex digits.
    key: String,
    /// How nodes find each other.
    overlay: &'static str,
    /// How the lookup went.
    style: &'static str,
    /// In the order of asking; the asking node itself is not a step.
    steps: Vec<StepView>,
    /// Root first; empty if the lookup failed.
    replicas: Vec<PeerName>,
    /// Nodes that were asked and answered.
    hops: u32,
    /// Nodes that stayed silent or were slow.
    timeouts: u32,
}

/// The lookup of a text key, question by question.
///
/// A lookup that failed is told, too: its replica set is empty.
#[utoipa::path(
    get, path = "/v1/keys/{text}/trace", tag = "explain",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`")),
    responses((status = 200, description = "The questions in the order of asking", body = TraceView), AskNetwork),
)]
pub(super) async fn trace_text<N: Node>(shop: Shared<N>, text: PathText) -> Response<Body> {
    or_refusal(async { trace(&shop, &Named::Text(path_text(text)?)).await }).await
}

/// The lookup of a key given by its id, question by question.
///
/// A lookup that failed is told, too: its replica set is empty.
#[utoipa::path(
    get, path = "/v1/ids/{hex}/trace", tag = "explain",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits")),
    responses((status = 200, description = "The questions in the order of asking", body = TraceView), AskNetwork),
)]
pub(super) async fn trace_id<N: Node>(shop: Shared<N>, hex: PathText) -> Response<Body> {
    or_refusal(async { trace(&shop, &Named::Hex(path_text(hex)?)).await }).await
}

async fn trace<N: Node>(shop: &Shop<N>, named: &Named) -> Answer {
    let key: Id = named.id()?;
    let status = shop.desk.status().await?;
    let OpDone::Traced(Traced { peers, steps, hops, timeouts }) =
        shop.desk.op(Op::Trace { target: key }).await?
    else {
        return Err(our_fault());
    };
    let view = TraceView {
        key: key.to_string(),
        overlay: status.overlay,
        style: "iterative",
        steps: steps.iter().map(StepView::from).collect(),
        replicas: peers.iter().map(PeerName::from).collect(),
        hops,
        timeouts,
    };
    Ok(json(StatusCode::OK, &view))
}

// ---- who is in the network --------------------------------------------------------------------------------------

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NetworkQuery {
    /// Nodes at most: 256 if it is not said, 1024 in any case.
    #[param(minimum = 1, maximum = 4_294_967_295u64, value_type = Option<u64>)]
    max: Option<u32>,
}

/// Parts of the key space that a node keeps copies of, and how many of them it has taken over.
#[derive(Serialize, ToSchema)]
struct SharesView {
    /// Arcs of the key space.
    count: u32,
    /// Those that it has finished taking over.
    ready: u32,
}

/// A node as the survey found it.
#[derive(Serialize, ToSchema)]
struct SurveyedView {
    #[serde(flatten)]
    peer: PeerName,
    /// If it did not, all below is null.
    answered: bool,
    /// Whether it is a member, or on its way in or out.
    member: Option<bool>,
    /// Records held.
    records: Option<u64>,
    /// Bytes of their values.
    record_bytes: Option<u64>,
    /// Parts of the key space that it keeps copies of.
    shares: Option<SharesView>,
    /// Round trip from the gateway's node; null for that node itself.
    rtt_ms: Option<f64>,
}

impl From<&Surveyed> for SurveyedView {
    fn from(node: &Surveyed) -> SurveyedView {
        let facts = node.facts.as_ref();
        SurveyedView {
            peer: PeerName::from(&node.peer),
            answered: facts.is_some(),
            member: facts.map(|f| f.member),
            records: facts.map(|f| f.records),
            record_bytes: facts.map(|f| f.record_bytes),
            shares: facts.map(|f| SharesView { count: f.shares.0, ready: f.shares.1 }),
            rtt_ms: node.rtt.map(fractional_millis),
        }
    }
}

/// Who is in the network.
#[derive(Serialize, ToSchema)]
struct NetworkView {
    /// How nodes find each other.
    overlay: &'static str,
    /// In the order of their ids.
    nodes: Vec<SurveyedView>,
    /// Whether all that were named were reached or given up.
    complete: bool,
}

/// Who is in the network, and what each node holds, asked from node to node.
#[utoipa::path(
    get, path = "/v1/network", tag = "explain",
    params(NetworkQuery),
    responses((status = 200, description = "The nodes in the order of their ids", body = NetworkView), AskNetwork),
)]
pub(super) async fn network<N: Node>(shop: Shared<N>, uri: Uri) -> Response<Body> {
    or_refusal(async {
        let asked: NetworkQuery = query(&uri)?;
        let max = at_least_one(asked.max)?.unwrap_or(SURVEY_DEFAULT).min(SURVEY_MAX);
        let status = shop.desk.status().await?;
        match shop.desk.op(Op::Survey { max }).await? {
            OpDone::Surveyed { nodes, complete } => {
                let nodes = nodes.iter().map(SurveyedView::from).collect();
                Ok(json(StatusCode::OK, &NetworkView { overlay: status.overlay, nodes, complete }))
            }
            _ => Err(our_fault()),
        }
    })
    .await
}

// ---- what this node holds ---------------------------------------------------------------------------------------

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RecordsQuery {
    /// Records of the page at most: 100 if it is not said, 1000 in any case.
    #[param(minimum = 1, maximum = 4_294_967_295u64, value_type = Option<u64>)]
    max: Option<u32>,
    /// `next` of the page before, unchanged.
    #[param(pattern = "^([A-Za-z0-9_-]{80})?$", value_type = String, required = false)]
    after: Option<String>,
}

/// One record of a node.
#[derive(Serialize, ToSchema)]
struct RecordView {
    /// 40 hex digits.
    key: String,
    #[serde(flatten)]
    copy: CopyView,
}

/// What a node holds.
#[derive(Serialize, ToSchema)]
struct RecordsView {
    /// Clockwise from id 0.
    records: Vec<RecordView>,
    /// Where the next page begins (`after`); null if this is the last.
    next: Option<String>,
}

impl RecordsView {
    fn new(heads: &[Head], more: bool) -> RecordsView {
        let view =
            |head: &Head| RecordView { key: head.identity.key.to_string(), copy: CopyView::from(head) };
        let last = heads.last().filter(|_| more);
        RecordsView {
            records: heads.iter().map(view).collect(),
            next: last.map(|head| cursor::text(&head.identity)),
        }
    }
}

/// The records that the node itself holds, without their bytes.
#[utoipa::path(
    get, path = "/v1/node/records", tag = "node",
    params(RecordsQuery),
    responses((status = 200, description = "A page of records, clockwise from id 0", body = RecordsView), AskNode),
)]
pub(super) async fn records<N: Node>(shop: Shared<N>, uri: Uri) -> Response<Body> {
    or_refusal(async {
        let asked: RecordsQuery = query(&uri)?;
        let after = match asked.after.as_deref().filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(cursor::read_text(text).ok_or_else(not_a_cursor)?),
        };
        let max = at_least_one(asked.max)?.unwrap_or(PAGE_VALUES_DEFAULT).min(HELD_MAX);
        match shop.desk.op(Op::Held { after, max }).await? {
            OpDone::Held { heads, more } => Ok(json(StatusCode::OK, &RecordsView::new(&heads, more))),
            _ => Err(our_fault()),
        }
    })
    .await
}

pub(super) fn at_least_one(max: Option<u32>) -> Result<Option<u32>, Refusal> {
    match max {
        Some(0) => Err(Refusal::bad_request("max must be at least 1")),
        max => Ok(max),
    }
}
