//! The pool against providers that behave and against each way of misbehaving.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use freehold_model::{Attrs, ErrorKind, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::{Call, CallError, CallEvent, Launch, Object, Pool, PoolOptions, ProtocolChoice, Reply};
use serde_json::{Value as Json, json};

fn quick() -> PoolOptions {
    PoolOptions {
        start_timeout: Duration::from_secs(120),
        call_timeout: Duration::from_secs(60),
        stop_timeout: Duration::from_millis(500),
        ..PoolOptions::default()
    }
}

fn fixture() -> Launch {
    Launch::new("fixture", env!("CARGO_BIN_EXE_provider-fixture"))
}

/// A provider that is a shell script; `$hello` answers `initialize` and `configure`.
fn script(text: &str) -> Launch {
    let hello = r#"
        hello() {
            read -r line
            echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"provider":{"name":"s"}}}'
            read -r line
            echo '{"jsonrpc":"2.0","id":2,"result":{}}'
        }
    "#;
    let mut launch = Launch::new("script", "/bin/sh");
    launch.args = vec!["-c".into(), format!("{hello}\n{text}").into()];
    launch
}

fn attrs(json: Json) -> Attrs {
    match Value::from_json(json).unwrap() {
        Value::Map(attrs) => attrs,
        other => panic!("{other:?}"),
    }
}

fn create(inputs: Json) -> Call {
    Call::Create { type_name: "box".into(), inputs: attrs(inputs), stateful: true }
}

fn act(act: &str) -> Call {
    create(json!({ "act": act }))
}

fn submit(pool: &Pool, launch: &Launch, call: Call) -> (freehold_provider::CallId, mpsc::Receiver<CallEvent>) {
    let (told, events) = mpsc::channel();
    let id = pool.submit(launch, call, Box::new(move |event| drop(told.send(event))));
    (id, events)
}

fn done(events: &mpsc::Receiver<CallEvent>) -> Result<Reply, CallError> {
    loop {
        if let CallEvent::Done(result) = events.recv().unwrap() {
            return result;
        }
    }
}

#[track_caller]
fn fails(launch: &Launch, call: Call, message: &str, kind: ErrorKind) -> CallError {
    let error = Pool::new(quick()).call(launch, call).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (message, kind), "stderr: {}", error.stderr_tail());
    error
}

