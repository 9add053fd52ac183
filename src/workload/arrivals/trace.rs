//! Arrivals at the recorded instants of a trace.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ArrivalProcess, End};
use crate::engine::Stream;
use crate::scenario::TraceSpec;
use crate::units::SimTime;
use crate::workload::{Replay, SourceError};

/// The recorded arrivals of a trace file, the first at time 0 (in the native format, at its `arrival_ns`);
/// over when the file is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The trace file; a relative path starts at the scenario's folder. Required. Mirrors
    /// `vllm bench serve --dataset-path`.
    pub path: PathBuf,
    /// The format's name, such as `"azure"`; default: the one that fits the file's first line.
    #[serde(default)]
    pub format: Option<String>,
    /// How many times faster than recorded the requests arrive, 1e-6 to 1e6; default 1 (as recorded).
    #[serde(default = "as_recorded")]
    pub speedup: f64,
}

fn as_recorded() -> f64 {
    1.0
}

impl Trace {
    /// Opens the trace and looks at its first line. `folder` is where a relative path starts.
    ///
    /// # Errors
    /// The speed-up is not above 0, the file cannot be read, its format is not known, or it holds no
    /// arrivals.
    pub fn build(self, folder: &Path) -> Result<Box<dyn ArrivalProcess>, String> {
        let Self { path, format, speedup } = self;
        let spec = TraceSpec { path, format, speedup, block_tokens: None, chars_per_token: None };
        Ok(Box::new(Recorded(Replay::open(&spec, folder)?.timed()?)))
    }
}

struct Recorded(Replay);

impl ArrivalProcess for Recorded {
    fn next(&mut self, _: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        if !self.0.advance_answered()? {
            return Ok(None);
        }
        if self.0.delay().is_some() {
            let what = "the request arrives after others are over, and has no arrival of its own: let the class \
                        replay it as a `trace`";
            return Err(self.0.error(what.to_owned()));
        }
        self.0.arrival().map(Some)
    }

    fn end(&self) -> End {
        End::Itself
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    const TRACE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
        2023-11-16 18:15:46.6805900,374,44\r\n\
        2023-11-16 18:15:46.6805901,396,109\r\n\
        2023-11-16 18:15:50.6805900,879,55";

    fn instants(speedup: &str) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.csv"), TRACE).unwrap();
        let choice = ron::from_str::<Trace>(&format!("(path: \"t.csv\"{speedup})")).unwrap();
        let mut process = choice.build(folder.path()).unwrap();
        let mut rng = Streams::new(0).stream("arrivals", 0);
        std::iter::from_fn(|| process.next(&mut rng).unwrap().map(SimTime::as_ns)).collect()
    }

    #[test]
    fn replays_the_recorded_gaps_to_the_digit() {
        assert_eq!(instants(""), [0, 100, 4_000_000_000]);
    }

    #[test]
    fn speedup_divides_every_gap() {
        assert_eq!(instants(", speedup: 4"), [0, 25, 1_000_000_000]);
    }

    #[test]
    fn a_request_without_an_arrival_of_its_own_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let row = "\"input_length\":1,\"output_length\":1}";
        let text =
            format!("{{\"timestamp\":1,\"session_id\":1,{row}\n{{\"delay\":1,\"session_id\":1,{row}\n");
        std::fs::write(folder.path().join("t.jsonl"), text).unwrap();
        let choice = ron::from_str::<Trace>("(path: \"t.jsonl\")").unwrap();
        let mut process = choice.build(folder.path()).unwrap();
        let mut rng = Streams::new(0).stream("arrivals", 0);
        assert_eq!(process.next(&mut rng).unwrap(), Some(SimTime::ZERO));
        let error = process.next(&mut rng).unwrap_err().to_string();
        assert!(error.contains("t.jsonl:2: the request arrives after others"), "{error}");
        std::fs::write(folder.path().join("t.json"), "[]").unwrap();
        let choice = ron::from_str::<Trace>("(path: \"t.json\")").unwrap();
        assert!(choice.build(folder.path()).err().unwrap().contains("no arrivals"));
    }

    #[test]
    fn bad_values_are_refused_before_the_run() {
        let refusal = |text: &str| {
            let choice = ron::from_str::<Trace>(text).unwrap();
            choice.build(Path::new("/nonexistent")).err().unwrap()
        };
        assert!(
            refusal("(path: \"t.csv\", speedup: 0)")
                .contains("speedup: must be 0.000001 to 1000000, found 0")
        );
        assert!(refusal("(path: \"t.csv\")").contains("cannot open /nonexistent/t.csv: "));
    }
}
