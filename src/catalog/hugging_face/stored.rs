//! In which number format the published weights are.

use std::fmt;

use super::super::Precision;
use super::Config;
use super::keys::{Fault, Keys};

/// The number format of published weights. A deployment chooses its own; this is what it converts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWeights {
    /// The precision, where it is one that a scenario can name; `None` for 32-bit floats and 4-bit integers.
    pub precision: Option<Precision>,
    /// How the configuration puts it, such as ``quant_method `fp8` ``.
    pub written: String,
}

impl fmt::Display for StoredWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.precision {
            Some(precision) => write!(f, "weights are published in {precision} ({})", self.written),
            None => write!(f, "weights are published in a format without a name here ({})", self.written),
        }
    }
}

/// The number format of the weights, as far as the configuration tells, and the keys about it that played
/// no part.
pub(super) fn weights(config: &Config<'_>) -> Result<(Option<StoredWeights>, Vec<String>), Fault> {
    let quantization = config.anywhere(|keys| keys.object("quantization_config"))?;
    let mut plain = None;
    for key in ["dtype", "torch_dtype"] {
        plain = plain.or(config.anywhere(|keys| keys.text(key))?.map(|format| (key, format)));
    }
    if let Some(keys) = quantization {
        let stored = quantized(&keys)?;
        return Ok((Some(stored), keys.unread().collect()));
    }
    let stored = plain.map(|(key, format)| StoredWeights {
        precision: match format.trim_start_matches("torch.") {
            "bfloat16" => Some(Precision::Bf16),
            "float16" | "half" => Some(Precision::Fp16),
            "float8_e4m3fn" | "float8_e5m2" => Some(Precision::Fp8),
            _ => None,
        },
        written: format!("{key} `{}`", short(format)),
    });
    Ok((stored, Vec::new()))
}

fn quantized(keys: &Keys<'_>) -> Result<StoredWeights, Fault> {
    let method = keys.text("quant_method")?.unwrap_or("unnamed");
    let mut bits = keys.whole("bits")?;
    let mut float = false;
    if keys.flag("load_in_4bit")? == Some(true) {
        bits = Some(4);
    } else if keys.flag("load_in_8bit")? == Some(true) {
        bits = Some(8);
    }
    let mut algorithm = keys.text("quant_algo")?;
    if let Some(groups) = keys.object("config_groups")? {
        // compressed-tensors: by groups of layers, of which the first stands for all
        let first = groups.names().next();
        let group = first.map(|name| groups.object(name)).transpose()?.flatten();
        if let Some(weights) = group.map(|group| group.object("weights")).transpose()?.flatten() {
            bits = weights.whole("num_bits")?;
            float = weights.text("type")? == Some("float");
            algorithm = algorithm.or(weights.text("type")?);
        }
    }
    let precision = match (method, algorithm.unwrap_or_default(), bits) {
        ("fp8" | "fbgemm_fp8", _, _) | (_, "FP8", _) => Some(Precision::Fp8),
        ("mxfp4", _, _) | (_, "NVFP4" | "MXFP4", _) => Some(Precision::Fp4),
        (_, _, Some(8)) => Some(if float { Precision::Fp8 } else { Precision::Int8 }),
        (_, _, Some(4)) if float => Some(Precision::Fp4),
        _ => None,
    };
    let mut written = vec![format!("quant_method `{}`", short(method))];
    written.extend(algorithm.map(|algorithm| format!("`{}`", short(algorithm))));
    written.extend(bits.map(|bits| format!("{bits} bits")));
    Ok(StoredWeights { precision, written: written.join(", ") })
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
