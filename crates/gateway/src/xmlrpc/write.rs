//! Writing replies: compact, in the one shape that all old clients read (`opendht` section 1.3).
//!
//! No white space between elements (HIPL and OpenHIP walk child nodes and stumble on text), `int` and never `i4`,
//! `base64` always explicit and in one line, strings untyped, a prolog first, and nothing but ASCII.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The deployed gateway declared this; what follows is ASCII, which is also valid UTF-8.
const PROLOG: &str = r#"<?xml version="1.0" encoding="ISO-8859-1"?>"#;

/// The reply of `put`: a status.
#[must_use]
pub fn status(code: i32) -> String {
    response(&format!("<value><int>{code}</int></value>"))
}

/// The reply of `get`: the values, and the place to go on from, empty when there is no more.
#[must_use]
pub fn page<'a>(values: impl Iterator<Item = &'a [u8]>, placemark: &[u8]) -> String {
    let mut inside = String::from("<value><array><data><value><array><data>");
    for value in values {
        base64_value(&mut inside, value);
    }
    inside.push_str("</data></array></value>");
    base64_value(&mut inside, placemark);
    inside.push_str("</data></array></value>");
    response(&inside)
}

/// A fault as the deployed gateway made them: code 0, and a text that says which Java exception it was.
#[must_use]
pub fn fault(text: &str) -> String {
    let mut out =
        format!("{PROLOG}<methodResponse><fault><value><struct><member><name>faultString</name><value>");
    escape(&mut out, "java.lang.Exception: ");
    escape(&mut out, text);
    out.push_str(
        "</value></member><member><name>faultCode</name><value><int>0</int></value></member></struct>",
    );
    out.push_str("</value></fault></methodResponse>");
    out
}

fn response(value: &str) -> String {
    format!("{PROLOG}<methodResponse><params><param>{value}</param></params></methodResponse>")
}

fn base64_value(out: &mut String, bytes: &[u8]) {
    out.push_str("<value><base64>");
    STANDARD.encode_string(bytes, out);
    out.push_str("</base64></value>");
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            ' '..='~' => out.push(c),
            // Reads as a character in every XML parser, and never as a control character of a terminal.
            '\t' | '\n' | '\r' | '\u{80}'.. => out.push_str(&format!("&#{};", u32::from(c))),
            _ => out.push('?'),
        }
    }
}
