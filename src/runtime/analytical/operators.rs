//! The operators of one forward pass on one device, in the order in which they run.
//!
//! With T tokens, h hidden, d head size, f feed-forward width, H query and K key-value heads of p tensor ranks:
//!
//! | operator | (n, k) or form | over |
//! |---|---|---|
//! | query, key, value | ((H + 2K)d/p, h) | all tokens |
//! | latent attention | compressions on every rank, expansions by heads | all tokens |
//! | attention | [`attention`](super::attention) | chunks, and decoding sequences |
//! | output | (h, Hd/p) | all tokens |
//! | gate and up, down | (2f/p, h), (h, f/p); one matrix up if not gated | all tokens |
//! | router, routed and shared experts | [`experts`](super::experts) | all tokens of all copies |
//! | elementwise | [`elementwise`](super::elementwise) | all tokens |
//! | collectives | [`collectives`](super::collectives) | all tokens |
//! | LM head | (V/p, h) in 16 bit, then the gather of the logits | sequences that sample |
//! | sampling | 25 µs and two passes over the logits in 32 bit | sequences that sample |
//!
//! Stages of a pipeline run one after another: a step takes as long as all layers, and what their devices hand on.
//!
//! Left out: embeddings, biases, penalties and structured outputs in sampling.

use super::attention::{Attention, DecodeAttention};
use super::collectives::Collectives;
use super::elementwise::Elementwise;
use super::experts::Experts;
use super::line::{Line, Sink};
use super::product::Product;
use super::rates::{ACTIVATION_BYTES, Rates};
use super::shape::{DecoderShape, Deployment, Device, Mla};
use super::shares::Shares;
use super::{Analytical, Counting};

/// The product that chooses experts.
pub(crate) const ROUTER: &str = "router";
use crate::runtime::{Bound, Part, StepShape};

/// Everything one device of a deployment computes in a step.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    rates: Rates,
    collectives: Collectives,
    products: Vec<Product>,
    elementwise: Vec<Elementwise>,
    experts: Option<Experts>,
    attention: Attention,
    head: Product,
    /// Entries of the vocabulary, of all ranks.
    vocab: f64,
    /// Sampling of no sequence (s), and of each (s).
    sampling: (f64, f64),
}

