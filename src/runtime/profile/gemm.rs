//! Products with weight matrices: a residual for each measured number of tokens on a grid of shapes,
//! compiled into a curve a matrix.
//!
//! ```text
//! t(m) = max( R , (t0 + R)·exp(r(m)) )     t0: the least time of any product, r: bilinear in log n, log k
//! t    = max( t , t0 + weights/(BW·cold) ) where the table left small weights in the cache
//! ```
//!
//! The logarithm of `t` is pooled along the tokens, so that it never falls, before it is read between
//! knots. Kernels pay for token counts that do not fill a tile, those of fp8 up to 1.8 times, others some
//! percent; such counts have a curve of their own, as one curve for both could not rise.

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::device::Silicon;
use super::grid::{Residuals, between, check_axis, pool_adjacent};
use super::kinds::WeightKind;

/// Measured products with weights of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmTable {
    /// How the weights are stored.
    pub kind: WeightKind,
    /// The engine and version whose kernels were measured.
    pub table: String,
    /// Least time of a product (µs): launching and draining a kernel.
    pub floor_us: f64,
    /// Share of the memory bandwidth at which large weights stream.
    pub cold: f64,
    /// Whether weights that fit were left in the cache between repetitions.
    pub hot: bool,
    /// Tokens.
    pub m: Vec<f64>,
    /// Columns of the output.
    pub n: Vec<f64>,
    /// Columns of the input.
    pub k: Vec<f64>,
    /// By `n`, `k`, `m`.
    pub residual: Residuals,
}

/// Seconds of a product by its tokens.
#[derive(Clone, Debug)]
pub struct GemmCurve {
    aligned: Curve,
    /// Token counts with a remainder, where they cost more.
    ragged: Option<Curve>,
    kind: WeightKind,
}

impl GemmTable {
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, axis) in [("m", &self.m), ("n", &self.n), ("k", &self.k)] {
            check_axis(name, axis)?;
        }
        let expected = self.m.len() * self.n.len() * self.k.len();
        if self.residual.len() != expected {
            return Err(format!("`residual` has {} numbers, expected {expected}", self.residual.len()));
        }
        if !(self.floor_us > 0.0 && self.cold > 0.0 && self.cold <= 1.0) {
            return Err("`floor_us` must be above 0, `cold` above 0 and at most 1".to_owned());
        }
        Ok(())
    }

    /// The curve of an `n` × `k` matrix.
    pub(crate) fn curve(&self, silicon: &Silicon, n: f64, k: f64) -> GemmCurve {
        let mut residuals = vec![0.0; self.m.len()];
        for (row, by_n) in between(&self.n, n) {
            for (column, by_k) in between(&self.k, k) {
                let first = (row * self.k.len() + column) * self.m.len();
                for (at, residual) in residuals.iter_mut().enumerate() {
                    *residual += by_n * by_k * self.residual.at(first + at);
                }
            }
        }
        let matrix = Matrix { silicon, kind: self.kind, n, k, floor: self.floor_us * 1e-6 };
        let bytes = self.kind.bytes() * n * k;
        // Weights beyond the cache cannot have been left in it.
        let cold = if self.hot && bytes <= silicon.cache_bytes() {
            matrix.floor + bytes / (silicon.bandwidth() * self.cold)
        } else {
            0.0
        };
        matrix.curve(&self.m, &residuals, cold)
    }
}

/// One weight matrix on one device.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) silicon: &'a Silicon,
    pub(crate) kind: WeightKind,
    pub(crate) n: f64,
    pub(crate) k: f64,
    /// Least time of any product (s).
    pub(crate) floor: f64,
}

impl Matrix<'_> {
    fn bound(&self, m: f64) -> f64 {
        self.silicon.gemm(self.kind, m, self.n, self.k)
    }

    /// The curve through residuals at token counts, nowhere below `cold` seconds.
    pub(crate) fn curve(&self, m: &[f64], residuals: &[f64], cold: f64) -> GemmCurve {
        let pick = |ragged: bool| -> Option<Curve> {
            let chosen = |tokens: f64| tokens < 4.0 || self.belongs(tokens as u32, ragged);
            let (m, residuals): (Vec<f64>, Vec<f64>) =
                m.iter().zip(residuals).filter(|(tokens, _)| chosen(**tokens)).unzip();
            // A table may have measured no count of tokens of the kind.
            (!m.is_empty()).then(|| self.rising(&m, &residuals, cold))
        };
        let ragged = pick(true);
        let aligned = pick(false).unwrap_or_else(|| self.rising(m, residuals, cold));
        GemmCurve { aligned, ragged, kind: self.kind }
    }

    fn belongs(&self, tokens: u32, ragged: bool) -> bool {
        // Up to 256 tokens, most kernels do not care, and both curves have these knots.
        let both = self.kind != WeightKind::Fp8Block && tokens <= 256;
        both || self.kind.aligned(tokens) != ragged
    }

    fn rising(&self, m: &[f64], residuals: &[f64], cold: f64) -> Curve {
        let bounds: Vec<f64> = m.iter().map(|tokens| self.bound(*tokens)).collect();
        let scale: Vec<f64> = bounds.iter().map(|bound| libm::log(self.floor + bound)).collect();
        let mut times: Vec<f64> = scale.iter().zip(residuals).map(|(scale, r)| scale + r).collect();
        pool_adjacent(&mut times);
        let pooled: Vec<f64> = times
            .iter()
            .zip(&bounds)
            .zip(&scale)
            .map(|((time, bound), scale)| time.max(libm::log(*bound)) - scale)
            .collect();
        Curve::new(|tokens| {
            let [(low, a), (high, b)] = between(m, tokens);
            let bound = self.bound(tokens);
            let residual = a * pooled[low] + b * pooled[high];
            ((self.floor + bound) * libm::exp(residual)).max(bound).max(cold)
        })
    }
}

impl GemmCurve {
    /// Seconds of a product of `m` tokens that fill tiles without a costly remainder.
    #[inline]
    pub fn seconds(&self, m: f64) -> f64 {
        self.aligned.at(m)
    }

    /// Seconds of a product of about `m` tokens whose number leaves a remainder.
    #[inline]
    pub fn seconds_ragged(&self, m: f64) -> f64 {
        self.ragged.as_ref().unwrap_or(&self.aligned).at(m).max(self.aligned.at(m))
    }

    /// Seconds of a product of exactly so many tokens. Does not rise everywhere: 513 tokens may cost more
    /// than 528.
    #[inline]
    pub fn seconds_of(&self, tokens: u32) -> f64 {
        let m = f64::from(tokens);
        if self.kind.aligned(tokens) { self.seconds(m) } else { self.seconds_ragged(m) }
    }
}
