use super::*;
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
fn sources_get_a_line_each() {
    let text = text_of(sample::run_of_two_sources());
    assert!(text.contains("  chat                   1,998    94.1%"), "{text}");
    assert!(text.contains("  code-completion-…      1,998        -"), "{text}");
}

#[test]
fn an_overload_comes_first_and_a_missing_price_says_why() {
    let (mut summary, provenance) = sample::run();
    summary.stability.verdict = Verdict::Overloaded;
    summary.stability.queueing_growth_frac = 0.2;
    summary.cost = Cost { unknown_because: Some("no price listed for B300".to_owned()), ..Cost::default() };
    summary.latency.tpot = None;
    summary.slo = None;
    let text = text_of((summary, provenance));
    assert!(
        text.contains("Verdict       OVERLOADED: each second of load adds 0.200 s of queueing"),
        "{text}"
    );
    assert!(text.contains("Cost          unknown: no price listed for B300\n"), "{text}");
    assert!(!text.contains("SLO"));
}
