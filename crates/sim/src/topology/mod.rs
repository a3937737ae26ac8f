//! How long a frame travels: the latency between two hosts, one way.
//!
//! | text | model |
//! | --- | --- |
//! | `constant:20ms` | always the same |
//! | `uniform:10ms-80ms` | drawn for each frame |
//! | `exp:50ms` | exponential, drawn for each frame: the paper's model (Chord, ToN'03 section VI) |
//! | `plane:100ms` | hosts at random points of a square whose diagonal takes that long |
//! | `matrix:FILE` | measured: a square table of milliseconds one way, hosts placed on random rows |
//! | `rtt:FILE` | the same with round-trip times, halved |
//!
//! Drawn latencies reorder frames by themselves. A host's place depends on the seed and its number alone.

mod matrix;
mod plane;

use std::sync::Arc;

use keyway_core::Duration;
use keyway_core::rng::Rng;

pub use matrix::Matrix;

use crate::draw::Spread;
use crate::span;

/// Gives the text of a file, or says why not.
pub type ReadFile = dyn Fn(&str) -> Result<String, String>;

/// A latency model as it is written.
#[derive(Clone, Debug)]
pub enum Latency {
    /// Drawn anew for each frame.
    Drawn(Spread),
    /// Points of a square whose diagonal takes this long.
    Plane(Duration),
    /// A measured table, and the text that named it.
    Measured(Arc<Matrix>, String),
}

impl Latency {
    /// Reads a model. The simulator opens no files: `read` gives the text of a measured table.
    ///
    /// # Errors
    /// A text for people that names the models.
    pub fn parse(text: &str, read: &ReadFile) -> Result<Latency, String> {
        let (name, rest) = text.split_once(':').unwrap_or(("constant", text));
        match name {
            "constant" | "uniform" | "exp" | "exponential" => Ok(Latency::Drawn(text.parse()?)),
            "plane" => Ok(Latency::Plane(span::parse(rest)?)),
            "matrix" | "rtt" => {
                let file = read(rest).map_err(|e| format!("cannot read `{rest}`: {e}"))?;
                let matrix = Matrix::parse(&file, name == "rtt").map_err(|e| format!("`{rest}`: {e}"))?;
                Ok(Latency::Measured(Arc::new(matrix), text.into()))
            }
            _ => Err(format!(
                "`{text}` is no latency model; one of constant:20ms, uniform:10ms-80ms, exp:50ms, plane:100ms, \
                 matrix:FILE (one way), rtt:FILE (round trips)"
            )),
        }
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Latency::Drawn(spread) => write!(f, "{spread}"),
            Latency::Plane(diagonal) => write!(f, "plane:{}", span::show(*diagonal)),
            Latency::Measured(_, name) => f.write_str(name),
        }
    }
}

/// A latency model with its hosts in their places.
#[derive(Debug)]
pub(crate) struct Topology {
    latency: Latency,
    seats: Rng,
    /// Of each host: a point of the unit square, or a row in the first coordinate.
    places: Vec<(f32, f32)>,
}

impl Topology {
    /// Places depend on the seed of `rng` alone.
    pub(crate) fn new(latency: Latency, rng: &Rng) -> Topology {
        Topology { latency, seats: rng.fork("seats", 0), places: Vec::new() }
    }

    /// Gives the next host its place.
    pub(crate) fn add_host(&mut self) {
        let mut rng = self.seats.fork("host", self.places.len() as u64);
        let place = match &self.latency {
            Latency::Measured(matrix, _) => (rng.below(matrix.size() as u64) as f32, 0.0),
            _ => (rng.unit() as f32, rng.unit() as f32),
        };
        self.places.push(place);
    }

    /// How long one frame takes, in microseconds; at least 1.
    pub(crate) fn one_way(&self, from: usize, to: usize, rng: &mut Rng) -> u64 {
        let micros = match &self.latency {
            Latency::Drawn(spread) => spread.draw(rng).0,
            Latency::Plane(diagonal) => plane::micros(self.places[from], self.places[to], *diagonal),
            Latency::Measured(matrix, _) => {
                matrix.micros(self.places[from].0 as usize, self.places[to].0 as usize)
            }
        };
        micros.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Latency, String> {
        Latency::parse(text, &|name| {
            if name == "two" { Ok("0 10\n30 0".into()) } else { Err("no such file".into()) }
        })
    }

    #[test]
    fn a_plane_is_symmetric_and_keeps_its_diagonal() {
        let rng = Rng::from_u64(1);
        let mut t = Topology::new(read("plane:100ms").unwrap(), &rng);
        (0..20).for_each(|_| t.add_host());
        let mut draw = rng.fork("draw", 0);
        for a in 0..20 {
            for b in 0..20 {
                let ab = t.one_way(a, b, &mut draw);
                assert_eq!(ab, t.one_way(b, a, &mut draw));
                assert!(ab <= 100_000);
            }
        }
    }

    #[test]
    fn a_matrix_gives_its_entries() {
        let table = Matrix::parse("0\t10\n30 0\n", false).unwrap();
        assert_eq!(table.micros(0, 1), 10_000);
        assert_eq!(table.micros(1, 0), 30_000);
        let halved = Matrix::parse("0 10\n30 0\n", true).unwrap();
        assert_eq!(halved.micros(1, 0), 15_000);
        for wrong in ["", "0 1\n1\n", "0 x\n1 0\n", "0 -1\n1 0", "0 inf\n1 0"] {
            assert!(Matrix::parse(wrong, false).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn models_are_read_and_written() {
        for text in ["constant:20ms", "uniform:10ms-80ms", "exp:50ms", "plane:100ms", "matrix:two", "rtt:two"]
        {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert!(read("matrix:three").unwrap_err().contains("no such file"));
        assert!(read("teleport").is_err());
    }
}
