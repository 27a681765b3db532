//! What is published holds what the code says: the reference page names every word, and the schemas take what the code writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::Path;

use freehold_rollout::{Alert, Exec, Exit, Gate, Http, Outcome, Release, Settings, Stage, Tcp, schemas};
use serde_json::{Value as Json, json};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/rollout.md");
    std::fs::read_to_string(path).unwrap()
}

fn full_gate() -> Gate {
    let http = Http {
        path: Some("/health".to_owned()),
        port: Some(8080),
        url: Some("https://a.example/".to_owned()),
        body_matches: Some("ok".to_owned()),
        host: Some("a.example".to_owned()),
        tls_name: Some("a.example".to_owned()),
        ..Http::default()
    };
    let exec = Exec { command: vec!["true".to_owned()] };
    Gate { http: Some(http), tcp: Some(Tcp { port: Some(25), ..Tcp::default() }), exec: Some(exec), ..Gate::default() }
}

#[test]
fn the_page_has_a_row_for_every_word_with_its_exit_code() {
    let page = page();
    for outcome in Outcome::ALL {
        let codes: Vec<String> = [true, false].map(|touched| outcome.exit(touched, false).code().to_string()).to_vec();
        let codes = if codes[0] == codes[1] { codes[0].clone() } else { codes.join(" or ") };
        let row = format!("| `{outcome}` | {codes} |");
        assert!(page.contains(&row), "no row begins with {row}");
    }
    for exit in [Exit::Well, Exit::NotDone, Exit::Changed, Exit::Unwell, Exit::Held] {
        assert!(page.contains(&format!("\n| {} | ", exit.code())), "no row for exit code {}", exit.code());
    }
}

#[test]
fn the_page_has_a_row_for_every_stage() {
    let page = page();
    for stage in Stage::ALL {
        let row = format!("| `{}` | `{}` |", stage.phase().word(), stage.word());
        assert!(page.contains(&row), "no row begins with {row}");
    }
}

#[test]
fn the_page_has_a_row_for_every_field_of_a_gate_with_its_default() {
    let page = page();
    let defaults = json!({
        "http": Http::default(), "tcp": Tcp::default(), "exec": null,
        "timeoutSeconds": Gate::default().timeout_seconds, "intervalSeconds": Gate::default().interval_seconds,
        "successes": Gate::default().successes, "windowSeconds": Gate::default().window_seconds,
    });
    let mut rows = 0;
    for (name, value) in serde_json::to_value(full_gate()).unwrap().as_object().unwrap() {
        let fields = match value.as_object() {
            Some(inner) => inner.keys().map(|field| format!("/{name}/{field}")).collect(),
            None => vec![format!("/{name}")],
        };
        for field in fields {
            let default = match defaults.pointer(&field) {
                None | Some(Json::Null) => String::new(),
                Some(value) => format!("`{value}`"),
            };
            let row = format!("| `{}` | {default} |", field[1..].replace('/', ".")).replace("|  |", "| |");
            assert!(page.contains(&row), "no row begins with {row}");
            rows += 1;
        }
    }
    assert_eq!(rows, 14, "every field of the gate is set in this test");
}

#[test]
fn the_schemas_take_what_the_code_writes_and_nothing_unknown() {
    let schemas = schemas();
    let check = |name: &str, value: &Json| jsonschema::validator_for(&schemas[name]).unwrap().is_valid(value);
    assert!(check("rollout.gate", &serde_json::to_value(full_gate()).unwrap()));
    assert!(check("rollout.gate", &json!({})));
    assert!(!check("rollout.gate", &json!({ "http": { "pth": "/" } })));
    assert!(!check("rollout.gate", &json!({ "timeoutSeconds": 0 })));
    assert!(check("rollout.settings", &serde_json::to_value(Settings::default()).unwrap()));
    assert!(check("rollout.policy", &json!({ "mode": "auto", "upTo": "patch" })));
    assert!(!check("rollout.policy", &json!({ "mode": "auto", "upTo": "major" })));
    let mut alert = Alert {
        format: Alert::FORMAT.to_owned(),
        workload: "site".to_owned(),
        outcome: Outcome::Failed,
        reason: "status 503".to_owned(),
        release: Some(Release::new("1.0", Json::Null).unwrap()),
        last_good: None,
        snapshot: None,
        since: 0,
        seen: 0,
        count: 1,
    };
    assert!(check("rollout.alert", &serde_json::to_value(&alert).unwrap()));
    alert.release = Some(Release::new("1.0", json!({ "image": "x" })).unwrap());
    assert!(check("rollout.alert", &serde_json::to_value(&alert).unwrap()));
}
