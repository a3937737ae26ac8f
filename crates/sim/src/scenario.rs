//! What a person asks for: one world with its churn and its load, by flags or by a TOML file.
//!
//! Every setting has a default, unknown settings are errors, and the scenario that was run can be written out again.

use keyway_core::Duration;
use keyway_core::machine::Style;
use keyway_core::overlay::registry::{self, Entry, OVERLAYS};
use keyway_core::store::TTL_MIN;
use serde::{Deserialize, Serialize};

use crate::churn::poisson::Poisson;
use crate::churn::script::Step;
use crate::churn::sessions::Sessions;
use crate::disk::DiskModel;
use crate::draw::Spread;
use crate::links::LinkFaults;
use crate::span;
use crate::topology::{Latency, ReadFile};
use crate::world::WorldConfig;

/// A scenario in its text form: what flags and files fill in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The overlay's name; empty for the default one.
    pub overlay: String,
    /// Hosts at the start.
    pub nodes: u32,
    /// Everything that is drawn comes from it.
    pub seed: u64,
    /// Begin as one converged network instead of by joins.
    pub settled: bool,
    /// Time between joins while the network is built.
    #[serde(with = "span::text")]
    pub join_every: Duration,
    /// Virtual time before the measured time, with the same churn and load, in which nothing is counted.
    #[serde(with = "span::text")]
    pub warm_up: Duration,
    /// Measured virtual time.
    #[serde(rename = "for", with = "span::text")]
    pub measured: Duration,

    /// A latency model, see [`crate::topology`].
    pub latency: String,
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram comes twice.
    pub duplicate: f64,
    /// Probability that a datagram is held back.
    pub reorder: f64,
    /// The longest that it is held back.
    #[serde(with = "span::text")]
    pub reorder_by: Duration,
    /// Probability that one bit of a datagram is flipped.
    pub corrupt: f64,
    /// Bytes a second that a host can send; 0 for no bound.
    pub bandwidth: u64,

    /// How long hosts stay: a distribution, see [`crate::draw`].
    pub lifetime: Option<String>,
    /// How long they stay away; without it they do not return.
    pub downtime: Option<String>,
    /// The fraction of departures that say goodbye.
    pub graceful: f64,
    /// Mean time between joins of new hosts (Poisson).
    #[serde(with = "optional")]
    pub join_rate: Option<Duration>,
    /// Mean time between departures of members (Poisson).
    #[serde(with = "optional")]
    pub depart_rate: Option<Duration>,

    /// Mean time between a node's lookups.
    #[serde(with = "optional")]
    pub lookup_every: Option<Duration>,
    /// Mean time between a node's puts.
    #[serde(with = "optional")]
    pub put_every: Option<Duration>,
    /// Mean time between a node's gets.
    #[serde(with = "optional")]
    pub get_every: Option<Duration>,
    /// How many keys there are.
    pub keys: u32,
    /// Their popularity: exponent of Zipf's law, 0 for uniform.
    pub zipf: f64,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// The life of a value.
    #[serde(with = "span::text")]
    pub ttl: Duration,

    /// How long a disk takes to sync a batch: a distribution.
    pub sync: String,
    /// Copies kept of each value.
    pub replicas: u8,
    /// Acknowledgements that a put waits for.
    pub acks: u8,
    /// How the lookups of clients travel: iterative, recursive, semi-recursive.
    pub style: String,
    /// The overlay's own settings.
    pub options: std::collections::BTreeMap<String, u64>,
    /// Orders for stated times.
    pub event: Vec<Step>,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            overlay: String::new(),
            nodes: 100,
            seed: 1,
            settled: false,
            join_every: Duration::from_millis(100),
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(600),
            latency: "exp:50ms".into(),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(100),
            corrupt: 0.0,
            bandwidth: 0,
            lifetime: None,
            downtime: None,
            graceful: 0.0,
            join_rate: None,
            depart_rate: None,
            lookup_every: Some(Duration::from_secs(60)),
            put_every: None,
            get_every: None,
            keys: 1_000,
            zipf: 0.0,
            value_bytes: 100,
            ttl: Duration::from_secs(3600),
            sync: "constant:1ms".into(),
            replicas: 3,
            acks: 2,
            style: Style::Iterative.name().into(),
            options: std::collections::BTreeMap::new(),
            event: Vec::new(),
        }
    }
}

/// Bound on the hosts of one world.
pub const NODES_MAX: u32 = 1 << 20;

