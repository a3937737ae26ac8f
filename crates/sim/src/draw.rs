//! Distributions of times and ranks over the seeded streams of core: exponentials by a ziggurat, what follows from them by
//! inversion.
//!
//! All logarithms and powers come from `libm`: a distribution crate takes them from the system's C library as soon as
//! anything in the build switches its `std` feature on, and then one seed gives two worlds on two machines.

use std::str::FromStr;
use std::sync::LazyLock;

use keyway_core::Duration;
use keyway_core::rng::Rng;

use crate::span;

/// A distribution of spans of time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Spread {
    /// Always the same.
    Constant(Duration),
    /// Uniform between both.
    Uniform(Duration, Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Weibull: shape, scale. Shapes below 1 have many short and few very long sessions (`overlays` 5.1).
    Weibull(f64, Duration),
    /// Pareto: shape (above 1, else there is no mean), smallest value.
    Pareto(f64, Duration),
}

/// No drawn span is longer: a hundred years.
const SPAN_MICROS_MAX: f64 = 3.2e15;

fn micros(x: f64) -> Duration {
    Duration(x.clamp(0.0, SPAN_MICROS_MAX) as u64)
}

/// Layers of the ziggurat, where its base begins to be a tail, and the area of each layer: what 256 layers under `exp(-x)` need.
const LAYERS: usize = 256;
const TAIL: f64 = 7.697_117_470_131_05;
const AREA: f64 = 0.003_949_659_822_581_572;

/// Layers of equal area that cover the density `exp(-x)` (Marsaglia and Tsang, *The ziggurat method for generating random
/// variables*, 2000). Each frame's latency is drawn: of ninety-nine in a hundred draws nothing is asked but a product.
struct Ziggurat {
    /// How far each layer reaches, the lowest first and widest; behind the last one, 0.
    reach: [f64; LAYERS + 1],
    /// The density there.
    density: [f64; LAYERS + 1],
}

impl Ziggurat {
    fn new() -> Ziggurat {
        let mut reach = [0.0; LAYERS + 1];
        // The base is as wide as if its tail were a part of the rectangle.
        reach[0] = AREA * libm::exp(TAIL);
        reach[1] = TAIL;
        for i in 2..LAYERS {
            reach[i] = -libm::log(libm::exp(-reach[i - 1]) + AREA / reach[i - 1]);
        }
        Ziggurat { reach, density: reach.map(|x| libm::exp(-x)) }
    }
}

static ZIGGURAT: LazyLock<Ziggurat> = LazyLock::new(Ziggurat::new);

/// An exponential with mean 1.
fn exponential(rng: &mut Rng) -> f64 {
    let Ziggurat { reach, density } = &*ZIGGURAT;
    // What is beyond where the tail begins is distributed as the whole is.
    let mut beyond = 0.0;
    loop {
        let bits = rng.next_u64();
        // The layer from the low bits, the place in it from the 53 high ones.
        let layer = bits as usize % LAYERS;
        let x = (bits >> 11) as f64 / (1u64 << 53) as f64 * reach[layer];
        if x < reach[layer + 1] {
            return beyond + x;
        }
        if layer == 0 {
            beyond += TAIL;
        } else if density[layer] + (density[layer + 1] - density[layer]) * rng.unit() < libm::exp(-x) {
            return beyond + x;
        }
    }
}

