//! Quantities as a scenario writes them: the unit is part of the value, `ms(500)` or `per_s(8)`.
//!
//! A wrong unit is a wrong variant, so the RON loader points at it and lists the units that fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Brief, SimSpan};

/// A length of time: `s(1.5)`, `ms(200)`, `us(10)`, `ns(80)`, `min(5)` or `h(1)`; finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SpanText", into = "SpanText")]
#[schemars(with = "SpanText")]
pub struct Span {
    seconds: f64,
}

/// The longest [`Span`]: a century, well within the nanosecond clock.
const LONGEST_S: f64 = 876_000.0 * 3600.0;

/// How a [`Span`] is written.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Span", rename_all = "lowercase")]
#[schemars(extend("x-what" = "a length of time"))]
enum SpanText {
    /// Nanoseconds.
    Ns(f64),
    /// Microseconds.
    Us(f64),
    /// Milliseconds.
    Ms(f64),
    /// Seconds.
    S(f64),
    /// Minutes.
    Min(f64),
    /// Hours.
    H(f64),
}

impl TryFrom<SpanText> for Span {
    type Error = String;

    fn try_from(text: SpanText) -> Result<Self, String> {
        // Divided, not multiplied by 1e-6, which no float holds: `us(200)` is 0.0002 s to the digit.
        let (value, seconds) = match text {
            SpanText::Ns(v) => (v, v / 1e9),
            SpanText::Us(v) => (v, v / 1e6),
            SpanText::Ms(v) => (v, v / 1e3),
            SpanText::S(v) => (v, v),
            SpanText::Min(v) => (v, v * 60.0),
            SpanText::H(v) => (v, v * 3600.0),
        };
        if !(value.is_finite() && value >= 0.0) {
            Err(format!("a length of time must be finite and not negative, found {}", Brief(value)))
        } else if seconds > LONGEST_S {
            Err(format!(
                "a length of time must be at most {} hours, found {}",
                LONGEST_S / 3600.0,
                Brief(value)
            ))
        } else {
            Ok(Self { seconds })
        }
    }
}

impl From<Span> for SpanText {
    fn from(span: Span) -> Self {
        Self::S(span.seconds)
    }
}

impl Span {
    /// A span of `seconds`, which must be finite and not negative.
    pub const fn from_secs(seconds: f64) -> Self {
        Self { seconds }
    }

    /// Seconds.
    pub const fn as_secs(self) -> f64 {
        self.seconds
    }

    /// Rounded to the simulator's clock.
    pub fn to_sim(self) -> SimSpan {
        SimSpan::from_secs_f64(self.seconds)
    }
}

/// A rate: `per_s(240)` or `per_min(90)`; finite and above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RateText", into = "RateText")]
#[schemars(with = "RateText")]
pub struct PerSecond {
    per_second: f64,
}

/// How a [`PerSecond`] is written.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Rate", rename_all = "snake_case")]
#[schemars(extend("x-what" = "a rate"))]
enum RateText {
    /// Events per second.
    PerS(f64),
    /// Events per minute.
    PerMin(f64),
}

impl TryFrom<RateText> for PerSecond {
    type Error = String;

    fn try_from(text: RateText) -> Result<Self, String> {
        let (value, scale) = match text {
            RateText::PerS(v) => (v, 1.0),
            RateText::PerMin(v) => (v, 1.0 / 60.0),
        };
        if value.is_finite() && value > 0.0 {
            Ok(Self { per_second: value * scale })
        } else {
            Err(format!("a rate must be finite and above zero, found {}", Brief(value)))
        }
    }
}

impl From<PerSecond> for RateText {
    fn from(rate: PerSecond) -> Self {
        Self::PerS(rate.per_second)
    }
}

impl PerSecond {
    /// A rate of `per_second`, which must be finite and above zero.
    pub const fn new(per_second: f64) -> Self {
        Self { per_second }
    }

    /// Events per second.
    pub const fn get(self) -> f64 {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_part_of_the_value() {
        assert_eq!(ron::from_str::<Span>("ms(250)").unwrap().as_secs(), 0.25);
        assert_eq!(ron::from_str::<Span>("us(200)").unwrap().as_secs(), 0.0002);
        assert_eq!(ron::from_str::<Span>("ns(80)").unwrap().as_secs(), 80e-9);
        assert_eq!(ron::from_str::<Span>("min(2)").unwrap().to_sim(), SimSpan::from_ns(120_000_000_000));
        assert_eq!(ron::from_str::<PerSecond>("per_min(90)").unwrap().get(), 1.5);
        for bad in ["ms(-1)", "s(NaN)", "s(inf)", "parsecs(3)", "0.25", "h(1e300)"] {
            assert!(ron::from_str::<Span>(bad).is_err(), "{bad}");
        }
        for bad in ["per_s(0)", "per_s(-2)", "per_s(NaN)", "ms(3)"] {
            assert!(ron::from_str::<PerSecond>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quantities_survive_a_round_trip_exactly() {
        let span = ron::from_str::<Span>("ms(0.1)").unwrap();
        assert_eq!(ron::from_str::<Span>(&ron::to_string(&span).unwrap()).unwrap(), span);
    }
}
