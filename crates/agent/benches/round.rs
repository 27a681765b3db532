//! What a round costs in which nothing is to be done: 1,000 services of one host, all at their releases and healthy.
//!
//! `cargo bench -p freehold-agent --bench round [-- SERVICES]`. The manifest lies in a directory, the runtime answers from memory: this is
//! the agent's own work (reading, verifying, comparing, records, alerts, routes), without what a runtime takes to look at a service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and talks"
)]

// Other tests use the rest of it.
#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::Farm;
use freehold_agent::{Agent, Round};
use freehold_manifest::Edit;
use freehold_model::limits;
use freehold_rollout::Outcome;
use serde_json::json;

const ROUNDS: u32 = 50;

fn main() {
    let services: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    let farm = Farm::new();
    farm.publish("s", "s-1", &json!({"http": {"domain": "s.example.org", "internalPort": 8000}}));
    farm.edit(|before| {
        let one = before.unwrap().service("s")?.clone();
        let many = (0..services).map(|n| {
            let mut service = one.clone();
            service.name = format!("s{n}");
            service.http = service.http.map(|mut http| {
                http.internal_port = u16::try_from(10_000 + n).unwrap();
                serde_json::from_value(
                    serde_json::to_string(&http)
                        .unwrap()
                        .replace("s.example", &format!("s{n}.example"))
                        .parse()
                        .unwrap(),
                )
                .unwrap()
            });
            service
        });
        Ok(Edit::Restore(many.collect()))
    });
    let mut agent = farm.open(farm.options());
    let begun = Instant::now();
    assert!(agent.once().unwrap().unwrap().is_well());
    println!("deploying {services} services: {:.2} s", begun.elapsed().as_secs_f64());
    drop(agent);
    // What was written just now is not relied on.
    std::thread::sleep(limits::FILE_SETTLED);
    println!("| {services} services | CPU of a round | wall | memory |\n|---|---:|---:|---:|");
    // As `agent once` does it, or one that was started again: everything is read.
    measure("an agent's first", || drop(quiet(&mut farm.open(farm.options()))));
    let mut agent = farm.open(farm.options());
    quiet(&mut agent);
    measure("an agent's next", || drop(quiet(&mut agent)));
}

fn quiet(agent: &mut Agent) -> Round {
    let round = agent.once().unwrap().unwrap();
    assert!(round.services.iter().all(|service| service.action == Outcome::None));
    round
}

fn measure(what: &str, round: impl FnMut()) {
    let mut round = round;
    let mut walls = Vec::new();
    let cpu = cpu();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        round();
        walls.push(begun.elapsed());
    }
    walls.sort();
    println!(
        "| {what} | {:.1} ms | {:.1} ms | {} |",
        (self::cpu() - cpu).as_secs_f64() * 1000.0 / f64::from(ROUNDS),
        walls[walls.len() / 2].as_secs_f64() * 1000.0,
        memory(),
    );
}

/// Time of all processors that this process has used; the kernel counts hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap().split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis((fields[11] + fields[12]) * 10)
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().to_owned()
}
