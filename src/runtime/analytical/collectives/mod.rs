//! What ranks send each other.
//!
//! ```text
//! t = ( α^s + (f·S/B)^s )^(1/s) + ε       S bytes on every rank, f = 2(p−1)/p for all-reduce, else (p−1)/p
//! ```
//! α, B and s come from measurements of such devices ([`CollectiveFits`]), the faster of vLLM's own all-reduce and
//! NCCL's; ε is what a collective takes longer inside an engine. Links that nobody measured are a ring of latency and
//! bandwidth (s = 1): α = 5.5 µs and 0.7 of the link, or, over the host's PCI Express without peer-to-peer,
//! α = 2(p−1)·5.3 µs and 0.57 of it (whole steps of TensorRT-LLM 0.9 on L40S).
//!
//! | parallelism | collectives of a step |
//! |---|---|
//! | tensor | two all-reduces of T·h a layer, one where attention and feed-forward run side by side; the gather of the logits |
//! | data, whole experts | one all-reduce over the tensor ranks; two all-to-alls of T·h over all, times min(k, R): no rank is sent a row twice |
//! | data, sliced experts | tensor's, and an all-gather and a reduce-scatter of C·T·h over the copies: every rank needs every token |
//! | pipeline | T·h from each stage to the next |
//!
//! R are all ranks of the experts, C copies of attention with T tokens each. A reduce-scatter takes what an all-gather
//! takes. With one copy every rank has every token, and all-reduces bring together what experts make of them.
//!
//! Left out: contention between clusters, and links between nodes, which are taken to be as fast as those within.

mod derive;
mod fits;

pub use derive::{CollectivesError, collectives_from_csv};
pub use fits::CollectiveFits;

use fits::Curve;

use super::line::{Line, Sink};
use super::rates::ACTIVATION_BYTES;
use super::shape::{DecoderShape, Deployment, Device};
use super::shares::Shares;
use super::{Analytical, Counting};
use crate::runtime::{Bound, Part};

/// A collective on so many ranks.
#[derive(Clone, Copy, Debug)]
struct Collective {
    ranks: f64,
    /// Bytes on the wire per byte on a rank.
    factor: f64,
    /// The faster counts.
    curves: [Option<Curve>; 2],
    extra: f64,
}

impl Collective {
    fn seconds(&self, bytes: f64) -> f64 {
        if self.ranks <= 1.0 || bytes <= 0.0 {
            return 0.0;
        }
        let times = self.curves.iter().flatten().map(|curve| curve.seconds(self.factor * bytes));
        times.fold(f64::INFINITY, f64::min) + self.extra
    }
}

/// What copies of attention send each other to and from each layer of experts.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    operator: &'static str,
    collective: Collective,
    /// Layers of experts.
    layers: f64,
    /// Times the bytes of a copy's tokens.
    rows: f64,
    /// Whether whole experts bring their rows back themselves, so that there is nothing to reduce.
    whole: bool,
}

/// The collectives of one deployment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collectives {
    layers: f64,
    hidden: f64,
    /// All-reduces of a layer.
    reduces: f64,
    reduce: Collective,
    gather: Collective,
    /// What copies of attention send each other.
    exchange: Option<Exchange>,
    /// To the next stage: times a step, latency, bytes/s.
    send: Option<(f64, f64, f64)>,
    genz: bool,
}

