//! `keyway peers`: the tables of the gateway's node, in its overlay's own words.

use clap::Args;
use keyway_client::PeerView;

use crate::exit::{Exit, Failure};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  keyway peers                          who stands in the node's tables
  keyway peers --table successors       one table
  keyway peers -o json
";

/// Show the tables of a node.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct PeersArgs {
    /// Only the table of this name
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
}

/// `keyway peers`.
pub(crate) async fn run(args: PeersArgs, session: &Session) -> Result<Exit, Failure> {
    let mut peers = session.client()?.peers().await?;
    if let Some(name) = &args.table {
        let names: Vec<String> = peers.tables.iter().map(|table| table.name.clone()).collect();
        peers.tables.retain(|table| table.name == *name);
        if peers.tables.is_empty() {
            let names = names.join(", ");
            return Err(Failure::new(
                Exit::NotFound,
                format!("there is no table {name:?}; there are: {names}"),
            ));
        }
    }
    let output = &session.output;
    if output.is_json() {
        output.json(&peers)?;
        return Ok(Exit::Ok);
    }
    let rows = peers.tables.iter().flat_map(|table| {
        table.peers.iter().enumerate().map(|(at, peer)| {
            let name = if at == 0 { table.name.clone() } else { String::new() };
            row(name, peer)
        })
    });
    output.table(&["table", "node", "address", "rtt", "state"], &[3], rows)?;
    Ok(Exit::Ok)
}

fn row(table: String, peer: &PeerView) -> Vec<String> {
    let state = if peer.suspect { "silent" } else { "answers" }.to_owned();
    vec![table, peer.id.to_string(), peer.addr.clone(), rtt(peer.rtt_ms), state]
}

/// A round trip for people, `-` if it was not measured.
pub(crate) fn rtt(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}
