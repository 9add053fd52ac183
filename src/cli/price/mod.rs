//! `mist price`: what one step costs, operator by operator, and what bounds each.

mod bill;
mod refusals;
mod steps;
mod warnings;

use self::bill::Bill;
use self::refusals::{refused, too_much_offloaded, wrong_with};
use self::steps::steps;
use self::warnings::warnings;
use super::failure::Failure;
use super::options::PriceOptions;
use super::terminal;
use crate::catalog::Catalog;
use crate::clients::{model_problem, unknown_name};
use crate::runtime::{LowerBound, StepShape, Target};
use crate::scenario::{Choice, Problem};
use crate::simulation::Simulation;

/// Prints the bill of a step.
pub(super) fn price(options: &PriceOptions, simulation: &Simulation) -> Result<(), Failure> {
    let catalog = Catalog::open(options.catalog.as_deref());
    let catalog = catalog.map_err(|error| Failure::input(error.to_string()))?;
    let model =
        catalog.model_or_config(&options.model).map_err(|error| Failure::Input(model_problem("", &error)))?;
    let accelerator = catalog
        .accelerator(&options.hardware)
        .map_err(|unknown| Failure::Input(unknown_name("", &unknown)))?;
    let (prefill, decodes) = steps(&options.prefill, &options.decode)?;
    let shape = StepShape {
        prefill: &prefill,
        decode_seqs: decodes.iter().map(|(sequences, _)| sequences).sum(),
        decode_context: decodes.iter().map(|(n, each)| u64::from(*n) * u64::from(*each)).sum(),
    };
    let target = Target {
        tensor_parallel: options.tensor_parallel,
        pipeline_parallel: options.pipeline_parallel,
        data_parallel: options.data_parallel,
        expert_parallel: options.expert_parallel,
        weights: options.weights,
        activations: options.activations,
        kv_cache: options.kv_cache,
        // Tables that the one step would not pay for.
        max_step_tokens: 1,
        offloaded_bytes: options.offload_gib * crate::units::GIB,
        ..Target::new(&model, accelerator)
    };
    wrong_with(&target)?;
    let runtime = choice(&options.runtime)?;
    let compiled = |target: &Target<'_>| simulation.step_model(&runtime, target);
    let step_model = compiled(&target).map_err(|problem| refused(problem, &target, compiled))?;
    too_much_offloaded(&target)?;
    let device = target.device().map_err(|message| Failure::input(plain_setting(&message)))?;
    let bill = Bill {
        model: &model.name,
        hardware: &accelerator.name,
        devices: target.devices(),
        copies: target.data_parallel,
        step: step_model.price(&shape).seconds,
        bound: step_model.price(&shape).bound,
        lower_bound: LowerBound::new(&target.shape(), &device, &target.deployment()).seconds(&shape),
        tokens: shape.tokens() * u64::from(target.data_parallel),
        items: step_model.itemise(&shape),
        runtime: &options.runtime,
        basis: step_model.basis(),
        warnings: warnings(&target, &prefill, &decodes),
    };
    let text = if options.json {
        serde_json::to_string_pretty(&bill).map_err(|error| Failure::Broken(error.to_string()))? + "\n"
    } else {
        bill.table(&target)
    };
    terminal::print(text.as_bytes())
}

/// `--tp` rather than the field of a client.
fn plain_setting(message: &str) -> String {
    const SETTINGS: [(&str, &str); 8] = [
        ("tensor_parallel: ", "--tp"),
        ("pipeline_parallel: ", "--pp"),
        ("data_parallel: ", "--dp"),
        ("expert_parallel: ", "--ep"),
        ("weights: ", "--weights"),
        ("activations: ", "--activations"),
        ("kv_cache: ", "--kv-cache"),
        ("offloaded_bytes: ", "--offload"),
    ];
    for (setting, option) in SETTINGS {
        if let Some(what) = message.strip_prefix(setting) {
            return format!("{option}: {what}");
        }
    }
    message.to_owned()
}

/// A runtime model as it is written on the command line.
pub(super) fn choice(written: &str) -> Result<Choice, Failure> {
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    options.from_str(written).map_err(|error| {
        let help = "such as `Analytical` or `Analytical(cuda_graphs: false)`";
        Failure::Input(Problem::new("", format!("runtime `{written}`: {}", error.code)).help(help))
    })
}
