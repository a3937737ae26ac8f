//! What a simulated node costs at 10^3, 10^4 and 10^5 nodes: time for each event, memory for each node.
//!
//! Absolute times say more about the machine than about the code; what is shown first are ratios, to the smallest world of
//! the same run and to the bound of the design.

use std::fmt;
use std::process::Command;

/// The worlds, and how long each is watched.
const WORLDS: [(u32, &str); 3] = [(1_000, "30m"), (10_000, "10m"), (100_000, "10m")];
/// A node alive with all its tables, at 100,000 nodes (DESIGN section 5).
const NODE_BYTES_MAX: f64 = 12.0 * 1024.0;

/// One world's cost.
struct Cost {
    nodes: u32,
    events: f64,
    micros: f64,
    node_bytes: f64,
}

impl Cost {
    fn measure(nodes: u32, span: &str) -> Result<Cost, String> {
        let count = nodes.to_string();
        let run = ["run", "--release", "-q", "-p", "keyway", "--", "-o", "json", "sim", "run"];
        let world = ["--settled", "--lookup-every", "10m", "--seed", "1", "--nodes", &count, "--for", span];
        let out = Command::new("cargo")
            .current_dir(crate::root())
            .args(run.iter().chain(&world))
            .output()
            .map_err(|e| format!("cargo: {e}"))?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).map_err(|e| e.to_string())?;
        let number = |name: &str| report[name].as_f64().ok_or(format!("the report has no number `{name}`"));
        let (events, seconds) = (number("events")?, number("wall_seconds")?);
        Ok(Cost { nodes, events, micros: 1e6 * seconds / events, node_bytes: number("node_bytes")? })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let million = self.events / 1e6;
        write!(f, "{:>8} {:>10.2} M {:>9.3} us {:>8.0} B", self.nodes, million, self.micros, self.node_bytes)
    }
}

/// Runs the worlds and prints a table. False if nodes are larger than the design allows.
///
/// # Errors
/// If a world cannot be run.
pub fn run() -> Result<bool, String> {
    println!("   nodes       events   an event    a node   event / first   node / bound");
    let mut first = None;
    let mut fits = true;
    for (nodes, span) in WORLDS {
        let cost = Cost::measure(nodes, span)?;
        let base: f64 = *first.get_or_insert(cost.micros);
        let share = cost.node_bytes / NODE_BYTES_MAX;
        println!("{cost} {:>15.2} {share:>14.2}", cost.micros / base);
        fits &= share <= 1.0 || nodes < 100_000;
    }
    Ok(fits)
}
