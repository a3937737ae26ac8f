//! Tests of the client against a fake gateway on a free port.

use crate::Key;

#[test]
fn a_text_key_is_the_sha1_of_the_text() {
    assert_eq!(Key::text("colors").to_string(), Key::hash(b"colors").to_string());
    assert_eq!(Key::text("abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}
