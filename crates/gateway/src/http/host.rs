//! Whose name a client calls the gateway by.
//!
//! A web page of a stranger can make a browser send requests to a loopback address: by pointing its own name there (DNS
//! rebinding), or by asking across origins. The first shows in `Host`, the second in `Origin`, or for what a page loads like a
//! picture in `Sec-Fetch-Site`. Programs that are not browsers send none of the others, and a foreign `Host` only
//! where they are of 2005 and speak XML-RPC. A foreign page cannot read what it gets, so it may get; but not what costs the network much.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Version};

use crate::rest::refusal::Refusal;

/// Refuses a request that calls the gateway by a name that is not its own, or that comes from a foreign web page.
///
/// `local` is the address that the client in fact connected to: no name was pointed at it when it stands in `Host`. Programs of 2005 that
/// post XML-RPC may call it anything: they name the service by a host of long ago, the gateway behind a mapped port, some even themselves.
pub(crate) fn check<B>(
    request: &Request<B>,
    local: Option<IpAddr>,
    allowed: &[String],
    speaks_xmlrpc: bool,
) -> Result<(), Refusal> {
    let host = named_host(request)?;
    if let Some(host) = &host
        && !is_ours(host.host(), local, allowed)
        && (!speaks_xmlrpc || is_of_browser(request))
    {
        let name = printable(host.host());
        return Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            format!("this gateway does not go by the name {name}"),
        )
        .hint(format!("if it should, start its node with --allowed-host {name} (repeatable)"))
        .close());
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        let cross_site = request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        if !cross_site || !costs_much(request.uri().path()) {
            return Ok(());
        }
        return Err(foreign(
            "web pages of other origins may not make this gateway ask the whole network or read its whole disk",
        ));
    }
    match request.headers().get(ORIGIN) {
        None => Ok(()),
        Some(origin) if same_origin(origin.as_bytes(), host.as_ref()) => Ok(()),
        Some(_) => Err(foreign("web pages of other origins may not write through this gateway")),
    }
}

/// Whether a browser sent this POST: since 2019 those that are kept up name its origin, also to that origin itself (docs/threats.md).
fn is_of_browser<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site")
}

fn foreign(why: &'static str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", why)
        .hint("serve the page from this gateway's own address, or ask from a program")
        .close()
}

/// Whether one request of this path makes a node ask many others, or read all its disk.
fn costs_much(path: &str) -> bool {
    path == "/v1/network" || path.starts_with("/v1/admin/") || path.ends_with("/trace")
}

/// The authority that the client named. Absent only where HTTP/1.0 allows it to be.
fn named_host<B>(request: &Request<B>) -> Result<Option<Authority>, Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let parsed = Authority::try_from(host.as_bytes());
            Some(parsed.map_err(|_| Refusal::bad_request("the Host header is not a host").close())?)
        }
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Refusal::bad_request("more than one Host header").close()),
    };
    match (request.uri().authority(), header) {
        // The absolute form wins over the header (RFC 9112 section 3.2.2).
        (Some(authority), _) => Ok(Some(authority.clone())),
        (None, Some(host)) => Ok(Some(host)),
        (None, None) if request.version() < Version::HTTP_11 => Ok(None),
        (None, None) => Err(Refusal::bad_request("HTTP/1.1 requests need a Host header").close()),
    }
}

fn is_ours(host: &str, local: Option<IpAddr>, allowed: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    if let Ok(address) = bare.parse::<IpAddr>() {
        let address = address.to_canonical();
        if address.is_loopback() || local.is_some_and(|local| local.to_canonical() == address) {
            return true;
        }
    }
    let loopback_name = bare.eq_ignore_ascii_case("localhost")
        || bare.len() > ".localhost".len()
            && bare
                .get(bare.len() - ".localhost".len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(".localhost"));
    loopback_name || allowed.iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(bare))
}

fn same_origin(origin: &[u8], host: Option<&Authority>) -> bool {
    let origin = std::str::from_utf8(origin).unwrap_or_default();
    host.is_some_and(|host| origin.strip_prefix("http://") == Some(host.as_str()))
}

/// A name to show in an answer: what a stranger sent, without anything that a terminal would act on.
fn printable(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, local: &str, allowed: &[&str]) -> Result<(), &'static str> {
        let request = Request::builder().uri("/").header(HOST, host).body(()).expect("a request");
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        check(&request, Some(local.parse().expect("an address")), &allowed, false)
            .map_err(|refusal| refusal.code())
    }

    #[test]
    fn loopback_names_and_addresses_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:5851",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:5851",
            "a.localhost",
            "localhost.",
        ] {
            assert_eq!(ask(host, "127.0.0.1", &[]), Ok(()), "{host}");
        }
    }

    #[test]
    fn strangers_are_not() {
        for host in [
            "evil.example",
            "evil.example:5851",
            "localhost.evil.example",
            "10.0.0.1",
            "notlocalhost",
            "2130706433",
        ] {
            assert_eq!(ask(host, "127.0.0.1", &[]), Err("unknown_host"), "{host}");
        }
    }

    #[test]
    fn programs_of_2005_may_call_it_anything_and_browsers_may_not() {
        let ask = |browser: Option<(&str, &str)>| {
            let mut request =
                Request::builder().method("POST").uri("/").header(HOST, "opendht.nyuld.net:5851");
            if let Some((name, value)) = browser {
                request = request.header(name, value);
            }
            check(&request.body(()).expect("a request"), None, &[], true).map_err(|refusal| refusal.code())
        };
        assert_eq!(ask(None), Ok(()));
        assert_eq!(ask(Some(("origin", "http://opendht.nyuld.net:5851"))), Err("unknown_host"));
        assert_eq!(ask(Some(("sec-fetch-site", "same-origin"))), Err("unknown_host"));
    }

    #[test]
    fn the_address_connected_to_and_configured_names_are() {
        assert_eq!(ask("10.0.0.1:5851", "10.0.0.1", &[]), Ok(()));
        assert_eq!(ask("10.0.0.1:5851", "::ffff:10.0.0.1", &[]), Ok(()));
        assert_eq!(ask("DHT.example.org:80", "10.0.0.1", &["dht.example.org"]), Ok(()));
    }

    #[test]
    fn pages_of_other_origins_may_read_their_own_error_but_not_write() {
        let ask = |origin: &str| {
            let request = Request::builder().method("PUT").uri("/").header(HOST, "localhost:5851");
            let request = request.header(ORIGIN, origin).body(()).expect("a request");
            check(&request, None, &[], false).map_err(|refusal| refusal.code())
        };
        assert_eq!(ask("http://evil.example"), Err("foreign_origin"));
        assert_eq!(ask("null"), Err("foreign_origin"));
        assert_eq!(ask("http://localhost:5851"), Ok(()));
    }

    #[test]
    fn pages_of_other_sites_may_not_make_a_node_ask_the_network() {
        let ask = |path: &str, site: &str| {
            let request = Request::builder().uri(path).header(HOST, "localhost:5851");
            let request = request.header("sec-fetch-site", site).body(()).expect("a request");
            check(&request, None, &[], false).map_err(|refusal| refusal.code())
        };
        for path in ["/v1/network?max=1024", "/v1/keys/colors/trace"] {
            assert_eq!(ask(path, "cross-site"), Err("foreign_origin"));
            assert_eq!(ask(path, "same-origin"), Ok(()));
            assert_eq!(ask(path, "none"), Ok(()));
        }
        assert_eq!(ask("/v1/keys/colors", "cross-site"), Ok(()));
    }
}
