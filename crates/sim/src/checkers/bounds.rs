//! Every queue and table of a machine is within its named bound. Always.

use super::{Complaint, Verdict};
use crate::world::World;

/// Looks at every process.
///
/// # Errors
/// The first table that is larger than its bound.
pub fn judge(world: &World) -> Verdict {
    for host in 0..world.host_count() {
        let Some(inside) = world.inspect(host) else { continue };
        if let Some((name, now, max)) = inside.bounds.iter().find(|(_, now, max)| now > max) {
            return Err(Complaint::new("bounds", format!("n{host}: {name} has {now}, at most {max}")));
        }
    }
    Ok(())
}
