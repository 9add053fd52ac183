//! What it takes to move KV from one client to another.

use crate::units::SimSpan;

/// A link that each KV cache has to itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvLink {
    /// Bytes a second.
    pub bandwidth: f64,
    /// Before the first byte lands.
    pub latency: SimSpan,
}

impl KvLink {
    /// How long so many bytes take.
    pub fn takes(self, bytes: f64) -> SimSpan {
        self.latency + SimSpan::from_secs_f64(bytes / self.bandwidth)
    }
}

/// How KV moves: over the network, or within a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvTransfer {
    /// Between clients on different machines.
    pub network: KvLink,
    /// Between clients on the same machine; over the network as well if it is not said.
    pub local: Option<KvLink>,
}

impl KvTransfer {
    /// How long so many bytes take between clients on the same machine or not.
    pub fn takes(self, bytes: f64, same_machine: bool) -> SimSpan {
        self.local.filter(|_| same_machine).unwrap_or(self.network).takes(bytes)
    }
}
