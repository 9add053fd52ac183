//! Runtime profiles: what the operators of a model cost on one device, as measured.
//!
//! A profile is a small text made by `mist calibrate` from tables of measurements. Every operator has the
//! same form, a bound by physics and a residual that was fitted:
//!
//! ```text
//! t = max( R , (t0 + R)·exp(r) )      R  FLOPs over peak or bytes over bandwidth, the larger (s)
//!                                     t0 what an operator takes at least (s)
//!                                     r  on a small grid, in logarithms of the operator's sizes
//! ```
//!
//! so that no time is below physics, and beyond the grid, where `r` stays as it is at the edge, times grow
//! as work does. When a model is loaded, each of its operators becomes a dense curve: monotone in
//! tokens and in context by construction, and read in some ten nanoseconds.
//!
//! | file | operator |
//! |---|---|
//! | `gemm` | products with weights |
//! | `attention` | prompts, chunks behind a prefix, decoding, both in one launch |
//! | `moe` | layers of experts |
//! | `collectives` | all-reduce and its like |
//! | `elementwise` | norms, activations and the like: a floor and a bandwidth |
//!
//! A profile answers for the device, the number formats and the numbers of devices that it was measured
//! with, and refuses others.

mod attention;
mod collectives;
mod curve;
mod device;
mod elementwise;
mod gemm;
pub(crate) mod grid;
mod kinds;
pub(crate) mod kriging;
mod mixed;
mod moe;
#[cfg(test)]
mod tests;
mod tiles;

use ron::error::SpannedError;
use ron::extensions::Extensions;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use attention::{AttentionTable, DecodeCurve, Phase, PrefillCurve, PrefixRule};
pub use collectives::{CollectiveCurve, CollectiveTable, Library, Operation};
pub use device::Silicon;
pub use elementwise::Elementwise;
pub(crate) use gemm::Matrix;
pub use gemm::{GemmCurve, GemmTable};
pub use grid::Residuals;
pub use kinds::{AttentionShape, WeightKind};
pub use mixed::{MixedCurve, MixedRule};
pub(crate) use moe::PRIOR as MOE_PRIOR;
pub use moe::{MoeCurve, MoeForm, MoeShape, MoeTable, Routing};
pub(crate) use tiles::Load as MoeLoad;
pub use tiles::MoeKernel;

use crate::catalog::Precision;

/// The version of the form of profiles that this program writes and reads.
pub const FORM: u32 = 1;

/// What the operators of a model cost on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The version of this form.
    pub form: u32,
    /// The device, by its name in the catalog.
    pub gpu: String,
    /// What bounds it.
    pub silicon: Silicon,
    /// Where the measurements come from.
    pub source: String,
    /// Their licence.
    pub licence: String,
    /// The command that made the profile of them.
    pub command: String,
    /// Products with weights.
    pub gemm: Vec<GemmTable>,
    /// Attention.
    pub attention: Vec<AttentionTable>,
    /// Chunks behind a prefix.
    pub prefix: PrefixRule,
    /// Prompts and decoding sequences in one step.
    pub mixed: MixedRule,
    /// Layers of experts.
    pub moe: Vec<MoeTable>,
    /// Collectives.
    pub collectives: Vec<CollectiveTable>,
    /// Norms, activations and the like.
    pub elementwise: Elementwise,
}

/// Why a profile cannot be read, or does not answer.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The text is no profile.
    #[error(
        "this is not a profile that `mist calibrate` writes (line {}, column {})",
        .0.span.start.line, .0.span.start.col
    )]
    Malformed(Box<SpannedError>),
    /// The text has a form this program does not know.
    #[error("the profile has form {found}; this program reads form {FORM}: calibrate it anew")]
    Form {
        /// Its form.
        found: u32,
    },
    /// A table does not hold what it must.
    #[error("{table}: {problem}")]
    Table {
        /// Which table.
        table: String,
        /// What is wrong.
        problem: String,
    },
    /// It is of another device.
    #[error("the profile is of {gpu} and does not say what anything costs on {asked}")]
    OtherGpu {
        /// Its device.
        gpu: String,
        /// The device asked for.
        asked: String,
    },
    /// Nothing of the kind was measured.
    #[error("the profile of {gpu} has no {what}: it has {}", if known.is_empty() { "none" } else { known.as_str() })]
    NotMeasured {
        /// Its device.
        gpu: String,
        /// What was asked for.
        what: String,
        /// What there is.
        known: String,
    },
}

