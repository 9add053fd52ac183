//! The arithmetic of a model's shape: how many parameters, how much KV cache, and the pieces of a layer.
//!
//! With `h` the hidden width, `H`, `K`, `d` the heads, KV heads and head width, `f` an inner width and `V`
//! the vocabulary, and biases left aside:
//!
//! | piece | parameters |
//! |---|---|
//! | attention | `h·H·d + 2·h·K·d + H·d·h` |
//! | latent attention | `h·r_q + r_q·H·d` (or `h·H·d`) `+ h·(r_kv + d_rope) + r_kv·H·(d_nope + d_v) + H·d_v·h` |
//! | feed-forward, expert | `3·h·f` gated, `2·h·f` not |
//! | router | `h·routed` |
//! | embedding, output head | `V·h` each; one matrix when tied |
//!
//! KV cache of a token: `2·K·d` numbers a layer, `r_kv + d_rope` with latent attention.
//!
//! Left out: norms of queries and keys, the second pair of norms of some families, the bias of an output
//! head, poolers and scoring heads, multi-token prediction: below 0.3 % of any model here. Embedding and reward models
//! made from a decoder count the output head that their configuration still describes.

use super::model::{Attention, Bias, Expected, Ffn, Latent, Model, Window};
use super::precision::Precision;

impl Model {
    /// All parameters, with those of every expert.
    pub fn parameters(&self) -> u64 {
        self.count(|experts| experts.routed)
    }

    /// Parameters that one token passes through: only the experts it visits, and all else. Counts the
    /// whole embedding matrix, of which a token reads one row.
    pub fn active_parameters(&self) -> u64 {
        self.count(|experts| experts.active)
    }

    /// KV cache of one token over all layers, windowed ones included (bytes); zero for encoders.
    pub fn kv_bytes_per_token(&self, precision: Precision) -> f64 {
        (u64::from(self.layers) * self.kv_width()) as f64 * precision.bytes()
    }

    /// Numbers that one token leaves in the KV cache of one layer.
    pub fn kv_width(&self) -> u64 {
        match self.attention.latent {
            _ if self.bidirectional => 0,
            Some(latent) => u64::from(latent.kv_rank) + u64::from(latent.rope_dim),
            None => 2 * self.attention.kv_dim(),
        }
    }

    /// Whether some layers route tokens to experts.
    pub fn is_moe(&self) -> bool {
        self.experts.is_some()
    }

    /// Layers with experts.
    pub fn moe_layers(&self) -> u32 {
        self.experts.map_or(0, |experts| self.layers - experts.dense_layers)
    }

    /// Layers with an ordinary feed-forward block.
    pub fn dense_layers(&self) -> u32 {
        self.layers - self.moe_layers()
    }

    /// Layers whose attention sees only a sliding window.
    pub fn windowed_layers(&self) -> u32 {
        self.attention.window.map_or(0, |Window { local, global, .. }| {
            let period = local + global;
            self.layers / period * local + (self.layers % period).min(local)
        })
    }

    /// Parameters of the attention projections of one layer.
    pub fn attention_parameters(&self) -> u64 {
        let hidden = u64::from(self.hidden);
        let Attention { heads, latent, .. } = self.attention;
        let (queries, values) = (self.attention.query_dim(), self.attention.value_dim());
        let keys_and_values = 2 * self.attention.kv_dim();
        if let Some(Latent { query_rank, kv_rank, nope_dim, rope_dim, value_dim }) = latent {
            let [query_rank, kv_rank] = [query_rank, kv_rank].map(u64::from);
            let query = match query_rank {
                0 => hidden * queries,
                rank => hidden * rank + rank + rank * queries,
            };
            let compress = hidden * (kv_rank + u64::from(rope_dim)) + kv_rank;
            let expand = kv_rank * u64::from(heads) * u64::from(nope_dim + value_dim);
            return query + compress + expand + values * hidden;
        }
        let bias = match self.bias {
            Bias::Absent | Bias::Ffn => 0,
            Bias::Qkv => queries + keys_and_values,
            Bias::Qkvo | Bias::All => queries + keys_and_values + hidden,
        };
        hidden * (queries + keys_and_values) + values * hidden + bias
    }

