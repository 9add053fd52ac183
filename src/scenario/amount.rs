//! Amounts in pipelines and sessions: fixed, or drawn for each request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Stream, exponential, standard_normal, uniform};
use crate::units::{SimSpan, Span};

/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_2;

/// Most repetitions that can be asked for.
const MOST: u32 = 1_000_000;

/// How many times, drawn anew for each request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Count {
    /// Always as many, such as `Exactly(3)`.
    Exactly(u32),
    /// Every whole number between two, both included, with equal chance.
    Uniform {
        /// The least.
        from: u32,
        /// The most.
        to: u32,
    },
    /// 1, 2, 3, … with the chance of one more always the same.
    Geometric {
        /// The mean; at least 1.
        mean: f64,
    },
}

impl Count {
    /// What is wrong with it.
    pub fn fault(self) -> Option<String> {
        match self {
            Self::Uniform { from, to } if from > to => Some(format!("`from` is {from}, above `to`, {to}")),
            Self::Exactly(most) | Self::Uniform { to: most, .. } if most > MOST => {
                Some(format!("must be at most {MOST}, found {most}"))
            }
            Self::Geometric { mean } if !(1.0..=1e6).contains(&mean) => {
                Some(format!("`mean` must be 1 to 1e6, found {mean}"))
            }
            _ => None,
        }
    }

    /// A draw.
    pub fn draw(self, draws: &mut Stream) -> u32 {
        match self {
            Self::Exactly(count) => count,
            Self::Uniform { from, to } => {
                let width = f64::from(to - from) + 1.0;
                from + ((uniform(draws) * width) as u32).min(to - from)
            }
            Self::Geometric { mean } => {
                let more = 1.0 - 1.0 / mean;
                if more <= 0.0 { 1 } else { 1 + (-exponential(draws) / libm::log(more)) as u32 }
            }
        }
    }

    /// Whether it may be none at all.
    pub const fn may_be_none(self) -> bool {
        matches!(self, Self::Exactly(0) | Self::Uniform { from: 0, .. })
    }
}

/// A number of tokens, drawn anew for each visit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Tokens {
    /// Always as many, such as `Exactly(512)`.
    Exactly(u32),
    /// So many times the answer length that the workload draws for the request, such as `Share(0.9)`.
    Share(f64),
    /// Every whole number between two, both included, with equal chance.
    Uniform {
        /// The least.
        from: u32,
        /// The most.
        to: u32,
    },
    /// Log-normal, given by two quantiles.
    LogNormal {
        /// Half are below.
        median: f64,
        /// 95 in 100 are below; at least the median.
        p95: f64,
    },
}

impl Tokens {
    /// What is wrong with it.
    pub fn fault(self) -> Option<String> {
        match self {
            Self::Share(share) if !(0.0..=1e3).contains(&share) => {
                Some(format!("a share must be 0 to 1000, found {share}"))
            }
            Self::Uniform { from, to } if from > to => Some(format!("`from` is {from}, above `to`, {to}")),
            Self::LogNormal { median, p95 } if !(median >= 1.0 && p95 >= median && p95 <= 1e9) => {
                Some(format!(
                    "`median` must be at least 1 and `p95` no less and at most 1e9, found {median} and {p95}"
                ))
            }
            _ => None,
        }
    }

    /// A draw, for a request whose answer has `answer` tokens.
    pub fn draw(self, answer: u32, draws: &mut Stream) -> u32 {
        match self {
            Self::Exactly(tokens) => tokens,
            Self::Share(share) => (f64::from(answer) * share).round_ties_even() as u32,
            Self::Uniform { from, to } => Count::Uniform { from, to }.draw(draws),
            Self::LogNormal { median, p95 } => {
                let sigma = libm::log(p95 / median) / Z95;
                (median * libm::exp(sigma * standard_normal(draws)) + 0.5) as u32
            }
        }
    }
}

/// A length of time, drawn anew for each visit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Duration {
    /// Always as long, such as `Exactly(ms(200))`.
    Exactly(Span),
    /// Exponential.
    Exponential {
        /// The mean.
        mean: Span,
    },
    /// Log-normal, given by two quantiles.
    LogNormal {
        /// Half are shorter.
        median: Span,
        /// 95 in 100 are shorter; at least the median.
        p95: Span,
    },
}

impl Duration {
    /// What is wrong with it.
    pub fn fault(self) -> Option<String> {
        match self {
            Self::LogNormal { median, p95 } if !(median.as_secs() > 0.0 && p95 >= median) => {
                Some("`median` must be above 0 and `p95` no less".to_owned())
            }
            _ => None,
        }
    }

    /// Whether it is no time at all.
    pub fn is_nothing(self) -> bool {
        matches!(self, Self::Exactly(span) if span.to_sim() == SimSpan::ZERO)
    }

    /// Whether it is some time for sure.
    pub fn is_something(self) -> bool {
        matches!(self, Self::Exactly(span) if span.to_sim() > SimSpan::ZERO)
    }

    /// A draw.
    pub fn draw(self, draws: &mut Stream) -> SimSpan {
        match self {
            Self::Exactly(span) => span.to_sim(),
            Self::Exponential { mean } => SimSpan::from_secs_f64(mean.as_secs() * exponential(draws)),
            Self::LogNormal { median, p95 } => {
                let sigma = libm::log(p95.as_secs() / median.as_secs()) / Z95;
                SimSpan::from_secs_f64(median.as_secs() * libm::exp(sigma * standard_normal(draws)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    fn mean(draw: impl Fn(&mut Stream) -> f64) -> f64 {
        let mut draws = Streams::new(7).stream("test", 0);
        (0..100_000).map(|_| draw(&mut draws)).sum::<f64>() / 1e5
    }

    #[test]
    fn draws_have_their_means() {
        assert!((mean(|draws| Count::Uniform { from: 2, to: 5 }.draw(draws).into()) - 3.5).abs() < 0.02);
        assert!((mean(|draws| Count::Geometric { mean: 4.0 }.draw(draws).into()) - 4.0).abs() < 0.06);
        assert_eq!(Count::Geometric { mean: 1.0 }.draw(&mut Streams::new(7).stream("test", 0)), 1);
        let half = |draws: &mut Stream| {
            f64::from(u8::from(Tokens::LogNormal { median: 100.0, p95: 400.0 }.draw(1, draws) <= 100))
        };
        assert!((mean(half) - 0.5).abs() < 0.01);
        let above = |draws: &mut Stream| {
            let p95 = Span::from_secs(2.0);
            let drawn = Duration::LogNormal { median: Span::from_secs(1.0), p95 }.draw(draws);
            f64::from(u8::from(drawn > p95.to_sim()))
        };
        assert!((mean(above) - 0.05).abs() < 0.003);
        let exponential = Duration::Exponential { mean: Span::from_secs(0.5) };
        assert!((mean(|draws| exponential.draw(draws).as_secs_f64()) - 0.5).abs() < 0.01);
        assert_eq!(Tokens::Share(0.5).draw(9, &mut Streams::new(7).stream("test", 0)), 4);
    }
}
