//! The XML-RPC reader: whatever a client posts is a call or an error, never a panic, and never larger than what was sent.

use keyway_gateway::xmlrpc::{Value, read_call};

/// Reads `data` as the body of a request.
pub fn run(data: &[u8]) {
    let Ok(call) = read_call(data) else { return };
    let held: usize = call.params.iter().map(bytes_of).sum();
    // A document that is not UTF-8 is read as ISO-8859-1, whose upper half takes two bytes here.
    assert!(held <= 2 * data.len(), "{held} bytes out of {}: something was expanded", data.len());
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        _ => 0,
    }
}
