//! Log lines on stderr, for people or for programs.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure};

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The filter that a text means.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(text).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log {text:?}: {error}"))
            .hint("write a level (error, warn, info, debug, trace) or a filter such as info,keyway_net=debug")
    })
}

/// Begins to log what passes a filter.
pub(crate) fn start(text: &str, format: LogFormat, colour: bool) -> Result<(), Failure> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(text)?).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_ansi(colour).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failure, format!("cannot log: {error}")))
}
