//! What a pipeline comes to, read directly off its tree.

use super::*;

/// A text on its way, read directly off the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text {
    pub now: u64,
    pub context: u32,
    pub generated: u32,
    /// Tokens whose KV is there.
    pub kv: u32,
    pub model: u16,
    pub serving: u16,
    pub sampled: u32,
    pub first: u64,
    pub answer: u64,
    pub last: u64,
    pub count: u32,
    /// Of all branches.
    pub work: u64,
    pub over: bool,
}

impl Text {
    /// A visit that computes what is missing of the context and generates; when its tokens are out.
    fn visit(&mut self, tokens: u32) -> u64 {
        let missing = self.context - self.kv.min(self.context - 1);
        let first = self.now + u64::from(missing) + STEP_US;
        self.now = first + u64::from(tokens - 1) * STEP_US;
        self.kv = self.context + tokens - 1;
        self.context += tokens;
        self.generated += tokens;
        self.work += u64::from(tokens);
        self.last = self.now;
        first
    }

    fn generate(&mut self, prefills: bool, reason: Option<u32>, answer: Option<u32>) {
        let (reasons, answers) = (reason.unwrap_or(0), answer.unwrap_or(0));
        let mut left = reasons + answers;
        let alone = left == 0;
        let mut fused = false;
        let out; // before the visit that generates on
        if prefills {
            (self.serving, self.kv, self.sampled) = (self.model, 0, 0);
            fused = !alone && self.serving == 0;
            let tokens = if fused { left } else { 1 };
            self.first = self.visit(tokens);
            (self.answer, self.count) = (self.first, tokens);
            if alone {
                self.sampled = 1;
                return;
            }
            left -= tokens;
            out = 1;
        } else {
            out = self.sampled.min(left);
            left -= out;
            self.sampled = 0;
        }
        let mut begun = self.first;
        if left > 0 {
            begun = self.visit(left);
            self.count += left;
        }
        let after = |tokens: u32| begun + u64::from(tokens) * STEP_US;
        if fused || left > 0 {
            self.answer = match (reasons, answers) {
                (_, 0) => u64::MAX,
                (_, _) if fused => after(reasons),
                (1.., _) => after(reasons - out),
                (0, _) if self.answer == u64::MAX => begun,
                (0, _) => self.answer,
            };
        }
    }

    pub fn read(&mut self, steps: &[Named]) {
        let mut at = 0;
        while at < steps.len() && !self.over {
            match &steps[at].step {
                Step::Prefill(_) | Step::Reason(_) | Step::Decode(_) => {
                    let fixed = |tokens: &Tokens| match tokens {
                        Tokens::Exactly(tokens) => *tokens,
                        _ => ANSWER,
                    };
                    let (mut prefills, mut reason, mut answer) = (false, None, None);
                    if matches!(steps[at].step, Step::Prefill(_)) {
                        prefills = true;
                        at += 1;
                    }
                    if let Some(Named { step: Step::Reason(tokens), .. }) = steps.get(at) {
                        reason = Some(fixed(tokens));
                        at += 1;
                    }
                    if let Some(Named { step: Step::Decode(tokens), .. }) = steps.get(at) {
                        answer = Some(fixed(tokens));
                        at += 1;
                    }
                    self.generate(prefills, reason, answer);
                    continue;
                }
                Step::Stage(_) => {
                    self.now += APPEND_US;
                    let tokens: u32 = steps[at].name.parse().unwrap_or(0);
                    self.context += tokens;
                }
                Step::Pass { .. } => {
                    // In passes of what a model takes at once, less the token that it samples.
                    let mut left = self.context;
                    while left > 0 {
                        let part = left.min(99);
                        self.now += u64::from(part) + STEP_US;
                        left -= part;
                    }
                }
                Step::Wait { takes, adds } => {
                    let Duration::Exactly(span) = takes else { unreachable!() };
                    self.now += span.to_sim().as_ns() / 1_000;
                    let Tokens::Exactly(tokens) = adds else { unreachable!() };
                    self.context += tokens;
                }
                Step::Parallel(branches) => {
                    let before = *self;
                    for branch in branches {
                        let mut text = before;
                        text.read(branch);
                        self.now = self.now.max(text.now);
                        self.context += text.context - before.context;
                        self.generated += text.generated - before.generated;
                        self.work += text.work - before.work;
                        if text.model != before.model {
                            self.model = text.model;
                        }
                        if text.generated != before.generated {
                            (self.kv, self.serving, self.sampled) = (text.kv, text.serving, text.sampled);
                            (self.first, self.answer) = (text.first, text.answer);
                            (self.last, self.count) = (text.last, text.count);
                        }
                    }
                }
                Step::Repeat { run, times, until } => {
                    let Some(Count::Exactly(times)) = times else { unreachable!() };
                    for _ in 0..*times {
                        self.read(run);
                        let Some(When::ContextTokens { from, .. }) = until else { continue };
                        if self.over || self.context >= *from {
                            break;
                        }
                    }
                }
                Step::Branch { cases, otherwise } => {
                    let When::ContextTokens { below: Some(tokens), .. } = cases[0].0 else { unreachable!() };
                    self.read(if self.context < tokens { &cases[0].1 } else { otherwise });
                }
                Step::Search { width, rounds, run, .. } => {
                    for _ in 0..*rounds {
                        let before = self.work;
                        self.read(run);
                        self.work += (self.work - before) * u64::from(width - 1);
                    }
                }
                Step::ChooseModel { cases, .. } => {
                    let When::ContextTokens { below: Some(tokens), .. } = cases[0].0 else { unreachable!() };
                    if self.context < tokens {
                        self.model = 1;
                    }
                }
                Step::Exit => self.over = true,
            }
            at += 1;
        }
    }
}
