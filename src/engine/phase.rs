//! The phases of a tick.

use bevy_ecs::schedule::SystemSet;

/// The fixed order of work within a tick; every system belongs to one phase.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Workload sources put due requests into the world.
    Arrive,
    /// Steps, tier reads and transfers that end now take effect; finished stages hand back their request.
    Land,
    /// The coordinator picks a client for each stage that needs one.
    Route,
    /// The transfers that routing implies are started.
    Carry,
    /// Clients take in or turn away what reached them.
    Admit,
    /// Each idle client with work forms its next step.
    Batch,
    /// Runtime models price the steps; their ends go into the calendar.
    Price,
    /// Metrics are taken, what is finished is despawned.
    Observe,
}

impl Phase {
    /// Every phase, first to last, as a tuple that bevy can chain.
    pub(super) const IN_ORDER: (Self, Self, Self, Self, Self, Self, Self, Self) = (
        Self::Arrive,
        Self::Land,
        Self::Route,
        Self::Carry,
        Self::Admit,
        Self::Batch,
        Self::Price,
        Self::Observe,
    );
}
