//! Sentences of the algorithm, one at a time. Unless it says otherwise a disk holds 100 bytes, puts have at most 10 bytes and 100 ms,
//! and the reserve is a byte a ms.

use super::*;

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);
const C: ClientId = ClientId(3);

fn plain() -> FairConfig {
    FairConfig::paper(100, 100, 10).unwrap()
}

/// A disk, and the names and times of what it accepted.
struct Disk {
    fair: Fair<u32>,
    accepted: Vec<Accepted<u32>>,
}

impl Disk {
    fn new(config: FairConfig) -> Disk {
        Disk { fair: Fair::new(config), accepted: Vec::new() }
    }

    fn put(&mut self, now: u64, client: ClientId, name: u32, bytes: u64, ttl: u64) -> Result<Place, Refused> {
        let place = self.fair.arrive(now, client, name, bytes, ttl, &mut self.accepted);
        self.fair.check().unwrap();
        place
    }

    fn commit(&mut self, now: u64, client: ClientId, bytes: u64, expires: u64) {
        self.fair.commit(now, client, bytes, expires, &mut self.accepted);
        self.fair.check().unwrap();
    }

    fn release(&mut self, now: u64, client: ClientId, bytes: u64, expires: u64) {
        self.fair.release(now, client, bytes, expires, &mut self.accepted);
        self.fair.check().unwrap();
    }

    fn run(&mut self, until: u64) {
        while let Some(at) = self.fair.deadline().filter(|at| *at <= until) {
            self.fair.wake(at, &mut self.accepted);
            self.fair.check().unwrap();
        }
        self.fair.wake(until, &mut self.accepted);
    }

    fn times(&self) -> Vec<(u32, u64)> {
        self.accepted.iter().map(|a| (a.put, a.at_ms)).collect()
    }
}

/// At the last ms of the longest life the reserve is C - r; with the slack of B - 1 one greatest put just fits.
#[test]
fn one_greatest_put_fits_an_empty_disk_and_the_next_waits_its_size_over_the_rate() {
    let mut disk = Disk::new(plain());
    disk.put(0, A, 1, 10, 100).unwrap();
    disk.put(0, B, 2, 10, 100).unwrap();
    assert_eq!(disk.times(), [(1, 0)]);
    assert_eq!(disk.fair.deadline(), Some(10), "ceil(x / r) later");
    disk.run(10);
    assert_eq!(disk.times(), [(1, 0), (2, 10)]);
}

#[test]
fn the_head_of_the_line_blocks_what_would_fit() {
    let mut disk = Disk::new(FairConfig { alpha: 0, ..plain() });
    disk.put(0, A, 1, 10, 100).unwrap();
    disk.put(0, A, 2, 10, 100).unwrap();
    // A third put of the same client has a later tag. A byte for a ms would fit at once.
    disk.put(1, A, 3, 1, 1).unwrap_err();
    let mut disk = Disk::new(FairConfig { alpha: 0, queue_bound: 5000, ..plain() });
    disk.put(0, A, 1, 10, 100).unwrap();
    disk.put(0, A, 2, 10, 100).unwrap();
    let place = disk.put(1, A, 3, 1, 1).unwrap();
    assert!(disk.fair.is_waiting(place));
    disk.run(100);
    assert_eq!(disk.times(), [(1, 0), (2, 10), (3, 10)]);
}

#[test]
fn a_lower_start_tag_pre_empts_and_an_equal_one_does_not() {
    let mut disk = Disk::new(FairConfig { queue_bound: 5000, ..plain() });
    disk.put(0, A, 1, 10, 100).unwrap();
    disk.put(0, A, 2, 10, 100).unwrap();
    // B is new: its tag is 0, that of put 2 is 1000.
    disk.put(5, B, 3, 10, 100).unwrap();
    assert_eq!(disk.fair.deadline(), Some(10), "the reserve of 10 ms, as for put 2");
    // C's tag is 0 as well; it came later.
    disk.put(6, C, 4, 1, 1).unwrap();
    disk.run(1000);
    assert_eq!(disk.times(), [(1, 0), (3, 10), (4, 10), (2, 20)]);
}

#[test]
fn a_queue_is_full_above_its_bound_and_a_refusal_moves_no_tag() {
    let mut disk = Disk::new(FairConfig { queue_bound: 1000, ..plain() });
    disk.put(0, A, 1, 10, 100).unwrap();
    disk.put(0, A, 2, 5, 100).unwrap();
    disk.put(0, A, 3, 5, 100).unwrap();
    assert_eq!(
        disk.fair.usage(A).waiting_commitment,
        1000,
        "equality is allowed; accepted puts do not count"
    );
    assert_eq!(disk.put(0, A, 4, 1, 1), Err(Refused::QueueFull));
    // What is above the bound can never enter, not even an empty queue.
    let mut disk = Disk::new(FairConfig { queue_bound: 999, ..plain() });
    assert_eq!(disk.put(0, A, 1, 10, 100), Err(Refused::QueueFull));
    assert_eq!(disk.fair.clients_count(), 0);
}

