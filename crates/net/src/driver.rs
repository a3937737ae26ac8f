//! The driver: one task that owns one machine and does what it lists.
//!
//! ```text
//!            ┌──────────────────────────── wait: the first of these ───────────────────────────┐
//!            │ disk results   datagrams   frames by stream   client ops   stop   the deadline │
//!            └────────────────────────────────────┬────────────────────────────────────────────┘
//!                                                 ▼ take what else is there, up to the bounds
//!                         machine.handle(now, inputs, out)         ◀──┐
//!                                                 ▼                   │ results of a memory disk
//!            send datagrams and stream frames, begin disk effects, ───┘
//!            answer ops, write the trace to the log;  out.clear()
//! ```
//!
//! Everything happens on this one task: no task per datagram, no lock around the machine. While more than
//! [`DISK_QUEUE_MAX`] effects wait for the disk, nothing more is taken from outside; the kernel's buffers fill and lose
//! datagrams, clients are told to come back, and the disk catches up.

use std::collections::BTreeMap;
use std::time::Duration;

use keyway_core::machine::{
    DiskResult, DiskToken, Machine, NodeInput, Op, OpDone, OpError, OpId, OpResult, Outbox, Phase, STOP_OP,
    Trace,
};
use keyway_core::peer::Addr;
use keyway_core::time::Mono;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::disk::lanes::DISK_QUEUE_MAX;
use crate::metrics::DriverMetrics;
use crate::transport::stream::{Outgoing, StreamFrame};
use crate::transport::udp::{Batch, Datagrams, Received};

/// Client operations given to the machine in one batch.
const BATCH_OPS_MAX: usize = 64;
/// Stream frames given to the machine in one batch.
const BATCH_FRAMES_MAX: usize = 16;
/// Rounds through the machine without looking outside, while a memory disk ends effects at once.
const ROUNDS_MAX: usize = 16;
/// Pause of the socket after an error that may come again at once.
const SOCKET_PAUSE: Duration = Duration::from_millis(10);

/// A client's wish.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) what: Op,
    pub(crate) reply: oneshot::Sender<OpResult>,
}

/// Everything from outside.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) datagrams: Datagrams,
    pub(crate) frames: mpsc::Receiver<StreamFrame>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) acceptor: JoinHandle<()>,
}

/// One batch of inputs before the machine sees it, in buffers that are used again.
#[derive(Default)]
struct Gathered {
    datagrams: Batch,
    frames: Vec<StreamFrame>,
    ops: Vec<(OpId, Op)>,
    disk: Vec<(DiskToken, DiskResult)>,
    inputs: Vec<NodeInput<'static>>,
}

enum Stopping {
    No,
    /// Asked for; the machine is told with the next batch.
    Asked,
    /// The machine hands over, until then at most.
    Leaving(Instant),
    Over,
}

pub(crate) struct Driver {
    machine: Box<dyn Machine>,
    out: Outbox,
    disk: Disk,
    ear: Ear,
    outgoing: Outgoing,
    clock: Clock,
    metrics: DriverMetrics,
    pending: BTreeMap<OpId, oneshot::Sender<OpResult>>,
    next_op: u64,
    gathered: Gathered,
    socket_rests_until: Option<Instant>,
    stopping: Stopping,
    stop_max: Duration,
}

impl Driver {
    pub(crate) fn new(
        machine: Box<dyn Machine>,
        disk: Disk,
        ear: Ear,
        outgoing: Outgoing,
        clock: Clock,
        stop_max: Duration,
        metrics: DriverMetrics,
    ) -> Driver {
        let mut out = Outbox::default();
        out.trace = Some(Vec::new());
        Driver {
            machine,
            out,
            disk,
            ear,
            outgoing,
            clock,
            metrics,
            pending: BTreeMap::new(),
            next_op: 0,
            gathered: Gathered::default(),
            socket_rests_until: None,
            stopping: Stopping::No,
            stop_max,
        }
    }

    /// Runs the node to its end.
    pub(crate) async fn run(mut self, seeds: &[Addr]) {
        self.machine.handle(self.clock.now(), &mut [NodeInput::Start { seeds }], &mut self.out);
        self.perform();
        while !matches!(self.stopping, Stopping::Over) {
            self.wait().await;
            self.gather();
            for _ in 0..ROUNDS_MAX {
                self.turn();
                self.disk.take_done(&mut self.gathered.disk);
                if self.gathered.disk.is_empty() {
                    break;
                }
            }
            if matches!(self.stopping, Stopping::Leaving(until) if until <= Instant::now()) {
                if !self.stop_max.is_zero() {
                    tracing::warn!("the graceful stop took too long; going without it");
                }
                self.stopping = Stopping::Over;
            }
        }
        self.finish().await;
    }

    /// Until there is something to do. What a channel gave goes to `gathered`.
    async fn wait(&mut self) {
        if !self.gathered.disk.is_empty() {
            // A memory disk answers at once, which may go on for long: let others have a turn.
            tokio::task::yield_now().await;
            return;
        }
        let open = self.disk.waiting_count() < DISK_QUEUE_MAX;
        let resting = self.socket_rests_until.is_some_and(|until| until > Instant::now());
        let alarm = self.alarm();
        let Ear { datagrams, frames, commands, stop, .. } = &mut self.ear;
        tokio::select! {
            biased;
            () = self.disk.ready() => {}
            _ = datagrams.readable(), if open && !resting => {}
            Some(frame) = frames.recv(), if open => self.gathered.frames.push(frame),
            Some(command) = commands.recv(), if open => self.begin(command),
            true = asked(stop), if matches!(self.stopping, Stopping::No) => self.stopping = Stopping::Asked,
            () = sleep_until(alarm) => {}
        }
    }

