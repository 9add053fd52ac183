//! What engines add to the time of kernels, as they were measured to.
//!
//! | figure | what it is |
//! |---|---|
//! | step | host time that every step waits for: scheduling, input preparation, launch, sampling |
//! | sequence | the same per decoding sequence |
//! | layer | gaps between kernels where steps are not captured |
//! | reduce | what an all-reduce takes longer inside the engine than alone |
//! | prompt step | host time of a step with prompts |
//! | launch | least time of a layer in a step with prompts, which the host launches kernel by kernel, not as a graph |
//! | decode attention, products, prefill | how the engine's own kernels compare with those of the profile |
//! | fused casts | whether norms and activations write what products take in 8 bit, or kernels of their own cast it |
//! | front end | from the client to the engine and back, in times to first token only; no part of a step |
//! | token, written token | what its front end takes to hand on a token, and more for each its answer has; no part of a step |
//!
//! Scales are 1 where the engine runs the kernels that the profile was measured on, as vLLM does; at most one of them
//! was fitted along with the times, as more of them trade places with each other and do not carry over.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

/// A serving engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// vLLM.
    #[default]
    #[serde(rename = "vLLM", alias = "Vllm")]
    Vllm,
    /// TensorRT-LLM.
    #[serde(rename = "TensorRT", alias = "TensorRtLlm")]
    TensorRt,
    /// NVIDIA NIM of 2024, which is TensorRT-LLM.
    #[serde(rename = "NIM", alias = "Nim")]
    Nim,
    /// SGLang.
    #[serde(rename = "SGLang", alias = "Sglang")]
    Sglang,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 4] = [Self::Vllm, Self::TensorRt, Self::Nim, Self::Sglang];

    /// What users call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vLLM",
            Self::TensorRt => "TensorRT",
            Self::Nim => "NIM",
            Self::Sglang => "SGLang",
        }
    }

    /// Versions whose overheads were fitted: the first two numbers of each, the earliest first.
    pub const fn fitted(self) -> &'static [(u32, u32)] {
        match self {
            Self::Vllm => &[(0, 11), (0, 15), (0, 19)],
            Self::TensorRt | Self::Nim => &[(1, 0)],
            Self::Sglang => &[(0, 5)],
        }
    }

    /// The same in words: `0.11, 0.15`.
    fn fitted_in_words(self) -> String {
        let known: Vec<String> =
            self.fitted().iter().map(|(major, minor)| format!("{major}.{minor}")).collect();
        known.join(", ")
    }

    /// Whether anything is known of a version: of one with a greater first number nothing is.
    ///
    /// # Errors
    /// What is known, for the user.
    pub fn expect_version(self, (major, minor): (u32, u32)) -> Result<(), String> {
        let fitted = self.fitted();
        if fitted.iter().any(|(known, _)| major <= *known) {
            return Ok(());
        }
        Err(format!(
            "{self} {major}.{minor} is not known; overheads were fitted on {}; leave `version` out for the latest",
            self.fitted_in_words()
        ))
    }

    /// Whether prompts and decoding sequences of a step attend in one launch, where the device's kernel allows it.
    pub const fn attends_in_one_launch(self) -> bool {
        matches!(self, Self::Vllm)
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Adds to the words of a field on which versions overheads were fitted.
pub(super) fn list_fitted(schema: &mut Schema) {
    let each = Engine::ALL.map(|engine| format!("{engine} {}", engine.fitted_in_words()));
    let words = schema.get("description").and_then(|words| words.as_str()).unwrap_or_default();
    let words = format!("{words} Overheads were fitted on {}.", each.join("; "));
    schema.insert("description".to_owned(), words.into());
}

/// What one version of an engine adds, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineRecord {
    /// The engine.
    pub engine: Engine,
    /// Its version, from which on the record holds.
    pub version: (u32, u32),
    /// Whether it holds for products in 8 bit, in 16, or for both.
    pub eight_bit: Option<bool>,
    /// To every step (s).
    pub step: f64,
    /// To every step per decoding sequence (s), on one device.
    pub sequence: f64,
    /// The same on p > 1 devices: so much times (p − 1)^1.4 (s); as on one where zero.
    pub sequence_by_ranks: f64,
    /// Per layer (s).
    pub layer: f64,
    /// Per all-reduce (s).
    pub reduce: f64,
    /// To every step with prompts (s).
    pub prompt_step: f64,
    /// Least time of a layer in a step with prompts (s).
    pub launch: f64,
    /// Decode attention, times the profile's.
    pub decode_attention: f64,
    /// Products of decode steps and the LM head, times the profile's.
    pub products: f64,
    /// Products and elementwise kernels of steps with prompts, times the profile's.
    pub prefill: f64,
    /// Whether norms and activations cast what they hand to products below 16 bit themselves.
    pub fused_casts: bool,
    /// In front of the engine, in times to first token only (s).
    pub front_end: f64,
    /// Of the front end for a token that it hands on (s), and of that for each token that its answer has so far: what a
    /// client's `front_end` takes.
    pub stream: [f64; 2],
    /// What it was fitted on.
    pub from: &'static str,
}

