//! `keyway keygen`: make a signing key, and say who its owner is.

use std::path::PathBuf;

use clap::Args;
use keyway_client::{Authenticator, PublicKey, Signer};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::secrets;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  keyway keygen me.key                          a new key, readable by its owner alone
  keyway put colors red --sign me.key           a value under its name
  keyway keygen --show me.key                   its public key and name again
";

/// Make a signing key.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct KeygenArgs {
    /// Where to keep it; a file that is there is never overwritten
    file: PathBuf,
    /// Make none: show the public key and name of the one in FILE
    #[arg(long)]
    show: bool,
}

#[derive(Serialize)]
struct Owner {
    public_key: PublicKey,
    /// SHA-256 of the public key.
    signer: Authenticator,
}

/// `keyway keygen`.
pub(crate) fn run(args: &KeygenArgs, session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let signer = if args.show {
        secrets::signer(&args.file, output)?
    } else {
        let signer = Signer::generate()?;
        secrets::keep_signer(&args.file, &signer)?;
        signer
    };
    let owner = Owner { public_key: signer.public_key(), signer: signer.authenticator() };
    if output.is_json() {
        output.json(&owner)?;
    } else {
        output.line(format!("public key {}\nsigner     {}", owner.public_key, owner.signer))?;
        output.note(format!("`keyway get KEY --signer {}` shows what it has signed", owner.signer));
    }
    Ok(Exit::Ok)
}
