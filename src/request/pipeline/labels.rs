//! The names under which time is accounted: what operations call them by, and which of them there are.

use super::program::{By, Generate, Op, Program, Served};

/// The name under which the time is accounted that KV takes from one client to another.
pub(super) const TRANSFER: &str = "KV transfer";

impl Program {
    /// Makes programs account the time of requests of one class alike: under the names of all of them.
    pub fn mix(programs: &mut [Self]) {
        let mut all: Vec<String> = Vec::new();
        for program in &mut *programs {
            let number = |label: &String| {
                let at = all.iter().position(|name| name == label).unwrap_or_else(|| {
                    all.push(label.clone());
                    all.len() - 1
                });
                at.min(usize::from(u8::MAX)) as u8
            };
            let numbers: Vec<u8> = program.labels.iter().map(number).collect();
            program.renumber(|label| numbers.get(usize::from(label)).copied().unwrap_or(label));
        }
        for program in programs {
            program.labels.clone_from(&all);
            program.mixed = true;
        }
    }

    /// Drops the name for KV transfers where none can occur: `asked` is whether prefill and decode of a model that
    /// requests ask for have clients of their own.
    pub fn drop_idle_transfers(&mut self, models: &[Served], asked: bool) {
        let is_split = |model: &u16| models[usize::from(*model)].is_split();
        let chosen = |op: &Op| match op {
            Op::ChooseModel { cases, otherwise } => {
                cases.iter().map(|(_, model)| model).chain(otherwise).any(is_split)
            }
            _ => false,
        };
        let asked = asked || self.ops.iter().any(chosen);
        let moves = |by: By| match by {
            By::Asked => asked,
            By::Model(model) => is_split(&model),
        };
        let prefills = self.ops.iter().filter_map(|op| match op {
            Op::Generate(Generate { prefill, .. }) => *prefill,
            _ => None,
        });
        let any = prefills.into_iter().any(moves);
        let mut left = false;
        for op in &mut self.ops {
            if let Op::Generate(Generate { prefill, transfer, .. }) = op {
                // One without a prefill goes on with what another has computed.
                *transfer = transfer.filter(|_| prefill.map_or(any, moves));
                left |= transfer.is_some();
            }
        }
        let idle = self.labels.iter().position(|label| label == TRANSFER).filter(|_| !left);
        if let Some(at) = idle.filter(|_| u8::try_from(self.labels.len()).is_ok()) {
            self.labels.remove(at);
            self.renumber(|label| if usize::from(label) > at { label - 1 } else { label });
        }
    }

    fn renumber(&mut self, number: impl Fn(u8) -> u8) {
        for op in &mut self.ops {
            match op {
                Op::Visit { label, .. } | Op::Pass { label, .. } | Op::Wait { label, .. } => {
                    *label = number(*label);
                }
                // Labels of parts that are not there stand for nothing.
                Op::Generate(Generate { labels, transfer, .. }) => {
                    labels.iter_mut().chain(transfer).for_each(|label| *label = number(*label));
                }
                _ => {}
            }
        }
    }
}
