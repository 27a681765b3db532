//! The evaluator with real Nix, of each version at hand: needs, generations and what is final.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Bench, nixes, outputs, path};
use freehold_model::Value;

fn on_each_nix(test: impl Fn(&std::path::Path)) {
    for (name, dir) in nixes() {
        println!("nix {name}");
        test(&dir);
    }
}

#[test]
fn independent_members_are_declared_without_anything_being_published() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = res { x = 1; }; b = comp { c = res { y = [ "z" { w = null; } ]; }; }; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(said.input("a", "x"), Value::from(1));
        assert_eq!(said.input("b.c", "y").to_clear_json(), serde_json::json!(["z", { "w": null }]));
        assert!(said.waiting.is_empty() && said.failed.is_empty(), "{said:?}");
    });
}

#[test]
fn an_output_that_was_missing_is_used_once_it_is_published() {
    on_each_nix(|nix| {
        let mut bench =
            Bench::new(nix, r#"root (o: comp { a = res { x = "1"; }; b = res { x = "<${o.a.id}>"; plain = 2; }; })"#);
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(said.needs("b"), ["a.outputs.id"]);
        let partial = said.waiting[&path("b")].partial.clone().unwrap();
        assert_eq!((&partial.inputs["x"], &partial.inputs["plain"]), (&Value::Unknown, &Value::from(2)));
        bench.publish("a", &[("id", "7".into())]);
        let said = bench.settle();
        assert_eq!(said.input("b", "x"), "<7>".into());
        let edges: Vec<_> = said.declared[&path("b")].1.iter().map(ToString::to_string).collect();
        assert_eq!(edges, ["a.outputs.id"]);
    });
}

#[test]
fn a_chain_is_followed_as_outputs_are_published() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = res { x = "1"; }; b = res { x = o.a.id; }; c = res { x = o.b.id + o.a.other; }; })"#,
        );
        bench.answers.insert(path("a"), outputs(&[("id", "A".into()), ("other", "O".into())]));
        bench.answers.insert(path("b"), outputs(&[("id", "B".into())]));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(said.input("c", "x"), "BO".into());
        assert!(said.waiting.is_empty());
    });
}
