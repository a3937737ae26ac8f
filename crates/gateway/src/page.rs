//! `GET /`: what this is, and where things are.

/// Path, method, and what it is for.
const PATHS: &[(&str, &str)] = &[
    ("PUT  /v1/keys/{text}?ttl=SECONDS", "store the body under a text key (default ttl: a day)"),
    (
        "GET  /v1/keys/{text}?max=N&after=CURSOR&reads=quorum|first&raw=true",
        "read its values in put-time order",
    ),
    ("GET  /v1/keys/{text}/where", "which nodes hold what under it"),
    ("GET  /v1/keys/{text}/trace", "its lookup, question by question"),
    ("     /v1/ids/{40 hex digits}", "the same for a raw id"),
    ("GET  /v1/node", "this node's state"),
    ("GET  /v1/network?max=N", "who is in the network, and what each holds"),
    ("GET  /v1/node/records", "what this node itself holds; ?max=N&after=CURSOR"),
    ("GET  /v1/peers", "its overlay's tables"),
    ("GET  /readyz?verbose", "whether it serves, and if not, why"),
    ("GET  /livez", "whether the process is alive"),
    ("GET  /metrics", "OpenMetrics text"),
    ("GET  /openapi.json", "all of this, for programs"),
    (
        "POST / or /RPC2",
        "XML-RPC: put(key, value, ttl, application), get(key, maxvals, placemark, application)",
    ),
];

const TITLE: &str = concat!("Keyway ", env!("CARGO_PKG_VERSION"), ": a gateway to a distributed hash table");

/// For a terminal.
pub(crate) fn plain() -> String {
    let mut text = format!("{TITLE}\n\n");
    for (path, what) in PATHS {
        text.push_str(&format!("{path}\n        {what}\n"));
    }
    text.push_str("\nTry: curl -X PUT --data-binary red http://THIS-ADDRESS/v1/keys/colors\n");
    text.push_str("     curl http://THIS-ADDRESS/v1/keys/colors?raw=true\n");
    text
}

/// For a browser.
pub(crate) fn html() -> String {
    let mut rows = String::new();
    for (path, what) in PATHS {
        let target = path.strip_prefix("GET  ").map(|path| path.split('?').next().unwrap_or(path));
        let path = path.replace('&', "&amp;");
        match target.filter(|target| !target.contains('{')) {
            Some(target) => rows.push_str(&format!("<tr><td><a href=\"{target}\">{path}</a><td>{what}\n")),
            None => rows.push_str(&format!("<tr><td>{path}<td>{what}\n")),
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Keyway</title>\n\
         <style>body{{font:16px/1.5 system-ui;margin:3em auto;max-width:62em;padding:0 1em}}\
         td{{padding:.2em 1em .2em 0;vertical-align:top}}td:first-child{{font-family:ui-monospace,monospace}}</style>\n\
         <h1>{TITLE}</h1>\n<table>\n{rows}</table>\n</html>\n"
    )
}
