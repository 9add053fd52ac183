//! `prices.csv` → `prices.ron`.

use std::io::Read;

use super::super::{Evidence, Price, Terms};
use super::table::{ImportError, Row, import};

const COLUMNS: [&str; 9] = [
    "instance",
    "gpus",
    "gpu",
    "usd_per_hour",
    "usd_per_gpu_hour",
    "pre_june2025_usd_per_hour",
    "region_os",
    "source",
    "evidence",
];

const COMMENT: &str = "\
What renting accelerators costs.
Origin: a table of list prices as quoted publicly; each entry names its source and when the price was in force.
Written by `mist derive prices prices.csv`: change the table, or lay a folder of your own over this file.";

/// The catalog's name of each device a price list names.
const ACCELERATORS: [(&str, &str); 9] = [
    ("H100-80GB SXM", "H100-SXM5-80GB"),
    ("H100", "H100-SXM5-80GB"), // only for instances known to carry the SXM module: p5, "H100 SXM"
    ("A100-80GB SXM", "A100-80GB-SXM4"),
    ("A100-80GB", "A100-80GB-SXM4"),
    ("A100-40GB SXM", "A100-40GB-SXM4"),
    ("A100-40GB", "A100-40GB-SXM4"),
    ("H200", "H200-SXM-141GB"),
    ("B200", "B200-SXM"),
    ("L40S", "L40S"),
];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The text of `prices.ron` from a table of offers.
///
/// Columns: `instance, gpus, gpu, usd_per_hour, usd_per_gpu_hour, pre_june2025_usd_per_hour, region_os,
/// source, evidence`. `region_os` is `REGION Linux on-demand`, `capacity block` (dated in the instance's
/// name) or `RunPod Mon-YYYY`; the date of an on-demand price is the first one in its source.
///
/// # Errors
/// The table has other columns, a row does not fit, or its two prices disagree.
pub fn prices_from_csv(reader: impl Read) -> Result<String, ImportError> {
    import(reader, &COLUMNS, &[], COMMENT, price)
}

fn price(row: &Row<'_>) -> Result<Price, ImportError> {
    let offer = offer(row)?;
    let price = Price {
        instance: row.filled("instance")?.to_owned(),
        provider: offer.provider.to_owned(),
        accelerator: row.one_of("gpu", &ACCELERATORS)?.to_owned(),
        gpus: row.number("gpus")?,
        usd_per_hour: row.number("usd_per_hour")?,
        usd_per_hour_before_june_2025: row.number_if_any("pre_june2025_usd_per_hour")?,
        terms: offer.terms,
        region: offer.region.map(str::to_owned),
        seen: offer.seen,
        source: row.filled("source")?.to_owned(),
        evidence: row
            .one_of("evidence", &[("primary", Evidence::Primary), ("secondary", Evidence::Secondary)])?,
    };
    let each: f64 = row.number("usd_per_gpu_hour")?;
    if (each - price.usd_per_gpu_hour()).abs() > 0.001 {
        let expected = format!("{:.4}, the hourly price over the accelerators", price.usd_per_gpu_hour());
        return Err(row.refuse("usd_per_gpu_hour", &expected));
    }
    Ok(price)
}

/// What `region_os` tells, with the date from wherever the row has it.
struct Offer<'a> {
    provider: &'a str,
    terms: Terms,
    region: Option<&'a str>,
    seen: String,
}

fn offer<'a>(row: &'a Row<'_>) -> Result<Offer<'a>, ImportError> {
    let cell = row.filled("region_os")?;
    let undated = |column: &str| row.refuse(column, "a date");
    if let Some(region) = cell.strip_suffix(" Linux on-demand") {
        if !row.text("source").starts_with("AWS ") {
            return Err(row.refuse("source", "the AWS price list, for an on-demand price"));
        }
        let seen = day(row.text("source")).ok_or_else(|| undated("source"))?;
        return Ok(Offer { provider: "AWS", terms: Terms::OnDemand, region: Some(region), seen });
    }
    if cell == "capacity block" {
        let seen = month(row.text("instance")).ok_or_else(|| undated("instance"))?;
        return Ok(Offer { provider: "AWS", terms: Terms::CapacityBlock, region: None, seen });
    }
    if let Some(date) = cell.strip_prefix("RunPod ") {
        let seen = month(date).ok_or_else(|| undated("region_os"))?;
        return Ok(Offer { provider: "RunPod", terms: Terms::Unstated, region: None, seen });
    }
    Err(row.refuse("region_os", "`REGION Linux on-demand`, `capacity block` or `RunPod Mon-YYYY`"))
}

/// The first `2026-07-28` in a text.
fn day(text: &str) -> Option<String> {
    words(text)
        .find(|word| {
            let parts: Vec<&str> = word.split('-').collect();
            parts.iter().map(|part| part.len()).eq([4, 2, 2])
                && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .map(str::to_owned)
}

/// The first `Jan-2025` in a text, as `2025-01`.
fn month(text: &str) -> Option<String> {
    words(text).find_map(|word| {
        let (name, year) = word.split_once('-')?;
        let month = MONTHS.iter().position(|month| *month == name)? + 1;
        let year: u16 = year.parse().ok()?;
        Some(format!("{year:04}-{month:02}"))
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "p5.48xlarge,8,H100-80GB SXM,55.04,6.88,98.32,us-east-1 Linux on-demand,\
        AWS Price List 2026-07-28 as quoted (2026-08-26),secondary";

    fn derive(row: &str) -> Result<String, ImportError> {
        prices_from_csv(format!("{}\n{row}\n", COLUMNS.join(",")).as_bytes())
    }

    #[test]
    fn a_row_becomes_a_paragraph() {
        let text = derive(ROW).unwrap();
        assert_eq!(
            text.split_once("[\n").unwrap().1,
            r#"    (
        instance: "p5.48xlarge",
        provider: "AWS",
        accelerator: "H100-SXM5-80GB",
        gpus: 8,
        usd_per_hour: 55.04,
        usd_per_hour_before_june_2025: 98.32,
        terms: OnDemand,
        region: "us-east-1",
        seen: "2026-07-28",
        source: "AWS Price List 2026-07-28 as quoted (2026-08-26)",
        evidence: Secondary,
    ),
]
"#
        );
    }

    #[test]
    fn dates_are_found_where_they_are() {
        assert_eq!(month("p5.48xlarge (capacity block Jan-2025)").as_deref(), Some("2025-01"));
        assert_eq!(month("RunPod"), None);
        assert_eq!(day("seen 2026-08-26, and us-east-1"), Some("2026-08-26".to_owned()));
        assert_eq!(day("us-east-1"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let problem = |from, to| derive(&ROW.replace(from, to)).unwrap_err().to_string();
        assert!(problem("6.88", "6.70").contains("expected 6.8800, the hourly price over"));
        assert!(problem("H100-80GB SXM", "H900").contains("found `H900`"));
        assert!(problem("2026-07-28 as quoted (2026-08-26)", "as quoted").contains("expected a date"));
        assert!(problem("us-east-1 Linux on-demand", "Mars").contains("`capacity block`"));
    }
}
