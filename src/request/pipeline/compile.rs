//! From the steps of a pipeline to a program, and everything that can be wrong with it.

use super::directory::Directory;
use super::flow::{
    always_takes_time, answers, asks, changes_text, exits, leaves, one_visit, prefills, scores, takes_time,
    wants,
};
use super::labels::TRANSFER;
use super::program::{By, Generate, Op, Program};
use super::step::{Named, Step};
use super::when::When;
use crate::request::Around;
use crate::scenario::Count;
use crate::scenario::Problem;

/// Compiles `steps`; paths of problems count from the pipeline, such as `[2].run[0]`.
///
/// # Errors
/// Everything wrong with the pipeline.
pub fn compile(steps: &[Named], directory: &dyn Directory) -> Result<Program, Vec<Problem>> {
    let program = Program { ops: Vec::new(), labels: Vec::new(), asks_model: false, mixed: false };
    let mut compiler = Compiler {
        program,
        directory,
        problems: Vec::new(),
        gives_output: false,
        scored: steps.iter().any(scores),
    };
    let around = Around { answered: false, prefilled: false, asked: false };
    let start = Place { kv: false, wanted: false, joins: false, next: None, around };
    compiler.sequence(steps, "", start);
    compiler.program.ops.push(Op::End);
    if compiler.problems.is_empty() && !compiler.gives_output {
        let message = "a pipeline without an output: none of its stages generates or decides anything";
        let help = "end it with `Prefill, Decode`, or with a stage whose result is what is asked for";
        compiler.problems.push(Problem::new("", message).help(help));
    }
    let end = compiler.program.ops.len() as u32 - 1;
    for op in &mut compiler.program.ops {
        if let Op::Jump(to @ EXIT) = op {
            *to = end;
        }
    }
    if compiler.problems.is_empty() { Ok(compiler.program) } else { Err(compiler.problems) }
}

/// Stands for the end of the program while that is not known.
const EXIT: u32 = u32::MAX;

/// What is around a list of steps.
#[derive(Clone, Copy)]
struct Place {
    /// Whether a client keeps KV of the text when it begins.
    kv: bool,
    /// Whether what comes after it goes on with KV that it leaves.
    wanted: bool,
    /// Whether other branches wait for it.
    joins: bool,
    /// The model of the next prefill; `None`: the one that the request asks for.
    next: Option<u16>,
    /// What stages in it find.
    around: Around,
}

impl Place {
    /// The same for what is `run` again and again.
    fn repeated(self, run: &[Named]) -> Self {
        let Around { answered, prefilled, asked } = self.around;
        let around = Around {
            answered: answered || run.iter().any(answers),
            prefilled: prefilled || run.iter().any(prefills),
            asked: asked || run.iter().any(asks),
        };
        Self { around, ..self }
    }
}

struct Compiler<'a> {
    program: Program,
    directory: &'a dyn Directory,
    problems: Vec<Problem>,
    gives_output: bool,
    /// Whether some stage gives a score.
    scored: bool,
}

/// `path` from `prefix`, which both count from the pipeline.
fn join(prefix: &str, path: &str) -> String {
    let dot = if prefix.is_empty() || path.starts_with('[') { "" } else { "." };
    format!("{prefix}{dot}{path}")
}

