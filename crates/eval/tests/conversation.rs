//! The evaluator with real Nix, of each version at hand: needs, generations and what is final.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod common;

use common::{Bench, nix_processes, nixes, outputs, path, processor_time};
use std::collections::BTreeSet;

use freehold_model::Value;

/// With the members of the root asked for apart, and with it.
fn on_each_nix(test: impl Fn(&std::path::Path)) {
    for (name, dir) in nixes() {
        for whole in [false, true] {
            println!("nix {name}, the root is wanted {}", if whole { "whole" } else { "alone" });
            common::WHOLE.set(whole);
            test(&dir);
        }
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
fn members_that_come_with_their_root_are_declared_as_if_asked_for_by_name() {
    // `b` needs what is missing, `c` shares its thunk, `x` ends Nix, `z` comes after all of them.
    let root = r#"root (o: let shared = builtins.tryEval "<${o.a.id}>"; in comp {
        a = res { x = "1"; };
        b = res { x = if shared.success then shared.value else "WRONG"; };
        c = res { x = if shared.success then shared.value else "WRONG"; };
        x = res { x = ({ }).y; };
        z = res { x = [ 1 "2" ]; };
    })"#;
    for (_, nix) in nixes() {
        for apart in [vec![], vec!["b"], vec!["a", "b", "c", "x"], vec!["a", "b", "c", "x", "z"], vec!["gone"]] {
            let mut bench = Bench::new(&nix, root);
            bench.answers.insert(path("a"), outputs(&[("id", "A".into())]));
            let apart: BTreeSet<String> = apart.into_iter().map(str::to_owned).collect();
            bench.last = bench.evaluator().want_whole(path("."), apart);
            let said = bench.settle();
            assert_eq!((said.input("b", "x"), said.input("c", "x")), ("<A>".into(), "<A>".into()));
            assert_eq!(said.input("z", "x").to_clear_json(), serde_json::json!([1, "2"]));
            assert_eq!((said.times_declared, said.failed.len()), (4, 1));
            let edges = |name| said.declared[&path(name)].1.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((edges("a"), edges("b"), edges("z")), (vec![], vec!["a.outputs.id".to_owned()], vec![]));
            assert!(said.failed[&path("x")].to_string().contains("missing"), "{said:?}");
        }
    }
}

#[test]
fn a_phase_forgets_what_came_ahead_in_the_one_before() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, r#"root (o: comp { a = res { }; b = res { x = o.a.id; }; })"#);
        for answer in ["first", "second"] {
            let known = [(path("a"), outputs(&[("id", answer.into())]))].into();
            bench.last = bench.evaluator().begin_phase(known);
            bench.want(vec![path(".")]);
            let said = bench.settle();
            assert_eq!(said.input("b", "x"), answer.into());
            // Both were told in one line, where they were told ahead.
            let edges = |name| said.declared[&path(name)].1.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((edges("a"), edges("b")), (vec![], vec!["a.outputs.id".to_owned()]));
        }
    });
}

#[test]
fn what_is_wanted_late_is_answered_like_what_was_wanted_before_nix_could_ask() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, "root (o: comp { a = res { x = 1; }; b = res { x = 2; }; })");
        while !matches!(bench.next(), freehold_eval::Event::Begun) {}
        std::thread::sleep(std::time::Duration::from_millis(200));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!((said.input("a", "x"), said.input("b", "x")), (1.into(), 2.into()));
    });
}

#[test]
fn text_that_is_not_utf8_is_the_fault_of_its_own_member_alone() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            "root (o: comp { a = res { x = 1; }; b = res { x = builtins.readFile ./latin; }; c = res { x = 3; }; })",
        );
        std::fs::write(bench.dir.path().join("deployment/latin"), b"caf\xe9").unwrap();
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!((said.input("a", "x"), said.input("c", "x")), (1.into(), 3.into()));
        assert_eq!(said.failed.keys().map(ToString::to_string).collect::<Vec<_>>(), ["b"], "{said:?}");
    });
}

#[test]
fn more_members_than_one_line_tells_are_all_told() {
    let root = "root (o: comp (builtins.listToAttrs (builtins.genList (i: { name = \"m${toString i}\"; value = res { x = i; }; }) 129)))";
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, root);
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!((said.times_declared, said.input("m128", "x")), (129, 128.into()));
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

