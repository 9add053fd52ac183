//! What the clients did and what they cost, as a summary needs it.

use crate::clients::Usage;
use crate::stats::Statistics;
use crate::units::SimTime;
use crate::workload::SessionCounts;

/// One client at the end of the run.
#[derive(Clone, Copy, Debug)]
pub struct ClientUsage<'a> {
    /// The group of identical clients it belongs to, as named in the scenario.
    pub group: &'a str,
    /// Accelerators in its cluster: the weight of its time in utilisations.
    pub accelerators: u32,
    /// Its running totals.
    pub usage: &'a Usage,
}

/// What the deployment costs by the hour.
#[derive(Clone, Debug, PartialEq)]
pub enum Price {
    /// All platforms that hold a client (USD/h).
    UsdPerHour(f64),
    /// Not known, with the reason to print: "no price listed for B300".
    Unknown(String),
}

/// The state of the run when it stopped.
#[derive(Clone, Debug)]
pub struct RunEnd<'a> {
    /// Name of the scenario.
    pub scenario: &'a str,
    /// The clock when the run stopped.
    pub now: SimTime,
    /// Every client, in order.
    pub clients: Vec<ClientUsage<'a>>,
    /// Inter-token latency over all tokens, if there were any.
    pub itl: Option<Statistics>,
    /// What became of conversations, if there were any.
    pub sessions: Option<SessionCounts>,
    /// What the deployment costs.
    pub price: Price,
}
