//! `cargo xtask TASK`: see `cargo xtask help`.

use std::process::ExitCode;

use xtask::tidy;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["tidy"] => check(),
        ["tidy", "--list"] => {
            for check in tidy::CHECKS {
                println!("{:<14} {}", check.name, check.rule);
            }
            ExitCode::SUCCESS
        }
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

const HELP: &str = "\
Tasks of the repository: cargo xtask TASK

  tidy            check the rules of the house (also a test: cargo test -p xtask)
  tidy --list     list them
";

fn check() -> ExitCode {
    let tree = match tidy::Tree::load(&xtask::root()) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("cannot read the repository: {error}");
            return ExitCode::FAILURE;
        }
    };
    let findings = tidy::run_all(&tree);
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|f| !f.warning).count();
    println!("tidy: {} checks, {errors} errors, {} warnings", tidy::CHECKS.len(), findings.len() - errors);
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
