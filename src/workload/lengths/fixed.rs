//! The same lengths for every request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LengthSource, Lengths};
use crate::engine::Stream;
use crate::workload::SourceError;

/// The same lengths for every request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Prompt tokens, 1 or more; required. Mirrors `vllm bench serve --random-input-len`.
    pub prompt: u32,
    /// Tokens generated, 1 or more; required. Mirrors `vllm bench serve --random-output-len`.
    pub output: u32,
}

impl Fixed {
    /// Checks the lengths.
    ///
    /// # Errors
    /// A length is 0.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        for (field, tokens) in [("prompt", self.prompt), ("output", self.output)] {
            if tokens == 0 {
                return Err(format!("{field}: must be 1 token or more, found 0"));
            }
        }
        Ok(Box::new(self))
    }
}

impl LengthSource for Fixed {
    fn next(&mut self, _: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        Ok(Some(Lengths { prompt_tokens: self.prompt, output_tokens: self.output }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    #[test]
    fn every_request_is_the_same_and_none_is_empty() {
        let mut rng = Streams::new(0).stream("lengths", 0);
        let mut source = ron::from_str::<Fixed>("(prompt: 512, output: 64)").unwrap().build().unwrap();
        let expected = Some(Lengths { prompt_tokens: 512, output_tokens: 64 });
        assert!((0..10).all(|_| source.next(&mut rng).unwrap() == expected));
        let error = Fixed { prompt: 1, output: 0 }.build().err().unwrap();
        assert_eq!(error, "output: must be 1 token or more, found 0");
    }
}
