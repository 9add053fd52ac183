//! Measured sets, and how far off the models are.
//!
//! A folder of measurements has sets; each is a file or two in a documented format (the head of its module) and a rule
//! for what is compared. Predictions never see the rows they are judged on, and every report says what was fitted.
//!
//! | set | what is compared |
//! |---|---|
//! | `genz` | FLOPs and bytes, against arithmetic by another program |
//! | `llmcompass` | two measured layers, eager |
//! | `opsums` | sums of operators, against another composition of the same tables |
//! | `static` | whole steps of static batches, leaving out GPUs, then models |
//! | `vllm019` | 300 requests of an open loop, one by one |
//! | `vllm015` | mean end-to-end latencies of open loops whose prompts were cached |
//! | `trtllm`, `nim`, `sglang` | mean latencies of closed loops |
//! | `runs` | runs of one's own: makespans, mean latencies |

mod bench;
mod closed_loop;
mod genz;
mod llmcompass;
mod open_loop;
mod opsums;
mod report;
mod runs;
mod serving;
mod static_batch;
mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub use bench::{BenchClient, OnePrompt};
pub use report::{Point, Prediction, SetReport};
use thiserror::Error;

use crate::scenario::Choice;

/// Why a set cannot be judged.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ValidationError {
    /// There is no such file.
    #[error("cannot open {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Something is wrong with a row.
    #[error("{}:{line}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The model refuses what the set asks for.
    #[error("{0}")]
    Model(String),
    /// No set has this name.
    #[error("there is no set `{name}`; there are {}", SETS.map(|set| set.0).join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
}

/// With what the sets are judged.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The runtime model; engines' overheads are set in it where it has them.
    pub runtime: &'a Choice,
    /// Simulate every so manyth row of the closed loops and of one's own runs, 1 for all.
    pub every: usize,
}

impl Context<'_> {
    /// The command that judges `set` again.
    fn again(&self, folder: &Path, set: &str) -> String {
        let mut command = format!("mist validate {} {set}", quoted(&folder.to_string_lossy()));
        let Choice { name, params, .. } = self.runtime;
        if takes_runtime(set) && !(name == "Analytical" && params.trim().is_empty()) {
            let _ = write!(command, " --runtime {}", quoted(&format!("{name}({})", params.trim())));
        }
        if self.every > 1 && ["trtllm", "nim", "sglang", "runs"].contains(&set) {
            let _ = write!(command, " --every {}", self.every);
        }
        command
    }
}

/// A word of a command, in quotes if a shell would take it apart.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+:=@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

type Judge = fn(&Path, &Context<'_>) -> Result<SetReport, ValidationError>;

/// Name, file (none if it needs none), judge.
const SETS: [(&str, &str, Judge); 10] = [
    ("genz", "genz/grid.csv", genz::judge),
    ("llmcompass", "llmcompass/measured.csv", llmcompass::judge),
    ("opsums", "", opsums::judge),
    ("static", "e2e/step_static_batch_trtllm.csv", static_batch::judge),
    ("vllm019", "e2e/open_loop_vllm019_rtxpro6000_llama8b_requests.csv", open_loop::vllm_019),
    ("vllm015", "e2e/open_loop_vllm015_h100.csv", open_loop::vllm_015),
    ("trtllm", "e2e/closed_loop_llama8b_h100_h200.csv", closed_loop::trtllm),
    ("nim", "e2e/closed_loop_trtllm_llama8b_a100_h100.csv", closed_loop::nim),
    ("sglang", "e2e/closed_loop_llama8b_h100_h200.csv", closed_loop::sglang),
    ("runs", "runs.csv", runs::judge),
];

/// The names of all sets.
pub fn sets() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(name, ..)| *name)
}

/// Whether the set is priced with the runtime model that is asked for: not if it says itself with which.
pub fn takes_runtime(set: &str) -> bool {
    !["genz", "llmcompass", "runs"].contains(&set)
}

/// The sets that `folder` has the files of.
///
/// # Errors
/// It has none.
pub fn sets_in(folder: &Path) -> Result<Vec<&'static str>, ValidationError> {
    let there: Vec<&str> = SETS
        .iter()
        .filter(|(_, file, _)| !file.is_empty() && folder.join(file).is_file())
        .map(|(name, ..)| *name)
        .collect();
    if there.is_empty() {
        let mut files: Vec<&str> = Vec::new();
        for (_, file, _) in SETS.iter().filter(|(_, file, _)| !file.is_empty()) {
            if !files.contains(file) {
                files.push(file);
            }
        }
        let why = format!("it has no measurements: none of {}", files.join(", "));
        return Err(ValidationError::Unreadable { path: folder.to_owned(), why });
    }
    Ok(there)
}

/// Judges the set of that name on the measurements in `folder`.
///
/// # Errors
/// No such set, no such file, or a row that makes no sense.
pub fn validate(folder: &Path, name: &str, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let (_, _, judge) = SETS
        .iter()
        .find(|(set, ..)| *set == name)
        .ok_or_else(|| ValidationError::Unknown { name: name.to_owned() })?;
    judge(folder, context)
}

/// `runtime` without what an engine adds, as far as that is not given.
fn bare(runtime: &Choice) -> Choice {
    let none: &[&str] = match runtime.name.as_str() {
        "Analytical" => &[
            "step_overhead: ms(0)",
            "sequence_overhead: us(0)",
            "hidden_sequence_overhead: us(0)",
            "sampling_overhead: us(0)",
            "collective_overhead: us(0)",
        ],
        "Empirical" => &[
            "step_overhead: ms(0)",
            "sequence_overhead: us(0)",
            "prompt_step_overhead: ms(0)",
            "layer_overhead: us(0)",
            "reduce_overhead: us(0)",
        ],
        _ => &[],
    };
    let missing = none.iter().filter(|none| {
        let field = none.split(':').next().unwrap_or_default();
        runtime.get(field).is_none()
    });
    let more: Vec<&str> = missing.copied().collect();
    let params = [runtime.params.trim().trim_end_matches(','), &more.join(", ")].join(", ");
    Choice::new(runtime.name.clone(), params.trim_matches([',', ' ']))
}
