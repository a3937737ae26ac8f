//! `keyway nodes`: who is in the network, and what each holds.

use clap::Args;
use keyway_client::NetworkNode;

use crate::exit::{Exit, Failure};
use crate::output::plural;
use crate::peers::rtt;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  keyway nodes                          every node, as far as this one can find out
  keyway nodes --max 1000
  keyway nodes -o json | jq '.nodes[] | select(.answered | not)'
";

/// Show who is in the network and what each node holds.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct NodesArgs {
    /// At most this many nodes (1 to 1024)
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1024))]
    max: u32,
}

/// `keyway nodes`.
pub(crate) async fn run(args: NodesArgs, session: &Session) -> Result<Exit, Failure> {
    let network = session.client()?.network(args.max).await?;
    let output = &session.output;
    if output.is_json() {
        output.json(&network)?;
        return Ok(Exit::Ok);
    }
    output.table(
        &["node", "address", "rtt", "records", "bytes", "shares", "state"],
        &[2, 3, 4],
        network.nodes.iter().map(row),
    )?;
    let count = network.nodes.len() as u64;
    let silent = network.nodes.iter().filter(|node| !node.answered).count();
    let records: u64 = network.nodes.iter().filter_map(|node| node.records).sum();
    let more = if network.complete { "" } else { "; there are more (--max)" };
    output.note(format!(
        "{count} {} over {}, {silent} without an answer, {records} copies of records in all{more}",
        plural(count, "node", "nodes"),
        network.overlay
    ));
    Ok(Exit::Ok)
}

fn row(node: &NetworkNode) -> Vec<String> {
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let state = match (node.answered, node.member) {
        (false, _) => "no answer",
        (true, Some(false)) => "coming or going",
        (true, _) => "member",
    };
    let shares = node.shares.as_ref();
    vec![
        node.peer.id.to_string(),
        node.peer.addr.clone(),
        rtt(node.rtt_ms),
        number(node.records),
        number(node.record_bytes),
        shares.map_or_else(|| "-".to_owned(), |shares| format!("{} of {} ready", shares.ready, shares.count)),
        state.to_owned(),
    ]
}
