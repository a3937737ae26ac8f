//! `keyway sim list`: what scenarios can be made of.

use clap::Args;
use keyway_core::overlay::registry::OVERLAYS;
use keyway_sim::checkers;
use keyway_sim::swarm::Kind;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{Output, Style};

/// Name the overlays, models, faults and checkers
#[derive(Args, Debug)]
pub(super) struct ListArgs {}

const LATENCIES: [(&str, &str); 6] = [
    ("constant:20ms", "always the same"),
    ("uniform:10ms-80ms", "drawn for each frame"),
    ("exp:50ms", "exponential, drawn for each frame"),
    ("plane:100ms", "points of a square whose diagonal takes this long"),
    ("matrix:FILE", "a measured table, milliseconds one way"),
    ("rtt:FILE", "a measured table, milliseconds there and back"),
];

const SPREADS: [(&str, &str); 5] = [
    ("constant:1h", "always the same"),
    ("uniform:1m-2h", "anything between, equally likely"),
    ("exp:1h", "exponential with this mean"),
    ("weibull:0.5:5000s", "shape and scale; below 1 many short and few very long"),
    ("pareto:2:30m", "shape and least value; a heavy tail"),
];

/// `keyway sim list`.
pub(super) fn run(_: &ListArgs, output: &Output) -> Result<Exit, Failure> {
    let overlays: Vec<(&str, &str)> = OVERLAYS.iter().map(|e| (e.name, e.about)).collect();
    let faults: Vec<(String, &str)> =
        Kind::ALL.iter().map(|k| (format!("{k:?}"), if k.is_calm() { "calm" } else { "disturbs" })).collect();
    if output.is_json() {
        let names = |list: &[(&str, &str)]| -> Vec<serde_json::Value> {
            list.iter().map(|(name, about)| json!({"name": name, "about": about})).collect()
        };
        let faults: Vec<_> = faults.iter().map(|(name, about)| (name.as_str(), *about)).collect();
        output.json(&json!({
            "overlays": names(&overlays), "latencies": names(&LATENCIES), "distributions": names(&SPREADS),
            "faults": names(&faults), "checkers": names(&checkers::ALL),
        }))?;
        return Ok(Exit::Ok);
    }
    let section = |title: &str, rows: Vec<(&str, &str)>| -> Result<(), Failure> {
        output.line(output.style(Style::Bold, title))?;
        rows.iter().try_for_each(|(name, about)| output.line(format!("  {name:<20} {about}")))
    };
    section("Overlays (--overlay)", overlays)?;
    section("Latency models (--latency)", LATENCIES.to_vec())?;
    section("Distributions (--lifetime, --downtime)", SPREADS.to_vec())?;
    section(
        "Faults that a sweep draws",
        faults.iter().map(|(name, about)| (name.as_str(), *about)).collect(),
    )?;
    section("Checkers", checkers::ALL.to_vec())?;
    Ok(Exit::Ok)
}
