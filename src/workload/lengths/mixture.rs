//! Several kinds of request in one workload: each draw comes from one of some sources.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LengthRegistry, LengthSource, Lengths};
use crate::engine::{Stream, uniform};
use crate::scenario::{Choice, ChoiceError};
use crate::workload::SourceError;

/// A mixture of other lengths: each request draws prompt and output from one part, picked by weight.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// What is mixed, 1 to 1000 parts; required, such as
    /// `[(weight: 3, lengths: AzureConv), (weight: 1, lengths: AzureCode)]`.
    pub parts: Vec<Part>,
}

/// A part of a mixture.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How often this part is picked, in proportion to the weights of the others, 1e-9 to 1e9;
    /// required.
    pub weight: f64,
    /// The lengths of this part's requests; a trace that runs out ends the workload. Required.
    #[schemars(extend("x-choice" = "length distribution"))]
    pub lengths: Choice,
}

impl Mixture {
    /// Resolves the parts and fills in their defaults.
    ///
    /// # Errors
    /// There is no part, a weight is out of its range, or a part cannot be resolved.
    pub fn build(&mut self, registry: &LengthRegistry) -> Result<Box<dyn LengthSource>, ChoiceError> {
        if !(1..=1000).contains(&self.parts.len()) {
            let message = format!("must hold 1 to 1000 parts, found {}", self.parts.len());
            return Err(ChoiceError::new("parts", message));
        }
        let (mut total, mut parts) = (0.0, Vec::new());
        for (at, part) in self.parts.iter_mut().enumerate() {
            if !(1e-9..=1e9).contains(&part.weight) {
                let message = format!("must be 1e-9 to 1e9, found {}", part.weight);
                return Err(ChoiceError::new(format!("parts[{at}].weight"), message));
            }
            let resolved = registry.resolve(&part.lengths);
            let resolved = resolved.map_err(|error| error.within(&format!("parts[{at}].lengths")))?;
            part.lengths = resolved.choice;
            total += part.weight;
            parts.push((total, resolved.built));
        }
        Ok(Box::new(Mixed { parts, total }))
    }
}

struct Mixed {
    /// The running total of the weights, and the source.
    parts: Vec<(f64, Box<dyn LengthSource>)>,
    total: f64,
}

impl LengthSource for Mixed {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        // A draw is at most 1 − 2⁻⁵³, whose product rounds below the total.
        let pick = uniform(rng) * self.total;
        let at = self.parts.partition_point(|part| part.0 <= pick);
        self.parts[at].1.next(rng)
    }

    fn ends(&self) -> bool {
        self.parts.iter().any(|part| part.1.ends())
    }
}

/// Makes every relative path in `lengths` start from `folder`, those of the parts of a mixture too.
pub fn rebase(lengths: &mut Choice, folder: &Path) {
    lengths.rebase("path", folder);
    for at in 0.. {
        let field = format!("parts[{at}].lengths");
        let part = lengths.get(&field).and_then(|text| ron::from_str::<Choice>(text).ok());
        let Some(mut part) = part else { break };
        rebase(&mut part, folder);
        lengths.set(&field, &part.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::engine::SimBuilder;
    use crate::scenario::Resolved;

    fn resolve(text: &str) -> Result<Resolved<Box<dyn LengthSource>>, ChoiceError> {
        let mut sim = SimBuilder::new(0);
        super::super::built_in(&mut sim);
        sim.world().resource::<LengthRegistry>().resolve(&ron::from_str(text).unwrap())
    }

    #[test]
    fn parts_come_by_weight() {
        let text = "Mixture(parts: [(weight: 3, lengths: Fixed(prompt: 10, output: 1)), \
            (weight: 1, lengths: Mixture(parts: [(weight: 1, lengths: Fixed(prompt: 20, output: 2))]))])";
        let [prompts, outputs] = testing::columns(resolve(text).unwrap().built, 78, 100_000);
        let short = prompts.iter().filter(|tokens| **tokens == 10).count() as f64;
        // Four standard errors of a share of three quarters.
        assert!((short / 1e5 - 0.75).abs() < 4.0 * (0.75_f64 * 0.25 / 1e5).sqrt(), "{short}");
        assert!(prompts.iter().zip(&outputs).all(|(prompt, output)| *prompt == 10 * output));
    }

    #[test]
    fn defaults_of_the_parts_are_filled_in() {
        let text = "Mixture(parts: [(weight: 1, lengths: Uniform(prompt: (mean: 9), output: (mean: 5)))])";
        let choice = resolve(text).unwrap().choice;
        assert_eq!(
            choice.to_string(),
            "Mixture(parts: [(weight: 1.0, lengths: Uniform(prompt: (mean: 9, range_ratio: 0.0), \
             output: (mean: 5, range_ratio: 0.0)))])"
        );
        assert_eq!(resolve(&choice.to_string()).unwrap().choice, choice);
    }

    #[test]
    fn faults_are_shown_at_their_part() {
        let fault = |part: &str| {
            let text = format!("Mixture(parts: [(weight: 1, lengths: AzureConv), ({part})])");
            resolve(&text).err().unwrap().into_problem("workload[0].lengths")
        };
        let unknown = fault("weight: 1, lengths: AzurConv");
        assert_eq!(unknown.path, "workload[0].lengths.parts[1].lengths");
        assert_eq!(unknown.message, "unknown length distribution `AzurConv`");
        assert!(unknown.help.unwrap().starts_with("did you mean `AzureConv`?"));
        let refused = fault("weight: 1, lengths: Fixed(prompt: 0, output: 1)");
        assert_eq!(refused.path, "workload[0].lengths.parts[1].lengths.prompt");
        let weight = fault("weight: 0, lengths: AzureCode");
        assert_eq!(weight.path, "workload[0].lengths.parts[1].weight");
        assert_eq!(resolve("Mixture(parts: [])").err().unwrap().field, "parts");
    }

    #[test]
    fn paths_of_the_parts_start_at_the_scenario() {
        let text = "Mixture(parts: [(weight: 1, lengths: Table(path: \"t.ron\")), (weight: 2, lengths: \
            Mixture(parts: [(weight: 1, lengths: Trace(path: \"a/t.csv\"))]))])";
        let mut choice: Choice = ron::from_str(text).unwrap();
        rebase(&mut choice, Path::new("/data"));
        assert_eq!(choice.get("parts[0].lengths.path"), Some("\"/data/t.ron\""));
        assert_eq!(choice.get("parts[1].lengths.parts[0].lengths.path"), Some("\"/data/a/t.csv\""));
    }

    #[test]
    fn a_mixture_ends_with_the_first_part_that_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374,44\n")
            .unwrap();
        let text = format!(
            "Mixture(parts: [(weight: 1, lengths: AzureConv), (weight: 1, lengths: Trace(path: {path:?}))])"
        );
        let mut source = resolve(&text).unwrap().built;
        assert!(source.ends());
        let mut rng = testing::stream(79);
        assert!((0..100).any(|_| source.next(&mut rng).unwrap().is_none()));
        assert!(!resolve("Mixture(parts: [(weight: 1, lengths: AzureConv)])").unwrap().built.ends());
    }
}
