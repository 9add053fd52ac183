//! The analytical model compiled for one deployment.
//!
//! What depends on the token count alone is tabulated when the model is built, so a decode step
//! costs one table row and two multiplications, and a mixed step a few short passes over its chunks.

use super::Analytical;
use super::attention::DecodeAttention;
use super::host::Host;
use super::line::Line;
use super::operators::{OperatorList, Operators};
use super::shape::{DecoderShape, Deployment, Device};
use super::shares::Shares;
use crate::runtime::{Bound, Item, Part, StepCost, StepModel, StepShape, Undivided};

/// Most sequences and tokens that are tabulated; more are priced by the operators directly.
const TABULATED_SEQUENCES: u32 = 1024;
const TABULATED_TOKENS: u32 = 16_384;

/// An [`Analytical`] model compiled for one deployment.
#[derive(Clone, Debug)]
pub struct AnalyticalModel {
    host: Host,
    operators: Operators,
    attention: DecodeAttention,
    /// Indexed by tokens in the step.
    per_token: Box<[Shares]>,
    /// Indexed by sequences that sample.
    head: Box<[Shares]>,
    /// Indexed by decoding sequences.
    decode: Box<[DecodeRow]>,
}

/// A decode step but for the attention that grows with the context.
#[derive(Clone, Copy, Debug)]
struct DecodeRow {
    /// On the device (s).
    device: f64,
    /// What the step waits for on the host (s).
    exposed: f64,
    /// What the host does meanwhile (s).
    hidden: f64,
    /// The share under the bound that decode attention adds to (s).
    attention_share: f64,
    /// The largest of the other shares (s).
    rival_share: f64,
    /// The bound of that share.
    rival: Bound,
}

impl Analytical {
    /// Compiles the model of `shape` on `device`s deployed so.
    ///
    /// # Errors
    /// What does not make sense, for the user: an efficiency outside (0, 1], heads that do not divide
    /// over the accelerators, a missing link bandwidth.
    pub fn build(
        &self,
        shape: &DecoderShape,
        device: &Device,
        deployment: &Deployment,
    ) -> Result<AnalyticalModel, String> {
        self.check()?;
        shape.check(deployment.tensor_parallel)?;
        deployment.check(shape, device)?;
        device.check(deployment)?;
        let operators = Operators::new(self, shape, device, deployment);
        Ok(AnalyticalModel::tabulate(self, operators, deployment.max_tokens))
    }
}

impl AnalyticalModel {
    fn tabulate(params: &Analytical, operators: Operators, max_tokens: u32) -> Self {
        let sequences = max_tokens.min(TABULATED_SEQUENCES);
        let tokens = u64::from(max_tokens.min(TABULATED_TOKENS));
        let mut model = Self {
            host: Host::new(params),
            attention: operators.decode_attention(),
            per_token: Box::default(),
            head: Box::default(),
            decode: Box::default(),
            operators,
        };
        // Only GenZ counts prefill and decode apart, and nobody simulates with that.
        let tokens = if model.operators.genz() { 0 } else { tokens };
        model.per_token = (0..=tokens).map(|tokens| model.tokens(tokens, false)).collect();
        model.head = (0..=u64::from(sequences)).map(|sampled| model.sampled(sampled, false)).collect();
        model.decode = (0..=sequences).map(|sequences| model.decode_row(sequences)).collect();
        model
    }

    fn tokens(&self, tokens: u64, prefill: bool) -> Shares {
        if let Some(shares) = self.per_token.get(tokens as usize) {
            return *shares;
        }
        let mut shares = Shares::default();
        self.operators.add_per_token(tokens, prefill, &mut shares);
        shares
    }

    fn sampled(&self, sampled: u64, prefill: bool) -> Shares {
        if let Some(shares) = self.head.get(sampled as usize).filter(|_| !self.operators.genz()) {
            return *shares;
        }
        let mut shares = Shares::default();
        self.operators.add_head(sampled, self.operators.genz() && !prefill, &mut shares);
        shares
    }

    fn decode_row(&self, sequences: u32) -> DecodeRow {
        let tokens = u64::from(sequences);
        let mut shares = self.tokens(tokens, false) + self.sampled(tokens, false);
        self.operators.add_decode_queries(sequences, &mut shares);
        let (exposed, hidden) = (self.host.exposed(tokens, false), self.host.hidden(tokens));
        let device = shares.seconds();
        let shares = shares + Shares::of(Bound::Host, exposed);
        let attention_share = shares.under(self.attention.bound);
        let mut rival = if self.attention.bound == Bound::Host { Bound::Compute } else { Bound::Host };
        for bound in Bound::ALL {
            if bound != self.attention.bound && shares.under(bound) > shares.under(rival) {
                rival = bound;
            }
        }
        DecodeRow { device, exposed, hidden, attention_share, rival_share: shares.under(rival), rival }
    }