/// A scenario whose texts have been read.
#[derive(Clone)]
pub struct Plan {
    /// The world.
    pub world: WorldConfig,
    /// Churn by sessions.
    pub sessions: Option<Sessions>,
    /// Churn by rates.
    pub poisson: Option<Poisson>,
}

impl Scenario {
    /// Reads a TOML file's text.
    ///
    /// # Errors
    /// With line and column, for people.
    pub fn from_toml(text: &str) -> Result<Scenario, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    /// The scenario as a TOML file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| format!("# {e}\n"))
    }

    /// The overlay.
    ///
    /// # Errors
    /// With the names of those that exist.
    pub fn entry(&self) -> Result<&'static Entry, String> {
        find_overlay(&self.overlay)
    }

    /// Reads all texts and checks all numbers; `read` gives the text of a measured latency table.
    ///
    /// # Errors
    /// The first setting that makes no sense, for people.
    pub fn plan(&self, read: &ReadFile) -> Result<Plan, String> {
        if self.nodes == 0 || self.nodes > NODES_MAX {
            return Err(format!("`nodes` is {}, it can be 1 to {NODES_MAX}", self.nodes));
        }
        if self.replicas == 0 {
            return Err("`replicas` is 0, at least one copy is kept".into());
        }
        if self.acks == 0 || self.acks > self.replicas {
            return Err(format!("`acks` is {}, it can be 1 to `replicas` ({})", self.acks, self.replicas));
        }
        if !(0.0..=10.0).contains(&self.zipf) {
            return Err(format!("`zipf` is {}, it can be 0 to 10", self.zipf));
        }
        for (name, p) in [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
            ("graceful", self.graceful),
        ] {
            if !(0.0..=1.0).contains(&p) {
                return Err(format!("`{name}` is {p}, it is a probability from 0 to 1"));
            }
        }
        self.check_times()?;
        let world = WorldConfig {
            latency: Latency::parse(&self.latency, read)?,
            faults: LinkFaults {
                loss: self.loss,
                duplicate: self.duplicate,
                reorder: self.reorder,
                reorder_by: self.reorder_by,
                corrupt: self.corrupt,
                bandwidth: self.bandwidth,
            },
            disk: DiskModel { sync: self.sync.parse()?, ..DiskModel::default() },
            replicas: self.replicas,
            acks: self.acks,
            lookup_style: self.style.parse()?,
            options: self.options.iter().map(|(k, v)| (k.clone(), *v)).collect(),
            ..WorldConfig::new(self.entry()?, self.seed)
        };
        world.check_options()?;
        self.check_load(&world)?;
        Ok(Plan { world, sessions: self.sessions()?, poisson: self.poisson()? })
    }

    /// What is ordered must come while the world lives, and its clock must hold it.
    fn check_times(&self) -> Result<(), String> {
        let built = u64::from(self.nodes).saturating_mul(self.join_every.0);
        if !self.settled && built > span::SPAN_MAX.0 {
            let (nodes, every) = (self.nodes, span::show(self.join_every));
            return Err(format!("{nodes} joins, one each {every} (`join_every`), take more than 100 years"));
        }
        let length = Duration(self.warm_up.0 + self.measured.0);
        self.event.iter().try_for_each(|step| step.check(length))
    }

    /// Puts and gets that no network of this kind would ever take.
    fn check_load(&self, world: &WorldConfig) -> Result<(), String> {
        let happens = |every: Option<Duration>| every.is_some_and(|every| every.0 > 0);
        let puts = happens(self.put_every);
        if (puts || happens(self.get_every)) && self.keys == 0 {
            return Err("`keys` is 0, puts and gets need at least one".into());
        }
        if puts && !(TTL_MIN..=world.ttl_max).contains(&self.ttl) {
            let (ttl, least, most) = (span::show(self.ttl), span::show(TTL_MIN), span::show(world.ttl_max));
            return Err(format!("`ttl` is {ttl}, nodes take lives of {least} to {most}"));
        }
        if puts && self.value_bytes > world.value_bytes_max {
            let (bytes, most) = (self.value_bytes, world.value_bytes_max);
            return Err(format!("`value_bytes` is {bytes}, nodes take values of at most {most}"));
        }
        Ok(())
    }

    fn sessions(&self) -> Result<Option<Sessions>, String> {
        let Some(lifetime) = &self.lifetime else {
            return match self.downtime {
                Some(_) => Err("`downtime` needs `lifetime`".into()),
                None => Ok(None),
            };
        };
        let downtime = self.downtime.as_deref().map(str::parse::<Spread>).transpose()?;
        Ok(Some(Sessions { lifetime: lifetime.parse()?, downtime, graceful: self.graceful }))
    }

    fn poisson(&self) -> Result<Option<Poisson>, String> {
        match (self.join_rate, self.depart_rate) {
            (None, None) => Ok(None),
            (Some(join_every), Some(depart_every)) => {
                if join_every.0 == 0 || depart_every.0 == 0 {
                    return Err("`join_rate` and `depart_rate` are times between two events, above 0s".into());
                }
                Ok(Some(Poisson { join_every, depart_every, graceful: self.graceful }))
            }
            _ => Err("`join_rate` and `depart_rate` come together".into()),
        }
    }
}

