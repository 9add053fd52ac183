//! A Hugging Face `config.json` as a model.
//!
//! ```text
//!  config.json ─▶ keys ─▶ family (by model_type) ─▶ attention ┐
//!                   │                               experts   ├─▶ Model, checked like a catalog entry
//!                   └─▶ keys never read: `ignored`  weights   ┘
//! ```
//!
//! **What it reads.** Shapes under any of the names in use (`num_hidden_layers`, `n_layer`, …), the language
//! model of a multimodal one (`text_config`), experts under their three names, latent attention, windows
//! (`layer_types`, `sliding_window`, `attention_chunk_size`), the number format of the weights. What a
//! configuration leaves to the code of its family, such as biases and whether the feed-forward is gated,
//! comes from a table of families; for a family not in it, and wherever else it had to guess, the model's
//! `note` says what was taken for granted.
//!
//! **What it refuses.** Attention it does not know: linear, state-space and recurrent layers, sparse
//! selection, shared or differing KV heads; encoder-decoders; values that make no sense. The error names
//! the key.
//!
//! **What it leaves out.** Nothing is downloaded. Vision and audio encoders and multi-token prediction are
//! not part of the model; positions, scaling of rotary frequencies and other numbers that cost no time are
//! among the ignored keys.
//!
//! Source: the configuration classes of Hugging Face transformers, and configurations published on the hub.

mod attention;
mod experts;
mod family;
mod keys;
mod stored;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

use self::family::{Family, Positions};
use self::keys::{Fault, Keys};
pub use self::stored::StoredWeights;
use super::model::MOST_LAYERS;
use super::text::Entry;
use super::{Bias, Ffn, Model, ModelKind, Verified};
use crate::text_file;

/// What a Hugging Face `config.json` comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct HfConfig {
    /// The model, named after its file. Its `note` says what the configuration left open.
    pub model: Model,
    /// The number format of the published weights; `None` when the configuration does not say.
    pub stored: Option<StoredWeights>,
    /// The keys that played no part, in the order of the alphabet, nested ones as `text_config.use_cache`.
    pub ignored: Vec<String>,
    /// What was taken for granted, and keys that seem misspelt; the model's `note` has the former too.
    pub guesses: Vec<String>,
}

/// Why a Hugging Face `config.json` is not a model we can simulate.
#[derive(Debug, Error)]
pub enum HfConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not JSON, or its keys do not go together.
    #[error("{}: {problem}", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A key is missing, or does not hold what it must, or stands for something we do not model.
    #[error("{}: `{key}` {problem}", .file.display())]
    Unsuitable {
        /// The file.
        file: PathBuf,
        /// The path of the key, such as `text_config.hidden_size`.
        key: String,
        /// What is wrong with it, to be read after the key.
        problem: String,
    },
}

impl HfConfig {
    /// Reads the configuration in `file`.
    ///
    /// # Errors
    /// The file cannot be read, or is not the configuration of a model we know how to simulate.
    pub fn read(file: &Path) -> Result<Self, HfConfigError> {
        let text = text_file::read(file)
            .map_err(|source| HfConfigError::Unreadable { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// The model that `text`, the content of `file`, describes.
    ///
    /// # Errors
    /// It is not the configuration of a model we know how to simulate.
    pub fn parse(text: &str, file: &Path) -> Result<Self, HfConfigError> {
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            HfConfigError::Malformed { file: file.to_owned(), problem: error.to_string() }
        })?;
        Self::of(&object, &file.to_string_lossy()).map_err(|Fault { key, problem }| {
            let file = file.to_owned();
            if key.is_empty() {
                HfConfigError::Malformed { file, problem }
            } else {
                HfConfigError::Unsuitable { file, key, problem }
            }
        })
    }

    fn of(object: &Map<String, Value>, name: &str) -> Result<Self, Fault> {
        let config = Config::new(object)?;
        let (stored, mut ignored) = stored::weights(&config)?;
        let mut guesses: Vec<String> = config.family.unknown_note().into_iter().collect();
        let mut model = config.model(name, &mut guesses)?;
        let published = stored.as_ref().map(ToString::to_string);
        model.note = guesses.iter().cloned().chain(published).collect::<Vec<_>>().join("; ");
        ignored.extend(config.ignored());
        ignored.sort();
        guesses.extend(config.misspelt());
        Ok(Self { model, stored, ignored, guesses })
    }
}

/// A configuration under examination.
struct Config<'a> {
    /// The keys of the language model.
    text: Keys<'a>,
    /// Those around it, in a multimodal configuration.
    around: Option<Keys<'a>>,
    family: Family,
}

