//! Where a member stands in the tree: who may be its parent, in which order.
//!
//! A group's name is a point on the circle of ids; a member's **distance** is how far its id lies behind that point, clockwise. The
//! root is the member with the least distance, and every parent is nearer than its children:
//!
//! ```text
//!   group's point                                                            distance ─▶
//!     |----R----A---------B-----------------C---------------------------M--------------
//!          root                             ▲                           d
//!                                           └ first at or after d / b: M's parent, if it can be reached
//!                    ▲ first at or after d / b^2: the next one to try ... and so on to the root
//! ```
//!
//! "First at or after" is what a ReDiR lookup gives (OpenDHT, SIGCOMM 2005, section 5). Distances shrink by b at each step, so a tree
//! of n members is about log_b n deep, and b members fall to a parent on average. Invariant: whatever lookups say, a parent's
//! distance is below its child's, and so there are no rings. The rule is ours; the paper's MOOD joined its trees at the members met on
//! the way to the root, which put and get alone cannot do.

use keyway_client::{KEY_BYTES, Key};

/// How far a member lies behind the point of its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Distance([u8; KEY_BYTES]);

impl Distance {
    /// From `group` to `id`, clockwise.
    pub(crate) fn between(group: &Key, id: &Key) -> Distance {
        let (mut distance, mut borrow) = ([0; KEY_BYTES], false);
        for at in (0..KEY_BYTES).rev() {
            let (first, under) = id.0[at].overflowing_sub(group.0[at]);
            let (byte, under_too) = first.overflowing_sub(u8::from(borrow));
            (distance[at], borrow) = (byte, under | under_too);
        }
        Distance(distance)
    }

    /// The id at this distance from `group`.
    pub(crate) fn from(self, group: &Key) -> Key {
        let (mut id, mut carry) = ([0; KEY_BYTES], 0);
        for at in (0..KEY_BYTES).rev() {
            let sum = u16::from(group.0[at]) + u16::from(self.0[at]) + carry;
            id[at] = sum as u8;
            carry = sum >> 8;
        }
        Key(id)
    }

    /// The `branching`-th part of it.
    pub(crate) fn divided(self, branching: u8) -> Distance {
        let (mut part, mut rest) = ([0; KEY_BYTES], 0);
        for (to, from) in part.iter_mut().zip(self.0) {
            let number = rest * 256 + u16::from(from);
            *to = (number / u16::from(branching)) as u8;
            rest = number % u16::from(branching);
        }
        Distance(part)
    }

    /// The next greater one; the greatest stays.
    pub(crate) fn next(self) -> Distance {
        let mut next = self.0;
        for byte in next.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Distance(next);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_lead_round_the_circle_and_back() {
        for (group, id) in [("a", "b"), ("b", "a"), ("room", "room")] {
            let (group, id) = (Key::text(group), Key::text(id));
            let distance = Distance::between(&group, &id);
            assert_eq!(distance.from(&group), id);
        }
        let distance = |low: u8| {
            let mut bytes = [0; KEY_BYTES];
            bytes[KEY_BYTES - 1] = low;
            Distance(bytes)
        };
        assert_eq!(distance(200).divided(3), distance(66));
        assert_eq!(Distance([255; KEY_BYTES]).divided(255), Distance([1; KEY_BYTES]));
        assert_eq!(distance(255).next().divided(2), distance(128));
        assert_eq!(distance(1).divided(2), distance(0));
        assert_eq!(Distance([255; KEY_BYTES]).next(), Distance([255; KEY_BYTES]));
    }

    #[test]
    fn every_step_towards_the_root_is_nearer() {
        let mut distance = Distance::between(&Key::text("group"), &Key::text("member"));
        let mut steps = 0;
        while distance != Distance([0; KEY_BYTES]) {
            assert!(distance.divided(4) < distance);
            distance = distance.divided(4);
            steps += 1;
        }
        assert!(steps <= 80, "{steps}");
    }
}
