//! A node as a library: two of them in this process, in memory, one network. `cargo run --example embed`

use keyway_core::machine::{Op, OpDone, Reads};
use keyway_core::{Duration, Id};
use keyway_net::{Durability, NodeSettings, start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Port 0 takes a free one; without seeds and data of an earlier life the first node founds a network.
    let listen = ([127, 0, 0, 1], 0).into();
    let settings = NodeSettings { listen, durability: Durability::Memory, ..NodeSettings::default() };
    let first = start(settings.clone()).await?;
    let second = start(NodeSettings { seeds: vec![first.listen()], ..settings }).await?;
    first.wait_member().await?;
    second.wait_member().await?;

    // Two members keep two copies of each value, although three are asked for.
    let (key, ttl) = (Id::of_text("colors"), Duration::from_secs(3_600));
    if let OpDone::Put(receipt) = first.op(Op::put(key, b"red".to_vec(), ttl)).await? {
        println!("put colors: {} copies acknowledged", receipt.acked.len());
    }

    // Any node answers for any key.
    let (page_bytes, overhead_bytes) = (u32::MAX, 0);
    let get =
        Op::Get { key, max: 10, after: None, reads: Reads::Quorum, page_bytes, overhead_bytes, signer: None };
    if let OpDone::Got(answer) = second.op(get).await? {
        for value in answer.values {
            println!("got {}", String::from_utf8_lossy(&value.bytes));
        }
    }

    second.stop().await;
    first.stop().await;
    Ok(())
}
