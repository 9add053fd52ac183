//! Little's law, exactly: the integral of the number in the system over a run is the sum of the
//! times spent in it.

use mist::simulation::Simulation;
use mist::units::SimTime;
use mist::workload::Sources;

use crate::scenarios::{on_random_cases, read, run};

#[test]
fn the_number_in_the_system_integrates_to_the_time_in_it() {
    on_random_cases(300, |case| {
        let (outcome, rows) = run(&Simulation::new(), &case.ron("Analytical()", None));
        let mut watched = read(&Simulation::new(), &case.ron("Analytical()", None));
        let sim = watched.sim();
        let (mut request_ns, mut last, mut number) = (0_u128, SimTime::ZERO, 0);
        while sim.step().unwrap() {
            request_ns += u128::from(number) * u128::from(sim.now().since(last).as_ns());
            (last, number) = (sim.now(), sim.world().resource::<Sources>().in_flight());
        }
        let requests = &outcome.summary.requests;
        let completed: u128 = rows.iter().map(|row| u128::from(row.e2e().as_ns())).sum();
        // Clients turn requests away when these reach them.
        let turned_away = u128::from(requests.rejected) * u128::from(case.latency().as_ns());
        assert_eq!(request_ns, completed + turned_away);
        let (mean, integral) = (requests.mean_in_flight, request_ns as f64 / 1e9);
        assert!((mean * outcome.summary.duration_s - integral).abs() <= 1e-9 * (1.0 + integral));
    });
}
