//! Lengths as recorded in a trace.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LengthSource, Lengths};
use crate::engine::Stream;
use crate::scenario::TraceSpec;
use crate::workload::{Replay, SourceError};

/// The recorded lengths of a trace file, row by row and as they are; over when the file is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The trace file; a relative path starts at the scenario's folder. Required. Mirrors
    /// `vllm bench serve --dataset-path`.
    pub path: PathBuf,
    /// The format's name, such as `"azure"`; default: the one that fits the file's first line.
    #[serde(default)]
    pub format: Option<String>,
    /// Characters a token, above 0, for a ShareGPT file whose tokens were not counted beforehand;
    /// default: none, every message has its `tokens`.
    #[serde(default)]
    pub chars_per_token: Option<f64>,
}

impl Trace {
    /// Opens the trace and looks at its first line. `folder` is where a relative path starts.
    ///
    /// # Errors
    /// The file cannot be read, its format is not known, or a value is out of range.
    pub fn build(self, folder: &Path) -> Result<Box<dyn LengthSource>, String> {
        let Self { path, format, chars_per_token } = self;
        let spec = TraceSpec { path, format, speedup: 1.0, block_tokens: None, chars_per_token };
        Ok(Box::new(Recorded(Replay::open(&spec, folder)?)))
    }
}

struct Recorded(Replay);

impl LengthSource for Recorded {
    fn next(&mut self, _: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        Ok(self.0.advance_answered()?.then(|| self.0.lengths()))
    }

    fn ends(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    #[test]
    fn rows_come_as_they_are_until_one_is_malformed() {
        let folder = tempfile::tempdir().unwrap();
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374,44\n\
            2023-11-16 18:15:47,0,0\n2023-11-16 18:15:48,many,1\n";
        std::fs::write(folder.path().join("t.csv"), text).unwrap();
        let choice = ron::from_str::<Trace>("(path: \"t.csv\", format: Some(\"azure\"))").unwrap();
        let mut source = choice.build(folder.path()).unwrap();
        let mut rng = Streams::new(0).stream("lengths", 0);
        let mut next = || source.next(&mut rng);
        assert_eq!(next().unwrap(), Some(Lengths { prompt_tokens: 374, output_tokens: 44 }));
        assert_eq!(next().unwrap(), Some(Lengths { prompt_tokens: 0, output_tokens: 0 }));
        let error = next().err().unwrap().to_string();
        assert!(error.contains("t.csv:4: column `ContextTokens`:") && error.contains("`many`"), "{error}");
        assert_eq!(next().unwrap(), None);
    }
}