/// The profiles that ship, by the name of their device.
const EMBEDDED: [(&str, &str); 6] = [
    ("A100-80GB-SXM4", include_str!("../../../assets/profiles/A100-80GB-SXM4.ron")),
    ("H100-SXM5-80GB", include_str!("../../../assets/profiles/H100-SXM5-80GB.ron")),
    ("H200-SXM-141GB", include_str!("../../../assets/profiles/H200-SXM-141GB.ron")),
    ("B200-SXM", include_str!("../../../assets/profiles/B200-SXM.ron")),
    ("L40S", include_str!("../../../assets/profiles/L40S.ron")),
    ("RTX-PRO-6000-Server", include_str!("../../../assets/profiles/RTX-PRO-6000-Server.ron")),
];

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// The text is not one, or its tables are not whole.
    pub fn read(text: &str) -> Result<Self, ProfileError> {
        let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
        let profile: Self =
            options.from_str(text).map_err(|error| ProfileError::Malformed(Box::new(error)))?;
        if profile.form != FORM {
            return Err(ProfileError::Form { found: profile.form });
        }
        profile.check()?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), ProfileError> {
        let gemm = self.gemm.iter().map(|table| (format!("gemm of {}", table.kind), table.check()));
        let attention = self.attention.iter().map(|table| {
            (format!("{:?} attention of head size {}", table.phase, table.head_dim), table.check())
        });
        let moe = self.moe.iter().map(|table| (format!("experts of {}", table.kind), table.check()));
        let collectives = self.collectives.iter().map(|table| {
            (
                format!("{:?} of {} devices by {:?}", table.operation, table.ranks, table.library),
                table.check(),
            )
        });
        let rules = [
            ("silicon", self.silicon.check()),
            ("prefix", self.prefix.check()),
            ("mixed", self.mixed.check()),
            ("elementwise", self.elementwise.check()),
        ];
        for (rule, found) in rules {
            found.map_err(|problem| ProfileError::Table { table: rule.to_owned(), problem })?;
        }
        for (table, found) in gemm.chain(attention).chain(moe).chain(collectives) {
            found.map_err(|problem| ProfileError::Table { table, problem })?;
        }
        Ok(())
    }

    /// The text of the profile.
    pub fn write(&self) -> String {
        let style = ron::ser::PrettyConfig::new().depth_limit(4).new_line("\n").compact_arrays(true);
        let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
        let text = options
            .to_string_pretty(self, style)
            .expect("a profile holds only numbers, strings and plain enums, which RON can write");
        format!(
            "// What operators cost on {}, fitted to measurements.\n// Source: {}\n// Licence of the measurements: {}\n// Written by `{}`\n{text}\n",
            self.gpu, self.source, self.licence, self.command
        )
    }

    /// The text of the profile of a device that ships with the program.
    pub fn embedded(gpu: &str) -> Option<&'static str> {
        EMBEDDED.iter().find(|(name, _)| *name == gpu).map(|(_, text)| *text)
    }

    /// The devices whose profiles ship with the program.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|(name, _)| *name)
    }

    /// Whether the profile is of this device.
    ///
    /// # Errors
    /// It is of another.
    pub fn expect_gpu(&self, asked: &str) -> Result<(), ProfileError> {
        if self.gpu == asked {
            Ok(())
        } else {
            Err(ProfileError::OtherGpu { gpu: self.gpu.clone(), asked: asked.to_owned() })
        }
    }

    /// The curve of an `n` × `k` weight matrix: `n` outputs of `k` inputs.
    ///
    /// # Errors
    /// Weights of this kind were not measured.
    pub fn gemm(&self, n: u32, k: u32, kind: WeightKind) -> Result<GemmCurve, ProfileError> {
        let table = self.gemm.iter().find(|table| table.kind == kind).ok_or_else(|| {
            self.not_measured(
                format!("products with {kind} weights"),
                self.gemm.iter().map(|table| table.kind.to_string()),
            )
        })?;
        Ok(table.curve(&self.silicon, f64::from(n), f64::from(k)))
    }

    /// The curve of attention in prompts.
    ///
    /// # Errors
    /// It was not measured with this format of the KV cache.
    pub fn prefill_attention(&self, shape: &AttentionShape) -> Result<PrefillCurve, ProfileError> {
        let table = self.attention_table(Phase::Prefill, shape)?;
        Ok(PrefillCurve::new(&self.silicon, table, &self.prefix, shape))
    }

    /// The curve of attention of single tokens.
    ///
    /// # Errors
    /// It was not measured with this format of the KV cache.
    pub fn decode_attention(&self, shape: &AttentionShape) -> Result<DecodeCurve, ProfileError> {
        let table = self.attention_table(Phase::Decode, shape)?;
        Ok(DecodeCurve::new(&self.silicon, table, shape))
    }

    /// The curves of attention in steps of prompts, of single tokens and of both.
    ///
    /// # Errors
    /// It was not measured with this format of the KV cache.
    pub fn attention(&self, shape: &AttentionShape) -> Result<MixedCurve, ProfileError> {
        Ok(MixedCurve::new(self.prefill_attention(shape)?, self.decode_attention(shape)?, &self.mixed))
    }

    /// The curve of an all-reduce, by whichever library is faster.
    ///
    /// # Errors
    /// It was not measured with so many devices.
    pub fn all_reduce(&self, ranks: u32) -> Result<CollectiveCurve, ProfileError> {
        self.collective(Operation::AllReduce, ranks)
    }

    /// The curve of a collective as a graph of kernels does it, by whichever library is faster.
    ///
    /// # Errors
    /// It was not measured with so many devices.
    pub fn collective(&self, operation: Operation, ranks: u32) -> Result<CollectiveCurve, ProfileError> {
        let fits =
            |table: &&CollectiveTable| table.operation == operation && table.library != Library::CustomEager;
        let tables: Vec<&CollectiveTable> =
            self.collectives.iter().filter(fits).filter(|table| table.ranks == ranks).collect();
        if tables.is_empty() {
            let mut known: Vec<u32> = self.collectives.iter().filter(fits).map(|table| table.ranks).collect();
            known.sort_unstable();
            known.dedup();
            let what = format!("{operation:?} between {ranks} devices");
            return Err(self.not_measured(what, known.iter().map(ToString::to_string)));
        }
        Ok(CollectiveCurve::fastest(&tables))
    }

    /// The curve of a layer of experts; `dispatched` where a device is sent the rows of its experts alone, not all.
    ///
    /// # Errors
    /// Experts of this kind were not measured.
    pub fn moe(
        &self,
        shape: &MoeShape,
        kind: WeightKind,
        routing: Routing,
        dispatched: bool,
    ) -> Result<MoeCurve, ProfileError> {
        let of_kind = || self.moe.iter().filter(|table| table.kind == kind);
        // Which kernel an engine takes depends on the model's format: that of the layers most like these. Not every device
        // was measured under every routing.
        let nearest = |routing: Option<Routing>| {
            let tables = of_kind().filter(|table| routing.is_none_or(|routing| table.routing == routing));
            tables.min_by(|a, b| a.distance(shape).total_cmp(&b.distance(shape)))
        };
        let table = nearest(Some(routing)).or_else(|| nearest(None));
        let table = table.ok_or_else(|| {
            let mut known: Vec<&str> = self.moe.iter().map(|table| table.kind.name()).collect();
            known.dedup();
            self.not_measured(format!("experts with {kind} weights"), known.into_iter().map(str::to_owned))
        })?;
        Ok(table.curve(&self.silicon, shape, dispatched))
    }

    /// The measurements for `shape`: of its window if there are any, else of none; of its head size, else of
    /// the next larger, else of the largest.
    fn attention_table(&self, phase: Phase, shape: &AttentionShape) -> Result<&AttentionTable, ProfileError> {
        let kv_cache = match shape.kv_cache {
            Precision::Fp16 => Precision::Bf16,
            other => other,
        };
        let of_phase = || self.attention.iter().filter(|table| table.phase == phase);
        let fits = |window: Option<u32>| {
            of_phase().filter(move |table| table.kv_cache == kv_cache && table.window == window)
        };
        if let Some(exact) = fits(shape.window).find(|table| table.head_dim == shape.head_dim) {
            return Ok(exact);
        }
        let larger = fits(None).filter(|table| table.head_dim >= shape.head_dim);
        let next = larger.min_by_key(|table| table.head_dim);
        next.or_else(|| fits(None).max_by_key(|table| table.head_dim)).ok_or_else(|| {
            let mut known: Vec<String> = of_phase().map(|table| table.kv_cache.to_string()).collect();
            known.sort_unstable();
            known.dedup();
            self.not_measured(format!("attention with a KV cache of {kv_cache}"), known.into_iter())
        })
    }

    fn not_measured(&self, what: String, known: impl Iterator<Item = String>) -> ProfileError {
        let known: Vec<String> = known.collect();
        ProfileError::NotMeasured { gpu: self.gpu.clone(), what, known: known.join(", ") }
    }
}
