//! Blocks of docs/protocol.md that say what this build does, byte for byte; `UPDATE=1` writes them anew.

const DOCUMENT_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
const OPEN: &str = "```text\n";
const CLOSE: &str = "```\n";

/// Holds the first block of text under `heading` against what it must be.
pub(crate) fn hold(heading: &str, block: &str, changed: &str) {
    let document = std::fs::read_to_string(DOCUMENT_PATH).expect("the document is there");
    let section = document.find(heading).expect("the document has the section");
    let from = section + document[section..].find(OPEN).expect("with a block") + OPEN.len();
    let to = from + document[from..].find(CLOSE).expect("that ends");
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{}{block}{}", &document[..from], &document[to..]);
        std::fs::write(DOCUMENT_PATH, text).expect("the document can be written");
    } else {
        assert_eq!(&document[from..to], block, "{changed}: see the header of the test");
    }
}
