//! The store on every Nix at hand, each with a store of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use freehold_store::{Nix, Progress, RealiseOptions, StoreError, Target};
use freehold_testkit::{Scratch, each_nix};

const EXPRESSIONS: &str = r#"
let d = name: text: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" text ]; }; in
rec {
  one = d "one" "echo making one; echo 1 > $out";
  two = d "two" "read x < ${one}; echo $x 2 > $out; echo ${one} >> $out";
  bad = d "bad" "echo first; echo second 1>&2; exit 3";
  onBad = d "on-bad" "echo ${bad} > $out";
  several = derivation { name = "several"; outputs = [ "out" "dev" ]; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo 1 > $out; echo 2 > $dev" ]; };
  slow = d "slow" "echo waiting; while :; do :; done";
}
"#;

struct Store {
    nix: Nix,
    scratch: Scratch,
}

impl Store {
    fn derivation(&self, attribute: &str) -> String {
        let text = format!("({EXPRESSIONS}).{attribute}");
        self.nix.instantiate(&text, &serde_json::Map::new(), self.scratch.path(), &AtomicBool::new(false)).unwrap()
    }

    fn realise(&self, target: &str) -> Result<Vec<String>, StoreError> {
        self.realise_heard(target).0
    }

    fn realise_heard(&self, target: &str) -> (Result<Vec<String>, StoreError>, Vec<Progress>) {
        let mut heard = Vec::new();
        let result = self.nix.realise(
            &[Target::parse(target).unwrap()],
            RealiseOptions::default(),
            &AtomicBool::new(false),
            &mut |progress| heard.push(progress),
        );
        (result.map(|paths| paths.iter().map(|p| p.display().to_string()).collect()), heard)
    }

    /// Collects garbage; gives the paths that are left of the given.
    fn collect(&self, paths: &[&str]) -> Vec<bool> {
        let output = self.nix.command("nix-store").arg("--gc").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        paths.iter().map(|path| Path::new(path).exists()).collect()
    }
}

fn on_each_nix(check: impl Fn(&Store)) {
    each_nix(|version| {
        let scratch = Scratch::new();
        let nix = Nix::at(&version.bin).with_environment(version.env(scratch.path()));
        check(&Store { nix, scratch });
    });
}

#[test]
fn a_derivation_is_built_with_what_it_needs_and_its_progress_is_told() {
    on_each_nix(|store| {
        let (one, two) = (store.derivation("one"), store.derivation("two"));
        let (result, heard) = store.realise_heard(&format!("{two}!out"));
        let paths = result.unwrap();
        assert!(std::fs::read_to_string(&paths[0]).unwrap().starts_with("1 2\n"));
        for expected in [
            Progress::Building { derivation: one.clone() },
            Progress::Log { derivation: one.clone(), line: "making one".to_owned() },
            Progress::Ended { path: one },
            Progress::Building { derivation: two.clone() },
            Progress::Ended { path: two },
        ] {
            assert!(heard.contains(&expected), "{expected:?} is not in {heard:#?}");
        }
        assert!(heard.iter().any(|p| matches!(p, Progress::Counts { built: 2, fetched: 0, .. })), "{heard:#?}");
        assert_eq!(store.realise(&paths[0]).unwrap(), paths, "what is there stays as it is");
    });
}

#[test]
fn a_failed_build_is_told_with_its_own_log_even_when_another_was_wanted() {
    on_each_nix(|store| {
        let bad = store.derivation("bad");
        let error = store.realise(&format!("{}!out", store.derivation("onBad"))).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot build `{bad}`: builder failed with exit code 3"));
        assert_eq!(error.log(), ["first", "second"]);
        assert_eq!(error.hint().unwrap(), format!("the whole log: `nix-store --read-log {bad}`"));
        assert_eq!(error.kind(), freehold_model::ErrorKind::User);
    });
}

#[test]
fn a_path_that_nobody_has_is_told_with_its_name() {
    on_each_nix(|store| {
        let path = store.scratch.join("nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x").display().to_string();
        let error = store.realise(&path).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot realise `{path}`: ")), "{error}");
        let error = store.realise(&format!("{path}.drv")).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot realise `{path}.drv`: the derivation is not in the store"));
    });
}

#[test]
fn a_derivation_meant_as_a_file_is_not_built() {
    on_each_nix(|store| {
        let bad = store.derivation("bad");
        assert_eq!(store.realise(&bad).unwrap(), Vec::<String>::new());
    });
}

#[test]
fn one_output_can_be_had_without_naming_the_others() {
    on_each_nix(|store| {
        let several = store.derivation("several");
        let dev = store.realise(&format!("{several}!dev")).unwrap();
        assert!(dev[0].ends_with("-several-dev"), "{dev:?}");
        let outputs = store.nix.outputs_of(&several).unwrap();
        assert_eq!(outputs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["dev", "out"]);
        assert_eq!(outputs[0].1, dev[0]);
        assert_eq!(store.nix.outputs_of(&store.derivation("one")).unwrap()[0].0, "out");
    });
}

#[test]
fn a_root_keeps_its_path_until_it_is_removed() {
    on_each_nix(|store| {
        let one = store.realise(&format!("{}!out", store.derivation("one"))).unwrap().remove(0);
        let two = store.realise(&format!("{}!out", store.derivation("two"))).unwrap().remove(0);
        let link = store.scratch.join("project/.freehold/gcroots/web");
        store.nix.add_root(&one, &link).unwrap();
        assert_eq!(store.nix.rooted(&link).unwrap().unwrap(), Path::new(&one));
        assert_eq!(store.collect(&[&one, &two]), [true, false]);

        let two = store.realise(&format!("{}!out", store.derivation("two"))).unwrap().remove(0);
        store.nix.add_root(&two, &link).unwrap();
        assert_eq!(store.nix.rooted(&link).unwrap().unwrap(), Path::new(&two), "moved in one step");
        assert_eq!(store.collect(&[&one, &two]), [true, true], "two refers to one");

        store.nix.remove_root(&link).unwrap();
        store.nix.remove_root(&link).unwrap();
        assert_eq!(store.nix.rooted(&link).unwrap(), None);
        assert_eq!(store.collect(&[&one, &two]), [false, false]);
    });
}

#[test]
fn a_link_that_nix_does_not_know_of_is_no_root() {
    on_each_nix(|store| {
        let one = store.realise(&format!("{}!out", store.derivation("one"))).unwrap().remove(0);
        let other = store.scratch.join("other");
        store.nix.add_root(&one, &other).unwrap();
        let link = store.scratch.join("by-hand");
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert_eq!(store.nix.rooted(&link).unwrap(), None);
        store.nix.add_root(&one, &link).unwrap();
        assert!(store.nix.rooted(&link).unwrap().is_some(), "adding it again mends it");
    });
}

#[test]
fn a_file_in_the_place_of_a_root_is_left_alone() {
    on_each_nix(|store| {
        let one = store.realise(&format!("{}!out", store.derivation("one"))).unwrap().remove(0);
        let file = store.scratch.write("precious", "data");
        for error in [store.nix.add_root(&one, &file).unwrap_err(), store.nix.remove_root(&file).unwrap_err()] {
            assert!(matches!(error, StoreError::RootTaken { .. }), "{error}");
        }
        assert_eq!(store.scratch.read("precious"), "data");
    });
}

#[test]
fn facts_about_paths_are_the_same_from_every_version() {
    on_each_nix(|store| {
        let derivation = store.derivation("two");
        let two = store.realise(&format!("{derivation}!out")).unwrap();
        let one = store.realise(&format!("{}!out", store.derivation("one"))).unwrap();
        let info = store.nix.path_info(&two).unwrap().remove(0);
        assert_eq!((info.path.as_str(), info.deriver.as_deref()), (two[0].as_str(), Some(derivation.as_str())));
        assert_eq!(info.references, one);
        assert_eq!(info.nar_hash.len(), 64);
        assert_eq!(store.nix.requisites(&two).unwrap(), [one[0].as_str(), two[0].as_str()]);
        let gone = format!("{}x", two[0]);
        assert_eq!(store.nix.missing(&[two[0].clone(), gone.clone()]).unwrap(), [gone]);
    });
}

#[test]
fn an_installable_is_built_by_the_new_command_line() {
    on_each_nix(|store| {
        let derivation = store.derivation("several");
        let stop = AtomicBool::new(false);
        let installable = format!("{derivation}^out,dev");
        // Nix 2.8 knows `drv!out,dev` only; both forms are Nix's own business.
        let installable =
            if store.nix.version().unwrap().starts_with("2.8.") { derivation.clone() } else { installable };
        let built = store.nix.build_installable(&installable, store.scratch.path(), &stop, &mut |_| {}).unwrap();
        assert_eq!(built.outputs, store.nix.outputs_of(&derivation).unwrap());
        assert_eq!(store.nix.derivation_of(&derivation, store.scratch.path(), &stop).unwrap(), derivation);
        assert_eq!(built.main_output().unwrap(), built.outputs[1].1);
        let error = store.nix.build_installable(".#web", store.scratch.path(), &stop, &mut |_| {}).unwrap_err();
        assert!(error.to_string().starts_with("cannot build `.#web`: "), "{error}");
    });
}

#[test]
fn an_expression_gets_its_arguments_and_its_errors_are_nixs_own() {
    on_each_nix(|store| {
        let stop = AtomicBool::new(false);
        let arguments = serde_json::json!({ "who": "\"${x}\" \\ ü" });
        let text = "{ who }: derivation { name = \"args\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"printf %s \\\"$who\\\" > $out\" ]; inherit who; }";
        let derivation =
            store.nix.instantiate(text, arguments.as_object().unwrap(), store.scratch.path(), &stop).unwrap();
        let built = store.nix.build_derivation(&derivation, &stop, &mut |_| {}).unwrap();
        assert_eq!(std::fs::read_to_string(built.main_output().unwrap()).unwrap(), "\"${x}\" \\ ü");

        let said = |text: &str| {
            store.nix.instantiate(text, &serde_json::Map::new(), store.scratch.path(), &stop).unwrap_err().to_string()
        };
        assert!(said("throw \"no such app\"").contains("no such app"));
        assert!(said("{ a = 1").contains("syntax error"));
    });
}

#[test]
fn a_build_stops_when_told() {
    on_each_nix(|store| {
        let slow = Target::parse(&format!("{}!out", store.derivation("slow"))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut begun = Instant::now();
        let error = store
            .nix
            .realise(&[slow], RealiseOptions::default(), &stop, &mut |progress| {
                if matches!(progress, Progress::Log { .. }) && !told.swap(true, Ordering::Relaxed) {
                    begun = Instant::now();
                }
            })
            .unwrap_err();
        assert!(matches!(error, StoreError::Stopped { .. }), "{error}");
        // The build itself has no end.
        assert!(begun.elapsed() < Duration::from_secs(60));
    });
}
