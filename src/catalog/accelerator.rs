//! Devices: GPUs, TPUs, ASICs, processors and memory nodes, with their peak figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::text::{Entry, positive};
use super::{Precision, Verified};
use crate::units::GIB;

/// One device, as its maker describes it: peaks that no program quite reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accelerator {
    /// The name a scenario's `hardware` field uses.
    pub name: String,
    /// Who makes it; absent for generic parts such as a row of DIMMs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// What sort of device it is.
    pub class: Class,
    /// Dense (not sparse) peak arithmetic rates.
    #[serde(default, skip_serializing_if = "DenseRates::is_empty")]
    pub dense_tflops: DenseRates,
    /// The memory attached to it.
    pub memory: Memory,
    /// The fast links to its peers; absent for devices that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScaleUp>,
    /// Link to the host, per direction [GB/s = 10⁹ B/s].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_link_gb_per_s: Option<f64>,
    /// Thermal design power (W); absent where it is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdp_w: Option<f64>,
    /// How well these figures are known.
    pub verified: Verified,
    /// Where they come from.
    pub source: String,
    /// What a user of the figures should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What sort of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Class {
    /// A graphics processor.
    Gpu,
    /// A tensor processing unit.
    Tpu,
    /// Another accelerator built for learning or inference.
    Asic,
    /// A processor socket.
    Cpu,
    /// Memory or storage without arithmetic.
    Memory,
}

/// Dense peak arithmetic rates [TFLOP/s; 10¹² operations per second for `int8`]. An absent precision
/// is one the device does not accelerate, or whose rate we do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenseRates {
    /// At `bf16` and `fp16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<f64>,
    /// At `fp8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp8: Option<f64>,
    /// At `fp4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp4: Option<f64>,
    /// At `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<f64>,
}

/// The memory of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Capacity (GiB).
    pub gib: f64,
    /// Whose figure the capacity is.
    pub figure: MemoryFigure,
    /// Technology, such as `HBM3`.
    pub kind: String,
    /// Peak bandwidth [GB/s = 10⁹ B/s].
    pub gb_per_s: f64,
}

/// Whose figure a memory capacity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemoryFigure {
    /// What the device's driver reports: what a serving engine sees.
    Reported,
    /// What the maker advertises, read as GiB because what the driver reports is not known to us;
    /// where both are known, the driver reports up to 7 % less.
    Nominal,
}

/// The links between the devices of one scale-up domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleUp {
    /// Bandwidth of one device, per direction [GB/s = 10⁹ B/s]; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gb_per_s: Option<f64>,
    /// Technology and arrangement.
    pub kind: String,
    /// Devices that one domain connects, at most.
    pub domain: u32,
    /// Devices of it that reach each other's memory without the host's in between, at most; absent if all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<u32>,
}

/// A figure that the catalog does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MissingFigure {
    /// No arithmetic rate at this precision.
    #[error("{device} has no {precision} arithmetic rate in the catalog: it has {}", list(known))]
    Flops {
        /// The device.
        device: String,
        /// The precision asked for.
        precision: Precision,
        /// The precisions it has a rate for.
        known: Vec<Precision>,
    },
    /// No figure of another kind.
    #[error("{device} has no {figure} in the catalog")]
    Other {
        /// The device.
        device: String,
        /// What was asked for.
        figure: &'static str,
    },
}

fn list(known: &[Precision]) -> String {
    if known.is_empty() {
        "none at any precision".to_owned()
    } else {
        known.iter().map(|precision| precision.name()).collect::<Vec<_>>().join(", ")
    }
}

impl Accelerator {
    /// Dense peak arithmetic rate [FLOP/s; operations per second for `int8`].
    ///
    /// # Errors
    /// The catalog has no rate for the device at this precision.
    pub fn flops(&self, precision: Precision) -> Result<f64, MissingFigure> {
        self.dense_tflops.at(precision).map(|tera| tera * 1e12).ok_or_else(|| MissingFigure::Flops {
            device: self.name.clone(),
            precision,
            known: Precision::ALL.into_iter().filter(|p| self.dense_tflops.at(*p).is_some()).collect(),
        })
    }

    /// Whether it runs models by itself; a CPU or a memory node does not count.
    pub const fn is_accelerator(&self) -> bool {
        !matches!(self.class, Class::Cpu | Class::Memory)
    }