    /// When to wake up at the latest.
    fn alarm(&self) -> Option<Instant> {
        let deadline = self.machine.deadline().map(|mono| Instant::from_std(self.clock.instant(mono)));
        let stop = match self.stopping {
            Stopping::Leaving(until) => Some(until),
            _ => None,
        };
        [deadline, stop, self.socket_rests_until].into_iter().flatten().min()
    }

    /// Takes what else is there, up to the bounds.
    fn gather(&mut self) {
        self.disk.take_done(&mut self.gathered.disk);
        if self.socket_rests_until.is_some_and(|until| until <= Instant::now()) {
            self.socket_rests_until = None;
        }
        if self.disk.waiting_count() >= DISK_QUEUE_MAX {
            return;
        }
        if self.socket_rests_until.is_none()
            && self.ear.datagrams.receive(&mut self.gathered.datagrams, &self.metrics) == Received::Failed
        {
            self.socket_rests_until = Some(Instant::now() + SOCKET_PAUSE);
        }
        while self.gathered.frames.len() < BATCH_FRAMES_MAX {
            let Ok(frame) = self.ear.frames.try_recv() else { break };
            self.gathered.frames.push(frame);
        }
        while self.gathered.ops.len() < BATCH_OPS_MAX {
            let Ok(command) = self.ear.commands.try_recv() else { break };
            self.begin(command);
        }
    }

    fn begin(&mut self, command: Command) {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.pending.insert(op, command.reply);
        self.gathered.ops.push((op, command.what));
    }

    /// Gives the machine what was gathered and does what it lists.
    fn turn(&mut self) {
        let now = self.clock.now();
        let Gathered { datagrams, frames, ops, disk, inputs } = &mut self.gathered;
        let mut batch = recycled(std::mem::take(inputs));
        batch.extend(disk.drain(..).map(|(token, result)| NodeInput::DiskDone { token, result }));
        batch.extend(datagrams.iter().map(|(from, bytes)| NodeInput::Datagram { from, bytes }));
        batch.extend(frames.iter().map(|f| NodeInput::Datagram { from: f.from, bytes: &f.bytes }));
        batch.extend(ops.drain(..).map(|(op, what)| NodeInput::Op { op, what }));
        if matches!(self.stopping, Stopping::Asked) {
            batch.push(NodeInput::Stop);
            self.stopping = Stopping::Leaving(Instant::now() + self.stop_max);
        }
        if self.machine.deadline().is_some_and(|at: Mono| at <= now.mono) {
            batch.push(NodeInput::Tick);
        }
        if !batch.is_empty() {
            self.machine.handle(now, &mut batch, &mut self.out);
            self.metrics.turns.inc();
        }
        *inputs = recycled(batch);
        datagrams.clear();
        frames.clear();
        self.perform();
    }

    /// Does what the machine listed.
    fn perform(&mut self) {
        for (to, bytes) in self.out.datagrams() {
            if bytes.len() <= keyway_core::frame::DATAGRAM_BYTES_MAX {
                self.ear.datagrams.send(to, bytes, &self.metrics);
            } else {
                self.outgoing.send(to, bytes);
            }
        }
        self.disk.submit(&mut self.out.disk);
        for (op, result) in self.out.done.drain(..) {
            if op == STOP_OP {
                debug_assert!(matches!(result, Ok(OpDone::Stopped)), "the end of a leave, not {result:?}");
                self.stopping = Stopping::Over;
            } else if let Some(reply) = self.pending.remove(&op) {
                // An asker that went away does not want the answer.
                let _ = reply.send(result);
            }
        }
        self.metrics.ops_inflight.set(self.pending.len() as i64);
        for line in self.out.trace.iter().flatten() {
            log(line);
        }
        self.out.clear();
    }

    /// Answers whoever still waits, does what the disk still has to do, and closes everything.
    async fn finish(mut self) {
        self.ear.acceptor.abort();
        self.ear.commands.close();
        while let Ok(command) = self.ear.commands.try_recv() {
            let _ = command.reply.send(Err(OpError::NotJoined));
        }
        for (_, reply) in std::mem::take(&mut self.pending) {
            let _ = reply.send(Err(OpError::Timeout));
        }
        drop(self.outgoing);
        let disk = self.disk;
        if let Err(error) = tokio::task::spawn_blocking(move || disk.close()).await {
            tracing::error!(%error, "closing the disk failed");
        }
        tracing::info!("node stopped");
    }
}

/// The same allocation for inputs of another lifetime. Mapping an empty vector in place keeps its capacity.
fn recycled<'b>(mut inputs: Vec<NodeInput<'_>>) -> Vec<NodeInput<'b>> {
    inputs.clear();
    inputs.into_iter().map(|_| unreachable!("the vector is empty")).collect()
}

/// Whether a stop is asked for; waits while it is not. A handle that is gone cannot ask any more.
async fn asked(stop: &mut watch::Receiver<bool>) -> bool {
    if stop.wait_for(|asked| *asked).await.is_err() {
        std::future::pending::<()>().await;
    }
    true
}

async fn sleep_until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Rare lines are for operators, the others for those who look for a fault.
fn log(line: &Trace) {
    match line {
        Trace::Phase(Phase::Refused) => tracing::error!("the network refuses this node"),
        Trace::Phase(phase) => tracing::info!(?phase, "phase"),
        Trace::Halt(Some(halt)) => tracing::error!(?halt, "writes are refused from now on; reads go on"),
        Trace::Halt(None) => tracing::info!("writes are taken again"),
        Trace::OtherTerms { peer, theirs, ours } => tracing::warn!(
            peer = %peer.addr(), %theirs, %ours,
            "a peer keeps copies in another way: reads here may miss what was put there, and the other way round"
        ),
        other => tracing::debug!(?other, "trace"),
    }
}
