//! The bill of a step, to be read and for other programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::columns::{Align, table};
use crate::output::figures::{figure, percent};
use crate::runtime::{Bound, Item, Part, Target};

/// A priced step.
#[derive(Serialize)]
pub(super) struct Bill<'a> {
    pub model: &'a str,
    pub hardware: &'a str,
    pub devices: u32,
    /// Copies of attention, as busy as each other.
    pub copies: u32,
    /// Tokens in the step, of all copies.
    pub tokens: u64,
    /// The step (s).
    #[serde(rename = "step_s")]
    pub step: f64,
    pub bound: Bound,
    /// What physics asks for (s).
    #[serde(rename = "lower_bound_s")]
    pub lower_bound: f64,
    pub items: Vec<Item>,
    /// The runtime model, as it was asked for.
    pub runtime: &'a str,
    /// What its figures rest on.
    pub basis: Vec<String>,
    /// What no server could run.
    pub warnings: Vec<String>,
}

impl Bill<'_> {
    pub(super) fn table(&self, target: &Target<'_>) -> String {
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
        let each = match u64::from(self.copies) {
            1 => String::new(),
            copies => format!(", {} in each of {copies} copies", self.tokens / copies),
        };
        let _ = writeln!(text, "{} {tokens} in the step{each}, {per_s} a second.", self.tokens);
        if target.pipeline_parallel > 1 {
            let each = figure(self.step * 1e3 / f64::from(target.pipeline_parallel));
            let _ =
                writeln!(text, "With a step in each stage of the pipeline one ends every {each} ms or so.");
        }
        let _ = writeln!(
            text,
            "Priced by {}.",
            [&[self.runtime.to_owned()], &self.basis[..]].concat().join("; ")
        );
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
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
