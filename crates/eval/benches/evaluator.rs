//! What the conversation costs beside plain Nix: `cargo bench -p freehold-eval --bench evaluator [-- MEMBERS] [NIX]`
//! prints a table.
//!
//! Budget: independent resources at most 1.3 × `nix-instantiate --eval --strict --json` of the same expression; each further tier of
//! dependencies at most 10 ms more per 1,000 members.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Bench, PRELUDE, nixes, outputs, path, private_env};
use freehold_model::MemberPath;

const ROUNDS: usize = 15;

fn main() {
    let members: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000);
    println!(
        "{members} members; best time of {ROUNDS} rounds, and CPU time on average (which other work on the machine disturbs less)\n"
    );
    println!(
        "| Nix | root | plain | freehold | ratio | plain, CPU | freehold, CPU | ratio | each tier, per 1,000 members |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let only = std::env::args().skip(1).find(|arg| nixes().iter().any(|(name, _)| name == arg));
    std::fs::create_dir_all(store().join("home")).unwrap();
    for (name, nix) in nixes().into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name)) {
        for (kind, file) in [("by hand", by_hand(members)), ("library", library(members))] {
            let [(plain, plain_cpu), (ours, ours_cpu)] =
                measure([&|| plain(&nix, &file), &|| evaluate(&nix, &file, members)]);
            let tier = if kind == "by hand" {
                let [(one, _), (ten, _)] = measure([&|| tiers(&nix, members, 1), &|| tiers(&nix, members, 10)]);
                format!("{:.1} ms", (ten.saturating_sub(one)).as_secs_f64() * 1e6 / 9.0 / members as f64)
            } else {
                "".to_owned()
            };
            let ratio = ours.as_secs_f64() / plain.as_secs_f64();
            println!(
                "| {name} | {kind} | {} ms | {} ms | {ratio:.2} | {} ms | {} ms | {:.2} | {tier} |",
                plain.as_millis(),
                ours.as_millis(),
                plain_cpu.as_millis(),
                ours_cpu.as_millis(),
                ours_cpu.as_secs_f64() / plain_cpu.as_secs_f64()
            );
        }
    }
    // A static is never dropped.
    std::fs::remove_dir_all(store()).unwrap();
}

/// Of each the best time, and the average CPU time of this process and the children it has waited for. They take turns, so that what
/// else the machine does meets all of them.
fn measure<const N: usize>(runs: [&dyn Fn() -> Duration; N]) -> [(Duration, Duration); N] {
    let mut measured = [(Duration::MAX, Duration::ZERO); N];
    for _ in 0..ROUNDS {
        for (run, (best, used)) in runs.iter().zip(&mut measured) {
            let before = cpu();
            *best = run().min(*best);
            // What was killed is waited for by a thread that nobody waits for.
            std::thread::sleep(Duration::from_millis(20));
            *used += cpu() - before;
        }
    }
    measured.map(|(best, used)| (best, used / ROUNDS as u32))
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|ticks| ticks.parse().unwrap())
        .collect();
    Duration::from_millis(10 * fields.iter().sum::<u64>())
}

/// One store for all rounds: making one takes Nix some 50 ms.
fn store() -> &'static Path {
    static STORE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    STORE.get_or_init(|| tempfile::Builder::new().prefix("fh-bench-").tempdir_in("/tmp").unwrap()).path()
}

fn by_hand(members: usize) -> String {
    format!(
        r#"{PRELUDE} root (o: comp (builtins.listToAttrs (builtins.genList (i: {{
            name = "m${{toString i}}";
            value = res {{ path = "file-${{toString i}}"; contents = "hello ${{toString i}}\n"; mode = "0644"; }};
        }}) {members})))"#
    )
}

fn library(members: usize) -> String {
    format!(
        r#"{{ freehold, ... }}: freehold.lib.mkRoot {{ modules = [ ({{ providers, ... }}: {{
            members = builtins.listToAttrs (builtins.genList (i: {{
                name = "m${{toString i}}";
                value = {{ type = providers.local.file; inputs = {{ path = "file-${{toString i}}"; contents = "hello ${{toString i}}\n"; }}; }};
            }}) {members});
        }}) ]; }}"#
    )
}

/// The whole export as JSON by Nix alone.
fn plain(nix: &Path, file: &str) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("root.nix"), file).unwrap();
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nix");
    let expression = format!(
        "let it = import {}; root = if builtins.isFunction it then it {{ freehold = import {}/default.nix {{ }}; }} else it; \
         in root.rootFunction {{ resourceProviderSystem = \"x86_64-linux\"; outputValues = {{ }}; }}",
        dir.path().join("root.nix").display(),
        lib.display()
    );
    let start = Instant::now();
    let output = std::process::Command::new(nix.join("nix-instantiate"))
        .args(["--eval", "--strict", "--json", "-E", &expression])
        .envs(private_env(store()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed()
}

/// All members through the evaluator, from its start.
fn evaluate(nix: &Path, file: &str, members: usize) -> Duration {
    let start = Instant::now();
    let mut bench = Bench::with(nix, file, |options| options.env = private_env(store()));
    bench.last = bench.evaluator().want_whole(MemberPath::root(), BTreeSet::new());
    let said = bench.settle();
    assert_eq!(said.declared.len(), members, "{said:?}");
    start.elapsed()
}

/// Members in tiers, each of a tier using an output of one of the tier before; hints are given as after a first apply.
fn tiers(nix: &Path, members: usize, tiers: usize) -> Duration {
    let width = members / tiers;
    let file = format!(
        r#"{PRELUDE} root (o: comp (builtins.listToAttrs (builtins.genList (i: {{
            name = "m${{toString i}}";
            value = res {{ x = if i < {width} then "first" else o."m${{toString (i - {width})}}".id; }};
        }}) {members})))"#
    );
    let mut bench = Bench::with(nix, &file, |options| options.env = private_env(store()));
    let name = |i: usize| path(&format!("m{i}"));
    for i in 0..members {
        bench.answers.insert(name(i), outputs(&[("id", format!("output {i}").into())]));
    }
    bench.settle_root();
    let start = Instant::now();
    let hints = (width..members).map(|i| (name(i), [name(i - width)].into())).collect();
    bench.last = bench.evaluator().want((0..members).map(name).collect(), Some(hints));
    let said = bench.settle();
    assert_eq!(said.declared.len(), members, "{said:?}");
    start.elapsed()
}
