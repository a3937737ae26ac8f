//! The readers' side: from a name and one trusted signer to addresses, by a chain of signed records.
//!
//! ```text
//!   a.b.c    who signs for c?  told, or remembered, or the only one who does (trust on first use)      signer S
//!     c      signed by S: addresses, or nothing            go on with S
//!   b.c      signed by S: zone T                           T signs for b.c and below
//!   a.b.c    signed by T: addresses                        the answer, and the chain that leads to it
//! ```
//!
//! Whoever hides a record can make a name unknown for a while; nobody can make it mean something else. A reader with a memory
//! also refuses another signer for a name that it knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyway_client::{Authenticator, Client, Kind, Reads};

use super::program::{Failure, read_small};
use super::record::{Name, Record, series};
use super::zone::read;

/// Values read under a name's key, to see who signs for it.
const CLAIMS_MAX: usize = 256;
/// Times that one name may be handed on, from signer to signer.
const HANDS_MAX: usize = 4;
/// Greatest memory.
const KNOWN_BYTES_MAX: u64 = 1 << 20;

/// One signed record on the way to the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) signer: Authenticator,
    pub(crate) seq: u64,
}

/// What a name means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Resolved {
    pub(crate) addresses: Vec<String>,
    /// The records that say so, the most general first.
    pub(crate) chain: Vec<Link>,
    pub(crate) expires_unix_seconds: u64,
}

/// Resolves a name, when `signer` signs for its most general part.
pub(crate) async fn resolve(
    client: &Client,
    signer: &Authenticator,
    name: &Name,
) -> Result<Resolved, Failure> {
    let (mut signer, mut chain) = (*signer, Vec::new());
    for part in name.path() {
        for _ in 0..HANDS_MAX {
            let Some(standing) = read(client, &signer, &part).await? else { break };
            chain.push(Link { name: part.to_string(), signer, seq: standing.seq });
            match standing.record {
                Record::Zone(next) => signer = next,
                Record::Addresses(addresses) if part == *name => {
                    let expires_unix_seconds = standing.expires_unix_seconds;
                    return Ok(Resolved { addresses, chain, expires_unix_seconds });
                }
                Record::Addresses(_) => break,
            }
        }
    }
    Err(Failure::not_found(format!("{signer}, who signs for {name}, says nothing of it")))
}

/// Whom a reader trusts for which names: a text file of lines `NAME SIGNER`.
pub(crate) struct Known {
    path: PathBuf,
    signers: BTreeMap<String, Authenticator>,
}

impl Known {
    /// What the file says; nothing if there is none yet.
    pub(crate) fn open(path: &Path) -> Result<Known, Failure> {
        let mut known = Known { path: path.to_owned(), signers: BTreeMap::new() };
        if !path.exists() {
            return Ok(known);
        }
        for (number, line) in read_small(path, KNOWN_BYTES_MAX)?.lines().enumerate() {
            let wrong =
                || Failure::invalid(format!("{}, line {}: not NAME SIGNER", path.display(), number + 1));
            let (name, signer) = line.split_once(' ').ok_or_else(wrong)?;
            known.signers.insert(name.to_owned(), signer.parse().map_err(|_| wrong())?);
        }
        Ok(known)
    }

    fn remember(&mut self, name: &Name, signer: Authenticator) -> Result<(), Failure> {
        self.signers.insert(name.to_string(), signer);
        let lines: String = self.signers.iter().map(|(name, signer)| format!("{name} {signer}\n")).collect();
        // Whole or not at all: it takes the place of the old one when it is written.
        let new = self.path.with_extension("new");
        std::fs::write(&new, lines).and_then(|()| std::fs::rename(&new, &self.path)).map_err(|why| {
            Failure::new(1, format!("{}: {why}", self.path.display())).hint("is its folder there, and yours?")
        })
    }

    /// Who signs for the most general part of `name`: as remembered; else the only one who does, who is remembered from now on.
    pub(crate) async fn signer_of(&mut self, client: &Client, name: &Name) -> Result<Authenticator, Failure> {
        let Some(top) = name.path().into_iter().next() else {
            return Err(Failure::usage("a name has at least one label"));
        };
        if let Some(signer) = self.signers.get(&top.to_string()) {
            return Ok(*signer);
        }
        let (values, _) = client.get_all(&top.key(), Reads::Quorum, CLAIMS_MAX).await?;
        let mut claims: Vec<Authenticator> = values
            .iter()
            .filter(|value| value.kind == Kind::Sequenced)
            .filter(|value| value.proof.as_ref().is_some_and(|proof| proof.nonce == series()))
            .filter_map(|value| value.signer)
            .collect();
        claims.sort();
        claims.dedup();
        match claims[..] {
            [] => Err(Failure::not_found(format!("nobody signs for {top}"))),
            [only] => {
                self.remember(&top, only)?;
                Ok(only)
            }
            _ => {
                let list: Vec<String> = claims.iter().map(Authenticator::to_string).collect();
                Err(Failure::new(8, format!("several sign for {top}: {}", list.join(", ")))
                    .hint("ask whom you want to reach for its signer, and pass it as --zone"))
            }
        }
    }
}
