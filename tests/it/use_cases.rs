//! The pipelines that ship under `scenarios/`: the use cases of Fig. 1 and the carvings of footnote 3.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use mist::metrics::{RequestRecord, RowSink, StageRecord, Summary};
use mist::request::pipeline::Lap;
use mist::simulation::Simulation;
use mist::units::SimSpan;

/// What the caption of Fig. 1 gives each use case.
const USE_CASES: [(&str, &[&str]); 6] = [
    ("chat_support", &["KvRetrieval", "Rag", "Prefill", "Decode"]),
    ("code_generation", &["KvRetrieval", "Prefill", "Decode"]),
    ("news_search", &["Rag", "Prefill", "Decode"]),
    ("news_search_timeline", &["Rag", "Prefill", "Decode"]),
    ("question_answering", &["Preprocess", "Prefill", "Decode", "Postprocess"]),
    ("reasoning_maths", &["Prefill", "Reason", "Decode", "Score"]),
];

fn scenarios(folder: &str) -> Vec<PathBuf> {
    let folder = format!("{}/scenarios/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ron"));
    paths.sort();
    paths
}

/// Keeps the time by stage of every request.
#[derive(Clone, Default)]
pub(crate) struct Laps(pub(crate) Arc<Mutex<Kept>>);

pub(crate) type Kept = BTreeMap<u64, (RequestRecord, Vec<Lap>)>;

impl RowSink for Laps {
    fn row(&mut self, request: &RequestRecord, laps: &[Lap]) -> io::Result<()> {
        let sum: SimSpan = laps.iter().fold(SimSpan::ZERO, |sum, lap| sum + lap.total());
        assert_eq!(sum, request.e2e(), "request {}", request.id);
        self.0.lock().unwrap().insert(request.id, (*request, laps.to_vec()));
        Ok(())
    }
}

fn run(path: &PathBuf) -> (Summary, Vec<StageRecord>, Laps) {
    let laps = Laps::default();
    let mut run = Simulation::new().load(path).unwrap();
    run.log_stages(u64::MAX);
    let rows = Box::new(laps.clone());
    let outcome = run.run_with(Some(rows), |_| ControlFlow::Continue(())).unwrap();
    (outcome.summary, outcome.stages, laps)
}

#[test]
fn the_time_of_every_request_of_a_use_case_adds_up() {
    let paths = scenarios("use_cases");
    assert_eq!(paths.len(), USE_CASES.len());
    for (path, (name, stages)) in paths.iter().zip(USE_CASES) {
        assert_eq!(path.file_stem().unwrap(), name);
        let (summary, visits, laps) = run(path);
        let counts = &summary.requests;
        assert_eq!(counts.in_flight, 0, "{name}");
        assert!(counts.rejected * 20 <= counts.arrived, "{name}: {counts:?}");
        assert_eq!(laps.0.lock().unwrap().len() as u64, counts.completed);

        let names: Vec<&str> = summary.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, stages, "{name}");
        let sum: f64 = summary.stages.iter().map(|stage| stage.mean_ms).sum();
        let e2e = summary.latency.e2e.unwrap().mean_ms;
        assert!((sum / e2e - 1.0).abs() < 1e-9, "{name}: {sum} ms of {e2e}");

        // The timeline tells the same: without branches, one stage begins where another ends.
        if name == "chat_support" {
            continue;
        }
        for visits in visits.chunk_by(|one, next| one.request == next.request) {
            // Those that were turned away underway are no longer counted.
            let Some((record, laps)) = laps.0.lock().unwrap().get(&visits[0].request).cloned() else {
                continue;
            };
            let mut at = record.arrived;
            for visit in visits {
                assert_eq!(visit.routed, at, "{name}: {visit:?}");
                assert!(visit.started >= visit.routed && visit.done >= visit.started);
                at = visit.done;
            }
            assert_eq!(at, record.done);
            for (stage, lap) in stages.iter().zip(laps) {
                let of = visits.iter().filter(|visit| visit.stage == *stage);
                let [waited, served] = of.fold([SimSpan::ZERO; 2], |[waited, served], visit| {
                    [waited + visit.started.since(visit.routed), served + visit.done.since(visit.started)]
                });
                assert_eq!(Lap { waited, served }, lap, "{name}: {stage} of {}", record.id);
            }
        }
    }
}

/// Footnote 3: whoever prefills does not hold up who decodes, and retrieval belongs on a GPU.
#[test]
fn the_carvings_differ_in_their_clients_and_come_to_what_they_say() {
    let paths = scenarios("carvings");
    let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let around = |text: &str| {
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("//")).collect();
        let code = code.join("\n");
        let (before, clients) = code.split_once("    clients: [").unwrap();
        let (_, after) = clients.split_once("\n    ],").unwrap();
        (before.to_owned(), after.to_owned())
    };
    let mut tails = Vec::new();
    for (path, text) in paths.iter().zip(&texts) {
        assert_eq!(around(text), around(&texts[0]));
        let (summary, ..) = run(path);
        assert_eq!(summary.requests.completed, summary.requests.arrived);
        let [ttft, tpot, e2e] = [&summary.latency.ttft, &summary.latency.tpot, &summary.latency.e2e]
            .map(|statistics| statistics.as_ref().unwrap());
        // All three say the same of all three.
        let name = path.file_stem().unwrap().to_str().unwrap();
        let line = format!(
            "{:<15} {:>8.0} ms {:>8.0} ms {:>7.1} ms {:>7.0} ms {:>7.0} ms",
            name, ttft.p50_ms, ttft.p99_ms, tpot.p50_ms, e2e.p50_ms, e2e.p99_ms
        );
        for text in &texts {
            assert!(text.contains(&format!("//     {line}\n")), "{line}");
        }
        tails.push((ttft.p99_ms, tpot.p50_ms));
    }
    let [one_cluster, prefill_decode, stage_each] = tails[..] else { panic!("three carvings") };
    assert!(prefill_decode.1 < one_cluster.1, "two GPUs decode quicker than one, undisturbed");
    assert!(stage_each.0 < 0.5 * one_cluster.0, "retrieval on a GPU");
}

/// What comments invite to try can be tried.
#[test]
fn every_change_that_a_comment_proposes_is_one() {
    let folders = [".", "use_cases", "carvings", "examples"];
    let mut tried = 0;
    for path in folders.into_iter().flat_map(scenarios) {
        let text = fs::read_to_string(&path).unwrap();
        // Comments are wrapped; a change is not.
        let comments: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//")).collect();
        let comments = comments.join(" ");
        let sets = comments.split("--set '").skip(1).filter_map(|rest| rest.split('\'').next());
        // Files of one's own are not here.
        for set in sets.filter(|set| !set.contains("path=")) {
            let loaded = Simulation::new().set(set).load(&path);
            assert!(loaded.is_ok(), "{}: {set}: {}", path.display(), loaded.err().unwrap());
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}
