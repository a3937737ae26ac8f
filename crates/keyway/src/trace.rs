//! `keyway trace`: the lookup of a key, question by question.

use clap::Args;
use keyway_client::{TraceStep, Traced};

use crate::exit::{Exit, Failure};
use crate::output::{Style, plural};
use crate::peers::rtt;
use crate::session::{KeyArgs, Session};

const EXAMPLES: &str = "\
Examples:
  keyway trace colors                   whom the lookup asks, and what each says
  keyway trace --hex f8bd696759805b9098f9e13be67d2b248c7619d0
  keyway trace colors -o json
";

/// Show the lookup of a key, question by question.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    key: KeyArgs,
}

/// `keyway trace`.
pub(crate) async fn run(args: TraceArgs, session: &Session) -> Result<Exit, Failure> {
    let traced = session.client()?.trace(&args.key.place()?).await?;
    let output = &session.output;
    if output.is_json() {
        output.json(&traced)?;
    } else {
        let key = output.style(Style::Bold, &traced.key.to_string());
        output.line(format!("key {key}, {} lookup over {}", traced.style, traced.overlay))?;
        let rows = traced.steps.iter().enumerate().map(|(at, step)| row(at, step));
        output.table(&["", "asked", "address", "distance", "rtt", "answer"], &[0, 4], rows)?;
        output.line(end(&traced))?;
    }
    Ok(if traced.replicas.is_empty() { Exit::Partial } else { Exit::Ok })
}

fn row(at: usize, step: &TraceStep) -> Vec<String> {
    let id = step.peer.id.to_string();
    let distance = step.distance.to_string();
    vec![
        (at + 1).to_string(),
        id[..8].to_owned(),
        step.peer.addr.clone(),
        format!("{}..", &distance[..12]),
        rtt(step.rtt_ms),
        said(step),
    ]
}

/// What came of a question, in words.
fn said(step: &TraceStep) -> String {
    let count = step.named.len() as u64;
    let first = step.named.first().map_or_else(String::new, |peer| peer.id.to_string()[..8].to_owned());
    match step.answer.as_str() {
        "next" => format!("nearer: {first}{}", others(count)),
        "root" if step.named.first().is_some_and(|peer| peer.id == step.peer.id) => {
            "I am the root".to_owned()
        }
        "root" => format!("the root is {first}"),
        "around" => format!("all that I know around it: {count} {}", plural(count, "node", "nodes")),
        "stuck" => "no way on from here".to_owned(),
        "slow" => "slow: somebody else was asked".to_owned(),
        "silent" => "no answer".to_owned(),
        "open" => "not waited for".to_owned(),
        other => other.to_owned(),
    }
}

fn has_answered(step: &TraceStep) -> bool {
    !matches!(step.answer.as_str(), "slow" | "silent" | "open")
}

fn others(count: u64) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    }
}

fn end(traced: &Traced) -> String {
    let names: Vec<String> = traced.replicas.iter().map(|peer| peer.id.to_string()[..8].to_owned()).collect();
    // What the table shows, the root's own word included: it is no hop on the way there.
    let answered = traced.steps.iter().filter(|step| has_answered(step)).count() as u64;
    let cost = format!(
        "{answered} {} answered, {} slow or silent",
        plural(answered, "node", "nodes"),
        traced.timeouts
    );
    match names.split_first() {
        None => format!("no root was found; {cost}"),
        Some((root, [])) => format!("root {root}; {cost}"),
        Some((root, rest)) => format!("root {root}, copies on {}; {cost}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use keyway_client::{Key, PeerName};

    use super::*;

    fn peer(n: &str) -> PeerName {
        PeerName { id: Key::text(n), addr: "127.0.0.1:1".into() }
    }

    #[test]
    fn every_answer_has_words() {
        let step = |answer: &str, named: &[&str]| TraceStep {
            peer: peer("a"),
            distance: Key::text("d"),
            rtt_ms: None,
            answer: answer.into(),
            named: named.iter().map(|n| peer(n)).collect(),
        };
        let b = &Key::text("b").to_string()[..8];
        assert_eq!(said(&step("next", &["b", "c", "d"])), format!("nearer: {b} and 2 more"));
        assert_eq!(said(&step("next", &["b"])), format!("nearer: {b}"));
        assert_eq!(said(&step("root", &["a", "b"])), "I am the root");
        assert_eq!(said(&step("root", &["b", "a"])), format!("the root is {b}"));
        assert_eq!(said(&step("around", &["b"])), "all that I know around it: 1 node");
        assert_eq!(said(&step("silent", &[])), "no answer");
        // The root's own answer is no hop on the way to it, and stands in the table all the same.
        let traced = Traced {
            key: Key::text("k"),
            overlay: "chord".into(),
            style: "iterative".into(),
            steps: vec![step("slow", &[]), step("root", &["b"]), step("root", &["a"]), step("open", &[])],
            replicas: vec![peer("b")],
            hops: 1,
            timeouts: 1,
        };
        assert_eq!(end(&traced), format!("root {b}; 2 nodes answered, 1 slow or silent"));
    }
}
