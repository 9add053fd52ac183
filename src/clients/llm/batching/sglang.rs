//! SGLang's batching: prompts first, admitted on an estimate of what those who run will still need.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchingPolicy, budget};
use crate::clients::llm::scheduler::{Back, Reserve, Scheduler};
use crate::clients::llm::sequence::SeqId;

/// The tokens that SGLang reckons with at most for an output (`SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION`).
const CLIP: u32 = 4096;
/// Steps that a batch is to last after a retraction (`SGLANG_RETRACT_DECODE_STEPS`).
const RETRACT_STEPS: u64 = 20;
/// The estimate at the start (`SGLANG_INIT_NEW_TOKEN_RATIO`).
const INIT_RATIO: f64 = 0.7;
/// Least estimate, as a share of that at the start (`SGLANG_MIN_NEW_TOKEN_RATIO_FACTOR`).
const MIN_RATIO_FACTOR: f64 = 0.14;
/// Decode steps from the one to the other (`SGLANG_NEW_TOKEN_RATIO_DECAY_STEPS`).
const DECAY_STEPS: f64 = 600.0;

/// Batching as SGLang schedules: prompts in steps of their own before anything decodes, in chunks where
/// they are long, one such prompt at a time.
///
/// A prompt is admitted if memory holds it with its whole answer, and what those who run are *estimated* to
/// generate yet: a share, the *new token ratio*, of what they may generate at most. The ratio begins at 0.7
/// times `schedule_conservativeness` and sinks with every decode step. When memory runs out all the same,
/// those with the shortest answers so far are retracted to the end of the queue, to be computed again, and
/// the ratio is set anew by how far the others have come. Once the head of the queue finds no room, nobody is
/// let in before something finishes.
///
/// Mirrors `Scheduler.get_next_batch_to_run`, `PrefillAdder` and `retract_decode` of SGLang 0.4.6 to 0.5.3
/// without overlapped scheduling:
/// <https://github.com/sgl-project/sglang/blob/v0.5.0/python/sglang/srt/managers/schedule_policy.py>,
/// <https://github.com/sgl-project/sglang/blob/v0.5.0/python/sglang/srt/managers/scheduler.py>.
/// Left out: `--enable-mixed-chunk`, preemption by priority, requests that ignore the end of the answer,
/// hierarchical and sliding-window caches, speculation; and on clients of `role: Decode` the admission of what
/// has been prefilled elsewhere without a pass and without the estimate: here it is weighed as a prompt and
/// takes a step for its last token. Deviations: requests that have just finished no longer
/// count when the next prompt is weighed, where SGLang drops them a step later; and where it would abort for
/// want of memory, the prompt waits, or is let in once nothing else runs; one under way that lacks room, and nobody
/// decodes whose end would make some, gives way and is computed again.
/// Its order of the queue is `packing: Fcfs` or `LongestPrefixMatch`; its `--schedule-policy` is `fcfs`
/// unless set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sglang {
    /// Most prompt tokens in a step; longer prompts are cut there, at whole blocks (tokens). At least
    /// `max_num_seqs`. Default 8192, as SGLang serves on an H100. SGLang `--chunked-prefill-size`.
    #[serde(deserialize_with = "budget")]
    #[schemars(range(min = 1))]
    pub chunked_prefill_size: u32,
    /// Prompt tokens from which on no further prompt joins a step (tokens). Default 16384.
    /// SGLang `--max-prefill-tokens`.
    pub max_prefill_tokens: u32,
    /// How much of what a request may generate is reckoned with, from just above 0; above 1 for fewer
    /// retractions, below for larger batches. Default 1. SGLang `--schedule-conservativeness`.
    #[serde(deserialize_with = "conservativeness")]
    pub schedule_conservativeness: f64,
    /// Tokens that a request may generate at most, as it says itself (tokens). Outputs that turn out longer
    /// are generated all the same. Default 4096, which is as far as SGLang reckons when a request does not
    /// say. SGLang `max_new_tokens` of a request.
    pub max_new_tokens: u32,
    #[serde(skip)]
    state: State,
}

fn conservativeness<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("must be above 0 and finite, found {value}")))
    }
}

impl Default for Sglang {
    fn default() -> Self {
        Self {
            chunked_prefill_size: 8192,
            max_prefill_tokens: 16384,
            schedule_conservativeness: 1.0,
            max_new_tokens: 4096,
            state: State::default(),
        }
    }
}

/// What one client's scheduler remembers between steps.
#[derive(Clone, Debug, Default)]
struct State {
    /// The ratio that was set last and the decode step it counts from; none after idling.
    ratio: Option<(f64, u64)>,
    /// Nobody is let in before something finishes (`batch_is_full`).
    full: bool,
    last: Last,
    /// Sequences that decode after the last step, unless some finished.
    expected: u32,
}

/// What the last step was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    /// Prompts; `resets`: whether what was known of the batch is forgotten after it.
    Prefill {
        resets: bool,
    },
    Decode,
}