impl Spread {
    /// One draw.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        match *self {
            Spread::Constant(d) => d,
            Spread::Uniform(lo, hi) => Duration(rng.between(lo.0, hi.0)),
            Spread::Exponential(mean) => micros(exponential(rng) * mean.0 as f64),
            Spread::Weibull(shape, scale) => {
                micros(libm::pow(exponential(rng), 1.0 / shape) * scale.0 as f64)
            }
            Spread::Pareto(shape, least) => micros(libm::exp(exponential(rng) / shape) * least.0 as f64),
        }
    }

    /// What is left of a session that is found under way at a random instant (the inspection paradox): its length is
    /// drawn in proportion to length times density, and the instant lies uniformly in it.
    pub fn residual(&self, rng: &mut Rng) -> Duration {
        let whole = match *self {
            Spread::Exponential(_) => return self.draw(rng),
            Spread::Constant(d) => d.0 as f64,
            Spread::Uniform(lo, hi) => {
                // The density x / mean over [lo, hi] has the distribution function (x^2 - lo^2) / (hi^2 - lo^2).
                let (lo, hi) = (lo.0 as f64, hi.0 as f64);
                libm::sqrt(lo * lo + rng.unit() * (hi * hi - lo * lo))
            }
            // The length-biased Weibull: its shape-th power is a Gamma of 1 + 1/shape.
            Spread::Weibull(shape, scale) => {
                libm::pow(gamma(1.0 + 1.0 / shape, rng), 1.0 / shape) * scale.0 as f64
            }
            // The length-biased Pareto is a Pareto of one shape less.
            Spread::Pareto(shape, least) => libm::exp(exponential(rng) / (shape - 1.0)) * least.0 as f64,
        };
        micros(whole * rng.unit())
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        match *self {
            Spread::Constant(d) | Spread::Exponential(d) => d,
            Spread::Uniform(lo, hi) => Duration(lo.0.midpoint(hi.0)),
            Spread::Weibull(shape, scale) => micros(libm::tgamma(1.0 + 1.0 / shape) * scale.0 as f64),
            Spread::Pareto(shape, least) => micros(shape / (shape - 1.0) * least.0 as f64),
        }
    }
}

/// A Gamma of `shape` >= 1 and scale 1 (Marsaglia and Tsang, 2000).
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
        if v > 0.0 && libm::log(1.0 - rng.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// A standard normal (Box and Muller).
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    libm::sqrt(2.0 * exponential(rng)) * libm::cos(core::f64::consts::TAU * rng.unit())
}

impl FromStr for Spread {
    type Err = String;

    fn from_str(text: &str) -> Result<Spread, String> {
        let wrong = |why: &str| {
            format!(
                "`{text}`: {why}; one of constant:1h, uniform:1m-2h, exp:1h, weibull:SHAPE:SCALE, pareto:SHAPE:LEAST"
            )
        };
        let (name, rest) = text.split_once(':').unwrap_or(("constant", text));
        let shaped = |least: f64| {
            let (shape, scale) = rest.split_once(':').ok_or_else(|| wrong("shape and scale are needed"))?;
            let shape: f64 = shape.parse().map_err(|_| wrong("the shape is a number"))?;
            if shape.is_finite() && shape > least {
                Ok((shape, span::parse(scale)?))
            } else {
                Err(wrong(&format!("the shape must be above {least}")))
            }
        };
        Ok(match name {
            "constant" => Spread::Constant(span::parse(rest)?),
            "uniform" => {
                let (lo, hi) = rest.split_once('-').ok_or_else(|| wrong("two bounds are needed"))?;
                let (lo, hi) = (span::parse(lo)?, span::parse(hi)?);
                if lo > hi {
                    return Err(wrong("the first bound is the smaller one"));
                }
                Spread::Uniform(lo, hi)
            }
            "exp" | "exponential" => Spread::Exponential(span::parse(rest)?),
            "weibull" => {
                let (shape, scale) = shaped(0.0)?;
                Spread::Weibull(shape, scale)
            }
            "pareto" => {
                let (shape, least) = shaped(1.0)?;
                Spread::Pareto(shape, least)
            }
            _ => return Err(wrong("unknown distribution")),
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Spread::Constant(d) => write!(f, "constant:{}", span::show(d)),
            Spread::Uniform(lo, hi) => write!(f, "uniform:{}-{}", span::show(lo), span::show(hi)),
            Spread::Exponential(mean) => write!(f, "exp:{}", span::show(mean)),
            Spread::Weibull(shape, scale) => write!(f, "weibull:{shape}:{}", span::show(scale)),
            Spread::Pareto(shape, least) => write!(f, "pareto:{shape}:{}", span::show(least)),
        }
    }
}

/// Ranks `0 .. n` with probability proportional to `(rank + 1)^-alpha`; uniform for alpha 0.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Cumulative weights.
    up_to: Vec<f64>,
}

impl Zipf {
    /// Over `n` ranks, at least one.
    #[must_use]
    pub fn new(n: usize, alpha: f64) -> Zipf {
        let mut sum = 0.0;
        let up_to = (1..=n.max(1)).map(|rank| {
            sum += libm::pow(rank as f64, -alpha);
            sum
        });
        Zipf { up_to: up_to.collect() }
    }

