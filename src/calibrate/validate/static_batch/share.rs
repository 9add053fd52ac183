//! The engine's share of a step, fitted by least squares on the relative error; nothing in it is negative.

use super::Step;
use super::kernels::Masked;

/// What TensorRT-LLM 0.9 takes beside and instead of the runtime model's operators.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Products, as a share of the runtime model's: decode in 16 and 8 bit, prefill in 16 and 8 bit.
    pub products: [f64; 4],
    /// A layer (µs): the same.
    pub layer: [f64; 4],
    /// Cycles in which a block walks a number of KV, in 16 and 8 bit.
    pub walk: [f64; 2],
    /// Times what memory takes by its data sheet.
    pub stream: f64,
    /// Thousand cycles of a block beside its keys.
    pub block: f64,
    /// What an all-reduce takes longer (µs).
    pub reduce: f64,
    /// What a block of it takes for a KB that it reads (µs).
    pub kilobyte: f64,
}

/// Rounds in which what is longer, walking or streaming, is found anew.
const ROUNDS: u32 = 12;

/// Coefficients of decode steps.
const DECODE: usize = 10;

impl Share {
    pub(super) fn fit(steps: &[&Step]) -> Self {
        let (decode, prefill): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.decode);
        // Where the search starts: neither is in the end what it is here.
        let mut share = Self {
            products: [1.0; 4],
            layer: [0.0; 4],
            walk: [0.06; 2],
            stream: 1.1,
            block: 1.0,
            reduce: 0.0,
            kilobyte: 0.0,
        };
        for _ in 0..ROUNDS {
            let rows = decode.iter().map(|step| (share.terms(step), step.fixed, step.measured));
            let found = least_squares(&rows.collect::<Vec<_>>());
            share.products[..2].copy_from_slice(&found[..2]);
            share.layer[..2].copy_from_slice(&found[2..4]);
            // Half way, so that steps on the edge do not go to and fro. What no step shows stays.
            for (fp8, walk) in share.walk.iter_mut().enumerate() {
                if found[4 + fp8] > 0.0 {
                    *walk = 0.5 * (*walk + found[4 + fp8]);
                }
            }
            share.stream = 0.5 * (share.stream + found[6]);
            [share.block, share.reduce, share.kilobyte] = [found[7], found[8], found[9]];
        }
        for fp8 in [false, true] {
            let of = prefill.iter().filter(|step| step.fp8 == fp8);
            let rows = of
                .map(|step| ([step.products, step.layers], step.fixed + share.reduces(step), step.measured));
            let [products, layer] = least_squares(&rows.collect::<Vec<_>>());
            share.products[2 + usize::from(fp8)] = products;
            share.layer[2 + usize::from(fp8)] = layer;
        }
        share
    }

    /// What is fitted to a decode step, by coefficient.
    fn terms(&self, step: &Step) -> [f64; DECODE] {
        let (fp8, Masked { walk, stream, blocks }) = (usize::from(step.fp8), step.masked);
        let mut terms = [0.0; DECODE];
        terms[fp8] = step.products;
        terms[2 + fp8] = step.layers;
        if self.walk[fp8] * walk > self.stream * stream {
            terms[4 + fp8] = walk;
        } else {
            terms[6] = stream;
        }
        terms[7..].copy_from_slice(&[blocks, step.reduces, step.block_kilobytes]);
        terms
    }

    fn reduces(&self, step: &Step) -> f64 {
        self.reduce * step.reduces + self.kilobyte * step.block_kilobytes
    }

    /// The step (ms).
    pub(super) fn predicted(&self, step: &Step) -> f64 {
        let fp8 = usize::from(step.fp8);
        let at = fp8 + 2 * usize::from(!step.decode);
        let Masked { walk, stream, blocks } = step.masked;
        step.fixed
            + self.products[at] * step.products
            + self.layer[at] * step.layers
            + (self.walk[fp8] * walk).max(self.stream * stream)
            + self.block * blocks
            + self.reduces(step)
    }
}

/// Coefficients of terms beside what is fixed, none negative: coordinate descent on the normal equations.
fn least_squares<const N: usize>(rows: &[([f64; N], f64, f64)]) -> [f64; N] {
    let (mut squares, mut products) = ([[0.0; N]; N], [0.0; N]);
    for (terms, fixed, measured) in rows {
        for row in 0..N {
            products[row] += terms[row] / measured * (1.0 - fixed / measured);
            for column in 0..N {
                squares[row][column] += terms[row] / measured * (terms[column] / measured);
            }
        }
    }
    let mut coefficients = [0.0; N];
    for _ in 0..2000 {
        for at in 0..N {
            if squares[at][at] > 0.0 {
                let others = (0..N).filter(|other| *other != at);
                let explained: f64 = others.map(|other| squares[at][other] * coefficients[other]).sum();
                coefficients[at] = ((products[at] - explained) / squares[at][at]).max(0.0);
            }
        }
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_made_steps_is_found_again() {
        let made = Share {
            products: [0.9, 0.8, 1.1, 1.0],
            layer: [40.0, 20.0, 90.0, 50.0],
            walk: [0.08, 0.05],
            stream: 1.13,
            block: 2.0,
            reduce: 3.0,
            kilobyte: 0.04,
        };
        let mut steps = Vec::new();
        for number in 0..96_u32 {
            let of = |each: u32| f64::from(number / each % 3);
            let mut step = Step {
                fp8: number % 2 == 0,
                decode: number % 5 > 0,
                fixed: 0.5,
                products: 5.0 + of(2),
                layers: 0.03 + 0.02 * of(7),
                reduces: 0.06 * of(11),
                block_kilobytes: 10.0 * of(13),
                ..Step::default()
            };
            if step.decode {
                step.masked = Masked { walk: 50.0 * of(3), stream: 3.0 * of(19), blocks: 0.2 * of(23) };
            }
            step.measured = made.predicted(&step);
            steps.push(step);
        }
        let found = Share::fit(&steps.iter().collect::<Vec<_>>());
        for step in &steps {
            assert!((found.predicted(step) / step.measured - 1.0).abs() < 1e-3, "{found:?}");
        }
        assert!((found.walk[0] / made.walk[0] - 1.0).abs() < 1e-2, "{found:?}");
    }
}
