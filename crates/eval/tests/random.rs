//! Random deployments full of shared thunks and defaults of missing outputs, applied in random order: whatever is declared is what Nix makes
//! of it once everything is known, and everything is declared in the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Bench, nixes, outputs};
use freehold_eval::Event;
use freehold_model::{MemberPath, Value};

const MEMBERS: usize = 12;

/// A small generator of pseudo-random numbers: the same seed gives the same deployment and the same order.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// An expression, and what it comes to when all outputs are known.
#[derive(Clone)]
struct Term {
    nix: String,
    value: String,
}

/// A term over the outputs of the members before `before`, and the shared terms.
fn term(dice: &mut Dice, before: usize, shared: &[(usize, Term)], depth: usize) -> Term {
    let literal = |text: &str| Term { nix: format!("\"{text}\""), value: text.to_owned() };
    if before == 0 {
        return literal("first");
    }
    let output = dice.below(before);
    let (out, known) = (format!("o.m{output}.id"), format!("v{output}"));
    let usable: Vec<usize> = (0..shared.len()).filter(|k| shared[*k].0 <= before).collect();
    match dice.below(if depth == 0 { 4 } else { 8 }) {
        0 | 1 => Term { nix: out, value: known },
        2 => Term {
            nix: format!("(let t = builtins.tryEval {out}; in if t.success then t.value else \"WRONG\")"),
            value: known,
        },
        3 => literal("plain"),
        4 | 5 if !usable.is_empty() => {
            let k = usable[dice.below(usable.len())];
            Term { nix: format!("s{k}"), value: shared[k].1.value.clone() }
        }
        6 if !usable.is_empty() => {
            let k = usable[dice.below(usable.len())];
            let nix = format!(
                "(let t = builtins.tryEval s{k}; in if t.success then t.value else if true then \"WRONG\" else {out})"
            );
            Term { nix, value: shared[k].1.value.clone() }
        }
        _ => {
            let (a, b) = (term(dice, before, shared, depth - 1), term(dice, before, shared, depth - 1));
            Term { nix: format!("({} + {})", a.nix, b.nix), value: a.value + &b.value }
        }
    }
}

fn deployment(dice: &mut Dice) -> (String, Vec<Vec<String>>) {
    let mut shared: Vec<(usize, Term)> = Vec::new();
    for _ in 0..4 {
        let before = 1 + dice.below(MEMBERS / 2);
        let it = term(dice, before, &shared, 2);
        shared.push((before, it));
    }
    let bindings: String = shared.iter().enumerate().map(|(k, (_, term))| format!("s{k} = {};\n", term.nix)).collect();
    let (mut members, mut values) = (String::new(), Vec::new());
    for i in 0..MEMBERS {
        let inputs: Vec<Term> = (0..3).map(|_| term(dice, i, &shared, 2)).collect();
        let written: String = inputs.iter().enumerate().map(|(n, term)| format!("x{n} = {}; ", term.nix)).collect();
        members += &format!("m{i} = res {{ {written} }};\n");
        values.push(inputs.into_iter().map(|term| term.value).collect());
    }
    (format!("root (o: let {bindings} in comp {{ {members} }})"), values)
}

fn run(nix: &Path, seed: u64) {
    let mut dice = Dice(seed);
    let (root, values) = deployment(&mut dice);
    let mut bench = Bench::new(nix, &root);
    let name = |i: usize| MemberPath::new([format!("m{i}")]);
    if seed.is_multiple_of(2) {
        // With their composite, some of them apart.
        let apart = (0..MEMBERS).filter(|_| dice.below(3) == 0).map(|i| format!("m{i}")).collect();
        bench.last = bench.evaluator().want_whole(MemberPath::root(), apart);
    }
    bench.last = bench.evaluator().want((0..MEMBERS).map(name).collect(), None);
    let mut waiting_to_publish: Vec<usize> = Vec::new();
    let mut declared = BTreeMap::new();
    let says = |what: &str| format!("{what}; seed {seed}, {root}");
    while declared.len() < MEMBERS {
        match bench.next() {
            Event::Declared { member, declaration, .. } => {
                let i: usize = member.names()[0][1..].parse().unwrap();
                for (n, value) in values[i].iter().enumerate() {
                    let input = &declaration.inputs[&format!("x{n}")];
                    assert_eq!(*input, Value::from(value.as_str()), "{}", says(&format!("{member}.x{n}")));
                }
                assert!(declared.insert(i, ()).is_none(), "{}", says(&format!("{member} was declared twice")));
                match dice.below(3) {
                    0 => bench.publish(&format!("m{i}"), &[("id", format!("v{i}").into())]),
                    1 => bench.last = bench.evaluator().pending(member),
                    _ => {}
                }
                waiting_to_publish.push(i);
            }
            Event::Quiet { seen } if seen >= bench.last => {
                assert!(
                    !waiting_to_publish.is_empty(),
                    "{}",
                    says(&format!("stuck with {:?} declared", declared.keys()))
                );
                let i = waiting_to_publish.swap_remove(dice.below(waiting_to_publish.len()));
                bench.last = bench.evaluator().publish(name(i), outputs(&[("id", format!("v{i}").into())]));
            }
            Event::Failed { member, error } => panic!("{}", says(&format!("{member} failed: {error}"))),
            Event::Fatal { error } => panic!("{}", says(&error.to_string())),
            Event::Begun
            | Event::Structure { .. }
            | Event::Waiting { .. }
            | Event::Quiet { .. }
            | Event::UserLog { .. } => {}
        }
    }
}

#[test]
fn what_is_declared_is_what_nix_makes_of_it_once_everything_is_known() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    for (name, dir) in nixes() {
        for seed in 0..seeds {
            println!("nix {name}, seed {seed}");
            run(&dir, seed);
        }
    }
}
