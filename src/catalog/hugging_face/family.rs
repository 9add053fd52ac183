//! What the families of models leave to their code: the facts that go with a `model_type`.
//!
//! Source: the modelling and configuration classes of Hugging Face transformers.

use super::super::Bias;
use super::keys::{Fault, Keys};

/// What a `model_type` stands for.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, true or not")]
pub(super) struct Family {
    /// The `model_type`; empty when the configuration has none.
    name: String,
    /// Whether we know it.
    known: bool,
    /// Whether every token sees all others.
    pub(super) encoder: bool,
    /// Whether the feed-forward is gated; `None` when its activation has to tell.
    pub(super) gated: Option<bool>,
    /// Whether attention and feed-forward run side by side where the configuration does not say; `None` where they
    /// never do.
    pub(super) parallel: Option<bool>,
    /// Whether queries and keys are normalised where the configuration does not say.
    pub(super) query_norm: bool,
    /// Biases where the configuration does not speak of them.
    pub(super) bias: Bias,
    /// Whether `attention_bias` leaves the output projection without.
    pub(super) attention_bias_spares_output: bool,
    /// Whether the output head is the embedding matrix where the configuration does not say.
    pub(super) tied: bool,
    /// How tokens learn where they are.
    pub(super) positions: Positions,
    /// Which layers have a window where `layer_types` does not say.
    pub(super) windows: Windows,
    /// Whether the feed-forward is four times as wide as the model where no width is given.
    pub(super) four_times_wide: bool,
    /// Whether every layer with experts has one that all tokens visit, of the size of the others.
    pub(super) shares_one_expert: bool,
    /// Sizes that the family's configurations may leave out.
    defaults: &'static [(&'static str, u32)],
}

/// How tokens learn where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// By rotation or distance: nothing to store.
    Rotary,
    /// From a table with a row a position.
    Learned,
    /// From a table, and one of segments (BERT).
    WithSegments,
    /// From a table whose first two rows are for padding, and one of segments (`RoBERTa`).
    AfterPadding,
    /// From a table with two more rows than positions (OPT).
    TwoReserved,
}

/// Which layers have a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// None, whatever the configuration says.
    Never,
    /// All, if the configuration has a `sliding_window`.
    Every,
    /// All but the last of so many in a row.
    AllButEvery(u32),
    /// Those from `max_window_layers` on, if `use_sliding_window` is set (Qwen).
    FromLayer,
    /// Those with rotary positions, in chunks (Llama 4).
    Chunks,
    /// We do not know the family.
    Unknown,
}

const GEMMA_3: &[(&str, u32)] = &[
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("vocab_size", 262_208),
    ("max_position_embeddings", 131_072),
    ("sliding_window", 4096),
];

/// Kinds of model that are not transformers with softmax attention over one cache, by their `model_type`.
const REFUSED: [&str; 21] = [
    "mamba",
    "rwkv",
    "retnet",
    "jamba",
    "zamba",
    "bamba",
    "diffllama",
    "recurrent_gemma",
    "xlstm",
    "hyena",
    "lfm2",
    "nemotron_h",
    "falcon_h1",
    "qwen3_next",
    "kimi_linear",
    "minimax_text",
    "t5",
    "bart",
    "whisper",
    "mllama",
    "gemma3n",
];

