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

A node shares its disk among clients if its bytes are bounded (keyway node --store-max).
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
    let Some(shared) = usage.shared_bytes else {
        output
            .note("the disk is not bounded (keyway node --store-max): nothing is charged, and nobody waits");
        return Ok(Exit::Ok);
    };
    output.table(
        &["client", "bytes", "share", "waiting"],
        &[1, 2, 3],
        usage.clients.iter().map(|client| row(client, shared, &usage.you)),
    )?;
    output.note(format!(
        "{} of {shared} shared bytes are charged; {} {} known, {} {} for room",
        usage.charged_bytes,
        usage.known,
        plural(usage.known, "client is", "clients are"),
        usage.waiting,
        plural(usage.waiting, "record waits", "records wait"),
    ));
    Ok(Exit::Ok)
}

fn row(client: &ClientUsage, shared: u64, you: &str) -> Vec<String> {
    let percent = 100.0 * client.stored_bytes as f64 / shared.max(1) as f64;
    let name = if client.client == you { format!("{} (you)", client.client) } else { client.client.clone() };
    vec![name, client.stored_bytes.to_string(), format!("{percent:.1} %"), client.waiting.to_string()]
}
