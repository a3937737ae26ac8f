//! The reader on what real clients send and on what attackers send; the writer's exact bytes.

use proptest::prelude::*;

use super::read::{DEPTH_MAX, NODES_MAX, PARAMS_MAX, XmlError, read_call};
use super::{Call, Value, write};

fn read(text: &str) -> Result<Call, XmlError> {
    read_call(text.as_bytes())
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

fn put_of_red() -> Call {
    let application = Value::Text("put.py".into());
    Call { method: "put".into(), params: vec![bytes("colors"), bytes("red"), Value::Int(3600), application] }
}

/// `xmlrpclib` of Python 2, and `xmlrpc.client` of today.
#[test]
fn python() {
    let request = "<?xml version='1.0'?>\n<methodCall>\n<methodName>put</methodName>\n<params>\n\
        <param>\n<value><base64>\nY29sb3Jz\n</base64></value>\n</param>\n\
        <param>\n<value><base64>\ncmVk\n</base64></value>\n</param>\n\
        <param>\n<value><int>3600</int></value>\n</param>\n\
        <param>\n<value><string>put.py</string></value>\n</param>\n</params>\n</methodCall>\n";
    assert_eq!(read(request), Ok(put_of_red()));
}

/// Net::OpenDHT: `param` directly under `methodCall`, an empty `params` after them, an encoding that is none, an empty
/// placemark as an empty element, the application untyped.
#[test]
fn perl_net_opendht() {
    let request = "<?xml version=\"1.0\" encoding=\"utf8\"?>\n<methodCall>\n  <methodName>get</methodName>\n  \
        <param>\n    <value>\n      <base64>Y29sb3Jz\n</base64>\n    </value>\n  </param>\n  \
        <param>\n    <value>\n      <int>10</int>\n    </value>\n  </param>\n  \
        <param>\n    <value>\n      <base64/>\n    </value>\n  </param>\n  \
        <param>\n    <value>Net::OpenDHT</value>\n  </param>\n  <params/>\n</methodCall>\n";
    let application = Value::Text("Net::OpenDHT".into());
    let params = vec![bytes("colors"), Value::Int(10), Value::Bytes(Vec::new()), application];
    assert_eq!(read(request), Ok(Call { method: "get".into(), params }));
}

/// Indented packets with blanks inside names, integers and base64.
#[test]
fn hand_indented_c() {
    let request = "<?xml version=\"1.0\"?><methodCall>\r\n  <methodName> put </methodName>\r\n  <params>\r\n    \
        <param><value> <base64> Y29s\r\n b3Jz </base64> </value></param>\r\n    \
        <param><value><base64>\tcmVk</base64></value></param>\r\n    <param><value><i4> 3600\n</i4></value></param>\r\n    \
        <param><value>put.py</value></param>\r\n  </params>\r\n</methodCall>\r\n";
    assert_eq!(read(request), Ok(put_of_red()));
}

/// Apache XML-RPC of Java: one line, ISO-8859-1, strings untyped.
#[test]
fn java_apache() {
    let request = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><methodCall><methodName>put</methodName><params>\
        <param><value><base64>Y29sb3Jz</base64></value></param><param><value><base64>cmVk</base64></value></param>\
        <param><value><int>3600</int></value></param><param><value>caf\xe9</value></param></params></methodCall>";
    let mut call = put_of_red();
    call.params[3] = Value::Text("café".into());
    assert_eq!(read_call(request), Ok(call));
}

/// UTF-8, ISO-8859-1 and UTF-16, whatever the declaration calls them.
#[test]
fn encodings() {
    let call = |encoding: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"{encoding}\"?><methodCall><methodName>put</methodName><params>\
             <param><value><string>caf\u{e9}</string></value></param></params></methodCall>"
        )
    };
    let wanted = Call { method: "put".into(), params: vec![Value::Text("caf\u{e9}".into())] };
    for encoding in ["UTF-8", "utf8", "utf-16", "ISO-8859-1", "latin1", "US-ASCII", "x-unknown", ""] {
        let text = call(encoding);
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        let latin: Vec<u8> = text.chars().map(|c| u8::try_from(c).expect("Latin")).collect();
        let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        for bytes in [
            text.clone().into_bytes(),
            marked(b"\xef\xbb\xbf", text.clone().into_bytes()),
            marked(b"\r\n ", text.clone().into_bytes()),
            marked(b"\r\n ", latin),
            marked(b"\xff\xfe", wide(u16::to_le_bytes)),
            marked(b"\xfe\xff", wide(u16::to_be_bytes)),
        ] {
            assert_eq!(read_call(&bytes), Ok(wanted.clone()), "{encoding}");
        }
    }
}