#[track_caller]
fn value(reply: Result<Reply, CallError>) -> Json {
    match reply {
        Ok(Reply::Object { outputs, .. }) => outputs["value"].to_clear_json(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_goes_there_and_back() {
    let pool = Pool::new(quick());
    let reply = pool.call(&fixture(), create(json!({ "act": "", "value": { "a": [1, "x", null] } })));
    assert_eq!(value(reply), json!({ "a": [1, "x", null] }));
    let Ok(Reply::Schema(schema)) = pool.call(&fixture(), Call::Schema) else { panic!() };
    assert_eq!((schema.name.as_str(), schema.version.as_str()), ("fixture", "1"));
    assert!(schema.types.contains_key("box"));
    // A literal attribute that looks like a mark stays what it is.
    let literal = [("act".to_owned(), "".into()), ("value".to_owned(), Value::Map(attrs(json!({ "$$freehold": 1 }))))];
    let reply = pool.call(&fixture(), Call::Create { type_name: "box".into(), inputs: literal.into(), stateful: true });
    assert_eq!(value(reply), json!({ "$$freehold": 1 }));
}

#[test]
fn secrets_reach_the_provider_and_come_back_as_secrets() {
    let pool = Pool::new(quick());
    let mut launch = fixture();
    launch.config = Value::Map(attrs(json!({ "token": "canary" })));
    launch.config.mark_sensitive(&freehold_model::Pointer::new(["token"])).unwrap();
    assert_eq!(value(pool.call(&launch, act("config"))), json!("canary"));
    let reply = pool.call(&launch, create(json!({ "act": "password", "password": "canary" }))).unwrap();
    assert!(!format!("{reply:?}").contains("canary"), "{reply:?}");
}

#[test]
fn requests_are_worked_on_side_by_side_in_one_process() {
    let pool = Pool::new(PoolOptions { processes: 1, ..quick() });
    let both = [submit(&pool, &fixture(), act("meet")), submit(&pool, &fixture(), act("meet"))];
    for (_, events) in &both {
        let Ok(Reply::Object { outputs, .. }) = done(events) else { panic!() };
        assert_eq!(outputs["value"].to_clear_json(), json!(2));
    }
}

#[test]
fn a_thousand_calls_all_come_back() {
    let pool = Pool::new(quick());
    let (told, results) = mpsc::channel();
    for n in 0..1000 {
        let told = told.clone();
        pool.submit(
            &fixture(),
            create(json!({ "act": "", "value": n })),
            Box::new(move |event| {
                if let CallEvent::Done(result) = event {
                    told.send((n, result)).unwrap();
                }
            }),
        );
    }
    drop(told);
    let mut count = 0;
    for (n, result) in results {
        assert_eq!(value(result), json!(n));
        count += 1;
    }
    assert_eq!(count, 1000);
}

#[test]
fn stray_prints_and_panics_do_not_break_the_protocol() {
    let pool = Pool::new(quick());
    assert_eq!(value(pool.call(&fixture(), create(json!({ "act": "print", "value": 1 })))), json!(1));
    let error = pool.call(&fixture(), act("panic")).unwrap_err();
    assert_eq!(error.to_string(), "the provider has a defect: a panic");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(value(pool.call(&fixture(), create(json!({ "act": "", "value": 2 })))), json!(2));
}

#[test]
fn a_failed_create_may_leave_something_and_says_so_at_once() {
    let pool = Pool::new(quick());
    let (_, events) = submit(&pool, &fixture(), act("half"));
    let CallEvent::Partial { outputs, private } = events.recv().unwrap() else { panic!() };
    assert_eq!(outputs["value"], Value::from("half"));
    assert_eq!(private.unwrap().expose(), &json!({ "note": 1 }));
    let CallEvent::Log { message, .. } = events.recv().unwrap() else { panic!() };
    assert_eq!(message, "half done");
    let error = done(&events).unwrap_err();
    assert_eq!((error.kind(), error.hint().as_deref()), (ErrorKind::Transient, Some("try again")));
    assert_eq!(error.partial().unwrap().outputs["value"], Value::from("half"));
}

#[test]
fn what_was_told_of_an_object_is_in_the_failure_that_follows_with_its_secrets_marked() {
    let pool = Pool::new(quick());
    for way in ["told", "told panic"] {
        let (_, events) = submit(&pool, &fixture(), act(way));
        // What it writes to standard error comes when it comes.
        let partial = |event| if let CallEvent::Partial { outputs, .. } = event { Some(outputs) } else { None };
        let outputs = events.iter().find_map(partial).unwrap();
        assert!(outputs["token"].has_sensitive(), "{outputs:?}");
        let error = done(&events).unwrap_err();
        let partial = error.partial().unwrap();
        assert_eq!((&partial.outputs, partial.private.as_ref().unwrap().expose()), (&outputs, &json!({ "note": 1 })));
    }
    // What is cancelled is undone: nothing is there.
    let (_, events) = submit(&pool, &fixture(), act("told cancelled"));
    assert_eq!(done(&events).unwrap_err().partial(), None);
}

#[test]
fn a_provider_that_dies_midway_fails_its_calls_and_is_started_again() {
    let pool = Pool::new(quick());
    let error = pool.call(&fixture(), act("exit talking")).unwrap_err();
    assert_eq!(error.to_string(), "provider `fixture` ended in the middle of `create` (exit status 7)");
    assert_eq!(error.stderr_tail(), "out of cheese\n");
    assert!(error.is_outcome_unknown());
    assert_eq!(value(pool.call(&fixture(), create(json!({ "act": "", "value": 1 })))), json!(1));
}

#[test]
fn a_call_that_takes_too_long_is_asked_to_stop_and_then_killed() {
    let pool = Pool::new(quick());
    for way in ["wait", "hang"] {
        let started = Instant::now();
        let request = freehold_provider::Request::from(act(way)).within(Duration::from_millis(300));
        let error = pool.call(&fixture(), request).unwrap_err();
        assert_eq!(error.to_string(), "provider `fixture` did not finish `create` within 0.3 s");
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(started.elapsed() < Duration::from_secs(120));
    }
}

#[test]
fn a_call_can_be_cancelled_before_and_after_it_is_sent() {
    let pool = Pool::new(PoolOptions { processes: 1, concurrency: 1, ..quick() });
    let (running, running_events) = submit(&pool, &fixture(), act("wait"));
    let CallEvent::Progress { fraction, .. } = running_events.recv().unwrap() else { panic!() };
    assert_eq!(fraction, Some(0.5));
    let (waiting, waiting_events) = submit(&pool, &fixture(), act("wait"));
    pool.cancel(waiting);
    assert!(matches!(done(&waiting_events), Err(CallError::Cancelled { sent: false, .. })));
    pool.cancel(running);
    assert!(matches!(done(&running_events), Err(CallError::Cancelled { sent: true, .. })));
}

#[test]
fn everything_can_be_killed_at_once() {
    let pool = Pool::new(quick());
    let (_, events) = submit(&pool, &fixture(), act("hang"));
    assert!(matches!(events.recv().unwrap(), CallEvent::Progress { .. }));
    pool.kill_all();
    let error = done(&events).unwrap_err();
    assert!(matches!(error, CallError::Killed { .. }), "{error}");
}

#[test]
fn a_shut_down_pool_answers_that_it_is() {
    let pool = Pool::new(quick());
    let (_, events) = submit(&pool, &fixture(), act("hang"));
    assert!(matches!(events.recv().unwrap(), CallEvent::Progress { .. }));
    pool.shutdown();
    assert!(matches!(done(&events), Err(CallError::Killed { .. })));
    assert!(matches!(pool.call(&fixture(), Call::Schema), Err(CallError::PoolClosed)));
}

#[test]
fn an_idle_provider_is_let_go_and_ends_with_its_input() {
    let pool = Pool::new(PoolOptions { idle_timeout: Duration::from_millis(50), ..quick() });
    let dir = tempfile::tempdir().unwrap();
    let mut launch = script("hello; cat > /dev/null; touch ended");
    launch.cwd = Some(dir.path().to_owned());
    let (_, events) = submit(&pool, &launch, Call::Schema);
    // It answers nothing: it has to be let go by the shutdown instead.
    drop(pool);
    assert!(matches!(
        done(&events),
        Err(CallError::PoolClosed | CallError::Killed { .. } | CallError::DiedMidway { .. })
    ));

    let pool = Pool::new(PoolOptions { idle_timeout: Duration::from_millis(50), ..quick() });
    let reply = r#"read -r line; id=${line#*\"id\":}; echo '{"jsonrpc":"2.0","id":3,"result":{"types":{}}}'"#;
    let mut launch = script(&format!("hello; {reply}; cat > /dev/null; touch idle"));
    launch.cwd = Some(dir.path().to_owned());
    assert!(pool.call(&launch, Call::Schema).is_ok());
    wait_for(&dir.path().join("idle"));
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "`{}` does not come", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn providers_run_where_the_deployment_is_with_the_environment_they_may_see() {
    let dir = tempfile::tempdir().unwrap();
    let mut launch = fixture();
    launch.cwd = Some(dir.path().to_owned());
    assert_eq!(value(Pool::new(quick()).call(&launch, act("where"))), json!(dir.path()));
    let mut launch = script("env > seeing; mv seeing seen; hello; cat > /dev/null");
    launch.cwd = Some(dir.path().to_owned());
    launch.env.keep = Some(vec!["PATH".into()]);
    launch.env.set = [("GREETING".to_owned(), "hello".to_owned())].into();
    let pool = Pool::new(quick());
    let (_, _events) = submit(&pool, &launch, Call::Schema);
    wait_for(&dir.path().join("seen"));
    drop(pool);
    let seen = fs_err::read_to_string(dir.path().join("seen")).unwrap();
    assert!(seen.contains("GREETING=hello") && seen.contains("PATH=") && !seen.contains("HOME="), "{seen}");
}

#[test]
fn a_provider_that_is_missing_or_may_not_run_is_told() {
    let error = fails(
        &Launch::new("x", "/no/such/provider"),
        Call::Schema,
        "cannot start provider `x` (`/no/such/provider`)",
        ErrorKind::Config,
    );
    assert!(error.hint().unwrap().starts_with("there is no program `/no/such/provider`"));
    let error = fails(
        &Launch::new("x", "/etc/passwd"),
        Call::Schema,
        "cannot start provider `x` (`/etc/passwd`)",
        ErrorKind::Host,
    );
    assert_eq!(error.hint().as_deref(), Some("make it executable: chmod +x /etc/passwd"));
}

#[test]
fn a_provider_that_exits_early_is_told_with_its_last_words() {
    let error = fails(
        &script("echo no licence >&2; exit 3"),
        act(""),
        "provider `script` ended before it said anything (exit status 3)",
        ErrorKind::Config,
    );
    assert_eq!(error.stderr_tail(), "no licence\n");
    fails(
        &script("kill -9 $$"),
        act(""),
        "provider `script` ended before it said anything (killed by signal 9)",
        ErrorKind::Config,
    );
}

#[test]
fn a_provider_that_does_not_answer_is_given_up() {
    let pool = Pool::new(PoolOptions { start_timeout: Duration::from_millis(300), ..quick() });
    let error = pool.call(&script("exec sleep 600"), act("")).unwrap_err();
    assert_eq!(error.to_string(), "provider `script` did not answer `initialize` within 0.3 s");
}

#[test]
fn rubbish_on_standard_output_is_shown() {
    fails(
        &script("echo Loading modules...; exec sleep 600"),
        act(""),
        "provider `script` wrote something that is not a message: `Loading modules...`",
        ErrorKind::Internal,
    );
    fails(
        &script("hello; read -r line; echo '{\"half\":'; exec sleep 600"),
        act(""),
        "provider `script` wrote something that is not a message: 8 bytes of JSON, not shown for the secrets that may be in them; it breaks off",
        ErrorKind::Internal,
    );
}

#[test]
fn an_answer_to_a_request_that_was_not_asked_is_told() {
    fails(
        &script("hello; read -r line; echo '{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}'; exec sleep 600"),
        act(""),
        "provider `script` answered request 77, which it was not asked",
        ErrorKind::Internal,
    );
}

#[test]
fn answers_in_another_order_reach_their_questions() {
    let pool = Pool::new(PoolOptions { processes: 1, ..quick() });
    let launch = script(
        r#"hello; read -r a; read -r b
        echo '{"jsonrpc":"2.0","id":4,"result":{"outputs":{"value":{"value":2}}}}'
        echo '{"jsonrpc":"2.0","id":3,"result":{"outputs":{"value":{"value":1}}}}'
        cat > /dev/null"#,
    );
    let (_, first) = submit(&pool, &launch, act(""));
    let (_, second) = submit(&pool, &launch, act(""));
    assert_eq!((value(done(&first)), value(done(&second))), (json!(1), json!(2)));
}

#[test]
fn a_result_of_the_wrong_shape_is_told() {
    let error = fails(
        &script("hello; read -r line; echo '{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[]}'; cat > /dev/null"),
        act(""),
        "provider `script` answered `create` with a result of the wrong shape",
        ErrorKind::Internal,
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_line_without_end_is_cut_off() {
    let pool = Pool::new(PoolOptions { message_bytes: 10_000, ..quick() });
    let error = pool.call(&script("hello; head -c 20000 /dev/zero | tr '\\0' x; exec sleep 600"), act("")).unwrap_err();
    assert_eq!(error.to_string(), "provider `script` wrote a line of more than 10000 bytes");
}

#[test]
fn a_provider_that_closes_its_pipes_and_stays_is_killed() {
    let error = Pool::new(quick()).call(&script("hello; exec >&- 2>&- <&-; sleep 600"), act("")).unwrap_err();
    assert!(matches!(error, CallError::DiedMidway { .. }), "{error}");
}

#[test]
fn a_provider_that_does_not_read_a_large_request_does_not_break_the_pool() {
    let pool = Pool::new(quick());
    let large = "x".repeat(1 << 20);
    let takes_a_byte = script("hello; head -c 1 >&2; exit 0");
    let error = pool.call(&takes_a_byte, create(json!({ "act": "", "value": large }))).unwrap_err();
    assert!(matches!(error, CallError::DiedMidway { .. }), "{error}");
    assert_eq!(value(pool.call(&fixture(), create(json!({ "act": "", "value": large })))), json!(large));
}

#[test]
fn a_secret_that_a_provider_was_given_is_taken_out_of_what_it_says() {
    let secret = Value::from("canary-4711").into_sensitive();
    let create = || {
        let inputs = [("password".to_owned(), secret.clone())].into();
        Call::Create { type_name: "db".into(), inputs, stateful: false }
    };
    let said = [
        r#"echo '{"jsonrpc":"2.0","id":'$id',"error":{"code":1,"message":"no canary-4711","data":{"kind":"user","hint":"not canary-4711"}}}'"#,
        "echo canary-4711; sleep 600",
        "echo 'bad canary-4711' >&2; exit 3",
    ];
    for saying in said {
        let provider = script(&format!(
            r#"hello; read -r line; id=$(printf '%s' "$line" | sed 's/.*"id":\([0-9]*\).*/\1/'); {saying}; cat > /dev/null"#
        ));
        let error = Pool::new(quick()).call(&provider, create()).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.hint());
        assert!(!shown.contains("canary") && shown.contains("(secret)"), "{shown}");
    }
}

#[test]
fn a_secret_is_taken_out_wherever_what_is_shown_is_cut() {
    let secret = format!("canary{}", "4711".repeat(1500));
    let provider = |saying: &str| script(&format!("hello; read -r line; {saying}; cat > /dev/null"));
    let said = [
        // Across the end of what is shown of a line; longer than all that is shown; with a control character in it.
        (Value::from("canary-4711"), "printf 'x%.0s' $(seq 153); echo canary-4711; sleep 600"),
        (Value::from(secret.as_str()), "printf canary; printf '4711%.0s' $(seq 1500); echo; sleep 600"),
        (Value::from("canary\t4711"), "printf 'canary\\t4711\\n'; sleep 600"),
        // Across the beginning of what is kept of its standard error.
        (Value::from("canary-4711"), "{ echo canary-4711; head -c 65530 /dev/zero | tr '\\0' x; echo; } >&2; exit 3"),
    ];
    for (secret, saying) in said {
        let inputs = [("password".to_owned(), secret.into_sensitive())].into();
        let create = Call::Create { type_name: "db".into(), inputs, stateful: false };
        let error = Pool::new(quick()).call(&provider(saying), create).unwrap_err();
        let shown = format!("{error} {:?}", error.stderr_tail());
        assert!(!shown.contains("canary") && !shown.contains("4711") && !shown.contains("711"), "{saying}: {shown}");
    }
}

#[test]
fn a_refused_configuration_fails_every_call() {
    let refuse = r#"read -r line
        echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"provider":{"name":"s"}}}'
        read -r line
        echo '{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"no such region","data":{"kind":"config","hint":"try eu"}}}'
        cat > /dev/null"#;
    let error = fails(
        &script(refuse),
        act(""),
        "provider `script` refuses its configuration: no such region",
        ErrorKind::Config,
    );
    assert_eq!(error.hint().as_deref(), Some("try eu"));
    let other = r#"read -r line
        echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":9,"provider":{"name":"s"}}}'
        cat > /dev/null"#;
    fails(
        &script(other),
        act(""),
        "provider `script` wants protocol version 9; this program speaks 1 and 0",
        ErrorKind::Config,
    );
}

// ---- protocol v0 ------------------------------------------------------------------------------------------------

/// A NixOps4 provider: one request, one response; a line that it does not know ends it (without complaint, or with).
fn v0(on_unknown: &str) -> Launch {
    script(&format!(
        r#"read -r line
        case "$line" in
            '{{"createResourceRequest"'*fail*) echo '{{"errorResponse":{{"message":"it failed"}}}}' ;;
            '{{"createResourceRequest"'*) echo "$line" >> requests
                echo '{{"createResourceResponse":{{"outputProperties":{{"value":"made"}}}}}}' ;;
            '{{"updateResourceRequest"'*) echo "$line" >> requests
                echo '{{"updateResourceResponse":{{"outputProperties":{{"value":"changed"}}}}}}' ;;
            '{{"stateResourceReadRequest"'*) echo '{{"stateResourceReadResponse":{{"state":{{"resources":{{}}}}}}}}' ;;
            '{{"stateResourceEvent"'*) echo "$line" >> requests; echo '{{"stateResourceEventResponse":{{}}}}' ;;
            *) {on_unknown} ;;
        esac"#
    ))
}

