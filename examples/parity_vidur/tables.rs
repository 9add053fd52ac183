//! The reference's runtime model, from the tables of its predictor.
//!
//! ```text
//! layer = (projections + rope + norms + activation + add)(n8) + save(n) + A_d + A_p + 2·AR    [ms]
//! AR    = all_reduce(n8) + launch + skew·p^1.25                      with p > 1 accelerators
//! A_d   = T_d[B, ⌈mean context⌉64] · (1 + overhead if B > 1)
//! A_p   = T_p[Σ ⌈context⌉64, round(√Σ c²)²] · (1 + overhead if there are several)
//! ```
//! n tokens of the batch, n8 rounded up to a multiple of 8, B requests that decode, c tokens of a prompt in
//! this batch. Contexts are those before the batch, but of a request that decodes with its new token.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flate2::read::GzDecoder;
use mist::runtime::{Bound, StepCost, StepModel, StepShape};
use serde::Deserialize;

/// What the predictor says of one model on one kind of accelerator.
pub struct Tables {
    meta: Meta,
    /// By tokens of the batch: all that depends on them rounded up, and what does on their exact number (ms).
    per_token: HashMap<u64, [f64; 2]>,
    decode: HashMap<(u64, u64), f64>,
    prefill: HashMap<(u64, u64), f64>,
    outside: AtomicU64,
}

/// `meta.json`.
#[derive(Deserialize)]
struct Meta {
    num_layers: f64,
    nccl_launch_ms: f64,
    nccl_skew_ms: f64,
    tp: u32,
    attn_prefill_batching_overhead: f64,
    attn_decode_batching_overhead: f64,
    kv_granularity: u64,
}

/// A row of `per_token_ops_ms.csv`.
#[derive(Deserialize)]
struct Operators {
    num_tokens: u64,
    attn_pre_proj: f64,
    attn_post_proj: f64,
    mlp_up_proj: f64,
    mlp_down_proj: f64,
    mlp_act: f64,
    attn_rope: f64,
    attn_kv_cache_save: f64,
    input_layernorm: f64,
    post_attention_layernorm: f64,
    add: f64,
    #[serde(default)]
    all_reduce: f64,
}

impl Operators {
    /// A layer without its attention, but for saving KV.
    fn layer(&self, meta: &Meta) -> f64 {
        let skew = meta.nccl_skew_ms * libm::pow(f64::from(meta.tp), 1.25);
        let all_reduce = if meta.tp > 1 { self.all_reduce + meta.nccl_launch_ms + skew } else { 0.0 };
        let attention = self.attn_pre_proj + self.attn_post_proj + self.attn_rope + self.input_layernorm;
        let ffn = self.mlp_up_proj + self.mlp_down_proj + self.mlp_act + self.post_attention_layernorm;
        attention + ffn + self.add + 2.0 * all_reduce
    }
}

impl Tables {
    /// Reads the tables in `folder`, each plain or compressed.
    pub fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let meta: Meta = serde_json::from_reader(File::open(folder.join("meta.json"))?)?;
        let mut per_token = HashMap::new();
        for row in csv::Reader::from_reader(open(folder, "per_token_ops_ms.csv")?).deserialize() {
            let row: Operators = row?;
            per_token.insert(row.num_tokens, [row.layer(&meta), row.attn_kv_cache_save]);
        }
        let pairs = |name: &str| -> Result<HashMap<(u64, u64), f64>, Box<dyn Error>> {
            let rows = csv::Reader::from_reader(open(folder, name)?).into_deserialize::<(u64, u64, f64)>();
            let rows = rows.map(|row| row.map(|(first, second, ms)| ((first, second), ms)));
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let (decode, prefill) = (pairs("attn_decode_ms.csv")?, pairs("attn_prefill_ms.csv")?);
        Ok(Self { meta, per_token, decode, prefill, outside: AtomicU64::new(0) })
    }

    /// Batches so far that the tables do not hold, where the reference would have stopped.
    pub fn outside(&self) -> u64 {
        self.outside.load(Relaxed)
    }

    fn milliseconds(&self, shape: &StepShape<'_>) -> Option<f64> {
        let Meta { kv_granularity: grain, num_layers, .. } = self.meta;
        let (tokens, seqs) = (shape.tokens(), u64::from(shape.decode_seqs));
        let [layer, _] = self.per_token.get(&tokens.next_multiple_of(8))?;
        let [_, save] = self.per_token.get(&tokens)?;
        let over = |share: f64, several: bool| if several { 1.0 + share } else { 1.0 };
        let decode = match shape.decode_context.checked_div(seqs) {
            None => 0.0,
            Some(mean) => {
                let one = self.decode.get(&(seqs, mean.next_multiple_of(grain)))?;
                one * over(self.meta.attn_decode_batching_overhead, seqs > 1)
            }
        };
        let prefill = if shape.prefill.is_empty() {
            0.0
        } else {
            let context = |tokens: u32| u64::from(tokens).next_multiple_of(grain);
            let contexts = shape.prefill.iter().map(|chunk| context(chunk.context)).sum();
            let squares: u64 = shape.prefill.iter().map(|chunk| u64::from(chunk.tokens).pow(2)).sum();
            let chunk = (squares as f64).sqrt().round_ties_even() as u64;
            let several = shape.prefill.len() > 1;
            let one = self.prefill.get(&(contexts, chunk * chunk))?;
            one * over(self.meta.attn_prefill_batching_overhead, several)
        };
        Some((layer + save + decode + prefill) * num_layers)
    }
}

impl StepModel for Tables {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        let milliseconds = self.milliseconds(shape).unwrap_or_else(|| {
            self.outside.fetch_add(1, Relaxed);
            1.0
        });
        StepCost { seconds: milliseconds * 1e-3, bound: Bound::Compute }
    }
}

/// The file of that name in `folder`, or its compressed form.
pub fn open(folder: &Path, name: &str) -> Result<Box<dyn Read>, Box<dyn Error>> {
    let (plain, compressed) = (folder.join(name), folder.join(format!("{name}.gz")));
    if compressed.exists() {
        return Ok(Box::new(GzDecoder::new(File::open(compressed)?)));
    }
    match File::open(&plain) {
        Ok(file) => Ok(Box::new(file)),
        Err(why) => Err(format!("{}: {why}", plain.display()).into()),
    }
}
