//! The provider as a process of its own, on the in-process store and, where it was built, on MinIO.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::time::Duration;

use freehold_model::{Attrs, ErrorKind, Pointer, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::{Call, CallError, Launch, Object, Pool, PoolOptions, Reply, Request};
use freehold_testkit::s3::{Fault, S3Server};
use freehold_testkit::{Minio, Scratch};
use serde_json::{Value as Json, json};

struct Story {
    pool: Pool,
    launch: Launch,
    scratch: Scratch,
}

impl Story {
    fn on(endpoint: &str, access_key: &str, secret: &str) -> Self {
        let scratch = Scratch::new();
        let mut launch = Launch::new("s3", env!("CARGO_BIN_EXE_freehold-provider-s3"));
        launch.env.keep = Some(Vec::new());
        launch.cwd = Some(scratch.path().to_owned());
        let mut config = value(json!({ "endpoint": endpoint, "accessKeyId": access_key, "secretAccessKey": secret }));
        config.mark_sensitive(&Pointer::new(["secretAccessKey"])).unwrap();
        launch.config = config;
        Self { pool: Pool::new(PoolOptions::default()), launch, scratch }
    }

    fn in_process(server: &S3Server) -> Self {
        Self::on(&server.endpoint(), S3Server::ACCESS_KEY, S3Server::SECRET_KEY)
    }

    fn call(&self, call: Call) -> Result<Reply, CallError> {
        self.pool.call(&self.launch, Request::from(call))
    }

    fn create(&self, type_name: &str, inputs: Json) -> Result<Object, CallError> {
        self.create_of(type_name, &attrs(inputs))
    }

    fn create_of(&self, type_name: &str, inputs: &Attrs) -> Result<Object, CallError> {
        let call = Call::Create { type_name: type_name.to_owned(), inputs: inputs.clone(), stateful: true };
        Ok(object(inputs, self.call(call)?))
    }

    fn plan(&self, type_name: &str, prior: &Object, inputs: Json) -> (PlanAction, Vec<String>) {
        let (prior, inputs) = (Some(prior.clone()), attrs(inputs));
        match self.call(Call::Plan { type_name: type_name.to_owned(), prior, inputs, replace: false }).unwrap() {
            Reply::Plan { action, reasons, .. } => (action, reasons),
            other => panic!("{other:?}"),
        }
    }

    fn update(&self, type_name: &str, prior: &Object, inputs: Json) -> Object {
        let inputs = attrs(inputs);
        let call = Call::Update { type_name: type_name.to_owned(), prior: prior.clone(), inputs: inputs.clone() };
        object(&inputs, self.call(call).unwrap())
    }

    /// `None` when it is gone.
    fn read(&self, type_name: &str, object_: &Object) -> Option<Object> {
        match self.call(Call::Read { type_name: type_name.to_owned(), object: object_.clone() }).unwrap() {
            Reply::Gone => None,
            reply => Some(object(&object_.inputs, reply)),
        }
    }

    fn delete(&self, type_name: &str, object: &Object) -> Result<(), CallError> {
        self.call(Call::Delete { type_name: type_name.to_owned(), object: object.clone() }).map(drop)
    }

    fn state(&self, holder: &Object) -> (String, String) {
        match self.call(Call::StateRead { type_name: "object".to_owned(), object: holder.clone() }).unwrap() {
            Reply::State { text, version } => (text, version),
            other => panic!("{other:?}"),
        }
    }

    fn append(&self, holder: &Object, expected: &str, line: &str, fence: u64) -> Result<String, CallError> {
        let call = Call::StateAppend {
            type_name: "object".to_owned(),
            object: holder.clone(),
            expected_version: expected.to_owned(),
            lines: vec![format!("{line}\n")],
            fence,
        };
        match self.call(call)? {
            Reply::Appended { version } => Ok(version),
            other => panic!("{other:?}"),
        }
    }

    fn lock(&self, holder: &Object, seconds: u64, token: Option<&str>) -> Result<(String, u64), CallError> {
        let call = Call::StateLock {
            type_name: "object".to_owned(),
            object: holder.clone(),
            owner: json!({ "user": "ada", "host": "box", "command": "freehold apply" }),
            lease: Duration::from_secs(seconds),
            token: token.map(str::to_owned),
        };
        match self.call(call)? {
            Reply::Locked { token, fence } => Ok((token, fence)),
            other => panic!("{other:?}"),
        }
    }

    fn unlock(&self, holder: &Object, token: Option<&str>) -> Result<(), CallError> {
        let (type_name, object) = ("object".to_owned(), holder.clone());
        self.call(Call::StateUnlock { type_name, object, token: token.map(str::to_owned) }).map(drop)
    }
}

fn on_each_store(story: impl Fn(&Story)) {
    let server = S3Server::start();
    server.create_bucket("pail");
    story(&Story::in_process(&server));
    if let Some(minio) = Minio::start() {
        let on_minio = Story::on(&minio.endpoint(), Minio::ACCESS_KEY, Minio::SECRET_KEY);
        on_minio.create("bucket", json!({ "name": "pail" })).unwrap();
        story(&on_minio);
    }
}

fn value(json: Json) -> Value {
    Value::from_json(json).unwrap()
}

fn attrs(json: Json) -> Attrs {
    match value(json) {
        Value::Map(attrs) => attrs,
        other => panic!("{other:?}"),
    }
}

fn object(inputs: &Attrs, reply: Reply) -> Object {
    match reply {
        Reply::Object { outputs, private, inputs: seen } => {
            Object { inputs: seen.unwrap_or_else(|| inputs.clone()), outputs, private }
        }
        other => panic!("{other:?}"),
    }
}

fn output(object: &Object, name: &str) -> Json {
    object.outputs[name].to_clear_json()
}

#[test]
fn an_object_is_written_watched_mended_and_deleted() {
    on_each_store(|story| {
        let inputs = json!({ "bucket": "pail", "key": "a/page.html", "contents": "one", "contentType": "text/html", "metadata": { "by": "us" } });
        let made = story.create("s3.object", inputs.clone()).unwrap();
        assert_eq!(output(&made, "sha256"), json!("7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"));
        assert!(output(&made, "url").as_str().unwrap().ends_with("/pail/a/page.html"));
        assert_eq!(story.read("s3.object", &made).unwrap(), made);
        assert_eq!(story.plan("object", &made, inputs.clone()).0, PlanAction::None);

        let elsewhere = json!({ "bucket": "pail", "key": "a/page.html", "contents": "by hand", "contentType": "text/plain", "overwrite": true });
        story.create("object", elsewhere).unwrap();
        let seen = story.read("object", &made).unwrap();
        assert_ne!(output(&seen, "sha256"), output(&made, "sha256"));
        assert_eq!(seen.inputs["contentType"], Value::from("text/plain"), "what the store tells is seen");
        assert_eq!(story.plan("object", &seen, inputs.clone()).0, PlanAction::Update);
        let mended = story.update("object", &seen, inputs.clone());
        assert_eq!(output(&mended, "sha256"), output(&made, "sha256"));

        let moved = json!({ "bucket": "pail", "key": "b/page.html", "contents": "one" });
        assert_eq!(story.plan("object", &mended, moved).0, PlanAction::Replace);
        story.delete("object", &mended).unwrap();
        story.delete("object", &mended).unwrap();
        assert!(story.read("object", &mended).is_none());
    });
}

#[test]
fn an_object_that_was_there_is_taken_over_as_it_is_or_left_alone() {
    on_each_store(|story| {
        let theirs = json!({ "bucket": "pail", "key": "k", "contents": "theirs", "contentType": "text/plain" });
        let made = story.create("object", theirs.clone()).unwrap();
        assert_eq!(story.create("object", theirs).unwrap(), made, "the same is taken over");
        let ours = json!({ "bucket": "pail", "key": "k", "contents": "ours" });
        let error = story.create("object", ours.clone()).unwrap_err();
        assert_eq!(error.to_string(), "`k` exists already in bucket `pail`, with another content");
        let other = json!({ "bucket": "pail", "key": "k", "contents": "theirs", "contentType": "text/html" });
        let error = story.create("object", other).unwrap_err();
        assert_eq!(error.to_string(), "`k` exists already in bucket `pail`, with another content type or metadata");
        // A creation that was interrupted before it began has made none of it.
        let begun = Object { inputs: attrs(ours), outputs: Attrs::new(), private: None };
        assert_eq!(story.read("object", &begun), None);
        assert_eq!(story.read("object", &made).as_ref(), Some(&made));
    });
}

#[test]
fn an_object_that_lost_the_state_it_held_is_no_empty_one() {
    on_each_store(|story| {
        let holder = story.create("object", json!({ "bucket": "pail", "key": "held" })).unwrap();
        let read = || story.call(Call::StateRead { type_name: "object".to_owned(), object: holder.clone() });
        let Ok(Reply::State { version, .. }) = read() else { panic!() };
        let (token, fence) = story.lock(&holder, 60, None).unwrap();
        story.append(&holder, &version, "{}", fence).unwrap();
        story.lock(&holder, 60, Some(&token)).unwrap();
        let overwrite = json!({ "bucket": "pail", "key": "held", "contents": "", "overwrite": true });
        let emptied = story.create("object", overwrite).unwrap();
        let lost = || read().unwrap_err().to_string();
        assert_eq!(lost(), "`held` in bucket `pail` is gone or empty, and state was kept in it");
        story.delete("object", &emptied).unwrap();
        assert_eq!(lost(), "`held` in bucket `pail` is gone or empty, and state was kept in it");
        // Made anew, it begins anew.
        story.create("object", json!({ "bucket": "pail", "key": "held" })).unwrap();
        assert!(matches!(read(), Ok(Reply::State { text, .. }) if text.is_empty()));
    });
}

#[test]
fn content_comes_from_a_file_too_and_its_change_is_planned() {
    on_each_store(|story| {
        story.scratch.write("logo.bin", [0, 159, 146, 150]);
        let inputs = json!({ "bucket": "pail", "key": "logo", "source": "logo.bin" });
        let made = story.create("object", inputs.clone()).unwrap();
        let same = json!({ "bucket": "pail", "key": "logo", "contentsBase64": "AJ+Slg==" });
        assert_eq!(output(&story.create("object", same).unwrap(), "sha256"), output(&made, "sha256"));

        story.scratch.write("logo.bin", [1]);
        let (action, reasons) = story.plan("object", &made, inputs.clone());
        assert_eq!(action, PlanAction::Update);
        assert_eq!(reasons, ["its source file or the object has another content"]);
        let updated = story.update("object", &made, inputs.clone());
        assert_eq!(story.plan("object", &updated, inputs).0, PlanAction::None);
        story.delete("object", &updated).unwrap();
    });
}

#[test]
fn names_are_known_before_anything_is_made() {
    let story = Story::on("http://127.0.0.1:1", "nobody", "asked");
    let planned = |type_name: &str, inputs: Attrs| {
        let type_name = type_name.to_owned();
        match story.call(Call::Plan { type_name, prior: None, inputs, replace: false }).unwrap() {
            Reply::Plan { planned_outputs, .. } => planned_outputs,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(planned("bucket", attrs(json!({ "name": "pail" })))["name"], Value::from("pail"));
    let mut inputs = attrs(json!({ "key": "k", "contents": "x" }));
    inputs.insert("bucket".to_owned(), Value::Unknown);
    let outputs = planned("object", inputs);
    assert_eq!((&outputs["key"], &outputs["bucket"]), (&Value::from("k"), &Value::Unknown));
    assert_eq!(outputs["etag"], Value::Unknown);
}

#[test]
fn digests_of_a_secret_are_secret() {
    on_each_store(|story| {
        let mut inputs = attrs(json!({ "bucket": "pail", "key": "secret", "contents": "1234" }));
        let secret = inputs.remove("contents").unwrap().into_sensitive();
        inputs.insert("contents".to_owned(), secret);
        let made = story.create_of("object", &inputs).unwrap();
        assert!(made.outputs["sha256"].has_sensitive() && made.outputs["etag"].has_sensitive());
        assert!(!made.outputs["url"].has_sensitive());
    });
}

#[test]
fn a_bucket_is_made_and_deleted_only_when_empty_or_told_to() {
    on_each_store(|story| {
        let careful = story.create("bucket", json!({ "name": "own" })).unwrap();
        let again = story.create("s3.bucket", json!({ "name": "own" })).unwrap();
        assert_eq!(again, careful, "one that is ours already is taken as it is");
        story.create("object", json!({ "bucket": "own", "key": "x", "contents": "x" })).unwrap();
        let error = story.delete("bucket", &careful).unwrap_err();
        assert!(error.to_string().contains("bucket `own` is not empty"), "{error}");
        assert!(error.hint().unwrap().contains("forceDestroy = true"));
        let thorough = story.update("bucket", &careful, json!({ "name": "own", "forceDestroy": true }));
        story.delete("bucket", &thorough).unwrap();
        assert!(story.read("bucket", &thorough).is_none());
    });
}

#[test]
fn what_exists_is_imported_with_inputs_that_describe_it() {
    on_each_store(|story| {
        story.create("object", json!({ "bucket": "pail", "key": "found/here", "contents": "text" })).unwrap();
        let call = Call::Import { type_name: "object".to_owned(), id: "s3://pail/found/here".to_owned() };
        let Reply::Imported(found) = story.call(call).unwrap() else { panic!("not imported") };
        assert_eq!(found[0].inputs, attrs(json!({ "bucket": "pail", "key": "found/here", "contents": "text" })));
        let missing = Call::Import { type_name: "object".to_owned(), id: "pail/none".to_owned() };
        assert!(story.call(missing).unwrap_err().to_string().contains("bucket `pail` has no object `none`"));
        let odd = Call::Import { type_name: "object".to_owned(), id: "none".to_owned() };
        assert!(story.call(odd).unwrap_err().to_string().contains("`none` does not name an object"));
    });
}

#[test]
fn an_object_without_content_holds_state_and_refuses_a_writer_who_is_late() {
    on_each_store(|story| {
        let holder = story.create("s3.object", json!({ "bucket": "pail" })).unwrap();
        assert_eq!(output(&holder, "key"), json!("freehold.state.jsonl"));
        let (text, first) = story.state(&holder);
        assert_eq!(text, "");
        let second = story.append(&holder, &first, "one", 1).unwrap();
        let error = story.append(&holder, &first, "late", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("moved on"), "{error}");
        let third = story.append(&holder, &second, "two", 7).unwrap();
        let error = story.append(&holder, &third, "paused", 6).unwrap_err();
        assert!(error.to_string().contains("taken over by somebody else"), "{error}");
        assert_eq!(story.state(&holder), ("one\ntwo\n".to_owned(), third));
        assert_eq!(story.read("object", &holder).unwrap(), holder, "writing state is no drift");

        let again = story.create("object", json!({ "bucket": "pail" })).unwrap();
        assert_eq!(story.state(&again).0, "one\ntwo\n", "a state that is there is taken as it is");
    });
}

#[test]
fn the_lock_of_a_state_has_one_holder_a_lease_and_growing_fences() {
    on_each_store(|story| {
        let holder = story.create("object", json!({ "bucket": "pail", "key": "locked" })).unwrap();
        let (token, fence) = story.lock(&holder, 60, None).unwrap();
        let error = story.lock(&holder, 60, None).unwrap_err();
        assert!(error.to_string().contains("ada@box holds the lock of the state for `freehold apply`"), "{error}");
        assert_eq!(story.lock(&holder, 60, Some(&token)).unwrap(), (token.clone(), fence), "renewed");
        assert!(story.unlock(&holder, Some("not it")).is_err());
        story.unlock(&holder, Some(&token)).unwrap();

        let (expired, second) = story.lock(&holder, 0, None).unwrap();
        assert!(second > fence);
        let (_, third) = story.lock(&holder, 60, None).unwrap();
        assert!(third > second, "a lease that ran out can be taken over");
        let error = story.lock(&holder, 60, Some(&expired)).unwrap_err();
        assert!(error.to_string().contains("lost to somebody else"), "{error}");
        story.unlock(&holder, None).unwrap();
        story.lock(&holder, 60, None).unwrap();
    });
}

#[test]
fn a_writer_whose_lock_was_broken_is_refused_although_nobody_has_written_since() {
    on_each_store(|story| {
        let holder = story.create("object", json!({ "bucket": "pail", "key": "broken" })).unwrap();
        let (_, fence) = story.lock(&holder, 60, None).unwrap();
        let version = story.append(&holder, &story.state(&holder).1, "one", fence).unwrap();
        story.unlock(&holder, None).unwrap();
        let error = story.append(&holder, &version, "paused", fence).unwrap_err();
        assert!(error.to_string().contains("taken over by somebody else"), "{error}");
        let (_, next) = story.lock(&holder, 60, None).unwrap();
        assert!(story.append(&holder, &version, "paused", fence).is_err());
        story.append(&holder, &version, "two", next).unwrap();
        assert_eq!(story.state(&holder).0, "one\ntwo\n");
    });
}

#[test]
fn a_store_that_ignores_conditions_holds_state_only_for_a_single_writer() {
    let server = S3Server::start();
    server.create_bucket("pail");
    server.honour_conditions(false);
    let story = Story::in_process(&server);
    let error = story.create("object", json!({ "bucket": "pail" })).unwrap_err();
    assert!(error.to_string().contains("does not honour conditional writes"), "{error}");
    assert!(error.hint().unwrap().contains("singleWriter = true"));
    assert!(server.objects("pail").is_empty());
    let holder = story.create("object", json!({ "bucket": "pail", "singleWriter": true })).unwrap();
    let (_, version) = story.state(&holder);
    story.append(&holder, &version, "one", 1).unwrap();
    assert!(story.append(&holder, &version, "late", 1).is_err(), "what can be seen is still refused");
}

#[test]
fn an_append_whose_answer_is_lost_happens_once() {
    let server = S3Server::start();
    server.create_bucket("pail");
    let story = Story::in_process(&server);
    let holder = story.create("object", json!({ "bucket": "pail", "key": "log" })).unwrap();
    for fault in [Fault::LostReply, Fault::ErrorAfterEffect, Fault::SlowDown] {
        let (_, version) = story.state(&holder);
        server.inject(fault, "PUT", "/pail/log?", 1);
        story.append(&holder, &version, &format!("{fault:?}"), 1).unwrap();
    }
    assert_eq!(story.state(&holder).0, "LostReply\nErrorAfterEffect\nSlowDown\n");
}

#[test]
fn mistakes_are_told_with_the_input_and_the_way_out() {
    let server = S3Server::start();
    server.create_bucket("pail");
    let story = Story::in_process(&server);
    let said = |inputs: Json| story.create("object", inputs).unwrap_err().to_string();
    assert!(said(json!({ "bucket": "pail", "contents": "x" })).contains("`key` is needed"));
    assert!(
        said(json!({ "bucket": "pail", "key": "k", "contents": "x", "source": "y" }))
            .contains("`contents` and `source` exclude each other")
    );
    assert!(
        said(json!({ "bucket": "pail", "key": "k", "contents": "x", "state": true }))
            .contains("an object that holds state has no `contents`")
    );
    assert!(said(json!({ "bucket": "pail", "key": "k", "source": "none" })).contains("none"));
    assert!(
        said(json!({ "bucket": "pail", "key": "k", "contentsBase64": "?" })).contains("`contentsBase64` is not base64")
    );
    assert!(said(json!({ "bucket": "nowhere", "key": "k", "contents": "x" })).contains("there is no bucket `nowhere`"));
    let stranger = Story::on(&server.endpoint(), S3Server::ACCESS_KEY, "wrong");
    let error = stranger.create("object", json!({ "bucket": "pail", "key": "k", "contents": "x" })).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[test]
fn the_provider_passes_the_conformance_suite() {
    let server = S3Server::start();
    let story = Story::in_process(&server);
    let report = freehold_provider::conformance::run(&story.launch, story.scratch.path());
    assert!(report.passed(), "{report:#?}");
}