const MS: f64 = 1e-3;
const US: f64 = 1e-6;

const NONE: EngineRecord = EngineRecord {
    engine: Engine::Vllm,
    version: (0, 0),
    eight_bit: None,
    step: 0.0,
    sequence: 0.0,
    sequence_by_ranks: 0.0,
    layer: 0.0,
    reduce: 0.0,
    prompt_step: 0.0,
    launch: 0.0,
    decode_attention: 1.0,
    products: 1.0,
    prefill: 1.0,
    fused_casts: true,
    front_end: 0.0,
    stream: [0.0; 2],
    from: "",
};

/// Later versions before earlier ones of the same engine.
const RECORDS: [EngineRecord; 10] = [
    EngineRecord {
        version: (0, 20),
        step: 0.35 * MS,
        sequence: 10.0 * US,
        reduce: 0.9 * US,
        from: "both vLLM 0.15 on H100 (15 stages, E2E +0.7 %) and 0.19 on RTX PRO 6000 (300 requests, E2E −0.6 %): the one \
               has batches of 4 to 25, the other some hundred, so that only together they tell steps from sequences",
        ..NONE
    },
    EngineRecord {
        version: (0, 19),
        step: 0.66 * MS,
        sequence: 5.2 * US,
        reduce: 0.9 * US,
        from: "300 requests of Llama-3.1-8B on one RTX PRO 6000, vLLM 0.19 (all-reduce from 0.15)",
        ..NONE
    },
    EngineRecord {
        version: (0, 14),
        step: 0.50 * MS,
        sequence: 8.2 * US,
        reduce: 0.9 * US,
        front_end: 8.0 * MS,
        from: "15 stages of 5 dense models on 1 to 4 H100, vLLM 0.15, end-to-end latencies",
        ..NONE
    },
    EngineRecord {
        version: (0, 0),
        step: 0.60 * MS,
        sequence: 25.0 * US,
        reduce: 0.9 * US,
        front_end: 48.0 * MS,
        from: "Qwen3-8B on one H100, vLLM 0.11 without asynchronous scheduling, batches of 8 at most: weak",
        ..NONE
    },
    EngineRecord {
        engine: Engine::TensorRt,
        eight_bit: Some(false),
        step: 0.23 * MS,
        sequence: 0.2 * US,
        sequence_by_ranks: 1.7 * US,
        prompt_step: 6.1 * MS,
        prefill: 0.95,
        front_end: 26.0 * MS,
        from: "every second closed loop of Llama-3.1-8B and Qwen3-32B on 1 to 8 H100, TensorRT-LLM 1.0",
        ..NONE
    },
    EngineRecord {
        engine: Engine::TensorRt,
        eight_bit: Some(true),
        step: 0.23 * MS,
        sequence: 0.2 * US,
        sequence_by_ranks: 1.7 * US,
        prompt_step: 6.1 * MS,
        fused_casts: false,
        decode_attention: 1.3,
        front_end: 26.0 * MS,
        from: "every second closed loop of Llama-3.1-8B and Qwen3-32B on 1 to 8 H100, TensorRT-LLM 1.0: how much slower \
               it reads 8-bit KV than the profile's kernel shows where outputs are long beside where they are short",
        ..NONE
    },
    EngineRecord {
        engine: Engine::Nim,
        eight_bit: Some(false),
        step: 1.2 * MS,
        sequence: 28.0 * US,
        decode_attention: 1.82,
        prefill: 0.95,
        front_end: 7.0 * MS,
        from: "248 closed loops of Llama-3-8B on 1 and 2 A100 and H100, NIM of 2024",
        ..NONE
    },
    EngineRecord {
        engine: Engine::Nim,
        eight_bit: Some(true),
        step: 1.06 * MS,
        sequence: 11.0 * US,
        decode_attention: 3.1,
        prefill: 0.75,
        front_end: 7.0 * MS,
        from: "130 closed loops of Llama-3-8B in fp8 on 1 and 2 H100, NIM of 2024; 0.19 ms of it and a tenth of its prefill \
               were casts before they counted as fused",
        ..NONE
    },
    EngineRecord { eight_bit: Some(false), prefill: 1.0, from: SGLANG_16_BIT, ..SGLANG },
    EngineRecord { eight_bit: Some(true), ..SGLANG },
];

