//! The engine on the host.
//!
//! ```text
//! asynchronous  step = max( device, t_hid·n ) + t_step + t_seq·n      n: decoding sequences and prompt pieces
//! synchronous   step = device + t_hid·n + t_step + t_seq·n
//! ```

use super::Analytical;
use crate::units::Span;

/// What the host adds to a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    step: f64,
    /// In steps with prompts.
    prompts: f64,
    sequence: f64,
    /// Hidden behind the device, per sequence.
    hidden: f64,
}

impl Host {
    pub fn new(params: &Analytical) -> Self {
        let hidden = params.hidden_sequence_overhead.as_secs();
        let sequence = params.sequence_overhead.as_secs();
        let (sequence, hidden) =
            if params.async_scheduling { (sequence, hidden) } else { (sequence + hidden, 0.0) };
        let [step, prompts] = [params.step_overhead, params.prompt_step_overhead].map(Span::as_secs);
        Self { step, prompts, sequence, hidden }
    }

    /// What every step of so many sequences waits for (s).
    pub fn exposed(&self, sequences: u64, prefill: bool) -> f64 {
        self.step + sequences as f64 * self.sequence + if prefill { self.prompts } else { 0.0 }
    }

    /// What is hidden behind a device that is busy for longer (s).
    pub fn hidden(&self, sequences: u64) -> f64 {
        sequences as f64 * self.hidden
    }
}
