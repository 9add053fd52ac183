//! What bounds the devices that profiles are made of, beyond what the catalog says of them.

use super::CalibrateError;
use crate::catalog::{Accelerator, Precision};
use crate::runtime::profile::Silicon;
use crate::scenario::did_you_mean;

/// Device, streaming multiprocessors, second-level cache (MB = 10⁶ B). Makers' documents.
const CORES: [(&str, u32, f64); 13] = [
    ("A100-40GB-SXM4", 108, 40.0),
    ("A100-80GB-SXM4", 108, 40.0),
    ("A100-80GB-PCIe", 108, 40.0),
    ("H100-SXM5-80GB", 132, 50.0),
    ("H100-PCIe-80GB", 114, 50.0),
    ("H200-SXM-141GB", 132, 50.0),
    ("GH200-144GB", 132, 50.0),
    ("B200-SXM", 148, 126.0),
    ("L40S", 142, 96.0),
    ("L4", 58, 48.0),
    ("A10", 72, 6.0),
    ("A30", 56, 24.0),
    ("RTX-PRO-6000-Server", 188, 128.0),
];

/// What bounds a device.
///
/// # Errors
/// Its cores are not known here, or its rates not to the catalog.
pub(super) fn of(accelerator: &Accelerator) -> Result<Silicon, CalibrateError> {
    let Some((_, multiprocessors, cache_mb)) = CORES.iter().find(|(name, ..)| *name == accelerator.name)
    else {
        let near = did_you_mean(&accelerator.name, CORES.iter().map(|(name, ..)| *name));
        return Err(CalibrateError::Device(format!(
            "how many multiprocessors {} has, and what cache, is not known; {near}",
            accelerator.name
        )));
    };
    let bf16 = accelerator.flops(Precision::Bf16).map_err(|why| CalibrateError::Device(why.to_string()))?;
    Ok(Silicon {
        gb_per_s: accelerator.memory.gb_per_s,
        bf16_tflops: bf16 / 1e12,
        fp8_tflops: accelerator.dense_tflops.at(Precision::Fp8),
        fp4_tflops: accelerator.dense_tflops.at(Precision::Fp4),
        multiprocessors: *multiprocessors,
        cache_mb: *cache_mb,
    })
}
