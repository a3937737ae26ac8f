//! Log lines on stderr, for people or for programs.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
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

/// The filter that a text means. A word alone must be a level: as a target without one it would silence all others.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, Failure> {
    let refused = |why: String| {
        Failure::new(Exit::Usage, format!("--log {text:?}: {why}"))
            .hint("write a level (off, error, warn, info, debug, trace) or targets with theirs, such as info,keyway_net=debug")
    };
    let word = text.trim();
    let is_bare = !word.is_empty() && !word.contains([',', '=', '[']);
    if is_bare && word.parse::<LevelFilter>().is_err() {
        return Err(refused("it is no level, and a target needs one (target=level)".to_owned()));
    }
    EnvFilter::try_new(text).map_err(|error| refused(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_alone_is_a_level() {
        for good in [
            "",
            "info",
            "TRACE",
            "off",
            " debug ",
            "info,keyway_net=debug",
            "keyway_net=debug",
            "warn,keyway_net",
        ] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        for bad in ["nonsense", "keyway_net", "keyway_net::driver", "info=nonsense"] {
            let failure = filter(bad).expect_err("no filter");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(bad), "{failure}");
            assert!(
                failure.hint.is_some_and(|hint| hint.contains("info") && hint.contains("keyway_net=debug"))
            );
        }
    }
}