    /// Parameters of the feed-forward block of a layer without experts.
    pub fn ffn_parameters(&self) -> u64 {
        self.block(self.ffn.size)
    }

    /// Parameters of one routed expert; zero without experts.
    pub fn expert_parameters(&self) -> u64 {
        self.experts.map_or(0, |experts| self.block(experts.size))
    }

    /// Parameters of the shared experts of one layer, all together.
    pub fn shared_expert_parameters(&self) -> u64 {
        self.experts.map_or(0, |experts| match experts.shared {
            0 => 0,
            shared => u64::from(shared) * self.block(experts.shared_size),
        })
    }

    /// Parameters of the router of one layer.
    pub fn router_parameters(&self) -> u64 {
        let bias = u64::from(self.bias == Bias::All);
        self.experts.map_or(0, |experts| (u64::from(self.hidden) + bias) * u64::from(experts.routed))
    }

    /// Parameters of the embedding matrix, and as many in the output head.
    pub fn embedding_parameters(&self) -> u64 {
        u64::from(self.vocab) * u64::from(self.hidden)
    }

    fn count(&self, experts_counted: impl Fn(&super::Experts) -> u32) -> u64 {
        let hidden = u64::from(self.hidden);
        let matrices = if self.tied_embeddings { 1 } else { 2 };
        let outside = matrices * self.embedding_parameters() + u64::from(self.learned_positions) * hidden;
        let norms = match (self.bias, self.ffn.gated) {
            (Bias::All, false) => 4 * hidden, // two LayerNorms, each a scale and a shift
            _ => 2 * hidden,
        };
        let every_layer = u64::from(self.layers) * (self.attention_parameters() + norms);
        let dense = u64::from(self.dense_layers()) * self.ffn_parameters();
        let mixture = self.experts.as_ref().map_or(0, |experts| {
            u64::from(experts_counted(experts)) * self.expert_parameters()
                + self.shared_expert_parameters()
                + self.router_parameters()
        });
        outside + hidden + every_layer + dense + u64::from(self.moe_layers()) * mixture
    }

    /// Parameters of a feed-forward block of inner width `size`.
    fn block(&self, size: u32) -> u64 {
        let Ffn { gated, .. } = self.ffn;
        let inward = if gated { 2 } else { 1 };
        let (hidden, size) = (u64::from(self.hidden), u64::from(size));
        let bias = if matches!(self.bias, Bias::Ffn | Bias::All) { inward * size + hidden } else { 0 };
        (inward + 1) * hidden * size + bias
    }

    pub(super) fn meets_expectation(&self) -> Result<(), String> {
        let Some(Expected { parameters_b, active_parameters_b, kv_bytes_per_token_bf16, .. }) = self.expected
        else {
            return Ok(());
        };
        let agrees = |what: &str, ours: u64, expected_b: f64| {
            let ours_b = ours as f64 / 1e9;
            if (ours_b - expected_b).abs() <= 0.003 * expected_b {
                Ok(())
            } else {
                Err(format!("the shape has {ours_b:.4} billion {what}, `expected` says {expected_b}"))
            }
        };
        agrees("parameters", self.parameters(), parameters_b)?;
        if let Some(active_b) = active_parameters_b {
            agrees("active parameters", self.active_parameters(), active_b)?;
        }
        let (ours, expected) =
            (self.kv_bytes_per_token(Precision::Bf16), kv_bytes_per_token_bf16.unwrap_or(0));
        if ours == expected as f64 {
            Ok(())
        } else {
            Err(format!("the shape keeps {ours} bytes of KV a token at bf16, `expected` says {expected}"))
        }
    }
}