impl Operators {
    /// All arguments are checked before.
    pub(super) fn new(
        params: &Analytical,
        shape: &DecoderShape,
        device: &Device,
        deployment: &Deployment,
    ) -> Self {
        let genz = params.counting == Counting::GenZ;
        let ranks = f64::from(deployment.tensor_parallel);
        let [layers, hidden, heads] = [shape.layers, shape.hidden, shape.heads].map(f64::from);
        let heads = heads / ranks;
        let (mut attention, kv_written, rotated) =
            Attention::new(shape, deployment, params.fused_attention || genz);
        let one_launch = params.one_launch.unwrap_or(device.architecture.attends_in_one_launch());
        attention.one_launch &= one_launch && !genz;

        let mut products = Vec::new();
        match shape.mla {
            None => {
                let kv_heads = (f64::from(shape.kv_heads) / ranks).max(1.0);
                let head_dim = f64::from(shape.head_dim);
                let mut push = |operator, n, k| products.push(Product { operator, count: layers, n, k });
                push("query, key, value", (heads + 2.0 * kv_heads) * head_dim, hidden);
                push("attention output", hidden, heads * head_dim);
            }
            Some(mla) => latent_products(&mut products, &mla, layers, hidden, heads),
        }
        let mut elementwise = Vec::new();
        let mut kernel = |operator, count: f64, bytes: f64| {
            elementwise.push(Elementwise { operator, count, bytes });
        };
        // What a kernel hands on to a product, where it casts it on the way.
        let narrow = deployment.activation_bytes < ACTIVATION_BYTES;
        let handed = if params.fused_casts { deployment.activation_bytes } else { ACTIVATION_BYTES };
        // The stream and what a block, or two side by side, adds to it are read; the stream is written.
        let streams = if shape.parallel { 4.0 } else { 3.0 };
        let bytes = hidden * (streams * ACTIVATION_BYTES + handed);
        kernel("residual and norm", shape.blocks() * layers, bytes);
        if shape.query_norm {
            kernel("query and key norm", layers, 2.0 * rotated * ACTIVATION_BYTES);
        }
        kernel("rotary position", layers, 2.0 * rotated * ACTIVATION_BYTES);
        kernel("KV write", layers, kv_written * (ACTIVATION_BYTES + deployment.kv_bytes));
        let mut feed_forward = |what: [&'static str; 3], count: f64, width: f64| {
            if count > 0.0 && width > 0.0 {
                let up = if shape.gated { 2.0 } else { 1.0 };
                products.push(Product { operator: what[0], count, n: up * width / ranks, k: hidden });
                products.push(Product { operator: what[1], count, n: hidden, k: width / ranks });
                kernel(what[2], count, width / ranks * (up * ACTIVATION_BYTES + handed));
            }
        };
        let up = if shape.gated { "gate and up" } else { "up" };
        feed_forward([up, "down", "activation"], f64::from(shape.dense_layers()), f64::from(shape.ffn));
        let routed = f64::from(shape.layers) - f64::from(shape.dense_layers());
        let names = ["shared experts: up", "shared experts: down", "shared experts: activation"];
        feed_forward(names, routed, shape.moe.map_or(0.0, |moe| f64::from(moe.shared_ffn)));
        let experts = shape.moe.map(|moe| {
            let n = f64::from(moe.experts);
            products.push(Product { operator: ROUTER, count: routed, n, k: hidden });
            Experts::new(shape, moe, deployment, params.routing_skew)
        });
        if narrow {
            // Before the four products of a layer; attention casts nothing, norms and activations where they are fused.
            let (attended, width) = (heads * f64::from(shape.head_dim), f64::from(shape.ffn) / ranks);
            let apart = [attended, hidden, hidden, width];
            for elements in &apart[..if params.fused_casts { 1 } else { apart.len() }] {
                let bytes = (ACTIVATION_BYTES + deployment.activation_bytes) * elements;
                elementwise.push(Elementwise { operator: "cast of inputs", count: layers, bytes });
            }
        }
        if genz {
            elementwise.clear();
        }
        let elements = products.iter().map(Product::weights).sum::<f64>()
            + experts.as_ref().map_or(0.0, Experts::weights);
        let weights = elements * deployment.weight_bytes / f64::from(deployment.pipeline_parallel);
        let vocab = f64::from(shape.vocab);
        Self {
            rates: Rates::new(params, device, deployment, weights),
            collectives: Collectives::new(params, device, deployment, shape),
            products,
            elementwise,
            experts,
            attention,
            head: Product { operator: "LM head", count: 1.0, n: vocab / ranks, k: hidden },
            vocab,
            // Logits in 32 bit, read twice.
            sampling: if genz {
                (0.0, 0.0)
            } else {
                let each = 2.0 * 4.0 * vocab / (params.elementwise_efficiency * device.memory_bandwidth);
                (params.sampling_overhead.as_secs(), each)
            },
        }
    }

    /// What depends on the number of tokens alone, into `sink`: products, experts, elementwise kernels, collectives.
    pub(super) fn add_per_token(&self, tokens: u64, prefill: bool, sink: &mut impl Sink) {
        if tokens == 0 {
            return;
        }
        let tokens = tokens as f64;
        let on_chip = self.rates.genz() && !prefill;
        for product in &self.products {
            product.add(tokens, &self.rates, on_chip, sink);
        }
        if let Some(experts) = &self.experts {
            experts.add(tokens, &self.rates, sink);
        }
        for kernel in &self.elementwise {
            kernel.add(tokens, &self.rates, sink);
        }
        self.collectives.add(tokens, sink);
        if self.rates.genz() && prefill {
            let embedding = Product { operator: "embedding", ..self.head };
            sink.take(embedding.price(Part::Head, tokens, &self.rates.head, &self.rates, false));
            self.collectives.add_embedding(tokens, sink);
        }
    }

    /// The LM head over `sampled` sequences, the gather of their logits, and sampling, into `sink`.
    pub(super) fn add_head(&self, sampled: u64, on_chip: bool, sink: &mut impl Sink) {
        if sampled == 0 {
            return;
        }
        let sampled = sampled as f64;
        sink.take(self.head.price(Part::Head, sampled, &self.rates.head, &self.rates, on_chip));
        self.collectives.add_gather(sampled * self.vocab * ACTIVATION_BYTES, sink);
        let (once, each) = self.sampling;
        if once + each > 0.0 {
            let one = Shares::of(Bound::Memory, once + sampled * each);
            sink.take(Line::new("sampling", Part::Head, 1.0, one, 0.0, 8.0 * sampled * self.vocab));
        }
    }

    /// Decode attention without the part that grows with the context, into `sink`.
    pub(super) fn add_decode_queries(&self, sequences: u32, sink: &mut impl Sink) {
        self.attention.add_queries(sequences, &self.rates, sink);
    }

    /// The part of decode attention that grows with the context, into `sink`.
    pub(super) fn add_decode_attention(&self, shape: &StepShape<'_>, sink: &mut impl Sink) {
        self.attention.add_decode(shape, &self.rates, sink);
    }

