//! The devices of a RAG client's cluster: its processors and its accelerators.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Accelerator, Class};
use crate::scenario::Problem;
use crate::units::GIB;

/// The devices of a cluster that a part runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Place {
    /// Its processors.
    Processor,
    /// Its GPUs, or what else runs models.
    Accelerator,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Processor => "processors",
            Self::Accelerator => "accelerators",
        })
    }
}

/// The devices of one place, all of a kind.
#[derive(Clone, Copy)]
pub(super) struct Devices<'a> {
    /// Which.
    pub(super) place: Place,
    /// What one is.
    pub(super) kind: &'a Accelerator,
    /// How many there are.
    pub(super) count: u32,
}

impl fmt::Display for Devices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.count, self.kind.name)
    }
}

impl<'a> Devices<'a> {
    /// Those of a cluster, if it has any.
    pub(super) fn of(nodes: &[&'a Accelerator], place: Place) -> Result<Option<Self>, Problem> {
        let mut found = nodes.iter().filter(|node| match place {
            Place::Processor => node.class == Class::Cpu,
            Place::Accelerator => node.is_accelerator(),
        });
        let Some(kind) = found.next() else { return Ok(None) };
        let mut count = 1;
        for other in found {
            if other.name != kind.name {
                let message = format!("the cluster mixes {} and {}", kind.name, other.name);
                return Err(Problem::new("", message).help(format!("give a RAG client {place} of one kind")));
            }
            count += 1;
        }
        Ok(Some(Self { place, kind, count }))
    }

    /// Checks that each device holds its share of the index and all the encoders (bytes).
    pub(super) fn hold(&self, index: f64, encoders: f64) -> Result<(), Problem> {
        let memory = self.kind.memory_bytes();
        let share = index / f64::from(self.count);
        if share + encoders <= memory {
            return Ok(());
        }
        let gib = |bytes: f64| format!("{:.1} GiB", bytes / GIB);
        let message = format!(
            "the index takes {} and the encoders {} a device, but {self} have {} each",
            gib(index),
            gib(encoders),
            gib(memory)
        );
        let (field, help) = if encoders > memory {
            ("embed", "choose smaller encoders or lower weights".to_owned())
        } else {
            let needed = (index / (memory - encoders)).ceil();
            ("index", format!("{needed} of them would hold it, or take shorter codes or fewer vectors"))
        };
        Err(Problem::new(field, message).help(help))
    }
}
