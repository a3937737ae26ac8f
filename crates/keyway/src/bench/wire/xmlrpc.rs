//! A client of XML-RPC as those of 2005 were: HTTP/1.0 by hand, a connection for each call, the answer read up to its end.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyway_core::Id;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANSWER_BYTES_MAX, Outcome, TTL, VALUES_MAX};

const APPLICATION: &str = "keyway bench";
/// What `put` answers when it is done.
const DONE: &str = "<int>0</int>";
/// Of an answer that is quoted in an error.
const QUOTE_CHARS_MAX: usize = 120;

pub(super) async fn put(gateway: SocketAddr, key: &Id, value: &[u8]) -> Outcome<()> {
    let params = [base64(&key.0), base64(value), int(TTL.as_secs())];
    let answer = call(gateway, "put", &params).await?;
    if answer.contains(DONE) { Ok(()) } else { Err(refused(&answer)) }
}

pub(super) async fn get(gateway: SocketAddr, key: &Id) -> Outcome<Vec<Vec<u8>>> {
    let params = [base64(&key.0), int(VALUES_MAX.into()), base64(b"")];
    page(&call(gateway, "get", &params).await?)
}

/// The values of a page: all that is base64 but the placemark, which comes last.
fn page(answer: &str) -> Outcome<Vec<Vec<u8>>> {
    let words = answer.split("<base64>").skip(1).filter_map(|word| Some(word.split_once("</base64>")?.0));
    let mut words: Vec<&str> = words.collect();
    words.pop().ok_or_else(|| refused(answer))?;
    words.into_iter().map(|word| STANDARD.decode(word).map_err(|e| e.to_string())).collect()
}

async fn call(gateway: SocketAddr, method: &str, params: &[String]) -> Outcome<String> {
    let params: String = params.iter().map(|p| format!("<param><value>{p}</value></param>")).collect();
    let body = format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}\
         <param><value>{APPLICATION}</value></param></params></methodCall>"
    );
    let len = body.len();
    let request = format!(
        "POST / HTTP/1.0\r\nHost: {gateway}\r\nContent-Type: text/xml\r\nContent-Length: {len}\r\n\r\n{body}"
    );
    let exchange = async {
        let mut socket = TcpStream::connect(gateway).await?;
        socket.set_nodelay(true)?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.take(ANSWER_BYTES_MAX as u64).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    exchange.await.map_err(|error: std::io::Error| error.to_string())
}

fn base64(bytes: &[u8]) -> String {
    format!("<base64>{}</base64>", STANDARD.encode(bytes))
}

fn int(n: u64) -> String {
    format!("<int>{n}</int>")
}

fn refused(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or(answer, |(_, body)| body);
    format!("refused: {}", body.chars().take(QUOTE_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_the_gateway_writes_it() {
        let values: [&[u8]; 2] = [b"red", b""];
        let answer = keyway_gateway::xmlrpc::write::page(values.into_iter(), b"place");
        assert_eq!(page(&answer), Ok(vec![b"red".to_vec(), Vec::new()]));
        let none: [&[u8]; 0] = [];
        assert_eq!(page(&keyway_gateway::xmlrpc::write::page(none.into_iter(), b"")), Ok(Vec::new()));
        let fault = keyway_gateway::xmlrpc::write::fault("try again: later");
        assert!(page(&fault).is_err_and(|text| text.starts_with("refused: <?xml")));
        assert!(keyway_gateway::xmlrpc::write::status(0).contains(DONE));
        assert!(!keyway_gateway::xmlrpc::write::status(2).contains(DONE));
    }
}
