//! What a put, a renewal or a remove achieved, for people: who holds it, until when, and under which names.

use keyway_client::{PeerName, PutReceipt};

use crate::duration::{Span, utc};
use crate::exit::Failure;
use crate::output::{Output, Style, harmless, plural, thousands};

/// The line of a put: `stored 3 bytes under colors for 1 day (until ..); 2 of 3 copies acknowledged`.
pub(crate) fn stored(
    output: &Output,
    verb: &str,
    bytes: u64,
    name: &str,
    receipt: &PutReceipt,
) -> Result<(), Failure> {
    output.line(format!(
        "{} {} {} {} for {} (until {}); {}",
        output.style(Style::Green, verb),
        thousands(bytes),
        plural(bytes, "byte", "bytes"),
        output.style(Style::Bold, &format!("under {}", harmless(name))),
        Span::from_secs(receipt.ttl_seconds).in_words(),
        utc(receipt.expires_ms),
        copies(&receipt.acked, receipt.replicas),
    ))
}

/// `2 of 3 copies acknowledged`.
pub(crate) fn copies(acked: &[PeerName], replicas: u8) -> String {
    format!("{} of {replicas} copies acknowledged", acked.len())
}

/// The names under which a value can be found, renewed and removed, and the nodes that had acknowledged it.
pub(crate) fn details(output: &Output, receipt: &PutReceipt) -> Result<(), Failure> {
    let mut rows = vec![
        vec!["key".to_owned(), receipt.key.to_string()],
        vec!["value hash".to_owned(), receipt.value_hash.to_string()],
    ];
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    row("secret hash", receipt.secret_hash.map(|hash| hash.to_string()));
    row("signer", receipt.signer.map(|signer| signer.to_string()));
    row("number", receipt.seq.map(|seq| seq.to_string()));
    for peer in &receipt.acked {
        row("held by", Some(format!("{} at {}", peer.id, peer.addr)));
    }
    for row in rows {
        output.line(format!("{:<12} {}", row[0], row[1]))?;
    }
    Ok(())
}
