//! Which scope a request of HTTP needs: one table, in which what is not named is the operator's.
//!
//! A new route under `/v1` is denied to clients until somebody writes it down here, so forgetting it is safe.

use http::Method;

use super::Scope;

/// What a request needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Anybody may ask: health, documents, the page.
    Nothing,
    /// This.
    Of(Scope),
    /// Any scope: what clients and operators ask alike.
    Any,
}

/// What a request needs, XML-RPC apart.
pub(crate) fn of_request(method: &Method, path: &str) -> Need {
    let Some(path) = path.strip_prefix("/v1/") else {
        return if path == "/metrics" { Need::Of(Scope::Admin) } else { Need::Nothing };
    };
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let (room, rest) = path.split_once('/').unwrap_or((path, ""));
    Need::Of(match (room, rest) {
        ("keys" | "ids", _) if reads => Scope::Read,
        ("keys" | "ids", _) | ("immutable", "") | ("bulk", "put") => Scope::Write,
        ("bulk", "get") => Scope::Read,
        // Whoever signs needs the id of the network, and whoever puts may see its own account.
        ("node" | "clients", "") => return Need::Any,
        _ => Scope::Admin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_the_operators() {
        let of = |method: &str, path: &str| of_request(&method.parse().expect("a method"), path);
        for path in ["/", "/livez", "/readyz", "/openapi.json", "/servers.txt", "/assets/x.js", "/nothing"] {
            assert_eq!(of("GET", path), Need::Nothing, "{path}");
        }
        for path in ["/v1/keys/a", "/v1/ids/00/where", "/v1/keys/a/watch"] {
            assert_eq!(of("GET", path), Need::Of(Scope::Read), "{path}");
        }
        for path in ["/v1/node", "/v1/clients"] {
            assert_eq!(of("GET", path), Need::Any, "{path}");
        }
        for (method, path) in [
            ("PUT", "/v1/keys/a"),
            ("DELETE", "/v1/ids/00"),
            ("POST", "/v1/keys/a/signed"),
            ("POST", "/v1/immutable"),
            ("POST", "/v1/bulk/put"),
        ] {
            assert_eq!(of(method, path), Need::Of(Scope::Write), "{path}");
        }
        for path in
            ["/metrics", "/v1/peers", "/v1/network", "/v1/node/records", "/v1/admin/x", "/v1/", "/v1/new"]
        {
            assert_eq!(of("GET", path), Need::Of(Scope::Admin), "{path}");
        }
    }
}
