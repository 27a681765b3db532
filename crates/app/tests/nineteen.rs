//! Every maintained app, on a real Swarm: deployed with what `nix/apps` says of it, gated, and taken back with its data when a version
//! answers with a wrong code. Recipes are stubs with the services, volumes and secrets of the real ones (`stubs/table.rs`).
//!
//! The gate is asked at a port of the machine instead of the proxy's; its path, codes and body are those of `nix/apps`. Waiting times
//! are cut down.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a panic is the report of a test")]

mod stubs;
mod swarm;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use freehold_testkit::{nixes, repository_root, run_limited};
use serde_json::{Map, Value as Json, json};
use stubs::{ALL, Behaviour, Stub};
use swarm::{Swarm, inside};

/// Apps at the same time.
const AT_ONCE: usize = 6;
const FIRST: &str = "1.0.0+1.0.0";
const SECOND: &str = "1.1.0+1.1.0";
/// How long something may take that comes for certain: this machine may be busy with every other test.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn each_of_the_nineteen_apps_deploys_is_gated_and_is_taken_back_on_a_wrong_code_on_a_swarm() {
    let name = "each_of_the_nineteen_apps_deploys_is_gated_and_is_taken_back_on_a_wrong_code_on_a_swarm";
    let Some(swarm) = inside(name) else { return };
    swarm.done(&["swarm", "init", "--advertise-addr", swarm::ADDRESS]);
    make_images(&swarm);
    // Of the proxy; Mailu's certificates would come from there.
    swarm.docker(&["volume", "create", "traefik_example_org_letsencrypt"]);
    swarm.scratch().write("oidc", "a-secret-of-the-provider");
    let settings = settings(&swarm);
    let waiting: Mutex<Vec<(usize, &Stub)>> = Mutex::new(ALL.iter().enumerate().rev().collect());
    let wrong: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((at, stub)) = waiting.lock().unwrap().pop() else { break };
                    let began = Instant::now();
                    let said = story(&swarm, stub, at, &settings[stub.recipe]);
                    eprintln!("{}: {:.0?}", stub.recipe, began.elapsed());
                    wrong.lock().unwrap().extend(said.err().map(|reason| format!("{}: {reason}", stub.recipe)));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All names of images, of one image.
fn make_images(swarm: &Swarm) {
    let program = swarm.scratch().dir("services").join("service");
    stubs::build_service(&program);
    swarm.import(&program, "service", "service", stubs::IMAGE);
    for name in ALL.iter().flat_map(Stub::images) {
        swarm.docker(&["tag", stubs::IMAGE, name]);
    }
}

/// What `nix/apps` says of each, by name: `ccAppSettings` with an operator's part.
fn settings(swarm: &Swarm) -> Map<String, Json> {
    let expression = format!(
        r#"let
  cc = import {root}/nix/lib/coop-cloud.nix;
  needs = (import {root}/nix/tests/coop-cloud-needs.nix);
  of = at: name: cc.ccAppSettings name ({{
    domain = "${{name}}.example.org";
    version = "{FIRST}";
    proxyDomain = "traefik.example.org";
    healthTimeout = 30;
    timeout = 300;
    # Mumble has no page, and is asked at its own port.
    ${{if name == "mumble" then null else "healthOrigin"}} = "http://127.0.0.1:${{toString (20000 + at)}}";
    composeFiles = [ "compose.port.yml" ];
    env = {{ HEALTH_PORT = 20000 + at; PROBE_PORT = 20100 + at; }} // needs.${{name}}.env or {{ }};
    secrets = builtins.mapAttrs (_: _: {{ file = "{oidc}"; }}) (needs.${{name}}.secrets or {{ }});
  }});
  names = {names};
in builtins.listToAttrs (builtins.genList (at: let name = builtins.elemAt names at; in {{ inherit name; value = of at name; }})
  (builtins.length names))"#,
        root = repository_root().display(),
        oidc = swarm.scratch().join("oidc").display(),
        names = ALL.iter().fold("[ ".to_owned(), |list, stub| list + &format!("{:?} ", stub.recipe)) + "]",
    );
    let nix = nixes().first().unwrap();
    let mut command = Command::new(nix.bin.join("nix-instantiate"));
    command.args(["--eval", "--strict", "--json", "--expr", &expression]).envs(nix.env(&swarm.scratch().dir("nix")));
    let output = run_limited(&mut command, b"", LIMIT);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    match serde_json::from_slice(&output.stdout).unwrap() {
        Json::Object(settings) => settings,
        other => panic!("{other}"),
    }
}