#[test]
fn a_nixops4_provider_is_recognised_and_spoken_to_in_its_own_way() {
    for (on_unknown, protocol) in [
        ("exit 0", ProtocolChoice::Auto),
        ("echo '{\"errorResponse\":{\"message\":\"what?\"}}'", ProtocolChoice::Auto),
        ("exit 1", ProtocolChoice::V0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut launch = v0(on_unknown);
        launch.protocol = protocol;
        launch.cwd = Some(dir.path().to_owned());
        let pool = Pool::new(quick());
        let inputs = json!({ "path": "x" });
        assert_eq!(value(pool.call(&launch, create(inputs.clone()))), json!("made"));
        let prior = Object { inputs: attrs(inputs.clone()), outputs: attrs(json!({ "value": "made" })), private: None };
        let update =
            Call::Update { type_name: "box".into(), prior: prior.clone(), inputs: attrs(json!({ "path": "y" })) };
        assert_eq!(value(pool.call(&launch, update)), json!("changed"));
        let plan = |inputs: Json| {
            let prior = Some(prior.clone());
            let call = Call::Plan { type_name: "box".into(), prior, inputs: attrs(inputs), replace: false };
            match pool.call(&launch, call) {
                Ok(Reply::Plan { action, .. }) => action,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((plan(inputs), plan(json!({ "path": "y" }))), (PlanAction::None, PlanAction::Update));
        let object = prior.clone();
        let read = pool.call(&launch, Call::StateRead { type_name: "box".into(), object: object.clone() }).unwrap();
        assert!(matches!(read, Reply::StateDocument(state) if state.expose() == &json!({ "resources": {} })));
        let patch = freehold_model::Sensitive::new(json!([]));
        let event = Call::StateEvent { type_name: "box".into(), object, event: "create".into(), patch };
        pool.call(&launch, event).unwrap();
        let requests = fs_err::read_to_string(dir.path().join("requests")).unwrap();
        let mut lines = requests.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        assert_eq!(
            lines.next().unwrap(),
            json!({ "createResourceRequest": { "type": "box", "inputProperties": { "path": "x" }, "isStateful": true } })
        );
        assert_eq!(
            lines.next().unwrap(),
            json!({ "updateResourceRequest": {
                "resource": { "type": "box", "inputProperties": { "path": "x" }, "outputProperties": { "value": "made" } },
                "inputProperties": { "path": "y" },
            } })
        );
        let event = lines.next().unwrap();
        assert_eq!(event["stateResourceEvent"]["patch"], json!([]));
    }
}

#[test]
fn the_answer_of_a_provider_that_has_ended_is_read_to_its_end() {
    let mut launch = script(
        r#"read -r line; printf '{"createResourceResponse":{"outputProperties":{"value":['
        head -c 8000000 /dev/zero | sed 's/\x00/0,/g'; printf '0]}}}\n'"#,
    );
    launch.protocol = ProtocolChoice::V0;
    let made = value(Pool::new(quick()).call(&launch, create(json!({}))));
    assert_eq!(made.as_array().unwrap().len(), 8_000_001);
}

#[test]
fn a_program_that_says_nothing_and_ends_is_no_provider_of_protocol_v0() {
    let launch = Launch::new("true", "/bin/true");
    let pool = Pool::new(quick());
    for _ in 0..2 {
        let error = pool.call(&launch, act("")).unwrap_err();
        assert!(matches!(error, CallError::ExitedEarly { .. }) && !error.is_outcome_unknown(), "{error}");
        assert!(error.hint().unwrap().starts_with("run `"));
    }
}

#[test]
fn what_protocol_v0_cannot_do_is_refused_before_anything_is_started() {
    let mut launch = v0("exit 1");
    launch.protocol = ProtocolChoice::V0;
    let delete = Call::Delete { type_name: "box".into(), object: Object::default() };
    let error = fails(&launch, delete, "provider `script` speaks protocol v0, which has no `delete`", ErrorKind::User);
    assert!(error.hint().unwrap().contains("--forget"));
    fails(&launch, create(json!({ "x": "fail" })), "it failed", ErrorKind::User);
    launch.program = "/bin/true".into();
    launch.args.clear();
    let error = Pool::new(quick()).call(&launch, act("")).unwrap_err();
    assert!(matches!(error, CallError::DiedMidway { .. }), "{error}");
}
