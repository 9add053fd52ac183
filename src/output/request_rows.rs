//! `requests.csv`: one row a request as it leaves, those still in flight at the end last.
//!
//! `status` is `completed`, the reason why it was turned away, or `in_flight`; of a request that did not
//! complete, cells hold what is known and are empty otherwise. Times are integer nanoseconds since the start of the
//! simulation, latencies integer nanoseconds; `tpot_ns` is empty for one output token. Sources and clients go by name.
//! Where a pipeline has more than one visit, more columns follow: when its tokens came out, all tokens that models read
//! and generated for it, and its time in each stage, which adds up to `e2e_ns`. Where clients have prefix caches, the
//! last column is `cached_tokens`, of its prompt.

use std::io::{self, Write};

use crate::metrics::{RequestRecord, RowSink, RowSource, Unfinished};
use crate::request::Rejection;
use crate::request::pipeline::Lap;
use crate::units::SimSpan;

/// The columns, in order.
const COLUMNS: [&str; 15] = [
    "id",
    "source",
    "client",
    "arrived_ns",
    "started_ns",
    "first_token_ns",
    "done_ns",
    "prompt_tokens",
    "output_tokens",
    "preemptions",
    "queueing_ns",
    "ttft_ns",
    "tpot_ns",
    "e2e_ns",
    "status",
];

/// The columns that follow where a pipeline has more than one visit; then come its stages.
const MORE: [&str; 4] = ["answer_ns", "last_token_ns", "read_tokens", "generated_tokens"];

/// Writes records as CSV.
#[derive(Debug)]
pub struct RequestRows<W: Write> {
    csv: csv::Writer<W>,
    sources: Vec<RowSource>,
    clients: Vec<String>,
    /// The stages of all sources, each once.
    stages: Vec<String>,
    caches: bool,
}

/// The column at the end where clients have prefix caches.
const CACHED: &str = "cached_tokens";

impl<W: Write> RequestRows<W> {
    /// Writes the header to `out`; records name `sources` and `clients` by their place. `caches`: whether any
    /// client has a prefix cache.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn new(out: W, sources: Vec<RowSource>, clients: Vec<String>, caches: bool) -> io::Result<Self> {
        let mut csv = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(out);
        let mut stages: Vec<String> = Vec::new();
        for stage in sources.iter().flat_map(|source| &source.stages) {
            if !stages.contains(stage) {
                stages.push(stage.clone());
            }
        }
        let more = MORE.iter().filter(|_| !stages.is_empty()).map(|name| (*name).to_owned());
        let all = COLUMNS.iter().map(|name| (*name).to_owned()).chain(more);
        let all = all.chain(stages.iter().map(|stage| column(stage)));
        csv.write_record(all.chain(caches.then(|| CACHED.to_owned())))?;
        Ok(Self { csv, sources, clients, stages, caches })
    }

    /// What follows the usual columns.
    fn more(&self, request: &RequestRecord, laps: &[Lap]) -> Vec<Option<u64>> {
        let mut more = self.of_stages(request, laps);
        more.extend(self.caches.then(|| Some(request.cached_tokens.into())));
        more
    }

    fn of_stages(&self, request: &RequestRecord, laps: &[Lap]) -> Vec<Option<u64>> {
        if self.stages.is_empty() {
            return Vec::new();
        }
        let Some(source) = self.sources.get(usize::from(request.source)) else { return Vec::new() };
        let mut more = vec![
            Some(request.answer.as_ns()),
            Some(request.last_token.as_ns()),
            Some(request.read_tokens),
            Some(request.generated_tokens),
        ];
        more.extend(self.stages.iter().map(|stage| {
            let at = source.stages.iter().position(|own| own == stage)?;
            laps.get(at).map(|lap| SimSpan::as_ns(lap.total()))
        }));
        more
    }
}