impl<'a> Config<'a> {
    fn new(object: &'a Map<String, Value>) -> Result<Self, Fault> {
        let top = Keys::new(object);
        let mut nested = None;
        for key in ["text_config", "llm_config", "language_config"] {
            nested = match nested {
                None => top.object(key)?,
                found => found,
            };
        }
        let (text, around) = match nested {
            Some(text) => (text, Some(top)),
            None => (top, None),
        };
        let family = Family::of(&text, around.as_ref())?;
        attention::refuse_unknown(&text)?;
        Ok(Self { text, around, family })
    }

    /// What `get` finds among the keys of the language model, or else around it.
    fn anywhere<T>(&self, get: impl Fn(&Keys<'a>) -> Result<Option<T>, Fault>) -> Result<Option<T>, Fault> {
        match (get(&self.text)?, &self.around) {
            (None, Some(around)) => get(around),
            (found, _) => Ok(found),
        }
    }

    /// A size under any of these names, or the default of its family.
    fn size(&self, names: &[&str]) -> Result<u32, Fault> {
        match self.text.size(names)? {
            Some(size) => Ok(size),
            None => self.family.default(names).ok_or_else(|| self.text.fault(names[0], "is missing")),
        }
    }

    fn model(&self, name: &str, guesses: &mut Vec<String>) -> Result<Model, Fault> {
        let layers = self.size(&["num_hidden_layers", "n_layer", "n_layers"])?;
        if layers > MOST_LAYERS {
            return Err(self
                .text
                .fault("num_hidden_layers", format!("must be 1 to {MOST_LAYERS}, found {layers}")));
        }
        let hidden = self.size(&["hidden_size", "n_embd", "n_embed", "d_model"])?;
        let rows = self.size(&["max_position_embeddings", "n_positions", "seq_length"])?;
        let encoder = self.family.encoder;
        let (max_context, learned_positions) = match self.family.positions {
            Positions::Rotary => (rows, 0),
            Positions::Learned => (rows, rows),
            Positions::WithSegments => (rows, rows.saturating_add(self.size(&["type_vocab_size"])?)),
            Positions::AfterPadding => {
                (rows.saturating_sub(2), rows.saturating_add(self.size(&["type_vocab_size"])?))
            }
            Positions::TwoReserved => (rows, rows.saturating_add(2)),
        };
        let experts = experts::experts(self, layers)?;
        let model = Model {
            name: name.to_owned(),
            hf_id: None,
            kind: self.kind()?,
            layers,
            hidden,
            vocab: self.size(&["vocab_size"])?,
            max_context,
            tied_embeddings: self
                .anywhere(|keys| keys.flag("tie_word_embeddings"))?
                .unwrap_or(self.family.tied)
                || encoder,
            learned_positions,
            bidirectional: encoder,
            parallel: self.parallel()?,
            bias: self.bias()?,
            attention: attention::attention(self, layers, hidden, max_context, guesses)?,
            ffn: self.feed_forward(hidden, guesses)?,
            experts,
            expected: None,
            verified: Verified::Derived,
            source: format!("the Hugging Face configuration {name}"),
            note: String::new(),
        };
        model.check().map_err(|problem| Fault {
            key: String::new(),
            problem: format!("these keys make no model: {problem}"),
        })?;
        Ok(model)
    }

    /// What the model is for, by the class that loads it.
    fn kind(&self) -> Result<ModelKind, Fault> {
        let classes = self.anywhere(|keys| keys.texts("architectures"))?.unwrap_or_default();
        let any = |part: &str| classes.iter().any(|class| class.contains(part));
        Ok(match () {
            () if any("Reward") => ModelKind::Reward,
            () if any("ForSequenceClassification") => ModelKind::Reranker,
            () if self.family.encoder => ModelKind::Embedding,
            () if classes.iter().any(|class| class.ends_with("Model") && !class.ends_with("LMHeadModel")) => {
                ModelKind::Embedding
            }
            () => ModelKind::Decoder,
        })
    }

    /// Whether attention and feed-forward run side by side, where the configuration speaks of it, or as the family has
    /// it.
    fn parallel(&self) -> Result<bool, Fault> {
        let Some(usual) = self.family.parallel else { return Ok(false) };
        for key in ["new_decoder_architecture", "parallel_attn", "use_parallel_residual"] {
            if let Some(given) =
                self.text.flag(key)?.filter(|given| *given || key != "new_decoder_architecture")
            {
                return Ok(given);
            }
        }
        Ok(usual)
    }

    /// Biases, where the configuration speaks of them, and those of the family where it does not.
    fn bias(&self) -> Result<Bias, Fault> {
        let keys = &self.text;
        let (mut inward, mut outward, mut ffn) = match self.family.bias {
            Bias::Absent => (false, false, false),
            Bias::Qkv => (true, false, false),
            Bias::Qkvo => (true, true, false),
            Bias::Ffn => (false, false, true),
            Bias::All => (true, true, true),
        };
        if let Some(everywhere) = keys.flag("use_bias")?.or(keys.flag("bias")?) {
            (inward, outward, ffn) = (everywhere, everywhere, everywhere);
        }
        if let Some(attention) = keys.flag("attention_bias")? {
            (inward, outward) = (attention, attention && !self.family.attention_bias_spares_output);
        }
        for key in ["qkv_bias", "use_qkv_bias"] {
            inward = keys.flag(key)?.unwrap_or(inward);
        }
        ffn = keys.flag("mlp_bias")?.unwrap_or(ffn);
        Ok(match (inward, outward, ffn) {
            (false, false, false) => Bias::Absent,
            (true, false, false) => Bias::Qkv,
            (_, true, false) => Bias::Qkvo,
            (false, false, true) => Bias::Ffn,
            (_, _, true) => Bias::All, // short of an output bias at most: `hidden` numbers a layer
        })
    }

    /// The feed-forward block of the layers without experts.
    fn feed_forward(&self, hidden: u32, notes: &mut Vec<String>) -> Result<Ffn, Fault> {
        let keys = &self.text;
        let size = match keys.size(&["intermediate_size_mlp"])? {
            None => keys.size(&["intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"])?,
            dense => dense,
        };
        let size = match size {
            Some(size) => size,
            None if self.family.four_times_wide => hidden.saturating_mul(4),
            None => self.size(&["intermediate_size"])?,
        };
        let mut activation = None;
        for key in ["hidden_act", "hidden_activation", "activation_function", "activation"] {
            activation = activation.or(keys.text(key)?);
        }
        let gated = match (self.family.gated, activation) {
            (Some(gated), _) => gated,
            (None, Some(activation)) => {
                let gated = ["silu", "swish", "swiglu", "geglu"].contains(&activation);
                let is = if gated { "taken to be" } else { "taken not to be" };
                notes.push(format!("with `{activation}` the feed-forward is {is} gated"));
                gated
            }
            (None, None) => return Err(keys.fault("hidden_act", "is missing")),
        };
        Ok(Ffn { size, gated })
    }

    fn misspelt(&self) -> impl Iterator<Item = String> {
        self.text.misspelt().chain(self.around.iter().flat_map(Keys::misspelt))
    }

    fn ignored(&self) -> impl Iterator<Item = String> {
        self.text.unread().chain(self.around.iter().flat_map(Keys::unread))
    }
}
