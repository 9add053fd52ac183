//! The simulator as a library: a scenario in, its figures out.

use mist::simulation::Simulation;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenario = std::env::args().nth(1).unwrap_or_else(|| "scenarios/quickstart.ron".into());
    let outcome = Simulation::new().load(scenario)?.run()?;
    let ttft = outcome.summary.latency.ttft.ok_or("no request completed")?;
    println!("{} requests completed", outcome.summary.requests.completed);
    println!("TTFT: p50 {:.1} ms, p99 {:.1} ms", ttft.p50_ms, ttft.p99_ms);
    Ok(())
}
