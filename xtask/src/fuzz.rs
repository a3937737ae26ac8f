//! Runs the fuzz targets for a while each.

use std::io;
use std::path::Path;
use std::process::Command;

/// Runs each target (all of `fuzz/fuzz_targets` if `target` is `None`) for `secs`, starting from its corpus. What it learns
/// goes to the build folder; the committed corpus stays small. True if nothing was found.
///
/// # Errors
/// If cargo-fuzz is not there, or a target does not build: neither is a finding.
pub fn run(target: Option<&str>, secs: u64) -> io::Result<bool> {
    let root = crate::root();
    let targets = targets(&root)?;
    if let Some(target) = target
        && !targets.iter().any(|t| t == target)
    {
        return Err(io::Error::other(format!("no target `{target}`; there are {}", targets.join(", "))));
    }
    if !cargo_fuzz(&root).arg("--version").status()?.success() {
        return Err(io::Error::other("cargo-fuzz is not installed: cargo install cargo-fuzz --locked"));
    }
    let mut clean = true;
    for name in targets.iter().filter(|t| target.is_none_or(|wanted| wanted == t.as_str())) {
        if !cargo_fuzz(&root).args(["build", name]).status()?.success() {
            return Err(io::Error::other(format!("fuzz target `{name}` does not build, see above")));
        }
        let learned = crate::target_dir().join("fuzz-corpus").join(name);
        std::fs::create_dir_all(&learned)?;
        let status = cargo_fuzz(&root)
            .args(["run", name])
            .arg(&learned)
            .arg(root.join("fuzz/corpus").join(name))
            .args([
                "--",
                &format!("-max_total_time={secs}"),
                "-max_len=8192",
                "-rss_limit_mb=2048",
                "-timeout=10",
            ])
            .status()?;
        println!("{name}: {}", if status.success() { "no finding" } else { "FINDING, see above" });
        clean &= status.success();
    }
    Ok(clean)
}

fn cargo_fuzz(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    // The sanitizer's flags need the unstable ones of a stable compiler.
    command.current_dir(root).env("RUSTC_BOOTSTRAP", "1").arg("fuzz");
    command
}

fn targets(root: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(root.join("fuzz/fuzz_targets"))?
        .filter_map(|entry| {
            entry.ok()?.file_name().into_string().ok()?.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}
