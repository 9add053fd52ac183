//! `mist price`: what one step costs, operator by operator, and what bounds each.

use std::fmt::Write as _;

use serde::Serialize;

use super::columns::{Align, table};
use super::failure::Failure;
use super::options::PriceOptions;
use super::terminal;
use crate::catalog::Catalog;
use crate::clients::{model_problem, unknown_name};
use crate::output::figures::{figure, percent};
use crate::runtime::{Bound, Chunk, Item, LowerBound, Part, StepShape, Target};
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
    let refused =
        |problem: Problem| Failure::Input(Problem { message: plain_setting(&problem.message), ..problem });
    let step_model = simulation.step_model(&choice(&options.runtime)?, &target).map_err(refused)?;
    let device = target.device().map_err(|message| Failure::input(plain_setting(&message)))?;
    let bill = Bill {
        model: &model.name,
        hardware: &accelerator.name,
        devices: target.devices(),
        step: step_model.price(&shape).seconds,
        bound: step_model.price(&shape).bound,
        lower_bound: LowerBound::new(&target.shape(), &device, &target.deployment()).seconds(&shape),
        tokens: shape.tokens(),
        items: step_model.itemise(&shape),
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
    const SETTINGS: [(&str, &str); 6] = [
        ("tensor_parallel: ", "--tp"),
        ("pipeline_parallel: ", "--pp"),
        ("data_parallel: ", "--dp"),
        ("expert_parallel: ", "--ep"),
        ("weights: ", "--weights"),
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

type Steps = (Vec<Chunk>, Vec<(u32, u32)>);

/// The chunks and the decoding sequences (how many, tokens each).
fn steps(prefill: &[String], decode: &[String]) -> Result<Steps, Failure> {
    let mut problems = Vec::new();
    let mut chunks = Vec::new();
    for written in prefill {
        match chunk(written) {
            Some((count, chunk)) => chunks.extend(std::iter::repeat_n(chunk, count as usize)),
            None => problems.push(
                Problem::new("", format!("`--prefill {written}` is no prompt")).help(
                    "write its tokens, `2048`; those behind a cached prefix, `512@8192`; several alike, `4x512@8192`",
                ),
            ),
        }
    }
    let mut decodes = Vec::new();
    for written in decode {
        match decoding(written) {
            Some(found) => decodes.push(found),
            None => problems.push(
                Problem::new("", format!("`--decode {written}` is no batch"))
                    .help("write how many sequences and the tokens each attends to: `64x4096`"),
            ),
        }
    }
    if problems.is_empty() && chunks.is_empty() && decodes.is_empty() {
        let help = "add `--prefill 2048`, `--decode 64x4096` or both";
        problems.push(Problem::new("", "a step without tokens costs nothing").help(help));
    }
    if problems.is_empty() { Ok((chunks, decodes)) } else { Err(Failure::Values(problems)) }
}

/// Most tokens and sequences that are taken at their word.
const MOST: u32 = 1 << 24;

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| (1..=MOST).contains(number))
}

fn counted(text: &str) -> Option<(u32, &str)> {
    match text.split_once(['x', '×']) {
        Some((count, each)) => Some((number(count).filter(|count| *count <= 1 << 16)?, each)),
        None => Some((1, text)),
    }
}

fn chunk(text: &str) -> Option<(u32, Chunk)> {
    let (count, each) = counted(text)?;
    let (tokens, context) = match each.split_once('@') {
        Some((tokens, "0")) => (tokens, 0),
        Some((tokens, context)) => (tokens, number(context)?),
        None => (each, 0),
    };
    Some((count, Chunk { tokens: number(tokens)?, context, last: true }))
}

fn decoding(text: &str) -> Option<(u32, u32)> {
    let (count, each) = counted(text)?;
    Some((count, number(each)?))
}

/// A priced step.
#[derive(Serialize)]
struct Bill<'a> {
    model: &'a str,
    hardware: &'a str,
    devices: u32,
    /// Tokens in the step.
    tokens: u64,
    /// The step (s).
    #[serde(rename = "step_s")]
    step: f64,
    bound: Bound,
    /// What physics asks for (s).
    #[serde(rename = "lower_bound_s")]
    lower_bound: f64,
    items: Vec<Item>,
}

