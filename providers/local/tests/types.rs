//! Every resource type through its life, spoken to as the engine does: over a pipe.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod world;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use freehold_model::{ErrorKind, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::{Call, CallEvent, Object, Reply};
use serde_json::json;
use world::{World, attrs, clear, shown, unknown};

#[test]
fn a_file_is_made_with_its_parents_changed_in_place_and_removed_with_them() {
    let world = World::new();
    let first = world.create("file", json!({ "path": "a/b/page", "contents": "one\n" }));
    assert_eq!(fs_err::read_to_string(world.path("a/b/page")).unwrap(), "one\n");
    assert_eq!(fs_err::metadata(world.path("a/b/page")).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(shown(&first.outputs)["path"], "a/b/page");
    assert_eq!(shown(&first.outputs)["absolutePath"], json!(world.path("a/b/page")));

    let wanted = json!({ "path": "a/b/page", "contents": "two\n", "mode": "0600" });
    assert_eq!(world.plan("file", Some(&first), wanted.clone()).0, PlanAction::Update);
    let second = world.update("file", &first, wanted.clone());
    assert_eq!(fs_err::metadata(world.path("a/b/page")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(world.plan("file", Some(&second), wanted).0, PlanAction::None);

    world.delete("file", &second);
    assert_eq!(fs_err::read_dir(world.dir.path()).unwrap().count(), 0);
    assert_eq!(world.read("file", &second), None);
    world.delete("file", &second);
}

#[test]
fn a_file_plan_says_its_outputs_before_it_is_made() {
    let world = World::new();
    let inputs = json!({ "path": "x", "contents": "hello\n" });
    let (action, outputs, _) = world.plan("file", None, inputs.clone());
    assert_eq!(action, PlanAction::Update);
    assert_eq!(outputs, shown(&world.create("file", inputs).outputs));
    let (_, outputs, _) = world.plan("file", None, json!({ "path": "x", "contents": unknown() }));
    assert_eq!(outputs["sha256"], unknown());
    assert_eq!(outputs["path"], "x");
}

#[test]
fn a_file_that_was_there_is_taken_over_as_it_is_or_left_alone() {
    let world = World::new();
    fs_err::write(world.path("x"), "mine\n").unwrap();
    fs_err::set_permissions(world.path("x"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("x", world.path("link")).unwrap();
    let refused = |inputs| world.try_create("file", attrs(inputs)).unwrap_err().to_string();
    assert_eq!(refused(json!({ "path": "x", "contents": "yours\n" })), "`x` exists already, with other contents");
    assert_eq!(refused(json!({ "path": "x", "contents": "mine\n" })), "`x` exists already, with the mode 0640");
    assert_eq!(refused(json!({ "path": "link", "contents": "mine\n" })), "`link` exists already, and is a link");
    assert_eq!(fs_err::read_to_string(world.path("x")).unwrap(), "mine\n");

    world.create("file", json!({ "path": "x", "contents": "mine\n", "mode": "0640" }));
    world.create("file", json!({ "path": "link", "contents": "yours\n", "overwrite": true }));
    assert_eq!(fs_err::read_to_string(world.path("link")).unwrap(), "yours\n");
    assert_eq!(fs_err::read_to_string(world.path("x")).unwrap(), "mine\n");
}

#[test]
fn an_interrupted_creation_is_told_from_a_file_of_somebody_else() {
    let world = World::new();
    let begun = |inputs| Object { inputs: attrs(inputs), outputs: attrs(json!({})), private: None };
    let wanted = json!({ "path": "x", "contents": "hello\n" });
    assert_eq!(world.read("file", &begun(wanted.clone())), None);
    let made = world.create("file", wanted.clone());
    assert_eq!(world.read("file", &begun(wanted.clone())).map(|found| found.outputs), Some(made.outputs));
    fs_err::write(world.path("x"), "theirs\n").unwrap();
    assert_eq!(world.read("file", &begun(wanted)), None);
}

#[test]
fn files_are_kept_out_of_the_store_and_of_the_state() {
    let world = World::new();
    fs_err::create_dir_all(world.path("kept")).unwrap();
    fs_err::write(world.path("kept/lock.mutex"), "").unwrap();
    std::os::unix::fs::symlink("kept", world.path("elsewhere")).unwrap();
    fs_err::create_dir_all(world.path("freehold.state")).unwrap();
    std::os::unix::fs::symlink("freehold.state", world.path("alias")).unwrap();
    let refused = ["kept/log-000001.jsonl", "elsewhere/lock", "alias/x"];
    for path in refused {
        for (kind, inputs) in
            [("file", json!({ "path": path, "contents": "" })), ("state_file", json!({ "path": path }))]
        {
            let error = world.try_create(kind, attrs(inputs)).unwrap_err().to_string();
            assert_eq!(error, format!("`{path}` is in the directory of the state"));
        }
    }
    world.create("file", json!({ "path": "kept/page", "contents": "" }));
    let store = Call::Plan {
        type_name: "file".into(),
        prior: None,
        inputs: attrs(json!({ "path": "/nix/store/abc-x", "contents": "" })),
        replace: false,
    };
    let error = world.ask(store).unwrap_err().to_string();
    assert!(error.ends_with("is in the Nix store, where nothing is written but by Nix"), "{error}");
}

#[test]
fn a_file_that_moves_is_another_file() {
    let world = World::new();
    let first = world.create("file", json!({ "path": "x", "contents": "" }));
    let (action, _, reasons) = world.plan("file", Some(&first), json!({ "path": "y", "contents": "" }));
    assert_eq!((action, reasons), (PlanAction::Replace, vec!["`path` changes, which needs a new object".to_owned()]));
}

#[test]
fn drift_of_a_file_is_seen_and_mended() {
    let world = World::new();
    let wanted = json!({ "path": "x", "contents": "hello\n" });
    let made = world.create("file", wanted.clone());
    assert_eq!(world.read("file", &made).as_ref(), Some(&made));

    fs_err::write(world.path("x"), "other\n").unwrap();
    let found = world.read("file", &made).unwrap();
    assert_eq!(shown(&found.inputs)["contents"], "other\n");
    assert_eq!(world.plan("file", Some(&found), wanted.clone()).0, PlanAction::Update);
    let mended = world.update("file", &found, wanted.clone());
    assert_eq!(fs_err::read_to_string(world.path("x")).unwrap(), "hello\n");

    fs_err::set_permissions(world.path("x"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let found = world.read("file", &mended).unwrap();
    assert_eq!(shown(&found.outputs)["mode"], "0777");
    assert_eq!(world.plan("file", Some(&found), wanted.clone()).0, PlanAction::Update);

    // Drift without a changed input, as when only outputs were refreshed.
    let refreshed = Object { inputs: attrs(wanted.clone()), ..found };
    let (action, _, reasons) = world.plan("file", Some(&refreshed), wanted);
    assert_eq!((action, reasons), (PlanAction::Update, vec!["`mode` is not as declared".to_owned()]));
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
    // What is held up runs into the limit of a call.
    let world = World::new();
    let file = world.create("file", json!({ "path": "page", "contents": "x" }));
    let state = world.create("state_file", json!({ "path": "state" }));
    for name in ["page", "state"] {
        fs_err::remove_file(world.path(name)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, world.path(name), rustix::fs::Mode::RWXU).unwrap();
    }
    let read = Call::Read { type_name: "file".into(), object: file };
    let (type_name, object) = ("state_file".to_owned(), state);
    let append = Call::StateAppend {
        type_name: type_name.clone(),
        object: object.clone(),
        expected_version: String::new(),
        lines: Vec::new(),
        fence: 0,
    };
    for call in [read, Call::StateRead { type_name, object }, append] {
        let error = world.ask(call).unwrap_err();
        assert!(error.to_string().ends_with("is not a regular file"), "{error}");
    }
}

#[test]
fn a_secret_file_is_readable_by_its_owner_only_and_its_digest_is_a_secret() {
    let world = World::new();
    let mut inputs = attrs(json!({ "path": "x", "contents": "canary" }));
    inputs.insert("contents".into(), Value::from("canary").into_sensitive());
    let made = world.try_create("file", inputs).unwrap();
    assert_eq!(fs_err::metadata(world.path("x")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(shown(&made.outputs)["sha256"], json!({ "$freehold": "sensitive" }));
    fs_err::write(world.path("x"), "another secret").unwrap();
    let found = world.read("file", &made).unwrap();
    assert_eq!(shown(&found.inputs)["contents"], json!({ "$freehold": "sensitive" }));
}

#[test]
fn a_file_is_imported_by_its_path() {
    let world = World::new();
    fs_err::write(world.path("old"), "here before").unwrap();
    let reply = world.ask(Call::Import { type_name: "file".into(), id: "old".into() }).unwrap();
    let Reply::Imported(found) = reply else { panic!("{reply:?}") };
    assert_eq!(shown(&found[0].inputs), json!({ "path": "old", "contents": "here before", "mode": "0644" }));
}

#[test]
fn wrong_inputs_of_a_file_are_refused_with_the_remedy() {
    let world = World::new();
    world.refuses(
        "file",
        json!({ "path": "x", "content": "" }),
        "inputs of `file` are refused: `contents` is required (and 1 more)",
        "`contents`: What is in it.",
    );
    world.refuses(
        "file",
        json!({ "path": "x", "contents": "", "mod": "0644" }),
        "inputs of `file` are refused: `mod` is not recognised",
        "did you mean `mode`?",
    );
    world.refuses(
        "file",
        json!({ "path": "x", "contents": "", "mode": "rw" }),
        "`rw` is not a file mode",
        "four octal digits: \"0644\"",
    );
    world.refuses("fil", json!({}), "provider `local` has no resource type `fil`", "did you mean `file`?");
    fs_err::create_dir(world.path("d")).unwrap();
    let error = world.try_create("file", attrs(json!({ "path": "d", "contents": "" }))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Host);
    // NixOps4's name for the path.
    let made = world.create("file", json!({ "name": "y", "contents": "" }));
    assert_eq!(shown(&made.outputs)["path"], "y");
}

#[test]
fn many_files_in_one_new_directory_go_with_it() {
    let world = World::new();
    let (done, results) = std::sync::mpsc::channel();
    for n in 0..40 {
        let inputs = attrs(json!({ "path": format!("new/deep/{n}"), "contents": "" }));
        let done = done.clone();
        let call = Call::Create { type_name: "file".into(), inputs: inputs.clone(), stateful: true };
        world.pool.submit(
            &world.launch,
            call,
            Box::new(move |event| {
                if let CallEvent::Done(Ok(Reply::Object { outputs, private, .. })) = event {
                    done.send(Object { inputs: inputs.clone(), outputs, private }).unwrap();
                }
            }),
        );
    }
    drop(done);
    let objects: Vec<Object> = results.iter().take(40).collect();
    assert_eq!(fs_err::read_dir(world.path("new/deep")).unwrap().count(), 40);
    for object in &objects {
        world.delete("file", object);
    }
    assert!(!world.path("new").exists());
}

#[test]
fn a_program_runs_at_create_and_when_its_inputs_change() {
    let world = World::new();
    let inputs = json!({ "executable": "/bin/sh", "args": ["-c", "echo run >> log; cat"], "stdin": "in" });
    let made = world.create("exec", inputs.clone());
    assert_eq!(shown(&made.outputs), json!({ "stdout": "in", "exitCode": 0 }));
    assert_eq!(world.plan("exec", Some(&made), inputs.clone()).0, PlanAction::None);
    let mut changed = inputs.clone();
    changed["stdin"] = json!("other");
    assert_eq!(world.plan("exec", Some(&made), changed.clone()).0, PlanAction::Update);
    let updated = world.update("exec", &made, changed.clone());
    assert_eq!(shown(&updated.outputs)["stdout"], "other");
    assert_eq!(fs_err::read_to_string(world.path("log")).unwrap(), "run\nrun\n");

    changed["once"] = json!(true);
    assert_eq!(world.plan("exec", Some(&made), changed.clone()).0, PlanAction::None);
    changed["once"] = json!(false);
    changed["always"] = json!(true);
    let made = world.create("exec", changed.clone());
    let (action, _, reasons) = world.plan("exec", Some(&made), changed);
    assert_eq!((action, reasons), (PlanAction::Update, vec!["it runs at every apply (`always`)".to_owned()]));
}

#[test]
fn a_program_gets_and_gives_five_megabytes_without_blocking() {
    let world = World::new();
    let text = "0123456789abcde\n".repeat(5 * 65536);
    let made = world.create("exec", json!({ "executable": "cat", "stdin": text }));
    assert_eq!(clear(&made.outputs, "stdout"), text);
    // One that reads nothing and one that writes without reading.
    world.create("exec", json!({ "executable": "true", "stdin": text }));
    let script = "head -c 5000000 /dev/zero | tr '\\0' x; cat > /dev/null";
    let made = world.create("exec", json!({ "executable": "sh", "args": ["-c", script], "stdin": text }));
    assert_eq!(clear(&made.outputs, "stdout").len(), 5_000_000);
}

#[test]
fn a_failing_program_tells_how_it_failed() {
    let world = World::new();
    world.refuses(
        "exec",
        json!({ "executable": "/bin/sh", "args": ["-c", "echo because >&2; exit 3"] }),
        "`/bin/sh` failed: exit status 3",
        "it said: because",
    );
    world.refuses(
        "exec",
        json!({ "executable": "no-such-program" }),
        "there is no program `no-such-program`",
        "give its absolute path, or a derivation's: \"${pkgs.hello}/bin/hello\"",
    );
    world.refuses(
        "exec",
        json!({ "executable": "printf", "args": ["ab\\377"] }),
        "`printf` wrote something that is not UTF-8 text, at byte 2",
        "let it encode its output, e.g. with base64",
    );
    world.refuses(
        "exec",
        json!({ "executable": "sleep", "args": ["60"], "timeoutSeconds": 1 }),
        "the program did not end within 1 s",
        "raise `timeoutSeconds`",
    );
    world.refuses(
        "exec",
        json!({ "executable": "true", "always": true, "once": true }),
        "`always` and `once` contradict each other",
        "drop one of them",
    );
}

#[test]
fn output_of_a_program_that_was_given_a_secret_is_a_secret() {
    let world = World::new();
    let mut inputs = attrs(json!({ "executable": "cat" }));
    inputs.insert("stdin".into(), Value::from("canary").into_sensitive());
    let made = world.try_create("exec", inputs.clone()).unwrap();
    assert_eq!(shown(&made.outputs)["stdout"], json!({ "$freehold": "sensitive" }));
    inputs.insert("sensitiveOutput".into(), false.into());
    // Who says that it is none is shown it, but for what it was given.
    let made = world.try_create("exec", inputs.clone()).unwrap();
    assert_eq!(shown(&made.outputs)["stdout"], json!({ "$freehold": "sensitive" }));
    inputs.insert("executable".into(), "wc".into());
    inputs.insert("args".into(), Value::List(vec!["-c".into()]));
    assert_eq!(shown(&world.try_create("exec", inputs).unwrap().outputs)["stdout"], "6\n");
}

#[test]
fn a_secret_is_no_argument_and_what_is_said_of_it_is_not_passed_on() {
    let world = World::new();
    let secret = || Value::from("canary").into_sensitive();
    for (name, at) in [("args", "args/1"), ("onDelete", "onDelete/1")] {
        let mut inputs = attrs(json!({ "executable": "true" }));
        inputs.insert(name.into(), Value::List(vec!["true".into(), secret()]));
        let error = world.try_create("exec", inputs).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{at}` is a secret")), "{error}");
        assert_eq!(error.hint().as_deref(), Some("hand it over with `stdin` or `env`"));
    }
    let mut inputs = attrs(json!({ "executable": "sh", "args": ["-c", "echo it is $TOKEN >&2; exit 1"] }));
    inputs.insert("env".into(), Value::Map([("TOKEN".to_owned(), secret())].into()));
    let (told, events) = std::sync::mpsc::channel();
    let call = Call::Create { type_name: "exec".into(), inputs: inputs.clone(), stateful: true };
    world.pool.submit(&world.launch, call, Box::new(move |event| drop(told.send(format!("{event:?}")))));
    let heard: Vec<String> = events.iter().take_while(|e| !e.starts_with("Done")).collect();
    assert_eq!(heard, [""; 0]);
    let error = world.try_create("exec", inputs.clone()).unwrap_err();
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    assert!(error.hint().unwrap().contains("sensitiveOutput = false"));
    // Who says that it is none is shown it, but for what it was given.
    inputs.insert("sensitiveOutput".into(), false.into());
    assert_eq!(world.try_create("exec", inputs).unwrap_err().hint().as_deref(), Some("it said: it is (secret)"));
}

#[test]
fn a_program_is_undone_by_its_counterpart() {
    let world = World::new();
    let made = world.create(
        "exec",
        json!({ "executable": "sh", "args": ["-c", "touch made; printf made"], "onDelete": ["sh", "-c", "rm $(cat)"] }),
    );
    assert!(world.path("made").exists());
    world.delete("exec", &made);
    assert!(!world.path("made").exists());
}

#[test]
fn a_background_child_that_holds_the_pipe_does_not_hold_the_resource() {
    let world = World::new();
    let made = world.create("exec", json!({ "executable": "sh", "args": ["-c", "sleep 3600 & echo $!"] }));
    let pid = clear(&made.outputs, "stdout");
    // It is there still: nobody has waited for it.
    world.create("exec", json!({ "executable": "kill", "args": [pid.trim()] }));
}

#[test]
fn a_memo_keeps_its_first_value_and_its_secrecy() {
    let world = World::new();
    let made = world.create("memo", json!({ "initialize_with": { "a": [1, null] } }));
    assert_eq!(shown(&made.outputs), json!({ "value": { "a": [1, null] } }));
    assert_eq!(world.plan("memo", Some(&made), json!({ "initialize_with": 2 })).0, PlanAction::None);
    assert_eq!(world.update("memo", &made, json!({ "initialize_with": 2 })).outputs, made.outputs);
    let inputs = [("initialize_with".to_owned(), Value::from("canary").into_sensitive())].into();
    let made = world.try_create("memo", inputs).unwrap();
    assert_eq!(shown(&made.outputs), json!({ "value": { "$freehold": "sensitive" } }));
    let call =
        Call::Create { type_name: "memo".into(), inputs: attrs(json!({ "initialize_with": 1 })), stateful: false };
    assert_eq!(world.ask(call).unwrap_err().to_string(), "a memo without state would forget at once");
}

#[test]
fn random_values_stay_until_a_keeper_changes_or_they_are_rotated() {
    let world = World::new();
    let inputs = json!({ "bytes": 4, "keepers": { "generation": 1 } });
    let made = world.create("random", inputs.clone());
    assert_eq!(clear(&made.outputs, "hex").len(), 8);
    assert_eq!(world.plan("random", Some(&made), inputs).0, PlanAction::None);
    let (action, outputs, _) = world.plan("random", Some(&made), json!({ "bytes": 4, "keepers": { "generation": 2 } }));
    assert_eq!((action, &outputs["hex"]), (PlanAction::Replace, &unknown()));
    let run = |operation: &str| Call::Run {
        type_name: "random".into(),
        operation: operation.into(),
        args: Vec::new(),
        object: made.clone(),
    };
    let Ok(Reply::Ran { exit_code: 0, outputs: Some(rotated), .. }) = world.ask(run("rotate")) else { panic!() };
    assert_ne!(rotated["hex"], made.outputs["hex"]);
    let error = world.ask(run("rotat")).unwrap_err();
    assert_eq!(error.to_string(), "`random` has no operation `rotat`");
    assert_eq!(error.hint().as_deref(), Some("there are: rotate"));
    let secret = world.create("random", json!({ "secret": true }));
    assert_eq!(shown(&secret.outputs)["hex"], json!({ "$freehold": "sensitive" }));
}

#[test]
fn keys_have_the_form_that_their_programs_read() {
    let world = World::new();
    let ssh = world.create("ssh.keypair", json!({ "comment": "ada@example.org" }));
    assert_eq!(shown(&ssh.outputs)["privateKey"], json!({ "$freehold": "sensitive" }));
    assert!(clear(&ssh.outputs, "publicKey").starts_with("ssh-ed25519 AAAA"));
    assert!(clear(&ssh.outputs, "publicKey").ends_with(" ada@example.org"));
    let private = clear(&ssh.outputs, "privateKey");
    let read = ssh_key::PrivateKey::from_openssh(&private).unwrap();
    assert_eq!(read.public_key().to_openssh().unwrap(), clear(&ssh.outputs, "publicKey"));
    let renamed = world.update("ssh.keypair", &ssh, json!({ "comment": "eve" }));
    assert_eq!(renamed.outputs["fingerprint"], ssh.outputs["fingerprint"]);
    assert!(clear(&renamed.outputs, "publicKey").ends_with(" eve"));

    let age = world.create("age.keypair", json!({}));
    let identity: age::x25519::Identity = clear(&age.outputs, "privateKey").parse().unwrap();
    assert_eq!(identity.to_public().to_string(), clear(&age.outputs, "publicKey"));

    let nix = world.create("nix.keypair", json!({ "name": "cache.example.org-1" }));
    use base64::Engine;
    let decode = |name: &str| {
        let text = clear(&nix.outputs, name);
        let (key_name, key) = text.split_once(':').unwrap();
        assert_eq!(key_name, "cache.example.org-1");
        base64::engine::general_purpose::STANDARD.decode(key).unwrap()
    };
    let (public, private) = (decode("publicKey"), decode("privateKey"));
    let seed: [u8; 32] = private[..32].try_into().unwrap();
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
    assert_eq!((private.len(), pair.public.0.as_slice(), &private[32..]), (64, public.as_slice(), public.as_slice()));
    world.refuses(
        "nix.keypair",
        json!({ "name": "a:b" }),
        "`a:b` cannot be the name of a Nix key",
        "a name without colons and spaces: cache.example.org-1",
    );
    assert!(clear(&world.create("key", json!({ "kind": "age" })).outputs, "publicKey").starts_with("age1"));
    world.refuses("key", json!({ "kind": "nix" }), "a Nix key needs a `name`", "name = \"cache.example.org-1\";");
}

#[test]
fn passwords_uuids_and_times_are_made() {
    let world = World::new();
    let password = world.create("password", json!({ "length": 40 }));
    assert_eq!(shown(&password.outputs)["password"], json!({ "$freehold": "sensitive" }));
    assert_eq!(clear(&password.outputs, "password").len(), 40);
    let uuid = clear(&world.create("uuid", json!({})).outputs, "uuid");
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    let time = world.create("timestamp", json!({}));
    let unix = time.outputs["unix"].to_clear_json().as_i64().unwrap();
    let parsed: jiff::Timestamp = clear(&time.outputs, "rfc3339").parse().unwrap();
    assert_eq!(parsed.as_second(), unix);
    assert!((jiff::Timestamp::now().as_second() - unix).abs() < 60);
}

#[test]
fn a_state_file_appends_only_what_follows_what_was_read() {
    let world = World::new();
    let holder = world.create("state_file", json!({ "path": "held.state" }));
    let type_name = || "state_file".to_owned();
    let read = || match world.ask(Call::StateRead { type_name: type_name(), object: holder.clone() }) {
        Ok(Reply::State { text, version }) => (text, version),
        other => panic!("{other:?}"),
    };
    let append = |version: &str, line: &str, fence: u64| {
        world.ask(Call::StateAppend {
            type_name: type_name(),
            object: holder.clone(),
            expected_version: version.into(),
            lines: vec![line.into()],
            fence,
        })
    };
    let (text, empty) = read();
    assert_eq!(text, "");
    let Ok(Reply::Appended { version: first }) = append(&empty, "{\"a\":1}", 0) else { panic!() };
    let error = append(&empty, "{\"b\":1}", 0).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Config, "the state has moved on since it was read")
    );
    append(&first, "{\"c\":1}", 0).unwrap();
    assert_eq!(read().0, "{\"a\":1}\n{\"c\":1}\n");

    let lock_of = |owner: serde_json::Value, token: Option<String>| {
        let (object, lease) = (holder.clone(), Duration::from_secs(60));
        world.ask(Call::StateLock { type_name: type_name(), object, owner, lease, token })
    };
    let lock = |token: Option<String>| lock_of(json!({ "user": "ada" }), token);
    // Who was killed on this machine holds nothing.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    for pid in [ended.id(), std::process::id()] {
        assert!(lock_of(json!({ "host": host, "pid": pid, "machine": "boot pid:[1]" }), None).is_ok());
    }
    let alive = lock_of(json!({ "host": host, "pid": ended.id(), "machine": "boot pid:[1]" }), None);
    let alive = alive.unwrap_err().to_string();
    assert!(alive.starts_with("the state is locked by"), "{alive}");
    world.ask(Call::StateUnlock { type_name: type_name(), object: holder.clone(), token: None }).unwrap();
    let Ok(Reply::Locked { token, fence }) = lock(None) else { panic!() };
    assert_eq!(lock(None).unwrap_err().to_string(), "the state is locked by {\"user\":\"ada\"}");
    assert_eq!(lock(Some(token.clone())).unwrap(), Reply::Locked { token: token.clone(), fence });
    let stale = append(&read().1, "{\"d\":1}", fence - 1).unwrap_err();
    assert_eq!(stale.to_string(), format!("the state has been locked by somebody else since (fence {fence})"));
    append(&read().1, "{\"e\":1}", fence).unwrap();
    let unlock = |token: Option<&str>| {
        let token = token.map(str::to_owned);
        world.ask(Call::StateUnlock { type_name: type_name(), object: holder.clone(), token })
    };
    assert_eq!(unlock(Some("not it")).unwrap_err().to_string(), "the lock is held by somebody else");
    assert_eq!(unlock(Some(&token)).unwrap(), Reply::Unlocked);
    let Ok(Reply::Locked { fence: later, .. }) = lock(None) else { panic!() };
    assert!(later > fence);
    assert_eq!(unlock(None).unwrap(), Reply::Unlocked);
    assert!(append(&read().1, "{\"g\":1}", later).is_err(), "its lock was broken");
    let Ok(Reply::Locked { fence: later, .. }) = lock(None) else { panic!() };

    // What was put in its place is noticed although it is as long.
    let before = read();
    fs_err::write(world.path("held.state"), before.0.replace("\"e\"", "\"f\"")).unwrap();
    assert!(append(&before.1, "{}", later).is_err());
    world.delete("state_file", &holder);
    assert_eq!(fs_err::read_dir(world.dir.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_of_another_container_with_the_name_of_this_host_is_not_taken() {
    let world = World::new();
    let object = world.create("state_file", json!({ "path": "held.state" }));
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let lock = |machine: &str| {
        let owner = json!({ "host": "web", "pid": ended.id(), "machine": machine });
        let lease = Duration::from_secs(60);
        let (type_name, object) = ("state_file".to_owned(), object.clone());
        world.ask(Call::StateLock { type_name, object, owner, lease, token: None })
    };
    // Whether its processes live cannot be told from there.
    lock("boot pid:[2]").unwrap();
    for machine in ["boot pid:[1]", ""] {
        assert!(lock(machine).unwrap_err().to_string().starts_with("the state is locked by"), "{machine}");
    }
    assert!(lock("boot pid:[2]").is_ok(), "it is dead, and was on this very machine");
}

#[test]
fn a_state_file_that_lost_what_it_held_is_no_empty_one() {
    let world = World::new();
    let make = || world.create("state_file", json!({ "path": "held.state" }));
    let holder = make();
    let type_name = || "state_file".to_owned();
    let read = || world.ask(Call::StateRead { type_name: type_name(), object: holder.clone() });
    let Ok(Reply::State { version: expected_version, .. }) = read() else { panic!() };
    let (object, lines) = (holder.clone(), vec!["{}".to_owned()]);
    let append = Call::StateAppend { type_name: type_name(), object, expected_version, lines, fence: 0 };
    world.ask(append).unwrap();
    fs_err::write(world.path("held.state"), "\n").unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.ends_with("held.state` is empty, and state was kept in it"), "{error}");
    // Made anew, it begins anew.
    fs_err::remove_file(world.path("held.state")).unwrap();
    make();
    assert!(matches!(read(), Ok(Reply::State { text, .. }) if text.is_empty()));
}

#[test]
fn a_state_file_that_is_there_is_taken_over_unless_it_is_something_else() {
    let world = World::new();
    let nixops4 = "{\n  \"index\": 0,\n  \"meta\": {},\n  \"patch\": []\n}\n";
    fs_err::write(world.path("old.json"), nixops4).unwrap();
    let holder = world.create("state_file", json!({ "name": "old.json" }));
    let reply = world.ask(Call::StateRead { type_name: "state_file".into(), object: holder });
    assert!(matches!(reply, Ok(Reply::State { text, .. }) if text == nixops4));
    fs_err::write(world.path("letter"), "Dear Ada").unwrap();
    fs_err::write(world.path("package.json"), "{ \"name\": \"shop\" }").unwrap();
    for path in ["letter", "package.json"] {
        let error = world.try_create("state_file", attrs(json!({ "path": path }))).unwrap_err();
        assert!(error.to_string().ends_with(&format!("{path}` exists and holds no state")), "{error}");
    }
}

/// A server that answers `503` until it has been asked `refusals` times.
fn server(refusals: usize) -> (std::net::SocketAddr, std::thread::JoinHandle<usize>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        for asked in 0.. {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let status = if asked < refusals { "503 Busy" } else { "200 OK" };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nready").unwrap();
            if asked == refusals {
                return asked + 1;
            }
        }
        0
    });
    (address, serving)
}

#[test]
fn an_http_gate_waits_until_the_answer_is_right() {
    let world = World::new();
    let (address, serving) = server(2);
    let made = world.create("http", json!({ "url": format!("http://{address}/health"), "expectBody": "ready" }));
    assert_eq!(shown(&made.outputs), json!({ "status": 200, "body": "ready" }));
    assert_eq!(serving.join().unwrap(), 3);
}

#[test]
fn an_http_gate_that_does_not_open_says_what_it_saw_last() {
    let world = World::new();
    let (address, serving) = server(0);
    let url = format!("http://{address}/");
    world.refuses(
        "http",
        // A pause that no second try comes after; the first one may take its time.
        json!({ "url": url, "expectStatus": [204], "timeoutSeconds": 60, "intervalSeconds": 120 }),
        &format!("`{url}` did not answer as expected within 60 s (1 try); last: status 200"),
        "see whether the service is up; `timeoutSeconds` says how long to wait",
    );
    serving.join().unwrap();
    let error = world.try_create("http", attrs(json!({ "url": "not an address" }))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
}

#[test]
fn a_cancelled_program_is_stopped() {
    let world = World::new();
    let inputs = attrs(json!({ "executable": "sh", "args": ["-c", "echo started >&2; sleep 60"] }));
    let (told, events) = std::sync::mpsc::channel();
    let call = world.pool.submit(
        &world.launch,
        Call::Create { type_name: "exec".into(), inputs, stateful: true },
        Box::new(move |event| told.send(event).unwrap()),
    );
    assert!(matches!(events.recv().unwrap(), CallEvent::Log { message, .. } if message == "started"));
    world.pool.cancel(call);
    let CallEvent::Done(result) = events.recv().unwrap() else { panic!() };
    assert_eq!(result.unwrap_err().to_string(), "`create` was cancelled");
}

#[test]
fn every_type_has_a_description_and_working_examples() {
    let Ok(Reply::Schema(schema)) = World::new().ask(Call::Schema) else { panic!() };
    assert_eq!((schema.name.as_str(), schema.protocol, schema.types.len()), ("local", 1, 13));
    for (name, of) in &schema.types {
        assert!(!of.description.is_empty(), "{name}");
        for (input, property) in of.input_properties().chain(of.output_properties()) {
            let described = property.get("description").is_some() || property.get("$ref").is_some();
            assert!(described, "`{name}` does not describe `{input}`: {property}");
        }
        // A gate needs something to knock at.
        assert!(!of.examples.is_empty() || name == "http", "{name}");
        for example in &of.examples {
            let world = World::new();
            let made = world.create(name, json!(example.inputs));
            assert_eq!(world.plan(name, Some(&made), json!(example.inputs)).0, PlanAction::None, "{name}");
            world.delete(name, &made);
        }
    }
}

#[test]
fn a_file_whose_creation_was_interrupted_is_found_by_its_inputs_alone() {
    let world = World::new();
    let inputs = json!({ "path": "a/b", "contents": "hello\n" });
    let made = world.create("file", inputs.clone());
    let only_inputs = Object { inputs: attrs(inputs), ..Object::default() };
    assert_eq!(world.read("file", &only_inputs).as_ref(), Some(&made));
    world.delete("file", &only_inputs);
    assert!(!world.path("a/b").exists());
}
