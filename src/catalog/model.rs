//! Models: the shapes that decide how much there is to compute, to hold and to move.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verified;
use super::text::Entry;

/// Most layers of a model.
pub(super) const MOST_LAYERS: u32 = 1 << 12;

/// One transformer, by its shape.
///
/// Sizes count numbers (elements), not bytes. Bytes follow from the [precision](super::Precision) that a
/// deployment chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name a scenario uses.
    pub name: String,
    /// Its name on the Hugging Face hub, which a scenario may use as well; absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hf_id: Option<String>,
    /// What it is for.
    pub kind: ModelKind,
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Entries of the vocabulary.
    pub vocab: u32,
    /// Longest sequence it was made for (tokens).
    pub max_context: u32,
    /// Whether the output head is the embedding matrix (or there is none); default false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tied_embeddings: bool,
    /// Rows of a learned position table; zero (the default) for rotary positions and distance biases.
    #[serde(default, skip_serializing_if = "is_default")]
    pub learned_positions: u32,
    /// Whether every token sees all others, as in an encoder, which keeps no KV cache; default false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bidirectional: bool,
    /// Whether attention and feed-forward run side by side on one input, as in GPT-J and Falcon, not one after the
    /// other: one norm and one all-reduce a layer, not two; default false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parallel: bool,
    /// Which projections have a bias; default `Absent`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bias: Bias,
    /// How tokens attend.
    pub attention: Attention,
    /// The feed-forward block of the layers without experts.
    pub ffn: Ffn,
    /// The experts, when the model is a mixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<Experts>,
    /// What the shape must add up to; checked whenever the entry is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// How well this shape is known.
    pub verified: Verified,
    /// Where it comes from.
    pub source: String,
    /// What a user of the shape should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ModelKind {
    /// Generates text.
    Decoder,
    /// Turns text into a vector.
    Embedding,
    /// Scores a document against a query.
    Reranker,
    /// Scores an answer, or the steps of one.
    Reward,
}

/// Which projections have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Bias {
    /// None.
    #[default]
    Absent,
    /// Query, key and value.
    Qkv,
    /// All of attention.
    Qkvo,
    /// The feed-forward block only (GPT-J).
    Ffn,
    /// Every projection, and the router where there is one.
    All,
}

/// How tokens attend: grouped-query attention, with multi-head (`kv_heads` = `heads`) and multi-query
/// (`kv_heads` = 1) as its ends, or latent attention when `latent` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; a divisor of `heads`.
    pub kv_heads: u32,
    /// Width of a query and key head, and of a value head unless `latent` says otherwise.
    pub head_dim: u32,
    /// Whether each query and key is normalised before it attends; default false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_norm: bool,
    /// Multi-head latent attention (MLA), which caches one compressed vector a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<Latent>,
    /// A sliding window in some or all layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// Multi-head latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    /// Rank of the compressed query; zero (the default) when queries are not compressed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_rank: u32,
    /// Rank of the compressed key and value.
    pub kv_rank: u32,
    /// Part of a query or key head without position.
    pub nope_dim: u32,
    /// Part with rotary position; its key is shared by all heads.
    pub rope_dim: u32,
    /// Width of a value head.
    pub value_dim: u32,
}

/// A sliding window. Layers repeat in the pattern of `local` windowed ones, then `global` full ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Tokens a windowed layer sees.
    pub tokens: u32,
    /// Windowed layers in a row.
    pub local: u32,
    /// Full layers after them; zero when every layer is windowed.
    pub global: u32,
}

/// A feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ffn {
    /// Inner width.
    pub size: u32,
    /// Whether a third matrix gates the inner activation, in experts as well.
    pub gated: bool,
}

/// A mixture of experts, in some or all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// Routed experts in a layer.
    pub routed: u32,
    /// Routed experts that a token visits.
    pub active: u32,
    /// Inner width of a routed expert.
    pub size: u32,
    /// Experts that every token visits; default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared: u32,
    /// Inner width of one of those; default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared_size: u32,
    /// Layers without experts, wherever they stand: the first few of `DeepSeek-V3`, every other one of
    /// Llama 4 Maverick; default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dense_layers: u32,
}

/// Figures that the shape must reproduce, parameters within 0.3 % and the KV cache exactly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// All parameters (10⁹).
    pub parameters_b: f64,
    /// Where that count comes from.
    pub origin: Origin,
    /// Parameters a token passes through (10⁹), for mixtures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_parameters_b: Option<f64>,
    /// KV cache of a token at `bf16` over all layers (bytes); absent for models that keep none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_bytes_per_token_bf16: Option<u64>,
}

