//! SGLang's scheduler, written down as its source reads (`scheduler.py`, `schedule_policy.py`,
//! `schedule_batch.py` of 0.4.6 to 0.5.3), but for what the policy names as a deviation.

use std::cmp::Reverse;

use super::naive::{Engine, Step};

const CLIP: u32 = 4096;

/// `Scheduler` of SGLang, as far as it remembers between steps.
#[derive(Default)]
pub(super) struct Server {
    pub chunked_prefill_size: i64,
    pub max_prefill_tokens: i64,
    pub max_new_tokens: u32,
    pub conservativeness: f64,
    ratio: f64,
    /// `running_batch.batch_is_full`.
    full: bool,
    /// `running_batch.batch_size()` as it was when it was last filtered.
    size: usize,
    chunked: Option<usize>,
    /// The last batch, if it was of prompts.
    last: Option<Vec<usize>>,
}

/// `PrefillAdder`.
struct Adder {
    page: i64,
    available: i64,
    rem_total_offset: f64,
    cur_offset: i64,
    rem_input: i64,
    rem_chunk: i64,
    can_run: Step,
}

#[derive(PartialEq)]
enum Added {
    Continue,
    NoToken,
    Other,
}

impl Adder {
    fn rem_total(&self) -> f64 {
        self.available as f64 - self.rem_total_offset
    }

    fn ceil(&self, tokens: u32) -> i64 {
        (i64::from(tokens) + self.page - 1) / self.page * self.page
    }

    fn update(&mut self, extend: u32, max_new: u32) {
        let extend = self.ceil(extend);
        self.rem_total_offset += extend as f64 + f64::from(max_new);
        self.cur_offset += extend;
        self.rem_input -= extend;
        self.rem_chunk -= extend;
    }

    fn budget_state(&self) -> Added {
        if self.rem_total() <= 0.0 || self.available - self.cur_offset <= 0 {
            Added::NoToken
        } else if self.rem_input <= 0 || self.rem_chunk <= 0 {
            Added::Other
        } else {
            Added::Continue
        }
    }
}

impl Server {
    pub(super) fn new(chunked_prefill_size: u32, max_prefill_tokens: u32, max_new_tokens: u32) -> Self {
        let mut server = Self {
            chunked_prefill_size: chunked_prefill_size.into(),
            max_prefill_tokens: max_prefill_tokens.into(),
            max_new_tokens,
            conservativeness: 1.0,
            ..Self::default()
        };
        server.ratio = server.init_ratio();
        server
    }

    fn init_ratio(&self) -> f64 {
        (0.7 * self.conservativeness).min(1.0)
    }

    /// `max_new_tokens` of a request, once the tokenizer manager has cut it to what memory holds.
    fn max_new(&self, engine: &Engine, id: usize) -> u32 {
        let capacity = engine.total as u32 * engine.block_size;
        self.max_new_tokens.min(capacity.saturating_sub(engine.seqs[id].job.1 + 2))
    }

    /// `get_next_batch_to_run`.
    pub(super) fn next_batch(&mut self, engine: &mut Engine) -> Step {
        if let Some(last) = self.last.take() {
            let size = last.len();
            let keep = |id: &usize| !engine.seqs[*id].is_done() && self.chunked != Some(*id);
            let last: Vec<usize> = last.into_iter().filter(keep).collect();
            if last.len() < size {
                self.full = false;
            }
            if !last.is_empty() {
                if engine.running.is_empty() {
                    self.full = false;
                }
                engine.running.extend(last);
                self.size = engine.running.len();
            }
        }
        if (!self.full && !engine.waiting.is_empty()) || self.chunked.is_some() {
            let batch = self.prefill_batch(engine);
            if !batch.is_empty() {
                self.last = Some(batch.iter().map(|(id, _)| *id).collect());
                return batch;
            }
        }
        if engine.running.is_empty() {
            // Nothing to run: the loop turns once without a batch.
            let again = self.full && !engine.waiting.is_empty();
            self.full = false;
            self.size = 0;
            self.ratio = self.init_ratio();
            return if again { self.next_batch(engine) } else { Step::new() };
        }
        self.decode_batch(engine)
    }

