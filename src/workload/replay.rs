//! Recorded requests as a source: arrival, lengths and all else from one row.

use std::path::Path;

use super::error::on_the_clock;
use super::trace::{self, Input, Options, TraceHeader, TraceReader, TraceRow};
use super::{Asks, Lengths, SourceError, Vocabulary};
use crate::scenario::TraceSpec;
use crate::units::{Brief, SimSpan, SimTime};

/// The requests of a trace, one at a time. Those that the recorded service failed to answer are left
/// out: what they would have generated is not known.
pub struct Replay {
    reader: Box<dyn TraceReader>,
    speedup: f64,
    row: TraceRow,
    /// What its rows may ask for; without it they ask for what their class does.
    words: Option<Vocabulary>,
}

impl Replay {
    /// Opens the trace and looks at its first line. `folder` is where a relative path starts.
    ///
    /// # Errors
    /// A value is out of range, the file cannot be read, or its format is not known.
    pub fn open(spec: &TraceSpec, folder: &Path) -> Result<Self, String> {
        let TraceSpec { path, format, speedup, block_tokens, chars_per_token } = spec;
        if !(1e-6..=1e6).contains(speedup) {
            return Err(format!("speedup: must be 0.000001 to 1000000, found {}", Brief(*speedup)));
        }
        let options = Options {
            format: format.as_deref(),
            block_tokens: *block_tokens,
            chars_per_token: *chars_per_token,
        };
        let reader = Input::open(&folder.join(path)).and_then(|input| trace::read(input, &options));
        let reader = reader.map_err(|error| error.to_string())?;
        Ok(Self { reader, speedup: *speedup, row: TraceRow::default(), words: None })
    }

    /// Checks that the trace says when its requests arrive.
    ///
    /// # Errors
    /// It holds lengths only.
    pub fn timed(self) -> Result<Self, String> {
        if self.reader.header().timed {
            Ok(self)
        } else {
            Err("the trace holds lengths and no arrivals: use it as `lengths` only".to_owned())
        }
    }

    /// What holds for all its requests.
    pub fn header(&self) -> TraceHeader {
        self.reader.header()
    }

    /// Goes on to the next row, failed or not; `false` when there are no more.
    ///
    /// # Errors
    /// The file cannot be read on, or a row is malformed.
    pub fn advance(&mut self) -> Result<bool, SourceError> {
        self.reader.next_into(&mut self.row)
    }

    /// Goes on to the next request that was answered; `false` when there are no more.
    ///
    /// # Errors
    /// The file cannot be read on, or a row is malformed.
    pub fn advance_answered(&mut self) -> Result<bool, SourceError> {
        loop {
            let read = self.advance()?;
            if !read || !self.row.failed {
                return Ok(read);
            }
        }
    }

    /// The current request, as recorded.
    pub const fn row(&self) -> &TraceRow {
        &self.row
    }

    /// Whether rows may follow others.
    pub fn may_follow(&self) -> bool {
        self.reader.may_follow()
    }

    /// When the current request arrives, if it follows no other.
    ///
    /// # Errors
    /// It comes later than the clock holds.
    pub fn arrival(&self) -> Result<SimTime, SourceError> {
        let at = SimTime::from_ns(self.sped_up(self.row.arrival.as_ns()));
        on_the_clock(at).map_err(|late| self.reader.error(late.to_string()))
    }

    /// How long after what it follows the current request arrives, if it follows others.
    pub fn delay(&self) -> Option<SimSpan> {
        self.row.delay.map(|delay| SimSpan::from_ns(self.sped_up(delay.as_ns())))
    }

    fn sped_up(&self, ns: u64) -> u64 {
        if self.speedup == 1.0 { ns } else { (ns as f64 / self.speedup + 0.5) as u64 }
    }

    /// An error about the current request.
    pub fn error(&self, what: String) -> SourceError {
        self.reader.error(what)
    }

    /// Its rows ask for models and pipelines in these words.
    pub fn understand(&mut self, words: Vocabulary) {
        self.words = Some(words);
    }

    /// What the current request asks for; `otherwise` where it does not say.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn asks(&self, otherwise: Asks) -> Result<Asks, SourceError> {
        let row = &self.row;
        match &self.words {
            Some(words) if !(row.model.is_empty() && row.pipeline.is_empty()) => {
                let foreign = self.reader.header().foreign_models;
                words.of(row, foreign, otherwise).map_err(|what| self.reader.error(what))
            }
            _ => Ok(otherwise),
        }
    }

    /// The current request's lengths.
    pub const fn lengths(&self) -> Lengths {
        Lengths { prompt_tokens: self.row.prompt_tokens, output_tokens: self.row.output_tokens }
    }
}
