//! Numbers as people read them: four digits, thousands apart.

/// Four significant digits at least, no digit of the integer part dropped: `0.042`, `1.234`, `12.35`, `1,235`.
pub(crate) fn figure(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { fixed(value, decimals(value)) }
}

/// The same without the zeros that say nothing: `12.5`, `80`.
pub(crate) fn plain(value: f64) -> String {
    let text = figure(value);
    let significant = text.trim_end_matches('0').trim_end_matches('.').len();
    if text.contains('.') { text[..significant].to_owned() } else { text }
}

/// Decimals that leave four significant digits to `value`, three at most.
pub(crate) fn decimals(value: f64) -> usize {
    match value.abs() {
        999.95.. => 0,
        99.995.. => 1,
        9.9995.. => 2,
        _ => 3,
    }
}

/// With that many decimals and its thousands apart: `1,234.50`.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}{rest}", apart(whole))
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn thousands(count: u64) -> String {
    apart(&count.to_string())
}

fn apart(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of 1 in percent: `93.1%`. Nothing short of everything reads as 100 %.
pub(crate) fn percent(share: f64) -> String {
    if share < 1.0 && share > 0.999 {
        // Three digits more, cut off rather than rounded.
        format!("{:.3}%", (share * 1e5).floor() / 1e3)
    } else {
        format!("{:.1}%", share * 100.0)
    }
}

/// An amount of money: cents, or four digits below ten cents.
pub(crate) fn usd(amount: f64) -> String {
    if amount >= 1000.0 {
        format!("${}", thousands(amount.round() as u64))
    } else if amount >= 0.1 || amount == 0.0 {
        format!("${amount:.2}")
    } else {
        format!("${amount:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_four_digits() {
        let figures = [0.0, 0.0421, 1.2344, 9.9999, 12.346, 99.999, 123.46, 999.96, 1_234_567.8].map(figure);
        assert_eq!(
            figures,
            ["0", "0.042", "1.234", "10.00", "12.35", "100.0", "123.5", "1,000", "1,234,568"]
        );
        assert_eq!((thousands(999), fixed(12_345.678, 1)), ("999".to_owned(), "12,345.7".to_owned()));
        assert_eq!(figure(-0.25), "-0.250");
        assert_eq!(
            [0.0, 80.0, 79.6, 12.345, 3350.0, 0.25].map(plain),
            ["0", "80", "79.6", "12.35", "3,350", "0.25"]
        );
    }

    #[test]
    fn shares_and_money() {
        assert_eq!([0.9312, 1.0, 0.99999, 0.0].map(percent), ["93.1%", "100.0%", "99.999%", "0.0%"]);
        assert_eq!(percent(0.999_999_9), "99.999%");
        assert_eq!([1234.4, 5.5, 0.0123].map(usd), ["$1,234", "$5.50", "$0.0123"]);
    }
}