#[test]
fn integers_have_many_names() {
    for name in ["int", "i4", "i8", "i1", "i2", "ex:i8", "ex:i1", "ex:i2"] {
        let request = format!(
            "<methodCall xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\"><methodName>m</methodName>\
             <params><param><value><{name}>-7</{name}></value></param></params></methodCall>"
        );
        assert_eq!(read(&request).map(|call| call.params), Ok(vec![Value::Int(-7)]), "{name}");
    }
}

#[test]
fn base64_without_padding_and_with_none_of_its_own() {
    let call = |inside: &str| {
        read(&format!("<methodCall><methodName>m</methodName><params><param><value><base64>{inside}</base64></value></param></params></methodCall>"))
            .map(|call| call.params)
    };
    assert_eq!(call("cmVkcw"), Ok(vec![bytes("reds")]));
    assert_eq!(call("cmVkcw=="), Ok(vec![bytes("reds")]));
    assert_eq!(call(""), Ok(vec![bytes("")]));
    assert!(call("cm!k").is_err());
}

#[test]
fn texts_may_hold_references_comments_and_cdata() {
    let request = "<methodCall><!-- by hand --><methodName>m</methodName><params><param><value>a&lt;b&#38;&#x63;\
        <!-- in between --><![CDATA[<d>]]></value></param></params></methodCall>";
    assert_eq!(read(request).map(|call| call.params), Ok(vec![Value::Text("a<b&c<d>".into())]));
}

#[test]
fn other_types_are_read_and_dropped() {
    let request = "<methodCall><methodName>system.multicall</methodName><params><param><value><array><data>\
        <value><struct><member><name>methodName</name><value>put</value></member></struct></value></data></array></value>\
        </param><param><value><boolean>1</boolean></value></param><param><value/></param></params></methodCall>";
    let params = vec![Value::Other("array"), Value::Other("boolean"), Value::Text(String::new())];
    assert_eq!(read(request), Ok(Call { method: "system.multicall".into(), params }));
}

#[test]
fn what_makes_xml_dangerous_is_refused() {
    let call = "<methodCall><methodName>put</methodName></methodCall>";
    let bombs = [
        format!("<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]>{call}"),
        format!("<?xml version=\"1.0\"?><!DOCTYPE a SYSTEM \"http://127.0.0.1/a.dtd\">{call}"),
        "<methodCall><methodName>&c;</methodName></methodCall>".to_owned(),
        "<methodCall><methodName>&nbsp;</methodName></methodCall>".to_owned(),
        format!("<?php echo 1 ?>{call}"),
        format!("{call}<?xml version=\"1.0\"?>"),
    ];
    for bomb in bombs {
        assert!(matches!(read(&bomb), Err(XmlError::Forbidden(_))), "{bomb}: {:?}", read(&bomb));
    }
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let nest = |depth: usize| {
        let (open, close) = ("<array><data><value>".repeat(depth), "</value></data></array>".repeat(depth));
        read(&format!(
            "<methodCall><methodName>m</methodName><params><param><value>{open}{close}</value></param></params></methodCall>"
        ))
    };
    assert!(nest((DEPTH_MAX - 4) / 3).is_ok());
    assert_eq!(nest(DEPTH_MAX / 3 + 1), Err(XmlError::TooLarge("nested too deep")));
    assert_eq!(nest(100_000), Err(XmlError::TooLarge("nested too deep")));

    let many = "<value/>".repeat(NODES_MAX);
    let wide = format!(
        "<methodCall><methodName>m</methodName><params><param><value><array><data>{many}</data></array></value></param></params></methodCall>"
    );
    assert_eq!(read(&wide), Err(XmlError::TooLarge("too many elements")));
    let attributes: String = (0..NODES_MAX).map(|n| format!(" a{n}='1'")).collect();
    assert_eq!(
        read(&format!("<methodCall{attributes}></methodCall>")),
        Err(XmlError::TooLarge("too many elements"))
    );
    let params = "<param><value/></param>".repeat(PARAMS_MAX + 1);
    for call in [format!("{params}<params/>"), format!("<params>{params}</params>")] {
        let call = format!("<methodCall><methodName>m</methodName>{call}</methodCall>");
        assert_eq!(read(&call), Err(XmlError::TooLarge("too many parameters")));
    }
}

