//! `keyway publish`: indirect storage. The network keeps a signed pointer; the bytes stay here and are served from here.
//!
//! ```text
//!   stock.rs: hash ──▶ listen ──▶ put pointer ──▶ serve, renew at half of its life ──▶ remove pointer ──▶ drain
//!                                                  │        until Ctrl-C, SIGTERM         ▲
//!                                                  └─ a file is not as it was ────────────┘
//! ```
//!
//! Killed without a chance to remove its pointer, a publisher is named until that ends, and asked in vain. What is promised
//! stands in `docs/publish.md`.

mod stock;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use keyway_client::publish::{Address, Announcement, Content, Pointer, What};
use keyway_client::{Authenticator, Key, Signer};
use keyway_gateway::{Limits, Shelf, serve_published};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use self::stock::Stock;
use crate::duration::{Span, utc};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Style, harmless, plural, thousands};
use crate::secrets;
use crate::serve::Signals;
use crate::session::Session;
use crate::size::Size;

/// Connections of fetchers at once, in all and from one address.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_PER_IP_MAX: usize = 64;

const EXAMPLES: &str = "\
Examples:
  keyway publish cat.jpg                                      for programs of this machine, until Ctrl-C
  keyway publish cat.jpg --listen 0.0.0.0:5860 --advertise http://host.example:5860
  keyway publish site/ --name site --sign me.key              a folder, under a name of yours as well
  keyway fetch KEY                                            elsewhere, with the key that publish prints

The network keeps only a signed pointer, for --ttl at a time; the bytes stay here and are served by this process. When it \
ends they are gone, unless others publish the same bytes, which have the same key. Ctrl-C removes the pointer. A publisher \
that dies is still named until its pointer ends, at most --ttl later; those who fetch meanwhile are told so. To store the \
bytes in the network itself use `keyway put --immutable @FILE`.
";

/// Serve a file or a folder from here, with a pointer to it in the network.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct PublishArgs {
    /// What to publish; of a folder all files, without links, permissions, times and empty folders
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Where to serve it: port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where others reach that, which the pointer tells; repeat it for several [default: the address of --listen]
    #[arg(long, value_name = "URL")]
    advertise: Vec<Address>,
    /// Put the pointer under this text, too; repeat it for several
    #[arg(long, value_name = "TEXT")]
    name: Vec<String>,
    /// Sign the pointer with the key in this file (`keyway keygen`) [default: a key made for this process alone]
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// How long the pointer lives, and is found after a crash; it is renewed at half of it
    #[arg(long, value_name = "DURATION", default_value_t = Span::from_secs(600))]
    ttl: Span,
}

/// A line that scripts read.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Published {
        key: Key,
        names: &'a [String],
        what: What,
        #[serde(flatten)]
        content: Content,
        files: usize,
        /// Of all files.
        files_bytes: u64,
        /// Links and devices left out.
        skipped: usize,
        urls: &'a [Address],
        signer: Authenticator,
        /// Whether the signer is this process and nobody else.
        ephemeral: bool,
        expires_ms: u64,
    },
    Renewed {
        expires_ms: u64,
    },
    Failed {
        error: String,
    },
    Changed {
        file: String,
    },
    Left {
        /// Whether the pointer was removed.
        removed: bool,
        /// Until when it may be found, if not.
        #[serde(skip_serializing_if = "Option::is_none")]
        found_until_ms: Option<u64>,
        answers: u64,
        answer_bytes: u64,
    },
}

/// Why publishing ended.
enum Ended {
    Told,
    Changed(PathBuf),
}

