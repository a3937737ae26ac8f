//! Reading a method call, as leniently as the service of 2005 did and not more.
//!
//! Real clients send XML-RPC that strict parsers refuse (`opendht` section 1.3): `param` elements directly under
//! `methodCall`, an encoding named `utf8`, blanks and newlines inside base64, integers and names, untyped strings,
//! empty elements. All of that is read. What is not a call is refused, and so is everything that makes XML dangerous:
//! document types, entities other than the five predefined ones, processing instructions, deep or large trees.
//!
//! ```text
//!   methodCall ─┬─ methodName  text
//!               ├─ params ──── param*
//!               └─ param*                        (Net::OpenDHT; an empty params element follows)
//!                    └─ value ── text | int | i4 | .. | base64 | string | any other type, read and dropped
//! ```
//!
//! Memory: at most a small multiple of the request's length, which the HTTP side bounds.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements deeper than this are refused.
pub const DEPTH_MAX: usize = 32;
/// Elements, attributes, texts and comments together; more are refused.
pub const NODES_MAX: usize = 10_000;
/// Parameters of one call.
pub const PARAMS_MAX: usize = 64;
/// Length of a method's name.
pub const NAME_BYTES_MAX: usize = 255;

/// Base64 with or without padding, after its blanks are taken out.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `int`, `i4`, `i8`, or what Apache calls its other lengths.
    Int(i64),
    /// `base64`.
    Bytes(Vec<u8>),
    /// `string`, or no type at all.
    Text(String),
    /// Some other type, which no method here takes; its name.
    Other(&'static str),
}

/// A method call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The method's name, without blanks around it.
    pub method: String,
    /// Its parameters in order.
    pub params: Vec<Value>,
}

