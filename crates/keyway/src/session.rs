//! What every verb gets: where to write, and which gateways to ask.

use keyway_client::{Client, GATEWAY_DEFAULT, Key};

use crate::cli::Shared;
use crate::config::File;
use crate::exit::Failure;
use crate::output::{Format, Output};

/// The shared settings, decided.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Where to write, and how.
    pub(crate) output: Output,
    /// The gateways, in order of preference. Never empty.
    pub(crate) gateways: Vec<String>,
}

impl Session {
    /// Decides by flag or variable, then file, then default.
    pub(crate) fn new(shared: &Shared, file: &File) -> Session {
        let format = if shared.json { Some(Format::Json) } else { shared.output.or(file.output) };
        let colour = shared.color.or(file.color).unwrap_or_default();
        let quiet = shared.quiet || file.quiet.unwrap_or(false);
        let gateways = [&shared.gateway, &file.gateway].into_iter().find(|list| !list.is_empty());
        Session {
            output: Output::new(format.unwrap_or_default(), colour, quiet),
            gateways: gateways.cloned().unwrap_or_else(|| vec![GATEWAY_DEFAULT.to_owned()]),
        }
    }

    /// A client of the gateways.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.gateways)?)
    }
}

/// A key as verbs take it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct KeyArgs {
    /// The key: a text, or 40 hex digits with --hex
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// KEY is 40 hex digits, not a text
    #[arg(long)]
    pub(crate) hex: bool,
}

impl KeyArgs {
    /// The place that it names.
    pub(crate) fn place(&self) -> Result<Key, Failure> {
        place(&self.key, self.hex)
    }
}

/// The place that a key names: SHA-1 of a text, or hex digits as they are.
pub(crate) fn place(key: &str, hex: bool) -> Result<Key, Failure> {
    if hex { Ok(Key::hex(key)?) } else { Ok(Key::text(key)) }
}
