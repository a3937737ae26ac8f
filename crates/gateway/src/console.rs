//! The console: a page at `/` for browsers, of plain ES modules that are part of the binary.
//!
//! The modules stand in `assets`, one idea a file, as they are served: no build step, nothing of others. The page draws
//! the network that the REST interface tells of, and has no other way to know anything. Its policy forbids inline scripts
//! and styles and every address but this gateway's, so that a value or a name that some client put cannot become code.

use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{HeaderName, Response};

/// Where the modules are.
pub(crate) const ASSETS_ROUTE: &str = "/assets/{name}";

/// What the page may load and reach.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The headers of everything that a browser gets. The files change with the binary alone, but under the same names.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "accept"),
];

const PAGE: &str = include_str!("../assets/index.html");

/// A file that the page loads: its name and its text.
type Asset = (&'static str, &'static str);

macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../assets/", $name)))),*]
    };
}

const ASSETS: &[Asset] = assets![
    "api.js",
    "console.css",
    "console.js",
    "drawing.js",
    "icon.svg",
    "ids.js",
    "keyed.js",
    "network.js",
    "poll.js",
    "ring.js",
    "tables.js",
    "trace.js",
    "trie.js",
    "words.js",
];

/// The page.
pub(crate) fn page() -> Response<Body> {
    served("index.html", PAGE)
}

/// The file of that name.
pub(crate) fn asset(name: &str) -> Option<Response<Body>> {
    ASSETS.iter().find(|(known, _)| *known == name).map(|(name, text)| served(name, text))
}

fn served(name: &str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Browsers run a module and apply a style only under its own type.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_only_these() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry"));
        let files: BTreeSet<String> =
            files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let mut served: BTreeSet<String> = ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        served.insert("index.html".into());
        assert_eq!(files, served);
        assert!(asset("index.html").is_none(), "the page has one address");
        assert!(asset("../console.js").is_none());
    }

    #[test]
    fn the_page_and_its_modules_load_nothing_that_is_not_here() {
        for (name, text) in ASSETS.iter().chain([&("index.html", PAGE)]) {
            let imports = text.split("from \"./").skip(1).chain(text.split("=\"/assets/").skip(1));
            for file in imports.filter_map(|rest| rest.split('"').next()) {
                assert!(ASSETS.iter().any(|(known, _)| *known == file), "{name} loads {file}");
            }
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http:") && !foreign.contains("https:"), "{name} names another host");
        }
        for inline in ["<style", "style=", "onclick=", "javascript:", "<script>"] {
            assert!(!PAGE.contains(inline), "the policy forbids {inline}");
        }
    }

    #[test]
    fn every_file_is_one_idea_that_says_what_it_is() {
        for (name, text) in ASSETS.iter().filter(|(name, _)| name.ends_with(".js")) {
            assert!(text.starts_with("// "), "{name} has no header");
            assert!(text.lines().count() <= 250, "{name} is too long for one idea");
        }
    }
}