impl Collectives {
    /// `device` has a link if the deployment has more than one device: checked before.
    pub fn new(params: &Analytical, device: &Device, deployment: &Deployment, shape: &DecoderShape) -> Self {
        let genz = params.counting == Counting::GenZ;
        let link = device.link_bandwidth.unwrap_or(0.0);
        let own = params.allreduce_latency.is_some() || params.link_efficiency.is_some();
        let fits = device.collectives.filter(|_| !own && !genz);
        let extra = if genz { 0.0 } else { params.collective_overhead.as_secs() };
        let ring = |ranks: f64, passes: f64| {
            let usual = if device.through_host { passes * (ranks - 1.0) * 5.3e-6 } else { 4.5e-6 };
            let efficiency = params.link_efficiency.unwrap_or(if device.through_host { 0.57 } else { 0.70 });
            let latency = match params.allreduce_latency {
                _ if genz => 5e-6 + passes * (ranks - 1.0) * 1e-6,
                Some(given) => given.as_secs(),
                None => usual,
            };
            Curve { latency, bandwidth: efficiency * link, sharpness: 1.0 }
        };
        let of = |ranks: u32, passes: f64, measured: &dyn Fn(&CollectiveFits) -> [Option<Curve>; 2]| {
            let curves = fits.as_ref().map(measured).filter(|curves| curves.iter().any(Option::is_some));
            let ranks = f64::from(ranks);
            Collective {
                ranks,
                factor: passes * (ranks - 1.0) / ranks,
                curves: curves.unwrap_or([Some(ring(ranks, passes)), None]),
                extra,
            }
        };
        let (tp, all) = (deployment.tensor_parallel, deployment.expert_ranks());
        let eager = !params.cuda_graphs;
        let exchange = shape.moe.filter(|_| deployment.data_parallel > 1).map(|moe| {
            let layers = f64::from(shape.layers - moe.dense_layers);
            let copies = deployment.data_parallel;
            if deployment.expert_parallel {
                // A rank sends its own tokens: those of its copy of attention, split over the tensor ranks.
                Exchange {
                    operator: "dispatch and combine",
                    collective: of(all, 1.0, &|fits| [fits.all_to_all(all), None]),
                    layers,
                    rows: f64::from(moe.active.min(all)) / f64::from(tp),
                    whole: true,
                }
            } else {
                Exchange {
                    operator: "gather and scatter",
                    collective: of(copies, 1.0, &|fits| [fits.all_gather(copies), None]),
                    layers,
                    rows: f64::from(copies),
                    whole: false,
                }
            }
        });
        Self {
            layers: f64::from(shape.layers),
            hidden: f64::from(shape.hidden),
            reduces: shape.blocks(),
            reduce: of(tp, 2.0, &|fits| fits.all_reduce(tp, eager)),
            gather: of(tp, 1.0, &|fits| [fits.all_gather(tp), None]),
            exchange,
            send: (deployment.pipeline_parallel > 1).then(|| {
                // As a ring of two.
                let hop = ring(2.0, 1.0);
                (f64::from(deployment.pipeline_parallel - 1), hop.latency + extra, hop.bandwidth)
            }),
            genz,
        }
    }

    pub fn hidden(&self) -> f64 {
        self.hidden
    }

    pub fn layers(&self) -> f64 {
        self.layers
    }

    /// Those of the layers for `tokens`, into `sink`.
    pub fn add(&self, tokens: f64, sink: &mut impl Sink) {
        let bytes = tokens * self.hidden * ACTIVATION_BYTES;
        let mut take = |operator, calls: f64, seconds: f64, bytes: f64| {
            if calls * seconds > 0.0 {
                let one = Shares::of(Bound::Communication, seconds);
                sink.take(Line::new(operator, Part::Communication, calls, one, 0.0, bytes));
            }
        };
        let exchanged =
            self.exchange.filter(|exchange| exchange.whole).map_or(0.0, |exchange| exchange.layers);
        let calls = self.reduces * self.layers - exchanged;
        take("all-reduce", calls, self.reduce.seconds(bytes), self.reduce.factor * bytes);
        if let Some(Exchange { operator, collective, layers, rows, .. }) = self.exchange {
            let bytes = bytes * rows;
            take(operator, 2.0 * layers, collective.seconds(bytes), collective.factor * bytes);
        }
        if let Some((times, latency, bandwidth)) = self.send {
            take("send to the next stage", times, latency + bytes / bandwidth, bytes);
        }
    }

    /// The gather of `sampled` sequences' logits, `bytes` in all, into `sink`.
    pub fn add_gather(&self, bytes: f64, sink: &mut impl Sink) {
        let seconds = self.gather.seconds(bytes);
        if seconds > 0.0 {
            let (one, moved) = (Shares::of(Bound::Communication, seconds), self.gather.factor * bytes);
            sink.take(Line::new("gather of the logits", Part::Communication, 1.0, one, 0.0, moved));
        }
    }

    /// `GenZ`'s all-reduce after the embedding, into `sink`.
    pub fn add_embedding(&self, tokens: f64, sink: &mut impl Sink) {
        let bytes = tokens * self.hidden * ACTIVATION_BYTES;
        let seconds = self.reduce.seconds(bytes);
        if self.genz && seconds > 0.0 {
            let one = Shares::of(Bound::Communication, seconds);
            let moved = self.reduce.factor * bytes;
            sink.take(Line::new("all-reduce of the embedding", Part::Communication, 1.0, one, 0.0, moved));
        }
    }
}
