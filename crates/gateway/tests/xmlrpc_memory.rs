//! What reading a request costs in memory: a small multiple of its length, whatever its bytes are.
#[path = "../../client/tests/support/memory.rs"]
mod memory;

use keyway_gateway::xmlrpc::read_call;
use memory::most_held;
use proptest::prelude::*;

/// Bytes of memory for each byte of a request, and for a request at all.
const FACTOR: usize = 8;
const START: usize = 64 << 10;

/// The most memory held at once while a request is read, beyond what was held before.
fn cost(request: &[u8]) -> usize {
    most_held(|| drop(read_call(request))).0
}

#[track_caller]
fn assert_cheap(request: &[u8]) {
    let (cost, length) = (cost(request), request.len());
    assert!(cost <= START + FACTOR * length, "{length} bytes cost {cost}");
}

/// Requests of the length that the gateway reads at most, each a different way to be large.
#[test]
fn large_requests_are_cheap() {
    let length = 128 << 10;
    let fill = |piece: &str| piece.repeat(length / piece.len());
    let call = |inside: &str| {
        format!(
            "<methodCall><methodName>put</methodName><params><param><value>{inside}</value></param></params></methodCall>"
        )
    };
    let (text, chars, references) = (fill("a"), fill("\u{fc}"), fill("&#xfc;"));
    let value = call(&format!("<base64>{}</base64>", fill("QUJD")));
    assert!(cost(value.as_bytes()) > length / 2, "it is counted");
    let requests = [
        value,
        call(&format!("<base64>{}</base64>", fill("Q\r\n"))),
        call(&text),
        call(&chars),
        call(&references),
        call(&fill("<![CDATA[a]]>")),
        call(&fill("<!---->a")),
        fill("<methodCall>"),
        call(&fill("<array><data><value>")),
        call(&fill("<nil/>")),
        fill("<value/>"),
        format!("<methodCall {}>", fill("a='1' ")),
        format!("<methodCall a='{text}'>"),
        format!("<{text}>"),
        format!("<methodCall><methodName>{text}</methodName></methodCall>"),
        format!("<?xml {text}?>"),
        format!("<!DOCTYPE {text}>"),
        format!("<methodCall><methodName>&{text};</methodName></methodCall>"),
    ];
    for request in &requests {
        assert_cheap(request.as_bytes());
        // In a coding of one byte a character, and of two.
        assert_cheap(&[b"\xff".as_slice(), request.as_bytes()].concat());
        let wide: Vec<u8> = request.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_cheap(&[b"\xff\xfe".as_slice(), &wide].concat());
    }
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&str> = vec![
        "<methodCall>",
        "<methodName>",
        "put",
        "</methodName>",
        "<params>",
        "<param>",
        "<value>",
        "<base64>",
        "<int>",
        "<string>",
        "<array>",
        "<data>",
        "<struct>",
        "<nil/>",
        "<value/>",
        "</value>",
        "</param>",
        "</params>",
        "</methodCall>",
        "</base64>",
        "QUJD",
        "&amp;",
        "&#65;",
        "&a;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml ",
        "?>",
        "<!DOCTYPE a [",
        "]>",
        " a='1'",
        "<",
        ">",
        "&",
        "\0",
        "\u{fc}",
        " ",
        "\n",
    ];
    let word = prop_oneof![
        8 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(word, 0..400).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_cheap(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        assert_cheap(&bytes);
    }

    #[test]
    fn pieces_of_calls_in_any_order_are_read_or_refused_and_cheap(bytes in pieces(), mark in prop::sample::select(vec![&b""[..], b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"])) {
        assert_cheap(&[mark, &bytes].concat());
    }

    #[test]
    fn a_begun_call_goes_on_in_any_way(bytes in pieces()) {
        assert_cheap(&[b"<methodCall><methodName>put</methodName><params><param><value>".as_slice(), &bytes].concat());
    }
}
