//! Where a result came from: enough to run it again, and everything about the run that is not a result.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::{FNV_START, fnv1a};

/// The contents of `provenance.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of MIST.
    pub mist_version: String,
    /// [`digest`] of the resolved scenario, as it lies beside the result.
    pub scenario_digest: String,
    /// Seed of every random stream, or of those of replication 0.
    pub seed: u64,
    /// Replications; ticks and events are those of all of them. Null for a plain run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replications: Option<u32>,
    /// Which executor ran the schedule.
    pub executor: String,
    /// Whether runs of equal steps were priced in one go.
    pub strides: bool,
    /// Instants at which something happened.
    pub ticks: u64,
    /// Wake-ups handled.
    pub events: u64,
    /// Wall time the simulation took (s).
    pub wall_s: f64,
    /// Where each latency comes from, a line for each runtime model: "llama: analytical roofline, H100".
    pub latency_sources: Vec<String>,
    /// The files the scenario drew on: traces, a catalog folder, model configs.
    pub inputs: Vec<Input>,
}

/// A file that a scenario drew on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Where it lay.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// The [`Digest`] of its contents.
    pub digest: String,
}

/// A stable digest: 64-bit FNV-1a, as `fnv1a64:0123456789abcdef`. Tells contents apart; no security.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(FNV_START)
    }
}

impl Digest {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = fnv1a(self.0, bytes);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fnv1a64:{:016x}", self.0)
    }
}

/// The [`Digest`] of a text.
pub fn digest(text: &str) -> String {
    let mut digest = Digest::default();
    digest.update(text.as_bytes());
    digest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_fnv1a() {
        assert_eq!(digest(""), "fnv1a64:cbf29ce484222325");
        assert_eq!(digest("a"), "fnv1a64:af63dc4c8601ec8c");
        assert_eq!(digest("foobar"), "fnv1a64:85944171f73967e8");
    }
}
