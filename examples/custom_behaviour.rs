//! A behaviour of one's own, as a system: clients that heat up under load and slow down when hot.
//!
//! ```text
//!  calendar ──Thermometer, every period──▶ feel_heat [Admit] ──set_model──▶ LlmClient
//! ```
//! Each period the temperature moves a step towards ambient + rise × (share of the period spent in
//! steps); above the limit, steps take longer by `slowdown` until it has cooled off.

use std::collections::BTreeMap;
use std::sync::Arc;

use bevy_ecs::prelude::*;
use mist::clients::Usage;
use mist::clients::llm::{LlmClient, LlmSet};
use mist::engine::{Calendar, Phase, Rx, SimBuilder, Wake};
use mist::runtime::{StepCost, StepModel, StepShape};
use mist::simulation::Simulation;
use mist::units::{SimSpan, SimTime};

const PERIOD: SimSpan = SimSpan::from_ns(1_000_000_000);
const AMBIENT: f64 = 30.0;
const RISE: f64 = 60.0;
const LIMIT: f64 = 80.0;
const SLOWDOWN: f64 = 1.3;

/// Time to look at the thermometers.
#[derive(Clone, Copy)]
struct Thermometer;

impl Wake for Thermometer {
    fn pack(self) -> [u64; 2] {
        [0; 2]
    }
    fn unpack(_: [u64; 2]) -> Self {
        Self
    }
}

struct Chip {
    celsius: f64,
    busy: SimSpan,
    cool_model: Arc<dyn StepModel>,
}

#[derive(Resource, Default)]
struct Chips(BTreeMap<u32, Chip>);

fn feel_heat(
    mut due: Rx<Thermometer>,
    mut calendar: ResMut<Calendar>,
    mut chips: ResMut<Chips>,
    mut clients: Query<(Entity, &mut LlmClient, &Usage)>,
) {
    for wake in due.drain() {
        for (entity, mut client, usage) in &mut clients {
            let new_chip =
                || Chip { celsius: AMBIENT, busy: SimSpan::ZERO, cool_model: client.model().clone() };
            let chip = chips.0.entry(client.index()).or_insert_with(new_chip);
            let busy = client.busy_total(usage, calendar.now());
            let load = (busy - chip.busy).as_secs_f64() / PERIOD.as_secs_f64();
            chip.busy = busy;
            chip.celsius += 0.1 * (AMBIENT + RISE * load - chip.celsius);
            let cool = chip.cool_model.clone();
            let slow = move |shape: &StepShape<'_>| {
                let cost = cool.price(shape);
                StepCost { seconds: cost.seconds * SLOWDOWN, ..cost }
            };
            let hot = chip.celsius > LIMIT;
            let model = if hot { Arc::new(slow) } else { chip.cool_model.clone() };
            client.set_model(entity, model, &mut calendar);
        }
        calendar.after(PERIOD, wake);
    }
}

fn heat(sim: &mut SimBuilder) {
    sim.at(SimTime::ZERO + PERIOD, Thermometer).insert_resource(Chips::default());
    sim.systems(Phase::Admit, feel_heat.before(LlmSet::Accept));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenario = "scenarios/quickstart.ron";
    for (name, simulation) in [("cool", Simulation::new()), ("hot", Simulation::new().with(heat))] {
        let outcome = simulation.load(scenario)?.run()?;
        let tpot = outcome.summary.latency.tpot.ok_or("no request completed")?;
        println!("{name:<5} TPOT p50 {:6.2} ms, p99 {:6.2} ms", tpot.p50_ms, tpot.p99_ms);
    }
    Ok(())
}