    /// Memory capacity (bytes).
    pub fn memory_bytes(&self) -> f64 {
        self.memory.gib * GIB
    }

    /// Peak memory bandwidth [B/s].
    pub fn memory_bandwidth(&self) -> f64 {
        self.memory.gb_per_s * 1e9
    }

    /// Scale-up bandwidth of the device, per direction [B/s].
    ///
    /// # Errors
    /// The device has no scale-up links, or their bandwidth is not known.
    pub fn scaleup_bandwidth(&self) -> Result<f64, MissingFigure> {
        let gb_per_s = self.scale_up.as_ref().and_then(|links| links.gb_per_s);
        gb_per_s.map(|giga| giga * 1e9).ok_or_else(|| self.missing("scale-up bandwidth"))
    }

    /// Bandwidth of the link to the host, per direction [B/s].
    ///
    /// # Errors
    /// It is not known, or the device is no peripheral.
    pub fn host_link_bandwidth(&self) -> Result<f64, MissingFigure> {
        self.host_link_gb_per_s.map(|giga| giga * 1e9).ok_or_else(|| self.missing("host link bandwidth"))
    }

    /// Thermal design power (W).
    ///
    /// # Errors
    /// It is not published.
    pub fn tdp_watts(&self) -> Result<f64, MissingFigure> {
        self.tdp_w.ok_or_else(|| self.missing("thermal design power"))
    }

    fn missing(&self, figure: &'static str) -> MissingFigure {
        MissingFigure::Other { device: self.name.clone(), figure }
    }
}

impl DenseRates {
    /// The rate at `precision` [TFLOP/s], if known.
    pub fn at(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::Bf16 | Precision::Fp16 => self.bf16,
            Precision::Fp8 => self.fp8,
            Precision::Int8 => self.int8,
            Precision::Fp4 => self.fp4,
            // No device multiplies it.
            Precision::Int4 => None,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Entry for Accelerator {
    const WHAT: &'static str = "accelerator";
    const FILE: &'static str = "hardware.ron";

    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        let rates = &self.dense_tflops;
        for (field, value) in [
            ("dense_tflops.bf16", rates.bf16),
            ("dense_tflops.fp8", rates.fp8),
            ("dense_tflops.fp4", rates.fp4),
            ("dense_tflops.int8", rates.int8),
            ("memory.gib", Some(self.memory.gib)),
            ("memory.gb_per_s", Some(self.memory.gb_per_s)),
            ("scale_up.gb_per_s", self.scale_up.as_ref().and_then(|links| links.gb_per_s)),
            ("scale_up.domain", self.scale_up.as_ref().map(|links| f64::from(links.domain))),
            ("host_link_gb_per_s", self.host_link_gb_per_s),
            ("tdp_w", self.tdp_w),
        ] {
            positive(field, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Catalog;
    use super::*;

    #[test]
    fn figures_come_out_in_si_units() {
        let h100 = Catalog::embedded().accelerator("H100-SXM5-80GB").unwrap();
        assert_eq!(h100.flops(Precision::Bf16), Ok(989.4e12));
        assert_eq!(h100.flops(Precision::Fp16), h100.flops(Precision::Bf16));
        assert_eq!(h100.memory_bytes(), 79.6 * 1024.0 * 1024.0 * 1024.0);
        assert_eq!(h100.memory_bandwidth(), 3.35e12);
        assert_eq!(h100.scaleup_bandwidth(), Ok(450e9));
        assert_eq!(h100.host_link_bandwidth(), Ok(64e9));
        assert_eq!(h100.tdp_watts(), Ok(700.0));
    }

    #[test]
    fn a_missing_figure_says_what_there_is() {
        let catalog = Catalog::embedded();
        let error =
            |name, precision| catalog.accelerator(name).unwrap().flops(precision).unwrap_err().to_string();
        assert_eq!(
            error("A100-80GB-SXM4", Precision::Fp8),
            "A100-80GB-SXM4 has no fp8 arithmetic rate in the catalog: it has bf16, fp16, int8"
        );
        assert!(error("Vera CPU (88c)", Precision::Bf16).ends_with("none at any precision"));
        let v3 = catalog.accelerator("TPU v3 (chip)").unwrap();
        assert_eq!(
            v3.tdp_watts().unwrap_err().to_string(),
            "TPU v3 (chip) has no thermal design power in the catalog"
        );
        assert!(v3.scaleup_bandwidth().is_err());
    }
}
