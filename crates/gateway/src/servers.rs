//! `GET /servers.txt`: the list of gateways in the form of 2005, which programs of that time parse (`opendht` section 1.1).
//!
//! ```text
//!   Gateways as of 2026-11-26 05:05:09 UTC       a line with the word UTC, which all of them pass over
//!   0:<TAB>192.0.2.1:5851<TAB>dht.example.org    index, address and HTTP port, a name to call it by
//! ```
//!
//! The list has one line: this gateway, as the client reached it. A node tells others where it speaks to nodes and not where
//! it speaks to clients, if it lets clients in at all. Some programs take the name, or the address, and port 5851 whatever is
//! said; so there is always a name, which is the address when the client used no other.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use http::uri::Authority;

const DAY_SECS: u64 = 86_400;

/// The list as told to a client that reached the gateway at `here`, and called it by `host` if it said so.
pub(crate) fn list(here: SocketAddr, host: Option<&Authority>, now: SystemTime) -> String {
    let here = SocketAddr::new(here.ip().to_canonical(), here.port());
    let address = here.ip().to_string();
    let name = host.map(Authority::host).filter(|name| !is_address(name)).unwrap_or(&address);
    format!("Gateways as of {} UTC\n0:\t{here}\t{name}\n", written(now))
}

fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// As `2026-11-26 05:05:09`.
fn written(now: SystemTime) -> String {
    let secs = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, in_day) = (secs / DAY_SECS, secs % DAY_SECS);
    let mut year = 1970;
    // One turn for each year since 1970, and a clock that is absurdly wrong stops it.
    while days >= days_of(year) && year < 9999 {
        days -= days_of(year);
        year += 1;
    }
    let february = if days_of(year) == 366 { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", in_day / 3600, in_day / 60 % 60, in_day % 60)
}

/// Of the Gregorian calendar.
fn days_of(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if leap { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn the_list_is_written_as_in_2005() {
        let here = "192.0.2.1:5851".parse().expect("an address");
        let host = Authority::from_static("dht.example.org:5851");
        let told = list(here, Some(&host), at(1_795_669_509));
        assert_eq!(told, "Gateways as of 2026-11-26 05:05:09 UTC\n0:\t192.0.2.1:5851\tdht.example.org\n");
        let told = list(here, None, at(1_795_669_509));
        assert!(told.ends_with("0:\t192.0.2.1:5851\t192.0.2.1\n"));
        let mapped = "[::ffff:192.0.2.1]:5851".parse().expect("an address");
        let host = Authority::from_static("[::ffff:192.0.2.1]:5851");
        assert!(list(mapped, Some(&host), at(0)).ends_with("0:\t192.0.2.1:5851\t192.0.2.1\n"));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (secs, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_106_589_274, "2005-01-24 17:54:34"),
            (1_767_225_599, "2025-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(written(at(secs)), text);
        }
        assert!(written(at(u64::from(u32::MAX) << 20)).starts_with("9999-"));
    }
}
