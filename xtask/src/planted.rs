//! Planted bugs: known mistakes, each behind `--cfg keyway_bug="NAME"`, and what finds each of them. A judge that never
//! convicts is no judge: green means something only while these go red.
//!
//! ```text
//!   for each bug:  a wrapper passes the cfg to the workspace's crates only (libraries are built once)
//!                  build ──▶ hunt, at most 60 s ──▶ the test must fail, the sweep must report a violation
//! ```
//!
//! The bug's own test hunts in the build that tests always have; the sweep in an optimised one (the profile `hunt`), as
//! `keyway sim sweep` does.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A hunt that has found nothing after this long has missed.
pub const HUNT_SECS_MAX: u64 = 60;

/// One planted bug and the test that must find it.
pub struct Bug {
    /// The value of the cfg.
    pub name: &'static str,
    /// The mistake in one line.
    pub about: &'static str,
    /// The test that fails first.
    pub hunt: Hunt,
    /// Whether it is in the nodes, where a sweep of drawn worlds must find it too.
    pub in_nodes: bool,
}

/// A test that must fail.
#[derive(Clone, Copy)]
pub struct Hunt {
    /// Its package.
    pub package: &'static str,
    /// `--lib`, or `--test` and the name of an integration test.
    pub target: &'static [&'static str],
    /// A filter for its name.
    pub filter: &'static str,
    /// Which worlds to draw, if it is the sweep.
    pub worlds: Option<Worlds>,
}

/// Worlds to sweep.
#[derive(Clone, Copy)]
pub struct Worlds {
    seeds: u64,
    overlay: Option<&'static str>,
}

const fn core(name: &'static str, filter: &'static str, about: &'static str) -> Bug {
    Bug {
        name,
        about,
        hunt: Hunt { package: "keyway-core", target: &["--lib"], filter, worlds: None },
        in_nodes: true,
    }
}

impl Bug {
    /// The overlay that has the bug, if it is one overlay's.
    fn overlay(&self) -> Option<&'static str> {
        self.name.starts_with("chord_").then_some("chord")
    }

    /// The sweep, with more worlds than fit into a hunt.
    fn sweep(&self) -> Hunt {
        Hunt {
            package: "keyway-sim",
            target: &["--profile", "hunt", "--test", "drawn_worlds"],
            filter: "drawn_worlds_keep_every_promise",
            worlds: Some(Worlds { seeds: 1_000_000, overlay: self.overlay() }),
        }
    }
}

/// Every planted bug.
pub static BUGS: &[Bug] = &[
    core(
        "chord_adopt_unverified",
        "overlay::chord",
        "a successor's predecessor is adopted without asking it",
    ),
    core("chord_no_merge", "overlay::chord", "two rings that meet do not become one"),
    core(
        "chord_no_rectify",
        "overlay::chord",
        "a notify replaces the predecessor without a look at the old one",
    ),
    Bug {
        name: "chord_rules_2001",
        about: "join, stabilize and notify as published in 2001: pointers are adopted unseen, predecessors never looked after",
        hunt: Hunt {
            package: "keyway-sim",
            target: &["--test", "model_chord"],
            filter: "a_newcomer_and_its_successor_may_crash",
            worlds: None,
        },
        in_nodes: true,
    },
    // What they delay is mended later: no promise is broken that a sweep would notice.
    Bug {
        in_nodes: false,
        ..core(
            "chord_way_back_waits",
            "overlay::chord",
            "a node whose list has died waits a period at each dead step",
        )
    },
    Bug {
        in_nodes: false,
        ..core(
            "rpc_samples_waits",
            "rpc::tests",
            "how long a busy peer waits is taken for the length of its link",
        )
    },
    core("chord_stale_lists", "overlay::chord", "a successor list is not refreshed from its head"),
    core("store_ack_before_disk", "store::tests::", "a put is answered before its disk has answered"),
    core("store_merge_last_wins", "store::tests::", "of two copies the later arrival wins, not the greater"),
    core("store_ttl_restarted", "store::tests::", "a copy that arrives begins its life again"),
    core("store_remove_loses", "store::tests::", "a remove loses against a put that lives longer"),
    core("store_replay_accepted", "node::tests::values", "the life of what is signed begins when it is put"),
    core(
        "node_remove_short",
        "node::tests::values",
        "a remove stands as long as was asked, not as what it hides",
    ),
    core(
        "node_shows_removed",
        "node::tests::values",
        "what one replica has removed is served as another has it",
    ),
    core("node_restore_renews", "node::tests::restore", "what is put back begins its life again"),
    core("store_quota_not_charged", "store::tests::", "copies that are handed over cost nobody anything"),
    core("node_ack_too_early", "node::", "one acknowledgement is enough for a client"),
    core("node_no_handoff", "node::", "a range that moved is not taken over"),
    Bug {
        name: "net_ack_before_fsync",
        about: "the answer does not wait for the outcome of the commit",
        hunt: Hunt {
            package: "keyway-net",
            target: &["--test", "disk_faults"],
            filter: "any_operation_may_fail",
            worlds: None,
        },
        in_nodes: false,
    },
    Bug {
        name: "gateway_header_timer_unset",
        about: "a head may take for ever",
        hunt: Hunt {
            package: "keyway-gateway",
            target: &["--test", "limits"],
            filter: "by_default_a_head_has_five_seconds",
            worlds: None,
        },
        in_nodes: false,
    },
];

/// How a hunt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The mistake was noticed; the first line that says so.
    Found(String),
    /// Everything passed, or nothing failed in time.
    Missed(String),
    /// The build failed: the hunt says nothing.
    Broken(String),
}