/// Room for prompts in a step that is being composed (`PrefillAdder`).
struct Adder {
    /// Tokens of memory that are left when all has come as estimated.
    total: f64,
    /// Tokens of memory that are left now.
    current: i64,
    input: i64,
    chunk: i64,
    prompts: u32,
}

impl Adder {
    fn charge(&mut self, input: u32, output: u32) {
        self.total -= f64::from(input) + f64::from(output);
        self.current -= i64::from(input);
        self.input -= i64::from(input);
        self.chunk -= i64::from(input);
        self.prompts += 1;
    }
}

/// How adding a prompt ended.
enum Added {
    Next,
    NoRoom,
    Enough,
}

impl Sglang {
    fn initial_ratio(&self) -> f64 {
        (INIT_RATIO * self.schedule_conservativeness).min(1.0)
    }

    /// The share of what requests may generate that is reckoned with now.
    fn ratio(&self, scheduler: &Scheduler) -> f64 {
        let initial = self.initial_ratio();
        let least = (initial * MIN_RATIO_FACTOR).min(1.0);
        let Some((set, since)) = self.state.ratio else { return initial };
        let steps = scheduler.decode_steps().saturating_sub(since);
        // A ratio set below the least is raised to it by the next decode step.
        if steps == 0 { set } else { (set - steps as f64 * (initial - least) / DECAY_STEPS).max(least) }
    }

