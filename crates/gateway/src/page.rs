//! `GET /` in a terminal: what this is, and where things are. Browsers get the console.

/// Path, method, and what it is for.
const PATHS: &[(&str, &str)] = &[
    ("PUT  /v1/keys/{text}?ttl=SECONDS", "store the body under a text key (default ttl: a day)"),
    (
        "GET  /v1/keys/{text}?max=N&after=CURSOR&reads=quorum|first&signer=HEX&raw=true",
        "read its values in put-time order",
    ),
    ("DELETE /v1/keys/{text}?value_hash=HEX", "remove a value; its secret in the header Keyway-Secret"),
    ("POST /v1/keys/{text}/signed", "store what somebody has signed, or remove it"),
    ("POST /v1/immutable?ttl=SECONDS", "store the body under its own hash"),
    ("POST /v1/bulk/put", "many puts in one request; POST /v1/bulk/get many gets"),
    ("GET  /v1/keys/{text}/watch", "events as values come and go"),
    ("GET  /v1/keys/{text}/where", "which nodes hold what under it"),
    ("GET  /v1/keys/{text}/trace", "its lookup, question by question"),
    ("     /v1/ids/{40 hex digits}", "the same for a raw id"),
    ("GET  /v1/node", "this node's state"),
    ("GET  /v1/network?max=N", "who is in the network, and what each holds"),
    ("GET  /v1/node/records", "what this node itself holds; ?max=N&after=CURSOR"),
    ("GET  /v1/clients?max=N", "how full its disk is, and who uses it"),
    ("GET  /v1/admin/snapshot", "for operators: its records, whole; keyway snapshot FILE"),
    (
        "POST /v1/admin/restore?network=HEX",
        "for operators: records of a snapshot are put back; keyway restore FILE",
    ),
    ("GET  /v1/peers", "its overlay's tables"),
    ("GET  /readyz?verbose", "whether it serves, and if not, why"),
    ("GET  /livez", "whether the process is alive"),
    ("GET  /metrics", "OpenMetrics text"),
    ("GET  /openapi.json", "all of this, for programs"),
    ("POST / or /RPC2", "XML-RPC of 2005: put, put_removable, rm, get, get_details"),
    ("GET  /servers.txt", "this gateway, in the list that programs of 2005 read"),
];

const TITLE: &str = concat!("Keyway ", env!("CARGO_PKG_VERSION"), ": a gateway to a distributed hash table");

/// The list.
pub(crate) fn plain() -> String {
    let mut text = format!("{TITLE}\n\n");
    for (path, what) in PATHS {
        text.push_str(&format!("{path}\n        {what}\n"));
    }
    text.push_str("\nTry: curl -X PUT --data-binary red http://THIS-ADDRESS/v1/keys/colors\n");
    text.push_str("     curl http://THIS-ADDRESS/v1/keys/colors?raw=true\n");
    text.push_str("     or open it in a browser: it draws the network, and the way to a key\n");
    text
}
