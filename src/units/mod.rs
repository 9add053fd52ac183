//! Quantities the simulator computes with: time, and the typed quantities a scenario is written in.
//!
//! Simulated time is integer nanoseconds. Runtime models answer in `f64` seconds and
//! [`SimSpan::from_secs_f64`] is the one place that rounds them.

mod data;
mod quantity;
mod time;

pub use data::{Bandwidth, ByteSize, Fraction};
pub use quantity::{PerSecond, Span};
pub use time::{SimSpan, SimTime};

/// A number in a message: in full where that is short, else with an exponent.
#[derive(Clone, Copy, Debug)]
pub struct Brief(pub f64);

impl std::fmt::Display for Brief {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(number) = self;
        match number.abs() {
            0.0 | 1e-6..1e16 => write!(f, "{number}"),
            _ => write!(f, "{number:e}"),
        }
    }
}

/// Bytes in one GiB, the unit in which drivers report memory.
pub const GIB: f64 = 1_073_741_824.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_takes_a_line() {
        for (number, text) in
            [(0.0, "0"), (-2.5, "-2.5"), (1e6, "1000000"), (1e300, "1e300"), (1e-320, "1e-320")]
        {
            assert_eq!(Brief(number).to_string(), text);
        }
        assert_eq!(Brief(f64::NAN).to_string() + &Brief(f64::INFINITY).to_string(), "NaNinf");
    }
}
