//! `keyway renew`: put values again as they are, so that they live longer.
//!
//! Neither the value nor its secret need be known: a put names the secret's hash, which a get tells. What was signed is signed
//! anew, with its signer's key.

use std::time::Duration;

use clap::Args;
use keyway_client::{Kind, PutReceipt, Value};
use serde::Serialize;

use crate::chosen::{SignArgs, ValueArgs};
use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{harmless, plural};
use crate::receipt;
use crate::secrets;
use crate::session::{KeyArgs, Session};

const EXAMPLES: &str = "\
Examples:
  keyway renew colors --ttl 1w                every value under the key, for a week from now
  keyway renew colors red                     one of them, for a day
  keyway renew colors red --sign me.key       one that you have signed
";

/// Put values again, so that they live longer.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct RenewArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    value: ValueArgs,
    /// How long they live from now, if that is longer than what is left: 90s, 10m, 2h, 1d, 1w [default: 1d]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_TTL")]
    ttl: Option<Span>,
    #[command(flatten)]
    sign: SignArgs,
}

#[derive(Serialize)]
struct Renewed<'a> {
    renewed: &'a [PutReceipt],
    /// Values that only their signers can renew.
    skipped: usize,
}

/// `keyway renew`.
pub(crate) async fn run(args: RenewArgs, session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let key = args.key.place()?;
    let client = session.client()?;
    let signer = args.sign.sign.as_deref().map(|file| secrets::signer(file, output)).transpose()?;
    let name = harmless(&args.key.key);
    let found = args.value.chosen()?.find(&client, &key, None).await?;
    if found.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("no such value under {name} (key {key})"))
            .hint(format!("`keyway get --details {}` shows what is there", args.key.words())));
    }
    let mine = |value: &Value| match value.kind {
        Kind::Put | Kind::Immutable => true,
        _ => signer.as_ref().is_some_and(|signer| Some(signer.authenticator()) == value.signer),
    };
    let (values, others): (Vec<Value>, Vec<Value>) = found.into_iter().partition(mine);
    let skipped = others.len();
    let mut receipts = Vec::with_capacity(values.len());
    for value in &values {
        let receipt = client.renew(&key, value, args.ttl.map(Duration::from), signer.as_ref()).await?;
        if !output.is_json() {
            receipt::stored(output, "renewed", value.bytes.len() as u64, &args.key.key, &receipt)?;
        }
        receipts.push(receipt);
    }
    if output.is_json() {
        output.json(&Renewed { renewed: &receipts, skipped })?;
    }
    if skipped == 0 {
        return Ok(Exit::Ok);
    }
    let count = skipped as u64;
    let (what, whose) =
        (plural(count, "value was", "values were"), plural(count, "its signer", "their signers"));
    let exit = if receipts.is_empty() { Exit::Refused } else { Exit::Partial };
    Err(Failure::new(exit, format!("{skipped} {what} not renewed: only {whose} can"))
        .hint("with the key that signed it: --sign KEYFILE"))
}
