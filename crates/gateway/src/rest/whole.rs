//! Whole numbers in JSON bodies, as JSON Schema means `integer`: `5`, and `5.0` as well, which some programs write.

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Above it not every whole number has a `f64` of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number that is not negative.
struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Whole, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number that is not negative")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
                if number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number) {
                    return Ok(Whole(number as u64));
                }
                Err(E::invalid_value(de::Unexpected::Float(number), &self))
            }
        }
        from.deserialize_any(Number)
    }
}

/// For `#[serde(deserialize_with)]` of a number.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Whole::deserialize(from).map(|Whole(number)| number)
}

/// The same of one that may be missing or null; with `#[serde(default)]`.
pub(super) fn read_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<Whole>::deserialize(from)?.map(|Whole(number)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let read = |text: &str| serde_json::from_str::<Whole>(text).ok().map(|Whole(number)| number);
        for (text, number) in [("0", 0), ("5.0", 5), ("1e3", 1000), ("18446744073709551615", u64::MAX)] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["-1", "-1.0", "0.5", "1e300", "\"5\"", "null", "true", "18446744073709551616"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
