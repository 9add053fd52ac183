//! What the benchmarks share.
#![allow(dead_code, clippy::unwrap_used)]

pub mod cpu;
pub mod profiled;
pub mod reference;
pub mod ticks;

use std::path::Path;

use mist::simulation::{Run, Simulation};

use profiled::Profiled;

/// The scenario of that name, with `requests` requests.
pub fn load(name: &str, requests: u64) -> Run {
    Simulation::new().set(format!("workload[0].requests={requests}")).load(path(name)).unwrap()
}

/// The same, its steps priced by a table look-up that a plugin brings in.
pub fn load_profiled(name: &str, requests: u64) -> Run {
    Simulation::new()
        .with(profiled::plugin)
        .set(format!("workload[0].requests={requests}"))
        .set("clients[0].runs.runtime=Profiled()")
        .load(path(name))
        .unwrap()
}

fn path(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    folder.join(format!("{name}.ron")).to_str().unwrap().to_owned()
}

/// The table behind the interface, by itself.
pub fn profiled_model() -> std::sync::Arc<dyn mist::runtime::StepModel> {
    model(&Profiled {})
}

/// The analytical model, by itself.
pub fn analytical_model() -> std::sync::Arc<dyn mist::runtime::StepModel> {
    model(&mist::runtime::Analytical::default())
}

/// Steps put together from the profile that ships for H100.
pub fn empirical_model() -> std::sync::Arc<dyn mist::runtime::StepModel> {
    model(&mist::runtime::Empirical::default())
}

/// `kind` compiled for a client of `rack_256`.
fn model(kind: &dyn mist::runtime::RuntimeKind) -> std::sync::Arc<dyn mist::runtime::StepModel> {
    let catalog = mist::catalog::Catalog::embedded();
    let model = catalog.model("Llama-3.1-70B").unwrap();
    let target = mist::runtime::Target::new(model, catalog.accelerator("H100-SXM5-80GB").unwrap());
    kind.compile(&mist::runtime::Target { tensor_parallel: 2, max_step_tokens: 8192, ..target }).unwrap()
}