    fn row(&self, sequences: u32) -> DecodeRow {
        match self.decode.get(sequences as usize) {
            Some(row) => *row,
            None => self.decode_row(sequences),
        }
    }

    fn price_row(&self, row: &DecodeRow, sequences: u32, context: u64) -> StepCost {
        let attention = self.attention.seconds(sequences, context);
        let device = row.device + attention;
        if row.hidden > device {
            return StepCost { seconds: row.hidden + row.exposed, bound: Bound::Host };
        }
        let attention_bound = row.attention_share + attention >= row.rival_share;
        StepCost {
            seconds: device + row.exposed,
            bound: if attention_bound { self.attention.bound } else { row.rival },
        }
    }

    pub(super) fn price_mixed(&self, shape: &StepShape<'_>) -> StepCost {
        let sequences = u64::from(shape.decode_seqs) + shape.prefill.len() as u64;
        let decode_attention = self.attention.seconds(shape.decode_seqs, shape.decode_context);
        let mut shares = self.tokens(shape.tokens(), true) + self.sampled(self.operators.headed(shape), true);
        self.operators.add_decode_queries(shape.decode_seqs, &mut shares);
        shares = shares + Shares::of(self.attention.bound, decode_attention);
        self.operators.add_prefill_attention(shape, &mut shares);
        self.operators.add_mixed_attention(shape, &mut shares);
        let (device, exposed, hidden) =
            (shares.seconds(), self.host.exposed(sequences, true), self.host.hidden(sequences));
        if hidden > device {
            return StepCost { seconds: hidden + exposed, bound: Bound::Host };
        }
        let bound = (shares + Shares::of(Bound::Host, exposed)).largest();
        StepCost { seconds: device + exposed, bound }
    }

    /// Which operators there are, for models that know better what each takes.
    pub(crate) fn operator_list(&self) -> OperatorList {
        self.operators.list()
    }

    /// Attention alone (s).
    pub(crate) fn attention_seconds(&self, shape: &StepShape<'_>) -> f64 {
        let mut shares = Shares::default();
        self.operators.add_prefill_attention(shape, &mut shares);
        self.operators.add_decode_queries(shape.decode_seqs, &mut shares);
        self.operators.add_decode_attention(shape, &mut shares);
        shares.seconds()
    }

    /// Every operator of a step, in the order in which they run.
    fn lines(&self, shape: &StepShape<'_>) -> Vec<Line> {
        let mut lines = Vec::new();
        let prefill = !shape.prefill.is_empty();
        self.operators.add_per_token(shape.tokens(), prefill, &mut lines);
        self.operators.add_prefill_attention(shape, &mut lines);
        self.operators.add_decode_queries(shape.decode_seqs, &mut lines);
        self.operators.add_decode_attention(shape, &mut lines);
        self.operators.add_mixed_attention(shape, &mut lines);
        let on_chip = self.operators.genz() && !prefill;
        self.operators.add_head(self.operators.headed(shape), on_chip, &mut lines);
        lines
    }
}

impl StepModel for AnalyticalModel {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        if shape.prefill.is_empty() {
            self.price_row(&self.row(shape.decode_seqs), shape.decode_seqs, shape.decode_context)
        } else {
            self.price_mixed(shape)
        }
    }

    fn price_decodes(&self, sequences: u32, context: u64, costs: &mut [StepCost]) {
        let row = self.row(sequences);
        let mut context = context;
        for cost in costs {
            *cost = self.price_row(&row, sequences, context);
            context += u64::from(sequences);
        }
    }

    fn undivided(&self, shape: &StepShape<'_>) -> Undivided {
        let prefill = !shape.prefill.is_empty();
        let sequences = u64::from(shape.decode_seqs) + shape.prefill.len() as u64;
        Undivided {
            head: self.sampled(self.operators.headed(shape), prefill).seconds(),
            host: self.host.exposed(sequences, prefill),
            beside: self.host.hidden(sequences),
        }
    }

    fn itemise(&self, shape: &StepShape<'_>) -> Vec<Item> {
        let mut items: Vec<Item> = self.lines(shape).iter().map(Line::item).collect();
        let device: f64 = items.iter().map(|item| item.seconds).sum();
        let sequences = u64::from(shape.decode_seqs) + shape.prefill.len() as u64;
        let mut host = |operator, seconds: f64| {
            if seconds > 0.0 {
                items.push(Item {
                    operator,
                    part: Part::Host,
                    calls: 1.0,
                    seconds,
                    bound: Bound::Host,
                    flops: 0.0,
                    bytes: 0.0,
                });
            }
        };
        host("engine", self.host.exposed(sequences, !shape.prefill.is_empty()));
        host("engine: slower than the device", self.host.hidden(sequences) - device);
        items
    }
}