impl Bill<'_> {
    fn table(&self, target: &Target<'_>) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{} on {} × {}, {}\n", self.model, self.devices, self.hardware, laid_out(target));
        let heads = [
            ("OPERATOR", Align::Words),
            ("CALLS", Align::Numbers),
            ("TIME ms", Align::Numbers),
            ("SHARE", Align::Numbers),
            ("BOUND BY", Align::Words),
            ("TFLOP/s", Align::Numbers),
            ("GB/s", Align::Numbers),
        ];
        let share = |seconds: f64| percent(seconds / self.step);
        let rate = |amount: f64, seconds: f64, unit: f64| {
            if amount > 0.0 && seconds > 0.0 { figure(amount / seconds / unit) } else { String::new() }
        };
        let mut rows = Vec::new();
        for part in Part::ALL {
            let items: Vec<&Item> = self.items.iter().filter(|item| item.part == part).collect();
            let seconds: f64 = items.iter().map(|item| item.seconds).sum();
            let (Some(first), [_, _, ..]) = (items.first(), &items[..]) else {
                rows.extend(items.iter().map(|item| row(item, item.operator, &share, &rate)));
                continue;
            };
            let mut longest = *first;
            for item in &items {
                longest = if item.seconds > longest.seconds { item } else { longest };
            }
            let blank = String::new;
            rows.push(vec![
                part.name().to_owned(),
                blank(),
                figure(seconds * 1e3),
                share(seconds),
                word(longest.bound),
                blank(),
                blank(),
            ]);
            rows.extend(items.iter().map(|item| row(item, &format!("  {}", item.operator), &share, &rate)));
        }
        let total = ["step", "", &figure(self.step * 1e3), "100.0%", &word(self.bound), "", ""];
        rows.push(total.map(str::to_owned).to_vec());
        text.push_str(&table(&heads, &rows));
        let bound = figure(self.lower_bound * 1e3);
        let times = figure(self.step / self.lower_bound);
        let _ = writeln!(text, "\nAt the data sheet's peaks no less than {bound} ms: {times} times that.");
        let per_s = figure(self.tokens as f64 / self.step);
        let tokens = if self.tokens == 1 { "token" } else { "tokens" };
        let _ = writeln!(text, "{} {tokens} in the step, {per_s} a second.", self.tokens);
        if target.pipeline_parallel > 1 {
            let each = figure(self.step * 1e3 / f64::from(target.pipeline_parallel));
            let _ =
                writeln!(text, "With a step in each stage of the pipeline one ends every {each} ms or so.");
        }
        text
    }
}

/// An operator's row.
fn row(
    item: &Item,
    name: &str,
    share: &impl Fn(f64) -> String,
    rate: &impl Fn(f64, f64, f64) -> String,
) -> Vec<String> {
    vec![
        name.to_owned(),
        if item.calls > 1.0 {
            figure(item.calls).trim_end_matches(".000").trim_end_matches(".00").to_owned()
        } else {
            String::new()
        },
        figure(item.seconds * 1e3),
        share(item.seconds),
        word(item.bound),
        rate(item.flops, item.seconds, 1e12),
        rate(item.bytes, item.seconds, 1e9),
    ]
}

fn word(bound: Bound) -> String {
    format!("{bound:?}").to_lowercase()
}

/// How the model lies on its devices.
fn laid_out(target: &Target<'_>) -> String {
    let mut words = Vec::new();
    for (what, ranks) in [
        ("tensor", target.tensor_parallel),
        ("pipeline", target.pipeline_parallel),
        ("data", target.data_parallel),
    ] {
        if ranks > 1 {
            words.push(format!("{what} parallel {ranks}"));
        }
    }
    if target.expert_parallel {
        words.push("experts whole".to_owned());
    }
    let arithmetic = target.arithmetic();
    let products =
        if arithmetic == target.weights { String::new() } else { format!(" in {arithmetic} products") };
    words.push(format!("weights {}{products}", target.weights));
    words.push(format!("KV cache {}", target.kv_cache));
    if target.offloaded_bytes > 0.0 {
        words.push(format!(
            "{} GiB of weights in the host",
            figure(target.offloaded_bytes / crate::units::GIB)
        ));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_as_they_are_written() {
        let of = |tokens, context| Chunk { tokens, context, last: true };
        assert_eq!(chunk("2048"), Some((1, of(2048, 0))));
        assert_eq!(chunk("4x512@8192"), Some((4, of(512, 8192))));
        assert_eq!(chunk("512@0"), Some((1, of(512, 0))));
        assert_eq!(decoding("64x4096"), Some((64, 4096)));
        assert_eq!(decoding("100"), Some((1, 100)));
        for wrong in ["", "0", "x5", "512@", "-3", "1e9", "99999999999", "0x5"] {
            assert_eq!((chunk(wrong), decoding(wrong)), (None, None), "{wrong}");
        }
    }
}
