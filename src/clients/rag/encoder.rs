//! An encoder on the devices of a client: what reading a number of texts costs.
//!
//! A pass reads up to [`PASS_TEXTS`] texts, each at its own length (engines that pad take longer), and makes
//! a vector or a score of each: no LM head, no token sampled. Passes are shared out over the devices, each of
//! which holds the whole model:
//!
//! ```text
//! seconds = max( Σ passes / devices, longest pass )
//! ```

use std::sync::Arc;

use crate::runtime::{Bound, Chunk, StepModel, StepShape};

/// Texts of a pass: the batch size of `sentence-transformers`, for bi-encoders and cross-encoders alike.
pub const PASS_TEXTS: u32 = 32;

/// An encoder on the devices of a client.
#[derive(Clone)]
pub struct Encoder {
    /// Prices a pass on one device.
    pub passes: Arc<dyn StepModel>,
    /// Devices, each with the whole model.
    pub devices: u32,
    /// Longest text it reads (tokens); what is longer is cut.
    pub context: u32,
}

impl Encoder {
    /// Seconds, and what most of them go into, to read texts of `(tokens, count)`.
    pub fn read(&self, texts: impl Iterator<Item = (u32, u32)>) -> (f64, Bound) {
        let mut spent = Spent::default();
        let mut pass = [Chunk::default(); PASS_TEXTS as usize];
        let mut filled = 0;
        for (tokens, mut count) in texts {
            let text = Chunk { tokens: tokens.clamp(1, self.context), context: 0, last: false };
            if filled == 0 && count >= PASS_TEXTS {
                // All passes of equal texts cost the same.
                spent.add(&*self.passes, &[text; PASS_TEXTS as usize], count / PASS_TEXTS);
                count %= PASS_TEXTS;
            }
            for _ in 0..count {
                pass[filled] = text;
                filled += 1;
                if filled == pass.len() {
                    spent.add(&*self.passes, &pass, 1);
                    filled = 0;
                }
            }
        }
        if filled > 0 {
            spent.add(&*self.passes, &pass[..filled], 1);
        }
        ((spent.seconds / f64::from(self.devices.max(1))).max(spent.longest), spent.bound)
    }
}

/// Passes so far.
#[derive(Default)]
struct Spent {
    seconds: f64,
    longest: f64,
    bound: Bound,
}

impl Spent {
    fn add(&mut self, model: &dyn StepModel, texts: &[Chunk], times: u32) {
        let cost = model.price(&StepShape { prefill: texts, ..StepShape::default() });
        self.seconds += f64::from(times) * cost.seconds;
        if cost.seconds > self.longest {
            self.longest = cost.seconds;
            self.bound = cost.bound;
        }
    }
}
