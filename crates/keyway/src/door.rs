//! Where an interface listens, or that it does not: `127.0.0.1:5852`, `none`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an interface listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Door {
    /// Here.
    At(SocketAddr),
    /// Nowhere.
    None,
}

impl Door {
    /// Where, if anywhere.
    pub(crate) fn at(self) -> Option<SocketAddr> {
        match self {
            Door::At(addr) => Some(addr),
            Door::None => None,
        }
    }
}

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Door, String> {
        if text == "none" {
            return Ok(Door::None);
        }
        text.parse().map(Door::At).map_err(|_| format!("{text:?}: write ADDRESS:PORT, or none"))
    }
}

impl TryFrom<String> for Door {
    type Error = String;

    fn try_from(text: String) -> Result<Door, String> {
        text.parse()
    }
}

impl From<Door> for String {
    fn from(door: Door) -> String {
        door.to_string()
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Door::At(addr) => addr.fmt(f),
            Door::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_an_address_or_none() {
        for text in ["127.0.0.1:5852", "[::1]:0", "none"] {
            assert_eq!(text.parse::<Door>().map(|door| door.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("none".parse::<Door>().map(Door::at), Ok(None));
        let error = "5852".parse::<Door>().expect_err("no address");
        assert!(error.contains("ADDRESS:PORT"), "{error}");
    }
}
