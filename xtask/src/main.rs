//! `cargo xtask TASK`: see `cargo xtask help`.

use std::process::{Command, ExitCode};

use xtask::{fuzz, peers, planted, tidy};

const HELP: &str = "\
Tasks of the repository: cargo xtask TASK

  tidy [--list]                       check the rules of the house (also a test); or list them
  golden                              refresh the committed trace hashes, wire bytes and OpenAPI document, after a change on purpose
  corpus                              write the seeds of the fuzz corpora again
  planted-bugs [--secs N] [NAME..]    show that each planted bug is found by its own test
  planted-bugs --sweep [NAME..]       show that each planted bug of the nodes is found by a sweep, in a minute
  planted-bugs --list                 list them
  real-load [ARGS..]                  eight real nodes under load while some are killed; figures (minutes)
  bench-peers [--script FILE] [--python PYTHON] [--rounds N] [PEER..]
                                      keyway bench and sim beside other DHTs and a bare UDP echo; medians and ratios
  fuzz [TARGET] [--seconds N]         run the fuzz targets, 60 seconds each (needs cargo-fuzz)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["tidy"] => check(),
        ["tidy", "--list"] => {
            for check in tidy::CHECKS {
                println!("{:<14} {}", check.name, check.rule);
            }
            Ok(true)
        }
        ["golden"] => refresh(&[
            ("keyway-core", "golden_bytes"),
            ("keyway-core", "golden_signatures"),
            ("keyway-sim", "golden"),
            ("keyway-gateway", "openapi"),
        ]),
        ["corpus"] => refresh(&[("keyway-core", "corpus"), ("keyway-gateway", "corpus")]),
        ["planted-bugs", "--list"] => {
            for bug in planted::BUGS {
                println!("{:<24} {}", bug.name, bug.about);
            }
            Ok(true)
        }
        ["planted-bugs", rest @ ..] => option(rest, "--secs").and_then(|(secs, mut names)| {
            let sweep = names.contains(&"--sweep");
            names.retain(|name| *name != "--sweep");
            planted::run(&names, sweep, secs).map_err(|e| e.to_string())
        }),
        ["real-load", rest @ ..] => cargo(&[&["bench", "--bench", "real_load", "--"], rest].concat(), &[]),
        ["bench-peers", rest @ ..] => bench_peers(rest),
        ["fuzz", rest @ ..] => option(rest, "--seconds").and_then(|(secs, names)| {
            fuzz::run(names.first().copied(), secs.unwrap_or(60)).map_err(|e| e.to_string())
        }),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        [unknown, ..] => Err(format!("no task `{unknown}`\n\n{HELP}")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{}", why.trim_end());
            ExitCode::from(2)
        }
    }
}

/// Takes `name N` out of the arguments.
fn option<'a>(arguments: &[&'a str], name: &str) -> Result<(Option<u64>, Vec<&'a str>), String> {
    let mut rest = arguments.to_vec();
    let Some(at) = rest.iter().position(|a| *a == name) else { return Ok((None, rest)) };
    rest.remove(at);
    if at >= rest.len() {
        return Err(format!("{name} wants a number"));
    }
    let number = rest.remove(at).parse().map_err(|_| format!("{name} wants a number"))?;
    Ok((Some(number), rest))
}

/// Takes `name VALUE` out of the arguments.
fn word<'a>(arguments: &mut Vec<&'a str>, name: &str) -> Result<Option<&'a str>, String> {
    let Some(at) = arguments.iter().position(|a| *a == name) else { return Ok(None) };
    arguments.remove(at);
    if at >= arguments.len() {
        return Err(format!("{name} wants a value"));
    }
    Ok(Some(arguments.remove(at)))
}

fn bench_peers(arguments: &[&str]) -> Result<bool, String> {
    let (rounds, mut rest) = option(arguments, "--rounds")?;
    let script = word(&mut rest, "--script")?;
    let python = word(&mut rest, "--python")?.unwrap_or("python3");
    if script.is_none() && !rest.is_empty() {
        return Err("peers are measured by a script of yours: name it with --script".into());
    }
    if script.is_none() {
        eprintln!("no --script: only keyway and the echo are measured");
    }
    let peers = if script.is_some() && rest.is_empty() { vec!["libtorrent", "opendht"] } else { rest };
    let plan = peers::Plan {
        script,
        python,
        peers,
        bench: Vec::new(),
        rounds: rounds.unwrap_or(peers::ROUNDS).max(1),
    };
    peers::run(&plan).map(|()| true).map_err(|e| e.to_string())
}

fn check() -> Result<bool, String> {
    let tree = tidy::Tree::load(&xtask::root()).map_err(|e| format!("cannot read the repository: {e}"))?;
    let findings = tidy::run_all(&tree);
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|f| !f.warning).count();
    println!("tidy: {} checks, {errors} errors, {} warnings", tidy::CHECKS.len(), findings.len() - errors);
    Ok(errors == 0)
}

/// Runs tests that compare with committed files, told to write the files instead.
fn refresh(tests: &[(&str, &str)]) -> Result<bool, String> {
    for (package, test) in tests {
        if !cargo(&["test", "--quiet", "--package", package, "--test", test], &[("UPDATE", "1")])? {
            return Ok(false);
        }
    }
    println!("written; look at the difference, and say in the commit why it is right");
    Ok(true)
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<bool, String> {
    let status = Command::new("cargo")
        .current_dir(xtask::root())
        .envs(environment.iter().copied())
        .args(arguments)
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    Ok(status.success())
}
