//! Which of the values under a key a verb is about: one by its bytes, one by its hash, or all.

use std::path::PathBuf;

use clap::Args;
use keyway_client::{Authenticator, Client, GetOptions, Key, Value};

use crate::exit::{Exit, Failure};
use crate::put;

/// A value under a key.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct ValueArgs {
    /// The value; `@FILE` for the bytes of a file, `-` for those of standard input
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,
    /// The value by its hash, as `keyway get --details` and receipts show it
    #[arg(long, value_name = "HEX")]
    value_hash: Option<String>,
}

/// How it is told from others.
pub(crate) enum Chosen {
    /// By its bytes.
    Bytes(bytes::Bytes),
    /// By its name among the values of its key.
    Hash(Key),
    /// Any of them.
    All,
}

impl ValueArgs {
    pub(crate) fn chosen(&self) -> Result<Chosen, Failure> {
        Ok(match (&self.value, &self.value_hash) {
            (Some(value), _) => Chosen::Bytes(put::value(value)?),
            (None, Some(digits)) => Chosen::Hash(Key::hex(digits)?),
            (None, None) => Chosen::All,
        })
    }
}

impl Chosen {
    fn is(&self, value: &Value) -> bool {
        match self {
            Chosen::Bytes(bytes) => value.bytes == *bytes,
            Chosen::Hash(hash) => value.value_hash == *hash,
            Chosen::All => true,
        }
    }

    /// The values under a key that are meant, of one signer or of all.
    pub(crate) async fn find(
        &self,
        client: &Client,
        key: &Key,
        signer: Option<Authenticator>,
    ) -> Result<Vec<Value>, Failure> {
        let mut options = GetOptions { signer, ..GetOptions::default() };
        let mut found = Vec::new();
        for _ in 0..put::PAGES_MAX {
            let page = client.get(key, &options).await?;
            let last = page.values.is_empty();
            found.extend(page.values.into_iter().filter(|value| self.is(value)));
            match page.next {
                Some(next) if !last => options.after = Some(next),
                _ => return Ok(found),
            }
        }
        Err(Failure::new(Exit::Partial, "there are more values under this key than this verb looks through")
            .hint("name one by --value-hash; `keyway get KEY --details --all` lists them"))
    }
}

/// The signing key of a verb.
#[derive(Args, Debug)]
pub(crate) struct SignArgs {
    /// The key with which it was signed (`keyway keygen`)
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) sign: Option<PathBuf>,
}
