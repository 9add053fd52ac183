//! Step times by interpolation between measured points.

use std::sync::Arc;

use mist::runtime::{Bound, RuntimeKind, StepCost, StepModel, StepShape, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Times of prompts and decodes by the number of tokens in a step, linear between points and beyond the
/// last ones. A step of both takes 1.1 times what its tokens would as prompts. A decode counts for one token,
/// whatever its context, also where it is the first one on a client that it came to with its KV.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Knots {
    /// Tokens in the step, time of prompts [s], time of decodes [s]; rising, at least two.
    pub points: Vec<(f64, f64, f64)>,
}

impl Knots {
    fn at(&self, tokens: f64, time: impl Fn(&(f64, f64, f64)) -> f64) -> f64 {
        let above = self.points.partition_point(|point| point.0 < tokens).clamp(1, self.points.len() - 1);
        let (low, high) = (&self.points[above - 1], &self.points[above]);
        (time(high) - time(low)) / (high.0 - low.0) * (tokens - low.0) + time(low)
    }

    fn seconds(&self, shape: &StepShape<'_>) -> f64 {
        let come = shape.prefill.iter().filter(|chunk| chunk.tokens == 1 && chunk.context > 0).count() as u64;
        let decodes = come + u64::from(shape.decode_seqs);
        let tokens = shape.tokens() as f64;
        match (shape.prefill.len() as u64 - come, decodes) {
            (0, _) => self.at(tokens, |point| point.2),
            (_, 0) => self.at(tokens, |point| point.1),
            _ => 1.1 * self.at(tokens, |point| point.1),
        }
    }
}

impl RuntimeKind for Knots {
    fn compile(&self, _: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let rising = self.points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if self.points.len() < 2 || !rising {
            return Err("points: at least two are needed, with rising tokens".to_owned());
        }
        let knots = self.clone();
        Ok(Arc::new(move |shape: &StepShape<'_>| StepCost {
            seconds: knots.seconds(shape),
            bound: Bound::Compute,
        }))
    }
}
