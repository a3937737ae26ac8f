//! Real processes of the built binary, for the tests beside: start them, watch them, kill them, ask them.
//!
//! Every wait is bounded and for an event: a line on stdout, an answer of `/readyz`, the end of a process. A process that
//! is dropped is killed, whatever the test's end was.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part")]

mod browser;
mod http;
mod network;
mod process;

pub use browser::Browser;
pub use http::{get, post, put, wait_until};
pub use network::{Network, Node};
pub use process::{Process, Ran, command, keyway, keyway_with_input, python, run};

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// For anything that should take a second: generous, because tests share a machine with builds.
pub const SOON: Duration = Duration::from_secs(60);

/// `count` loopback ports, `step` apart from the first, each with the next two free too. Below the range from which the
/// system gives ports to outgoing connections, so that a node that is restarted finds its port again.
pub fn free_ports(count: u16, step: u16) -> u16 {
    const LOWEST: u32 = 10_000;
    const HIGHEST: u32 = 32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(count) * u32::from(step) + 2;
    // The same for every span: what one call is given no other call of this process is, also while its nodes are down.
    const SPAN_MAX: u32 = 2_048;
    assert!(span <= SPAN_MAX, "{span} ports");
    // Tests that run at the same time in other processes begin elsewhere.
    let offset = std::process::id().wrapping_mul(2_654_435_761) >> 8;
    for _ in 0..10_000 {
        let taken = NEXT.fetch_add(span, Ordering::Relaxed);
        let first = LOWEST + offset.wrapping_add(taken) % (HIGHEST - LOWEST - SPAN_MAX);
        let first = u16::try_from(first).expect("below 32000");
        if (0..count).all(|i| (0..3).all(|next| is_free(first + i * step + next))) {
            return first;
        }
    }
    panic!("no {count} free ports");
}

fn is_free(port: u16) -> bool {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    UdpSocket::bind(addr).is_ok() && TcpListener::bind(addr).is_ok()
}

/// Bytes that look like nothing in particular, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*, Vigna 2014.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}
