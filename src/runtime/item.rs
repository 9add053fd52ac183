//! A step's bill: what each operator takes, and why.

use serde::Serialize;

use super::Bound;

/// One operator in a step, all its calls together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Item {
    /// The operator, such as `gate and up`.
    pub operator: &'static str,
    /// What it belongs to.
    pub part: Part,
    /// How often it runs.
    pub calls: f64,
    /// Time on the busiest device (s).
    pub seconds: f64,
    /// What most of that goes into.
    pub bound: Bound,
    /// Arithmetic on one device (FLOP); 0 where it is not counted.
    pub flops: f64,
    /// Traffic of one device's memory, or of its links in a collective (bytes); 0 where it is not counted.
    pub bytes: f64,
}

/// The parts of a step that operators belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Matrix products with weights.
    Linear,
    /// Routed experts.
    Experts,
    /// Attention over keys and values.
    Attention,
    /// Norms, rotary positions, activations and the like.
    Elementwise,
    /// LM head and sampling.
    Head,
    /// Between accelerators.
    Communication,
    /// The engine on the host.
    Host,
}

impl Part {
    /// Every part, in the order reports list them.
    pub const ALL: [Self; 7] = [
        Self::Linear,
        Self::Experts,
        Self::Attention,
        Self::Elementwise,
        Self::Head,
        Self::Communication,
        Self::Host,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Experts => "experts",
            Self::Attention => "attention",
            Self::Elementwise => "elementwise",
            Self::Head => "head",
            Self::Communication => "communication",
            Self::Host => "host",
        }
    }
}
