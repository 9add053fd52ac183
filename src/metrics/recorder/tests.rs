//! The recorder against queues whose theory is known.

use super::*;
use crate::metrics::{Price, Slo, Verdict};
use crate::request::pipeline::Lap;
use crate::units::SimSpan;

/// Uniform in (0, 1], the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn exponential_s(&mut self) -> f64 {
        -libm::log(self.next())
    }
}

fn secs(seconds: f64) -> SimTime {
    SimTime::ZERO + SimSpan::from_secs_f64(seconds)
}

/// A request of which no more is known.
fn arrived(source: u16, arrived: SimTime) -> Unfinished {
    Unfinished { source, arrived, ..Unfinished::default() }
}

fn source(name: &str, closed_loop: bool) -> SourceSpec {
    let slo = Slo { e2e: Some(SimSpan::from_secs_f64(5.0)), ..Slo::default() };
    SourceSpec { name: name.to_owned(), slo, closed_loop, stages: Vec::new() }
}

fn end(now: SimTime) -> RunEnd<'static> {
    RunEnd {
        scenario: "queue",
        now,
        clients: Vec::new(),
        itl: None,
        sessions: None,
        price: Price::Unknown("none".to_owned()),
    }
}

/// Poisson arrivals at one server, first come first served; one token each.
fn queue(
    requests: usize,
    per_s: f64,
    seed: u64,
    service_s: impl FnMut(&mut Random) -> f64,
) -> Vec<RequestRecord> {
    servers(1, requests, per_s, seed, service_s)
}

/// The same at `servers` of them, with one line in front.
fn servers(
    servers: usize,
    requests: usize,
    per_s: f64,
    seed: u64,
    mut service_s: impl FnMut(&mut Random) -> f64,
) -> Vec<RequestRecord> {
    let mut random = Random(seed);
    let mut now_s = 0.0_f64;
    let mut free_s = vec![0.0_f64; servers];
    (0..requests)
        .map(|id| {
            now_s += random.exponential_s() / per_s;
            let next = free_s.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
            let start_s = now_s.max(*next);
            *next = start_s + service_s(&mut random);
            let done = secs(*next);
            RequestRecord {
                id: id as u64,
                source: 0,
                client: 0,
                arrived: secs(now_s),
                started: secs(start_s),
                first_token: done,
                answer: done,
                last_token: done,
                done,
                prompt_tokens: 3,
                output_tokens: 1,
                read_tokens: 3,
                generated_tokens: 1,
                cached_tokens: 0,
                preemptions: 0,
            }
        })
        .collect()
}

/// Feeds arrivals and completions in time order; records come in order of arrival.
fn feed(recorder: &mut Recorder, records: &[RequestRecord], until: SimTime) {
    let mut done: Vec<&RequestRecord> = records.iter().collect();
    done.sort_by_key(|request| (request.done, request.id));
    let mut done = done.into_iter().peekable();
    for request in records.iter().filter(|request| request.arrived <= until) {
        while let Some(early) = done.next_if(|early| early.done <= request.arrived) {
            recorder.completed(early, &[]).unwrap();
        }
        recorder.arrived(request.source, request.arrived);
    }
    for late in done.filter(|late| late.arrived <= until) {
        if late.done <= until {
            recorder.completed(late, &[]).unwrap();
        } else {
            let started = (late.started <= until).then_some(late.started);
            let waiting = Unfinished { started, ..arrived(late.source, late.arrived) };
            recorder.unfinished(&waiting, until).unwrap();
        }
    }
}

fn summary_of(records: &[RequestRecord]) -> Summary {
    let mut recorder = Recorder::new(vec![source("only", false)]);
    feed(&mut recorder, records, SimTime::MAX);
    recorder.summary(&end(SimTime::MAX))
}

#[test]
fn queues_below_capacity_are_stable_and_above_it_overloaded() {
    for seed in 0..30 {
        for (load, verdict) in [(0.3, Verdict::Stable), (0.7, Verdict::Stable), (1.2, Verdict::Overloaded)] {
            let md1 = summary_of(&queue(3_000, load, seed, |_| 1.0));
            assert_eq!(md1.stability.verdict, verdict, "M/D/1 at {load}, seed {seed}: {:?}", md1.stability);
            let mm1 = summary_of(&queue(3_000, load, seed, Random::exponential_s));
            assert_eq!(mm1.stability.verdict, verdict, "M/M/1 at {load}, seed {seed}: {:?}", mm1.stability);
        }
    }
}

