//! What a thread asks of a client, and what it makes of a visit: tokens, times, the text so far.

use super::journey::{End, Thread, TokenTimes};
use super::program::{By, Generate, Served};
use super::walk::{Split, Visited, Work};
use super::when::When;
use crate::engine::uniform;
use crate::request::KvHandle;
use crate::scenario::Tokens;
use crate::units::{SimSpan, SimTime};

impl Thread {
    /// Accounts a visit under one label.
    pub(super) fn account(&mut self, label: u8, visited: &Visited, now: SimTime) {
        self.lap(label, visited.started.since(self.since), now.since(visited.started));
    }

    pub(super) fn lap(&mut self, label: u8, waited: SimSpan, served: SimSpan) {
        let lap = &mut self.laps[usize::from(label)];
        lap.waited += waited;
        lap.served += served;
    }

    /// The first case that holds.
    pub(super) fn choose<T: Copy>(&mut self, cases: &[(When, T)]) -> Option<T> {
        let by_chance = cases.iter().any(|(when, _)| when.chance() > 0.0);
        let mut drawn = if by_chance { uniform(&mut self.draws) } else { 0.0 };
        for (when, then) in cases {
            if when.holds(&self.payload, drawn) {
                return Some(*then);
            }
            drawn -= when.chance();
        }
        None
    }

    /// The next part of a pass over the text by a model that takes `longest` tokens.
    pub(super) fn pass(&mut self, longest: u32) -> Work {
        let left = if self.phase == 0 { self.payload.context_tokens } else { self.phase };
        let part = left.min(longest.saturating_sub(1).max(1));
        self.phase = left - part;
        Work { prompt_tokens: part, output_tokens: 1, ..Work::default() }
    }

    /// What a generation asks of which pool; nothing if every token is there already.
    pub(super) fn generate(&mut self, generate: Generate, models: &[Served]) -> Option<(u16, Work)> {
        let prefills = generate.prefill.is_some() && self.phase == 0;
        if self.phase == 0 {
            let mut draw = |tokens: Option<Tokens>| {
                tokens.map_or(0, |tokens| tokens.draw(self.payload.answer_tokens, &mut self.draws))
            };
            self.plan = [draw(generate.reason), draw(generate.answer)];
        }
        let payload = &mut self.payload;
        if let (true, Some(by)) = (prefills, generate.prefill) {
            payload.serving = match by {
                By::Asked => payload.model,
                By::Model(model) => model,
            };
            (payload.kv, payload.sampled) = (None, 0);
        }
        let served = &models[usize::from(payload.serving)];
        let [reason, answer] = self.plan;
        let total = reason.saturating_add(answer);
        let milestone = if answer > 0 { reason } else { 0 };
        let (prompt_tokens, model) = (payload.context_tokens, payload.serving);
        let work = Work { prompt_tokens, keep: generate.keep, model, ..Work::default() };
        if prefills {
            self.fused = !generate.is_prefill_only() && !served.is_split();
            let cached = if payload.cached_for == payload.serving { payload.cached_tokens } else { 0 };
            let fetched_tokens = cached.min(payload.context_tokens.saturating_sub(1));
            let work = Work { fetched_tokens, ..work };
            return Some(if self.fused {
                (served.prefill, Work { output_tokens: total, reason_tokens: milestone, ..work })
            } else {
                // An answer of no tokens is for the client to turn away.
                let output_tokens = if generate.is_prefill_only() { 1 } else { total.min(1) };
                (served.prefill, Work { output_tokens, keep: true, ..work })
            });
        }
        let left = total.saturating_sub(payload.sampled);
        if left == 0 {
            (payload.sampled, self.phase) = (0, 0);
            return None;
        }
        let reason_tokens = milestone.saturating_sub(payload.sampled);
        let last_token = Some(self.times.last).filter(|last| *last != SimTime::MAX);
        Some((served.decode, Work { output_tokens: left, reason_tokens, last_token, ..work }))
    }

