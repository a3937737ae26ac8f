//! The program of 2005: its procedures, their arguments and results, field by field (`opendht` section 1.4;
//! `docs/keyway_prot.x` says the same to compilers).
//!
//! ```text
//!   procedure       version 2                         version 3
//!   0, 1 null       nothing                           nothing
//!   2 put           app lib key value ttl             app lib key value secret_hash ttl        -> status
//!   3 get           app lib key maxvals placemark     the same
//!                   -> values, placemark              -> values of (value ttl secret_hash), placemark
//!   4 remove        -                                 app lib key value_hash alg secret ttl    -> status
//!
//!   app, lib  string<255>, not looked at       key    opaque[20]        value  opaque<1024>
//!   hash      string<20>, opaque<40>           placemark  opaque<100>   secret opaque<40>
//! ```
//!
//! The null procedure of this program is 1. Generic tools ask 0, which RFC 5531 reserves for it, so both answer. What follows
//! the arguments of a call is an error: the same bytes mean another life in the other version.

use keyway_core::Id;
use keyway_core::machine::Value;
use keyway_core::store::Kind;

use super::message::{AcceptStat, Head};
use super::xdr::{Reader, Undecodable, Writer};

/// The program's number.
pub const PROGRAM: u32 = 708_655_600;
/// Its lowest version.
pub const VERSION_MIN: u32 = 2;
/// Its highest version.
pub const VERSION_MAX: u32 = 3;

/// The null procedure by RFC 5531.
pub const PROC_NULL: u32 = 0;
/// The null procedure of this program.
pub const PROC_NULL_OURS: u32 = 1;
/// Stores a value.
pub const PROC_PUT: u32 = 2;
/// Reads values.
pub const PROC_GET: u32 = 3;
/// Removes a value; version 3 only.
pub const PROC_REMOVE: u32 = 4;

/// Longest name of an application or a client library.
const NAME_BYTES_MAX: usize = 255;
/// Longest placemark on this wire.
const PLACEMARK_BYTES_MAX: usize = 100;
/// Longest name of a hash algorithm.
const ALGORITHM_BYTES_MAX: usize = 20;
/// Longest hash on this wire.
const HASH_BYTES_MAX: usize = 40;
/// Longest secret.
const SECRET_BYTES_MAX: usize = 40;
/// What our hashes are called here: the word that the deployed server sent.
pub(super) const ALGORITHM: &[u8] = b"SHA";

/// A call with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Does nothing.
    Null,
    /// Stores a value.
    Put {
        /// Where.
        key: Id,
        /// What.
        value: Vec<u8>,
        /// Whose secret removes it; version 2 has none.
        secret_hash: Option<Vec<u8>>,
        /// For how long.
        ttl_secs: i32,
    },
    /// Reads a page of values.
    Get {
        /// Where.
        key: Id,
        /// At most so many.
        maxvals: i32,
        /// Strictly after this place.
        placemark: Vec<u8>,
    },
    /// Removes a value.
    Remove {
        /// Where.
        key: Id,
        /// The hash of what.
        value_hash: Vec<u8>,
        /// The secret itself.
        secret: Vec<u8>,
        /// For how long the removal is remembered.
        ttl_secs: i32,
    },
}

impl Call {
    /// Its procedure's name, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Call::Null => "null",
            Call::Put { secret_hash: None, .. } => "put",
            Call::Put { .. } => "put_removable",
            Call::Get { .. } => "get",
            Call::Remove { .. } => "remove",
        }
    }
}

/// Reads a call's arguments, with values of at most `value_bytes_max` bytes.
///
/// # Errors
/// What to answer: no such program, version or procedure, or arguments that cannot be read.
pub fn decode(head: &Head, args: Reader<'_>, value_bytes_max: usize) -> Result<Call, AcceptStat> {
    if head.program != PROGRAM {
        return Err(AcceptStat::ProgramUnavailable);
    }
    if !(VERSION_MIN..=VERSION_MAX).contains(&head.version) {
        return Err(AcceptStat::ProgramMismatch { low: VERSION_MIN, high: VERSION_MAX });
    }
    let call = match head.procedure {
        // Void has no bytes; who sends some is answered all the same.
        PROC_NULL | PROC_NULL_OURS => return Ok(Call::Null),
        PROC_PUT => put(head.version, args, value_bytes_max),
        PROC_GET => get(args),
        PROC_REMOVE if head.version >= 3 => remove(args),
        _ => return Err(AcceptStat::ProcedureUnavailable),
    };
    call.map_err(|_: Undecodable| AcceptStat::GarbageArguments)
}

/// What every call begins with. The names are for logs of 2005.
fn key(args: &mut Reader<'_>) -> Result<Id, Undecodable> {
    let _application = args.opaque(NAME_BYTES_MAX)?;
    let _client_library = args.opaque(NAME_BYTES_MAX)?;
    args.fixed().map(Id)
}

/// A hash, without its algorithm's name: on this wire nobody ever looked at that (`opendht` section 1.2).
fn hash(args: &mut Reader<'_>) -> Result<Vec<u8>, Undecodable> {
    let _algorithm = args.opaque(ALGORITHM_BYTES_MAX)?;
    Ok(args.opaque(HASH_BYTES_MAX)?.to_vec())
}

fn put(version: u32, mut args: Reader<'_>, value_bytes_max: usize) -> Result<Call, Undecodable> {
    let key = key(&mut args)?;
    let value = args.opaque(value_bytes_max)?;
    let secret_hash = if version >= 3 { Some(hash(&mut args)?) } else { None };
    let ttl_secs = args.i32()?;
    args.finish()?;
    // An empty hash is nobody's.
    let secret_hash = secret_hash.filter(|hash| !hash.is_empty());
    Ok(Call::Put { key, value: value.to_vec(), secret_hash, ttl_secs })
}

fn get(mut args: Reader<'_>) -> Result<Call, Undecodable> {
    let key = key(&mut args)?;
    let maxvals = args.i32()?;
    let placemark = args.opaque(PLACEMARK_BYTES_MAX)?.to_vec();
    args.finish()?;
    Ok(Call::Get { key, maxvals, placemark })
}

fn remove(mut args: Reader<'_>) -> Result<Call, Undecodable> {
    let key = key(&mut args)?;
    let value_hash = hash(&mut args)?;
    let _algorithm = args.opaque(ALGORITHM_BYTES_MAX)?;
    let secret = args.opaque(SECRET_BYTES_MAX)?.to_vec();
    let ttl_secs = args.i32()?;
    args.finish()?;
    Ok(Call::Remove { key, value_hash, secret, ttl_secs })
}

/// The results of a get.
pub fn write_page(w: &mut Writer<'_>, version: u32, values: &[Value], placemark: &[u8]) {
    debug_assert!(u32::try_from(values.len()).is_ok(), "a page has at most 65535 values");
    w.u32(values.len() as u32);
    for value in values {
        w.opaque(&value.bytes);
        if version >= 3 {
            w.i32(i32::try_from(value.remaining.as_secs()).unwrap_or(i32::MAX));
            w.opaque(ALGORITHM);
            // Of a value that no secret removes it is zeros, as the deployed server sent it.
            let hash = if value.kind == Kind::Put { value.identity.secret_hash } else { Id::ZERO };
            w.opaque(&hash.0);
        }
    }
    w.opaque(placemark);
}
