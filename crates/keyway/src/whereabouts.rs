//! `keyway where`: which nodes hold copies of a key's values, and whether they agree.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use keyway_client::{CopyHead, Replica, Whereabouts};

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Style, plural};
use crate::peers::rtt;
use crate::session::{KeyArgs, Session};

const EXAMPLES: &str = "\
Examples:
  keyway where colors
  keyway where --hex f8bd696759805b9098f9e13be67d2b248c7619d0
  keyway where colors -o json
";

/// Show which nodes hold copies of a key's values.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct WhereArgs {
    #[command(flatten)]
    key: KeyArgs,
}

/// `keyway where`.
pub(crate) async fn run(args: WhereArgs, session: &Session) -> Result<Exit, Failure> {
    let found = session.client()?.where_is(&args.key.place()?).await?;
    let output = &session.output;
    if output.is_json() {
        output.json(&found)?;
        return Ok(Exit::Ok);
    }
    output.line(format!("key {}", output.style(Style::Bold, &found.key.to_string())))?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let rows = found.replicas.iter().enumerate().flat_map(|(at, replica)| {
        let role = if at == 0 { "root" } else { "copy" };
        rows(role, replica, now_ms)
    });
    output.table(&["", "node", "address", "rtt", "value", "bytes", "left"], &[3, 5, 6], rows)?;
    output.note(agreement(&found));
    Ok(Exit::Ok)
}

/// One line per copy; one line for a replica without any.
fn rows(role: &str, replica: &Replica, now_ms: u64) -> Vec<Vec<String>> {
    let id = replica.peer.id.to_string();
    let who = |role: &str| {
        vec![role.to_owned(), id[..8].to_owned(), replica.peer.addr.clone(), rtt(replica.rtt_ms)]
    };
    let remark = |text: &str| {
        let mut row = who(role);
        row.extend([text.to_owned(), String::new(), String::new()]);
        vec![row]
    };
    match &replica.copies {
        None => remark("no answer"),
        Some(copies) if copies.is_empty() && !replica.ready => remark("still taking over"),
        Some(copies) if copies.is_empty() => remark("nothing"),
        Some(copies) => {
            let line = |(at, copy): (usize, &CopyHead)| {
                let mut row = if at == 0 { who(role) } else { vec![String::new(); 4] };
                let hash = copy.value_hash.to_string();
                let name = if copy.kind == "put" {
                    hash[..8].to_owned()
                } else {
                    format!("{} of {}", copy.kind, &hash[..8])
                };
                let left = Span::from_secs(copy.expires_ms.saturating_sub(now_ms) / 1_000);
                row.extend([name, copy.value_bytes.to_string(), left.to_string()]);
                row
            };
            let mut copies: Vec<&CopyHead> = copies.iter().collect();
            copies.sort_by_key(|copy| (copy.put_time_ms, copy.value_hash));
            copies.into_iter().enumerate().map(line).collect()
        }
    }
}

/// In words, whether the replicas that answered hold the same.
fn agreement(found: &Whereabouts) -> String {
    let answered: Vec<&Vec<CopyHead>> = found.replicas.iter().filter_map(|r| r.copies.as_ref()).collect();
    let silent = found.replicas.len() - answered.len();
    let held: BTreeSet<_> = answered
        .iter()
        .map(|copies| copies.iter().map(|c| (c.value_hash, c.expires_ms, c.kind.clone())).collect::<Vec<_>>())
        .collect();
    let count = answered.len() as u64;
    let replicas = plural(count, "replica", "replicas");
    let verdict = match held.len() {
        0 | 1 => format!("{count} {replicas} answered and hold the same"),
        _ => format!("{count} {replicas} answered and differ; repair will bring them together"),
    };
    if silent == 0 { verdict } else { format!("{verdict}; {silent} did not answer") }
}
