//! The file store: pipelined, checked block by block, and not stopped by the loss of a gateway.

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use keyway_client::{Client, Key};

use super::cfs::blocks::{BLOCK_BYTES, Inode};
use super::cfs::program::Failure;
use super::cfs::transfer::{Fetch, Summary, store};
use super::support::{Network, noise};
use super::{client, keygen, ran};

const HOUR: Duration = Duration::from_secs(3600);
/// Enough for indirect blocks, and a last block that is not whole.
const LENGTH: usize = 300 * BLOCK_BYTES + 77;

/// Fetches a file; after so many data blocks something happens.
async fn fetched(
    client: &Client,
    key: &Key,
    window: usize,
    after: usize,
    mut happens: impl FnMut(),
) -> Result<(Vec<u8>, Summary), Failure> {
    let mut fetch = Fetch::begin(client, key, window).await?;
    let (mut bytes, mut count) = (Vec::new(), 0);
    while let Some(data) = fetch.next().await? {
        bytes.extend(data);
        count += 1;
        if count == after {
            happens();
        }
    }
    Ok((bytes, fetch.summary()))
}

#[tokio::test]
async fn a_file_comes_back_with_many_requests_in_flight_although_a_gateway_dies() {
    let mut network = Network::start(5, &["--durability", "memory"]);
    let client = client(&network);
    let file = noise(7, LENGTH);
    let (key, stored) = store(&client, Cursor::new(&file), HOUR, 24).await.expect("it is stored");
    // 301 data blocks, 6 of keys, and the inode.
    assert_eq!((stored.blocks, stored.bytes, stored.in_flight_max), (308, LENGTH as u64, 24));

    let (bytes, alone) = fetched(&client, &key, 1, 0, || ()).await.expect("it is fetched");
    assert!(bytes == file);
    assert_eq!((alone.blocks, alone.in_flight_max), (308, 1));

    // The gateway that serves us goes, with a window of requests on their way to it.
    let (bytes, many) =
        fetched(&client, &key, 32, 100, || network.nodes[0].kill()).await.expect("others stand in for it");
    assert!(bytes == file);
    assert_eq!((many.blocks, many.in_flight_max), (308, 32));

    // The same bytes have the same blocks: storing them again is the same file.
    let (again, _) = store(&client, Cursor::new(&file), HOUR, 24).await.expect("it is stored by the others");
    assert_eq!(again, key);
}

#[tokio::test]
async fn no_block_is_taken_that_is_not_the_one_its_name_asks_for() {
    let network = Network::start(3, &["--durability", "memory"]);
    let client = client(&network);
    let file = noise(8, 5 * BLOCK_BYTES);
    let (key, _) = store(&client, Cursor::new(&file), HOUR, 8).await.expect("it is stored");

    // Strangers' values under the key of a block and of the inode, put before and after.
    for chaff in [&file[..BLOCK_BYTES], &file[..100], b"kwcfs-1\nnonsense"] {
        for at in [key, Key::content(&file[..BLOCK_BYTES])] {
            client.put(&at, Bytes::copy_from_slice(chaff), Some(HOUR)).await.expect("anybody may put");
        }
    }
    let (bytes, _) = fetched(&client, &key, 8, 0, || ()).await.expect("it is fetched");
    assert!(bytes == file);

    // Inodes that lie: about a block that is not there, about one of another length, about nothing at all.
    let data = Key::content(&file[..BLOCK_BYTES]);
    let lies = [
        (Inode { length: 7, top: vec![Key::text("nothing")] }, 3, "is not there"),
        (Inode { length: 7, top: vec![data] }, 8, "not what its place in the file asks for"),
        (Inode { length: 60 * BLOCK_BYTES as u64, top: vec![data, data] }, 8, "not what its place"),
    ];
    for (inode, code, why) in lies {
        let lie = client.put_immutable(inode.encode(), Some(HOUR)).await.expect("anybody may put").key;
        let failure = fetched(&client, &lie, 8, 0, || ()).await.expect_err("a lie");
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(why), "{}", failure.message);
    }
    let failure = fetched(&client, &data, 8, 0, || ()).await.expect_err("no inode");
    assert!(failure.message.contains("does not name a file"), "{}", failure.message);
}

#[test]
fn a_name_means_what_its_signer_published_last() {
    let network = Network::start(3, &["--durability", "memory"]);
    let path = |name: &str| network.dir.path().join(name).display().to_string();
    let (ours, owner) = keygen(&network, "ours.key");
    let (theirs, _) = keygen(&network, "theirs.key");
    let cfs = |args: &[&str]| ran(&network, "cfs", args, "");
    for (version, length) in [("1", 10_000), ("2", 0)] {
        std::fs::write(path("file"), noise(9, length)).expect("a file");
        let stored = cfs(&["put", &path("file"), "--name", "news", "--sign", &ours]);
        assert!(stored.stderr.contains("blocks/s"), "{}", stored.stderr);
        assert!(stored.stderr.contains(&format!("version {version} of \"news\"")), "{}", stored.stderr);
        let key = stored.good();
        cfs(&["put", &path("ours.key"), "--name", "news", "--sign", &theirs]).good();

        let got = cfs(&["get", "--name", "news", "--signer", &owner, "--out", &path("copy")]);
        assert!(got.stderr.contains(&format!("{length} bytes")), "{}", got.stderr);
        got.good();
        assert_eq!(std::fs::read(path("copy")).expect("a copy"), noise(9, length));
        assert_eq!(cfs(&["get", key.trim(), "--window", "4"]).stdout, noise(9, length));
    }
    let error = cfs(&["get", "--name", "old", "--signer", &owner]).failed(3);
    assert!(error.contains("published nothing as \"old\""), "{error}");
    cfs(&["get", "--name", "news"]).failed(2);
    let error = cfs(&["put", &path("file"), "--window", "0"]).failed(2);
    assert!(error.contains("1 to 1024"), "{error}");
}