#[test]
fn two_members_that_share_a_thunk_both_learn_of_the_output() {
    // Nix 2.34 remembers the failure of `shared`: the second member then fails without a need of its own.
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let shared = "<${o.a.id}>"; in comp { a = res { x = "1"; }; b = res { x = shared; }; c = res { x = shared; }; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(
            (said.needs("b"), said.needs("c")),
            (vec!["a.outputs.id".to_owned()], vec!["a.outputs.id".to_owned()])
        );
        assert!(!said.waiting[&path("c")].suspected, "{said:?}");
        bench.publish("a", &[("id", "7".into())]);
        let said = bench.settle();
        assert_eq!((said.input("b", "x"), said.input("c", "x")), ("<7>".into(), "<7>".into()));
        assert!(said.failed.is_empty());
    });
}

#[test]
fn a_default_made_of_a_missing_output_is_never_final() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let shared = (builtins.tryEval o.a.id).value; in
                comp { a = res { x = "1"; }; b = res { x = shared; y = 1; }; c = res { x = shared; }; d = res { x = { n = shared; }; }; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        for member in ["b", "c", "d"] {
            assert!(!said.declared.contains_key(&path(member)), "{member}: {said:?}");
            assert_eq!(said.needs(member), ["a.outputs.id"]);
            assert_eq!(said.waiting[&path(member)].partial.as_ref().unwrap().inputs["x"], Value::Unknown);
        }
        assert_eq!(said.waiting[&path("b")].partial.as_ref().unwrap().inputs["y"], Value::from(1));
        bench.publish("a", &[("id", "7".into())]);
        let said = bench.settle();
        assert_eq!((said.input("b", "x"), said.input("c", "x")), ("7".into(), "7".into()));
    });
}

#[test]
fn a_member_asked_after_a_miss_is_final_only_when_asked_again() {
    on_each_nix(|nix| {
        // `b` is asked before `c`: what `c` shows was made while `b`'s miss stood.
        let mut bench = Bench::new(
            nix,
            r#"root (o: let got = builtins.tryEval o.a.id; in
                comp { a = res { x = "1"; }; b = res { x = o.a.id; }; c = res { x = if got.success then "real" else "default"; }; })"#,
        );
        bench.want(vec![path(".")]);
        bench.settle();
        bench.publish("a", &[("id", "7".into())]);
        let said = bench.settle();
        assert_eq!(said.input("c", "x"), "real".into());
        assert_eq!(said.times_declared, 3);
    });
}

#[test]
fn a_throw_is_final_with_nixs_own_words() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = res { x = throw "no such colour"; y = 1; }; b = res { x = 1; }; s = throw "no kind"; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let failure = said.failure("a");
        assert!(failure.starts_with("cannot evaluate `a` (inputs.x): no such colour"), "{failure}");
        assert!(said.failure("s").contains("no kind"));
        assert_eq!(said.input("b", "x"), 1.into());
    });
}

#[test]
fn a_missing_attribute_ends_nix_and_only_that_member() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = res { x = 1; }; b = res { x = { }.colour; }; c = res { x = 1 + "a"; }; d = res { x = o.a.id; }; e = res { x = 2; }; })"#,
        );
        bench.answers.insert(path("a"), outputs(&[("id", "A".into())]));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let failure = said.failure("b");
        assert!(failure.contains("attribute 'colour' missing") && failure.contains("freehold.nix:"), "{failure}");
        assert!(said.failure("c").contains("cannot add") || said.failure("c").contains("cannot coerce"), "{said:?}");
        assert_eq!((said.input("d", "x"), said.input("e", "x")), ("A".into(), 2.into()));
    });
}

#[test]
fn an_error_behind_a_default_of_a_missing_output_is_not_final() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let shared = if (builtins.tryEval o.a.id).success then "fine" else { }.broken; in
                comp { a = res { x = 1; }; b = res { x = shared; }; c = res { x = shared; }; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(
            (said.needs("b"), said.needs("c")),
            (vec!["a.outputs.id".to_owned()], vec!["a.outputs.id".to_owned()])
        );
        bench.publish("a", &[("id", "7".into())]);
        let said = bench.settle();
        assert_eq!((said.input("b", "x"), said.input("c", "x")), ("fine".into(), "fine".into()));
        assert!(said.failed.is_empty(), "{said:?}");
    });
}

#[test]
fn a_syntax_error_is_fatal_and_says_where() {
    on_each_nix(|nix| {
        let mut bench = Bench::with(nix, "{ freehold, ... }:\nfreehold.lib.mkRoot { modules = [ ", |_| {});
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let fatal = said.fatal.as_ref().unwrap().to_string();
        assert!(fatal.contains("syntax error") && fatal.contains("freehold.nix:2"), "{fatal}");
    });
}