/// `keyway publish`.
pub(crate) async fn run(args: PublishArgs, session: &Session) -> Result<Exit, Failure> {
    let output = session.output;
    let signer = match &args.sign {
        Some(file) => secrets::signer(file, &output)?,
        None => Signer::generate()?,
    };
    let path = args.path.clone();
    let mut signals = Signals::new()?;
    // The thread that reads is left to itself then: it writes nothing.
    let stock = tokio::select! {
        stock = spawn_blocking(move || stock::take(&path, output)) => stock,
        () = signals.leave() => {
            return Err(Failure::new(Exit::Interrupted, "stopped before anything was published"));
        }
    };
    let mut stock = stock
        .map_err(|error| Failure::new(Exit::Failure, format!("hashing ended: our own bug: {error}")))??;
    let (listener, addresses) = listen(&args).await?;
    let pointer = Pointer::new(stock.what, stock.content, stock.name.as_deref(), addresses)?;
    let ttl = Duration::from(args.ttl);
    let mut announcement = Announcement::new(session.client()?, signer, pointer, &args.name, ttl)?;
    let server = Server::start(listener, std::mem::take(&mut stock.shelf));

    let put = tokio::select! {
        put = announcement.put() => put.map_err(Failure::from),
        () = signals.leave() => Err(Failure::new(Exit::Interrupted, "stopped before the pointer was put")),
    };
    let expires = match put {
        Ok(expires) => expires,
        Err(failure) => {
            // Under one key or on one node it may stand.
            let _ = announcement.remove().await;
            return Err(failure);
        }
    };
    // Whatever fails from here on, such as that nobody reads what is printed, the pointer is removed.
    let kept = match tell(&args, &stock, &announcement, expires, &output) {
        Ok(()) => keep(&mut announcement, &server.shelf, &mut signals, &output).await,
        Err(failure) => Err(failure),
    };
    let left = leave(&announcement, server, &mut signals, &output).await;
    let ended = kept?;
    left?;
    match ended {
        Ended::Told => Ok(Exit::Ok),
        Ended::Changed(path) => {
            let path = harmless(&path.display().to_string());
            Err(Failure::new(Exit::Invalid, format!("{path} is not as it was when it was published"))
                .hint("publish it again: other bytes have another key"))
        }
    }
}

/// Takes the port, and decides what the pointer tells.
async fn listen(args: &PublishArgs) -> Result<(TcpListener, Vec<Address>), Failure> {
    let addr = args.listen;
    if addr.ip().is_unspecified() && args.advertise.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{addr} is where to listen, but not where others reach it"),
        )
        .hint("--advertise http://HOST:PORT says where"));
    }
    let failed = |error| {
        Failure::new(Exit::Failure, format!("cannot listen on {addr}: {error}"))
            .hint("--listen names another address; port 0 takes a free one")
    };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let addresses = match args.advertise.as_slice() {
        [] => vec![addr.into()],
        some => some.to_vec(),
    };
    Ok((listener, addresses))
}

/// What serves the bytes.
struct Server {
    shelf: Arc<Shelf>,
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    fn start(listener: TcpListener, shelf: Shelf) -> Server {
        let shelf = Arc::new(shelf);
        let (close, closed) = oneshot::channel::<()>();
        let shutdown = async {
            // A sender that was dropped closes as well.
            let _ = closed.await;
        };
        let limits = Limits::default();
        let limits = Limits {
            connections_max: limits.connections_max.min(CONNECTIONS_MAX),
            connections_per_ip_max: CONNECTIONS_PER_IP_MAX,
            ..limits
        };
        let task = tokio::spawn(serve_published(listener, shelf.clone(), limits, shutdown));
        Server { shelf, close, task }
    }
}

