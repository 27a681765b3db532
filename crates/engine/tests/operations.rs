//! `freehold run` and `freehold import` beside others: secrets, Ctrl-C, kills, and whoever writes at the same time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Place, assert_has, assert_lacks};

/// Waits for something that another process does.
#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// With a token of the provider in `fixtures/vault-provider.py`, and these members.
fn vault(members: &str) -> Place {
    let place = Place::with(&format!(
        r#"providers.vault = {{ executable = "./vault-provider.py"; types.token.outputs = {{ token = {{ }}; name = {{ }}; }}; }};
           members.token = {{ type = providers.vault.token; inputs.name = "t"; }};
           {members}"#
    ));
    std::fs::copy(common::fixture("vault-provider.py"), place.dir.join("vault-provider.py")).unwrap();
    place
}

#[test]
fn a_script_with_a_secret_of_another_member_leaves_none_in_the_log_and_gets_none_as_argument() {
    let place = Place::with(
        r#"members.password = { type = providers.local.password; inputs.length = 24; };
           members.plain = {
             type = providers.local.memo; inputs.initialize_with = 1;
             operations.tell = { executable = "/bin/sh"; args = [ "-c" "echo it is $P" ]; env.P = members.password.outputs.password; };
             operations.leak = { executable = "/bin/echo"; args = [ "it" members.password.outputs.password ]; };
           };"#,
    );
    place.run(&["apply", "--yes"]);
    let told = place.run(&["run", "plain", "tell"]).stdout;
    let password = told.trim_start_matches("it is ").trim();
    assert_eq!(password.len(), 24, "{told}");
    let refused = place.fails(1, &["run", "plain", "leak"]);
    assert_has(&refused.stderr, "error: `plain`: `operations.leak.args/1` is a secret");
    assert_has(&refused.stderr, "hint: hand it over with `stdin` or `env`");
    assert_lacks(&refused.stderr, password);
    let history = place.run(&["state", "history", "--json"]).stdout;
    assert_has(&history, "\"tell\"");
    assert_lacks(&history, "leak");
    assert_lacks(&history, password);
    let found =
        std::process::Command::new("grep").args(["-rlF", password]).arg(place.dir.join("freehold.state")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}

#[test]
fn an_operation_works_on_what_is_recorded_when_it_has_the_lock_and_its_notes_are_kept() {
    let place = vault("");
    place.run(&["apply", "--yes"]);
    assert_eq!(place.run(&["run", "token", "rotate"]).stdout, "note 1\n");
    // Both have read the record; the second is done before the first has the lock.
    let mut first = place.call(&["run", "token", "rotate"]).env("VAULT_WAIT", "1").spawn();
    wait_until("it asks for the schema", || place.has("schema-begun"));
    assert_eq!(place.run(&["run", "token", "rotate"]).stdout, "note 2\n");
    place.write("schema-go", "");
    assert_eq!(first.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code()), Some(0));
    let mut said = String::new();
    let _ = first.child().stdout.take().map(|mut p| std::io::Read::read_to_string(&mut p, &mut said));
    assert_eq!(said, "note 3\n");
}

#[test]
fn an_import_does_not_replace_what_somebody_has_recorded_meanwhile() {
    let place = vault("");
    // The first Nix in a store makes its database, which is no work for two at once.
    place.run(&["plan"]);
    let mut first = place.call(&["import", "token", "one"]).env("VAULT_WAIT", "1").spawn();
    wait_until("it asks for the schema", || place.has("schema-begun"));
    place.run(&["import", "token", "two"]);
    place.write("schema-go", "");
    assert_eq!(first.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code()), Some(1));
    let mut said = String::new();
    let _ = first.child().stderr.take().map(|mut p| std::io::Read::read_to_string(&mut p, &mut said));
    assert_has(&said, "`token`: is recorded already");
    assert_has(&place.run(&["show", "token"]).stdout, "two");
}

#[test]
fn ctrl_c_stops_an_operation_and_leaves_nothing_open() {
    let place = vault(
        r#"members.plain = {
             type = providers.local.memo; inputs.initialize_with = 1;
             operations.wait = { executable = "/bin/sh"; args = [ "-c" "touch script; sleep 60" ]; };
             operations.leave = { executable = "/bin/sh"; args = [ "-c" "sleep 300 & echo left" ]; };
           };"#,
    );
    place.run(&["apply", "--yes"]);
    for (args, begun, presses) in
        [(&["run", "token", "rotate", "wait"][..], "begun", 2), (&["run", "plain", "wait"], "script", 1)]
    {
        let mut run = place.call(args).spawn();
        wait_until("it runs", || place.has(begun));
        for _ in 0..presses {
            run.signal("INT");
            std::thread::sleep(Duration::from_millis(300));
        }
        assert_eq!(run.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code()), Some(130), "{args:?}");
        let mut said = String::new();
        let _ = run.child().stderr.take().map(|mut p| std::io::Read::read_to_string(&mut p, &mut said));
        assert_has(&said, "was stopped before it ended");
        assert_lacks(&place.run(&["state", "list"]).stderr, "was begun");
    }
    // What a script leaves behind with its output does not hold it.
    let began = Instant::now();
    assert_eq!(place.run(&["run", "plain", "leave"]).stdout, "left\n");
    assert!(began.elapsed() < Duration::from_secs(120));
}

#[test]
fn an_operation_whose_freehold_was_killed_is_closed_by_whoever_writes_next() {
    let place = Place::with(
        r#"members.plain = {
             type = providers.local.memo; inputs.initialize_with = 1;
             operations.wait = { executable = "/bin/sh"; args = [ "-c" "touch script; while ! test -e go; do sleep 0.05; done" ]; };
           };
           members.other = { type = providers.local.memo; inputs.initialize_with = 1; };"#,
    );
    place.run(&["apply", "--yes"]);
    for next in
        [&["state", "mv", "plain", "renamed"][..], &["run", "plain", "wait"], &["apply", "--yes", "--replace", "other"]]
    {
        let _ = std::fs::remove_file(place.dir.join("script"));
        let mut run = place.call(&["run", "plain", "wait"]).spawn();
        wait_until("it runs", || place.has("script"));
        run.signal("KILL");
        run.wait_at_most(Duration::from_secs(60));
        assert_has(&place.run(&["state", "list"]).stderr, "run of `plain` was begun");
        place.write("go", "");
        place.run(next);
        assert_lacks(&place.run(&["state", "list"]).stderr, "was begun");
        if next[0] == "state" {
            place.run(&["state", "mv", "renamed", "plain"]);
        }
        let _ = std::fs::remove_file(place.dir.join("go"));
    }
}
