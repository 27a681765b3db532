//! `nix.build` as a process of its own, on every Nix at hand, each with a store of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use freehold_model::{Attrs, Pointer, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::{Call, CallError, Launch, Object, Pool, PoolOptions, Reply};
use freehold_store::Nix;
use freehold_testkit::{Scratch, each_nix};
use serde_json::{Value as Json, json};

const SEVERAL: &str = "derivation { name = \"several\"; outputs = [ \"out\" \"dev\" ]; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo 1 > $out; echo 2 > $dev\" ]; }";

struct Story {
    pool: Pool,
    launch: Launch,
    nix: Nix,
    scratch: Scratch,
}

impl Story {
    fn call(&self, call: Call) -> Result<Reply, CallError> {
        self.pool.call(&self.launch, freehold_provider::Request::from(call))
    }

    fn create(&self, inputs: Json) -> Result<Object, CallError> {
        let inputs = attrs(inputs);
        let reply =
            self.call(Call::Create { type_name: "build".to_owned(), inputs: inputs.clone(), stateful: true })?;
        Ok(object(inputs, reply))
    }

    fn update(&self, prior: &Object, inputs: Json) -> Result<Object, CallError> {
        let inputs = attrs(inputs);
        let (type_name, prior) = ("build".to_owned(), prior.clone());
        let reply = self.call(Call::Update { type_name, prior, inputs: inputs.clone() })?;
        Ok(object(inputs, reply))
    }

    fn plan(&self, prior: &Object, inputs: Json) -> (PlanAction, Vec<String>) {
        let (type_name, prior, inputs) = ("build".to_owned(), Some(prior.clone()), attrs(inputs));
        match self.call(Call::Plan { type_name, prior, inputs, replace: false }).unwrap() {
            Reply::Plan { action, reasons, .. } => (action, reasons),
            other => panic!("{other:?}"),
        }
    }

    /// `None` when it is gone.
    fn read(&self, object_: &Object) -> Option<Object> {
        let call = Call::Read { type_name: "build".to_owned(), object: object_.clone() };
        match self.call(call).unwrap() {
            Reply::Gone => None,
            reply => Some(object(object_.inputs.clone(), reply)),
        }
    }

    fn delete(&self, object: &Object) {
        let call = Call::Delete { type_name: "build".to_owned(), object: object.clone() };
        assert!(matches!(self.call(call).unwrap(), Reply::Gone));
    }