    /// Tokens that a request with this prompt may generate: no more than memory has room for.
    fn may_generate(&self, scheduler: &Scheduler, prompt: u32) -> u32 {
        let room = scheduler.kv().capacity_tokens().saturating_sub(u64::from(prompt) + 2);
        self.max_new_tokens.min(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// Tokens that `id` may yet generate, as far as is reckoned.
    fn may_yet_generate(&self, scheduler: &Scheduler, id: SeqId) -> u32 {
        let most = self.may_generate(scheduler, scheduler.prompt(id));
        most.saturating_sub(scheduler.generated(id)).min(CLIP)
    }

    fn adder(&self, scheduler: &Scheduler) -> Adder {
        let size = i64::from(scheduler.kv().block_size());
        let groups = u64::from(scheduler.kv().groups().count());
        let available = (scheduler.available() / groups).cast_signed() * size;
        let ahead: u64 = scheduler.decodes().map(|id| u64::from(self.may_yet_generate(scheduler, id))).sum();
        Adder {
            total: available as f64 - ahead as f64 * self.ratio(scheduler),
            current: available,
            input: self.max_prefill_tokens.into(),
            chunk: self.chunked_prefill_size.into(),
            prompts: 0,
        }
    }

    /// Composes a step of prompts; `false`, and nothing done, if there is none.
    fn prefill(&mut self, scheduler: &mut Scheduler) -> bool {
        let running = scheduler.decoding();
        let mut adder = self.adder(scheduler);
        if let Some(left) = scheduler.prefill_left(0) {
            let id = scheduler.in_order().find(|id| scheduler.prefill_of(*id).is_some());
            let room = adder.chunk.min(adder.total as i64);
            let room = if room > 0 { room } else { adder.chunk };
            let tokens = left.min(u32::try_from(room).unwrap_or(u32::MAX));
            if !scheduler.continue_prefill(0, tokens) {
                return false;
            }
            let output = id.map_or(0, |id| self.may_generate(scheduler, scheduler.prompt(id)).min(CLIP));
            adder.charge(paged(tokens, scheduler), if tokens < left { 0 } else { output });
        }
        let mut chunked = scheduler.unfinished_prompt();
        while let Some(id) = scheduler.head() {
            if running + adder.prompts >= scheduler.max_num_seqs() {
                self.state.full = true;
                break;
            }
            if chunked || scheduler.has_most_prompts() {
                break;
            }
            match self.add(scheduler, id, &mut adder) {
                Added::Next => chunked = scheduler.unfinished_prompt(),
                Added::NoRoom => {
                    self.state.full = true;
                    break;
                }
                Added::Enough => break,
            }
        }
        if adder.prompts == 0 {
            return false;
        }
        self.state.last = Last::Prefill { resets: running == 0 || scheduler.unfinished_prompt() };
        self.state.expected = running + adder.prompts - u32::from(scheduler.unfinished_prompt());
        true
    }

    /// Adds the head of the queue (`add_one_req`).
    fn add(&self, scheduler: &mut Scheduler, id: SeqId, adder: &mut Adder) -> Added {
        let Some(extend) = scheduler.next_waiting() else { return Added::NoRoom };
        let alone = scheduler.running() == 0;
        let whole = f64::from(extend) + f64::from(self.may_yet_generate(scheduler, id));
        // What it finds in the cache of what nobody uses is free no longer once it is locked.
        let locked = scheduler.idle_found(id) * u64::from(scheduler.kv().block_size());
        // Alone, it would wait for ever.
        if whole >= adder.total - locked as f64 && !alone {
            return Added::NoRoom;
        }
        let input = paged(extend, scheduler);
        if i64::from(input) >= adder.input && adder.prompts > 0 {
            return Added::Enough;
        }
        let fits = i64::from(input) <= adder.chunk;
        let size = i64::from(scheduler.kv().block_size());
        let aligned = adder.chunk / size * size;
        // Chunks smaller than a block end within one.
        let cut = if aligned == 0 && adder.prompts == 0 { adder.chunk } else { aligned };
        let tokens = if fits { extend } else { u32::try_from(cut).unwrap_or(0) };
        if tokens == 0 {
            return Added::Enough;
        }
        let output = self.may_generate(scheduler, scheduler.prompt(id)).min(CLIP);
        if !scheduler.admit(tokens.min(extend), Reserve::Chunk) {
            return Added::NoRoom;
        }
        adder.total -= locked as f64;
        adder.current -= locked.cast_signed();
        if fits {
            adder.charge(input, output);
        } else {
            adder.charge(tokens, 0);
        }
        if adder.total <= 0.0 || adder.current <= 0 {
            Added::NoRoom
        } else if adder.input <= 0 || adder.chunk <= 0 {
            Added::Enough
        } else {
            Added::Next
        }
    }

    /// Lets all decode; where memory is short, retracts those with the shortest answers until it is not.
    fn decode(&mut self, scheduler: &mut Scheduler) {
        let mut retracted = false;
        if scheduler.decode_growth() > scheduler.available() {
            retracted = self.retract(scheduler);
        }
        // Beside a long prompt that is under way the last one may find no room, and then that prompt goes.
        retracted |= scheduler.decode_all();
        // It goes, too, where nobody decodes whose end would make room for its next chunk.
        retracted |= !scheduler.has_step() && scheduler.prefilling() > 0 && scheduler.preempt_last();
        if scheduler.decoding() < self.state.expected {
            self.state.full = false;
        }
        self.state.last = Last::Decode;
        self.state.expected = scheduler.decoding();
        let asks_again = scheduler.waiting() > 0 && !self.state.full || scheduler.prefilling() > 0;
        if !retracted && !asks_again {
            scheduler.repeat_decodes();
        }
    }

    fn retract(&mut self, scheduler: &mut Scheduler) -> bool {
        let mut batch: Vec<(u32, u32, SeqId)> =
            scheduler.decodes().map(|id| (scheduler.generated(id), scheduler.prompt(id), id)).collect();
        batch.sort_by_key(|(generated, prompt, _)| (std::cmp::Reverse(*generated), *prompt));
        let mut retracted = false;
        while batch.len() > 1 && (!retracted || scheduler.decode_growth() > scheduler.available()) {
            if let Some((.., id)) = batch.pop() {
                scheduler.preempt(id, Back::Tail);
                retracted = true;
            }
        }
        let generated: u64 = batch.iter().map(|(generated, ..)| u64::from(*generated)).sum();
        let most: u64 = batch
            .iter()
            .map(|(_, prompt, _)| u64::from(self.may_generate(scheduler, *prompt)))
            .sum::<u64>()
            .max(1);
        let ratio = (generated + RETRACT_STEPS * batch.len() as u64) as f64 / most as f64;
        // The step that is composed now does not count.
        self.state.ratio = Some((ratio.min(1.0), scheduler.decode_steps() + 1));
        retracted
    }
}

/// Tokens that so many take in whole blocks.
fn paged(tokens: u32, scheduler: &Scheduler) -> u32 {
    scheduler.kv().blocks_for(tokens) * scheduler.kv().block_size()
}

impl BatchingPolicy for Sglang {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let begin = (self.initial_ratio(), scheduler.decode_steps());
        self.state.ratio.get_or_insert(begin);
        let finished = scheduler.decoding() < self.state.expected;
        match self.state.last {
            Last::Prefill { resets } if resets || finished => self.state.full = false,
            // The batch has run dry: it is idle for no time, and begins anew.
            Last::Decode if self.state.full && scheduler.running() == 0 => {
                self.state.full = false;
                self.state.ratio = Some(begin);
            }
            _ => {}
        }
        if let Last::Prefill { .. } = self.state.last {
            self.state.expected = scheduler.decoding();
        }
        let wants = scheduler.waiting() > 0 && !self.state.full || scheduler.prefilling() > 0;
        if wants && self.prefill(scheduler) {
            return;
        }
        self.decode(scheduler);
    }

    fn max_step_tokens(&self) -> u32 {
        self.chunked_prefill_size
    }

    fn largest_chunk(&self) -> Option<u32> {
        Some(self.chunked_prefill_size)
    }

    fn idle(&mut self) {
        self.state = State::default();
    }

    fn arrival_interrupts(&mut self, _: u32, scheduler: &Scheduler) -> bool {
        !self.state.full && scheduler.waiting() == 0
    }
}
