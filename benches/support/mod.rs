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

/// The same with whole steps that were measured, made up.
pub fn whole_model() -> std::sync::Arc<dyn mist::runtime::StepModel> {
    use mist::runtime::profile::{Phase, Profile, Residuals};
    use mist::runtime::{Deployed, Empirical, WHOLE_STEPS_FORM, WholeStep, WholeSteps};
    let target = target();
    let of = Deployed {
        model: target.model.name.clone(),
        engine: mist::runtime::Engine::Vllm,
        version: (0, 15),
        tensor_parallel: target.tensor_parallel,
        weights: target.weights,
        kv_cache: target.kv_cache,
    };
    let step = |phase, tokens: Vec<f64>, step_us, token_us| WholeStep {
        of: of.clone(),
        phase,
        rows: 4,
        held_out: (0.0, 0.0),
        step_us,
        token_us,
        key_ns: 1.0,
        residual: Residuals::new([0.0; 4], 2),
        tokens,
        length: vec![100.0, 4000.0],
    };
    let steps = WholeSteps {
        form: WHOLE_STEPS_FORM,
        gpu: target.accelerator.name.clone(),
        source: "made up".to_owned(),
        licence: "none".to_owned(),
        command: "none".to_owned(),
        steps: vec![
            step(Phase::Decode, vec![1.0, 256.0], 25_000.0, 40.0),
            step(Phase::Prefill, vec![128.0, 16_384.0], 26_000.0, 90.0),
        ],
    };
    let profile = Profile::read(Profile::embedded(&steps.gpu).unwrap()).unwrap();
    std::sync::Arc::new(Empirical::default().build_with(&profile, &steps, &target).unwrap())
}

/// `kind` compiled for a client of `rack_256`.
fn model(kind: &dyn mist::runtime::RuntimeKind) -> std::sync::Arc<dyn mist::runtime::StepModel> {
    kind.compile(&target()).unwrap()
}

/// A client of `rack_256`.
fn target() -> mist::runtime::Target<'static> {
    let catalog = mist::catalog::Catalog::embedded();
    let model = catalog.model("Llama-3.1-70B").unwrap();
    let target = mist::runtime::Target::new(model, catalog.accelerator("H100-SXM5-80GB").unwrap());
    mist::runtime::Target { tensor_parallel: 2, max_step_tokens: 8192, ..target }
}
