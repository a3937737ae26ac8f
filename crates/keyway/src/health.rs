//! `keyway health`: for probes. The exit code says whether the gateway's node serves; the text says why not.

use clap::Args;

use crate::exit::{Exit, Failure};
use crate::output::Style;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  keyway health && echo serves
  keyway health --gateway http://10.0.0.7:5851 -q

The exit code is 0 when the node serves, 4 when it refuses writes or is not ready, 6 when it is isolated, has not \
joined, or is not reached.
";

/// Tell by the exit code whether a node serves.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct HealthArgs {}

/// `keyway health`. Without `--gateway` fail-over: a probe is about one node, the first that answers.
pub(crate) async fn run(_: HealthArgs, session: &Session) -> Result<Exit, Failure> {
    let readiness = session.client()?.ready().await?;
    let output = &session.output;
    if output.is_json() {
        output.json(&readiness)?;
    } else {
        let (style, word) = if readiness.ready { (Style::Green, "ready") } else { (Style::Red, "not ready") };
        output.line(output.style(style, word))?;
        for check in &readiness.checks {
            let (style, word) = if check.ok { (Style::Green, "ok ") } else { (Style::Red, "no ") };
            output.line(format!("  {} {:<12} {}", output.style(style, word), check.name, check.message))?;
        }
        if readiness.checks.is_empty() {
            readiness.reasons.iter().try_for_each(|reason| output.line(format!("  {reason}")))?;
        }
    }
    let fails = |name: &str| readiness.checks.iter().any(|check| check.name == name && !check.ok);
    Ok(match readiness.ready {
        true => Exit::Ok,
        false if fails("member") || fails("connected") => Exit::Isolated,
        false => Exit::Refused,
    })
}
