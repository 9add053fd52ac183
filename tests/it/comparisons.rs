//! The comparisons that ship under `scenarios/`: each shows what its files say.

use mist::metrics::Summary;
use mist::simulation::Simulation;
use mist::stats::Statistics;

fn path(name: &str) -> String {
    format!("{}/scenarios/{name}.ron", env!("CARGO_MANIFEST_DIR"))
}

fn summary(name: &str) -> Summary {
    Simulation::new().load(path(name)).unwrap().run().unwrap().summary
}

fn ttft(summary: &Summary) -> &Statistics {
    summary.latency.ttft.as_ref().unwrap()
}

/// The lines of a scenario without its comments.
fn lines(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(name)).unwrap();
    let code = text.lines().map(|line| line.split("//").next().unwrap().trim_end().to_owned());
    code.filter(|line| !line.is_empty()).collect()
}

/// §V-A: retrieval on GPUs cuts the time to first token and, far more, its tail.
#[test]
fn retrieval_on_gpus_cuts_ttft_and_its_tail_far_more() {
    let (cpu, gpu) = (summary("retrieval_on_cpu"), summary("retrieval_on_gpu"));
    for summary in [&cpu, &gpu] {
        assert_eq!(summary.requests.completed, summary.requests.arrived);
    }
    let (before, after) = (ttft(&cpu), ttft(&gpu));
    let mean = before.mean_ms / after.mean_ms;
    let p50 = before.p50_ms / after.p50_ms;
    let p99 = before.p99_ms / after.p99_ms;
    assert!(p50 > 3.0 && mean > 3.0 && p99 > 1.5 * p50 && p99 > 1.5 * mean, "{p50} {mean} {p99}");

    let stated = std::fs::read_to_string(path("retrieval_on_cpu")).unwrap();
    for (summary, place) in [(&cpu, "on processors"), (&gpu, "on GPUs")] {
        let found = ttft(summary);
        let found = [found.mean_ms, found.p50_ms, found.p99_ms].map(|ms| format!("{:.2} s", ms / 1e3));
        let said = format!("//     {place:<17} {:>10} {:>8} {:>8}\n", found[0], found[1], found[2]);
        assert!(stated.contains(&said), "retrieval_on_cpu.ron should say\n{said}");
    }

    // All of it is the stage that moved: prefill and decode take as long as before.
    let stage = |summary: &Summary, name: &str| {
        summary.stages.iter().find(|stage| stage.name == name).map(|stage| stage.mean_ms).unwrap()
    };
    assert!(stage(&cpu, "Rag") > 100.0 * stage(&gpu, "Rag"));
    let decode = stage(&cpu, "Decode") / stage(&gpu, "Decode");
    assert!((0.9..1.1).contains(&decode), "{decode}");
}

#[test]
fn compared_retrievals_differ_in_one_line() {
    let (cpu, gpu) = (lines("retrieval_on_cpu"), lines("retrieval_on_gpu"));
    assert_eq!(cpu.len(), gpu.len());
    assert_eq!(cpu.iter().zip(&gpu).filter(|(one, other)| one != other).count(), 1);
}
