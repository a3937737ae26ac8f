//! JSON bodies as their schemas mean them, where serde is laxer or stricter: objects that are objects (serde takes arrays for
//! structs), and whole numbers however they are written (`5`, and `5.0` as well, which some programs write).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// Above it not every whole number has a `f64` of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A struct or enum that was written as an object.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<T>, D::Error> {
        struct Written<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Written<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Written(PhantomData))
    }
}

/// Entries of a list of objects.
pub(super) const OBJECTS_MAX: usize = 1000;

/// For `#[serde(deserialize_with)]` of a list of at most [`OBJECTS_MAX`] objects, counted while it is read: a short object costs
/// more in memory than on the wire.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct Listed<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Listed<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {OBJECTS_MAX} objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(Object(one)) = list.next_element()? {
                if all.len() >= OBJECTS_MAX {
                    return Err(de::Error::custom(format!(
                        "more than {OBJECTS_MAX} entries: send several requests"
                    )));
                }
                all.push(one);
            }
            Ok(all)
        }
    }
    from.deserialize_seq(Listed(PhantomData))
}

/// A number, if it is whole and not negative.
pub(super) fn whole(number: &Number) -> Option<u64> {
    let exact = || number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=EXACT_MAX).contains(n));
    number.as_u64().or_else(|| exact().map(|number| number as u64))
}

/// For `#[serde(deserialize_with)]` of a whole number.
pub(super) fn read_whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(from)?;
    whole(&number).ok_or_else(|| de::Error::custom(format!("{number} is not whole, or negative")))
}

/// The same of one that may be missing or null; with `#[serde(default)]`.
pub(super) fn read_whole_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<Number>::deserialize(from)?;
    let read = |number: Number| {
        whole(&number).ok_or_else(|| de::Error::custom(format!("{number} is not whole, or negative")))
    };
    number.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let read = |text: &str| serde_json::from_str::<Number>(text).ok().and_then(|number| whole(&number));
        for (text, number) in [("0", 0), ("5.0", 5), ("1e3", 1000), ("18446744073709551615", u64::MAX)] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["-1", "-1.0", "0.5", "1e300", "\"5\"", "null", "true", "18446744073709551616"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            one: u8,
            two: Option<u8>,
        }
        let read = |text: &str| serde_json::from_str::<Object<Pair>>(text).ok().map(|Object(pair)| pair);
        assert_eq!(read("{\"one\":1}"), Some(Pair { one: 1, two: None }));
        for text in ["[1,2]", "{\"one\":1,\"three\":3}", "1", "null", "{\"one\":1,\"one\":2}"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(serde_json::from_str::<Pair>("[1,2]").is_ok(), "which serde alone takes");
    }
}