    /// The part of a generation that asks for `work` now, where others decode than prefill.
    pub(super) fn split(&self, generate: Generate, models: &[Served], work: Work) -> Option<Split> {
        let served = &models[usize::from(self.payload.serving)];
        let prefills = generate.prefill.is_some() && self.phase == 0;
        if !served.is_split() {
            return None;
        }
        if !prefills {
            return Some(Split::Decode);
        }
        let [reason, answer] = self.plan;
        let total = reason.saturating_add(answer);
        let reason_tokens = if answer > 0 { reason } else { 0 };
        let whole = Work { output_tokens: total, reason_tokens, keep: generate.keep, ..work };
        let alone = generate.is_prefill_only() || total <= 1;
        Some(if alone { Split::Prefill } else { Split::First { decode: served.decode, whole } })
    }

    /// The KV that a generation goes on with.
    pub(super) fn goes_on_with(&self, generate: Generate) -> Option<KvHandle> {
        let prefills = generate.prefill.is_some() && self.phase == 0;
        self.payload.kv.filter(|_| !prefills)
    }

    /// Accounts a visit that generated; how many tokens it did.
    pub(super) fn generated(&mut self, generate: Generate, visited: &Visited, now: SimTime) -> u64 {
        let [prefill, reason, answer] = generate.labels;
        let [reasons, answers] = self.plan;
        let since = match (visited.way, generate.transfer) {
            (Some([set_out, landed]), Some(transfer)) => {
                self.lap(transfer, set_out.since(self.since), landed.since(set_out));
                landed
            }
            _ => self.since,
        };
        let waited = visited.started.since(since);
        let first = visited.first_token;
        self.payload.kv = visited.kept;
        let prefills = generate.prefill.is_some() && self.phase == 0;
        let tokens = if prefills {
            self.lap(prefill, waited, first.since(visited.started));
            self.payload.cached_tokens = 0;
            let tokens = if self.fused { reasons + answers } else { 1 };
            self.times = TokenTimes { first, answer: first, last: now, count: tokens };
            tokens
        } else {
            (reasons + answers).saturating_sub(self.payload.sampled)
        };
        if prefills && !self.fused {
            self.payload.sampled = 1;
            if generate.is_prefill_only() { self.pc += 1 } else { self.phase = 1 }
        } else {
            // From the first token on behind a prefill, from the start behind other visits.
            let begun = if prefills { first } else { visited.started };
            let reasons_left = reasons.saturating_sub(self.payload.sampled);
            let label = if reasons_left > 0 { reason } else { answer };
            if !prefills {
                self.lap(label, waited, SimSpan::ZERO);
                (self.times.last, self.times.count) = (now, self.times.count + tokens);
            }
            if reasons_left > 0 && answers > 0 {
                self.lap(reason, SimSpan::ZERO, visited.answer.since(begun));
                self.lap(answer, SimSpan::ZERO, now.since(visited.answer));
                self.times.answer = visited.answer;
            } else {
                self.lap(label, SimSpan::ZERO, now.since(begun));
                if answers == 0 {
                    self.times.answer = SimTime::MAX; // reasoning alone
                } else if self.times.answer == SimTime::MAX || reasons > 0 {
                    self.times.answer = first;
                }
            }
            (self.payload.sampled, self.phase) = (0, 0);
            self.pc += 1;
        }
        self.payload.context_tokens = self.payload.context_tokens.saturating_add(tokens);
        self.payload.generated_tokens = self.payload.generated_tokens.saturating_add(tokens);
        u64::from(tokens)
    }

    /// Takes over what branches came to, in their order: what they added is added up.
    pub(super) fn merge(&mut self, ends: &[End]) {
        let base = self.payload;
        let mut sum = base;
        let add = |sum: u32, base: u32, end: u32| {
            (i64::from(sum) + i64::from(end) - i64::from(base)).clamp(0, u32::MAX.into()) as u32
        };
        for End { payload, times, .. } in ends {
            sum.context_tokens = add(sum.context_tokens, base.context_tokens, payload.context_tokens);
            sum.generated_tokens = add(sum.generated_tokens, base.generated_tokens, payload.generated_tokens);
            sum.cached_tokens = sum.cached_tokens.max(payload.cached_tokens);
            if payload.score.to_bits() != base.score.to_bits() {
                sum.score = payload.score;
            }
            if payload.model != base.model {
                sum.model = payload.model;
            }
            if payload.kv != base.kv || payload.generated_tokens != base.generated_tokens {
                (sum.kv, sum.serving, sum.sampled) = (payload.kv, payload.serving, payload.sampled);
                self.times = *times;
            }
        }
        self.payload = sum;
    }
}
