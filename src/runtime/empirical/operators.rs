//! Operators with measured times: what of a profile a deployment needs, and what each takes.

use super::EngineRecord;
use super::basis::{experts_alone, stored};
use crate::runtime::profile::{
    AttentionShape, CollectiveCurve, DecodeCurve, GemmCurve, MixedCurve, MixedRule, MoeCurve, MoeShape,
    PrefillCurve, Profile, ProfileError, Routing, WeightKind,
};
use crate::runtime::{AnalyticalModel, Bound, Item, OperatorList, Part, ROUTER, Target};

/// Operators with measured times.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    pub list: OperatorList,
    pub products: Vec<(&'static str, f64, GemmCurve)>,
    pub head: GemmCurve,
    pub experts: Option<(f64, f64, MoeCurve)>,
    /// Bytes of a token in each kernel, with its floor and rate.
    pub elementwise: Vec<(&'static str, f64, f64)>,
    pub floor: f64,
    pub rate: f64,
    pub reduce: Option<CollectiveCurve>,
    /// (Layers, prefill, decode); none where attention was never measured.
    pub attention: Vec<(f64, PrefillCurve, DecodeCurve)>,
    /// The same for both in one launch, where that was measured.
    pub mixed: Vec<(f64, MixedCurve)>,
}

/// Whether all-reduces are priced as they were measured. Hosts without peer-to-peer are properties of their own, and
/// not every number of devices was measured.
pub(super) fn reduces_as_measured(profile: &Profile, target: &Target<'_>) -> bool {
    let peers = target.accelerator.scale_up.as_ref().and_then(|links| links.peers);
    let through_host = peers.is_some_and(|peers| target.tensor_parallel > peers);
    target.tensor_parallel > 1 && !through_host && profile.all_reduce(target.tensor_parallel).is_ok()
}

impl Operators {
    pub fn new(
        profile: &Profile,
        target: &Target<'_>,
        analytical: &AnalyticalModel,
        routing: Routing,
        fp8_blocks: bool,
    ) -> Result<Self, ProfileError> {
        let list = analytical.operator_list();
        // It was looked at before. Kernels are told apart by how weights are stored, also where they are expanded before
        // they are multiplied, as `int4` is.
        let stored = stored(target, fp8_blocks).unwrap_or(WeightKind::Bf16);
        let dense = if experts_alone(profile, target).is_some() { WeightKind::Bf16 } else { stored };
        let gemm =
            |n: f64, k: f64, kind| profile.gemm(n.round().max(1.0) as u32, k.round().max(1.0) as u32, kind);
        let products = list
            .products
            .iter()
            .map(|product| {
                // Engines leave routers in 16 bit.
                let kind = if product.operator == ROUTER { WeightKind::Bf16 } else { dense };
                Ok((product.operator, product.count, gemm(product.n, product.k, kind)?))
            })
            .collect::<Result<_, ProfileError>>()?;
        let head = profile.gemm(list.head.0.round() as u32, list.head.1.round() as u32, WeightKind::Bf16)?;
        let experts = match target.model.experts {
            None => None,
            Some(experts) => {
                let ranks = target.tensor_parallel * target.data_parallel;
                let (tp, ep) = if target.expert_parallel { (1, ranks) } else { (ranks, 1) };
                let shape = MoeShape {
                    hidden: target.model.hidden,
                    inter: experts.size,
                    top_k: experts.active,
                    experts: experts.routed,
                    tp,
                    ep,
                };
                let layers = f64::from(target.model.layers - experts.dense_layers);
                let curve = profile.moe(&shape, stored, routing, target.deployment().dispatches())?;
                Some((layers, f64::from(target.data_parallel), curve))
            }
        };
        let shape = target.shape();
        let mut mixed = Vec::new();
        let attention = if shape.mla.is_some() || shape.bidirectional {
            Vec::new()
        } else {
            let of = |window: Option<u32>| AttentionShape {
                heads: shape.heads / target.tensor_parallel,
                kv_heads: (shape.kv_heads / target.tensor_parallel).max(1),
                head_dim: shape.head_dim,
                kv_cache: target.kv_cache,
                window,
            };
            let windowed = shape.window.map_or(0, |window| window.layers);
            let groups =
                [(shape.layers - windowed, None), (windowed, shape.window.map(|window| window.tokens))];
            let mut curves = Vec::new();
            for (layers, window) in groups.into_iter().filter(|(layers, _)| *layers > 0) {
                let shape = of(window);
                let (prefill, decode) =
                    (profile.prefill_attention(&shape)?, profile.decode_attention(&shape)?);
                curves.push((f64::from(layers), prefill, decode));
                if matches!(profile.mixed, MixedRule::Together { .. }) {
                    mixed.push((f64::from(layers), profile.attention(&shape)?));
                }
            }
            curves
        };
        let reduce = reduces_as_measured(profile, target)
            .then(|| profile.all_reduce(target.tensor_parallel))
            .transpose()?;
        Ok(Self {
            products,
            head,
            experts,
            elementwise: list
                .elementwise
                .iter()
                .map(|kernel| (kernel.operator, kernel.count, kernel.bytes))
                .collect(),
            floor: profile.elementwise.floor_us * 1e-6,
            rate: profile.silicon.bandwidth() * profile.elementwise.share,
            reduce,
            attention,
            mixed,
            list,
        })
    }

    /// Everything that depends on the number of tokens alone, item by item.
    pub fn add_per_token(&self, tokens: f64, engine: &EngineRecord, take: &mut impl FnMut(Item)) {
        if tokens == 0.0 {
            return;
        }
        let mut item = |operator, part, calls, seconds: f64, bound| {
            take(Item { operator, part, calls, seconds: calls * seconds, bound, flops: 0.0, bytes: 0.0 });
        };
        for (operator, count, curve) in &self.products {
            item(*operator, Part::Linear, *count, curve.seconds(tokens), Bound::Memory);
        }
        if let Some((count, copies, curve)) = &self.experts {
            item("routed experts", Part::Experts, *count, curve.seconds(tokens * copies), Bound::Memory);
        }
        for (operator, count, bytes) in &self.elementwise {
            let seconds = (bytes * tokens / self.rate).max(self.floor);
            item(*operator, Part::Elementwise, *count, seconds, Bound::Memory);
        }
        let bytes = tokens * self.list.hidden * 2.0;
        for (operator, calls, seconds) in self.list.collectives(tokens) {
            let seconds = match &self.reduce {
                Some(curve) if operator == "all-reduce" => curve.seconds(bytes) + engine.reduce,
                _ => seconds,
            };
            item(operator, Part::Communication, calls, seconds, Bound::Communication);
        }
    }

    /// What weights that stay in the host's memory add to that, where products take `scale` times the profile's (s).
    pub fn fetched(&self, tokens: f64, scale: f64) -> f64 {
        if tokens == 0.0 || !self.list.offloads() {
            return 0.0;
        }
        let products = self.list.products.iter().zip(&self.products).map(|(product, (_, count, curve))| {
            count * self.list.fetched(product, scale * curve.seconds(tokens))
        });
        let experts = self.experts.as_ref().map_or(0.0, |(count, copies, curve)| {
            count * self.list.fetched_experts(tokens, scale * curve.seconds(tokens * copies))
        });
        products.sum::<f64>() + experts
    }

    /// The LM head over so many sequences, and the gather of their logits (s).
    pub fn head(&self, sampled: f64) -> (f64, f64) {
        if sampled == 0.0 {
            return (0.0, 0.0);
        }
        let gather = match &self.reduce {
            // Half an all-reduce of the logits in 16 bit, spread over the ranks.
            Some(curve) => 0.5 * curve.seconds(sampled * self.list.vocab),
            None => self.list.gather(sampled),
        };
        (self.head.seconds(sampled), gather)
    }
}