/// Why bytes are not a call. The client's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed.
    #[error("not well-formed: {0}")]
    IllFormed(String),
    /// Well-formed, but not what a call looks like.
    #[error("not a method call: {0}")]
    NotACall(&'static str),
    /// A document type, an entity or a processing instruction.
    #[error("{0} are not accepted")]
    Forbidden(&'static str),
    /// Deeper, wider or longer than the bounds.
    #[error("too large: {0}")]
    TooLarge(&'static str),
}

/// Reads a method call.
///
/// # Errors
/// [`XmlError`] when `bytes` are anything else.
pub fn read_call(bytes: &[u8]) -> Result<Call, XmlError> {
    let text = decode(bytes);
    let mut walk = Walk::new(&text)?;
    let call = walk.call()?;
    walk.end_of_document()?;
    Ok(call)
}

/// The text of the document: UTF-16 if it begins with that mark, UTF-8 whatever the declaration calls it, else ISO-8859-1, which
/// every byte string is. Nothing but the application's name is more than ASCII.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes {
        [0xfe, 0xff, rest @ ..] => return utf_16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => return utf_16(rest, u16::from_le_bytes),
        _ => {}
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.trim_start_matches(is_space)),
        Err(_) => bytes.trim_ascii_start().iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Cow<'_, str> {
    let (pairs, _cut) = bytes.as_chunks();
    char::decode_utf16(pairs.iter().copied().map(unit)).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// What the walk meets; texts are resolved and never split by comments or references.
#[derive(PartialEq, Eq, Debug)]
enum Token {
    Start(&'static str),
    End,
    Text(String),
    Eof,
}

/// A walk over the document, which counts as it goes.
struct Walk<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    nodes: usize,
    /// Read ahead of its turn.
    ahead: Option<Token>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Result<Walk<'a>, XmlError> {
        // The only place for an XML declaration is the beginning; past it, it is a processing instruction.
        let body = match text.strip_prefix("<?xml") {
            Some(rest) if rest.starts_with([' ', '\t', '\r', '\n', '?']) => {
                let (declaration, body) =
                    rest.split_once("?>").ok_or_else(|| ill("the declaration does not end"))?;
                if declaration.contains('<') || declaration.chars().any(is_forbidden) {
                    return Err(ill("the declaration does not end"));
                }
                body
            }
            _ => text,
        };
        let mut reader = Reader::from_str(body);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        Ok(Walk { reader, depth: 0, nodes: 0, ahead: None })
    }

    fn count(&mut self) -> Result<(), XmlError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { Err(XmlError::TooLarge("too many elements")) } else { Ok(()) }
    }

    /// The next token. Adjacent pieces of text come as one.
    fn next(&mut self) -> Result<Token, XmlError> {
        if let Some(token) = self.ahead.take() {
            return Ok(token);
        }
        let mut text: Option<String> = None;
        loop {
            let event = self.reader.read_event().map_err(|e| ill(&e.to_string()))?;
            self.count()?;
            let token = match event {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Err(XmlError::TooLarge("nested too deep"));
                    }
                    self.check_attributes(&start)?;
                    Token::Start(known(start.name().as_ref())?)
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Token::End
                }
                Event::Text(piece) => {
                    let piece = piece.xml10_content();
                    if piece.contains("]]>") || piece.chars().any(is_forbidden) {
                        return Err(ill("a character that XML does not allow"));
                    }
                    text.get_or_insert_default().push_str(&piece);
                    continue;
                }
                Event::CData(piece) => {
                    let piece = piece.xml10_content();
                    if self.depth == 0 || piece.chars().any(is_forbidden) {
                        return Err(ill("a character that XML does not allow"));
                    }
                    text.get_or_insert_default().push_str(&piece);
                    continue;
                }
                Event::GeneralRef(reference) => {
                    text.get_or_insert_default().push(resolve(&reference, self.depth)?);
                    continue;
                }
                Event::Comment(piece) => {
                    if piece.chars().any(is_forbidden) {
                        return Err(ill("a character that XML does not allow"));
                    }
                    continue;
                }
                Event::Eof => Token::Eof,
                Event::DocType(_) => return Err(XmlError::Forbidden("document types")),
                Event::PI(_) | Event::Decl(_) => return Err(XmlError::Forbidden("processing instructions")),
                Event::Empty(_) => return Err(ill("an empty element out of place")),
            };
            return Ok(match text {
                None => token,
                Some(text) => {
                    self.ahead = Some(token);
                    Token::Text(text)
                }
            });
        }
    }

    /// Attributes mean nothing here, but they must be well-formed, and they count.
    fn check_attributes(&mut self, start: &BytesStart<'_>) -> Result<(), XmlError> {
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| ill(&e.to_string()))?;
            let value: &str = attribute.value.as_ref();
            if value.contains('<') || value.chars().any(is_forbidden) {
                return Err(ill("an attribute with a character that XML does not allow"));
            }
            self.count()?;
        }
        Ok(())
    }

    /// The next token that is not blank text.
    fn next_element(&mut self) -> Result<Token, XmlError> {
        loop {
            match self.next()? {
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) => return Err(XmlError::NotACall("text between elements")),
                token => return Ok(token),
            }
        }
    }

    fn call(&mut self) -> Result<Call, XmlError> {
        if self.next_element()? != Token::Start("methodCall") {
            return Err(XmlError::NotACall("the root is not methodCall"));
        }
        let mut method = None;
        let mut params = Vec::new();
        loop {
            match self.next_element()? {
                Token::Start("methodName") if method.is_none() => method = Some(self.method_name()?),
                Token::Start("params") => self.params(&mut params)?,
                Token::Start("param") => params.push(self.param()?),
                Token::End => break,
                _ => return Err(XmlError::NotACall("an element out of place under methodCall")),
            }
            if params.len() > PARAMS_MAX {
                return Err(XmlError::TooLarge("too many parameters"));
            }
        }
        Ok(Call { method: method.ok_or(XmlError::NotACall("no methodName"))?, params })
    }

    fn method_name(&mut self) -> Result<String, XmlError> {
        let text = self.text_to_end()?;
        let name = text.trim_matches(is_space);
        match name.len() {
            0 => Err(XmlError::NotACall("an empty methodName")),
            1..=NAME_BYTES_MAX => Ok(name.to_owned()),
            _ => Err(XmlError::TooLarge("methodName")),
        }
    }

    fn params(&mut self, params: &mut Vec<Value>) -> Result<(), XmlError> {
        loop {
            match self.next_element()? {
                Token::Start("param") if params.len() < PARAMS_MAX => params.push(self.param()?),
                Token::Start("param") => return Err(XmlError::TooLarge("too many parameters")),
                Token::End => return Ok(()),
                _ => return Err(XmlError::NotACall("an element out of place under params")),
            }
        }
    }

    fn param(&mut self) -> Result<Value, XmlError> {
        if self.next_element()? != Token::Start("value") {
            return Err(XmlError::NotACall("a param without a value"));
        }
        let value = self.value()?;
        match self.next_element()? {
            Token::End => Ok(value),
            _ => Err(XmlError::NotACall("a param with more than one value")),
        }
    }

    /// The inside of a `value` element, up to and with its end.
    fn value(&mut self) -> Result<Value, XmlError> {
        let untyped = match self.next()? {
            Token::Text(text) => Some(text),
            token => {
                self.ahead = Some(token);
                None
            }
        };
        let value = match self.next()? {
            Token::End => return Ok(Value::Text(untyped.unwrap_or_default())),
            Token::Start(name) if untyped.is_none_or(|text| is_blank(&text)) => self.typed(name)?,
            _ => return Err(XmlError::NotACall("text beside a typed value")),
        };
        match self.next_element()? {
            Token::End => Ok(value),
            _ => Err(XmlError::NotACall("two types in one value")),
        }
    }

    /// The inside of a type's element, up to and with its end.
    fn typed(&mut self, name: &'static str) -> Result<Value, XmlError> {
        match name {
            "string" => Ok(Value::Text(self.text_to_end()?)),
            "int" | "i4" | "i8" | "i1" | "i2" | "ex:i8" | "ex:i1" | "ex:i2" => {
                let text = self.text_to_end()?;
                text.trim_matches(is_space).parse().map(Value::Int).map_err(|_| XmlError::NotACall("an int"))
            }
            "base64" => {
                let mut text = self.text_to_end()?;
                text.retain(|c| !is_space(c));
                LENIENT_BASE64.decode(text).map(Value::Bytes).map_err(|_| XmlError::NotACall("a base64"))
            }
            "array" | "struct" | "boolean" | "double" | "dateTime.iso8601" | "nil" | "ex:nil" => {
                self.skip()?;
                Ok(Value::Other(name))
            }
            _ => Err(XmlError::NotACall("an unknown type")),
        }
    }

    /// Text up to and with the end of the element around it.
    fn text_to_end(&mut self) -> Result<String, XmlError> {
        match self.next()? {
            Token::End => Ok(String::new()),
            Token::Text(text) => match self.next()? {
                Token::End => Ok(text),
                _ => Err(XmlError::NotACall("an element inside a plain value")),
            },
            _ => Err(XmlError::NotACall("an element inside a plain value")),
        }
    }

    /// Everything up to and with the end of the element around it.
    fn skip(&mut self) -> Result<(), XmlError> {
        let mut open = 1usize;
        while open > 0 {
            match self.next()? {
                Token::Start(_) => open += 1,
                Token::End => open -= 1,
                Token::Text(_) => {}
                Token::Eof => return Err(ill("ends early")),
            }
        }
        Ok(())
    }

    fn end_of_document(&mut self) -> Result<(), XmlError> {
        match self.next_element()? {
            Token::Eof => Ok(()),
            _ => Err(XmlError::NotACall("something after methodCall")),
        }
    }
}

