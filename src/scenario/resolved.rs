//! The scenario written out with every default: what lies beside a result and runs again to the same bytes.

use super::layout::lay_out;
use super::read::options;
use super::{Problem, Scenario};

impl Scenario {
    /// The scenario as RON with every field written out; reading it gives an equal scenario.
    ///
    /// Open choices are written as they stand: fill in their defaults first, with
    /// [`Document::settle`](super::Document::settle).
    ///
    /// # Errors
    /// An open choice holds parameters that are no RON.
    pub fn to_ron(&self) -> Result<String, Problem> {
        let text = options()
            .to_string(self)
            .map_err(|error| Problem::new("", format!("the scenario cannot be written as RON: {error}")))?;
        lay_out(&text).map_err(|fault| Problem::new("", fault.message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::scenario::{ClusterSpec, Document, sample};
    use crate::units::Span;

    #[test]
    fn every_default_is_written_out() {
        let text = sample::scenario().to_ron().unwrap();
        assert_eq!(
            text,
            r#"(
    mist: 1,
    name: "sample",
    seed: 42,
    catalog: None,
    platforms: [
        (
            name: "hgx",
            count: 2,
            nodes: [(name: "gpu", hardware: "H100-SXM5-80GB", count: 8)],
            price: None,
            usd_per_hour: None,
        ),
    ],
    clients: [
        (
            name: "llama",
            count: 4,
            cluster: Take(platform: "hgx", nodes: [("gpu", 2)]),
            runs: Llm(model: "Llama-3.1-70B", batching: Chunked(max_num_batched_tokens: 8192)),
        ),
    ],
    coordinator: (
        routing: RoundRobin,
        latency: s(0.0),
        kv_transfer: None,
        decode_choice: AfterPrefill,
    ),
    workload: [
        (
            name: "chat",
            model: "Llama-3.1-70B",
            priority: 0,
            pipeline: [Prefill, Decode],
            requests: 1000,
            trace: None,
            arrivals: Poisson(rate: per_s(240)),
            lengths: AzureConv,
            prefix: [],
            sessions: None,
            slo: (ttft: s(1.0), tpot: s(0.05), e2e: None),
        ),
    ],
    horizon: None,
)
"#
        );
    }

    #[test]
    fn it_is_stable_and_reads_back_wherever_it_lies() {
        let mut document =
            Document::parse(sample::with("seed: 42", "catalog: \"my/catalog\""), "some/a.ron").unwrap();
        document.scenario.horizon = Some(Span::from_secs(0.1));
        let text = document.scenario.to_ron().unwrap();
        let again = Document::parse(text.clone(), "elsewhere/b.ron").unwrap().scenario;
        assert_eq!(again, document.scenario);
        assert_eq!(again.to_ron().unwrap(), text);
        assert!(again.catalog.unwrap().ends_with("some/my/catalog"));
    }

    proptest! {
        #[test]
        fn numbers_and_names_survive(
            seed: u64, seconds in 0.0..1e9_f64, price in 0.0..1e6_f64, name in "\\PC{1,20}", count in 1..u32::MAX
        ) {
            let mut scenario = sample::scenario();
            scenario.seed = seed;
            scenario.horizon = Some(Span::from_secs(seconds));
            scenario.platforms[0].usd_per_hour = Some(price.try_into().unwrap());
            scenario.clients[0].name = name;
            scenario.clients[0].cluster = ClusterSpec::Take { platform: "x \" ] )".into(), nodes: vec![("g".into(), count)] };
            let again = Document::parse(scenario.to_ron().unwrap(), "sample.ron").unwrap().scenario;
            prop_assert_eq!(again, scenario);
        }
    }
}
