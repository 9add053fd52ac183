//! The beginnings that prompts share: system prompts and documents, by popularity.
//!
//! Every one has a rank, 1 the most popular; ranks are drawn from a power law, whose exponent is 0 where all
//! are alike. Only names and counts are kept: memory does not depend on how many there are.

use smallvec::SmallVec;

use super::lengths::PowerLaw;
use super::naming::Names;
use crate::engine::Stream;
use crate::request::Text;
use crate::scenario::PrefixSpec;

/// Draws what the prompts of a class begin with.
pub(super) struct Prefixes {
    parts: Vec<Part>,
    draws: Stream,
}

struct Part {
    /// Where its first token stands among those of all parts.
    first: u64,
    /// Tokens of each.
    tokens: u32,
    count: u32,
    /// How many are drawn.
    draw: u32,
    ranks: PowerLaw,
}

impl Prefixes {
    /// Of a class whose prefix is sound; `None` if it has none.
    pub fn new(specs: &[PrefixSpec], draws: Stream) -> Option<Self> {
        let mut first = 0;
        let part = |spec: &PrefixSpec| {
            let (tokens, count, popularity, draw) = match *spec {
                PrefixSpec::System { tokens, count, popularity } => (tokens, count, popularity, 1),
                PrefixSpec::Documents { tokens, count, popularity, draw } => {
                    (tokens, count, popularity, draw)
                }
            };
            let part =
                Part { first, tokens, count, draw, ranks: PowerLaw::new(popularity.exponent(), 1, count) };
            first += u64::from(tokens) * u64::from(count);
            part
        };
        let parts: Vec<Part> = specs.iter().map(part).collect();
        (!parts.is_empty()).then_some(Self { parts, draws })
    }

    /// What the next prompt begins with.
    pub fn draw(&mut self, names: Names) -> Text {
        let mut text = Text::default();
        for Part { first, tokens, count, draw, ranks } in &self.parts {
            let mut taken = SmallVec::<[u32; 8]>::new();
            for _ in 0..*draw {
                // There is no choice of one.
                let mut rank = if *count == 1 { 1 } else { ranks.rank(&mut self.draws) };
                while taken.contains(&rank) {
                    rank = rank % count + 1;
                }
                taken.push(rank);
                text.push(names.prefix(first + u64::from(rank - 1) * u64::from(*tokens)), *tokens);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;
    use crate::request::Run;
    use crate::scenario::Popularity;

    fn prefixes(specs: &[PrefixSpec]) -> Prefixes {
        Prefixes::new(specs, Streams::new(3).stream("prefixes", 0)).unwrap()
    }

    #[test]
    fn parts_have_names_of_their_own_in_their_order() {
        let system = |tokens| PrefixSpec::System { tokens, count: 1, popularity: Popularity::Uniform };
        let text = prefixes(&[system(100), system(7)]).draw(Names::of_source(0));
        assert_eq!(text.runs(), [Run { first: 0, tokens: 107 }]);
        assert!(Prefixes::new(&[], Streams::new(3).stream("prefixes", 0)).is_none());
    }

    #[test]
    fn documents_of_a_request_differ_and_come_as_often_as_they_are_popular() {
        const N: u32 = 100_000;
        let documents = |draw, popularity| PrefixSpec::Documents { tokens: 10, count: 4, popularity, draw };
        let mut all = prefixes(&[documents(4, Popularity::Zipf(20.0))]);
        for _ in 0..50 {
            let text = all.draw(Names::of_source(0));
            let mut firsts: Vec<u64> =
                text.runs().iter().flat_map(|run| run.first..run.first + u64::from(run.tokens)).collect();
            firsts.sort_unstable();
            assert!(firsts.into_iter().eq(0..40), "{text:?}");
        }
        let mut one = prefixes(&[documents(1, Popularity::Zipf(1.0))]);
        let mut counts = [0_u32; 4];
        for _ in 0..N {
            counts[(one.draw(Names::of_source(0)).runs()[0].first / 10) as usize] += 1;
        }
        let total = 1.0 + 0.5 + 1.0 / 3.0 + 0.25;
        for (at, count) in counts.into_iter().enumerate() {
            let expected = 1.0 / (at as f64 + 1.0) / total;
            assert!((f64::from(count) / f64::from(N) - expected).abs() < 0.006, "{counts:?}");
        }
    }
}
