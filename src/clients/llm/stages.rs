//! What a batch takes of the stages of a pipeline.
//!
//! ```text
//! T_i = max( (t − head − host)·l_i/L + [last] head , beside ) + host
//! ```
//! t what it takes on its way through all stages, `head` of that the LM head and sampling, which only the last stage
//! has, `host` what the engine does for each batch while a stage waits, `beside` what it does meanwhile, l_i of L layers
//! on the stage.
//!
//! Left out: the embedding; that the first layers of a mixture of experts may be dense: layers count alike.

use crate::memory::Spread;
use crate::runtime::Undivided;

/// Shares of the layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages {
    /// Of the stage with most before the last one; 0 if there is only that.
    before: f64,
    last: f64,
}

impl Stages {
    /// So many layers over so many stages, as vLLM lays them out.
    pub fn of(layers: u32, stages: u32) -> Self {
        let mut shares: Vec<f64> = Spread { layers, stages, ..Spread::NONE }
            .layers_of_stages()
            .map(|held| f64::from(held) / f64::from(layers))
            .collect();
        let last = shares.pop().unwrap_or(1.0);
        Self { before: shares.into_iter().fold(0.0, f64::max), last }
    }

    /// T of the busiest stage before the last, and of the last, for a batch that takes `seconds` in all (s).
    pub fn busy(&self, seconds: f64, undivided: &Undivided) -> [f64; 2] {
        let Undivided { head, host, beside } = *undivided;
        let layers = (seconds - head - host).max(0.0);
        [(self.before, 0.0), (self.last, head)].map(|(share, own)| (layers * share + own).max(beside) + host)
    }

    /// The larger of the two: how often a batch of the kind can end.
    pub fn interval(&self, seconds: f64, undivided: &Undivided) -> f64 {
        let [before, last] = self.busy(seconds, undivided);
        before.max(last)
    }
}
