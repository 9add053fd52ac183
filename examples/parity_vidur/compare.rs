//! A run of MIST against what the reference recorded.
//!
//! Every instant must agree within 1e-6 s and half a nanosecond for each batch that the replica has run until
//! then: MIST's clock counts whole nanoseconds, the reference adds up floating-point seconds.

use std::fmt;

use super::recorded::{self, Recorded};
use super::vidur::{Batch, Served, Simulated};

/// What comes of the comparison.
#[derive(Debug, Default)]
pub struct Verdict {
    requests: usize,
    batches: Option<usize>,
    restarts: u64,
    /// The largest deviation (s) of when requests were scheduled, had their first token, were completed.
    deviations: [f64; 3],
    /// What is out of bounds, the first few, and how much there is of it.
    faults: Vec<String>,
    faulty: u64,
}

impl Verdict {
    /// Whether all is within bounds.
    pub fn holds(&self) -> bool {
        self.faulty == 0
    }

    /// Something is out of bounds.
    pub fn fault(&mut self, what: String) {
        self.faulty += 1;
        if self.faults.len() < 5 {
            self.faults.push(what);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [scheduled, first, completed] = self.deviations.map(|seconds| seconds * 1e9);
        let batches = self.batches.map_or_else(|| "no".to_owned(), |batches| batches.to_string());
        let verdict = if self.holds() { "agree" } else { "DIFFER" };
        write!(
            f,
            "{} requests, {batches} batches, {} restarts: {verdict}; largest deviation (ns): scheduled \
             {scheduled:.1}, first token {first:.1}, completed {completed:.1}",
            self.requests, self.restarts
        )?;
        for fault in &self.faults {
            write!(f, "\n    {fault}")?;
        }
        let more = self.faulty - self.faults.len() as u64;
        if more > 0 { write!(f, "\n    and {more} more") } else { Ok(()) }
    }
}

/// How far an instant may be off after so many batches (s).
fn bound(batches: usize) -> f64 {
    1e-6 + 0.5e-9 * (batches as f64 + 1.0)
}

/// Nanoseconds against seconds (s).
fn deviation(ours: u64, theirs: f64) -> f64 {
    (ours as f64 * 1e-9 - theirs).abs()
}

/// Compares every request and every batch.
pub fn compare(ours: &Simulated, theirs: &Recorded, replicas: usize) -> Verdict {
    let mut verdict = Verdict { requests: ours.requests.len(), ..Verdict::default() };
    let mut by_replica = vec![Vec::new(); replicas];
    for batch in &ours.batches {
        by_replica[batch.replica].push(*batch);
    }
    // Batches come first: the first that differs tells why.
    if let Some(batches) = &theirs.batches {
        verdict.batches = Some(batches.len());
        compare_batches(&by_replica, batches, &mut verdict);
    }
    for (id, (ours, theirs)) in ours.requests.iter().zip(&theirs.requests).enumerate() {
        compare_request(id, *ours, theirs, &by_replica, &mut verdict);
    }
    verdict
}

fn compare_request(
    id: usize,
    ours: Option<Served>,
    theirs: &recorded::Request,
    batches: &[Vec<Batch>],
    verdict: &mut Verdict,
) {
    let ours = match (ours, theirs.is_completed()) {
        (Some(ours), true) => ours,
        (None, false) => return,
        (ours, _) => {
            let who = if ours.is_some() { "here and not there" } else { "there and not here" };
            verdict.fault(format!("request {id} is completed {who}"));
            return;
        }
    };
    verdict.restarts += u64::from(ours.restarts);
    if theirs.num_restarts.is_some_and(|restarts| restarts != ours.restarts) {
        let there = theirs.num_restarts.unwrap_or_default();
        verdict.fault(format!("request {id} starts over {} times here, {there} there", ours.restarts));
    }
    let instants = [
        ("is scheduled", ours.scheduled, theirs.scheduled_at),
        ("has its first token", ours.first_token, theirs.prefill_completed_at),
        ("is completed", ours.completed, theirs.completed_at),
    ];
    for (at, (what, ours_at, theirs_at)) in instants.into_iter().enumerate() {
        let Some(theirs_at) = theirs_at else { continue };
        let off = deviation(ours_at, theirs_at);
        let before = batches[ours.replica].partition_point(|batch| batch.completed <= ours_at);
        verdict.deviations[at] = verdict.deviations[at].max(off);
        if off > bound(before) {
            let here = ours_at as f64 * 1e-9;
            verdict.fault(format!("request {id} {what} at {here:.9} s here, {theirs_at:.9} s there"));
        }
    }
}

fn compare_batches(ours: &[Vec<Batch>], theirs: &[recorded::Batch], verdict: &mut Verdict) {
    let mut by_replica = vec![Vec::new(); ours.len()];
    for batch in theirs {
        match by_replica.get_mut(batch.replica) {
            Some(batches) => batches.push(*batch),
            None => verdict.fault(format!("a batch of replica {}: there are {}", batch.replica, ours.len())),
        }
    }
    for (replica, (ours, theirs)) in ours.iter().zip(&mut by_replica).enumerate() {
        theirs.sort_by(|a, b| a.scheduled_at.total_cmp(&b.scheduled_at));
        if ours.len() != theirs.len() {
            let (here, there) = (ours.len(), theirs.len());
            verdict.fault(format!("replica {replica} runs {here} batches here, {there} there"));
        }
        for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let same = (ours.size, ours.prefill_tokens, ours.decode_tokens)
                == (theirs.size, theirs.prefill_tokens, theirs.decode_tokens);
            let off = deviation(ours.scheduled, theirs.scheduled_at)
                .max(deviation(ours.completed, theirs.completed_at));
            if !same || off > bound(at) {
                verdict.fault(format!(
                    "batch {at} of replica {replica}: {} requests, {} + {} tokens, ends at {:.9} s here; {}, \
                     {} + {}, {:.9} s there",
                    ours.size,
                    ours.prefill_tokens,
                    ours.decode_tokens,
                    ours.completed as f64 * 1e-9,
                    theirs.size,
                    theirs.prefill_tokens,
                    theirs.decode_tokens,
                    theirs.completed_at,
                ));
            }
        }
    }
}