/// Deployed; looked at; a version with a wrong answer taken back; the data as they were.
fn story(swarm: &Swarm, stub: &Stub, at: usize, settings: &Json) -> Result<(), String> {
    let domain = format!("{}.example.org", stub.recipe);
    let recipes = swarm.scratch().dir("recipes");
    stub.publish(&recipes, FIRST, Behaviour::Healthy);
    let deploy = |version: &str, code: i32| {
        let file = write(swarm, stub, at, settings, version);
        run(swarm, &["deploy", &domain, "--settings", &file, "--json"], code)
    };
    let done = deploy(FIRST, 0)?;
    expect(&done, "action", &json!("deployed"))?;
    expect(&done, "healthy", &json!(true))?;
    // The gate has asked the app alone: the others run, and may be yet to write.
    let before = data_once(swarm, stub, |data| data.iter().all(|(_, text)| !text.is_empty()));
    stub.publish(&recipes, SECOND, Behaviour::Answers(stub.wrong));
    let done = deploy(SECOND, 3)?;
    expect(&done, "action", &json!("rolled-back"))?;
    expect(&done, "to", &json!(SECOND))?;
    let reason = done["reason"].as_str().unwrap_or_default();
    let told = if stub.wrong == 0 { "64738".to_owned() } else { format!("answers {}", stub.wrong) };
    if !reason.contains(&told) {
        return Err(format!("the reason does not say `{told}`: {reason}"));
    }
    let checked = run(swarm, &["check", &domain, "--json"], 0)?;
    expect(&checked, "to", &json!(FIRST))?;
    // What was put back has started once more.
    let expected: Vec<(String, String)> = match settings["stateful"] == true {
        true => before.iter().map(|(at, text)| (at.clone(), format!("{text}1.0.0\n"))).collect(),
        false => before.iter().map(|(at, text)| (at.clone(), format!("{text}1.1.0\n1.0.0\n"))).collect(),
    };
    // A service that was never other than it was, was stopped and started with the app, or not touched at all.
    let after = data_once(swarm, stub, |data| data == expected.as_slice());
    for ((at, text), (_, expected)) in after.into_iter().zip(expected) {
        if text != expected {
            return Err(format!("the volume {at} has {text:?} instead of {expected:?}"));
        }
    }
    run(swarm, &["undeploy", &domain, "--json"], 0).map(drop)
}

fn write(swarm: &Swarm, stub: &Stub, at: usize, settings: &Json, version: &str) -> String {
    let mut settings = settings.clone();
    settings["version"] = json!(version);
    // Docker's proxy takes connections for nobody, too, and closes them late on a busy machine: such an app is looked at several times.
    settings["gate"]["windowSeconds"] = json!(if stub.wrong == 0 { 5 } else { 1 });
    // The one probe of another name.
    let origin = format!("http://127.0.0.1:{}", 20100 + at);
    for probe in settings["probes"].as_array_mut().unwrap() {
        let url = probe["http"]["url"].as_str().unwrap();
        let path = url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).unwrap().1;
        probe["http"]["url"] = json!(format!("{origin}/{path}"));
    }
    let path = swarm.scratch().write(format!("settings/{}.json", stub.recipe), settings.to_string());
    path.display().to_string()
}

fn run(swarm: &Swarm, words: &[&str], code: i32) -> Result<Json, String> {
    let finished = swarm.app(words);
    if finished.code != code {
        return Err(format!("{words:?} ends with {}: {}{}", finished.code, finished.stdout, finished.stderr));
    }
    serde_json::from_str(&finished.stdout).map_err(|error| format!("{error}: {}", finished.stdout))
}

fn expect(json: &Json, name: &str, value: &Json) -> Result<(), String> {
    if json[name] == *value { Ok(()) } else { Err(format!("`{name}` is not {value}: {json}")) }
}

/// What its volumes hold, by name: once it is as it has to become, or after a time what it is instead.
fn data_once(swarm: &Swarm, stub: &Stub, is_there: impl Fn(&[(String, String)]) -> bool) -> Vec<(String, String)> {
    let end = Instant::now() + LIMIT;
    loop {
        let data = data(swarm, stub);
        if is_there(&data) || Instant::now() >= end {
            return data;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What its volumes hold, by name.
fn data(swarm: &Swarm, stub: &Stub) -> Vec<(String, String)> {
    let stack = format!("{}_example_org", stub.recipe);
    let own = stub.services.iter().flat_map(|service| service.volumes).filter(|(name, _)| !name.contains(':'));
    own.map(|(name, _)| {
        let path = format!("docker/volumes/{stack}_{name}/_data/versions");
        let text = std::fs::read_to_string(swarm.scratch().join(Path::new(&path))).unwrap_or_default();
        (format!("{stack}_{name}"), text)
    })
    .collect()
}
