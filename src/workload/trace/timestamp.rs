//! Calendar timestamps to integer nanoseconds.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Nanoseconds since 1970-01-01 UTC of a timestamp such as `2023-11-16 18:15:46.6805900`, with up
/// to nine fractional digits and optionally a UTC offset (`+00:00`, `Z`); without one it is UTC.
///
/// `None` when it is no such thing.
pub fn parse_instant_ns(text: &str) -> Option<i128> {
    plain(text.as_bytes()).or_else(|| general(text))
}

/// Nanoseconds of a number of units of `ns_per_unit`, to the nearest; `None` when it is not finite or
/// too large for a clock.
pub(super) fn instant_ns(units: f64, ns_per_unit: u64) -> Option<i128> {
    let ns = (units * ns_per_unit as f64 + 0.5).floor();
    // Far beyond any clock, far below where differences of instants would overflow.
    (ns.abs() < 1e30).then_some(ns as i128)
}

/// Whatever jiff reads.
fn general(text: &str) -> Option<i128> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_nanosecond());
    }
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}

/// `YYYY-MM-DD hh:mm:ss[.f…]` in UTC, twenty times faster than a general parser; `None` for
/// anything else, including what is unusual but valid.
fn plain(text: &[u8]) -> Option<i128> {
    let (clock, fraction) = text.split_at_checked(19)?;
    for (index, separator) in [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')] {
        if clock[index] != separator {
            return None;
        }
    }
    let year = number(&clock[..4])?;
    let [month, day, hour, minute, second] = [5, 8, 11, 14, 17].map(|at| number(&clock[at..at + 2]));
    let (month, day, hour, minute, second) = (month?, day?, hour?, minute?, second?);
    // Days up to the 28th exist in every month; years at the rim are jiff's to judge.
    let usual = (1..=9998).contains(&year) && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !usual || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction_ns = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)? * 10_i64.pow(9 - digits.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(fraction_ns))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, by counting from the first
/// of March so that leap days fall at the end of the year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seven_digits_are_exact() {
        let at = |text| parse_instant_ns(text).unwrap();
        assert_eq!(at("1970-01-01 00:00:00"), 0);
        assert_eq!(at("2023-11-16 18:15:46.6805900"), 1_700_158_546_680_590_000);
        assert_eq!(at("2023-11-16 18:15:46.6805901") - at("2023-11-16 18:15:46.6805900"), 100);
    }

    #[test]
    fn offsets_and_the_letter_t_are_read() {
        let at = |text| parse_instant_ns(text).unwrap();
        let utc = at("2024-05-10 00:00:00.009930");
        assert_eq!(at("2024-05-10 00:00:00.009930+00:00"), utc);
        assert_eq!(at("2024-05-10T00:00:00.009930Z"), utc);
        assert_eq!(at("2024-05-10 02:00:00.009930+02:00"), utc);
        assert_eq!(at("2024-05-31 00:00:00"), utc - 9_930_000 + 21 * 86_400_000_000_000);
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for text in ["", "yesterday", "2023-02-30 00:00:00", "2023-11-16 25:00:00", "2023-11-16 18:15:46."] {
            assert_eq!(parse_instant_ns(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_general_one(
            date in (1..9999_i64, 1..13_u8, 1..32_u8),
            clock in (0..24_u8, 0..60_u8, 0..61_u8),
            fraction in "(\\.[0-9]{0,9})?",
        ) {
            let text = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction}",
                date.0, date.1, date.2, clock.0, clock.1, clock.2
            );
            if let Some(instant) = plain(text.as_bytes()) {
                prop_assert_eq!(Some(instant), general(&text), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9T :.Z+\\[\\]é]{0,40}") {
            let _ = parse_instant_ns(&text);
        }
    }
}
