//! Every form in which a deployment can be given: our library, NixOps4's contract, its older form, flakes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod common;

use std::path::Path;

use common::{Bench, PRELUDE, nixes, outputs, path};
use freehold_eval::{EvalError, Source};
use freehold_model::{ProviderRef, Value};

fn on_each_nix(test: impl Fn(&Path)) {
    for (name, dir) in nixes() {
        println!("nix {name}");
        test(&dir);
    }
}

fn example(nix: &Path, file: &str) -> Bench {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(file).canonicalize().unwrap();
    let mut bench = Bench::with(nix, "", |options| options.source = Source::File(file));
    bench.want(vec![path(".")]);
    bench
}

#[test]
fn the_first_example_flows_from_output_to_input() {
    on_each_nix(|nix| {
        let mut bench = example(nix, "hello/freehold.nix");
        bench.answers.insert(path("id"), outputs(&[("hex", "00ff".into())]));
        bench.answers.insert(path("site.page"), outputs(&[("path", "site/index.html".into())]));
        let said = bench.settle();
        assert_eq!(said.input("site.page", "contents"), "hello 00ff\n".into());
        assert_eq!(said.input("site.check", "args").part("0"), Some(&"site/index.html".into()));
        let (declaration, _) = &said.declared[&path("id")];
        assert!(
            matches!(&declaration.provider, ProviderRef::Builtin { name, .. } if name == "local"),
            "{declaration:?}"
        );
        assert!(declaration.outputs.contains("hex"));
    });
}

#[test]
fn every_example_evaluates_as_far_as_nothing_is_known() {
    on_each_nix(|nix| {
        for file in ["hello", "customers", "dynamic", "sequence", "operations", "legacy"] {
            let mut bench = example(nix, &format!("{file}/freehold.nix"));
            let said = bench.settle();
            assert!(said.fatal.is_none() && said.failed.is_empty(), "{file}: {said:?}");
            assert!(!said.declared.is_empty(), "{file}: {said:?}");
        }
    });
}

#[test]
fn members_that_an_output_names_appear_when_it_is_known() {
    on_each_nix(|nix| {
        let mut bench = example(nix, "dynamic/freehold.nix");
        bench.answers.insert(path("inventory"), outputs(&[("stdout", "blog\nwiki\n".into())]));
        let said = bench.settle();
        assert_eq!(said.input("sites.wiki", "contents"), "<h1>wiki</h1>\n".into());
        assert!(said.waiting.is_empty() && said.failed.is_empty(), "{said:?}");
    });
}

#[test]
fn a_root_of_nixops4_is_taken_as_it_is() {
    on_each_nix(|nix| {
        let mut bench = example(nix, "nixops4/nixops4.nix");
        bench.answers.insert(path("greeting"), outputs(&[("value", "hello".into())]));
        let said = bench.settle();
        let Value::String(contents) = said.input("site.page", "contents") else { panic!("{said:?}") };
        assert!(contents.starts_with("hello from ") && contents.contains("linux"), "{contents}");
        let (greeting, _) = &said.declared[&path("greeting")];
        assert_eq!(greeting.holder, Some(path("state")));
        assert!(
            matches!(&greeting.provider, ProviderRef::Stdio { executable, .. } if executable == "nixops4-resources-local")
        );
    });
}

#[test]
fn a_root_of_nixops4_is_given_exactly_the_two_arguments_it_declares() {
    on_each_nix(|nix| {
        let root = r#"(root null) // { rootFunction = { resourceProviderSystem, outputValues }: comp { a = res { x = resourceProviderSystem; }; }; }"#;
        let mut bench =
            Bench::with(nix, &format!("{PRELUDE}{root}"), |options| options.system = Some("riscv64-linux".into()));
        bench.want(vec![path(".")]);
        assert_eq!(bench.settle().input("a", "x"), "riscv64-linux".into());
    });
}

#[test]
fn the_older_form_is_adapted() {
    on_each_nix(|nix| {
        let file = r#"{ nixops4Deployments.default = { resources, ... }: { resources = {
            a = { type = "local.random"; inputs.bytes = 4; };
            b = { type = "local.file"; inputs = { path = "b"; contents = resources.a.hex; }; };
        }; }; }"#;
        let mut bench = Bench::with(nix, file, |_| {});
        bench.answers.insert(path("a"), outputs(&[("hex", "beef".into())]));
        bench.want(vec![path(".")]);
        assert_eq!(bench.settle().input("b", "contents"), "beef".into());
    });
}

/// A flake with an input `data`, and another flake that can take the input's place.
fn flakes(dir: &Path) -> (String, String) {
    let write = |name: &str, text: String| {
        let place = dir.join(name);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("flake.nix"), text).unwrap();
        format!("path:{}", place.display())
    };
    let data = write("data", r#"{ outputs = _: { word = "from the input"; }; }"#.to_owned());
    let other = write("other", r#"{ outputs = _: { word = "overridden"; }; }"#.to_owned());
    let flake = format!(
        r#"{{ inputs.data.url = "{data}"; outputs = {{ self, data }}: {{ freehold = {PRELUDE} root (o: comp {{ a = res {{ x = data.word; }}; }}); }}; }}"#
    );
    (write("flake", flake), other)
}

#[test]
fn an_attribute_of_a_flake_is_a_root_and_its_inputs_can_be_overridden() {
    on_each_nix(|nix| {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let (reference, other) = flakes(dir.path());
        let read = |override_inputs: Vec<(String, String)>, attribute: &str| {
            let source = Source::Flake {
                reference: reference.clone(),
                attribute: attribute.split_terminator('.').map(str::to_owned).collect(),
                instead: None,
                override_inputs,
                write_lock: false,
            };
            let mut bench = Bench::with(nix, "", |options| options.source = source);
            bench.want(vec![path(".")]);
            bench.settle();
            bench
        };
        assert_eq!(read(vec![], "freehold").said.input("a", "x"), "from the input".into());
        assert_eq!(read(vec![("data".into(), other)], "freehold").said.input("a", "x"), "overridden".into());
        assert_eq!(read(vec![], "").said.input("a", "x"), "from the input".into(), "the attribute is found");
        let fatal = read(vec![], "nothing").said.fatal.unwrap().to_string();
        assert!(fatal.contains("no attribute") && fatal.contains("#nothing"), "{fatal}");
        assert!(!dir.path().join("flake/flake.lock").exists(), "nothing was to be written");
    });
}

#[test]
fn a_flake_that_cannot_be_locked_says_why() {
    let (_, nix) = nixes().remove(0);
    let source = Source::Flake {
        reference: "path:/nowhere/at/all".into(),
        attribute: vec!["freehold".into()],
        instead: None,
        override_inputs: vec![],
        write_lock: false,
    };
    let error = Bench::try_with(&nix, "", |options| options.source = source).err().unwrap();
    assert!(matches!(error, EvalError::LockFlake { .. }) && error.to_string().contains("/nowhere/at/all"), "{error}");
}
