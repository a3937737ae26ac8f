//! How many gets a second one Sun RPC connection carries, beside a bare echo of the same records in the same run.
//!
//! ```text
//!   cargo run --release -p keyway-gateway --example sunrpc_speed                   100 calls in flight, 5 s each
//!   cargo run --release -p keyway-gateway --example sunrpc_speed -- 32 2           32 in flight, 2 s each
//!
//!   client ── get, get, get .. ──▶ gateway ── Op::Get ──▶ a node of its own, in this process, in memory
//!          ◀── a page of one value, in any order ──
//! ```
//!
//! Promised: at least 20,000 gets a second. Exits with 1 when they are fewer.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keyway_core::machine::Op;
use keyway_core::{Duration as Span, Id};
use keyway_gateway::sunrpc::program::{PROC_GET, PROGRAM};
use keyway_gateway::sunrpc::record::framed;
use keyway_gateway::sunrpc::xdr::Writer;
use keyway_gateway::{GatewayConfig, Listeners, serve};
use keyway_net::{Durability, NodeSettings, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Fewest gets a second.
const GETS_PER_SECOND_PROMISE: f64 = 20_000.0;
/// Length of the value that is read.
const VALUE_BYTES: usize = 100;

/// A get of version 3, as a record.
fn get(xid: u32, key: &Id) -> Vec<u8> {
    let mut out = Vec::new();
    framed(&mut out, |out| {
        let mut w = Writer::new(out);
        for word in [xid, 0, 2, PROGRAM, 3, PROC_GET, 0, 0, 0, 0] {
            w.u32(word);
        }
        w.opaque(b"sunrpc_speed");
        w.opaque(b"by hand");
        w.fixed(&key.0);
        w.i32(10);
        w.opaque(b"");
    });
    out
}

/// Records a second: `in_flight` of them are sent, and a further one for each that comes back.
async fn rate(addr: SocketAddr, call: &[u8], in_flight: usize, lasts: Duration) -> io::Result<f64> {
    let mut socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&call.repeat(in_flight)).await?;
    let (began, mut count) = (Instant::now(), 0_u64);
    let mut incoming = Vec::with_capacity(256 << 10);
    while began.elapsed() < lasts {
        if socket.read_buf(&mut incoming).await? == 0 {
            return Err(io::Error::other("the server closed"));
        }
        let (mut at, mut came) = (0, 0);
        while let Some(mark) = incoming[at..].first_chunk::<4>() {
            let len = (u32::from_be_bytes(*mark) & !(1 << 31)) as usize;
            if incoming.len() < at + 4 + len {
                break;
            }
            at += 4 + len;
            came += 1;
        }
        incoming.drain(..at);
        count += came as u64;
        socket.write_all(&call.repeat(came)).await?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Sends back whatever comes.
async fn echo(listener: TcpListener) -> io::Result<()> {
    let (mut socket, _) = listener.accept().await?;
    socket.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(16 << 10);
    while socket.read_buf(&mut bytes).await? > 0 {
        socket.write_all(&bytes).await?;
        bytes.clear();
    }
    Ok(())
}

async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let in_flight = args.next().unwrap_or(100) as usize;
    let lasts = Duration::from_secs(args.next().unwrap_or(5));
    let settings = NodeSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        durability: Durability::Memory,
        replicas: 1,
        acks: 1,
        ..NodeSettings::default()
    };
    let node = start(settings).await.map_err(io::Error::other)?;
    node.wait_member().await.map_err(io::Error::other)?;
    let key = Id::of_text("speed");
    let put = Op::put(key, vec![b'v'; VALUE_BYTES], Span::from_secs(3600));
    node.op(put).await.map_err(io::Error::other)?;
    let (http, _) = listen().await?;
    let (sunrpc, addr) = listen().await?;
    let listeners = Listeners { http, sunrpc: Some(sunrpc) };
    tokio::spawn(serve(listeners, node, GatewayConfig::default(), std::future::pending()));

    let call = get(7, &key);
    let (bare, bare_addr) = listen().await?;
    tokio::spawn(echo(bare));
    let gets = rate(addr, &call, in_flight, lasts).await?;
    let echoes = rate(bare_addr, &call, in_flight, lasts).await?;
    println!("{gets:>10.0} gets/s over Sun RPC, {in_flight} in flight on one connection");
    println!("{echoes:>10.0} records/s of a bare echo");
    println!("{:>10.3} of it", gets / echoes);
    if gets < GETS_PER_SECOND_PROMISE {
        println!("promised were {GETS_PER_SECOND_PROMISE} gets/s");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
