//! How a request goes through its program: plain Rust without a world.
//!
//! A thread runs until it needs a client, a wait, or other branches. What it asks for comes out as
//! [`Action`]s; when that is done, [`finish`](Ground::finish) or [`resume`](Ground::resume) lets it go on.

mod visit;

use smallvec::SmallVec;

pub use self::visit::{Action, Split, Visit, Visited, Work};
use super::journey::{End, Group, Journey, Thread};
use super::program::{Op, Program, Served};
use crate::engine::{split, uniform};
use crate::request::{KvHandle, Rejection};
use crate::units::{SimSpan, SimTime};

/// Where a walk takes place.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The program.
    pub program: &'a Program,
    /// The models that LLM clients serve.
    pub models: &'a [Served],
    /// The present.
    pub now: SimTime,
}

impl Ground<'_> {
    /// Sets a new journey going.
    pub fn start(&self, journey: &mut Journey, actions: &mut Vec<Action>) {
        self.advance(journey, 0, actions);
    }

    /// Lets `thread` go on after a wait.
    pub fn resume(&self, journey: &mut Journey, thread: u32, actions: &mut Vec<Action>) {
        journey.under_way -= 1;
        if journey.rejection.is_some() {
            return Self::wind_up(journey, actions);
        }
        let at = &mut journey.threads[thread as usize];
        if let Op::Wait { label, .. } = self.program.ops[at.pc as usize] {
            at.lap(label, SimSpan::ZERO, self.now.since(at.since));
        }
        at.pc += 1;
        self.advance(journey, thread, actions);
        release_unused(journey, actions);
    }

    /// Lets `thread` go on after a visit.
    pub fn finish(&self, journey: &mut Journey, thread: u32, visited: &Visited, actions: &mut Vec<Action>) {
        journey.under_way -= 1;
        journey.started = journey.started.min(visited.started);
        journey.cached_tokens = journey.cached_tokens.max(visited.cached_tokens);
        journey.preemptions = journey.preemptions.saturating_add(visited.preemptions);
        journey.last_client = visited.client;
        journey.rejection = journey.rejection.or(visited.rejection);
        if journey.rejection.is_some() {
            // Others of this request may wait for its room.
            actions.extend(visited.kept.map(Action::Release));
            return Self::wind_up(journey, actions);
        }
        journey.kept.extend(visited.kept);
        let at = &mut journey.threads[thread as usize];
        at.payload = visited.payload;
        match &self.program.ops[at.pc as usize] {
            Op::Visit { stage, label, model, .. } => {
                at.payload.cached_for = model.unwrap_or(at.payload.model);
                stage.finish(&mut at.payload, &mut at.draws);
                at.account(*label, visited, self.now);
                at.pc += 1;
            }
            Op::Pass { scores, label, .. } => {
                at.account(*label, visited, self.now);
                if at.phase == 0 {
                    if *scores {
                        at.payload.score = uniform(&mut at.draws) as f32;
                    }
                    at.pc += 1;
                }
            }
            Op::Generate(generate) => journey.generated += at.generated(*generate, visited, self.now),
            _ => unreachable!("a thread visits from operations that visit"),
        }
        self.advance(journey, thread, actions);
        release_unused(journey, actions);
    }

    /// Runs `thread` until it has to wait for something.
    fn advance(&self, journey: &mut Journey, thread: u32, actions: &mut Vec<Action>) {
        let mut thread = thread;
        loop {
            let at = &mut journey.threads[thread as usize];
            at.since = self.now;
            match &self.program.ops[at.pc as usize] {
                Op::Visit { pool, model, .. } => {
                    let prompt_tokens = at.payload.context_tokens;
                    let model = model.unwrap_or(at.payload.model);
                    let work = Work { prompt_tokens, model, ..Work::default() };
                    return visit(journey, thread, (*pool, work), None, None, actions);
                }
                Op::Pass { model, .. } => {
                    let served = &self.models[usize::from(*model)];
                    let work = Work { model: *model, ..at.pass(served.max_model_len) };
                    journey.read += u64::from(work.prompt_tokens);
                    return visit(journey, thread, (served.prefill, work), None, None, actions);
                }
                Op::Generate(generate) => match at.generate(*generate, self.models) {
                    Some((pool, work)) => {
                        let base = at.goes_on_with(*generate);
                        let split = at.split(*generate, self.models, work);
                        // The KV of what was generated last is still to be computed, and nothing read anew.
                        let there = base.map_or(0, |kv| kv.tokens.saturating_add(1));
                        journey.read += u64::from(work.prompt_tokens.saturating_sub(there));
                        return visit(journey, thread, (pool, work), base, split, actions);
                    }
                    None => at.pc += 1,
                },
                Op::Wait { takes, adds, .. } => {
                    let until = self.now + takes.draw(&mut at.draws);
                    let adds = adds.draw(at.payload.answer_tokens, &mut at.draws);
                    at.payload.context_tokens = at.payload.context_tokens.saturating_add(adds);
                    if until == self.now {
                        at.pc += 1;
                        continue;
                    }
                    journey.under_way += 1;
                    actions.push(Action::Wait { thread, until });
                    return;
                }
                Op::Parallel { arms, .. } => {
                    let group = journey.fork(thread, arms.len() as u32);
                    for (arm, pc) in arms.iter().enumerate() {
                        self.branch_off(journey, group, arm as u32, *pc, None, actions);
                    }
                    return;
                }
                Op::Search { width, .. } => {
                    let start = at.pc + 1;
                    let group = journey.fork(thread, *width);
                    for arm in 0..*width {
                        self.branch_off(journey, group, arm, start, None, actions);
                    }
                    return;
                }
                Op::Join => match self.join(journey, thread, actions) {
                    Some(parent) => thread = parent,
                    None => return,
                },
                Op::Loop { times, after } => {
                    let rounds = times.map_or(u32::MAX, |times| times.draw(&mut at.draws));
                    if rounds == 0 {
                        at.pc = *after;
                    } else {
                        at.loops.push(rounds);
                        at.pc += 1;
                    }
                }
                Op::Again { start, until } => {
                    let over = until.is_some_and(|until| {
                        let drawn = if until.chance() > 0.0 { uniform(&mut at.draws) } else { 0.0 };
                        until.holds(&at.payload, drawn)
                    });
                    let left = at.loops.last_mut().expect("a round is inside a repetition");
                    // Without a bound the count never runs out.
                    *left -= u32::from(*left != u32::MAX);
                    if over || *left == 0 {
                        at.loops.pop();
                        at.pc += 1;
                    } else {
                        at.pc = *start;
                    }
                }
                Op::Branch { cases, otherwise } => at.pc = at.choose(cases).unwrap_or(*otherwise),
                Op::ChooseModel { cases, otherwise } => {
                    if let Some(model) = at.choose(cases).or(*otherwise) {
                        at.payload.model = model;
                    }
                    at.pc += 1;
                }
                Op::Jump(to) => at.pc = *to,
                Op::End => {
                    // Where every draw said no, nothing was done for it that it could be judged by.
                    if journey.laps().iter().all(|lap| lap.total() == SimSpan::ZERO) {
                        journey.rejection = journey.rejection.or(Some(Rejection::EmptyOutput));
                    }
                    return done(journey, actions);
                }
            }
        }
    }

    /// Starts one branch of `group` at `pc`, with what its parent has or what `from` came to.
    fn branch_off(
        &self,
        journey: &mut Journey,
        group: u32,
        arm: u32,
        pc: u32,
        from: Option<End>,
        actions: &mut Vec<Action>,
    ) {
        let parent = &mut journey.threads[journey.groups[group as usize].parent as usize];
        let End { payload, times, .. } =
            from.unwrap_or(End { arm, payload: parent.payload, times: parent.times });
        let branch = Thread {
            pc,
            group: Some(group),
            arm,
            live: true,
            phase: 0,
            fused: false,
            plan: [0; 2],
            partner: None,
            payload,
            draws: split(&mut parent.draws),
            loops: SmallVec::new(),
            laps: parent.laps.clone(),
            times,
            since: self.now,
        };
        let thread = journey.add(branch);
        self.advance(journey, thread, actions);
    }

    /// Ends a branch; its parent, if it was the last one.
    fn join(&self, journey: &mut Journey, thread: u32, actions: &mut Vec<Action>) -> Option<u32> {
        let branch = &mut journey.threads[thread as usize];
        branch.live = false;
        let end = End { arm: branch.arm, payload: branch.payload, times: branch.times };
        let laps = std::mem::take(&mut branch.laps);
        let number = branch.group.expect("only branches come to a join");
        let group = &mut journey.groups[number as usize];
        group.ends.push(end);
        group.left -= 1;
        if group.left > 0 {
            return None;
        }
        let mut ends = std::mem::take(&mut group.ends);
        ends.sort_unstable_by_key(|end| end.arm);
        let (parent, round) = (group.parent, group.round + 1);
        let waiting = &mut journey.threads[parent as usize];
        waiting.laps = laps; // the last one decided when the join happened
        match &self.program.ops[waiting.pc as usize] {
            Op::Search { width, keep, rounds, after } => {
                ends.sort_by(|a, b| b.payload.score.total_cmp(&a.payload.score));
                if round < *rounds {
                    let start = waiting.pc + 1;
                    ends.truncate(*keep as usize);
                    journey.groups[number as usize] =
                        Group { parent, left: *width, round, ends: Vec::with_capacity(*width as usize) };
                    for arm in 0..*width {
                        let from = ends[arm as usize % ends.len()];
                        self.branch_off(journey, number, arm, start, Some(from), actions);
                    }
                    return None;
                }
                (waiting.payload, waiting.times) = (ends[0].payload, ends[0].times);
                waiting.pc = *after;
            }
            Op::Parallel { after, .. } => {
                waiting.merge(&ends);
                waiting.pc = *after;
            }
            _ => unreachable!("branches come from operations that fork"),
        }
        Some(parent)
    }

    /// Ends the journey of a request that was turned away, once nothing of it is under way.
    fn wind_up(journey: &mut Journey, actions: &mut Vec<Action>) {
        if journey.under_way == 0 {
            done(journey, actions);
        }
    }
}

