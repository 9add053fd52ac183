//! What of a model lies on which accelerator, beyond what tensor parallelism shares out.
//!
//! ```text
//! W = ( (P − E − O − X)·l/L + E [first stage] + O [last stage] )·w / p  +  X·l/L·s·w
//! s = 1 / (p·c)  sliced experts        = ceil(n / (p·c)) / n  whole ones, on the accelerator that has most
//! ```
//! P parameters, E those of the embedding, O of the output head, X of routed experts, l of L layers on the stage, w
//! bytes of a weight, p tensor ranks, c copies of attention, n routed experts. Stages have layers as vLLM gives them
//! (`get_pp_indices` in `vllm/distributed/utils.py`): what does not divide goes to the stages before the last, from
//! there to the front. A head that is tied to the embedding is on both ends.
//!
//! Left out: that the first layers of a mixture of experts may be dense: layers count alike.

/// How a model lies on more accelerators than share every layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Layers.
    pub layers: u32,
    /// Stages of consecutive layers (vLLM `--pipeline-parallel-size`).
    pub stages: u32,
    /// Copies of all but the routed experts (vLLM `--data-parallel-size`).
    pub copies: u32,
    /// Weights of all routed experts.
    pub routed: f64,
    /// How many there are in a layer, if whole ones lie on the ranks (vLLM `--enable-expert-parallel`).
    pub whole_experts: Option<u32>,
    /// Weights of the embedding.
    pub embedding: f64,
    /// Weights of the output head.
    pub head: f64,
    /// Whether those are the same.
    pub tied: bool,
}

impl Spread {
    /// All in one place.
    pub const NONE: Self = Self {
        layers: 1,
        stages: 1,
        copies: 1,
        routed: 0.0,
        whole_experts: None,
        embedding: 0.0,
        head: 0.0,
        tied: true,
    };

    /// Layers of each stage, the first one first.
    pub fn layers_of_stages(&self) -> impl Iterator<Item = u32> {
        let (each, more) = (self.layers / self.stages, self.layers % self.stages);
        // The stages from the one before the last to the front have one more, as long as there are some.
        let last = self.stages - 1;
        (0..self.stages).map(move |stage| each + u32::from(stage < last && last - stage <= more))
    }

    /// Weights on one accelerator of a stage with so many `layers`, times `ranks` tensor ranks, of `parameters` in all.
    pub(super) fn weights(&self, parameters: f64, ranks: f64, stage: u32, layers: u32) -> f64 {
        let head = if self.tied { 0.0 } else { self.head };
        let share = |weights: f64| weights * f64::from(layers) / f64::from(self.layers);
        let mut found = share(parameters - self.routed - self.embedding - head);
        if stage == 0 {
            found += self.embedding;
        }
        if stage + 1 == self.stages && !(self.tied && stage == 0) {
            found += self.head;
        }
        let copies = f64::from(self.copies);
        found
            + match self.whole_experts {
                None => share(self.routed) / copies,
                Some(experts) => {
                    let most = (f64::from(experts) / (ranks * copies)).ceil();
                    share(self.routed) * ranks * most / f64::from(experts)
                }
            }
    }
}
