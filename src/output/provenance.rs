//! Where a result came from: enough to run it again, and everything about the run that is not a result.

use serde::{Deserialize, Serialize};

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
}

/// A stable digest of a text: 64-bit FNV-1a, as `fnv1a64:0123456789abcdef`. Tells texts apart; no security.
pub fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("fnv1a64:{hash:016x}")
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
