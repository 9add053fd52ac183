//! Named random streams, and the few distributions the simulator draws from.
//!
//! Every purpose has a stream of its own, seeded by (seed, purpose, index): adding a system or a
//! source never shifts the draws of another. The maths goes through [`libm`], so that a draw is the
//! same to the bit on every machine.

use bevy_ecs::resource::Resource;
use rand::{RngExt, SeedableRng};

/// One stream of random numbers: PCG64, whose output its crate promises to keep.
pub type Stream = rand_pcg::Pcg64;

/// Hands out the streams of one simulation.
#[derive(Resource, Clone, Copy, Debug)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of the simulation seeded with `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream for the `index`-th user of `purpose`, always from its beginning.
    pub fn stream(&self, purpose: &str, index: u64) -> Stream {
        // FNV-1a over the purpose, then SplitMix64 finalisers: stable for ever, unlike std's hasher.
        let hash = fnv1a(FNV_START, purpose.as_bytes());
        let mut state = mix(self.seed ^ mix(hash ^ mix(index)));
        let mut key = [0; 32];
        for word in key.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            word.copy_from_slice(&mix(state).to_le_bytes());
        }
        Stream::from_seed(key)
    }
}

/// What [`fnv1a`] starts from.
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Takes `bytes` into a 64-bit FNV-1a hash.
pub(crate) fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of its own for a branch of what draws from `stream`.
pub fn split(stream: &mut Stream) -> Stream {
    let mut key = [0; 32];
    for word in key.chunks_exact_mut(8) {
        word.copy_from_slice(&mix(stream.random()).to_le_bytes());
    }
    Stream::from_seed(key)
}

/// Uniform on [0, 1), 53 random bits.
pub fn uniform(stream: &mut Stream) -> f64 {
    stream.random::<f64>()
}

/// Exponential with mean 1, by inversion.
pub fn exponential(stream: &mut Stream) -> f64 {
    -libm::log(1.0 - uniform(stream))
}

/// Normal with mean 0 and variance 1, by Box and Muller; two uniforms a draw, no state kept.
pub fn standard_normal(stream: &mut Stream) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - uniform(stream))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * uniform(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_apart() {
        let first = |seed, purpose, index| uniform(&mut Streams::new(seed).stream(purpose, index));
        assert_eq!(first(1, "arrivals", 0).to_bits(), first(1, "arrivals", 0).to_bits());
        let others = [first(2, "arrivals", 0), first(1, "lengths", 0), first(1, "arrivals", 1)];
        assert!(others.iter().all(|draw| draw.to_bits() != first(1, "arrivals", 0).to_bits()));
    }

    #[test]
    fn draws_have_the_moments_of_their_law() {
        let mut stream = Streams::new(7).stream("moments", 0);
        let n = 200_000;
        let (mut exp, mut normal, mut square) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            exp += exponential(&mut stream);
            let draw = standard_normal(&mut stream);
            normal += draw;
            square += draw * draw;
        }
        let n = f64::from(n);
        // Five standard errors of the mean.
        assert!((exp / n - 1.0).abs() < 5.0 / n.sqrt());
        assert!((normal / n).abs() < 5.0 / n.sqrt());
        assert!((square / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
    }
}