    /// `get_new_batch_prefill`.
    fn prefill_batch(&mut self, engine: &mut Engine) -> Step {
        let page = i64::from(engine.block_size);
        let ahead: u32 = engine
            .running
            .iter()
            .map(|id| self.max_new(engine, *id).saturating_sub(engine.seqs[*id].generated).min(CLIP))
            .sum();
        let mut adder = Adder {
            page,
            available: engine.free.cast_signed() * page,
            rem_total_offset: f64::from(ahead) * self.ratio,
            cur_offset: 0,
            rem_input: self.max_prefill_tokens,
            rem_chunk: self.chunked_prefill_size,
            can_run: Step::new(),
        };
        let running = engine.running.len();
        if let Some(id) = self.chunked {
            let left = engine.seqs[id].tokens - engine.seqs[id].computed;
            let rem = adder.rem_chunk.min(adder.rem_total() as i64);
            let rem = if rem <= 0 { adder.rem_chunk } else { rem };
            let tokens = left.min(rem as u32);
            if !engine.take(id, engine.seqs[id].computed + tokens) {
                return Step::new();
            }
            adder.can_run.push((id, tokens));
            let max_new = if tokens < left { 0 } else { self.max_new(engine, id).min(CLIP) };
            adder.update(tokens, max_new);
            if tokens == left {
                self.chunked = None;
            }
        }
        while self.chunked.is_none() {
            let Some(&id) = engine.waiting.front() else { break };
            if adder.can_run.len() + running >= engine.max_num_seqs {
                self.full = true;
                break;
            }
            let added = self.add_one(engine, id, &mut adder);
            if added != Added::Continue {
                self.full |= added == Added::NoToken;
                break;
            }
        }
        adder.can_run
    }

    /// `add_one_req`.
    fn add_one(&mut self, engine: &mut Engine, id: usize, adder: &mut Adder) -> Added {
        let seq = engine.seqs[id];
        let max_new = self.max_new(engine, id);
        let total = seq.tokens + max_new.saturating_sub(seq.generated).min(CLIP);
        let alone = adder.can_run.is_empty() && engine.running.is_empty();
        if f64::from(total) >= adder.rem_total() && !alone {
            return Added::NoToken;
        }
        let input = adder.ceil(seq.tokens);
        if input >= adder.rem_input && !adder.can_run.is_empty() {
            return Added::Other;
        }
        if input <= adder.rem_chunk {
            if !engine.take(id, seq.tokens) {
                return Added::NoToken;
            }
            adder.can_run.push((id, seq.tokens));
            adder.update(seq.tokens, max_new.min(CLIP));
        } else {
            let pages = adder.rem_chunk / adder.page * adder.page;
            let small = pages == 0 && adder.can_run.is_empty();
            let trunc = if small { adder.rem_chunk } else { pages };
            if trunc <= 0 {
                return Added::Other;
            }
            if !engine.take(id, trunc as u32) {
                return Added::NoToken;
            }
            adder.can_run.push((id, trunc as u32));
            self.chunked = Some(id);
            adder.update(trunc as u32, 0);
        }
        engine.waiting.pop_front();
        adder.budget_state()
    }

    /// `update_running_batch`.
    fn decode_batch(&mut self, engine: &mut Engine) -> Step {
        let needs = |engine: &Engine| -> u64 {
            let opens = |id: &&usize| engine.seqs[**id].computed.is_multiple_of(engine.block_size);
            engine.running.iter().filter(opens).count() as u64
        };
        if needs(engine) > engine.free {
            let mut order = engine.running.clone();
            order.sort_by_key(|id| (Reverse(engine.seqs[*id].generated), engine.seqs[*id].job.1));
            let mut first = true;
            while (first || needs(engine) > engine.free) && order.len() > 1 {
                first = false;
                let id = order.pop().expect("more than one");
                engine.running.retain(|other| *other != id);
                engine.preempt(id);
                let id = engine.waiting.pop_front().expect("just preempted");
                engine.waiting.push_back(id);
            }
            let decoded: u32 = order.iter().map(|id| engine.seqs[*id].generated).sum();
            let most: u32 = order.iter().map(|id| self.max_new(engine, *id)).sum();
            self.ratio = (f64::from(decoded + 20 * order.len() as u32) / f64::from(most.max(1))).min(1.0);
            if needs(engine) > engine.free {
                // Only beside a long prompt that is under way: that one gives way.
                let id = self.chunked.take().expect("alone it fits");
                engine.preempt(id);
            }
        } else {
            let init = self.init_ratio();
            let least = (init * 0.14).min(1.0);
            self.ratio = (self.ratio - (init - least) / 600.0).max(least);
        }
        if engine.running.len() < self.size {
            self.full = false;
        }
        self.size = engine.running.len();
        let running = engine.running.clone();
        for id in &running {
            assert!(engine.take(*id, engine.seqs[*id].computed + 1));
        }
        running.into_iter().map(|id| (id, 1)).collect()
    }
}
