//! Figures: `bench` measures freehold's own budgets, `bench peers` freehold side by side with OpenTofu and Terraform.
//!
//! Every table is Markdown on stdout, so that it can go into `docs/performance.md` as it is. A program that is not at hand gets a
//! row that says so. It builds nothing but freehold: `scripts/interop-tools tofu terraform-provider-local` makes the peers.
//!
//! Where to go next: `budgets.rs` (freehold alone), `peers.rs` (times), `kills.rs` (what is forgotten after a kill), `tool.rs` (how each program is called).

mod budgets;
mod kills;
mod measure;
mod peers;
mod tool;

use std::path::Path;

use crate::Outcome;
use crate::cargo::cargo;

const USAGE: &str = "usage: xtask bench [--large | --bench NAME] | bench peers [--sizes 1000,5000] [--kills 4]";

/// How much to measure.
struct Options {
    sizes: Vec<usize>,
    kills: usize,
}

/// Runs what the words ask for.
pub(crate) fn run(root: &Path, words: &[&str]) -> Outcome<()> {
    match words.split_first() {
        Some((&"peers", rest)) => {
            let options = parse(rest)?;
            let tools = tool::all(root)?;
            peers::run(&tools, &options.sizes)?;
            kills::run(&tools, options.kills)
        }
        Some((&"--bench", [name])) => match BENCHES.iter().find(|bench| bench.1 == *name) {
            Some(bench) => own(root, bench),
            None => Err(format!("no benchmark is called `{name}`")),
        },
        None | Some((&"--large", [])) => {
            budgets::run(&tool::own(root), !words.is_empty())?;
            BENCHES.iter().try_for_each(|bench| own(root, bench))
        }
        Some(_) => Err(USAGE.to_owned()),
    }
}

/// The benchmarks of the workspace's crates: package, name, and what the budget is about.
const BENCHES: &[(&str, &str, &str)] = &[
    ("freehold-state", "state", "one state event at 100,000 resources: < 50 µs of CPU, one fsync shared by its group"),
    (
        "freehold-eval",
        "evaluator",
        "evaluation: at most 1.3 × plain Nix; at most 10 ms per 1,000 members and further tier",
    ),
    (
        "freehold-cache",
        "cache",
        "pushing: to a directory at least as fast as `nix copy`, over 20 ms three times as fast; 2,000 unchanged paths < 300 ms",
    ),
    (
        "freehold-app",
        "apps",
        "apps on a Swarm: a deploy at most 1.5 × `docker stack deploy` until it runs; nothing to do: 50 ms of CPU; 50 apps: 500 ms",
    ),
    ("freehold-apply", "machines", "planner and executor alone: they grow linearly"),
];

/// One of them, with `cargo bench`.
fn own(root: &Path, (package, name, budget): &(&str, &str, &str)) -> Outcome<()> {
    println!("\n### {budget}\n\n`cargo bench -p {package} --bench {name}`\n");
    let status = cargo(root)
        .args(["bench", "--quiet", "--package", package, "--bench", name])
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the benchmark `{name}` failed: {status}")) }
}

fn parse(words: &[&str]) -> Outcome<Options> {
    let mut options = Options { sizes: vec![1_000, 5_000], kills: 4 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match *word {
            "--sizes" => {
                let sizes: Result<_, _> = value.split(',').map(str::parse).collect();
                options.sizes = sizes.map_err(|_| USAGE)?;
            }
            "--kills" => options.kills = value.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

/// A directory that is removed at the end.
fn scratch() -> Outcome<tempfile::TempDir> {
    tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_kills_are_read() {
        let options = parse(&["--sizes", "10,20", "--kills", "3"]).unwrap();
        assert_eq!((options.sizes, options.kills), (vec![10, 20], 3));
        assert!(parse(&["--sizes", "many"]).is_err());
        assert!(parse(&["--kills"]).is_err());
    }
}
