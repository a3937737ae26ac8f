//! Writing replies: compact, in the one shape that all old clients read (`opendht` section 1.3).
//!
//! No white space between elements (HIPL and OpenHIP walk child nodes and stumble on text), `int` and never `i4`,
//! `base64` always explicit and in one line, strings untyped, a prolog first, and nothing but ASCII. The elements of an empty
//! value, placemark or list are there and empty.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The deployed gateway declared this; what follows is ASCII, which is also valid UTF-8.
const PROLOG: &str = r#"<?xml version="1.0" encoding="ISO-8859-1"?>"#;

/// The reply of `put`, `put_removable` and `rm`: a status.
#[must_use]
pub fn status(code: i32) -> String {
    response(&format!("<value><int>{code}</int></value>"))
}

/// A value as `get_details` tells it.
#[derive(Clone, Copy, Debug)]
pub struct Detail<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Seconds that are left of its life.
    pub ttl_remaining: i32,
    /// Which hash its secret has; ASCII without markup.
    pub hash_type: &'a str,
    /// The hash of its secret.
    pub secret_hash: &'a [u8],
}

/// The reply of `get`: the values, and the place to go on from, empty when there is no more.
#[must_use]
pub fn page<'a>(values: impl Iterator<Item = &'a [u8]>, placemark: &[u8]) -> String {
    paged(values, base64_value, placemark)
}

/// The reply of `get_details`: the same with what is known of each value.
#[must_use]
pub fn details<'a>(values: impl Iterator<Item = Detail<'a>>, placemark: &[u8]) -> String {
    let write = |out: &mut String, detail: Detail<'a>| {
        out.push_str(ARRAY);
        base64_value(out, detail.value);
        out.push_str(&format!("<value><int>{}</int></value>", detail.ttl_remaining));
        out.push_str(&format!("<value>{}</value>", detail.hash_type));
        base64_value(out, detail.secret_hash);
        out.push_str(ARRAY_END);
    };
    paged(values, write, placemark)
}

const ARRAY: &str = "<value><array><data>";
const ARRAY_END: &str = "</data></array></value>";

/// An array of an array and a placemark.
fn paged<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut String, T), placemark: &[u8]) -> String {
    let mut inside = String::from(ARRAY);
    inside.push_str(ARRAY);
    for item in items {
        write(&mut inside, item);
    }
    inside.push_str(ARRAY_END);
    base64_value(&mut inside, placemark);
    inside.push_str(ARRAY_END);
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