/// The column of a stage: `kv_retrieval_ns` for `KvRetrieval`.
fn column(stage: &str) -> String {
    let mut name = String::new();
    for (at, letter) in stage.char_indices() {
        if letter.is_uppercase() && at > 0 && name.ends_with(char::is_alphanumeric) {
            name.push('_');
        }
        if letter.is_alphanumeric() {
            name.extend(letter.to_lowercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    format!("{}_ns", name.trim_end_matches('_'))
}

impl<W: Write + Send + Sync> RowSink for RequestRows<W> {
    fn row(&mut self, request: &RequestRecord, laps: &[Lap]) -> io::Result<()> {
        self.csv.serialize((
            request.id,
            self.sources.get(usize::from(request.source)).map_or("", |source| &source.name),
            self.clients.get(request.client as usize).map_or("", String::as_str),
            request.arrived,
            request.started,
            request.first_token,
            request.done,
            request.prompt_tokens,
            request.output_tokens,
            request.preemptions,
            request.queueing(),
            request.ttft(),
            request.tpot(),
            request.e2e(),
            "completed",
            self.more(request, laps),
        ))?;
        Ok(())
    }

    fn unfinished(&mut self, request: &Unfinished, turned_away: Option<Rejection>) -> io::Result<()> {
        let nothing = None::<u64>;
        let more = if self.stages.is_empty() { 0 } else { MORE.len() + self.stages.len() };
        let more = more + usize::from(self.caches);
        self.csv.serialize((
            request.id,
            self.sources.get(usize::from(request.source)).map_or("", |source| &source.name),
            "",
            request.arrived,
            request.started,
            request.first_token,
            nothing,
            request.prompt_tokens,
            [nothing; 2],
            request.started.map(|at| at.since(request.arrived)),
            request.first_token.map(|at| at.since(request.arrived)),
            [nothing; 2],
            turned_away.map_or("in_flight", Rejection::name),
            vec![nothing; more],
        ))?;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.csv.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;

    #[test]
    fn a_row_holds_times_and_latencies() {
        let mut text = Vec::new();
        let mut rows = RequestRows::new(
            &mut text,
            vec![RowSource { name: "chat, short".into(), stages: Vec::new() }],
            vec!["llama[0]".into()],
            true,
        )
        .unwrap();
        let mut request = RequestRecord {
            id: 7,
            source: 0,
            client: 0,
            arrived: SimTime::from_ns(100),
            started: SimTime::from_ns(150),
            first_token: SimTime::from_ns(300),
            answer: SimTime::from_ns(300),
            last_token: SimTime::from_ns(1_000),
            done: SimTime::from_ns(1_000),
            prompt_tokens: 12,
            output_tokens: 8,
            read_tokens: 12,
            generated_tokens: 8,
            cached_tokens: 4,
            preemptions: 1,
        };
        rows.row(&request, &[]).unwrap();
        request.output_tokens = 1;
        rows.row(&request, &[]).unwrap();
        let (arrived, started) = (SimTime::from_ns(100), Some(SimTime::from_ns(130)));
        let turned_away = Unfinished { id: 8, arrived, prompt_tokens: 12, ..Unfinished::default() };
        rows.unfinished(&turned_away, Some(Rejection::ContextLength)).unwrap();
        rows.unfinished(&Unfinished { id: 9, started, ..turned_away }, None).unwrap();
        rows.finish().unwrap();
        drop(rows);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "id,source,client,arrived_ns,started_ns,first_token_ns,done_ns,prompt_tokens,output_tokens,\
             preemptions,queueing_ns,ttft_ns,tpot_ns,e2e_ns,status,cached_tokens\n\
             7,\"chat, short\",llama[0],100,150,300,1000,12,8,1,50,200,100,900,completed,4\n\
             7,\"chat, short\",llama[0],100,150,300,1000,12,1,1,50,200,,900,completed,4\n\
             8,\"chat, short\",,100,,,,12,,,,,,,context_length,\n\
             9,\"chat, short\",,100,130,,,12,,,30,,,,in_flight,\n"
        );
    }
}