/// The elements that XML-RPC knows; there is no reason to carry other names.
fn known(name: &str) -> Result<&'static str, XmlError> {
    const NAMES: &[&str] = &[
        "methodCall",
        "methodName",
        "params",
        "param",
        "value",
        "int",
        "i4",
        "i8",
        "i1",
        "i2",
        "ex:i8",
        "ex:i1",
        "ex:i2",
        "base64",
        "string",
        "array",
        "data",
        "struct",
        "member",
        "name",
        "boolean",
        "double",
        "dateTime.iso8601",
        "nil",
        "ex:nil",
    ];
    NAMES.iter().find(|known| **known == name).copied().ok_or(XmlError::NotACall("an unknown element"))
}

/// A character reference or one of the five predefined entities.
fn resolve(reference: &quick_xml::events::BytesRef<'_>, depth: usize) -> Result<char, XmlError> {
    if depth == 0 {
        return Err(ill("a reference outside of the document"));
    }
    let character = match reference.resolve_char_ref().map_err(|e| ill(&e.to_string()))? {
        Some(character) => character,
        None => match reference.as_ref() {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => return Err(XmlError::Forbidden("entities")),
        },
    };
    if is_forbidden(character) { Err(ill("a character that XML does not allow")) } else { Ok(character) }
}

/// Outside of XML 1.0's `Char`.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_blank(text: &str) -> bool {
    text.chars().all(is_space)
}

fn ill(why: &str) -> XmlError {
    XmlError::IllFormed(why.to_owned())
}