    /// The same, as a price per token.
    pub(super) fn decode_attention(&self) -> DecodeAttention {
        self.attention.decode(&self.rates)
    }

    /// Prefill attention of all chunks of a step, into `sink`.
    pub(super) fn add_prefill_attention(&self, shape: &StepShape<'_>, sink: &mut impl Sink) {
        self.attention.add_prefill(shape, &self.rates, sink);
    }

    /// What both kinds of attention take longer in one launch than apart, into `sink`.
    pub(super) fn add_mixed_attention(&self, shape: &StepShape<'_>, sink: &mut impl Sink) {
        self.attention.add_mixed(shape, &self.rates, sink);
    }

    /// Sequences that the LM head is computed for.
    pub(super) fn headed(&self, shape: &StepShape<'_>) -> u64 {
        if self.rates.genz() { shape.tokens() } else { shape.sampled() }
    }

    /// Whether decode activations cost nothing.
    pub(super) fn genz(&self) -> bool {
        self.rates.genz()
    }
}

/// The projections of latent attention. Compressions are computed on every device; expansions and the
/// output are split by heads.
fn latent_products(products: &mut Vec<Product>, mla: &Mla, layers: f64, hidden: f64, heads: f64) {
    let [q, kv, nope, rope, v] = [mla.q_lora, mla.kv_lora, mla.qk_nope, mla.qk_rope, mla.v].map(f64::from);
    let mut push = |operator, n, k| products.push(Product { operator, count: layers, n, k });
    if q > 0.0 {
        push("query and KV compression", q + kv + rope, hidden);
        push("query expansion", heads * (nope + rope), q);
    } else {
        push("KV compression", kv + rope, hidden);
        push("query", heads * (nope + rope), hidden);
    }
    push("KV expansion", heads * (nope + v), kv);
    push("attention output", hidden, heads * v);
}

/// Which operators a deployment has, how often and how large: for models that know better what each takes.
#[derive(Clone, Debug)]
pub(crate) struct OperatorList {
    /// Products with weights.
    pub(crate) products: Vec<Product>,
    /// Elementwise kernels.
    pub(crate) elementwise: Vec<Elementwise>,
    /// (n, k) of the LM head.
    pub(crate) head: (f64, f64),
    /// Width of the residual stream.
    pub(crate) hidden: f64,
    /// Entries of the vocabulary.
    pub(crate) vocab: f64,
    /// Layers.
    pub(crate) layers: f64,
    collectives: Collectives,
    experts: Option<Experts>,
    rates: Rates,
}

impl OperatorList {
    /// Whether weights stay in the host's memory.
    pub(crate) fn offloads(&self) -> bool {
        self.rates.offloaded > 0.0
    }

    /// What `product` waits longer for weights that stay in the host's memory, where it takes `near` with all of them
    /// at hand (s).
    pub(crate) fn fetched(&self, product: &Product, near: f64) -> f64 {
        self.rates.fetched(self.rates.product.weight_bytes * product.n * product.k, near)
    }

    /// The same of the routed experts that `tokens` of each copy of attention visit (s).
    pub(crate) fn fetched_experts(&self, tokens: f64, near: f64) -> f64 {
        let bytes = self.experts.as_ref().map_or(0.0, |experts| experts.read(tokens, &self.rates));
        self.rates.fetched(bytes, near)
    }

    /// (Operator, calls, seconds of one) of the layers' collectives for `tokens`.
    pub(crate) fn collectives(&self, tokens: f64) -> Vec<(&'static str, f64, f64)> {
        let mut lines: Vec<Line> = Vec::new();
        self.collectives.add(tokens, &mut lines);
        lines.iter().map(|line| (line.operator, line.calls, line.shares.seconds() / line.calls)).collect()
    }

    /// The gather of `sampled` sequences' logits (s).
    pub(crate) fn gather(&self, sampled: f64) -> f64 {
        let mut shares = Shares::default();
        self.collectives.add_gather(sampled * self.vocab * ACTIVATION_BYTES, &mut shares);
        shares.seconds()
    }
}

impl Operators {
    /// The list of them.
    pub(super) fn list(&self) -> OperatorList {
        OperatorList {
            products: self.products.clone(),
            elementwise: self.elementwise.clone(),
            head: (self.head.n, self.head.k),
            hidden: self.collectives.hidden(),
            vocab: self.vocab,
            layers: self.collectives.layers(),
            collectives: self.collectives,
            experts: self.experts.clone(),
            rates: self.rates,
        }
    }
}
