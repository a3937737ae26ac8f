//! A client of Sun RPC that keeps as many calls under way as it is asked to, on one connection.
//!
//! ```text
//!   put, get ──▶ out ──▶ [writer] ──▶ socket ──▶ [reader] ──▶ the call of that xid
//!   at once       what came together is written together
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyway_core::Id;
use keyway_gateway::sunrpc::program::{PROC_GET, PROC_PUT, PROGRAM, VERSION_MIN};
use keyway_gateway::sunrpc::record::{Reassembler, framed};
use keyway_gateway::sunrpc::xdr::{Reader, Undecodable, Writer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::{ANSWER_BYTES_MAX, Outcome, TTL, VALUES_MAX};

/// Read from the socket at once.
const CHUNK_BYTES: usize = 64 << 10;
const RPC_VERSION: u32 = 2;
/// Message types, and the words of an accepted reply that is a success.
const CALL: u32 = 0;
const REPLY: u32 = 1;
const ACCEPTED: u32 = 0;
const SUCCESS: u32 = 0;
/// What `put` answers when it is done.
const DONE: u32 = 0;

#[derive(Default)]
struct State {
    out: Vec<u8>,
    /// Calls under way: as many as the load has at once.
    calls: HashMap<u32, oneshot::Sender<Vec<u8>>>,
    next_xid: u32,
    /// Why there will be no more replies.
    broken: Option<String>,
}

struct Shared {
    state: Mutex<State>,
    written: Notify,
}

/// One connection. Its two tasks end with it.
pub(in super::super) struct Connection {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for a reply that will not come.
    fn break_off(&self, why: String) {
        let mut state = self.state();
        state.broken.get_or_insert(why);
        state.calls.clear();
    }
}

impl Connection {
    pub(super) async fn open(gateway: SocketAddr) -> Outcome<Connection> {
        let connect = async {
            let socket = TcpStream::connect(gateway).await?;
            socket.set_nodelay(true)?;
            Ok(socket.into_split())
        };
        let (incoming, outgoing) = connect.await.map_err(|error: std::io::Error| error.to_string())?;
        let shared = Arc::new(Shared { state: Mutex::default(), written: Notify::new() });
        let mut tasks = JoinSet::new();
        tasks.spawn(write(shared.clone(), outgoing));
        tasks.spawn(read(shared.clone(), incoming));
        Ok(Connection { shared, _tasks: tasks })
    }

    pub(super) async fn put(&self, key: &Id, value: &[u8]) -> Outcome<()> {
        let reply = self.call(PROC_PUT, key, |w| {
            w.opaque(value);
            w.u32(TTL.as_secs() as u32);
        });
        match results(&reply.await?).and_then(|mut results| results.u32()) {
            Ok(DONE) => Ok(()),
            Ok(status) => Err(format!("the gateway answered {status}")),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn get(&self, key: &Id) -> Outcome<Vec<Vec<u8>>> {
        let reply = self.call(PROC_GET, key, |w| {
            w.u32(VALUES_MAX);
            w.opaque(b"");
        });
        page(&reply.await?).map_err(|error| error.to_string())
    }

    /// The record that answers a call.
    async fn call(
        &self,
        procedure: u32,
        key: &Id,
        arguments: impl FnOnce(&mut Writer<'_>),
    ) -> Outcome<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if let Some(why) = &state.broken {
                return Err(why.clone());
            }
            let xid = state.next_xid;
            state.next_xid = xid.wrapping_add(1);
            framed(&mut state.out, |out| {
                let mut w = Writer::new(out);
                for word in [xid, CALL, RPC_VERSION, PROGRAM, VERSION_MIN, procedure, 0, 0, 0, 0] {
                    w.u32(word);
                }
                w.opaque(b"keyway bench");
                w.opaque(b"");
                w.fixed(&key.0);
                arguments(&mut w);
            });
            state.calls.insert(xid, reply);
        }
        self.shared.written.notify_one();
        answer.await.map_err(|_| {
            self.shared.state().broken.clone().unwrap_or_else(|| "the connection ended".to_owned())
        })
    }
}

/// The results in a reply.
fn results(record: &[u8]) -> Result<Reader<'_>, Undecodable> {
    let mut r = Reader::new(record);
    let (_xid, kind, stat) = (r.u32()?, r.u32()?, r.u32()?);
    let (_flavor, _verifier) = (r.u32()?, r.opaque(ANSWER_BYTES_MAX)?);
    if (kind, stat, r.u32()?) != (REPLY, ACCEPTED, SUCCESS) {
        return Err(Undecodable("the call was refused"));
    }
    Ok(r)
}

fn page(record: &[u8]) -> Result<Vec<Vec<u8>>, Undecodable> {
    let mut r = results(record)?;
    let count = r.u32()?;
    // A count that is a lie ends with the record.
    (0..count).map(|_| r.opaque(ANSWER_BYTES_MAX).map(<[u8]>::to_vec)).collect()
}

async fn write(shared: Arc<Shared>, mut socket: OwnedWriteHalf) {
    let mut out = Vec::new();
    loop {
        shared.written.notified().await;
        std::mem::swap(&mut out, &mut shared.state().out);
        if let Err(error) = socket.write_all(&out).await {
            return shared.break_off(error.to_string());
        }
        out.clear();
    }
}

async fn read(shared: Arc<Shared>, mut socket: OwnedReadHalf) {
    let mut reassembler = Reassembler::new(ANSWER_BYTES_MAX);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let mut bytes = match socket.read(&mut chunk).await {
            Ok(0) => return shared.break_off("the gateway closed the connection".to_owned()),
            Ok(len) => &chunk[..len],
            Err(error) => return shared.break_off(error.to_string()),
        };
        loop {
            let record = match reassembler.next(&mut bytes) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => return shared.break_off(error.to_string()),
            };
            let xid = record.first_chunk::<4>().map_or(0, |xid| u32::from_be_bytes(*xid));
            let call = shared.state().calls.remove(&xid);
            // Whoever gave up on it does not want it.
            let _ = call.map(|call| call.send(record));
        }
    }
}