#[test]
fn many_servers_are_judged_alike() {
    // Sixty-four sequences at a time, twenty seconds each on average, as an LLM client would.
    for seed in 0..20 {
        for (load, verdict) in [(0.7, Verdict::Stable), (1.2, Verdict::Overloaded)] {
            let per_s = load * 64.0 / 20.0;
            let records = servers(64, 4_000, per_s, seed, |random| 20.0 * random.exponential_s());
            let stability = summary_of(&records).stability;
            assert_eq!(stability.verdict, verdict, "at {load}, seed {seed}: {stability:?}");
        }
    }
}

#[test]
fn a_critical_queue_is_hardly_ever_called_overloaded() {
    let overloaded = (0..100)
        .map(|seed| summary_of(&queue(3_000, 0.97, seed, Random::exponential_s)))
        .filter(|summary| summary.stability.verdict == Verdict::Overloaded)
        .count();
    assert!(overloaded <= 2, "{overloaded} of 100");
}

#[test]
fn growth_measures_the_overload() {
    let stability = summary_of(&queue(20_000, 1.2, 7, |_| 1.0)).stability;
    let growth = stability.in_flight_growth_per_s.unwrap();
    assert!((growth - 0.2).abs() < 0.03, "{stability:?}");
    assert!((stability.waiting_growth_per_s.unwrap() - growth).abs() < 0.001, "{stability:?}");
    let completed = stability.completed_in_window_per_s.unwrap();
    assert!((completed - 1.0).abs() < 0.01, "{completed}");
    let expected = 20_000.0 * (1.0 - 1.0 / 1.2);
    assert!((stability.in_flight_at_last_arrival.unwrap() as f64 / expected - 1.0).abs() < 0.1);
}

/// Poisson arrivals, all of them worked on at once at an equal share of the speed, and none faster than
/// `alone`: a batch that takes in whatever comes. Nobody waits; capacity is 1/s for one-second requests.
fn shared(requests: usize, per_s: f64, alone: f64, seed: u64) -> Vec<RequestRecord> {
    let mut random = Random(seed);
    let (mut now_s, mut served_s) = (0.0_f64, 0.0_f64);
    let mut batch: Vec<(f64, usize)> = Vec::new();
    let mut records = Vec::with_capacity(requests);
    let mut run_to = |until_s: f64, batch: &mut Vec<(f64, usize)>, records: &mut Vec<RequestRecord>| {
        while let Some(&(target_s, id)) = batch.last() {
            let speed = (1.0 / batch.len() as f64).min(alone);
            let done_s = now_s + (target_s - served_s) / speed;
            if done_s > until_s {
                served_s += (until_s - now_s) * speed;
                break;
            }
            (now_s, served_s) = (done_s, target_s);
            let request = &mut records[id];
            (request.first_token, request.done) = (secs(done_s), secs(done_s));
            batch.pop();
        }
        now_s = until_s;
        served_s
    };
    let mut next_s = 0.0;
    for id in 0..requests {
        next_s += random.exponential_s() / per_s;
        let target_s = run_to(next_s, &mut batch, &mut records) + random.exponential_s();
        let place = batch.partition_point(|(other_s, _)| *other_s > target_s);
        batch.insert(place, (target_s, id));
        let arrived = secs(next_s);
        records.push(RequestRecord {
            id: id as u64,
            source: 0,
            client: 0,
            arrived,
            started: arrived,
            first_token: arrived,
            answer: arrived,
            last_token: arrived,
            done: arrived,
            prompt_tokens: 3,
            output_tokens: 1,
            read_tokens: 3,
            generated_tokens: 1,
            cached_tokens: 0,
            preemptions: 0,
        });
    }
    run_to(f64::MAX, &mut batch, &mut records);
    records
}

#[test]
fn an_overload_that_only_grows_the_batch_is_one() {
    // Twenty at once at full speed, twenty seconds each: batches grow long before anything waits.
    for seed in 0..20 {
        for (load, verdict) in
            [(0.7, Verdict::Stable), (1.3, Verdict::Overloaded), (2.0, Verdict::Overloaded)]
        {
            let stability = summary_of(&shared(6_000, load, 0.05, seed)).stability;
            assert_eq!(stability.verdict, verdict, "at {load}, seed {seed}: {stability:?}");
        }
        for requests in [100, 150, 300, 1_000, 3_000] {
            let verdict = summary_of(&shared(requests, 1.3, 0.05, seed)).stability.verdict;
            assert_ne!(verdict, Verdict::Stable, "{requests} requests, seed {seed}");
        }
    }
}