const SGLANG: EngineRecord = EngineRecord {
    engine: Engine::Sglang,
    step: 0.1 * MS,
    sequence: 16.0 * US,
    launch: 0.5 * MS,
    prefill: 0.9,
    front_end: 6.0 * MS,
    stream: [36.0 * US, 0.029 * US],
    from: "46 closed loops of Llama-3.1-8B in fp8 by blocks on 1 to 8 H200 under high load, SGLang 0.5.6; its prefill beside \
           vLLM's products by blocks, which are timed with the cast of what they take; the front end without load from \
           Qwen3-8B on one H100, SGLang 0.5.3",
    ..NONE
};
const SGLANG_16_BIT: &str = "as in 8 bit, with the products of the profile, which are the same kernels";

impl EngineRecord {
    /// The record of an engine's version, the latest if none is asked for, with products in 8 bit or in 16.
    pub fn of(engine: Engine, version: Option<(u32, u32)>, eight_bit: bool) -> Self {
        let asked = version.unwrap_or((u32::MAX, 0));
        let fits = |record: &&Self| {
            record.engine == engine
                && record.version <= asked
                && record.eight_bit.is_none_or(|only| only == eight_bit)
        };
        // Every engine has a record from version 0 on, for both.
        RECORDS.iter().find(fits).copied().unwrap_or(NONE)
    }

    /// Of which versions it is, in words.
    pub fn holds(&self) -> String {
        let earlier = RECORDS.iter().rev().filter(|other| other.engine == self.engine);
        let next = earlier.filter(|other| other.version > self.version).map(|other| other.version).next();
        let name = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        match (self.version, next) {
            ((0, 0), None) => "of all versions".to_owned(),
            ((0, 0), Some(next)) => format!("of versions before {}", name(next)),
            (from, None) => format!("of version {} on", name(from)),
            (from, Some(next)) => format!("of versions from {} to before {}", name(from), name(next)),
        }
    }

    /// Host time per decoding sequence on so many devices (s).
    pub fn sequence_on(&self, ranks: u32) -> f64 {
        if ranks > 1 && self.sequence_by_ranks > 0.0 {
            self.sequence_by_ranks * libm::pow(f64::from(ranks - 1), 1.4)
        } else {
            self.sequence
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_version_that_is_to_come_nothing_is_known() {
        let unknown = Engine::Vllm.expect_version((9, 9)).unwrap_err();
        let known = "overheads were fitted on 0.11, 0.15, 0.19; leave `version` out for the latest";
        assert_eq!(unknown, format!("vLLM 9.9 is not known; {known}"));
        assert!(
            Engine::Vllm.expect_version((0, 30)).is_ok() && Engine::Sglang.expect_version((1, 0)).is_err()
        );
        assert!(Engine::TensorRt.expect_version((0, 9)).is_ok());
    }

    #[test]
    fn versions_have_the_record_from_which_on_it_holds() {
        let step = |version| EngineRecord::of(Engine::Vllm, version, false).step;
        assert_eq!(
            [Some((0, 11)), Some((0, 15)), Some((0, 19)), None].map(step),
            [0.6e-3, 0.5e-3, 0.66e-3, 0.35e-3]
        );
        for engine in [Engine::Vllm, Engine::TensorRt, Engine::Nim, Engine::Sglang] {
            for eight_bit in [false, true] {
                assert_ne!(EngineRecord::of(engine, Some((0, 1)), eight_bit), NONE);
            }
        }
        let holds = |version| EngineRecord::of(Engine::Vllm, version, false).holds();
        assert_eq!(
            [Some((0, 11)), Some((0, 16)), Some((0, 30))].map(holds),
            ["of versions before 0.14", "of versions from 0.14 to before 0.19", "of version 0.20 on"]
        );
        assert_eq!(EngineRecord::of(Engine::Nim, None, true).holds(), "of all versions");
        let trt = EngineRecord::of(Engine::TensorRt, None, true);
        assert!(trt.sequence_on(1) < trt.sequence_on(2) && trt.sequence_on(2) < trt.sequence_on(8));
    }
}
