//! One call, from its arguments to its reply.

use std::time::Instant;

use super::message::{AcceptStat, Head, accepted};
use super::program::{self, Call};
use crate::access::{Bearer, Scope};
use crate::legacy::{Hash, Legacy, Page, Refused, Status};
use crate::node::Node;
use crate::rest::Shop;

/// The reply to a call, as a record.
pub(super) struct Answered {
    pub(super) reply: Vec<u8>,
    /// Whether the server closes the connection after it.
    pub(super) closes: bool,
}

enum Results {
    Void,
    Status(Status),
    Page(Page),
}

/// What a call needs of whoever makes it.
pub(super) fn need(call: &Call) -> Option<Scope> {
    match call {
        Call::Null => None,
        Call::Put { .. } | Call::Remove { .. } => Some(Scope::Write),
        Call::Get { .. } => Some(Scope::Read),
    }
}

/// Performs a call.
pub(super) async fn answer<N: Node>(shop: &Shop<N>, who: &Bearer, head: Head, call: Call) -> Answered {
    let began = Instant::now();
    let procedure = call.name();
    let results = perform(&Legacy::new(&shop.desk, &shop.config.legacy, who), call).await;
    let metrics = &shop.desk.metrics;
    let (stat, outcome) = match &results {
        Ok(Results::Void | Results::Page(_) | Results::Status(Status::Ok)) => (AcceptStat::Success, "ok"),
        Ok(Results::Status(Status::Capacity)) => (AcceptStat::Success, "capacity"),
        Ok(Results::Status(Status::Again)) => (AcceptStat::Success, "again"),
        Err(why) if why.is_callers_fault() => {
            metrics.turned_away("sunrpc_garbage");
            tracing::debug!(procedure, %why, "call refused");
            (AcceptStat::GarbageArguments, "refused")
        }
        Err(why) => {
            tracing::debug!(procedure, %why, "call failed");
            (AcceptStat::SystemError, "failed")
        }
    };
    metrics.called(head.version, procedure, outcome);
    metrics.answered("sunrpc", stat.code() as u16, began.elapsed());
    let mut reply = Vec::new();
    accepted(&mut reply, head.xid, stat, |w| match &results {
        Ok(Results::Status(status)) => w.u32(*status as u32),
        Ok(Results::Page(page)) => {
            program::write_page(w, head.version, &page.found.values, &page.placemark);
        }
        Ok(Results::Void) | Err(_) => {}
    });
    Answered { reply, closes: stat == AcceptStat::GarbageArguments }
}

async fn perform<N: Node>(legacy: &Legacy<'_, N>, call: Call) -> Result<Results, Refused> {
    match call {
        Call::Null => Ok(Results::Void),
        Call::Put { key, value, secret_hash, ttl_secs } => {
            let secret_hash = secret_hash.as_deref().map(hash);
            legacy.put(key, &value, secret_hash, ttl_secs.into()).await.map(Results::Status)
        }
        Call::Get { key, maxvals, placemark } => {
            legacy.get_short(key, maxvals.into(), &placemark).await.map(Results::Page)
        }
        Call::Remove { key, value_hash, secret, ttl_secs } => legacy
            .remove(key, hash(&value_hash), program::ALGORITHM, &secret, ttl_secs.into())
            .await
            .map(Results::Status),
    }
}

/// Whatever its sender called it.
fn hash(bytes: &[u8]) -> Hash<'_> {
    Hash { algorithm: program::ALGORITHM, bytes }
}