#[test]
fn what_is_no_call_is_refused() {
    let cases = [
        "",
        " ",
        "hello",
        "<",
        "<methodCall>",
        "<methodCall/>",
        "<a/>",
        "<methodResponse></methodResponse>",
        "<methodCall><methodName></methodName></methodCall>",
        "<methodCall><methodName>a</methodName></methodCall><methodCall/>",
        "<methodCall><methodName>a</methodName></methodCall>x",
        "<methodCall><methodName>a</methodName></methodcall>",
        "<methodCall><methodName>a<b/></methodName></methodCall>",
        "<methodCall><methodName>a</methodName><methodName>b</methodName></methodCall>",
        "<methodCall><methodName>a</methodName><params><param/></params></methodCall>",
        "<methodCall><methodName>a</methodName><params><param><value><int>1x</int></value></param></params></methodCall>",
        "<methodCall><methodName>a</methodName><params><param><value><int/></value></param></params></methodCall>",
        "<methodCall><methodName>a</methodName><params><param><value>b<int>1</int></value></param></params></methodCall>",
        "<methodCall><methodName>a</methodName><params><param><value/><value/></param></params></methodCall>",
        "<methodCall><methodName a='1' a='2'>a</methodName></methodCall>",
        "<methodCall><methodName a=1>a</methodName></methodCall>",
        "<methodCall><methodName>a&#0;</methodName></methodCall>",
        "<methodCall><methodName>a&#1;</methodName></methodCall>",
        "<methodCall><methodName>a\u{1}</methodName></methodCall>",
        "<methodCall><methodName>a & b</methodName></methodCall>",
        "<methodCall><methodName>a]]></methodName></methodCall>",
        "<methodCall><!-- a -- b --><methodName>a</methodName></methodCall>",
        "<?xml version=\"1.0\"<methodCall><methodName>a</methodName></methodCall>",
    ];
    for case in cases {
        assert!(read(case).is_err(), "{case:?} gave {:?}", read(case));
    }
    assert!(read_call(b"\xff\xfe<\0m\0").is_err(), "UTF-16");
    assert!(read_call(b"\xfe\xff\xd8").is_err(), "half a character");
    let name = "a".repeat(300);
    assert!(read(&format!("<methodCall><methodName>{name}</methodName></methodCall>")).is_err());
}

#[test]
fn replies_are_compact_and_exact() {
    let prolog = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>";
    assert_eq!(
        write::status(0),
        format!(
            "{prolog}<methodResponse><params><param><value><int>0</int></value></param></params></methodResponse>"
        )
    );
    assert_eq!(
        write::page([b"red".as_slice(), b""].into_iter(), b""),
        format!(
            "{prolog}<methodResponse><params><param><value><array><data><value><array><data><value><base64>cmVk</base64>\
             </value><value><base64></base64></value></data></array></value><value><base64></base64></value></data></array>\
             </value></param></params></methodResponse>"
        )
    );
    let detail = write::Detail { value: b"red", ttl_remaining: 7, hash_type: "SHA", secret_hash: &[0; 3] };
    assert_eq!(
        write::details([detail].into_iter(), b"p"),
        format!(
            "{prolog}<methodResponse><params><param><value><array><data><value><array><data><value><array><data><value>\
             <base64>cmVk</base64></value><value><int>7</int></value><value>SHA</value><value><base64>AAAA</base64></value>\
             </data></array></value></data></array></value><value><base64>cA==</base64></value></data></array></value></param>\
             </params></methodResponse>"
        )
    );
    assert_eq!(
        write::fault("no such handler: <ü\u{7}>"),
        format!(
            "{prolog}<methodResponse><fault><value><struct><member><name>faultString</name><value>java.lang.Exception: \
             no such handler: &lt;&#252;?&gt;</value></member><member><name>faultCode</name><value><int>0</int></value>\
             </member></struct></value></fault></methodResponse>"
        )
    );
}