#[test]
fn something_that_is_no_deployment_is_fatal_and_says_what_is_wanted() {
    on_each_nix(|nix| {
        let mut bench = Bench::with(nix, "42", |_| {});
        bench.want(vec![path(".")]);
        let fatal = bench.settle().fatal.as_ref().unwrap().to_string();
        assert!(fatal.contains("not a deployment but of type `int`") && fatal.contains("mkRoot"), "{fatal}");
    });
}

#[test]
fn a_members_set_that_depends_on_its_own_members_is_an_error() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = res { x = 1; }; inner = comp (if o.inner.m.id == "1" then { m = res { }; } else { n = res { }; }); })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let failure = said.failure("inner");
        assert!(failure.contains("infinite recursion"), "{failure}");
        assert!(said.failed[&path("inner")].hint().unwrap().contains("must not depend on outputs of its own members"));
        assert_eq!(said.input("a", "x"), 1.into());
    });
}

#[test]
fn members_that_nest_without_end_or_have_endless_names_are_errors() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let self = comp { again = self; }; in comp {
                inherit self; a = res { x = 1; };
                long = comp { ${builtins.concatStringsSep "" (builtins.genList (n: "n") 2000)} = res { }; };
            })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let deepest = said.failed.keys().find(|member| member.is_within(&path("self"))).unwrap().clone();
        assert_eq!(deepest.names().len(), freehold_model::limits::MEMBER_DEPTH);
        assert!(said.failed[&deepest].to_string().ends_with(
            "members nest deeper than 64; a composite that holds itself, by `imports` or by a function, has no end"
        ));
        assert!(said.failure("long").contains("is longer than 1024 bytes"), "{}", said.failure("long"));
        assert_eq!(said.input("a", "x"), 1.into());
    });
}

#[test]
fn structure_may_depend_on_outputs_of_siblings() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp {
                a = res { x = 1; };
                set = comp (builtins.listToAttrs (map (n: { name = n; value = res { inherit n; }; }) o.a.id));
                kind = if o.a.other then res { x = 1; } else comp { };
                names = res { ${o.b.id} = 1; };
                b = res { };
            })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(
            (said.needs("set"), said.needs("kind"), said.needs("names")),
            (vec!["a.outputs.id".to_owned()], vec!["a.outputs.other".to_owned()], vec!["b.outputs.id".to_owned()])
        );
        assert!(["set", "kind", "names"].iter().all(|member| said.waiting[&path(member)].structure));
        bench.publish("a", &[("id", Value::List(vec!["p".into(), "q".into()])), ("other", false.into())]);
        bench.publish("b", &[("id", "name".into())]);
        let said = bench.settle();
        assert_eq!(said.structures[&path("set")].members, ["p", "q"]);
        assert_eq!(said.structures[&path("kind")].members, [] as [&str; 0]);
        assert_eq!(said.input("set.q", "n"), "q".into());
        assert_eq!(said.input("names", "name"), 1.into());
    });
}

#[test]
fn a_function_or_a_missing_path_cannot_be_an_input() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { f = res { x = { deep = [ (a: a) ]; }; }; p = res { x = ./nowhere; }; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(said.failure("f"), "cannot evaluate `f` (inputs.x/deep/0): a function cannot be an input");
        assert!(said.failure("p").contains("does not exist"));
    });
}

#[test]
fn a_derivation_as_an_input_is_its_store_path_and_its_context() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let drv = derivation { name = "tool"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" o.a.id ]; }; in
                comp { a = res { x = 1; }; b = res { program = drv; text = "run ${drv}/bin/x"; file = ./freehold.nix; }; })"#,
        );
        bench.answers.insert(path("a"), outputs(&[("id", "echo".into())]));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let (declaration, _) = &said.declared[&path("b")];
        let Value::String(out) = &declaration.inputs["program"] else { panic!("{declaration:?}") };
        assert!(out.ends_with("-tool"));
        assert_eq!(declaration.inputs["text"], format!("run {out}/bin/x").into());
        let context: Vec<_> = declaration.context.iter().map(|c| c.rsplit_once('-').unwrap().1).collect();
        assert!(context.contains(&"tool.drv!out") && context.contains(&"freehold.nix"), "{:?}", declaration.context);
        let drv = declaration.context.iter().find_map(|c| c.strip_suffix("!out")).unwrap();
        assert!(std::path::Path::new(drv).exists(), "the derivation is in the store, so that it can be realised");
        assert!(!std::path::Path::new(out).exists(), "nothing is built by the evaluator");
    });
}

