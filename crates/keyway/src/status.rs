//! `keyway status`: the state of the gateway's node on one screen.

use clap::Args;
use keyway_client::Node;

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Style, thousands};
use crate::session::Session;
use crate::size::Size;
use crate::terms;

const EXAMPLES: &str = "\
Examples:
  keyway status                                     the node behind the default gateway
  keyway status --gateway http://10.0.0.7:5851      another one
  keyway status --counters                          with every counter since its start
  keyway status -o json | jq .records
";

/// Show the state of a node.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Also every counter since the node's start
    #[arg(long)]
    counters: bool,
}

/// `keyway status`.
pub(crate) async fn run(args: StatusArgs, session: &Session) -> Result<Exit, Failure> {
    let node = session.client()?.node().await?;
    let output = &session.output;
    if output.is_json() {
        output.json(&for_programs(&node)?)?;
        return Ok(Exit::Ok);
    }
    for (name, text) in screen(&node, output) {
        let name = format!("{name:<12}");
        output.line(format!("{} {text}", output.style(Style::Dim, &name)))?;
    }
    if args.counters {
        output.line("")?;
        let rows = node.counters.iter().map(|(name, count)| vec![name.clone(), thousands(*count)]);
        output.table(&["counter", "count"], &[1], rows)?;
    }
    Ok(Exit::Ok)
}

/// The node's state with the names of the REST interface, but for its program's version: `version` is that of our JSON.
fn for_programs(node: &Node) -> Result<serde_json::Value, Failure> {
    let mut told = serde_json::to_value(node).map_err(|e| Failure::new(Exit::Failure, e.to_string()))?;
    if let Some(fields) = told.as_object_mut()
        && let Some(version) = fields.remove("version")
    {
        fields.insert("keyway_version".into(), version);
    }
    Ok(told)
}

fn screen(node: &Node, output: &Output) -> Vec<(&'static str, String)> {
    let good = node.phase == "member" && !node.isolated && node.halt.is_none();
    let mut state = output.style(if good { Style::Green } else { Style::Yellow }, &node.phase);
    if node.isolated {
        state += ", isolated: no neighbour answers";
    }
    if let Some(halt) = &node.halt {
        state += &format!(", refuses writes: {}", halt.replace('_', " "));
    }
    let mut lines = vec![
        ("node", format!("{} at {}", output.style(Style::Bold, &node.id.to_string()), node.addr)),
        ("state", state),
    ];
    if let Some(why) = &node.refused {
        lines.push(("refused", crate::output::harmless(why)));
    }
    let network = node.network.as_deref().unwrap_or("not found yet");
    let (count, ready) = (node.shares.count, node.shares.ready);
    if let Some(disagreement) = terms::disagreement(node) {
        lines.push(("warning", output.style(Style::Yellow, &disagreement)));
    }
    lines.extend([
        ("network", format!("{network}, overlay {}", node.overlay)),
        ("ranges", format!("{ready} of {count} taken over")),
        ("records", format!("{}, {:#} of values", thousands(node.records), Size(node.record_bytes))),
        ("copies", format!("{} of each value, {} acknowledge a put", node.replicas, node.acks)),
        (
            "limits",
            format!(
                "values to {}, lives to {}",
                Size(node.value_bytes_max.into()),
                Span::from_secs(node.ttl_seconds_max).in_words()
            ),
        ),
        ("version", format!("{}, life {}", node.version, node.incarnation)),
    ]);
    lines
}
