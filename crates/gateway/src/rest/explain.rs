//! Answers to "why" and "where": the lookup of a key question by question, who is in the network, what this node holds.
//!
//! For people and pictures: nothing of it is needed to store or to read.

use axum::body::Body;
use http::{Response, StatusCode, Uri};
use keyway_core::Id;
use keyway_core::machine::{HELD_MAX, Op, OpDone, SURVEY_MAX, Surveyed, TraceStep, Traced};
use keyway_core::store::Head;
use serde::{Deserialize, Serialize};

use super::json::{CopyView, PeerName, fractional_millis};
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
#[derive(Serialize)]
struct StepView {
    peer: PeerName,
    distance: String,
    rtt_ms: Option<f64>,
    answer: &'static str,
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
#[derive(Serialize)]
struct TraceView {
    key: String,
    overlay: &'static str,
    style: &'static str,
    steps: Vec<StepView>,
    replicas: Vec<PeerName>,
    hops: u32,
    timeouts: u32,
}

pub(super) async fn trace_text<N: Node>(shop: Shared<N>, text: PathText) -> Response<Body> {
    or_refusal(async { trace(&shop, &Named::Text(path_text(text)?)).await }).await
}

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkQuery {
    max: Option<u32>,
}

#[derive(Serialize)]
struct SharesView {
    count: u32,
    ready: u32,
}

/// A node as the survey found it.
#[derive(Serialize)]
struct SurveyedView {
    #[serde(flatten)]
    peer: PeerName,
    answered: bool,
    member: Option<bool>,
    records: Option<u64>,
    record_bytes: Option<u64>,
    shares: Option<SharesView>,
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
#[derive(Serialize)]
struct NetworkView {
    overlay: &'static str,
    nodes: Vec<SurveyedView>,
    complete: bool,
}

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsQuery {
    max: Option<u32>,
    after: Option<String>,
}

/// One record of a node.
#[derive(Serialize)]
struct RecordView {
    key: String,
    #[serde(flatten)]
    copy: CopyView,
}

/// What a node holds.
#[derive(Serialize)]
struct RecordsView {
    records: Vec<RecordView>,
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

fn at_least_one(max: Option<u32>) -> Result<Option<u32>, Refusal> {
    match max {
        Some(0) => Err(Refusal::bad_request("max must be at least 1")),
        max => Ok(max),
    }
}