#[test]
fn a_system_filling_up_is_not_overloaded() {
    // Room for all: the window ends while the first requests are at work, or not long after.
    for seed in 0..20 {
        for (requests, per_e2e) in [150, 500, 2_000]
            .into_iter()
            .flat_map(|requests| [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0].map(|per_e2e| (requests, per_e2e)))
        {
            let per_s = requests as f64 / (20.0 * per_e2e);
            let records = servers(requests, requests, per_s, seed, |random| 20.0 * random.exponential_s());
            let stability = summary_of(&records).stability;
            let case = format!("{requests} in {per_e2e} × E2E, seed {seed}: {stability:?}");
            assert_eq!(stability.verdict, Verdict::TooShort, "{case}");
            assert!(stability.enough_requests.unwrap() as f64 >= 5.0 * 20.0 * per_s, "{case}");
        }
        let records = servers(500, 3_000, 5.0, seed, |random| 10.0 * random.exponential_s());
        let stability = summary_of(&records).stability;
        assert_eq!(stability.verdict, Verdict::Stable, "seed {seed}: {stability:?}");
    }
}

#[test]
fn what_a_short_run_asks_for_is_about_enough() {
    let mut told = 0;
    for seed in 0..20 {
        for (load, verdict) in [(0.7, Verdict::Stable), (1.3, Verdict::Overloaded)] {
            let mut requests = 150;
            for _ in 0..3 {
                match summary_of(&shared(requests, load, 0.05, seed)).stability {
                    Stability { enough_requests: Some(enough), .. } => requests = enough as usize,
                    Stability { verdict: found, .. } => told += usize::from(found == verdict),
                }
            }
        }
    }
    assert!(told >= 36, "{told} of 40");
}

#[test]
fn closed_loop_users_count_among_those_in_flight() {
    let mut recorder = Recorder::new(vec![source("open", false), source("loop", true)]);
    recorder.arrived(1, secs(0.0));
    recorder.arrived(1, secs(0.0));
    assert_eq!(recorder.summary(&end(secs(1.0))).stability.in_flight_at_last_arrival, None);
    recorder.arrived(0, secs(1.0));
    assert_eq!(recorder.summary(&end(secs(1.0))).stability.in_flight_at_last_arrival, Some(3));
}

#[test]
fn without_completions_that_is_the_verdict() {
    for closed_loop in [false, true] {
        let mut recorder = Recorder::new(vec![source("only", closed_loop)]);
        for at in 0..500 {
            let at = secs(f64::from(at));
            recorder.arrived(0, at);
            recorder.rejected(&arrived(0, at), Rejection::KvCapacity, at).unwrap();
        }
        let summary = recorder.summary(&end(secs(500.0)));
        assert_eq!(summary.stability.verdict, Verdict::NothingCompleted);
        assert_eq!(summary.requests.rejected_by_reason.get("kv_capacity"), Some(&500));
    }
}

#[test]
fn few_requests_say_little_unless_all_at_once_or_in_a_loop() {
    let verdict = |records: &[RequestRecord]| summary_of(records).stability.verdict;
    assert_eq!(verdict(&queue(60, 0.7, 1, |_| 1.0)), Verdict::TooShort);
    assert_eq!(verdict(&queue(1, 0.7, 1, |_| 1.0)), Verdict::TooShort);
    // Ten seconds of load on requests that take a minute each: nobody waits, but nothing has settled.
    let mut slow = queue(200, 20.0, 1, |_| 0.0);
    for (i, request) in slow.iter_mut().enumerate() {
        request.done = request.arrived + SimSpan::from_secs_f64(60.0 + i as f64 * 0.05);
    }
    assert_eq!(verdict(&slow), Verdict::TooShort);

    let mut offline = queue(500, 1e12, 1, |_| 1.0);
    for request in &mut offline {
        request.arrived = SimTime::ZERO;
    }
    assert_eq!(verdict(&offline), Verdict::Offline);
    let mut recorder = Recorder::new(vec![source("loop", true)]);
    feed(&mut recorder, &queue(500, 2.0, 1, |_| 1.0), SimTime::MAX);
    assert_eq!(recorder.summary(&end(SimTime::MAX)).stability.verdict, Verdict::ClosedLoop);
}

#[test]
fn an_overload_cut_off_at_the_horizon_is_still_one() {
    // Twice the capacity for a short while: most of those who arrive never start.
    for seed in 0..20 {
        let records = servers(64, 2_000, 6.4, seed, |random| 20.0 * random.exponential_s());
        let mut recorder = Recorder::new(vec![source("only", false)]);
        feed(&mut recorder, &records, secs(120.0));
        let stability = recorder.summary(&end(secs(120.0))).stability;
        assert_eq!(stability.verdict, Verdict::Overloaded, "seed {seed}: {stability:?}");
    }
    let records = queue(3_000, 1.2, 3, |_| 1.0);
    let horizon = secs(2_400.0);
    let mut recorder = Recorder::new(vec![source("only", false)]);
    feed(&mut recorder, &records, horizon);
    let summary = recorder.summary(&end(horizon));
    assert_eq!(summary.stability.verdict, Verdict::Overloaded, "{:?}", summary.stability);
    let counts = &summary.requests;
    assert_eq!(counts.arrived, counts.completed + counts.rejected + counts.in_flight);
    assert!(counts.in_flight > 300);
    // Those that wait too long already are judged, though they did not finish.
    assert!(summary.slo.unwrap().attainment_frac < counts.completed as f64 / counts.arrived as f64);
}