    /// One draw.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let x = rng.unit() * self.up_to.last().copied().unwrap_or(1.0);
        self.up_to.partition_point(|&w| w <= x).min(self.up_to.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(n: u64, mut draw: impl FnMut() -> Duration) -> f64 {
        (0..n).map(|_| draw().0 as f64).sum::<f64>() / n as f64
    }

    #[test]
    fn means_are_what_they_say() {
        let mut rng = Rng::from_u64(1);
        for text in ["constant:1h", "uniform:1m-2h", "exp:1h", "weibull:0.7:5000s", "pareto:3:30m"] {
            let spread: Spread = text.parse().unwrap();
            let seen = mean(100_000, || spread.draw(&mut rng));
            let want = spread.mean().0 as f64;
            assert!((seen / want - 1.0).abs() < 0.03, "{text}: {seen} instead of {want}");
        }
    }

    /// The share of draws up to each of these is that of the distribution, in its tail as well; layers are of one area.
    #[test]
    fn the_ziggurat_is_an_exponential() {
        let Ziggurat { reach, density } = &*ZIGGURAT;
        for i in 1..LAYERS {
            let area = reach[i] * (density[i + 1] - density[i]);
            assert!((area / AREA - 1.0).abs() < 1e-9, "layer {i}: {area}");
        }
        let mut rng = Rng::from_u64(5);
        let n = 1_000_000;
        let draws: Vec<f64> = (0..n).map(|_| exponential(&mut rng)).collect();
        for x in [0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 4.0, TAIL, 9.0, 11.0] {
            let want = 1.0 - libm::exp(-x);
            let seen = draws.iter().filter(|draw| **draw <= x).count() as f64 / f64::from(n);
            let deviation = libm::sqrt(want * (1.0 - want) / f64::from(n));
            assert!((seen - want).abs() < 4.0 * deviation, "{x}: {seen} instead of {want}");
        }
    }

    /// The mean of a residual life is E[X^2] / 2 E[X] (renewal theory).
    #[test]
    fn residual_lives_follow_the_inspection_paradox() {
        let mut rng = Rng::from_u64(2);
        let hour = 3600e6;
        for (text, want) in [
            ("constant:1h", 0.5 * hour),
            ("exp:1h", hour),
            // Weibull of shape 1/2: E[X] = 2 scale, E[X^2] = 24 scale^2.
            ("weibull:0.5:1h", 6.0 * hour),
            // Uniform on [0, 2h]: E[X^2] = 4/3 h^2, E[X] = 1 h.
            ("uniform:0s-2h", 2.0 / 3.0 * hour),
            // Pareto of shape 4: E[X] = 4/3, E[X^2] = 2.
            ("pareto:4:1h", 0.75 * hour),
        ] {
            let spread: Spread = text.parse().unwrap();
            let seen = mean(200_000, || spread.residual(&mut rng));
            assert!((seen / want - 1.0).abs() < 0.05, "{text}: {seen} instead of {want}");
        }
    }

    /// Golden: a change here changes every world ever recorded.
    #[test]
    fn draws_are_frozen() {
        let mut rng = Rng::from_u64(3);
        let draws: Vec<u64> = ["exp:1h", "weibull:0.5:1h", "pareto:2:1h"]
            .iter()
            .flat_map(|t| {
                let s: Spread = t.parse().unwrap();
                [s.draw(&mut rng).0, s.residual(&mut rng).0]
            })
            .collect();
        assert_eq!(draws, GOLDEN);
    }
    const GOLDEN: [u64; 6] =
        [1_094_698_196, 707_618_386, 58_141_867, 6_316_228_826, 5_561_843_213, 29_311_736_436];

    #[test]
    fn zipf_prefers_low_ranks() {
        let mut rng = Rng::from_u64(4);
        let zipf = Zipf::new(100, 1.0);
        let first = (0..10_000).filter(|_| zipf.draw(&mut rng) == 0).count();
        // 1 / H(100) = 0.1928
        assert!((1_800..2_050).contains(&first), "{first}");
        assert_eq!(Zipf::new(1, 0.9).draw(&mut rng), 0);
    }

    #[test]
    fn wrong_texts_are_explained() {
        for text in ["exp", "pareto:1:1h", "weibull:1h", "uniform:2h-1h", "gauss:1h"] {
            assert!(text.parse::<Spread>().is_err(), "{text}");
        }
    }
}