impl Attention {
    /// Width of all queries together.
    pub fn query_dim(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.head_dim)
    }

    /// Width of all keys together, and of all values, without latent attention.
    pub fn kv_dim(&self) -> u64 {
        u64::from(self.kv_heads) * u64::from(self.head_dim)
    }

    /// Width of what all heads together hand to the output projection.
    pub fn value_dim(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.latent.map_or(self.head_dim, |latent| latent.value_dim))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Experts, Origin};
    use super::*;

    fn model(name: &str) -> &'static Model {
        Catalog::embedded().model(name).unwrap()
    }

    #[test]
    fn every_model_has_an_expectation_and_meets_it() {
        let mut published = 0;
        for model in Catalog::embedded().models() {
            let expected = model.expected.unwrap_or_else(|| panic!("{} expects nothing", model.name));
            published += u32::from(expected.origin == Origin::Published);
            assert_eq!(model.meets_expectation(), Ok(()), "{}", model.name);
            assert_eq!(expected.active_parameters_b.is_some(), model.is_moe(), "{}", model.name);
            assert_eq!(expected.kv_bytes_per_token_bf16.is_none(), model.bidirectional, "{}", model.name);
        }
        assert!(published >= 50, "{published}");
    }

    #[test]
    fn a_shape_that_disagrees_is_refused() {
        let mut wrong = model("Llama-3.1-70B").clone();
        wrong.layers = 79;
        assert!(wrong.meets_expectation().unwrap_err().starts_with("the shape has 69.6"));
        let mut wrong = model("Llama-3.1-70B").clone();
        wrong.attention.kv_heads = 16;
        wrong.expected.as_mut().unwrap().parameters_b = wrong.parameters() as f64 / 1e9;
        assert!(wrong.meets_expectation().unwrap_err().starts_with("the shape keeps 655360 bytes"));
    }

    #[test]
    fn the_whole_is_the_sum_of_its_pieces() {
        for model in Catalog::embedded().models() {
            let layers = u64::from(model.layers) * model.attention_parameters()
                + u64::from(model.dense_layers()) * model.ffn_parameters()
                + u64::from(model.moe_layers())
                    * (model.router_parameters()
                        + model.shared_expert_parameters()
                        + u64::from(model.experts.map_or(0, |experts| experts.routed))
                            * model.expert_parameters());
            let matrices = if model.tied_embeddings { 1 } else { 2 };
            let pieces = layers + matrices * model.embedding_parameters();
            let rest = model.parameters() - pieces;
            let widest = u64::from(model.learned_positions) + 4 * u64::from(model.layers) + 1;
            assert!(rest <= widest * u64::from(model.hidden), "{}", model.name);
        }
    }

    #[test]
    fn experts_count_once_each_and_active_ones_only_when_visited() {
        let mut mixture = model("Mixtral-8x7B").clone();
        let one = |routed, active| Experts { routed, active, ..model("Mixtral-8x7B").experts.unwrap() };
        mixture.experts = Some(one(1, 1));
        let small = mixture.parameters();
        assert_eq!(small, mixture.active_parameters());
        mixture.experts = Some(one(2, 1));
        let router_row = u64::from(mixture.hidden);
        let grown = u64::from(mixture.layers) * (mixture.expert_parameters() + router_row);
        assert_eq!(mixture.parameters(), small + grown);
    }

    #[test]
    fn windows_follow_their_pattern_from_the_first_layer() {
        for (name, windowed) in [
            ("Llama-3.1-70B", 0),
            ("Mistral-7B-v0.1", 32),
            ("Gemma-2-2B", 13),
            ("gpt-oss-120b", 18),
            ("Gemma-3-1B", 22),
            ("Gemma-3-27B", 52),
        ] {
            assert_eq!(model(name).windowed_layers(), windowed, "{name}");
        }
    }

    #[test]
    fn kv_cache_scales_with_precision_and_encoders_keep_none() {
        let llama = model("Llama-3.1-70B");
        assert_eq!(llama.kv_bytes_per_token(Precision::Fp8), 163_840.0);
        assert_eq!(llama.kv_bytes_per_token(Precision::Fp4), 81_920.0);
        assert_eq!(model("DeepSeek-V3").kv_width(), 576);
        assert_eq!(model("bge-m3").kv_bytes_per_token(Precision::Bf16), 0.0);
    }
}
