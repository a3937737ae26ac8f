//! Spans of time as people write them: `250ms`, `10m`, `1h30m`, `2h`, `1500us`.

use keyway_core::Duration;

/// The longest span that is read: a hundred years. A world's clock counts microseconds in 64 bits, and sums of a few of these fit.
pub const SPAN_MAX: Duration = Duration::from_secs(36_525 * 24 * 3600);

/// Reads a span: one or more numbers, each with a unit of `us`, `ms`, `s`, `m`, `h` or `d`. Fractions are allowed.
///
/// # Errors
/// A text for people that names what was expected; also above [`SPAN_MAX`].
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time; write it like 250ms, 10m or 1h30m");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut micros = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        micros += number
            * match &rest[..unit] {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                "m" => 60e6,
                "h" => 3600e6,
                "d" => 86_400e6,
                _ => return Err(wrong()),
            };
        rest = &rest[unit..];
    }
    if micros > SPAN_MAX.0 as f64 {
        return Err(format!(
            "`{text}` is longer than 100 years ({}), the most that is simulated",
            show(SPAN_MAX)
        ));
    }
    Ok(Duration(micros as u64))
}

/// Writes a span in its two greatest units.
#[must_use]
pub fn show(span: Duration) -> String {
    const UNITS: [(&str, u64); 6] = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];
    let mut left = span.0;
    let mut text = String::new();
    let mut written = 0;
    for (unit, micros) in UNITS {
        if left >= micros && written < 2 {
            text.push_str(&format!("{}{unit}", left / micros));
            left %= micros;
            written += 1;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Serde by the text form.
pub mod text {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// As text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(span: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::show(*span))
    }

    /// From text.
    ///
    /// # Errors
    /// If it is no span.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("10us"), Ok(Duration(10)));
        assert!(parse("10").is_err() && parse("").is_err() && parse("5 parsecs").is_err());
        assert_eq!(show(Duration::from_secs(5400)), "1h30m");
        assert_eq!(show(Duration::ZERO), "0s");
    }

    #[test]
    fn a_span_that_no_clock_holds_is_refused() {
        assert_eq!(parse("36525d"), Ok(SPAN_MAX));
        for text in ["36525d1s", "300000000d", "99999999999999999d", &format!("{}d", "9".repeat(400))] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("100 years (36525d)"), "{error}");
        }
    }
}
