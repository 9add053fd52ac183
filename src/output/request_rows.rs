//! `requests.csv`: one row a completed request, in the order of completion.
//!
//! Times are integer nanoseconds since the start of the simulation, latencies integer nanoseconds; `tpot_ns`
//! is empty for one output token. Sources and clients go by name.

use std::io::{self, Write};

use crate::metrics::{RequestRecord, RowSink};

/// The columns, in order.
const COLUMNS: [&str; 14] = [
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
];

/// Writes records as CSV.
#[derive(Debug)]
pub struct RequestRows<W: Write> {
    csv: csv::Writer<W>,
    sources: Vec<String>,
    clients: Vec<String>,
}

impl<W: Write> RequestRows<W> {
    /// Writes the header to `out`; records name `sources` and `clients` by their place.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn new(out: W, sources: Vec<String>, clients: Vec<String>) -> io::Result<Self> {
        let mut csv = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(out);
        csv.write_record(COLUMNS)?;
        Ok(Self { csv, sources, clients })
    }
}

/// The name at `place`, or the empty field.
fn name(names: &[String], place: usize) -> &str {
    names.get(place).map_or("", String::as_str)
}

impl<W: Write + Send + Sync> RowSink for RequestRows<W> {
    fn row(&mut self, request: &RequestRecord) -> io::Result<()> {
        self.csv.serialize((
            request.id,
            name(&self.sources, usize::from(request.source)),
            name(&self.clients, request.client as usize),
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
        let mut rows =
            RequestRows::new(&mut text, vec!["chat, short".into()], vec!["llama[0]".into()]).unwrap();
        let mut request = RequestRecord {
            id: 7,
            source: 0,
            client: 0,
            arrived: SimTime::from_ns(100),
            started: SimTime::from_ns(150),
            first_token: SimTime::from_ns(300),
            done: SimTime::from_ns(1_000),
            prompt_tokens: 12,
            output_tokens: 8,
            preemptions: 1,
        };
        rows.row(&request).unwrap();
        request.output_tokens = 1;
        rows.row(&request).unwrap();
        rows.finish().unwrap();
        drop(rows);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "id,source,client,arrived_ns,started_ns,first_token_ns,done_ns,prompt_tokens,output_tokens,\
             preemptions,queueing_ns,ttft_ns,tpot_ns,e2e_ns\n\
             7,\"chat, short\",llama[0],100,150,300,1000,12,8,1,50,200,100,900\n\
             7,\"chat, short\",llama[0],100,150,300,1000,12,1,1,50,200,,900\n"
        );
    }
}