#[test]
fn a_megabyte_goes_in_and_out() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, r#"root (o: comp { a = res { x = 1; }; b = res { x = o.a.id + "!"; }; })"#);
        let big = "ünï ${x} \\ \" \n".repeat(100_000);
        bench.answers.insert(path("a"), outputs(&[("id", big.as_str().into())]));
        bench.want(vec![path(".")]);
        assert_eq!(bench.settle().input("b", "x"), format!("{big}!").into());
    });
}

#[test]
fn names_may_hold_dots_quotes_spaces_and_any_letters() {
    on_each_nix(|nix| {
        let names = ["a.b", "a \"q\" ${x}", "grüße 日本", "tab\there", "new\nline", "$freehold"];
        let members =
            names.iter().map(|n| format!("{} = res {{ x = o.a.{}; }};", nix_name(n), nix_name(n))).collect::<String>();
        let skeleton = names.iter().map(|n| format!("{} = {{ }};", nix_name(n))).collect::<String>();
        let root = format!(
            r#"root (o: comp {{ a = {{ resource = (res {{ }}).resource // {{ outputsSkeleton = {{ {skeleton} }}; }}; }}; set = comp {{ {members} }};
               last = res {{ x = o.set.{}.id; }}; }})"#,
            nix_name(names[1])
        );
        let mut bench = Bench::new(nix, &root);
        bench.want(vec![path(".")]);
        bench.settle();
        let all: Vec<_> = names.iter().map(|n| (*n, Value::from(format!("value of {n}")))).collect();
        bench.publish("a", &all);
        let odd = path("set").child(names[1]);
        bench.answers.insert(odd.clone(), outputs(&[("id", "odd".into())]));
        let said = bench.settle();
        for name in names {
            assert_eq!(said.declared[&path("set").child(name)].0.inputs["x"], format!("value of {name}").into());
        }
        assert_eq!(said.input("last", "x"), "odd".into());
    });
}

fn nix_name(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${"))
}

#[test]
fn literal_marks_in_inputs_stay_literal() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, r#"root (o: comp { a = res { x = { "$freehold" = "unknown"; }; }; })"#);
        bench.want(vec![path(".")]);
        let input = bench.settle().input("a", "x");
        assert_eq!(input, Value::Map(outputs(&[("$freehold", "unknown".into())])));
    });
}

#[test]
fn traces_of_the_user_are_passed_on() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, r#"root (o: comp { a = res { x = builtins.trace "hello\nworld" 1; }; })"#);
        bench.want(vec![path(".")]);
        let log = bench.settle().log.join("|");
        assert!(log.contains("hello") && log.contains("world"), "{log}");
    });
}

#[test]
fn an_output_with_unknown_parts_is_missing_only_where_those_are_touched() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = res { }; b = res { x = o.a.id.known; }; c = res { x = o.a.id.open; }; })"#,
        );
        bench.answers.insert(
            path("a"),
            outputs(&[("id", Value::Map(outputs(&[("known", 1.into()), ("open", Value::Unknown)])))]),
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert_eq!(said.input("b", "x"), 1.into());
        assert_eq!(said.needs("c"), ["a.outputs.id"]);
    });
}

#[test]
fn many_members_that_share_a_default_of_a_missing_output_do_not_take_for_ever() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let shared = (builtins.tryEval o.a.id).value; member = i: res { x = if i < 400 then shared else "of its own"; };
                in comp ({ a = res { }; } // builtins.listToAttrs (builtins.genList (i: { name = "m${toString (i + 1000)}"; value = member i; }) 800)))"#,
        );
        let start = std::time::Instant::now();
        bench.want(vec![path(".")]);
        let said = bench.settle();
        println!("settled after {:?}", start.elapsed());
        assert!(said.declared.values().all(|(it, _)| it.inputs.get("x").is_none_or(|x| *x == "of its own".into())));
        assert!(
            said.waiting.values().all(|waiting| waiting.needs.iter().any(|need| need.to_string() == "a.outputs.id"))
        );
        bench.publish("a", &[("id", "7".into())]);
        let said = bench.settle();
        assert_eq!(said.declared.len(), 801, "{said:?}");
        assert_eq!((said.input("m1399", "x"), said.input("m1400", "x")), ("7".into(), "of its own".into()));
        let worked = processor_time(nix_processes(&bench)[0]);
        assert!(worked < std::time::Duration::from_secs(60), "{worked:?}");
    });
}

