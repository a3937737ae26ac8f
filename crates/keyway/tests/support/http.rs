//! Just enough HTTP to ask a node how it is, and waiting until something holds.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For one question to be answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The status and body that `GET path` gives; nothing if nobody answers.
pub fn get(addr: SocketAddr, path: &str) -> Option<(u16, String)> {
    ask(addr, "GET", path, b"")
}

/// The status and body that `PUT path` gives; nothing if nobody answers.
pub fn put(addr: SocketAddr, path: &str, body: &[u8]) -> Option<(u16, String)> {
    ask(addr, "PUT", path, body)
}

/// The status and body that `POST path` gives; nothing if nobody answers.
pub fn post(addr: SocketAddr, path: &str, body: &[u8]) -> Option<(u16, String)> {
    ask(addr, "POST", path, body)
}

fn ask(addr: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, ANSWER_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if chunked { unchunked(body) } else { body.to_owned() }))
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole += &rest[..size];
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// Looks again and again until `look` gives something.
///
/// # Panics
/// When it has not after `limit`, with `what` was waited for.
pub fn wait_until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
}
