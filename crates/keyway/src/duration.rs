//! Spans and instants as people write and read them: `90s`, `10m`, `2h`, `1d`, `1w`, and UTC dates.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units, greatest first: seconds, letter, word.
const UNITS: [(u64, char, &str); 5] = [
    (604_800, 'w', "week"),
    (86_400, 'd', "day"),
    (3_600, 'h', "hour"),
    (60, 'm', "minute"),
    (1, 's', "second"),
];

/// A span of whole seconds, written as `90s`, `10m`, `2h`, `1d`, `1w`, a sum such as `1h30m`, or bare seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Span {
    seconds: u64,
}

impl Span {
    /// This many seconds.
    pub(crate) const fn from_secs(seconds: u64) -> Span {
        Span { seconds }
    }

    /// How many seconds.
    pub(crate) const fn as_secs(self) -> u64 {
        self.seconds
    }

    /// In words, at most two units: `1 day`, `2 hours 5 minutes`.
    pub(crate) fn in_words(self) -> String {
        let mut rest = self.seconds;
        let mut words = Vec::new();
        for (size, _, name) in UNITS {
            let count = rest / size;
            rest %= size;
            if count > 0 {
                words.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
            } else if !words.is_empty() {
                break;
            }
            if words.len() == 2 {
                break;
            }
        }
        if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        Duration::from_secs(span.seconds)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.seconds;
        for (size, letter, _) in UNITS {
            if rest / size > 0 {
                write!(f, "{}{letter}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

/// Why a text is not a [`Span`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a duration; write 90s, 10m, 2h, 1d, 1w, a sum such as 1h30m, or a number of seconds")]
pub(crate) struct NotASpan(String);

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Span, NotASpan> {
        let wrong = || NotASpan(text.to_owned());
        if let Ok(seconds) = text.parse() {
            return Ok(Span { seconds });
        }
        let mut seconds = 0u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let count: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let letter = rest[digits..].chars().next().ok_or_else(wrong)?;
            let (size, ..) = UNITS.into_iter().find(|unit| unit.1 == letter).ok_or_else(wrong)?;
            let part = count.checked_mul(size).ok_or_else(wrong)?;
            seconds = seconds.checked_add(part).ok_or_else(wrong)?;
            rest = &rest[digits + letter.len_utf8()..];
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Span { seconds }) }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Milliseconds since 1970 as `2026-11-21 07:15:02 UTC`.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = date(seconds / 86_400);
    let time = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3_600, time / 60 % 60, time % 60)
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day ends one;
/// an era is the 400 years after which the calendar repeats.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    // 0000-03-01 lies this many days before 1970-01-01.
    let since_march_0 = days + 719_468;
    let era = since_march_0 / DAYS_OF_ERA;
    let day_of_era = since_march_0 % DAYS_OF_ERA;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("1d", 86_400),
            ("1w", 604_800),
            ("1h30m", 5_400),
            ("45", 45),
        ] {
            assert_eq!(text.parse(), Ok(Span { seconds }), "{text}");
        }
        for text in ["", "d", "1x", "1.5h", "-1s", "1h30", "99999999999999999999w", "1dd", "1é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_said_in_at_most_two_words() {
        assert_eq!(Span::from_secs(86_400).in_words(), "1 day");
        assert_eq!(Span::from_secs(7_500).in_words(), "2 hours 5 minutes");
        assert_eq!(Span::from_secs(90_061).in_words(), "1 day 1 hour");
        assert_eq!(Span::from_secs(0).in_words(), "0 seconds");
        assert_eq!(Span::from_secs(5_400).to_string(), "1h30m");
    }

    #[test]
    fn instants_are_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_245_302_000), "2026-11-21 07:15:02 UTC");
        assert_eq!(utc(4_107_542_399_000), "2100-02-28 23:59:59 UTC");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00:00 UTC");
    }
}