#[test]
fn mean_wait_is_pollaczek_khinchins() {
    // M/D/1 at ρ = 0.7: W = ρ/(2(1 − ρ)) = 1.1667 services.
    let summary = summary_of(&queue(400_000, 0.7, 11, |_| 1.0));
    let wait_s = summary.latency.queueing.unwrap().mean_ms / 1e3;
    assert!((wait_s / (0.7 / 0.6) - 1.0).abs() < 0.03, "{wait_s}");
}

#[test]
fn the_mean_in_flight_is_the_time_average_of_the_number_in_the_system() {
    let records = queue(2_000, 0.9, 5, Random::exponential_s);
    let summary = summary_of(&records);
    let mut events: Vec<(SimTime, i64)> =
        records.iter().flat_map(|request| [(request.arrived, 1), (request.done, -1)]).collect();
    events.sort();
    let (mut in_system, mut area_s, mut before) = (0_i64, 0.0, events[0].0);
    let mut peak = 0;
    for (at, change) in events {
        area_s += in_system as f64 * at.since(before).as_secs_f64();
        before = at;
        in_system += change;
        peak = peak.max(in_system);
    }
    assert!((summary.requests.mean_in_flight - area_s / summary.duration_s).abs() < 1e-6);
    assert_eq!(summary.requests.peak_in_flight, peak as u64);
}

#[test]
fn sources_add_up_to_the_whole() {
    let mut records = queue(1_000, 0.7, 2, |_| 1.0);
    records.iter_mut().skip(1).step_by(3).for_each(|request| request.source = 1);
    let mut recorder = Recorder::new(vec![source("a", false), source("b", false)]);
    feed(&mut recorder, &records, SimTime::MAX);
    let at = secs(5_000.0);
    recorder.arrived(1, at);
    recorder.rejected(&arrived(1, at), Rejection::KvCapacity, at).unwrap();
    let both = recorder.summary(&end(SimTime::MAX));
    assert_eq!(both.sources.len(), 2);
    assert_eq!(both.sources.iter().map(|s| s.requests.completed).sum::<u64>(), 1_000);
    assert_eq!(both.sources.iter().map(|s| s.tokens.prompt_tokens).sum::<u64>(), both.tokens.prompt_tokens);
    assert_eq!(both.sources[1].requests.rejected_by_reason.get("kv_capacity"), Some(&1));
    assert_eq!(both.requests.rejected, 1);

    for request in &mut records {
        request.source = 0;
    }
    let pooled = summary_of(&records);
    assert_eq!(both.latency, pooled.latency);
    assert!(pooled.sources.is_empty());
    // The targets are the same in both sources, so the total can name them; the rejection counts against it.
    let (both, pooled) = (both.slo.unwrap(), pooled.slo.unwrap());
    assert_eq!(both.e2e_target_ms, Some(5_000.0));
    assert!((both.attainment_frac - pooled.attainment_frac * 1000.0 / 1001.0).abs() < 1e-12);
}

#[test]
fn rows_stream_out_in_the_order_of_completion() {
    use std::sync::{Arc, Mutex};
    struct Ids(Arc<Mutex<Vec<u64>>>);
    impl RowSink for Ids {
        fn row(&mut self, request: &RequestRecord, _: &[Lap]) -> io::Result<()> {
            self.0.lock().unwrap().push(request.id);
            Ok(())
        }
    }
    let ids = Arc::new(Mutex::new(Vec::new()));
    let mut recorder = Recorder::new(vec![source("only", false)]);
    recorder.write_rows_to(Box::new(Ids(Arc::clone(&ids))));
    feed(&mut recorder, &queue(50, 0.7, 2, |_| 1.0), SimTime::MAX);
    recorder.finish_rows().unwrap();
    assert_eq!(*ids.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

#[test]
fn an_empty_run_has_a_summary() {
    let summary = Recorder::new(vec![source("only", false)]).summary(&end(SimTime::ZERO));
    assert_eq!((summary.duration_s, summary.requests.arrived), (0.0, 0));
    assert_eq!((summary.slo, summary.itl, summary.latency.ttft), (None, None, None));
    assert!(serde_json::to_string(&summary.stability).unwrap().contains("too_short"));
}
