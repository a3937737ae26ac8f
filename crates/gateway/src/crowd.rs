//! Who is connected: bounds on connections in all and from one address, and who has to go when there is no room.
//!
//! ```text
//!   enter ──▶ room? ── yes ──▶ inside: busy ◀──────▶ resting, since when
//!                │ no                                   │
//!                └─ somebody rests? ── yes: asked to go ┘      who was never served first, then who has rested longest
//!                        └ no ──▶ turned away
//! ```
//!
//! A place is busy until its holder says otherwise, so an interface whose connections never rest turns newcomers away. One
//! whose connections rest between calls keeps its door open for those who come to work: clients that hold connections and
//! send nothing are the first to go, however many they are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Connections that were asked to go and have not gone yet; while there are so many nobody else is asked.
const LEAVING_MAX: usize = 64;

/// Who is connected. Clones share.
#[derive(Clone)]
pub(crate) struct Crowd {
    max: usize,
    per_ip_max: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    guests: BTreeMap<u64, Guest>,
    by_ip: BTreeMap<IpAddr, usize>,
    next: u64,
    leaving: usize,
}

struct Guest {
    ip: IpAddr,
    /// Since when nothing is being done for it; `None` while it is busy.
    resting: Option<Instant>,
    /// Whether it was ever served.
    served: bool,
    go: Arc<Notify>,
}

impl Inside {
    fn remove(&mut self, id: u64) -> Option<Guest> {
        let guest = self.guests.remove(&id)?;
        if let Some(here) = self.by_ip.get_mut(&guest.ip) {
            *here -= 1;
            if *here == 0 {
                self.by_ip.remove(&guest.ip);
            }
        }
        Some(guest)
    }

    /// Asks one who rests to go, of this address if one is given. Whether there was one.
    fn make_room(&mut self, ip: Option<IpAddr>) -> bool {
        if self.leaving >= LEAVING_MAX {
            return false;
        }
        let resting = self.guests.iter().filter(|(_, guest)| ip.is_none_or(|ip| ip == guest.ip));
        let first = resting
            .filter_map(|(id, guest)| Some((guest.served, guest.resting?, *id)))
            .min()
            .and_then(|(.., id)| self.remove(id));
        if let Some(guest) = &first {
            self.leaving += 1;
            guest.go.notify_one();
        }
        first.is_some()
    }
}

impl Crowd {
    pub(crate) fn new(max: usize, per_ip_max: usize) -> Crowd {
        Crowd { max, per_ip_max, inside: Arc::default() }
    }

    /// A place for one more connection from `ip`, until it is dropped.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<Place> {
        let ip = one_client(ip);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let here = inside.by_ip.get(&ip).copied().unwrap_or(0);
        if here >= self.per_ip_max && !inside.make_room(Some(ip)) {
            return None;
        }
        if inside.guests.len() >= self.max && !inside.make_room(None) {
            return None;
        }
        let (id, go) = (inside.next, Arc::new(Notify::new()));
        inside.next += 1;
        *inside.by_ip.entry(ip).or_default() += 1;
        inside.guests.insert(id, Guest { ip, resting: None, served: false, go: go.clone() });
        Some(Place { crowd: self.clone(), id, go })
    }
}

/// What counts as one address: of IPv6 the first 64 bits, because a single host may have all the rest.
fn one_client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// A connection's place in the crowd.
pub(crate) struct Place {
    crowd: Crowd,
    id: u64,
    go: Arc<Notify>,
}

impl Place {
    /// Something is being done for it.
    pub(crate) fn work(&self) {
        self.change(|guest| guest.resting = None);
    }

    /// Nothing is being done for it any more.
    pub(crate) fn rest(&self) {
        self.change(|guest| {
            guest.resting = Some(Instant::now());
        });
    }

    /// It was served.
    pub(crate) fn served(&self) {
        self.change(|guest| guest.served = true);
    }

    /// Until it is asked to go.
    pub(crate) async fn asked_to_go(&self) {
        self.go.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Guest)) {
        let mut inside = self.crowd.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = inside.guests.get_mut(&self.id) {
            change(guest);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.crowd.inside.lock().unwrap_or_else(PoisonError::into_inner);
        // Who was asked to go is inside no more.
        if inside.remove(self.id).is_none() {
            inside.leaving -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn places_are_given_back() {
        let crowd = Crowd::new(3, 2);
        let first = crowd.enter(ip("10.0.0.1"));
        let second = crowd.enter(ip("::ffff:10.0.0.1"));
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter(ip("10.0.0.1")).is_none(), "two from one address, however it is written");
        let other = crowd.enter(ip("2001:db8::1"));
        assert!(other.is_some());
        assert!(crowd.enter(ip("10.0.0.2")).is_none(), "three in all");
        drop(first);
        assert!(crowd.enter(ip("10.0.0.1")).is_some());
        drop((second, other));
        let inside = crowd.inside.lock().expect("no panic");
        assert_eq!((inside.guests.len(), inside.by_ip.len(), inside.leaving), (0, 0, 0));
    }

    #[test]
    fn a_host_with_many_addresses_of_ipv6_is_one_client() {
        let crowd = Crowd::new(10, 1);
        let _first = crowd.enter(ip("2001:db8:0:1::1"));
        assert!(crowd.enter(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(crowd.enter(ip("2001:db8:0:2::1")).is_some());
    }

    #[tokio::test]
    async fn who_rests_makes_room_for_who_comes() {
        let crowd = Crowd::new(10, 3);
        let [worker, regular, idler] = [(); 3].map(|()| crowd.enter(ip("10.0.0.1")).expect("room for three"));
        regular.served();
        regular.rest();
        idler.rest();
        let newcomer = crowd.enter(ip("10.0.0.1")).expect("the idler makes room, who was never served");
        idler.asked_to_go().await;
        let second = crowd.enter(ip("10.0.0.1")).expect("the regular, who rests");
        regular.asked_to_go().await;
        assert!(crowd.enter(ip("10.0.0.1")).is_none(), "the others are busy");
        drop((idler, regular));
        assert_eq!(crowd.inside.lock().expect("no panic").leaving, 0);
        drop((worker, newcomer, second));
        assert!(crowd.inside.lock().expect("no panic").by_ip.is_empty());
    }

    #[test]
    fn not_everybody_is_asked_to_go_at_once() {
        let crowd = Crowd::new(LEAVING_MAX, LEAVING_MAX);
        let enter = || {
            let place = crowd.enter(ip("10.0.0.1"));
            place.iter().for_each(Place::rest);
            place
        };
        let mut places: Vec<_> =
            (0..2 * LEAVING_MAX).map(|_| enter().expect("room, or room is made")).collect();
        assert!(enter().is_none(), "so many have not gone yet");
        places.remove(0);
        assert!(enter().is_some());
    }
}
