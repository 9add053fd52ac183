//! A runtime model that checks every price the analytical one gives, in the middle of real runs.

use std::sync::Arc;

use mist::engine::SimBuilder;
use mist::runtime::{
    Analytical, LowerBound, RuntimeExt, RuntimeKind, StepCost, StepModel, StepShape, Target, Undivided,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lets scenarios name the runtime model `Checked`.
pub fn checked(sim: &mut SimBuilder) {
    sim.runtime_model::<Checked>("Checked");
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Checked {}

impl RuntimeKind for Checked {
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let device = target.device()?;
        Ok(Arc::new(CheckedModel {
            inner: Analytical::default().compile(target)?,
            bound: LowerBound::new(&target.shape(), &device, &target.deployment()),
            max_step_tokens: u64::from(target.max_step_tokens),
        }))
    }
}

struct CheckedModel {
    inner: Arc<dyn StepModel>,
    bound: LowerBound,
    max_step_tokens: u64,
}

impl CheckedModel {
    /// No step is empty, too large, or faster than physics.
    fn check(&self, shape: &StepShape<'_>, cost: StepCost) {
        assert!(shape.tokens() > 0, "an empty step");
        assert!(shape.prefill.iter().all(|chunk| chunk.tokens > 0), "an empty chunk");
        // A sequence preempted late may come back longer than the budget, and then runs alone.
        let alone = shape.prefill.len() == 1 && shape.decode_seqs == 0;
        assert!(shape.tokens() <= self.max_step_tokens || alone, "{shape:?} exceeds the token budget");
        assert!(shape.decode_context >= 2 * u64::from(shape.decode_seqs), "a decode without context");
        let least = self.bound.seconds(shape);
        let enough = cost.seconds.is_finite() && cost.seconds >= least * (1.0 - 1e-12);
        assert!(enough, "{shape:?} costs {} s, physics wants {least} s", cost.seconds);
    }
}

impl StepModel for CheckedModel {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        let cost = self.inner.price(shape);
        self.check(shape, cost);
        cost
    }

    fn price_decodes(&self, sequences: u32, context: u64, costs: &mut [StepCost]) {
        self.inner.price_decodes(sequences, context, costs);
        let mut shape = StepShape { prefill: &[], decode_seqs: sequences, decode_context: context };
        for cost in costs {
            assert_eq!(*cost, self.inner.price(&shape), "a stride prices differently");
            self.check(&shape, *cost);
            shape.decode_context += u64::from(sequences);
        }
    }

    fn undivided(&self, shape: &StepShape<'_>) -> Undivided {
        self.inner.undivided(shape)
    }
}