    fn collect_garbage(&self) {
        let output = self.nix.command("nix-store").arg("--gc").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Names of the links that keep something.
    fn roots(&self) -> Vec<String> {
        let found = std::fs::read_dir(self.scratch.join("project/.freehold/gcroots")).into_iter().flatten();
        let mut names: Vec<String> = found.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn on_each_nix(story: impl Fn(&Story)) {
    each_nix(|version| {
        let scratch = Scratch::new();
        let environment = version.env(scratch.path());
        let mut launch = Launch::new("nix", env!("CARGO_BIN_EXE_freehold-provider-nix"));
        launch.env.keep = Some(Vec::new());
        launch.env.set = environment.iter().cloned().collect();
        launch.cwd = Some(scratch.dir("project"));
        let nix = Nix::at(&version.bin).with_environment(environment);
        story(&Story { pool: Pool::new(PoolOptions::default()), launch, nix, scratch });
    });
}

fn attrs(json: Json) -> Attrs {
    match Value::from_json(json).unwrap() {
        Value::Map(attrs) => attrs,
        other => panic!("{other:?}"),
    }
}

fn object(inputs: Attrs, reply: Reply) -> Object {
    match reply {
        Reply::Object { outputs, private, .. } => Object { inputs, outputs, private },
        other => panic!("{other:?}"),
    }
}

fn output(object: &Object, name: &str) -> Json {
    object.outputs[name].to_clear_json()
}

fn store_path(object: &Object) -> PathBuf {
    PathBuf::from(output(object, "storePath").as_str().unwrap())
}

fn expression(says: &str) -> String {
    format!(
        "derivation {{ name = \"says\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo {says} > $out\" ]; }}"
    )
}

#[test]
fn a_build_is_kept_while_it_is_recorded_and_goes_when_it_is_deleted() {
    on_each_nix(|story| {
        let built = story.create(json!({ "expression": expression("one"), "rootName": "web.site" })).unwrap();
        let path = store_path(&built);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        assert_eq!(output(&built, "outputs"), json!({ "out": path.to_str().unwrap() }));
        assert!(output(&built, "drvPath").as_str().unwrap().ends_with("-says.drv"));
        story.collect_garbage();
        assert!(path.exists());
        assert_eq!(story.read(&built).unwrap().outputs, built.outputs);
        assert_eq!(story.roots(), ["web.site"]);

        story.delete(&built);
        story.delete(&built);
        assert_eq!(story.roots(), Vec::<String>::new());
        story.collect_garbage();
        assert!(!path.exists());
        assert!(story.read(&built).is_none());
    });
}

#[test]
fn an_update_moves_the_root_only_after_the_new_build_succeeded() {
    on_each_nix(|story| {
        let one = story.create(json!({ "expression": expression("one"), "rootName": "web" })).unwrap();
        let error =
            story.update(&one, json!({ "expression": expression("no; exit 7"), "rootName": "web" })).unwrap_err();
        assert!(error.to_string().contains("builder failed with exit code 7"), "{error}");
        story.collect_garbage();
        assert!(store_path(&one).exists(), "the old one is still kept");

        let two = story.update(&one, json!({ "expression": expression("two"), "rootName": "web" })).unwrap();
        story.collect_garbage();
        assert!(!store_path(&one).exists());
        assert!(store_path(&two).exists());
        assert_eq!(story.roots(), ["web"]);

        let renamed = story.update(&two, json!({ "expression": expression("two"), "rootName": "app" })).unwrap();
        assert_eq!(story.roots(), ["app"]);
        story.collect_garbage();
        assert!(store_path(&renamed).exists());
    });
}

#[test]
fn a_change_behind_the_expression_and_a_lost_root_are_seen_by_the_plan() {
    on_each_nix(|story| {
        story.scratch.write("project/web.nix", expression("one"));
        let inputs = json!({ "expression": "import ./web.nix", "rootName": "web" });
        let built = story.create(inputs.clone()).unwrap();
        assert_eq!(story.plan(&built, inputs.clone()), (PlanAction::None, Vec::new()));

        story.scratch.write("project/web.nix", expression("two"));
        let (action, reasons) = story.plan(&built, inputs.clone());
        assert_eq!(
            (action, reasons.as_slice()),
            (PlanAction::Update, ["it evaluates to another derivation".to_owned()].as_slice())
        );
        let built = story.update(&built, inputs.clone()).unwrap();

        std::fs::remove_file(story.scratch.join("project/.freehold/gcroots/web")).unwrap();
        assert!(story.read(&built).is_none(), "what nothing keeps is not kept");
        let mended = story.create(inputs).unwrap();
        assert_eq!(story.read(&mended).unwrap().outputs, mended.outputs);
        assert_eq!(story.roots(), ["web"]);
    });
}

#[test]
fn a_build_that_lost_one_of_its_roots_is_given_it_again() {
    on_each_nix(|story| {
        let inputs = json!({ "expression": SEVERAL, "rootName": "lib" });
        let built = story.create(inputs.clone()).unwrap();
        std::fs::remove_file(story.scratch.join("project/.freehold/gcroots/lib-dev")).unwrap();
        let seen = story.read(&built).unwrap();
        assert_eq!(output(&seen, "rooted"), json!(false));
        let (action, reasons) = story.plan(&seen, inputs.clone());
        assert_eq!((action, reasons), (PlanAction::Update, vec!["one of its GC roots is gone".to_owned()]));
        let mended = story.update(&seen, inputs).unwrap();
        assert_eq!(story.read(&mended).unwrap().outputs, built.outputs);
        assert_eq!(story.roots(), ["lib", "lib-dev"]);
    });
}

#[test]
fn a_derivation_value_arrives_as_its_output_and_is_told_before_it_is_made() {
    on_each_nix(|story| {
        let built = story.create(json!({ "expression": expression("one") })).unwrap();
        let path = output(&built, "storePath");
        let kept = story.create(json!({ "derivation": path, "rootName": "kept" })).unwrap();
        assert_eq!(output(&kept, "drvPath"), output(&built, "drvPath"));
        story.delete(&built);
        story.collect_garbage();
        assert!(Path::new(path.as_str().unwrap()).exists());

        let (type_name, inputs) = ("build".to_owned(), attrs(json!({ "derivation": path })));
        let Reply::Plan { planned_outputs, .. } =
            story.call(Call::Plan { type_name, prior: None, inputs, replace: false }).unwrap()
        else {
            panic!("no plan");
        };
        assert_eq!(planned_outputs["storePath"].to_clear_json(), path);
        assert_eq!(planned_outputs["outputs"], Value::Unknown);
    });
}

#[test]
fn only_the_path_of_an_output_is_promised_before_the_build() {
    on_each_nix(|story| {
        let built = story.create(json!({ "expression": SEVERAL, "rootName": "lib" })).unwrap();
        let derivation = output(&built, "drvPath").as_str().unwrap().to_owned();
        for named in [derivation.clone(), format!("{derivation}!dev")] {
            let (type_name, inputs) = ("build".to_owned(), attrs(json!({ "derivation": named })));
            let plan = Call::Plan { type_name, prior: None, inputs, replace: false };
            let Reply::Plan { planned_outputs, .. } = story.call(plan).unwrap() else { panic!("no plan") };
            assert_eq!(planned_outputs["storePath"], Value::Unknown, "{named}");
        }
        let again = story.create(json!({ "derivation": derivation, "rootName": "again" })).unwrap();
        assert_eq!(output(&again, "storePath"), output(&built, "storePath"));
    });
}

#[test]
fn an_installable_that_is_a_path_of_the_store_stays_what_it_is() {
    on_each_nix(|story| {
        let add = |text: &str| {
            story.scratch.write("project/plain", text);
            let mut command = story.nix.command("nix-store");
            let added = command.arg("--add").arg(story.scratch.join("project/plain")).output().unwrap();
            String::from_utf8(added.stdout).unwrap().trim().to_owned()
        };
        let built = story.create(json!({ "expression": expression("one"), "rootName": "one" })).unwrap();
        for path in [add("nobody's output"), output(&built, "storePath").as_str().unwrap().to_owned()] {
            let inputs = json!({ "installable": path, "rootName": "kept" });
            let kept = story.create(inputs.clone()).unwrap();
            assert_eq!(output(&kept, "storePath"), json!(path));
            assert_eq!(story.plan(&kept, inputs), (PlanAction::None, Vec::new()), "{path}");
            story.delete(&kept);
        }
    });
}

#[test]
fn every_output_is_kept_and_an_installable_is_built() {
    on_each_nix(|story| {
        let built = story.create(json!({ "expression": SEVERAL, "rootName": "lib" })).unwrap();
        assert_eq!(story.roots(), ["lib", "lib-dev"]);
        assert_eq!(output(&built, "outputs").as_object().unwrap().len(), 2);

        let derivation = output(&built, "drvPath");
        let installable = derivation.as_str().unwrap().to_owned();
        // From Nix 2.15 on a derivation alone means the file that it is.
        let old = story.nix.version().unwrap().starts_with("2.8.");
        let installable = if old { installable } else { format!("{installable}^*") };
        let inputs = json!({ "installable": installable, "rootName": "again" });
        let again = story.create(inputs.clone()).unwrap();
        assert_eq!(output(&again, "drvPath"), derivation);
        assert_eq!(story.plan(&again, inputs), (PlanAction::None, Vec::new()));
    });
}

#[test]
fn two_members_of_one_root_name_do_not_take_each_others_root() {
    on_each_nix(|story| {
        let one = story.create(json!({ "expression": expression("one"), "rootName": "web" })).unwrap();
        let two = story.create(json!({ "expression": expression("two"), "rootName": "web" })).unwrap();
        assert_eq!(story.roots(), ["web", "web-2"]);
        story.delete(&one);
        assert_eq!(story.roots(), ["web-2"]);
        story.collect_garbage();
        assert!(store_path(&two).exists());
    });
}

#[test]
fn inputs_that_exclude_each_other_are_refused_with_the_input() {
    on_each_nix(|story| {
        let said = |inputs: Json| story.create(inputs).unwrap_err().to_string();
        assert!(said(json!({})).contains("one of `derivation`, `installable` and `expression` is needed"));
        assert!(
            said(json!({ "installable": ".#a", "expression": "x" }))
                .contains("`installable` and `expression` exclude each other")
        );
        assert!(said(json!({ "installable": ".#a", "args": {} })).contains("`args` belong to an `expression`"));
        assert!(said(json!({ "derivation": "hello" })).contains("`hello` is no store path: it must be absolute"));
        assert!(said(json!({ "expression": "throw \"no such app\"" })).contains("no such app"));
    });
}

#[test]
fn a_secret_is_refused_before_nix_sees_it() {
    const CANARY: &str = "canary-4711-of-the-store";
    let uses = "{ word }: derivation { name = \"says\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo ${word} > $out\" ]; }";
    let path = "/nix/store/00000000000000000000000000000000-canary-4711-of-the-store";
    on_each_nix(|story| {
        let refused = |inputs: Json, place: &[&str]| {
            let mut inputs = Value::Map(attrs(inputs));
            inputs.mark_sensitive(&Pointer::new(place.iter().copied())).unwrap();
            let Value::Map(inputs) = inputs else { panic!("no attribute set") };
            let call = Call::Create { type_name: "build".to_owned(), inputs, stateful: true };
            let error = story.call(call).unwrap_err();
            let shown = format!("`{}` is a secret, and everybody can read the Nix store", place.join("/"));
            assert!(error.to_string().contains(&shown), "{error}");
            assert!(!error.to_string().contains(CANARY), "{error}");
        };
        refused(json!({ "expression": uses, "args": { "word": CANARY } }), &["args", "word"]);
        refused(json!({ "expression": uses, "args": { "word": CANARY } }), &["args"]);
        refused(json!({ "expression": expression(CANARY) }), &["expression"]);
        refused(json!({ "installable": format!(".#{CANARY}") }), &["installable"]);
        refused(json!({ "derivation": path }), &["derivation"]);
        refused(json!({ "expression": expression("one"), "rootName": CANARY }), &["rootName"]);
        let found = Command::new("grep").args(["-rl", CANARY]).arg(story.scratch.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    });
}

#[test]
fn the_provider_passes_the_conformance_suite() {
    on_each_nix(|story| {
        let report = freehold_provider::conformance::run(&story.launch, &story.scratch.dir("project"));
        assert!(report.passed(), "{report:#?}");
    });
}
