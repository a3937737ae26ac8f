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

use clap::{Args, Command, Subcommand};
use keyway_client::GATEWAY_DEFAULT;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::log::{self, LogFormat};
use crate::node::NodeArgs;
use crate::output::{Colour, Format, Output};
use crate::session::Session;
use crate::up::UpArgs;

/// What `node` logs when nobody says.
pub(crate) const LOG_OF_NODE: &str = "info";
/// What `up` logs when nobody says.
pub(crate) const LOG_OF_UP: &str = "warn";

/// What may stand in a configuration file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    /// As `--gateway`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
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

    /// What flags and variables say of what all verbs share.
    fn of(shared: &Shared) -> File {
        File {
            gateway: shared.gateway.clone(),
            token_file: shared.token_file.clone(),
            output: if shared.json { Some(Format::Json) } else { shared.output },
            color: shared.color,
            quiet: shared.quiet.then_some(true),
            log: shared.log.clone(),
            log_format: shared.log_format,
            ..File::default()
        }
    }

    /// What holds of it when nothing is said.
    fn defaults() -> File {
        File {
            gateway: vec![GATEWAY_DEFAULT.to_owned()],
            output: Some(Format::default()),
            color: Some(Colour::default()),
            quiet: Some(false),
            log_format: Some(LogFormat::default()),
            ..File::default()
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

/// A list of texts, or one text, in which commas stand between several as in a flag.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Texts::deserialize(from)? {
        Texts::One(text) => text.split(',').map(str::to_owned).collect(),
        Texts::Many(texts) => texts,
    })
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
    /// Read a configuration file and report what is wrong with it, also what `node` and `up` would refuse at once
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
            let path = file.or_else(|| location(shared.config.as_deref()));
            let checked = path.as_deref().map_or(Ok(()), |path| check_file(path, shared));
            if output.is_json() {
                let error = checked.as_ref().err().map(|failure| failure.json()["error"].clone());
                output.json(&json!({ "good": checked.is_ok(), "file": path, "error": error }))?;
                return checked.map(|()| Exit::Ok);
            }
            checked?;
            match path {
                Some(path) => output.line(format!("{}: good", path.display()))?,
                None => output.note("there is no configuration file; defaults apply"),
            }
        }
        ConfigVerb::Show(flags) => show(&flags, shared, output)?,
    }
    Ok(Exit::Ok)
}

/// Reads a file, and refuses what any verb would refuse at once.
fn check_file(path: &Path, shared: &Shared) -> Result<(), Failure> {
    check(&File::read(path)?, shared).map_err(|mut failure| {
        failure.message = format!("configuration {}: {}", path.display(), failure.message);
        failure
    })
}

/// Refuses what any verb would refuse at once.
fn check(file: &File, shared: &Shared) -> Result<(), Failure> {
    if let Some(filter) = shared.log.as_deref().or(file.log.as_deref()) {
        log::filter(filter)?;
    }
    Session::new(shared, file).client()?;
    let node = over(&of_environment::<NodeArgs>()?, &over(&file.node, &NodeArgs::defaults()));
    node.check().map_err(|failure| said_by("node", failure))?;
    let up = over(&of_environment::<UpArgs>()?, &over(&file.up, &UpArgs::defaults()));
    up.check().map_err(|failure| said_by("up", failure))
}

fn said_by(verb: &str, mut failure: Failure) -> Failure {
    failure.message = format!("`keyway {verb}` would refuse it: {}", failure.message);
    failure
}

/// What the variables say to a verb that gets no flag.
fn of_environment<T: Args>() -> Result<T, Failure> {
    let read =
        || T::from_arg_matches(&T::augment_args(Command::new("keyway")).try_get_matches_from(["keyway"])?);
    read().map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = format!("a KEYWAY_* variable: {}", first.trim_start_matches("error: "));
        Failure::new(Exit::Usage, message).hint("env | grep KEYWAY_ shows which are set")
    })
}

