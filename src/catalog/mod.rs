//! What MIST knows by name: accelerators, models and prices.
//!
//! The figures ship inside the program (`assets/*.ron`) and a scenario may lay a folder of its own
//! over them; an entry of the same name replaces ours, a new name is added.
//!
//! ```
//! use mist::catalog::{Catalog, Precision};
//!
//! let catalog = Catalog::embedded();
//! let gpu = catalog.accelerator("H100-SXM5-80GB")?;
//! let model = catalog.model("meta-llama/Llama-3.1-70B")?; // or by its short name, Llama-3.1-70B
//!
//! let weights = model.parameters() as f64 * Precision::Fp8.bytes();
//! let tokens = (gpu.memory_bytes() - weights) / model.kv_bytes_per_token(Precision::Fp8);
//! assert!(tokens > 80e3 && tokens < 100e3);
//! # Ok::<(), mist::catalog::UnknownName>(())
//! ```
//!
//! **Units.** Files and fields hold the figures as makers print them (TFLOP/s, GB/s = 10⁹ B/s, GiB, W,
//! 10⁹ parameters) and say so in their names; methods answer in FLOP/s, B/s, bytes and watts.
//!
//! **What it leaves out.** Everything measured: efficiencies, overheads and fitted curves belong to the
//! runtime models. The figures here are peaks, shapes and list prices, each with its source and
//! [how well it is known](Verified).
//!
//! **Where the assets come from.** [`hardware_from_csv`], [`models_from_csv`] and [`prices_from_csv`]
//! write `hardware.ron`, `models.ron` and `prices.ron` from tables, one row an entry: `mist derive
//! hardware|models|prices FILE.csv`. `models_published.ron` holds further models, read by hand off their
//! published configurations.
//!
//! **Models of your own.** Where a scenario names a model it may also give the path of a Hugging Face
//! `config.json`: see [`HfConfig`] and [`Catalog::model_or_config`].

mod accelerator;
mod found;
mod hugging_face;
mod import;
mod load;
mod lookup;
mod model;
mod parameters;
mod precision;
mod price;
mod text;
mod verified;

pub use accelerator::{Accelerator, Class, DenseRates, Memory, MemoryFigure, MissingFigure, ScaleUp};
pub use found::{FoundModel, ModelError, config_path};
pub use hugging_face::{HfConfig, HfConfigError, StoredWeights};
pub use import::{ImportError, hardware_from_csv, models_from_csv, prices_from_csv};
pub use load::CatalogError;
pub use lookup::{Catalog, UnknownName};
pub use model::{Attention, Bias, Expected, Experts, Ffn, Latent, Model, ModelKind, Origin, Window};
pub use precision::Precision;
pub use price::{Evidence, Price, Terms};
pub use verified::Verified;
