//! Settings from a TOML file, below flags and `KEYWAY_*` variables and above defaults; `keyway config`.
//!
//! ```text
//!   flag  >  KEYWAY_* variable  >  file  >  default
//! ```
//!
//! A setting has one name: the flag `--value-max`, the variable `KEYWAY_VALUE_MAX` and the key `value-max` under `[node]`
//! are one field of [`NodeArgs`], which is read by clap and by serde alike. A key that no field has is an error that
//! names its line. The first of these files counts, alone: `--config`, `$XDG_CONFIG_HOME/keyway/config.toml` (or
//! `~/.config/keyway/config.toml`), `/etc/keyway/config.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::log::LogFormat;
use crate::node::NodeArgs;
use crate::output::{Colour, Format, Output};
use crate::up::UpArgs;

/// What may stand in a configuration file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    /// As `--gateway`.
    pub(crate) gateway: Vec<String>,
    /// As `--token-file`.
    pub(crate) token_file: Option<PathBuf>,
    /// As `--output`.
    pub(crate) output: Option<Format>,
    /// As `--color`.
    pub(crate) color: Option<Colour>,
    /// As `--quiet`.
    pub(crate) quiet: Option<bool>,
    /// As `--log`.
    pub(crate) log: Option<String>,
    /// As `--log-format`.
    pub(crate) log_format: Option<LogFormat>,
    /// The flags of `keyway node`.
    pub(crate) node: NodeArgs,
    /// The flags of `keyway up`.
    pub(crate) up: UpArgs,
}

impl File {
    /// Reads the file that counts; without one everything is unset.
    pub(crate) fn find(explicit: Option<&Path>) -> Result<File, Failure> {
        match location(explicit) {
            Some(path) => File::read(&path),
            None => Ok(File::default()),
        }
    }

    fn read(path: &Path) -> Result<File, Failure> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot read the configuration {name}: {error}"))
        })?;
        toml::from_str(&text).map_err(|error| {
            let error = error.to_string();
            Failure::new(Exit::Usage, format!("configuration {name}: {}", error.trim_end()))
                .hint("`keyway config show` lists every setting with its value")
        })
    }
}

/// The file that counts, if there is one.
fn location(explicit: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = explicit {
        return Some(path.to_owned());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let user = home.map(|dir| dir.join("keyway/config.toml"));
    user.into_iter().chain([PathBuf::from("/etc/keyway/config.toml")]).find(|path| path.exists())
}

/// `above` where it says something, else `below`. `T` must write unset fields not at all, and be read from what it wrote.
pub(crate) fn over<T: Serialize + DeserializeOwned>(above: &T, below: &T) -> T {
    let mut merged = table(below);
    merged.extend(table(above));
    toml::Value::Table(merged).try_into().expect("a settings struct reads what it wrote")
}

fn table<T: Serialize>(settings: &T) -> toml::Table {
    toml::Table::try_from(settings).expect("a settings struct is a table of plain values")
}

/// Check and show configuration.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Subcommand, Debug)]
enum ConfigVerb {
    /// Read a configuration file and report what is wrong with it, with the line
    Check {
        /// The file [default: the one that would be used]
        file: Option<PathBuf>,
    },
    /// Print what `keyway node` and `keyway up` would use, and where each setting comes from
    Show(Box<NodeArgs>),
}

/// `keyway config`.
pub(crate) fn run(args: ConfigArgs, shared: &Shared, output: &Output) -> Result<Exit, Failure> {
    match args.verb {
        ConfigVerb::Check { file } => {
            let Some(path) = file.or_else(|| location(shared.config.as_deref())) else {
                output.note("there is no configuration file; defaults apply");
                return Ok(Exit::Ok);
            };
            File::read(&path)?;
            output.line(format!("{}: good", path.display()))?;
        }
        ConfigVerb::Show(flags) => {
            let path = location(shared.config.as_deref());
            let file = path.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
            let effective = over(&*flags, &over(&file.node, &NodeArgs::defaults()));
            if output.is_json() {
                output.json(&effective)?;
                return Ok(Exit::Ok);
            }
            let from_file = path.map_or_else(String::new, |path| path.display().to_string());
            output.line("[node]")?;
            lines(&effective, &*flags, &file.node, &from_file, output)?;
            let up = over(&file.up, &UpArgs::defaults());
            output.line("\n[up]")?;
            lines(&up, &UpArgs::default(), &file.up, &from_file, output)?;
        }
    }
    Ok(Exit::Ok)
}

fn lines<T: Serialize>(
    effective: &T,
    flags: &T,
    file: &T,
    path: &str,
    output: &Output,
) -> Result<(), Failure> {
    let (flags, file) = (table(flags), table(file));
    for (name, value) in table(effective) {
        let source = match () {
            () if flags.contains_key(&name) => "flag or variable",
            () if file.contains_key(&name) => path,
            () => "default",
        };
        let setting = format!("{name} = {value}");
        output.line(format!("{setting:<40} # {source}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("config.toml");
        fs::write(&path, text).expect("a temporary file");
        File::read(&path).map_err(|failure| failure.message)
    }

    #[test]
    fn a_file_has_the_names_of_the_flags() {
        let text =
            "gateway = [\"a:1\"]\n[node]\nlisten = \"127.0.0.1:7000\"\nvalue-max = \"1MiB\"\nacks = 1\n";
        let file = read(text).expect("a good file");
        assert_eq!(file.gateway, ["a:1"]);
        let node = over(&file.node, &NodeArgs::defaults());
        assert_eq!(node.acks, Some(1));
        assert_eq!(node.replicas, NodeArgs::defaults().replicas);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = read("[node]\nacks = 1\nvalue-mx = 3\n").expect_err("a typo");
        assert!(error.contains("line 3") && error.contains("value-mx"), "{error}");
    }
}