#[test]
fn what_was_held_back_by_a_hint_is_told_to_wait_whatever_else_is_published() {
    on_each_nix(|nix| {
        let mut bench =
            Bench::new(nix, "root (o: comp { e = res { x = 1; }; i = res { x = 2; }; user = res { x = o.e.id; }; })");
        bench.settle_root();
        let hints = [(path("user"), [path("e")].into())].into();
        bench.last = bench.evaluator().want(vec![path("e"), path("i"), path("user")], Some(hints));
        bench.settle();
        bench.publish("e", &[("id", Value::Unknown)]);
        bench.settle();
        bench.publish("i", &[("id", Value::Unknown)]);
        assert_eq!(bench.settle().needs("user"), ["e.outputs.id"]);
    });
}

#[test]
fn what_was_used_before_and_may_be_used_again_stays_an_edge() {
    on_each_nix(|nix| {
        let root = "root (o: comp { a = res { x = 1; }; b = res { x = 1; }; e = res { x = o.a.id; }; f = res { x = o.a.id; }; })";
        let mut bench = Bench::new(nix, root);
        bench.settle_root();
        for member in ["a", "b"] {
            bench.publish(member, &[("id", "7".into())]);
        }
        let hints: BTreeSet<_> = [path("a"), path("b")].into();
        let hints = [(path("e"), hints.clone()), (path("f"), hints)].into();
        bench.last = bench.evaluator().want(vec![path("e"), path("f")], Some(hints));
        let said = bench.settle();
        for member in ["e", "f"] {
            let edges: Vec<String> = said.declared[&path(member)].1.iter().map(ToString::to_string).collect();
            assert_eq!(edges, ["a.outputs.id"], "{member}");
        }
    });
}

#[test]
fn a_hint_at_what_does_not_come_holds_nothing_back() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(nix, "root (o: comp { a = res { x = 1; }; set = comp { }; b = res { x = 2; }; })");
        bench.settle_root();
        bench.evaluator().pending(path("b"));
        bench.evaluator().pending(path("a"));
        let hints = [(path("b"), [path("renamed"), path("set")].into())].into();
        bench.last = bench.evaluator().want(vec![path("b"), path("set")], Some(hints));
        assert_eq!(bench.settle().input("b", "x"), 2.into());
    });
}

#[test]
fn an_output_that_nix_cannot_hold_is_an_error_of_those_who_use_it() {
    on_each_nix(|nix| {
        let mut bench =
            Bench::new(nix, r#"root (o: comp { a = res { }; b = res { x = o.a.id; }; c = res { x = o.a.other; }; })"#);
        bench.answers.insert(path("a"), outputs(&[("id", "nul \0".into()), ("other", "fine".into())]));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert!(said.failure("b").contains("NUL"), "{said:?}");
        assert_eq!(said.input("c", "x"), "fine".into());
    });
}

#[test]
fn a_wrong_operation_makes_its_resource_wrong() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp { a = { resource = (res { x = 1; }).resource // { operations.go = { args = [ ]; }; }; }; b = res { x = 1; }; })"#,
        );
        bench.want(vec![path(".")]);
        let said = bench.settle();
        assert!(said.failure("a").contains("executable"), "{said:?}");
        assert_eq!(said.input("b", "x"), 1.into());
    });
}

#[test]
fn the_versions_of_nix_differ_in_what_they_remember_of_failures() {
    // This is why answers after a miss are asked again in a fresh generation: see the two tests on shared thunks.
    let file = "let t = builtins.trace \"evaluated\" (throw \"x\"); in [ (builtins.tryEval t).success (builtins.tryEval t).success ]";
    let home = tempfile::tempdir_in("/tmp").unwrap();
    for (name, dir) in nixes() {
        let nix = dir.join("nix-instantiate");
        let run = |args: &[&str]| {
            std::process::Command::new(&nix).args(args).envs(common::private_env(home.path())).output().unwrap()
        };
        let output = run(&["--eval", "--strict", "-E", file]);
        let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
        let minor: u32 = version.split(' ').next_back().unwrap().split('.').nth(1).unwrap().trim().parse().unwrap();
        let times = String::from_utf8_lossy(&output.stderr).matches("evaluated").count();
        assert_eq!(times, if minor >= 34 { 1 } else { 2 }, "{name}: {version}");
    }
}