/// How a client may write a call: every combination means the same.
#[derive(Clone, Copy, Debug)]
struct Style {
    between: &'static str,
    inside: &'static str,
    int: &'static str,
    params_inside: bool,
    typed_strings: bool,
    wrapped_base64: bool,
}

fn styles() -> impl Strategy<Value = Style> {
    let blanks = || prop::sample::select(vec!["", " ", "\n", "\r\n\t", "<!-- c -->"]);
    (
        blanks(),
        prop::sample::select(vec!["", " ", "\n "]),
        prop::sample::select(vec!["int", "i4"]),
        any::<[bool; 3]>(),
    )
        .prop_map(|(between, inside, int, [params_inside, typed_strings, wrapped_base64])| Style {
            between,
            inside,
            int,
            params_inside,
            typed_strings,
            wrapped_base64,
        })
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(|n| Value::Int(n.into())),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
        "[a-zA-Z0-9<>&'\" ü€😀\n\t]{0,40}".prop_map(Value::Text),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    ("[a-zA-Z._:/]{1,20}", prop::collection::vec(values(), 0..8))
        .prop_map(|(method, params)| Call { method, params })
}

fn write_call(call: &Call, style: Style) -> String {
    use base64::Engine as _;
    let Style { between: b, inside: i, .. } = style;
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut params = String::new();
    for value in &call.params {
        let inside = match value {
            Value::Int(n) => format!("{b}<{int}>{i}{n}{i}</{int}>{b}", int = style.int),
            Value::Bytes(bytes) => {
                let mut text = base64::engine::general_purpose::STANDARD.encode(bytes);
                if style.wrapped_base64 {
                    text = text
                        .as_bytes()
                        .chunks(5)
                        .map(|c| String::from_utf8_lossy(c).into_owned() + "\r\n")
                        .collect();
                }
                format!("{b}<base64>{i}{text}{i}</base64>{b}")
            }
            Value::Text(text) if style.typed_strings => format!("{b}<string>{}</string>{b}", escape(text)),
            Value::Text(text) => escape(text),
            Value::Other(_) => unreachable!("not generated"),
        };
        params.push_str(&format!("{b}<param>{b}<value>{inside}</value>{b}</param>{b}"));
    }
    let params = if style.params_inside {
        format!("<params>{params}</params>")
    } else {
        format!("{params}<params></params>")
    };
    format!(
        "<?xml version=\"1.0\"?>{b}<methodCall>{b}<methodName>{i}{}{i}</methodName>{b}{params}{b}</methodCall>{b}",
        escape(&call.method)
    )
}

proptest! {
    #[test]
    fn a_call_reads_the_same_in_every_style(call in calls(), style in styles()) {
        let text = write_call(&call, style);
        prop_assert_eq!(read(&text), Ok(call), "{}", text);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_call(&bytes);
    }

    #[test]
    fn no_mutation_of_a_call_panics(call in calls(), style in styles(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = write_call(&call, style).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = read_call(&text);
        text.truncate(at);
        prop_assert!(read_call(&text).is_err() || text.trim_ascii_end().ends_with(b"</methodCall>"));
    }

    #[test]
    fn replies_are_ascii_without_blanks_between_elements(text in ".{0,60}") {
        let fault = write::fault(&text);
        prop_assert!(fault.is_ascii());
        prop_assert!(!fault.contains("> <") && !fault.contains(">\n<"));
        let content = fault.split("<value>java.lang.Exception: ").nth(1).and_then(|rest| rest.split("</value>").next());
        prop_assert!(content.is_some_and(|content| !content.contains('<')));
    }
}
