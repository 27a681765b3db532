//! Secrets: out of files that the real sops decrypts, rotated by content, and never seen anywhere.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use freehold_testkit::{not_run, run_limited};

use crate::App;
use crate::swarm::Swarm;

const CANARY: &str = "canary-4711-of-a-value";
const LIMIT: Duration = Duration::from_secs(300);

/// A host's key decrypts; when the host is lost, the recovery key makes the file readable for the next one.
pub(crate) fn come_from_sops_and_are_seen_nowhere(swarm: &Swarm, app: &App) {
    let Some(sops) = sops() else { return };
    publish(swarm, app);
    let domain = app.domain.as_str();
    swarm.done(&["new", app.recipe, "--domain", domain]);
    let shims = shims(swarm, &sops);
    let run = |key: &str, words: &[&str]| {
        let key = swarm.scratch.join(key);
        swarm.command(words).env("PATH", &shims).env("FREEHOLD_SSH_HOST_KEY", key).run()
    };
    for key in ["host", "next", "recovery"] {
        let file = swarm.scratch.join(key).display().to_string();
        let made =
            run_limited(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &file]), b"", LIMIT);
        assert!(made.status.success());
    }
    let recipient = |key: &str| run(key, &["secret", "recipient"]).success().stdout.trim().to_owned();
    let file = swarm.scratch.write("secrets.yaml", format!("db:\n  token: {CANARY}\nother: x\n")).display().to_string();
    let recovery = swarm.scratch.read("recovery.pub").trim().to_owned();
    let run_sops = |words: &[&str]| {
        let key = swarm.scratch.join("recovery");
        let output = run_limited(Command::new(&sops).args(words).env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", key), b"", LIMIT);
        assert!(output.status.success(), "sops {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run_sops(&["--encrypt", "--in-place", "--age", &format!("{},{recovery}", recipient("host")), &file]);
    assert!(!swarm.scratch.read("secrets.yaml").contains(CANARY));
    let insert = ["secret", "insert", domain, "token", "--sops", &file, "--sops-key", "db/token"];
    let mut said = run("host", &insert).success();
    let wrong = run("host", &["secret", "rotate", domain, "token", "--sops", &file, "--sops-key", "no"]).code(1);
    assert!(wrong.stderr.contains("the file has no such key"), "{}", wrong.stderr);
    // The host is lost.
    swarm.done(&["secret", "rm", domain, "token"]);
    let lost = run("next", &insert).code(1);
    assert!(lost.stderr.contains("sops updatekeys"), "{}", lost.stderr);
    run_sops(&["rotate", "--in-place", "--rm-age", &recipient("host"), "--add-age", &recipient("next"), &file]);
    let _ = run("host", &insert).code(1);
    said.stderr += &run("next", &insert).success().stderr;
    let deploy = run("next", &["deploy", domain, "--no-health", "--health-window", "1", "--json"]).success();
    let service = format!("{}_app", domain.replace('.', "_"));
    // The app itself has it.
    swarm.wait_for_text(&swarm.volume(domain).join("secret"), CANARY);
    let shown = [
        said.stdout + &said.stderr + &wrong.stderr + &lost.stderr + &deploy.stdout + &deploy.stderr,
        swarm.docker(&["service", "inspect", &service]),
        swarm.docker(&["secret", "inspect", &format!("{}_token_v1", domain.replace('.', "_"))]),
        swarm.scratch.read("argv"),
        everything_below(&swarm.scratch.join("state")),
        everything_below(&swarm.scratch.join("abra")),
    ];
    for (at, text) in shown.iter().enumerate() {
        assert!(!text.contains(CANARY), "{at}: {text}");
    }
    assert!(shown[3].contains("sops --decrypt"), "the log of arguments is one: {}", shown[3]);
    rotates_by_content(swarm, app);
}

/// As a renewed wildcard certificate reaches Traefik: another content is another version, the same content is no change.
fn rotates_by_content(swarm: &Swarm, app: &App) {
    let file = swarm.scratch.write("certificate", "one").display().to_string();
    let settings = format!(
        r#"{{"format":"freehold.app-settings/1","timeoutSeconds":300,"gate":{{"windowSeconds":1}},
            "secrets":[{{"name":"token","file":"{file}","rotation":"content"}}]}}"#
    );
    let settings = swarm.scratch.write("settings.json", settings).display().to_string();
    let deploy = || swarm.json(&["deploy", &app.domain, "--settings", &settings], 0);
    let name = || {
        let env = swarm.env_file(&app.domain);
        env.lines().find_map(|line| line.strip_prefix("SECRET_TOKEN_VERSION=")).unwrap()[..9].to_owned()
    };
    assert_eq!(deploy()["action"], "upgraded");
    let first = name();
    assert_eq!(deploy()["action"], "none", "the same content is no change");
    assert_eq!(name(), first);
    std::fs::write(&file, "two").unwrap();
    assert_eq!(deploy()["action"], "upgraded");
    assert_ne!(name(), first);
    swarm.wait_for_text(&swarm.volume(&app.domain).join("secret"), "two");
    let removed = swarm.json(&["secret", "rm", &app.domain], 0);
    assert_eq!(removed["removed"].as_array().unwrap().len(), 2, "what nothing uses any more: {removed}");
}

fn publish(swarm: &Swarm, app: &App) {
    let compose = "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    stop_signal: SIGKILL\n    \
        environment: [STATUS=200]\n    volumes: [\"data:/data\"]\n    secrets: [token]\n    deploy: {endpoint_mode: dnsrr}\n\
        volumes:\n  data:\nsecrets:\n  token:\n    external: true\n    name: ${STACK_NAME}_token_${SECRET_TOKEN_VERSION}\n";
    let sample = format!("TYPE={0}\nDOMAIN={0}.example.com\nSECRET_TOKEN_VERSION=v1 # generate=false\n", app.recipe);
    swarm.publish(app.recipe, "1.0.0+1.0.0", &[("compose.yml", compose), (".env.sample", &sample)]);
}

fn sops() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).map(|dir| dir.join("sops"));
    let found = std::iter::once(cache.join("freehold/interop/bin/sops")).chain(all).find(|path| path.exists());
    if found.is_none() {
        not_run("secrets of sops", "not built; run scripts/interop-tools sops");
    }
    let has_keygen = Command::new("ssh-keygen").arg("-?").output().is_ok();
    if !has_keygen {
        not_run("secrets of sops", "`ssh-keygen` is missing; apt-get install openssh-client");
    }
    found.filter(|_| has_keygen)
}

/// A path on which every program of others is one that writes its arguments down first.
fn shims(swarm: &Swarm, sops: &std::path::Path) -> String {
    let log = swarm.scratch.write("argv", "").display().to_string();
    for (name, real) in [("docker", "docker"), ("git", "git"), ("sops", &sops.display().to_string())] {
        let find = if real == name {
            format!("$(PATH=/usr/local/bin:/usr/bin:/bin command -v {name})")
        } else {
            real.to_owned()
        };
        let text = format!("#!/bin/sh\necho \"{name} $*\" >>{log}\nexec \"{find}\" \"$@\"\n");
        swarm.program(&format!("shims/{name}"), &text);
    }
    format!("{}:/usr/local/bin:/usr/bin:/bin", swarm.scratch.join("shims").display())
}

fn everything_below(root: &std::path::Path) -> String {
    let mut all = String::new();
    let mut next = vec![root.to_owned()];
    while let Some(path) = next.pop() {
        if path.is_dir() {
            next.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            all += &path.display().to_string();
            all += &String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default());
        }
    }
    all
}