#[test]
fn what_is_said_of_life_and_order_arrives() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: comp {
                a = { resource = (res { x = 1; }).resource // {
                    lifecycle = { protect = true; ignoreChanges = [ "x" "y.z" "/a.b/c" ]; replaceWhen = [ o.b.id ]; moved = [ [ "old" "name" ] ]; };
                    dependsOn = [ [ "b" ] ]; state = [ "b" ];
                    provider = { type = "stdio"; executable = ./run.py; args = [ "-v" ]; config = { token = o.b.other; }; };
                }; };
                b = res { };
                c = { members = { }; moved = [ { from = [ "p" ]; to = [ "q" "r" ]; } ]; removed = [ [ "gone" ] ]; checks = [ { assertion = o.b.id == "B"; message = "b"; } ]; };
                wrong = { resource = (res { }).resource // { lifecycle = { protect = "yes"; }; }; };
            })"#,
        );
        bench
            .answers
            .insert(path("b"), outputs(&[("id", "B".into()), ("other", Value::from("canary").into_sensitive())]));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        let (a, _) = &said.declared[&path("a")];
        assert!(a.lifecycle.protect && !a.lifecycle.keep);
        let ignored: Vec<_> = a.lifecycle.ignore_changes.iter().map(ToString::to_string).collect();
        assert_eq!(ignored, ["/x", "/y/z", "/a.b/c"]);
        assert_eq!(a.lifecycle.replace_when, Some(Value::List(vec!["B".into()])));
        assert_eq!((&a.lifecycle.moved[0], a.holder.as_ref()), (&path("old.name"), Some(&path("b"))));
        assert!(a.depends_on.contains(&path("b")));
        let freehold_model::ProviderRef::Stdio { executable, args, config, .. } = &a.provider else { panic!("{a:?}") };
        assert!(executable.ends_with("/deployment/run.py") && args == &["-v"], "{executable}");
        assert_eq!(config.part("token"), Some(&Value::from("canary").into_sensitive()));
        assert!(said.failure("wrong").contains("`lifecycle.protect` is not true or false"));
        // What a check needed may have become known after the composite was told: it is wanted again for that.
        bench.want(vec![path("c")]);
        let said = bench.settle();
        let c = &said.structures[&path("c")];
        assert_eq!((&c.moved[0], &c.removed[0]), (&(path("p"), path("q.r")), &path("gone")));
        assert_eq!((&c.checks[0].assertion, c.checks[0].message.as_str()), (&Value::from(true), "b"));
    });
}

#[test]
fn a_secret_is_refused_where_it_would_be_seen() {
    on_each_nix(|nix| {
        let mut bench = Bench::new(
            nix,
            r#"root (o: let
                also = more: { resource = (res { }).resource // more; };
                run = { type = "stdio"; executable = ./run.py; args = [ ]; config = { }; };
                s = o.b.other;
            in comp {
                b = res { };
                arg = also { provider = run // { args = [ "-v" "--token=${s}" ]; }; };
                cut = also { provider = run // { args = [ (builtins.substring 0 8 s) ]; }; };
                program = also { provider = run // { executable = "/bin/${s}"; }; };
                after = also { dependsOn = [ [ "b" ] [ s ] ]; };
                moved = also { lifecycle = { moved = [ [ s ] ]; }; };
                ignored = also { lifecycle = { ignoreChanges = [ s ]; }; };
                inner = { members = { }; moved = [ { from = [ s ]; to = [ "q" ]; } ]; };
            })"#,
        );
        bench
            .answers
            .insert(path("b"), outputs(&[("id", "B".into()), ("other", Value::from("canary").into_sensitive())]));
        bench.want(vec![path(".")]);
        let said = bench.settle();
        for (member, place) in [
            ("arg", "`provider.args/1`"),
            ("cut", "`provider.args/0`"),
            ("program", "`provider.executable`"),
            ("after", "`dependsOn/1/0`"),
            ("moved", "`lifecycle.moved/0/0`"),
            ("ignored", "`lifecycle.ignoreChanges/0`"),
            ("inner", "`moved/0/from/0`"),
        ] {
            let why = said.failure(member);
            assert!(why.contains(&format!("{place} is a secret, and ")), "{member}: {why}");
        }
    });
}
