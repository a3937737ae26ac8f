//! What a request may be about: reading values, changing them, operating the node.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Reading and watching values, and where they are.
    Read,
    /// Putting and removing values.
    Write,
    /// What concerns the node and other clients: tables, records, usage, metrics, snapshots.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    const fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of scopes; as text `read,write`, or `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Scopes = Scopes(0);
    /// Everything.
    pub const ALL: Scopes = Scopes(Scope::Read.bit() | Scope::Write.bit() | Scope::Admin.bit());
    /// What an application needs.
    pub const CLIENT: Scopes = Scopes(Scope::Read.bit() | Scope::Write.bit());

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Scope::ALL.iter().filter(|scope| self.has(**scope)).map(|scope| scope.name()).collect();
        if names.is_empty() { f.write_str("none") } else { f.write_str(&names.join(",")) }
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(text: &str) -> Result<Scopes, String> {
        if text == "none" {
            return Ok(Scopes::NONE);
        }
        text.split(',').try_fold(Scopes::NONE, |scopes, word| {
            let scope = Scope::ALL.iter().find(|scope| scope.name() == word.trim());
            scope
                .map(|scope| Scopes(scopes.0 | scope.bit()))
                .ok_or_else(|| format!("{word:?} is no scope: write none, or some of read,write,admin"))
        })
    }
}

impl TryFrom<String> for Scopes {
    type Error = String;

    fn try_from(text: String) -> Result<Scopes, String> {
        text.parse()
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> String {
        scopes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for text in ["none", "read", "write", "read,write", "read,admin", "read,write,admin"] {
            assert_eq!(text.parse::<Scopes>().map(|scopes| scopes.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("admin, read".parse::<Scopes>().map(|scopes| scopes.to_string()), Ok("read,admin".into()));
        for text in ["", "all", "read,", "read;write", "none,read"] {
            assert!(text.parse::<Scopes>().is_err(), "{text:?}");
        }
        assert!(Scopes::ALL.has(Scope::Admin) && !Scopes::CLIENT.has(Scope::Admin));
        assert!(!Scope::ALL.iter().any(|scope| Scopes::NONE.has(*scope)));
    }
}
