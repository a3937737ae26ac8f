//! `keyway remove`: hide a value until it ends, by the secret under which it was put or the key with which it was signed.

use clap::Args;
use keyway_client::{Claim, Client, Hex, Key, Kind, RemoveReceipt, Signer, Value};
use serde::Serialize;

use crate::chosen::{Chosen, SignArgs, ValueArgs};
use crate::duration::utc;
use crate::exit::{Exit, Failure};
use crate::output::{Style, harmless};
use crate::receipt::copies;
use crate::secrets::{self, SecretArgs};
use crate::session::{KeyArgs, Session};

const EXAMPLES: &str = "\
Examples:
  keyway remove colors red --secret-file FILE      what was put with that secret
  keyway remove colors --value-hash HEX --secret-fd 3 3< <(pass show colors)
  keyway remove colors red --sign me.key           what you have signed, a series too
";

/// Remove a value.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    value: ValueArgs,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    sign: SignArgs,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a [RemoveReceipt],
}

/// `keyway remove`.
pub(crate) async fn run(args: RemoveArgs, session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let key = args.key.place()?;
    let chosen = args.value.chosen()?;
    let client = session.client()?;
    let receipts = match (args.secret.read(output)?, &args.sign.sign) {
        (Some(_), Some(_)) | (None, None) => {
            let message = "a remove needs the value's secret, or the key with which it was signed";
            return Err(Failure::new(Exit::Usage, message).hint(
                "--secret-file FILE, --secret-fd N or --sign KEYFILE; what was put without can only expire",
            ));
        }
        (Some(secret), None) => {
            let hash = match chosen {
                Chosen::Bytes(bytes) => Key::hash(&bytes),
                Chosen::Hash(hash) => hash,
                Chosen::All => return Err(which()),
            };
            vec![client.remove(&key, &hash, &secret).await?]
        }
        (None, Some(file)) => {
            if matches!(chosen, Chosen::All) {
                return Err(which());
            }
            let signer = secrets::signer(file, output)?;
            let found = chosen.find(&client, &key, Some(signer.authenticator())).await?;
            if found.is_empty() {
                let message = "nothing was removed: this key has signed no such value";
                return Err(Failure::new(Exit::NotFound, message).hint(format!(
                    "`keyway get --details --signer {} {}` shows what it has signed",
                    signer.authenticator(),
                    args.key.words()
                )));
            }
            let mut receipts = Vec::with_capacity(found.len());
            for value in &found {
                receipts.push(unsay(&client, &key, value, &signer).await?);
            }
            receipts
        }
    };
    if output.is_json() {
        output.json(&Removed { removed: &receipts })?;
        return Ok(Exit::Ok);
    }
    for receipt in &receipts {
        output.line(format!(
            "{} {} under {}; the removal stands until {}; {}",
            output.style(Style::Green, "removed"),
            receipt.value_hash,
            output.style(Style::Bold, &harmless(&args.key.key)),
            utc(receipt.expires_ms),
            copies(&receipt.acked, receipt.replicas),
        ))?;
    }
    Ok(Exit::Ok)
}

fn which() -> Failure {
    Failure::new(Exit::Usage, "which value? give it, or its hash by --value-hash")
        .hint("`keyway get KEY --details` shows the hashes")
}

/// Removes what a signer has signed; a series by its next number, only if nobody else came before.
async fn unsay(client: &Client, key: &Key, value: &Value, signer: &Signer) -> Result<RemoveReceipt, Failure> {
    let broken = || Failure::new(Exit::Invalid, "a signed value has no signature");
    let proof = value.proof.as_ref().ok_or_else(broken)?;
    let until = proof.expires_unix_seconds;
    Ok(match (value.kind, value.seq) {
        (Kind::Sequenced, Some(seq)) => {
            let claim = Claim::end(*key, proof.nonce, seq.saturating_add(1), until);
            client.remove_signed(&claim, signer, Some(seq)).await.map_err(|error| {
                let failure = Failure::from(error);
                match failure.code() {
                    Some("conflict") => {
                        failure.hint("somebody put the next number meanwhile: look, then remove that")
                    }
                    _ => failure,
                }
            })?
        }
        _ => {
            let claim = Claim::removal(*key, Hex::sha256(&value.bytes), proof.nonce, until);
            client.remove_signed(&claim, signer, None).await?
        }
    })
}