/// The overlay of that name; the default one for an empty name.
///
/// # Errors
/// With the names of those that exist.
pub fn find_overlay(name: &str) -> Result<&'static Entry, String> {
    let found = if name.is_empty() { OVERLAYS.first() } else { registry::find(name) };
    found.ok_or_else(|| {
        let names: Vec<&str> = OVERLAYS.iter().map(|e| e.name).collect();
        format!("there is no overlay `{name}`; there are: {}", names.join(", "))
    })
}

/// Spans that may be absent.
mod optional {
    use super::{Duration, span};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(v: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match v {
            Some(v) => s.serialize_some(&span::show(*v)),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(d)?.map(|t| span::parse(&t)).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_written() {
        let text = r#"
            nodes = 1024
            settled = true
            for = "2h"
            lifetime = "exp:1h"
            downtime = "exp:1h"
            lookup_every = "10m"
            [options]
            stabilize_ms = 500
            [[event]]
            at = "10m"
            crash = 0.5
        "#;
        let scenario = Scenario::from_toml(text).unwrap();
        assert_eq!((scenario.nodes, scenario.measured), (1024, Duration::from_secs(7200)));
        assert_eq!(scenario.event[0].crash, Some(0.5));
        assert_eq!(Scenario::from_toml(&scenario.to_toml()), Ok(scenario));
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(Scenario::from_toml("knodes = 3").unwrap_err().contains("knodes"));
        assert!(Scenario::from_toml("for = \"ever\"").is_err());
        for (text, word) in [
            ("nodes = 0", "nodes"),
            ("loss = 1.5", "loss"),
            ("acks = 4", "acks"),
            ("overlay = \"mesh\"", "mesh"),
            ("[[event]]\nat = \"1s\"\ncrash = 2.0", "crash"),
            ("replicas = 0\nacks = 0", "at least one copy"),
            ("replicas = 9", "chord keeps at most 8 copies with these settings, 9 are wanted"),
            ("overlay = \"kademlia\"\nreplicas = 30", "replicas must be at most 16"),
            ("join_every = \"300d\"\nnodes = 1000000", "`join_every`"),
            ("put_every = \"1m\"\nttl = \"999ms\"", "`ttl` is 999ms, nodes take lives of 1s to 7d"),
            ("put_every = \"1m\"\nttl = \"8d\"", "1s to 7d"),
            ("put_every = \"1m\"\nvalue_bytes = 65537", "at most 65536"),
            ("put_every = \"1m\"\nkeys = 0", "`keys` is 0"),
            ("get_every = \"1m\"\nkeys = 0", "`keys` is 0"),
            ("join_rate = \"0s\"\ndepart_rate = \"1s\"", "above 0s"),
            ("for = \"10s\"\n[[event]]\nat = \"11s\"\nheal = true", "event at 11s: the run ends after 10s"),
            (
                "for = \"10s\"\n[[event]]\nat = \"8s\"\njoin = 3\nover = \"5s\"",
                "last until 13s, the run ends after 10s",
            ),
        ] {
            let error = Scenario::from_toml(text).unwrap().plan(&|_| Err(String::new())).err().unwrap();
            assert!(error.contains(word), "{error}");
        }
        // What nobody puts may be as it likes, and a warm-up is a part of the run.
        for text in [
            "ttl = \"0s\"\nkeys = 0\nput_every = \"0s\"",
            "for = \"10s\"\nwarm_up = \"1s\"\n[[event]]\nat = \"11s\"\nheal = true",
        ] {
            assert!(Scenario::from_toml(text).unwrap().plan(&|_| Err(String::new())).is_ok(), "{text}");
        }
    }
}