#[test]
fn what_never_fits_is_refused_and_does_not_block_the_line() {
    let mut disk = Disk::new(FairConfig { queue_bound: 1_000_000, ..plain() });
    assert_eq!(disk.put(0, A, 1, 11, 100), Err(Refused::NeverFits));
    assert_eq!(disk.put(0, A, 2, 1, 120), Err(Refused::NeverFits));
    assert_eq!(disk.put(0, A, 3, 1, u64::MAX), Err(Refused::NeverFits));
    // Beyond B, but there is room for it: the bound on sizes is the caller's.
    disk.put(0, A, 4, 60, 40).unwrap();
    assert_eq!(disk.times(), [(4, 0)]);
}

#[test]
fn virtual_time_is_kept_while_the_disk_drains() {
    let mut disk = Disk::new(FairConfig { alpha: 0, ..plain() });
    disk.put(0, A, 1, 10, 50).unwrap();
    disk.put(0, A, 2, 10, 50).unwrap();
    disk.run(1000);
    assert_eq!(disk.fair.stored_bytes(), 0);
    // v is 500, A's finish tag 1000: B, new, comes first although all is long over.
    disk.put(1000, C, 3, 10, 100).unwrap();
    disk.put(1000, A, 4, 10, 100).unwrap();
    disk.put(1001, B, 5, 10, 100).unwrap();
    disk.run(2000);
    let order: Vec<u32> = disk.accepted.iter().map(|a| a.put).collect();
    assert_eq!(order, [1, 2, 3, 5, 4]);
}

/// A rate of C / T below a byte a ms: the greatest put of the longest life still fits an empty disk.
#[test]
fn a_small_disk_with_long_lives_admits_the_greatest_put() {
    const MONTH_MS: u64 = 30 * 86_400_000;
    let config = FairConfig::paper(1 << 20, MONTH_MS, 1024).unwrap();
    let mut disk = Disk::new(config);
    disk.put(0, A, 1, 1024, MONTH_MS).unwrap();
    assert_eq!(disk.times(), [(1, 0)]);
    disk.put(0, B, 2, 1024, MONTH_MS).unwrap();
    // 1024 bytes at 2^20 bytes a month.
    assert_eq!(disk.fair.deadline(), Some(MONTH_MS >> 10));
    // Times of the present day, and a disk of a petabyte.
    let mut disk = Disk::new(FairConfig::paper(1 << 50, MONTH_MS, 1 << 20).unwrap());
    let now = 1_790_000_000_000;
    disk.put(now, A, 1, 1 << 20, MONTH_MS).unwrap();
    assert_eq!(disk.times(), [(1, now)]);
}

#[test]
fn rates_without_bytes_or_time_and_absurd_ones_are_refused() {
    assert_eq!(Rate::new(0, 1), None);
    assert_eq!(Rate::new(1, 0), None);
    assert_eq!(Rate::new(u64::MAX, 1), None);
    assert_eq!(Rate::new(3, u64::MAX), None);
    assert_eq!(Rate::new(10, 4), Rate::new(5, 2));
}

/// What cannot be refused is charged beyond capacity; then nothing enters until the disk has come down.
#[test]
fn commitments_beyond_capacity_stop_admission_until_they_expire() {
    let mut disk = Disk::new(plain());
    disk.commit(0, A, 150, 40);
    disk.commit(0, B, 30, 60);
    assert_eq!(disk.fair.stored_bytes(), 180);
    disk.put(0, C, 1, 10, 20).unwrap();
    assert_eq!(disk.fair.deadline(), Some(40));
    // One leaves early: there is room at once.
    disk.release(5, A, 150, 40);
    assert_eq!(disk.times(), [(1, 5)]);
    // A release of what is gone, or of more than there is, gives back no more than was charged.
    disk.release(6, A, 150, 40);
    disk.release(6, B, 31, 60);
    assert_eq!(disk.fair.usage(B), Usage::default());
    assert_eq!(disk.fair.stored_bytes(), 10);
}

