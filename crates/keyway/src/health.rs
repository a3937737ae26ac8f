//! `keyway health`: for probes. The exit code says whether the gateway's node serves; the text says why not.
//!
//! Whatever keeps the answer away, silence and another program included, is one thing for a probe: the node is not reached.

use std::time::Duration;

use clap::Args;
use keyway_client::{Client, ClientError, ClientSettings, Readiness};
use serde::Serialize;

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Style};
use crate::session::Session;
use crate::shortage::{self, Shortage};
use crate::terms;

const EXAMPLES: &str = "\
Examples:
  keyway health && echo serves
  keyway health --gateway http://10.0.0.7:5851 --timeout 1s -q

The exit code is 0 when the node serves, 4 when it refuses writes or is not ready, 6 when it is isolated, has not \
joined, or is not reached: nothing answers in time, or another program does.
";

/// Tell by the exit code whether a node serves.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct HealthArgs {
    /// How long each gateway is waited for
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    timeout: Span,
}

/// What programs read.
#[derive(Serialize)]
struct Health<'a> {
    #[serde(flatten)]
    readiness: &'a Readiness,
    /// What does not keep it from being ready, and yet from serving.
    warnings: Vec<String>,
}

/// `keyway health`. Without `--gateway` fail-over: a probe is about one node, the first that answers.
pub(crate) async fn run(args: HealthArgs, session: &Session) -> Result<Exit, Failure> {
    let each = Duration::from(args.timeout).max(Duration::from_millis(1));
    let settings = ClientSettings {
        connect_timeout: each,
        request_timeout: each,
        deadline: each.saturating_mul(u32::try_from(session.gateways.len()).unwrap_or(u32::MAX)),
        ..session.client_settings()?
    };
    let client = Client::with_settings(&session.gateways, settings)?;
    let readiness = client.ready().await.map_err(unreached)?;
    let node = if readiness.ready { shortage::node_of(&client).await } else { None };
    let shortage = node.as_ref().and_then(Shortage::of);
    let shortage = shortage.map(|shortage| format!("{shortage}; {}", shortage.way_out()));
    let warnings = shortage.into_iter().chain(node.as_ref().and_then(terms::disagreement)).collect();
    tell(&Health { readiness: &readiness, warnings }, &session.output)?;
    let fails = |name: &str| readiness.checks.iter().any(|check| check.name == name && !check.ok);
    Ok(match readiness.ready {
        true => Exit::Ok,
        false if fails("member") || fails("connected") => Exit::Isolated,
        false => Exit::Refused,
    })
}

fn tell(health: &Health<'_>, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(health);
    }
    let Health { readiness, warnings } = health;
    let (style, word) = if readiness.ready { (Style::Green, "ready") } else { (Style::Red, "not ready") };
    output.line(output.style(style, word))?;
    for check in &readiness.checks {
        let (style, word) = if check.ok { (Style::Green, "ok ") } else { (Style::Red, "no ") };
        output.line(format!("  {} {:<12} {}", output.style(style, word), check.name, check.message))?;
    }
    if readiness.checks.is_empty() {
        readiness.reasons.iter().try_for_each(|reason| output.line(format!("  {reason}")))?;
    }
    let mark = output.style(Style::Yellow, "warning");
    warnings.iter().try_for_each(|warning| output.line(format!("  {mark} {warning}")))
}

/// No answer, in words that do not name this verb as the way out.
fn unreached(error: ClientError) -> Failure {
    let hint = match &error {
        ClientError::Timeout { .. } => {
            "something takes the connection and says nothing: is its node overloaded, or is it another program? --timeout waits longer"
        }
        ClientError::Protocol(_) => {
            "another program answers there: the port for clients is what `keyway node` prints after `clients`, 5851 by default"
        }
        _ => return error.into(),
    };
    Failure { exit: Exit::Isolated, ..Failure::from(error) }.hint(hint)
}