/// Prints every setting, what it is and who says so.
fn show(flags: &NodeArgs, shared: &Shared, output: &Output) -> Result<(), Failure> {
    let path = location(shared.config.as_deref());
    let file = path.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
    let from_file = path.map_or_else(String::new, |path| path.display().to_string());
    let [above, within, below] = [&File::of(shared), &file, &File::defaults()].map(shared_table);
    let common = Section::new(names::<Shared>(), above, within, below);
    let [above, within, below] = [flags, &file.node, &NodeArgs::defaults()].map(table);
    let node = Section::new(names::<NodeArgs>(), above, within, below);
    let [above, within, below] = [&of_environment()?, &file.up, &UpArgs::defaults()].map(table);
    let up = Section::new(names::<UpArgs>(), above, within, below);
    if output.is_json() {
        let mut all = serde_json::to_value(&node.effective).unwrap_or_default();
        all["shared"] = json!(common.effective);
        all["up"] = json!(up.effective);
        return output.json(&all);
    }
    common.print(&from_file, output)?;
    output.line("\n[node]")?;
    node.print(&from_file, output)?;
    output.line("\n[up]")?;
    up.print(&from_file, output)
}

/// What of a file all verbs share.
fn shared_table(file: &File) -> toml::Table {
    let mut all = table(file);
    all.retain(|_, value| !value.is_table());
    all
}

/// The names of a struct's flags that may stand in a file.
fn names<T: Args>() -> Vec<String> {
    let command = T::augment_args(Command::new("keyway"));
    let long = command.get_arguments().filter_map(|argument| argument.get_long());
    long.filter(|name| !matches!(*name, "json" | "config")).map(str::to_owned).collect()
}

/// Settings that stand together, as they are shown.
struct Section {
    names: Vec<String>,
    flags: toml::Table,
    file: toml::Table,
    effective: toml::Table,
}

impl Section {
    fn new(names: Vec<String>, flags: toml::Table, file: toml::Table, defaults: toml::Table) -> Section {
        let mut effective = defaults;
        effective.extend(file.clone());
        effective.extend(flags.clone());
        Section { names, flags, file, effective }
    }

    fn print(&self, path: &str, output: &Output) -> Result<(), Failure> {
        for name in &self.names {
            let (setting, source) = match self.effective.get(name) {
                Some(value) => (format!("{name} = {value}"), self.source(name, path)),
                None if name == "log" => {
                    (format!("# {name}"), format!("not set: {LOG_OF_NODE} of node, {LOG_OF_UP} of up"))
                }
                None => (format!("# {name}"), "not set".to_owned()),
            };
            output.line(format!("{setting:<40} # {source}"))?;
        }
        Ok(())
    }

    fn source(&self, name: &str, path: &str) -> String {
        match () {
            () if self.flags.contains_key(name) => "flag or variable".to_owned(),
            () if self.file.contains_key(name) => path.to_owned(),
            () => "default".to_owned(),
        }
    }
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
    fn one_text_is_a_list_of_one() {
        let file = read("gateway = \"a:1\"\n[node]\njoin = \"b:2,c:3\"\n").expect("a good file");
        assert_eq!(file.gateway, ["a:1"]);
        assert_eq!(file.node.join, ["b:2", "c:3"], "as the flag takes it");
        let error = read("quiet = true\ngateway = 7\n").expect_err("a number");
        assert!(error.contains("line 2") && error.contains("a text or a list of texts"), "{error}");
    }

    #[test]
    fn every_setting_of_a_file_has_a_name_to_show() {
        let full = File { token_file: Some("t".into()), log: Some("info".into()), ..File::defaults() };
        let names = names::<Shared>();
        assert_eq!(names.len(), shared_table(&full).len());
        assert!(shared_table(&full).keys().all(|key| names.contains(key)), "{names:?}");
        for key in table(&NodeArgs::defaults()).keys() {
            assert!(super::names::<NodeArgs>().contains(key), "{key}");
        }
        for key in table(&UpArgs::defaults()).keys() {
            assert!(super::names::<UpArgs>().contains(key), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = read("[node]\nacks = 1\nvalue-mx = 3\n").expect_err("a typo");
        assert!(error.contains("line 3") && error.contains("value-mx"), "{error}");
    }
}
