//! What renting accelerators costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Catalog;
use super::text::{Entry, positive};

/// One offer: an instance with its accelerators, at a price, on a date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The name a platform's `price` field uses.
    pub instance: String,
    /// Who rents it out.
    pub provider: String,
    /// The catalog's name of the accelerator inside.
    pub accelerator: String,
    /// How many of them.
    pub gpus: u32,
    /// Price of the whole instance [US$/h].
    pub usd_per_hour: f64,
    /// The same before the cuts of June 2025 [US$/h], for comparison with older studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_hour_before_june_2025: Option<f64>,
    /// On what terms.
    pub terms: Terms,
    /// The provider's region; absent where the source names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// When this price was in force, `YYYY-MM-DD` or `YYYY-MM`.
    pub seen: String,
    /// Where the figure comes from.
    pub source: String,
    /// Whether we read the provider's own list.
    pub evidence: Evidence,
}

/// On what terms an instance is rented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Terms {
    /// By the hour, without commitment, at the list price.
    OnDemand,
    /// A block of capacity booked ahead for a fixed time.
    CapacityBlock,
    /// The source does not say.
    Unstated,
}

/// How close to the provider a price was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Evidence {
    /// In the provider's own price list.
    Primary,
    /// As others quote it.
    Secondary,
}

impl Price {
    /// Price of one accelerator [US$/h].
    pub fn usd_per_gpu_hour(&self) -> f64 {
        self.usd_per_hour / f64::from(self.gpus)
    }
}

impl Catalog {
    /// The offer that prices an accelerator when a scenario names none: of its on-demand offers the one
    /// with the most accelerators, as tensor parallelism needs them in one machine; of those the
    /// cheapest; of those the first by name. `None` when nobody offers it on demand.
    pub fn default_price(&self, accelerator: &str) -> Option<&Price> {
        self.prices()
            .iter()
            .filter(|price| price.accelerator == accelerator && price.terms == Terms::OnDemand)
            .min_by(|a, b| {
                (b.gpus.cmp(&a.gpus))
                    .then(a.usd_per_hour.total_cmp(&b.usd_per_hour))
                    .then_with(|| a.instance.cmp(&b.instance))
            })
    }
}

impl Entry for Price {
    const WHAT: &'static str = "price";
    const FILE: &'static str = "prices.ron";

    fn name(&self) -> &str {
        &self.instance
    }

    fn check(&self) -> Result<(), String> {
        positive("gpus", Some(f64::from(self.gpus)))?;
        positive("usd_per_hour", Some(self.usd_per_hour))?;
        positive("usd_per_hour_before_june_2025", self.usd_per_hour_before_june_2025)?;
        let shape: String = self.seen.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        if matches!(shape.as_str(), "9999-99-99" | "9999-99") {
            Ok(())
        } else {
            Err(format!("`seen` must be a date like 2026-07-28 or 2026-07, found `{}`", self.seen))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_largest_on_demand_instance() {
        let catalog = Catalog::embedded();
        let default = |name| catalog.default_price(name).map(|price| price.instance.as_str());
        assert_eq!(default("H100-SXM5-80GB"), Some("p5.48xlarge"));
        assert_eq!(default("A100-80GB-SXM4"), Some("p4de.24xlarge"));
        assert_eq!(default("A100-40GB-SXM4"), Some("p4d.24xlarge"));
        assert_eq!(default("H200-SXM-141GB"), Some("p5en.48xlarge"));
        assert_eq!(default("B200-SXM"), Some("p6-b200.48xlarge"));
        assert_eq!(default("L40S"), Some("g6e.48xlarge"));
        assert_eq!(default("MI300X"), None);
        assert_eq!(catalog.default_price("H100-SXM5-80GB").map(Price::usd_per_gpu_hour), Some(6.88));
    }

    #[test]
    fn every_price_is_of_a_device_we_know() {
        let catalog = Catalog::embedded();
        for price in catalog.prices() {
            catalog.accelerator(&price.accelerator).unwrap();
        }
    }
}