/// Sends `thread` to a client.
fn visit(
    journey: &mut Journey,
    thread: u32,
    (pool, work): (u16, Work),
    base: Option<KvHandle>,
    split: Option<Split>,
    actions: &mut Vec<Action>,
) {
    let Thread { pc, payload, .. } = journey.threads[thread as usize];
    journey.under_way += 1;
    actions.push(Action::Visit(Visit { thread, place: pc, pool, work, base, split, payload }));
}

fn done(journey: &mut Journey, actions: &mut Vec<Action>) {
    actions.extend(journey.kept.drain(..).map(Action::Release));
    actions.push(Action::Done);
}

/// Releases KV that no thread can go on with.
fn release_unused(journey: &mut Journey, actions: &mut Vec<Action>) {
    let Journey { threads, groups, kept, .. } = journey;
    if kept.is_empty() {
        return;
    }
    let key = |kv: &KvHandle| (kv.index, kv.model, kv.id);
    let running = threads.iter().filter(|thread| thread.live).map(|thread| &thread.payload);
    let ended = groups.iter().flat_map(|group| &group.ends).map(|end| &end.payload);
    let mut held: SmallVec<[_; 8]> =
        running.chain(ended).filter_map(|payload| payload.kv.as_ref()).map(key).collect();
    held.sort_unstable();
    kept.retain(|handle| {
        let used = held.binary_search(&key(handle)).is_ok();
        if !used {
            actions.push(Action::Release(*handle));
        }
        used
    });
}
