//! Every message has a schema and an example, the example obeys the schema and survives our types, and the published
//! schemas are those of the types.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::{Path, PathBuf};

use freehold_protocol::v1::{self, Message, names, notices, parse_message};
use freehold_protocol::{TypeSchema, events, schemas, v0};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn example(name: &str) -> Json {
    let text = fs_err::read_to_string(directory("examples").join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn lines(name: &str) -> Vec<String> {
    let text = fs_err::read_to_string(directory("examples").join(name)).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn obeys(schema: &str, example: &Json) {
    let validator = jsonschema::validator_for(&schemas()[schema]).unwrap();
    let errors: Vec<String> = validator.iter_errors(example).map(|e| format!("{}: {e}", e.instance_path)).collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}\n{example:#}");
}

/// Reads the example as `T` and writes it again: nothing may be lost.
#[track_caller]
fn survives<T: Serialize + DeserializeOwned>(json: &Json) {
    let read: T = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(&serde_json::to_value(read).unwrap(), json);
}

#[test]
fn every_schema_has_an_example_that_obeys_it() {
    for name in schemas().keys() {
        obeys(name, &example(name));
    }
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    let mut published: Vec<String> = fs_err::read_dir(directory("schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".json", ""))
        .collect();
    published.sort();
    assert_eq!(published, schemas().keys().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (name, schema) in schemas() {
        let text = fs_err::read_to_string(directory("schemas").join(format!("{name}.json"))).unwrap();
        assert!(
            text == format!("{schema:#}\n"),
            "`{name}.json` is stale: cargo run -p freehold-protocol --example write-schemas"
        );
    }
}

#[test]
fn every_method_and_notification_has_its_schemas() {
    let schemas = schemas();
    for method in names::REQUESTS {
        let name = method.replace('/', "-");
        for part in ["params", "result"] {
            assert!(schemas.contains_key(format!("v1.{name}.{part}").as_str()), "{method} {part}");
        }
    }
    for notice in [names::CANCEL, notices::PROGRESS, notices::LOG, notices::PARTIAL, notices::OUTPUT] {
        assert!(schemas.contains_key(format!("v1.{notice}.notification").as_str()), "{notice}");
    }
}

#[test]
fn nothing_of_an_example_is_lost_in_our_types() {
    survives::<TypeSchema>(&example("v1.type-schema"));
    survives::<v1::ErrorObject>(&example("v1.error"));
    survives::<v1::InitializeParams>(&example("v1.initialize.params"));
    survives::<v1::InitializeResult>(&example("v1.initialize.result"));
    survives::<v1::SchemaResult>(&example("v1.schema.result"));
    survives::<v1::ConfigureParams>(&example("v1.configure.params"));
    survives::<v1::ValidateParams>(&example("v1.validate.params"));
    survives::<v1::ValidateResult>(&example("v1.validate.result"));
    survives::<v1::PlanParams>(&example("v1.plan.params"));
    survives::<v1::PlanResult>(&example("v1.plan.result"));
    survives::<v1::CreateParams>(&example("v1.create.params"));
    survives::<v1::ObjectResult>(&example("v1.create.result"));
    survives::<v1::ObjectParams>(&example("v1.read.params"));
    survives::<v1::ReadResult>(&example("v1.read.result"));
    survives::<v1::UpdateParams>(&example("v1.update.params"));
    survives::<v1::ObjectResult>(&example("v1.update.result"));
    survives::<v1::ObjectParams>(&example("v1.delete.params"));
    survives::<v1::ImportParams>(&example("v1.import.params"));
    survives::<v1::ImportResult>(&example("v1.import.result"));
    survives::<v1::RunParams>(&example("v1.operations-run.params"));
    survives::<v1::RunResult>(&example("v1.operations-run.result"));
    survives::<v1::StateReadResult>(&example("v1.state-read.result"));
    survives::<v1::StateAppendParams>(&example("v1.state-append.params"));
    survives::<v1::StateAppendResult>(&example("v1.state-append.result"));
    survives::<v1::StateLockParams>(&example("v1.state-lock.params"));
    survives::<v1::StateLockResult>(&example("v1.state-lock.result"));
    survives::<v1::StateUnlockParams>(&example("v1.state-unlock.params"));
    survives::<v1::CancelParams>(&example("v1.cancel.notification"));
    survives::<v1::ProgressParams>(&example("v1.progress.notification"));
    survives::<v1::LogParams>(&example("v1.log.notification"));
    survives::<v1::PartialParams>(&example("v1.partial.notification"));
    survives::<v1::OutputParams>(&example("v1.output.notification"));
}

#[test]
fn the_example_conversation_can_be_read_and_obeys_the_schemas() {
    for line in lines("v1.conversation.jsonl") {
        match parse_message(line.as_bytes()).unwrap() {
            Message::Request { method, params, .. } => {
                obeys(&format!("v1.{}.params", method.replace('/', "-")), &params);
            }
            Message::Notification { method, params } => obeys(&format!("v1.{method}.notification"), &params),
            Message::Response { outcome: Err(error), .. } => {
                obeys("v1.error", &serde_json::to_value(error).unwrap());
            }
            Message::Response { .. } => {}
        }
    }
}

#[test]
fn every_message_of_protocol_v0_has_an_example() {
    let requests = lines("v0.requests.jsonl");
    assert_eq!(requests.len(), 4);
    for line in requests {
        let json: Json = serde_json::from_str(&line).unwrap();
        obeys("v0.request", &json);
        survives::<v0::Request>(&json);
    }
    let responses = lines("v0.responses.jsonl");
    assert_eq!(responses.len(), 5);
    for line in responses {
        let json: Json = serde_json::from_str(&line).unwrap();
        obeys("v0.response", &json);
        let read = v0::parse_response(line.as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json);
    }
}

#[test]
fn every_event_has_an_example_and_the_summary_comes_last() {
    let lines = lines("events.jsonl");
    let mut types = Vec::new();
    for line in &lines {
        let json: Json = serde_json::from_str(line).unwrap();
        obeys("events.event", &json);
        survives::<events::Event>(&json);
        types.push(json["type"].as_str().unwrap().to_owned());
    }
    assert_eq!((types.first().unwrap().as_str(), types.last().unwrap().as_str()), ("version", "summary"));
    types.sort();
    types.dedup();
    // One per variant of the type, as its schema lists them.
    assert_eq!(types.len(), schemas()["events.event"]["oneOf"].as_array().unwrap().len());
}
