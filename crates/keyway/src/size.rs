//! Sizes as people write and read them: `64KiB`, `1MiB`, bare bytes.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units, greatest first.
const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    /// Exact when a unit divides it (`64KiB`); with `{:#}` to one decimal (`1.4 MiB`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return match UNITS.into_iter().find(|unit| self.0 >= unit.0) {
                Some((size, name)) => {
                    let tenths = u128::from(self.0) * 10 / u128::from(size);
                    write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
                }
                None => write!(f, "{} bytes", self.0),
            };
        }
        match UNITS.into_iter().find(|unit| self.0 > 0 && self.0.is_multiple_of(unit.0)) {
            Some((size, name)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Why a text is not a [`Size`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a size; write bytes as 65536, 64KiB, 1MiB, 2GiB or 1TiB")]
pub(crate) struct NotASize(String);

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Size, NotASize> {
        let unit = UNITS.into_iter().find_map(|(size, name)| Some((size, text.strip_suffix(name)?)));
        let (size, digits) = unit.unwrap_or((1, text));
        let count: Option<u64> = digits.trim_end().parse().ok();
        count.and_then(|n| n.checked_mul(size)).map(Size).ok_or_else(|| NotASize(text.to_owned()))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    /// A text with a unit, or a bare number of bytes.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a text such as \"64KiB\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(E::custom)
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for (text, bytes) in [("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        for text in ["", "KiB", "64kb", "-1", "99999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(format!("{:#}", Size(1_500_000)), "1.4 MiB");
    }
}