/// Where an expected parameter count comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Origin {
    /// Published with the model.
    Published,
    /// Calculated from the configuration, apart from this program.
    Calculated,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Model {
    /// Whether every size lies within bounds far beyond any model of today, and small enough for the
    /// arithmetic of [`parameters`](Self::parameters) and of the runtimes never to overflow.
    fn is_of_this_world(&self) -> Result<(), String> {
        let Attention { heads, kv_heads, head_dim, latent, .. } = self.attention;
        let mut sizes = vec![
            ("layers", self.layers, 1..=MOST_LAYERS),
            ("hidden", self.hidden, 1..=1 << 17),
            ("vocab", self.vocab, 1..=1 << 24),
            ("max_context", self.max_context, 1..=1 << 30),
            ("learned_positions", self.learned_positions, 0..=1 << 30),
            ("attention.heads", heads, 1..=1 << 12),
            ("attention.kv_heads", kv_heads, 1..=1 << 12),
            ("attention.head_dim", head_dim, 1..=1 << 12),
            ("ffn.size", self.ffn.size, 1..=1 << 19),
        ];
        if let Some(latent) = latent {
            sizes.extend([
                ("attention.latent.query_rank", latent.query_rank, 0..=1 << 17),
                ("attention.latent.kv_rank", latent.kv_rank, 1..=1 << 17),
                ("attention.latent.nope_dim", latent.nope_dim, 0..=1 << 12),
                ("attention.latent.rope_dim", latent.rope_dim, 0..=1 << 12),
                ("attention.latent.value_dim", latent.value_dim, 1..=1 << 12),
            ]);
        }
        if let Some(window) = self.attention.window {
            sizes.extend([
                ("attention.window.tokens", window.tokens, 1..=1 << 30),
                ("attention.window.local", window.local, 1..=1 << 12),
                ("attention.window.global", window.global, 0..=1 << 12),
            ]);
        }
        if let Some(experts) = self.experts {
            sizes.extend([
                ("experts.routed", experts.routed, 1..=1 << 12),
                ("experts.active", experts.active, 1..=experts.routed),
                ("experts.size", experts.size, 1..=1 << 19),
                ("experts.shared", experts.shared, 0..=1 << 8),
                ("experts.shared_size", experts.shared_size, 0..=1 << 19),
            ]);
        }
        match sizes.into_iter().find(|(_, value, range)| !range.contains(value)) {
            None => Ok(()),
            Some((field, value, range)) => {
                Err(format!("`{field}` must be {} to {}, found {value}", range.start(), range.end()))
            }
        }
    }
}

impl Entry for Model {
    const WHAT: &'static str = "model";
    const FILE: &'static str = "models.ron";

    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        self.is_of_this_world()?;
        let Attention { heads, kv_heads, head_dim, .. } = self.attention;
        if heads % kv_heads != 0 {
            return Err(format!("`attention.kv_heads` must divide the {heads} heads, found {kv_heads}"));
        }
        if let Some(Latent { nope_dim, rope_dim, .. }) = self.attention.latent
            && nope_dim + rope_dim != head_dim
        {
            return Err(format!(
                "`attention.head_dim` must be nope_dim + rope_dim = {}, found {head_dim}",
                nope_dim + rope_dim
            ));
        }
        if let Some(experts) = self.experts {
            if (experts.shared == 0) != (experts.shared_size == 0) {
                return Err("shared experts must have a `shared_size`, and only they".to_owned());
            }
            if experts.dense_layers >= self.layers {
                return Err(format!("`experts.dense_layers` must be below {}", self.layers));
            }
        }
        self.meets_expectation()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Precision};
    use super::*;

    #[test]
    fn no_size_within_bounds_overflows() {
        let mut model = Catalog::embedded().model("DeepSeek-V3").unwrap().clone();
        model.expected = None;
        (model.layers, model.hidden, model.vocab) = (MOST_LAYERS, 1 << 17, 1 << 24);
        (model.max_context, model.learned_positions) = (1 << 30, 1 << 30);
        (model.ffn.size, model.bias) = (1 << 19, Bias::All);
        let latent = Latent {
            query_rank: 1 << 17,
            kv_rank: 1 << 17,
            nope_dim: 1 << 11,
            rope_dim: 1 << 11,
            value_dim: 1 << 12,
        };
        model.attention.latent = Some(latent);
        (model.attention.heads, model.attention.kv_heads, model.attention.head_dim) =
            (1 << 12, 1 << 12, 1 << 12);
        model.experts = Some(Experts {
            routed: 1 << 12,
            active: 1 << 12,
            size: 1 << 19,
            shared: 1 << 8,
            shared_size: 1 << 19,
            dense_layers: 0,
        });
        assert_eq!(model.check(), Ok(()));
        assert!(model.parameters() > 1 << 61);
        model.attention.latent = None;
        assert!(model.parameters() > 1 << 61 && model.kv_bytes_per_token(Precision::Bf16) > 0.0);
        model.layers += 1;
        assert_eq!(model.check(), Err("`layers` must be 1 to 4096, found 4097".to_owned()));
    }
}