impl Compiler<'_> {
    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn here(&self) -> u32 {
        self.program.ops.len() as u32
    }

    fn push(&mut self, op: Op) -> usize {
        self.program.ops.push(op);
        self.program.ops.len() - 1
    }

    /// The position of the name under which the time of a stage is accounted.
    fn label(&mut self, name: String) -> u8 {
        let labels = &mut self.program.labels;
        let at = labels.iter().position(|label| *label == name).unwrap_or_else(|| {
            labels.push(name);
            labels.len() - 1
        });
        // A pipeline of more names than a user can read shares the last one.
        at.min(usize::from(u8::MAX)) as u8
    }

    fn model(&mut self, name: &str, path: &str) -> u16 {
        self.directory.model(name).unwrap_or_else(|problem| {
            self.problem(problem.under(path));
            0
        })
    }

    /// Compiles steps in a row; tells whether KV is there after them.
    fn sequence(&mut self, steps: &[Named], prefix: &str, place: Place) -> bool {
        let (mut kv, mut answered) = (place.kv, place.around.answered);
        let mut rest = steps;
        while let Some(first) = rest.first() {
            let (now, later) = rest.split_at(one_visit(rest));
            if let (Step::Exit, Some(lost)) = (&first.step, later.first()) {
                let message = "this stage is never reached: `Exit` stands before it";
                self.problem(Problem::new(join(prefix, &lost.path), message));
            }
            // Of the steps in this row alone; inside others they take the last that was seen.
            let next = later.iter().find_map(|named| match &named.step {
                Step::Prefill(model) => {
                    Some(model.as_ref().and_then(|model| self.directory.model(model).ok()))
                }
                _ => None,
            });
            let next = next.unwrap_or(place.next);
            let around = Around {
                answered,
                prefilled: place.around.prefilled || later.iter().any(prefills),
                asked: place.around.asked || later.iter().any(asks),
            };
            let after = Place { kv, wanted: wants(later, place.wanted), next, around, ..place };
            kv = self.step(now, prefix, after);
            answered |= now.iter().any(answers);
            rest = later;
        }
        kv
    }

    /// Compiles one step, or a prefill with what it generates; tells whether KV is there after it.
    fn step(&mut self, steps: &[Named], prefix: &str, place: Place) -> bool {
        let Named { name, path, step } = &steps[0];
        let path = join(prefix, path);
        match step {
            Step::Prefill(_) | Step::Reason(_) | Step::Decode(_) => {
                return self.generate(steps, &path, place);
            }
            Step::Stage(stage) => {
                let effects = stage.check_among(place.around);
                for problem in self.directory.check(stage.as_ref()).into_iter().chain(effects) {
                    self.problem(problem.under(&path));
                }
                if place.kv && place.wanted && stage.puts_into_prompt() {
                    let message = "it puts text into the prompt, and the KV cache that later stages go on with is of the prompt without";
                    let help = "put it before the `Prefill`, or a `Prefill` behind it";
                    self.problem(Problem::new(path.clone(), message).help(help));
                }
                let pool = self.directory.pool(stage.client(), stage.model());
                let pool = pool.unwrap_or_else(|problem| {
                    let message = format!("no client can run `{name}`: {}", problem.message);
                    self.problem(Problem { message, ..problem }.under(&path));
                    0
                });
                self.gives_output |= stage.is_output();
                let label = self.label(name.clone());
                self.push(Op::Visit { stage: stage.clone(), pool, label, model: place.next });
            }
            Step::Pass { model, scores } => {
                let number = self.model(model, &join(&path, "model"));
                let label = self.label(name.clone());
                self.gives_output = true;
                self.push(Op::Pass { model: number, scores: *scores, label });
            }
            Step::Wait { takes, adds } => {
                let label = self.label(name.clone());
                self.push(Op::Wait { takes: *takes, adds: *adds, label });
            }
            Step::Parallel(branches) => return self.parallel(branches, &path, place),
            Step::Repeat { .. } => return self.repeat(step, &path, place),
            Step::Branch { cases, otherwise } => return self.branch(cases, otherwise, &path, place),
            Step::Search { width, keep, rounds, run } => {
                if !run.iter().any(scores) {
                    let message = "nothing in `run` scores the branches, so none is better than another";
                    self.problem(Problem::new(join(&path, "run"), message).help("end it with `Score`"));
                }
                if *rounds > 1 && !run.iter().any(always_takes_time) {
                    let message = "a round may take no time";
                    let help = "let every way through `run` take time";
                    self.problem(Problem::new(join(&path, "run"), message).help(help));
                }
                let (width, keep, rounds) = (*width, *keep, *rounds);
                let search = self.push(Op::Search { width, keep, rounds, after: 0 });
                let again = rounds > 1 && wants(run, false);
                let inside = Place { wanted: place.wanted || again, joins: true, ..place };
                let inside = if rounds > 1 { inside.repeated(run) } else { inside };
                let kv = self.sequence(run, &path, inside);
                self.push(Op::Join);
                let after = self.here();
                self.program.ops[search] = Op::Search { width, keep, rounds, after };
                return kv;
            }
            Step::ChooseModel { cases, otherwise } => {
                if !place.around.asked {
                    let message = "has no effect: no `Prefill` after it takes the request's model";
                    let help = "put it before a `Prefill` that names no model, or leave it out";
                    self.problem(Problem::new(path.clone(), message).help(help));
                }
                self.check_scored(cases.iter().map(|(when, _)| when), &join(&path, "cases"));
                let number = |(at, (when, model)): (usize, &(_, String))| {
                    (*when, self.model(model, &join(&path, &format!("cases[{at}].model"))))
                };
                let cases = cases.iter().enumerate().map(number).collect();
                let otherwise = otherwise.as_ref().map(|model| self.model(model, &join(&path, "otherwise")));
                self.program.asks_model |= otherwise.is_none();
                self.push(Op::ChooseModel { cases, otherwise });
            }
            Step::Exit => {
                if place.joins {
                    let message = "a join that can never happen: the other branches wait for this one";
                    let help = "leave `Exit` out of branches; end the pipeline after they have joined";
                    self.problem(Problem::new(path, message).help(help));
                }
                self.push(Op::Jump(EXIT));
            }
        }
        place.kv
    }

    fn generate(&mut self, steps: &[Named], path: &str, place: Place) -> bool {
        let mut generate = Generate {
            prefill: None,
            reason: None,
            answer: None,
            keep: place.wanted,
            labels: [0; 3],
            transfer: None,
        };
        // A model of its own has times of its own.
        let model = match &steps[0].step {
            Step::Prefill(model) => model.as_ref(),
            _ => None,
        };
        for Named { name, step, .. } in steps {
            let generates = matches!(step, Step::Reason(_) | Step::Decode(_));
            if generates && generate.transfer.is_none() && self.directory.moves_kv(model.map(String::as_str))
            {
                generate.transfer = Some(self.label(TRANSFER.to_owned()));
            }
            let label = self.label(model.map_or(name.clone(), |model| format!("{name} {model}")));
            match step {
                Step::Prefill(model) => {
                    let number = model.as_ref().map(|model| self.model(model, &join(path, "model")));
                    self.program.asks_model |= number.is_none();
                    let by = number.map_or(By::Asked, By::Model);
                    (generate.prefill, generate.labels[0]) = (Some(by), label);
                }
                Step::Reason(tokens) => (generate.reason, generate.labels[1]) = (Some(*tokens), label),
                Step::Decode(tokens) => (generate.answer, generate.labels[2]) = (Some(*tokens), label),
                _ => {}
            }
        }
        self.gives_output |= !generate.is_prefill_only();
        if generate.prefill.is_none() && !place.kv {
            let message = "no `Prefill` has computed the KV cache of the text before this stage";
            self.problem(Problem::new(path, message).help("put `Prefill` before it"));
        }
        if generate.is_prefill_only() && !generate.keep {
            let message = "the KV cache that this `Prefill` computes is never used";
            self.problem(Problem::new(path, message).help("let `Decode` follow, or leave it out"));
        }
        self.push(Op::Generate(generate));
        true
    }

    fn parallel(&mut self, branches: &[Vec<Named>], path: &str, place: Place) -> bool {
        let fork = self.push(Op::Parallel { arms: Vec::new(), after: 0 });
        let mut arms = Vec::new();
        let mut kv = place.kv;
        for branch in branches {
            arms.push(self.here());
            kv |= self.sequence(branch, path, Place { joins: true, ..place });
            self.push(Op::Join);
        }
        let after = self.here();
        self.program.ops[fork] = Op::Parallel { arms, after };
        kv
    }

    fn repeat(&mut self, step: &Step, path: &str, place: Place) -> bool {
        let Step::Repeat { run, times, until } = step else { return place.kv };
        let may_come = |until: When| match until {
            When::Chance(chance) => chance > 0.0,
            When::Score { .. } => run.iter().any(scores),
            When::ContextTokens { .. } | When::GeneratedTokens { .. } => run.iter().any(changes_text),
        };
        let ends = times.is_some() || until.is_some_and(may_come);
        let unscored = matches!(until, Some(When::Score { .. })) && !run.iter().any(scores);
        if !ends && unscored && !run.iter().any(exits) {
            let message = "no stage of `run` gives a score, so these stages repeat for ever";
            self.problem(Problem::new(join(path, "until"), message).help("put `Score` into `run`"));
        } else if !ends && !run.iter().any(exits) {
            let message = "a cycle without an exit: these stages repeat for ever";
            let help = "say how many `times`, or `until` when, or `Exit` on some way through";
            self.problem(Problem::new(path, message).help(help));
        }
        if !run.iter().any(takes_time) {
            let message = "nothing in `run` takes time: no client and no wait";
            self.problem(Problem::new(join(path, "run"), message));
        } else if times.is_none() && ends && !run.iter().any(always_takes_time) {
            let message = "a round may take no time, and nothing bounds how many there are";
            let help = "say how many `times` at most, or let every way through `run` take time";
            self.problem(Problem::new(join(path, "run"), message).help(help));
        }
        if ends {
            self.check_scored(until.iter(), &join(path, "until"));
        }
        let start = self.push(Op::Loop { times: *times, after: 0 });
        let again = wants(run, false);
        let inside = Place { wanted: place.wanted || again, ..place }.repeated(run);
        let kv = self.sequence(run, path, inside);
        self.push(Op::Again { start: start as u32 + 1, until: *until });
        let after = self.here();
        self.program.ops[start] = Op::Loop { times: *times, after };
        // It may run no time at all.
        let never = times.is_some_and(Count::may_be_none);
        if never { kv && place.kv } else { kv }
    }

    /// Whether somebody gives the score that a condition asks for.
    fn check_scored<'w>(&mut self, mut conditions: impl Iterator<Item = &'w When>, path: &str) {
        if !self.scored && conditions.any(|when| matches!(when, When::Score { .. })) {
            let message = "no stage of the pipeline gives a score";
            self.problem(Problem::new(path, message).help("put `Score` before it"));
        }
    }

    fn branch(
        &mut self,
        cases: &[(When, Vec<Named>)],
        otherwise: &[Named],
        path: &str,
        place: Place,
    ) -> bool {
        self.check_scored(cases.iter().map(|(when, _)| when), &join(path, "cases"));
        let fork = self.push(Op::Branch { cases: Vec::new(), otherwise: 0 });
        let (mut arms, mut ends) = (Vec::new(), Vec::new());
        let mut kv = true;
        for (when, run) in cases {
            arms.push((*when, self.here()));
            let left = self.sequence(run, path, place);
            kv &= left || leaves(run);
            ends.push(self.push(Op::Jump(0)));
        }
        let start = self.here();
        let left = self.sequence(otherwise, path, place);
        kv &= left || leaves(otherwise);
        let after = self.here();
        for end in ends {
            self.program.ops[end] = Op::Jump(after);
        }
        self.program.ops[fork] = Op::Branch { cases: arms, otherwise: start };
        kv
    }
}
