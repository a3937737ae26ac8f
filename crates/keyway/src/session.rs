//! What every verb gets: where to write, and which gateways to ask.

use std::path::PathBuf;

use keyway_client::{Client, ClientSettings, GATEWAY_DEFAULT, Key};

use crate::cli::Shared;
use crate::config::File;
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::{secrets, shell};

/// The shared settings, decided.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Where to write, and how.
    pub(crate) output: Output,
    /// The gateways, in order of preference. Never empty.
    pub(crate) gateways: Vec<String>,
    /// Where the token stands that they are shown.
    token_file: Option<PathBuf>,
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
            token_file: shared.token_file.clone().or_else(|| file.token_file.clone()),
        }
    }

    /// A client of the gateways.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_of(&self.gateways)
    }

    /// The same of these.
    pub(crate) fn client_of(&self, gateways: &[String]) -> Result<Client, Failure> {
        Ok(Client::with_settings(gateways, self.client_settings()?)?)
    }

    /// How a client asks them: with the usual bounds, and the token.
    pub(crate) fn client_settings(&self) -> Result<ClientSettings, Failure> {
        let token = self.token_file.as_deref().map(|path| secrets::access_token(path, &self.output));
        Ok(ClientSettings { token: token.transpose()?, ..ClientSettings::default() })
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

    /// As it stands at the end of a command that can be pasted into a shell.
    pub(crate) fn words(&self) -> String {
        if self.hex {
            return format!("--hex {}", shell::word(&self.key));
        }
        // What cannot be shown cannot be pasted either.
        if self.key.chars().any(char::is_control) {
            return format!("--hex {}", Key::text(&self.key));
        }
        let dashes = if self.key.starts_with('-') { "-- " } else { "" };
        format!("{dashes}{}", shell::word(&self.key))
    }
}

/// The place that a key names: SHA-1 of a text, or hex digits as they are.
pub(crate) fn place(key: &str, hex: bool) -> Result<Key, Failure> {
    if hex { Ok(Key::hex(key)?) } else { Ok(Key::text(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_as_it_can_be_pasted() {
        let words = |key: &str, hex| KeyArgs { key: key.to_owned(), hex }.words();
        assert_eq!(words("colors", false), "colors");
        assert_eq!(words("two words", false), "'two words'");
        assert_eq!(words("", false), "''");
        assert_eq!(words("-x y", false), "-- '-x y'");
        let digits = Key::text("colors").to_string();
        assert_eq!(words(&digits, true), format!("--hex {digits}"));
        assert_eq!(words("a\u{1b}b", false), format!("--hex {}", Key::text("a\u{1b}b")));
    }
}