impl Family {
    /// The family of a configuration.
    pub(super) fn of<'a>(text: &Keys<'a>, around: Option<&Keys<'a>>) -> Result<Self, Fault> {
        let mut named = None;
        for keys in std::iter::once(text).chain(around) {
            let name = keys.text("model_type")?.unwrap_or_default();
            if let Some(kind) = REFUSED.iter().find(|kind| name.starts_with(*kind)) {
                let why = format!("is `{name}`: a model of the kind of {kind} cannot be simulated");
                return Err(keys.fault("model_type", why));
            }
            named = named.or(Some(name).filter(|name| !name.is_empty()));
            if keys.flag("is_encoder_decoder")? == Some(true) {
                return Err(
                    keys.fault("is_encoder_decoder", "is true: one or the other can be simulated, not both")
                );
            }
        }
        let name = named.unwrap_or_default();
        let family = Self::named(name);
        if family.encoder && text.flag("is_decoder")? == Some(true) {
            return Err(text.fault("is_decoder", format!("is true: `{name}` can only be an encoder")));
        }
        if !family.known {
            let classes = text.texts("architectures")?.or(match around {
                Some(around) => around.texts("architectures")?,
                None => None,
            });
            let generates =
                |class: &&str| class.contains("ForCausalLM") || class.contains("ForConditionalGeneration");
            if !classes.iter().flatten().any(generates) {
                let why = format!("is `{name}`, which we do not know, and `architectures` names no decoder");
                return Err(text.fault("model_type", why));
            }
        }
        Ok(family)
    }

    /// What we know of a `model_type`.
    fn named(name: &str) -> Self {
        let llama = Self {
            name: name.to_owned(),
            known: true,
            encoder: false,
            gated: Some(true),
            parallel: None,
            query_norm: false,
            bias: Bias::Absent,
            attention_bias_spares_output: false,
            tied: false,
            positions: Positions::Rotary,
            windows: Windows::Never,
            four_times_wide: false,
            shares_one_expert: false,
            defaults: &[],
        };
        let gpt = Self {
            gated: Some(false),
            bias: Bias::All,
            four_times_wide: true,
            defaults: &[("max_position_embeddings", 2048)],
            ..llama.clone()
        };
        let bert = Self {
            encoder: true,
            tied: true,
            gated: Some(false),
            bias: Bias::All,
            positions: Positions::WithSegments,
            defaults: &[("type_vocab_size", 2)],
            ..llama.clone()
        };
        match name {
            "llama" | "deepseek_v2" | "deepseek_v3" | "kimi_k2" | "granite" | "granitemoe" | "olmo"
            | "smollm3" | "stablelm" => llama,
            "olmo2" | "olmo3" | "olmoe" | "exaone4" => Self { query_norm: true, ..llama },
            "mistral" | "mixtral" | "phi3" | "phimoe" | "ministral" => {
                Self { windows: Windows::Every, ..llama }
            }
            "qwen2" | "qwen2_moe" | "qwen2_vl" | "qwen2_vl_text" | "qwen2_5_vl" | "qwen2_5_vl_text" => {
                Self { bias: Bias::Qkv, windows: Windows::FromLayer, ..llama }
            }
            "qwen3" | "qwen3_moe" | "qwen3_vl_text" | "qwen3_vl_moe_text" => {
                Self { query_norm: true, windows: Windows::FromLayer, ..llama }
            }
            "glm" | "glm4" | "glm4_moe" => Self { attention_bias_spares_output: true, ..llama },
            "gemma" => Self { tied: true, ..llama },
            "cohere" => Self { tied: true, parallel: Some(true), ..llama },
            "gemma2" => Self { tied: true, windows: Windows::AllButEvery(2), ..llama },
            "gemma3_text" | "gemma3" => Self {
                tied: true,
                query_norm: true,
                windows: Windows::AllButEvery(6),
                defaults: GEMMA_3,
                ..llama
            },
            "cohere2" => Self { tied: true, parallel: Some(true), windows: Windows::AllButEvery(4), ..llama },
            "gpt_oss" => Self { bias: Bias::All, windows: Windows::AllButEvery(2), ..llama },
            "llama4_text" | "llama4" => Self { windows: Windows::Chunks, shares_one_expert: true, ..llama },
            "nemotron" => Self { gated: Some(false), ..llama },
            "starcoder2" => Self { tied: true, windows: Windows::Every, defaults: &[], ..gpt },
            "phi" | "gpt_neox" => Self { parallel: Some(true), ..gpt },
            "gptj" => Self { bias: Bias::Ffn, parallel: Some(true), ..gpt },
            "gpt2" => Self { tied: true, positions: Positions::Learned, defaults: &[], ..gpt },
            "opt" => Self { tied: true, positions: Positions::TwoReserved, ..gpt },
            "bloom" => Self { tied: true, ..gpt },
            "falcon" => Self { bias: Bias::Absent, tied: true, parallel: Some(true), ..gpt },
            "bert" | "dpr" => bert,
            "roberta" | "xlm-roberta" | "camembert" => Self { positions: Positions::AfterPadding, ..bert },
            _ => Self { known: false, gated: None, windows: Windows::Unknown, ..llama },
        }
    }

    /// The `model_type`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What was taken for granted about a family we do not know.
    pub(super) fn unknown_note(&self) -> Option<String> {
        let note = || {
            format!(
                "model_type `{}` is not known: taken for a decoder like Llama, with no biases but those its \
                 configuration names",
                self.name
            )
        };
        (!self.known).then(note)
    }

    /// The default of a size under any of these names.
    pub(super) fn default(&self, names: &[&str]) -> Option<u32> {
        self.defaults.iter().find(|(name, _)| names.contains(name)).map(|(_, size)| *size)
    }
}
