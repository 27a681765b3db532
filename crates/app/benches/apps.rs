//! Figures of apps on a real Swarm, as Markdown: a deploy beside `docker stack deploy`, a run that finds nothing to do, the nightly sweep.
//!
//! `cargo bench -p freehold-app --bench apps`, with `FREEHOLD_BENCH_APPS` apps (50). The Swarm is the one of the tests: a daemon in a
//! network of its own, recipes in
//! repositories on this disk, an image that starts at once. What a registry or a forge far away takes is in none of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and talks on stdout"
)]

// Tests use the rest of it.
#[path = "../tests/swarm/mod.rs"]
mod swarm;

use std::time::{Duration, Instant};

use swarm::{Swarm, inside};

const ROUNDS: usize = 5;
/// How often docker/cli looks, too.
const LOOK: Duration = Duration::from_millis(200);
const SERVICES: [&str; 3] = ["app", "db", "cache"];

fn main() {
    // It starts itself again in namespaces of its own, without arguments.
    let apps = std::env::var("FREEHOLD_BENCH_APPS").ok().and_then(|apps| apps.parse().ok()).unwrap_or(50);
    let Some(swarm) = inside("bench") else { return };
    swarm.done(&["swarm", "init", "--advertise-addr", swarm::ADDRESS]);
    println!("| work | command | wall, median | CPU, children included |\n|---|---|---:|---:|");
    deploys(&swarm);
    nothing_to_do(&swarm);
    sweeps(&swarm, apps);
}

fn compose(services: &[&str], version: &str) -> String {
    let one = |name: &&str| {
        format!(
            "  {name}:\n    image: freehold-stub:1\n    stop_signal: SIGKILL\n    environment: [\"VERSION={version}\", \"STATUS=200\"]\n    \
             volumes: [\"{name}:/data\"]\n    deploy:\n      endpoint_mode: dnsrr\n      update_config: {{monitor: 0s}}\n      labels:\n        \
             - \"coop-cloud.${{STACK_NAME}}.version={version}\"\n"
        )
    };
    let volumes: String = services.iter().map(|name| format!("  {name}:\n")).collect();
    format!("version: \"3.8\"\nservices:\n{}volumes:\n{volumes}", services.iter().map(one).collect::<String>())
}

fn publish(swarm: &Swarm, recipe: &str, services: &[&str], version: &str) {
    let sample = format!("TYPE={recipe}\nDOMAIN={recipe}.example.com\n");
    swarm.publish(recipe, version, &[("compose.yml", &compose(services, version)), (".env.sample", &sample)]);
}

/// A stack of three services, until all of its tasks run.
fn deploys(swarm: &Swarm) {
    publish(swarm, "three", &SERVICES, "1.0.0+1.0.0");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let domain = format!("three{round}.example.org");
        swarm.done(&["new", "three", "--domain", &domain]);
        ours.push(timed(|| swarm.done(&["deploy", &domain, "--no-health", "--health-window", "0"])));
        swarm.done(&["undeploy", &domain]);
        let stack = format!("theirs{round}");
        theirs.push(timed(|| docker_deploys(swarm, &stack)));
        swarm.docker(&["stack", "rm", &stack]);
    }
    row("deploy of 3 services until they run", "`freehold app deploy`", &ours);
    row("the same stack", "`docker stack deploy`, then `docker service ls` every 200 ms", &theirs);
    println!("| ratio | | {:.2} | |", median(&ours).wall.as_secs_f64() / median(&theirs).wall.as_secs_f64());
}

fn docker_deploys(swarm: &Swarm, stack: &str) {
    let file = swarm.scratch.write("theirs.yml", compose(&SERVICES, "1.0.0+1.0.0").replace("${STACK_NAME}", stack));
    swarm.docker(&[
        "stack",
        "deploy",
        "--compose-file",
        &file.display().to_string(),
        "--resolve-image",
        "never",
        stack,
    ]);
    let label = format!("label=com.docker.stack.namespace={stack}");
    let end = Instant::now() + Duration::from_secs(120);
    while swarm.docker(&["service", "ls", "--filter", &label, "--format", "{{.Replicas}}"]) != "1/1\n1/1\n1/1" {
        assert!(Instant::now() < end, "`{stack}` does not run");
        std::thread::sleep(LOOK);
    }
}

fn nothing_to_do(swarm: &Swarm) {
    let domain = "idle.example.org";
    swarm.done(&["new", "three", "--domain", domain]);
    swarm.done(&["deploy", domain, "--no-health", "--health-window", "0"]);
    let before = swarm.versions();
    let looks: Vec<Cost> = (0..ROUNDS * 3).map(|_| timed(|| swarm.done(&["reconcile", domain]))).collect();
    row("one app at which nothing is to be done", "`freehold app reconcile DOMAIN`", &looks);
    assert_eq!(swarm.versions(), before);
    swarm.done(&["undeploy", domain]);
}

/// Apps of one recipe, at which nothing is to be done.
fn sweeps(swarm: &Swarm, apps: usize) {
    publish(swarm, "one", &["app"], "1.0.0+1.0.0");
    let domains: Vec<String> = (0..apps).map(|app| format!("one{app}.example.org")).collect();
    for some in domains.chunks(4) {
        std::thread::scope(|scope| {
            for domain in some {
                scope.spawn(|| {
                    swarm.done(&["new", "one", "--domain", domain]);
                    swarm.done(&["deploy", domain, "--no-health", "--health-window", "0"]);
                });
            }
        });
    }
    let before = swarm.versions();
    let idle: Vec<Cost> = (0..ROUNDS).map(|_| timed(|| swarm.done(&["reconcile", "--all"]))).collect();
    row(&format!("{apps} apps at which nothing is to be done"), "`freehold app reconcile --all`", &idle);
    assert_eq!(swarm.versions(), before);
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn timed(work: impl FnOnce()) -> Cost {
    let (begun, before) = (Instant::now(), cpu());
    work();
    Cost { wall: begun.elapsed(), cpu: cpu().saturating_sub(before) }
}

fn median(costs: &[Cost]) -> Cost {
    let middle = |mut all: Vec<Duration>| {
        all.sort();
        all[all.len() / 2]
    };
    Cost {
        wall: middle(costs.iter().map(|cost| cost.wall).collect()),
        cpu: middle(costs.iter().map(|cost| cost.cpu).collect()),
    }
}

fn row(work: &str, command: &str, costs: &[Cost]) {
    let cost = median(costs);
    println!("| {work} | {command} | {:.2} s | {:.2} s |", cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
}

/// Time of all processors that children have used which have ended; the kernel counts hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap().split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis((fields[13] + fields[14]) * 10)
}
