//! A disk that fails on command, under the real storage engine.
//!
//! It keeps what a kernel and a disk keep apart: `cache`, what reads see; `durable`, what a power cut leaves for sure;
//! and `pending`, the changes between both, in order. A power cut keeps any subset of the pending sectors. A failed
//! sync makes some pending changes durable and forgets the others *while the cache goes on showing them*, as Linux
//! does; only opening the medium anew makes the cache tell the truth again.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyway_core::rng::Rng;
use keyway_net::disk::medium::Medium;
use redb::StorageBackend;

use super::image::Image;

const SECTOR_BYTES: usize = 512;

/// What goes wrong at operation `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// That one operation fails. A write may have written a part, a sync may have lost what it should have saved.
    Error,
    /// From there on the file cannot grow, until [`FaultyDisk::repair`].
    Full,
    /// Any write from there on finds no space, until [`FaultyDisk::repair`].
    NoWrites,
    /// Any sync from there on fails, and may have lost what it should have saved, until [`FaultyDisk::repair`].
    NoSyncs,
    /// A write gets a prefix of its sectors to the disk, then the power goes. Other operations: the power goes.
    Tear,
    /// The power goes before the operation.
    Crash,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Len(usize),
}

#[derive(Debug)]
struct State {
    cache: Image,
    durable: Image,
    pending: Vec<Change>,
    operations: u64,
    fault: Fault,
    at: u64,
    is_dead: bool,
    rng: Rng,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

fn apply(image: &mut Image, change: &Change) {
    match change {
        Change::Len(len) => image.resize(*len),
        Change::Write { offset, data } => image.write(*offset, data),
    }
}

impl State {
    /// Counts an operation and says whether its fault is due.
    fn step(&mut self) -> io::Result<bool> {
        if self.is_dead {
            return Err(io::Error::other("the power is off"));
        }
        let n = self.operations;
        self.operations += 1;
        match self.fault {
            Fault::None => Ok(false),
            Fault::Error => Ok(n == self.at),
            Fault::Full | Fault::NoWrites | Fault::NoSyncs => Ok(n >= self.at),
            Fault::Tear => Ok(n == self.at),
            Fault::Crash if n == self.at => {
                self.is_dead = true;
                Err(io::Error::other("the power goes"))
            }
            Fault::Crash => Ok(false),
        }
    }

    fn die(&mut self) -> io::Error {
        self.is_dead = true;
        io::Error::other("the power goes")
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.cache, &change);
        self.pending.push(change);
    }

    /// A random part of the pending changes reaches the disk, sector by sector and in no order.
    fn spill(&mut self) {
        // Three moods, so that "all" and "nothing" are met as often as mixtures.
        let chance = [0.0, 0.5, 1.0][self.rng.index(3).unwrap_or(0)];
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Len(_) => {
                    if self.rng.chance(chance) {
                        apply(&mut self.durable, &change);
                    }
                }
                Change::Write { offset, data } => {
                    let mut at = 0;
                    while at < data.len() {
                        let to_edge = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                        let len = to_edge.min(data.len() - at);
                        if self.rng.chance(chance) {
                            self.durable.write(offset + at, &data[at..at + len]);
                        }
                        at += len;
                    }
                }
            }
        }
    }
}

impl FaultyDisk {
    /// An empty disk with a fault at operation `at`.
    pub(crate) fn new(fault: Fault, at: u64, seed: u64) -> FaultyDisk {
        FaultyDisk::with_image(Image::default(), fault, at, seed)
    }

    fn with_image(image: Image, fault: Fault, at: u64, seed: u64) -> FaultyDisk {
        let (cache, durable, rng) = (image.clone(), image, Rng::from_u64(seed));
        let state =
            State { cache, durable, pending: Vec::new(), operations: 0, fault, at, is_dead: false, rng };
        FaultyDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the power has gone.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Ends the fault's cause.
    pub(crate) fn repair(&self) {
        self.state().fault = Fault::None;
    }

    /// Cuts the power and gives the disk as the next start finds it: without faults.
    pub(crate) fn after_power_cut(&self) -> FaultyDisk {
        let mut state = self.state();
        state.is_dead = true;
        state.spill();
        let seed = state.rng.next_u64();
        FaultyDisk::with_image(state.durable.clone(), Fault::None, 0, seed)
    }
}

impl Medium for FaultyDisk {
    type Backend = FaultyDisk;

    fn backend(&self) -> io::Result<FaultyDisk> {
        let mut state = self.state();
        let mut truth = state.durable.clone();
        for change in &state.pending {
            apply(&mut truth, change);
        }
        state.cache = truth;
        drop(state);
        Ok(self.clone())
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state();
        match (state.step()?, state.fault) {
            (true, Fault::Error) => Err(io::Error::from_raw_os_error(5)),
            (true, Fault::Tear) => Err(state.die()),
            _ => Ok(state.cache.len() as u64),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        match (state.step()?, state.fault) {
            (true, Fault::Error) => return Err(io::Error::from_raw_os_error(5)),
            (true, Fault::Tear) => return Err(state.die()),
            _ => {}
        }
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        if state.cache.read(from, out) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        let len = usize::try_from(len).map_err(io::Error::other)?;
        match (state.step()?, state.fault) {
            (true, Fault::Error) => return Err(io::Error::from_raw_os_error(5)),
            (true, Fault::Tear) => return Err(state.die()),
            (true, Fault::Full | Fault::NoWrites) if len > state.cache.len() => {
                return Err(io::Error::from_raw_os_error(28));
            }
            _ => {}
        }
        state.change(Change::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        match (state.step()?, state.fault) {
            (true, Fault::Error | Fault::NoSyncs) => {
                state.spill();
                return Err(io::Error::from_raw_os_error(5));
            }
            (true, Fault::Tear) => return Err(state.die()),
            _ => {}
        }
        let state = &mut *state;
        for change in state.pending.drain(..) {
            apply(&mut state.durable, &change);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        match (state.step()?, state.fault) {
            (true, Fault::NoWrites) => return Err(io::Error::from_raw_os_error(28)),
            (true, fault @ (Fault::Error | Fault::Tear)) => {
                let sectors = state.rng.below((data.len() / SECTOR_BYTES) as u64 + 1) as usize;
                let prefix = data[..sectors * SECTOR_BYTES].to_vec();
                state.change(Change::Write { offset, data: prefix.clone() });
                if fault == Fault::Error {
                    return Err(io::Error::from_raw_os_error(5));
                }
                state.durable.write(offset, &prefix);
                return Err(state.die());
            }
            _ => {}
        }
        state.change(Change::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