/// Plants and hunts the bugs of these names (all if there are none), until `secs_max` have passed in all. With `sweep` it is
/// not each bug's own test that hunts but the sweep of drawn worlds, and bugs outside the nodes are left out. Prints a
/// line for each. True if every bug that was hunted was found.
///
/// # Errors
/// If cargo cannot be run or a wrapper not be written.
pub fn run(names: &[&str], sweep: bool, secs_max: Option<u64>) -> io::Result<bool> {
    for name in names {
        if !BUGS.iter().any(|bug| bug.name == *name) {
            return Err(io::Error::other(format!("no planted bug `{name}`: see xtask/src/planted.rs")));
        }
    }
    let started = Instant::now();
    let (mut found, mut missed, mut skipped) = (0, 0, 0);
    let chosen = |bug: &&Bug| (names.is_empty() || names.contains(&bug.name)) && (bug.in_nodes || !sweep);
    for bug in BUGS.iter().filter(chosen) {
        if secs_max.is_some_and(|max| started.elapsed().as_secs() >= max) {
            println!("{:<24} skipped: the time for planted bugs is up", bug.name);
            skipped += 1;
            continue;
        }
        let begun = Instant::now();
        let outcome = hunt(bug.name, if sweep { bug.sweep() } else { bug.hunt })?;
        let secs = begun.elapsed().as_secs();
        match outcome {
            Outcome::Found(line) => {
                found += 1;
                println!("{:<24} found ({secs} s with the build): {line}", bug.name);
            }
            Outcome::Missed(why) => {
                missed += 1;
                println!("{:<24} MISSED: {why} ({})", bug.name, bug.about);
            }
            Outcome::Broken(why) => {
                missed += 1;
                println!("{:<24} BROKEN: {why}", bug.name);
            }
        }
    }
    println!("planted bugs: {found} found, {missed} missed, {skipped} skipped");
    Ok(missed == 0)
}

/// Builds the hunt's test with the bug in it, then runs it.
fn hunt(name: &str, hunt: Hunt) -> io::Result<Outcome> {
    let wrapper = wrapper(name)?;
    let mut build = cargo_test(&hunt, &wrapper);
    let built = build.arg("--no-run").stdin(Stdio::null()).output()?;
    if !built.status.success() {
        return Ok(Outcome::Broken(first_line(&built.stderr, "error")));
    }
    let mut command = cargo_test(&hunt, &wrapper);
    command.arg(hunt.filter);
    let begun = Instant::now();
    let (passed, output) = run_for(&mut command, Duration::from_secs(HUNT_SECS_MAX))?;
    let text = String::from_utf8_lossy(&output);
    Ok(match passed {
        Some(false) if text.contains("test result: FAILED") => Outcome::Found(evidence(&text)),
        Some(false) => Outcome::Broken(first_line(&output, "error")),
        Some(true) if text.contains(" 0 passed") => Outcome::Broken("no test has that name".to_owned()),
        Some(true) => Outcome::Missed(format!("`{}` passed", hunt.filter)),
        None => Outcome::Missed(format!("nothing after {} s", begun.elapsed().as_secs())),
    })
}

fn cargo_test(hunt: &Hunt, wrapper: &Path) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command
        .current_dir(crate::root())
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper)
        .env_remove("RUSTFLAGS")
        .env("RUST_BACKTRACE", "0")
        .args(["test", "--quiet", "--package", hunt.package])
        .args(hunt.target);
    if let Some(worlds) = hunt.worlds {
        command.env("SWEEP_SEEDS", worlds.seeds.to_string());
        command.envs(worlds.overlay.map(|name| ("SWEEP_OVERLAY", name)));
    }
    command
}

/// A compiler wrapper that plants the bug in the crates of the workspace and leaves the libraries alone, so that cargo
/// keeps what it has built of them.
fn wrapper(name: &str) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = crate::target_dir().join("planted");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let script = format!("#!/bin/sh\nexec \"$@\" --cfg 'keyway_bug=\"{name}\"'\n");
    // Cargo looks at the wrapper's age: an unchanged one is left as it is.
    if std::fs::read_to_string(&path).ok().as_deref() != Some(&script) {
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(path)
}

/// Runs a command for at most so long. `None` if its time was up; with what it printed.
fn run_for(command: &mut Command, time_max: Duration) -> io::Result<(Option<bool>, Vec<u8>)> {
    use std::os::unix::process::CommandExt as _;

    let mut child =
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).map(|_| output)
    });
    let begun = Instant::now();
    let mut passed = None;
    while begun.elapsed() < time_max {
        if let Some(status) = child.try_wait()? {
            passed = Some(status.success());
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if passed.is_none() {
        // Cargo and the test that it runs are one process group of their own.
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status()?;
        let _ = child.wait()?;
    }
    let output = reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    Ok((passed, output))
}

/// The first failed test, and what it said.
fn evidence(text: &str) -> String {
    let failed = text.lines().find_map(|l| l.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let said = text.lines().skip_while(|l| !l.contains("panicked at"));
    let said = said.skip(1).find(|l| l.contains("FAIL ") || !l.starts_with("assertion")).unwrap_or("").trim();
    format!("{}: {}", failed.unwrap_or("a test"), said.chars().take(160).collect::<String>())
}

fn first_line(output: &[u8], with: &str) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().find(|l| l.contains(with)).or_else(|| text.lines().next());
    line.unwrap_or("it said nothing").to_owned()
}
