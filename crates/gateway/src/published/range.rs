//! Which part of a content a request asks for (RFC 9110 section 14). One range; several, or none that can be read, mean all.

/// A part of a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From the first of these, before the second; at least one byte.
    Of { from: u64, until: u64 },
    /// Nothing that there is.
    Beyond,
}

/// Reads the value of a `Range` header for a content of `bytes`.
pub(super) fn read(value: &[u8], bytes: u64) -> Part {
    let Some((unit, set)) = std::str::from_utf8(value).ok().and_then(|text| text.split_once('=')) else {
        return Part::Whole;
    };
    let Some((first, last)) = set.trim().split_once('-') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let (from, until) = match (number(first), number(last)) {
        (Ok(Some(first)), Ok(None)) => (first, bytes),
        (Ok(Some(first)), Ok(Some(last))) if first <= last => (first, bytes.min(last.saturating_add(1))),
        // The last so many.
        (Ok(None), Ok(Some(count))) if count > 0 => (bytes.saturating_sub(count), bytes),
        (Ok(None), Ok(Some(_))) => return Part::Beyond,
        _ => return Part::Whole,
    };
    if from < until { Part::Of { from, until } } else { Part::Beyond }
}

/// Nothing, or a number; one that is greater than any is the greatest.
fn number(digits: &str) -> Result<Option<u64>, ()> {
    match digits {
        "" => Ok(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_the_rfc_says() {
        let of = |from, until| Part::Of { from, until };
        for (value, bytes, part) in [
            ("bytes=0-", 10, of(0, 10)),
            ("bytes=3-", 10, of(3, 10)),
            ("bytes=0-0", 10, of(0, 1)),
            ("bytes=3-5", 10, of(3, 6)),
            ("BYTES = 3-5", 10, of(3, 6)),
            ("bytes=3-99", 10, of(3, 10)),
            ("bytes=9-18446744073709551615", 10, of(9, 10)),
            ("bytes=9-99999999999999999999999", 10, of(9, 10)),
            ("bytes=-4", 10, of(6, 10)),
            ("bytes=-40", 10, of(0, 10)),
            ("bytes=10-", 10, Part::Beyond),
            ("bytes=99999999999999999999999-", 10, Part::Beyond),
            ("bytes=-0", 10, Part::Beyond),
            ("bytes=0-", 0, Part::Beyond),
            ("bytes=-1", 0, Part::Beyond),
            ("bytes=5-3", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("lines=0-1", 10, Part::Whole),
            ("bytes", 10, Part::Whole),
            ("", 10, Part::Whole),
        ] {
            assert_eq!(read(value.as_bytes(), bytes), part, "{value} of {bytes}");
        }
        assert_eq!(read(b"bytes=\xff-", 10), Part::Whole);
    }
}
