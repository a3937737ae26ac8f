//! `keyway clients`: who uses how much of a node's disk.

use clap::Args;
use keyway_client::ClientUsage;

use crate::exit::{Exit, Failure};
use crate::output::plural;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  keyway clients                            the node behind the gateway, those who use most first
  keyway clients --gateway http://10.0.0.7:5851
  keyway clients -o json | jq '.clients[] | select(.waiting > 0)'

A node shares its disk among clients if its bytes are bounded (keyway node --store-max). What was written, refused and \
denied is counted by the gateway since it started; without the scope admin you see yourself only.
";

/// Show who uses how much of a node's disk.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ClientsArgs {
    /// At most this many clients (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max: u32,
}

/// `keyway clients`.
pub(crate) async fn run(args: ClientsArgs, session: &Session) -> Result<Exit, Failure> {
    let usage = session.client()?.clients(args.max).await?;
    let output = &session.output;
    if output.is_json() {
        output.json(&usage)?;
        return Ok(Exit::Ok);
    }
    let shared = usage.shared_bytes;
    output.table(
        &["client", "bytes", "share", "waiting", "writes", "written", "refused", "denied"],
        &[1, 2, 3, 4, 5, 6, 7],
        usage.clients.iter().map(|client| row(client, shared, &usage.you)),
    )?;
    match shared {
        Some(shared) => output.note(format!(
            "{} of {shared} shared bytes are charged; {} {} known, {} {} for room",
            usage.charged_bytes,
            usage.known,
            plural(usage.known, "client is", "clients are"),
            usage.waiting,
            plural(usage.waiting, "record waits", "records wait"),
        )),
        None => output
            .note("the disk is not bounded (keyway node --store-max): nothing is charged, and nobody waits"),
    }
    Ok(Exit::Ok)
}

fn row(client: &ClientUsage, shared: Option<u64>, you: &str) -> Vec<String> {
    let share = shared.map(|shared| 100.0 * client.stored_bytes as f64 / shared.max(1) as f64);
    let mut name = client.client.clone();
    if let Some(token) = &client.token {
        name = format!("{name} {token}");
    }
    if client.client == you {
        name.push_str(" (you)");
    }
    let asked = &client.asked;
    vec![
        name,
        client.stored_bytes.to_string(),
        share.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %")),
        client.waiting.to_string(),
        asked.writes.to_string(),
        asked.bytes.to_string(),
        (asked.waited + asked.over_capacity + asked.failed).to_string(),
        asked.denied.to_string(),
    ]
}
