use super::*;
use crate::metrics::KvSwaps;
use crate::output::sample;

fn text_of((summary, provenance): (Summary, crate::output::Provenance)) -> String {
    let text = render(Report { summary: &summary, provenance: &provenance });
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        assert_eq!(line, line.trim_end());
    }
    text
}

#[test]
fn a_run_at_a_glance() {
    let text = text_of(sample::run());
    assert_eq!(text, include_str!("run.txt"), "{text}");
}

#[test]
fn where_the_time_went() {
    let (mut summary, provenance) = sample::run_of_stages();
    let text = text_of((summary.clone(), provenance.clone()));
    assert_eq!(text, include_str!("stages.txt"), "{text}");

    summary.sources = sample::run_of_two_sources().0.sources;
    summary.sources[1].stages = std::mem::take(&mut summary.stages);
    let text = text_of((summary, provenance));
    assert!(text.contains("\nStages of code-com… (ms)  waiting      mean"), "{text}");
    assert_eq!(text.matches("the mean E2E").count(), 1);
}

#[test]
fn sources_get_a_line_each() {
    let text = text_of(sample::run_of_two_sources());
    assert!(
        text.contains("Source                  arrived  completed   rejected  in flight  SLO met\n"),
        "{text}"
    );
    assert!(
        text.contains("  chat                    2,000      1,998          2          0    94.1%\n"),
        "{text}"
    );
    assert!(
        text.contains("  code-completion-…       2,000      1,998          2          0        -\n"),
        "{text}"
    );
    assert!(text.contains("  chat                    101.0      901.0      38.50     24,000\n"), "{text}");
}

#[test]
fn an_overload_comes_first_and_a_missing_price_says_why() {
    let (mut summary, provenance) = sample::run();
    summary.stability.verdict = Verdict::Overloaded;
    summary.stability.in_flight_growth_per_s = Some(2.4);
    summary.cost = Cost { unknown_because: Some("no price listed for B300".to_owned()), ..Cost::default() };
    summary.latency.tpot = None;
    summary.slo = None;
    let text = text_of((summary, provenance));
    assert!(
        text.contains("Verdict       OVERLOADED: requests in flight grow by 2.400 a second, so\n"),
        "{text}"
    );
    assert!(text.contains("Cost          unknown: no price listed for B300\n"), "{text}");
    assert!(!text.contains("SLO"));
}

#[test]
fn a_run_too_short_says_how_long_would_do() {
    let (mut summary, provenance) = sample::run();
    summary.stability.verdict = Verdict::TooShort;
    summary.stability.enough_requests = Some(10_234);
    let text = text_of((summary.clone(), provenance.clone()));
    assert!(text.contains("try 11,000 requests, 1,373 s of"), "{text}");
    summary.stability.offered_per_s = None;
    summary.stability.enough_requests = Some(200);
    let text = text_of((summary, provenance));
    assert!(text.contains("try 200 requests\n"), "{text}");
}

#[test]
fn a_run_without_completions_says_why() {
    let (mut summary, provenance) = sample::run();
    summary.stability.verdict = Verdict::NothingCompleted;
    summary.requests.completed = 0;
    summary.requests.rejected = 2_000;
    summary.requests.rejected_by_reason = [("kv_capacity", 500), ("context_length", 1_500)].into();
    let text = text_of((summary.clone(), provenance.clone()));
    assert!(text.contains("NOTHING COMPLETED: 2,000 of 2,000 requests were turned away\n"), "{text}");
    assert!(
        text.contains("  rejected    1,500 context_length: prompt and answer exceed max_model_len"),
        "{text}"
    );
    summary.requests.rejected = 0;
    summary.requests.rejected_by_reason.clear();
    summary.requests.in_flight = 2_000;
    let text = text_of((summary, provenance));
    assert!(text.contains("NOTHING COMPLETED: the clock stopped before any request was done"), "{text}");
}

#[test]
fn one_is_not_many_and_loops_have_no_last_arrival() {
    let (mut summary, provenance) = sample::run();
    summary.utilisation.accelerators = 1;
    summary.utilisation.clients = 1;
    summary.utilisation.preemptions = 1;
    summary.stability.in_flight_at_last_arrival = None;
    let text = text_of((summary, provenance));
    assert!(text.contains("1 accelerator in 1 client, busy"), "{text}");
    assert!(text.contains("at most, 1 preemption\n"), "{text}");
    assert!(text.contains("  in flight   42.75 on average, 66 at most\n"), "{text}");
}

#[test]
fn what_became_of_kv_for_want_of_room() {
    let (mut summary, provenance) = sample::run();
    let used = &mut summary.utilisation;
    used.preemptions = 9;
    used.kv_swaps = Some(KvSwaps { preemptions: 3, found_full: 4, blocks_out: 30, blocks_in: 30 });
    used.prefix_cache = Some(PrefixCacheHits {
        token_hit_frac: 0.5,
        request_hit_frac: 0.25,
        evicted_blocks: Some(1234),
        ..PrefixCacheHits::default()
    });
    let text = text_of((summary, provenance)).split_whitespace().collect::<Vec<_>>().join(" ");
    for row in [
        "3 swapped, 30 blocks to the host and 30 back, 6 recomputed, 4 of them as host_memory was full",
        "50.0% of prompt tokens found, by 25.0% of requests, 1,234 blocks evicted",
    ] {
        assert!(text.contains(row), "{text}");
    }
}
