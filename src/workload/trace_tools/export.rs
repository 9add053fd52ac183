//! Traces out of other traces, and out of what a workload would generate.

use std::io::Write;

use super::TraceToolError;
use crate::units::SimTime;
use crate::workload::trace::{TraceHeader, TraceReader, TraceRow, TraceWriter};
use crate::workload::{Lengths, Source, Wording};

/// Writes every row of `reader` to `out` in the native format; how many there were.
///
/// # Errors
/// A row is malformed, or `out` cannot be written to.
pub fn convert(reader: &mut dyn TraceReader, out: impl Write) -> Result<u64, TraceToolError> {
    let mut writer = TraceWriter::new(out, reader.header())?;
    let (mut row, mut rows) = (TraceRow::default(), 0);
    while reader.next_into(&mut row)? {
        writer.write(&row)?;
        rows += 1;
    }
    writer.finish()?;
    Ok(rows)
}

/// Writes what `source` brings up to and including `until` to `out` in the native format, drawn as a
/// run draws it, so that a replay of the trace gives the same run; how many requests there were.
///
/// Of a recorded source the rows are as recorded, but for their arrivals and delays, which are as sped up; where
/// rows may follow others all are written, as those within the time may follow any. Of a conversation that
/// begins within the time all turns are written, the later ones with the time of thinking for their delay; and
/// what prompts share is written as blocks of one token. Without `until` the source must end by itself.
///
/// # Errors
/// The source is a closed loop or cannot be read on, or `out` cannot be written to.
pub fn export(source: &mut Source, until: Option<SimTime>, out: impl Write) -> Result<u64, TraceToolError> {
    if source.is_closed() {
        return Err(TraceToolError::Closed);
    }
    let recorded = source.recorded();
    let single = source.names().map(|_| 1);
    let block_tokens = recorded.map_or(single, |header| header.block_tokens);
    // Where it is known what requests ask for, that is written instead of the words of the recorded service.
    let foreign = recorded.is_some_and(|header| header.foreign_models);
    let foreign_models = foreign && source.wording().model.is_empty();
    let header = TraceHeader { block_tokens, timed: true, foreign_models };
    let (writer, wording) = (TraceWriter::new(out, header)?, source.wording().clone());
    let mut export = Export { writer, wording, foreign, until, last: SimTime::ZERO, rows: 0 };
    if recorded.is_some() {
        export.recorded(source)?;
    } else {
        export.drawn(source)?;
    }
    export.writer.finish()?;
    Ok(export.rows)
}

struct Export<W> {
    writer: TraceWriter<W>,
    wording: Wording,
    foreign: bool,
    until: Option<SimTime>,
    /// The last arrival.
    last: SimTime,
    rows: u64,
}

impl<W: Write> Export<W> {
    fn recorded(&mut self, source: &mut Source) -> Result<(), TraceToolError> {
        let Some((replay, left)) = source.rows() else { return Ok(()) };
        let mut row = TraceRow::default();
        while *left > 0 && replay.advance()? {
            // One that was not answered is of use to those that follow it.
            if replay.row().failed && (replay.row().id.is_empty() || !replay.may_follow()) {
                continue;
            }
            *left -= u64::from(!replay.row().failed);
            let within = self.arrive(replay.arrival()?);
            if !within && !replay.may_follow() {
                break;
            }
            row.clone_from(replay.row());
            row.delay = replay.delay();
            self.write(&mut row)?;
        }
        Ok(())
    }

    fn drawn(&mut self, source: &mut Source) -> Result<(), TraceToolError> {
        let names = source.names();
        while let Some(arrival) = source.next_drawn()? {
            let session = source.conversations();
            if !self.arrive(arrival) {
                break;
            }
            let turns = source.turns()?;
            if turns.is_empty() {
                break;
            }
            for (at, turn) in turns.into_iter().enumerate() {
                let Lengths { prompt_tokens, output_tokens } = turn.lengths;
                let mut row = TraceRow { prompt_tokens, output_tokens, ..TraceRow::default() };
                if let Some(session) = session {
                    row.session = session.to_string();
                    row.turn = Some(at as u32 + 1);
                    row.delay = (at > 0).then_some(turn.think);
                }
                if let (Some(names), Some(text)) = (names, &turn.text) {
                    for run in text.runs() {
                        // Ids of names have room for runs of any length.
                        let _ = row.blocks.push_run(names.id(run.first), run.tokens);
                    }
                    row.answer = text.answer().map(|name| names.id(name));
                }
                self.write(&mut row)?;
            }
        }
        Ok(())
    }

    /// The next requests arrive; tells whether that is within the time.
    fn arrive(&mut self, arrival: SimTime) -> bool {
        // The clock of a run does not go back either.
        self.last = self.last.max(arrival);
        self.until.is_none_or(|until| self.last <= until)
    }

