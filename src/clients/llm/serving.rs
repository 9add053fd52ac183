//! What it comes to that a client serves a model on its cluster.

use std::sync::Arc;

use super::{LlmClient, Parked};
use crate::clients::{Fact, Generates, Offer};
use crate::memory::KvCapacity;
use crate::request::pipeline::Served;
use crate::runtime::StepModel;
use crate::units::{GIB, SimSpan};

/// A model on the cluster of a client.
pub(super) struct Serving {
    /// Its name in the catalog.
    pub name: String,
    pub capacity: KvCapacity,
    pub generates: Generates,
    pub step_model: Arc<dyn StepModel>,
    /// How long it takes to load it, if that is known.
    pub swap: Option<SimSpan>,
    /// What is to be said of the `config.json` behind it.
    pub config: Vec<Fact>,
}

impl Serving {
    pub fn offer(&self) -> Offer {
        Offer { model: Some(self.name.clone()), generates: Some(self.generates) }
    }

    /// The model on a client of several; `client` serves it, unless it is its turn. `models` are those of
    /// the deployment.
    pub fn parked(&self, models: &[Served], client: Option<LlmClient>) -> Parked {
        let number = models.iter().position(|model| model.name == self.name);
        let number = number.expect("the deployment lists every model that is offered");
        Parked {
            model: number as u16,
            swap: self.swap.unwrap_or_default(),
            client,
            blocks: self.capacity.blocks,
        }
    }

    /// What `mist check` says about it.
    pub fn facts(&self, block_size: u32, max_num_seqs: u32) -> Vec<Fact> {
        let gib = |bytes: f64| format!("{:.1} GiB", bytes / GIB);
        let max_model_len = self.generates.max_model_len;
        let KvCapacity { budget, weights, activations, kv, blocks, tokens, .. } = self.capacity;
        let mut facts = vec![
            Fact::new("memory per device", format!("{} usable, {} weights", gib(budget), gib(weights))),
            Fact::new("", format!("{} activations, {} KV cache", gib(activations), gib(kv))),
            Fact::new("KV cache", format!("{blocks} blocks of {block_size}, {tokens} tokens")),
            Fact::new("limits", format!("{max_num_seqs} sequences, {max_model_len} tokens each")),
        ];
        if u64::from(max_model_len) > tokens {
            // vLLM checks this when it starts; requests that do fit are served here all the same.
            let warning = format!(
                "vLLM would not start: its KV cache must hold max_model_len; set it to {tokens} or less"
            );
            facts.push(Fact::new("warning", warning));
        }
        facts.extend(self.config.iter().cloned());
        facts
    }

    /// How long a change to it takes.
    pub fn swap_fact(swap: SimSpan) -> Fact {
        Fact::new("loaded in", format!("{:.3} s", swap.as_secs_f64()))
    }
}