/// Restart: what lives is charged again with its remaining life, and puts are admitted as before.
#[test]
fn a_restart_admits_what_the_disk_before_it_would_have() {
    let mut before = Disk::new(FairConfig { queue_bound: 100_000, ..plain() });
    for n in 0..60_u64 {
        let client = ClientId(n % 7);
        before.put(n, client, n as u32, 1 + n % 10, 20 + 13 * n % 80).unwrap();
    }
    before.run(300);
    let now = 60;
    let mut after = Disk::new(*before.fair.config());
    for a in before.accepted.iter().filter(|a| a.at_ms <= now && a.expires_ms > now) {
        after.commit(now, a.client, 1 + u64::from(a.put) % 10, a.expires_ms);
    }
    // The same disk, seen by a machine that never stopped and has an empty queue.
    let mut never_stopped = Disk::new(*before.fair.config());
    for a in before.accepted.iter().filter(|a| a.at_ms <= now) {
        never_stopped.commit(a.at_ms, a.client, 1 + u64::from(a.put) % 10, a.expires_ms);
    }
    for n in 0..30_u64 {
        for disk in [&mut after, &mut never_stopped] {
            disk.put(now + n, ClientId(n % 5), n as u32, 10, 100).unwrap();
        }
    }
    after.run(3000);
    never_stopped.run(3000);
    assert_eq!(after.times(), never_stopped.times());
    assert_eq!(after.times().len(), 30);
}

/// A wait that nobody disturbs is foretold exactly while the disk is full.
#[test]
fn the_expected_wait_is_what_the_reserve_brings() {
    let mut disk = Disk::new(FairConfig { queue_bound: 100_000, ..plain() });
    let places: Vec<Place> = (0..5).map(|n| disk.put(0, A, n, 10, 100).unwrap()).collect();
    let waits: Vec<Option<u64>> = places.iter().map(|place| disk.fair.expected_wait_ms(*place)).collect();
    assert_eq!(waits, [None, Some(10), Some(20), Some(30), Some(40)]);
    disk.run(40);
    assert_eq!(disk.times(), [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)]);
    // One that puts for the first time passes all who wait.
    let mut disk = Disk::new(FairConfig { queue_bound: 100_000, ..plain() });
    (0..5).for_each(|n| assert!(disk.put(0, A, n, 10, 100).is_ok()));
    let place = disk.put(0, B, 9, 5, 100).unwrap();
    assert_eq!(disk.fair.expected_wait_ms(place), Some(5));
}

#[test]
fn clients_are_forgotten_when_their_tags_cannot_matter() {
    let mut disk = Disk::new(FairConfig { alpha: 1000, queue_bound: 100_000, ..plain() });
    disk.put(0, A, 1, 1, 1).unwrap();
    assert_eq!((disk.fair.clients_count(), disk.fair.resting_count()), (1, 1));
    disk.run(5);
    assert_eq!(disk.fair.clients_count(), 1, "nothing stored, but its tag is above v - alpha");
    for n in 0..4 {
        disk.put(5, B, 2 + n, 10, 100).unwrap();
    }
    disk.run(200);
    // v has come to 3000: A would start at 2000 as anybody new would.
    assert_eq!(disk.fair.usage(A), Usage::default());
    assert_eq!(disk.fair.clients_count(), 1, "B is remembered");
}

#[test]
fn tables_stay_within_their_bounds() {
    let bounds = FairConfig { queued_max: 8, clients_max: 4, queue_bound: 100_000, ..plain() };
    let mut disk = Disk::new(bounds);
    let mut refused = 0;
    for n in 0..40_u64 {
        match disk.put(n / 4, ClientId(n), n as u32, 5, 50) {
            Ok(_) => {}
            Err(why) => {
                assert_eq!(why, Refused::TooManyWaiting);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    disk.run(10_000);
    assert_eq!(disk.accepted.len(), 40 - refused);
    assert!(disk.fair.clients_count() <= bounds.clients_max);
}

/// Nothing that can be asked leaves the arithmetic.
#[test]
fn the_greatest_numbers_are_survived() {
    let config = FairConfig {
        rate: Rate::new(Rate::BYTES_MAX, 1).unwrap(),
        queue_bound: u128::MAX,
        alpha: u128::MAX,
        capacity_bytes: u64::MAX,
        put_bytes_max: u64::MAX,
        ..plain()
    };
    for rate in [config.rate, Rate::new(1, Rate::PER_MS_MAX).unwrap()] {
        let mut disk = Disk::new(FairConfig { rate, ..config });
        for at_ms in [0, 5, TIME_MS_MAX - 1, u64::MAX, 3] {
            for bytes in [0, 1, u64::MAX] {
                for ttl in [0, 1, TIME_MS_MAX, u64::MAX] {
                    let _ = disk.put(at_ms, A, 1, bytes, ttl);
                    disk.commit(at_ms, B, bytes, ttl);
                    disk.release(at_ms, A, bytes, ttl);
                }
            }
        }
        (0..100).for_each(|_| disk.fair.wake(u64::MAX, &mut disk.accepted));
    }
}
