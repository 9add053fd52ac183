//! What a calibration found out about itself.

use super::CalibrateError;
use super::attention::AttentionScores;
use super::chunks::ChunkScores;
use super::errors::Errors;
use super::gemm::GemmScores;
use super::measurements::{AttentionSet, GemmSet, MoeSet, Origin};
use super::moe::MoeScores;

/// The errors of one operator in one regime.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The operator.
    pub operator: String,
    /// What was foretold, from what.
    pub regime: String,
    /// The table.
    pub table: String,
    /// By how much it was off.
    pub errors: Errors,
}

/// What a calibration found out about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Errors by operator and regime; of an operator, held-out shapes come first.
    pub lines: Vec<Line>,
    /// Tables and rows that were refused, left out or marked, and why.
    pub remarks: Vec<String>,
}

impl Report {
    fn add(&mut self, operator: &str, table: &str, regimes: Vec<(&str, Errors)>) {
        for (regime, errors) in regimes.into_iter().filter(|(_, errors)| errors.count > 0) {
            let (operator, regime, table) = (operator.to_owned(), regime.to_owned(), table.to_owned());
            self.lines.push(Line { operator, regime, table, errors });
        }
    }

    /// A table is refused.
    pub(super) fn refused(&mut self, operator: &str, Origin { table, file, .. }: &Origin, why: &str) {
        self.remarks.push(format!("refused {operator} {table} ({}): {why}", file.display()));
    }

    /// `problem`, and behind it all that was remarked: why there is nothing to go on with.
    pub(super) fn because(&self, problem: &str) -> CalibrateError {
        let remarks: Vec<String> = self.remarks.iter().map(|remark| format!("\n  {remark}")).collect();
        let colon = if remarks.is_empty() { "" } else { ":" };
        CalibrateError::Missing(format!("{problem}{colon}{}", remarks.concat()))
    }

    pub(super) fn gemm(&mut self, set: &GemmSet, scores: Option<GemmScores>) {
        let Some(scores) = scores else { return };
        let mut regimes = vec![("shapes held out", scores.shapes)];
        if scores.all != scores.shapes {
            regimes.push(("… with hot rows", scores.all));
        }
        regimes.push(("… n, k ≥ 512", scores.large));
        regimes.push(("… ragged tokens", scores.ragged));
        regimes.push(("lines held out", scores.between));
        regimes.push(("as fitted", scores.kept));
        self.add(&format!("gemm {}", set.kind), &set.origin.table, regimes);
    }

    pub(super) fn attention(&mut self, set: &AttentionSet, scores: Option<AttentionScores>) {
        let Some(scores) = scores else { return };
        let mut regimes = vec![("heads held out", scores.shapes)];
        if scores.all != scores.shapes {
            regimes.push(("… all rows", scores.all));
        }
        regimes.push(("as fitted", scores.kept));
        let window = set.window.map_or(String::new(), |window| format!(" w{window}"));
        let phase = format!("{:?}", set.phase).to_lowercase();
        self.add(&format!("{phase} d{} {}{window}", set.head_dim, set.kv_cache), &set.origin.table, regimes);
    }

    pub(super) fn chunks(&mut self, scores: Option<ChunkScores>) {
        let Some(scores) = scores else { return };
        for (operator, each) in [
            ("behind prefix", scores.prefix),
            ("… beyond own start", scores.beyond),
            ("mixed step", scores.mixed),
        ] {
            for (name, errors) in each {
                self.add(operator, "llmservingsim", vec![(&format!("{name} held out"), errors)]);
            }
        }
    }

    pub(super) fn moe(&mut self, set: &MoeSet, scores: Option<MoeScores>) {
        let Some(scores) = scores else { return };
        let routing = format!("{:?}", set.routing).to_lowercase();
        let regimes = vec![("layers held out", scores.shapes), ("models held out", scores.models)];
        let kernel = set.kernel.map_or(String::new(), |kernel| format!(" {}", kernel.name()));
        self.add(&format!("moe {}{kernel} {routing}", set.kind), &set.origin.table, regimes);
    }

    pub(super) fn step(&mut self, operator: &str, regime: &str, errors: Errors) {
        self.add(operator, "", vec![(regime, errors)]);
    }

    pub(super) fn collectives(&mut self, operator: &str, errors: Errors) {
        self.add(operator, "", vec![("sizes left out", errors)]);
    }
}