/// Says what is published.
fn tell(
    args: &PublishArgs,
    stock: &Stock,
    announcement: &Announcement,
    expires: u64,
    output: &Output,
) -> Result<(), Failure> {
    let (content, key) = (stock.content, stock.content.key());
    let urls = &announcement.pointer().addresses;
    if output.is_json() {
        return output.json_line(&Event::Published {
            key,
            names: &args.name,
            what: stock.what,
            content,
            files: stock.files,
            files_bytes: stock.bytes,
            skipped: stock.skipped,
            urls,
            signer: announcement.signer(),
            ephemeral: args.sign.is_none(),
            expires_ms: 1000 * expires,
        });
    }
    let (bytes, files) = (stock.bytes, stock.files as u64);
    let what = match stock.what {
        What::File => String::new(),
        What::Tree => format!("{} {}, ", thousands(files), plural(files, "file", "files")),
    };
    output.line(format!(
        "{} {} ({what}{} {}) {}",
        output.style(Style::Green, "published"),
        harmless(&args.path.display().to_string()),
        thousands(bytes),
        plural(bytes, "byte", "bytes"),
        output.style(Style::Bold, &format!("under {key}")),
    ))?;
    for name in &args.name {
        output.line(format!("name     {}", harmless(name)))?;
    }
    output.line(format!("sha256   {}", content.sha256))?;
    for url in urls {
        output.line(format!("served   at {url}, by this process until Ctrl-C"))?;
    }
    let whose = if args.sign.is_some() { "" } else { ", a key made for this process alone" };
    output.line(format!("signer   {}{whose}", announcement.signer()))?;
    output.note(format!(
        "`keyway fetch {key}` gets it; the pointer lives {} at a time, and is renewed",
        Span::from_secs(args.ttl_secs()).in_words(),
    ));
    if args.listen.ip().is_loopback() && args.advertise.is_empty() {
        output.note("only programs of this machine reach it; for others: --listen ADDR:PORT --advertise URL");
    }
    Ok(())
}

impl PublishArgs {
    fn ttl_secs(&self) -> u64 {
        Duration::from(self.ttl).as_secs()
    }
}

/// Renews the pointer until told to end, or until a file is not as it was.
async fn keep(
    announcement: &mut Announcement,
    shelf: &Arc<Shelf>,
    signals: &mut Signals,
    output: &Output,
) -> Result<Ended, Failure> {
    let mut next = Instant::now() + announcement.renew_after();
    loop {
        tokio::select! {
            () = signals.leave() => return Ok(Ended::Told),
            path = shelf.until_changed() => return changed(path, output),
            () = sleep_until(next) => {}
        }
        let looked = shelf.clone();
        // What nobody fetches is looked at as well before it is promised again; a panic there is our own bug, and nothing is promised.
        if let Ok(Some(path)) = spawn_blocking(move || looked.check()).await {
            return changed(path, output);
        }
        let began = Instant::now();
        let put = tokio::select! {
            put = announcement.put() => put,
            () = signals.leave() => return Ok(Ended::Told),
        };
        next = began + if put.is_ok() { announcement.renew_after() } else { announcement.retry_after() };
        match put {
            Ok(expires) if output.is_json() => {
                output.json_line(&Event::Renewed { expires_ms: 1000 * expires })?
            }
            // What goes well again and again is not news.
            Ok(_) => {}
            Err(error) if output.is_json() => {
                output.json_line(&Event::Failed { error: error.to_string() })?
            }
            Err(error) => output.note(format!("the pointer was not renewed: {error}; it is tried again")),
        }
    }
}

fn changed(path: PathBuf, output: &Output) -> Result<Ended, Failure> {
    if output.is_json() {
        output.json_line(&Event::Changed { file: path.display().to_string() })?;
    }
    Ok(Ended::Changed(path))
}

/// Removes the pointer, then lets answers under way end. Another signal ends it at once.
async fn leave(
    announcement: &Announcement,
    server: Server,
    signals: &mut Signals,
    output: &Output,
) -> Result<(), Failure> {
    let until_ms = 1000 * announcement.expires_unix_seconds();
    let removed = tokio::select! {
        removed = announcement.remove() => removed.map_err(|error| error.to_string()),
        () = signals.leave() => Err("told to quit at once".to_owned()),
    };
    if let Err(why) = &removed {
        let until = utc(until_ms);
        output.note(format!("the pointer was not removed: {why}; it is found in vain until {until}"));
    }
    let Server { shelf, close, mut task } = server;
    let _ = close.send(());
    tokio::select! {
        _ = &mut task => {}
        () = signals.leave() => task.abort(),
    }
    let (answers, bytes) = shelf.served();
    if output.is_json() {
        let removed = removed.is_ok();
        let found_until_ms = (!removed).then_some(until_ms);
        return output.json_line(&Event::Left { removed, found_until_ms, answers, answer_bytes: bytes });
    }
    let count = plural(answers, "answer", "answers");
    output.note(format!("left, after {} {count} with {:#}", thousands(answers), Size(bytes)));
    Ok(())
}