    fn write(&mut self, row: &mut TraceRow) -> Result<(), TraceToolError> {
        let Wording { model, pipeline } = &self.wording;
        if (row.model.is_empty() || self.foreign) && !model.is_empty() {
            row.model.clone_from(model);
        }
        if row.pipeline.is_empty() {
            row.pipeline.clone_from(pipeline);
        }
        row.arrival = self.last;
        self.writer.write(row)?;
        self.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;
    use crate::scenario::TraceSpec;
    use crate::workload::arrivals::{ClosedLoop, OnOff, Poisson};
    use crate::workload::lengths::AzureConv;
    use crate::workload::trace::{Input, Options, read};
    use crate::workload::{Asks, Replay, Shared, Sources};

    fn poisson(seed: u64) -> Source {
        let arrivals = ron::from_str::<Poisson>("(rate: per_s(8))").unwrap().build().unwrap();
        let lengths = AzureConv {}.build().unwrap();
        Source::new(arrivals, lengths, Shared::default(), Asks::default(), 500, &Streams::new(seed), 1)
    }

    /// What a run would see.
    fn requests(source: Source) -> Vec<(SimTime, Lengths)> {
        let mut sources = Sources::new(vec![source]);
        let mut seen = Vec::new();
        while let Some(at) = sources.next_arrival(0, SimTime::ZERO).unwrap() {
            seen.extend(sources.draw(0, None).unwrap().map(|drawn| (at, drawn.lengths)));
        }
        seen
    }

    fn replay(trace: &[u8], speedup: f64) -> Source {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t"), trace).unwrap();
        let spec = ron::from_str::<TraceSpec>(&format!("(path: \"t\", speedup: {speedup})")).unwrap();
        Source::replay(
            Replay::open(&spec, folder.path()).unwrap().timed().unwrap(),
            Asks::default(),
            u64::MAX,
            0,
        )
    }

    #[test]
    fn a_replay_brings_what_the_workload_would_have() {
        let mut trace = Vec::new();
        assert_eq!(export(&mut poisson(7), None, &mut trace).unwrap(), 500);
        assert_eq!(requests(replay(&trace, 1.0)), requests(poisson(7)));
        let mut again = Vec::new();
        export(&mut replay(&trace, 1.0), None, &mut again).unwrap();
        assert_eq!(again, trace);
    }

    #[test]
    fn a_sped_up_replay_is_exported_sped_up_and_whole() {
        let text = "{\"mist_trace\":1,\"block_tokens\":16}\n{\"arrival_ns\":8,\"prompt_tokens\":1,\
            \"output_tokens\":2,\"session\":\"s\",\"blocks\":[[3,1]]}\n{\"arrival_ns\":9,\"prompt_tokens\":1,\
            \"output_tokens\":0,\"failed\":true}\n";
        let mut trace = Vec::new();
        assert_eq!(export(&mut replay(text.as_bytes(), 4.0), None, &mut trace).unwrap(), 1);
        let expected = text.lines().take(2).map(|line| line.replace(":8", ":2") + "\n").collect::<String>();
        assert_eq!(String::from_utf8(trace).unwrap(), expected);
    }

    #[test]
    fn an_arrival_beyond_the_clock_is_an_error_with_its_line() {
        let text = "{\"mist_trace\":1}\n{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":2}\n\
            {\"arrival_ns\":1000000000000000,\"prompt_tokens\":1,\"output_tokens\":2}\n";
        assert_eq!(requests(replay(text.as_bytes(), 1e-3)).len(), 2);
        let late = export(&mut replay(text.as_bytes(), 1e-6), None, Vec::new()).unwrap_err().to_string();
        assert!(late.contains(":3: a request arrives more than 292 years after the start"), "{late}");
        let arrivals = ron::from_str::<OnOff>("(on: s(1), off: h(270000), on_rate: per_s(1))").unwrap();
        let source = |arrivals: Box<dyn crate::workload::ArrivalProcess>| {
            let lengths = AzureConv {}.build().unwrap();
            Source::new(arrivals, lengths, Shared::default(), Asks::default(), 500, &Streams::new(0), 0)
        };
        let late = export(&mut source(arrivals.build().unwrap()), None, Vec::new()).unwrap_err();
        assert!(matches!(late, TraceToolError::Source(crate::workload::SourceError::TooLate)), "{late}");
    }

    #[test]
    fn the_horizon_cuts_and_a_closed_loop_is_refused() {
        let all = requests(poisson(7));
        let until = all[99].0;
        assert_eq!(export(&mut poisson(7), Some(until), Vec::new()).unwrap(), 100);
        let arrivals = ron::from_str::<ClosedLoop>("(concurrency: 2)").unwrap().build().unwrap();
        let lengths = AzureConv {}.build().unwrap();
        let streams = Streams::new(0);
        let mut closed = Source::new(arrivals, lengths, Shared::default(), Asks::default(), 9, &streams, 0);
        assert!(matches!(export(&mut closed, None, Vec::new()), Err(TraceToolError::Closed)));
    }

    #[test]
    fn converting_a_native_trace_changes_nothing() {
        let mut trace = Vec::new();
        export(&mut poisson(1), None, &mut trace).unwrap();
        let input = Input::from_reader("t", std::io::Cursor::new(trace.clone()));
        let mut converted = Vec::new();
        let mut reader = read(input, &Options::default()).unwrap();
        assert_eq!(convert(reader.as_mut(), &mut converted).unwrap(), 500);
        assert_eq!(converted, trace);
    }
}
