//! What must hold when things go wrong: conditions, locked secrets, secrets that leak, two at once, kills, full disks, odd sizes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod common;

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use common::{Place, assert_has, assert_lacks};
use freehold_testkit::{Guarded, SmallDisk};

/// Keeps Nix busy for longer than any test lasts, in little memory.
const ENDLESS: &str = "(let ns = builtins.genList (n: n) 5000; sum = builtins.foldl' (a: b: a + b); in
    builtins.foldl' (a: _: builtins.foldl' (a: _: sum a ns) a ns) 0 ns)";

/// Waits for something that another process does.
#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn conditions_that_need_outputs_are_told_when_those_are_there() {
    let members = r#"
        members.id = {
          type = providers.local.random; inputs.bytes = 4;
          postconditions = [ { assertion = builtins.stringLength members.id.outputs.hex == 7; message = "not seven"; } ];
        };
        members.sub = {
          members.memo = { type = providers.local.memo; inputs.initialize_with = members.id.outputs.hex; };
          checks = [
            { assertion = builtins.stringLength members.id.outputs.hex == 9; message = "not nine"; }
            { assertion = builtins.stringLength members.id.outputs.hex == 8; message = "not eight"; }
          ];
        };"#;
    let place = Place::with(members);
    let failed = place.fails(1, &["apply", "--yes"]);
    assert_has(&failed.stderr, "error: `id`: its postcondition does not hold: not seven");
    assert_has(&failed.stderr, "error: `sub`: its check does not hold: not nine");
    assert_lacks(&failed.stderr, "not eight");
    assert_has(&failed.stdout, "2 created, 2 failed");
    // What was made is recorded, and the next apply still says that something is wrong.
    assert_eq!(place.run(&["state", "list"]).stdout.lines().count(), 2);
    let again = place.fails(1, &["apply", "--yes", "--json"]);
    assert_has(&again.stdout, "its postcondition does not hold: not seven");
    place.deploy(&members.replace("== 7", "== 8").replace("== 9", "== 8"));
    place.run(&["apply", "--yes"]);
    // One that is known to be wrong before anything is begun stops it.
    place.deploy(
        &members.replace("postconditions", "preconditions").replace("members.id.outputs.hex == 7", "\"x\" == 7"),
    );
    let refused = place.fails(1, &["apply", "--yes"]);
    assert_has(&refused.stderr, "`id`: not seven");
}

#[test]
fn secrets_that_cannot_be_opened_are_a_problem_and_not_a_change() {
    let members = r#"
        members.password = { type = providers.local.password; inputs.length = 20; };
        members.page = { type = providers.local.file; inputs = { path = "page"; contents = members.password.outputs.password; }; };
        members.other = { type = providers.local.file; inputs = { path = "other"; contents = "x"; }; };"#;
    let place = Place::with(members);
    place.run(&["apply", "--yes"]);
    let stranger = place.scratch.dir("stranger");
    let as_stranger = |args: &[&str]| place.call(args).env("FREEHOLD_IDENTITY", stranger.join("identity.age")).run();
    let refused = as_stranger(&["plan"]).code(1);
    assert_has(&refused.stderr, "`page`: the secrets of `page` cannot be read: no identity at hand opens them");
    assert_has(&refused.stderr, "freehold state rekey");
    assert_lacks(&refused.stdout, "~   page");
    let refused = as_stranger(&["apply", "--yes"]).code(1);
    assert_has(&refused.stderr, "no identity at hand opens them");
    // Their key is made by a deployment of their own; whoever can open the secrets lets them in.
    let theirs = place.scratch.dir("theirs");
    std::fs::copy(place.dir.join("freehold.nix"), theirs.join("freehold.nix")).unwrap_or_default();
    let identity = stranger.join("identity.age");
    let _ = place.call_in(&theirs, &["apply", "--yes"]).env("FREEHOLD_IDENTITY", &identity).run().success();
    let public = place.scratch.read("theirs/freehold.recipients");
    let public = public.lines().find(|l| l.starts_with("age1")).unwrap_or_default();
    let recipients = place.read("freehold.recipients");
    place.write("freehold.recipients", format!("{recipients}\n{public}\n"));
    place.run(&["state", "rekey"]);
    assert_eq!(as_stranger(&["plan", "--detailed-exitcode"]).code, 0);
}

#[test]
fn two_at_once_are_one_and_a_refusal_that_names_the_other() {
    let place = Place::with(
        r#"members.slow = { type = providers.local.exec; inputs = { executable = "/bin/sh"; args = [ "-c" "touch begun; while ! test -e go; do sleep 0.05; done" ]; }; };"#,
    );
    let mut first = place.call(&["apply", "--yes"]).spawn();
    wait_until("the first runs", || place.has("begun"));
    let second = place.fails(1, &["apply", "--yes"]);
    assert_has(&second.stderr, "freehold apply --yes");
    assert_has(&second.stderr, "lock");
    place.write("go", "");
    let ended = first.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code());
    assert_eq!(ended, Some(0));
    place.assert_no_change();
}

#[test]
fn a_full_disk_stops_an_apply_and_the_next_one_goes_on() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let many = r#"members.all = { members = builtins.listToAttrs (map (n: { name = "m${toString n}"; value = {
        type = providers.local.memo; inputs.initialize_with = n; }; }) (builtins.genList (n: n) 300)); };"#;
    let place = Place::with(many);
    let state = disk.path().join("state");
    let state = state.display().to_string();
    let with = |args: &[&str]| place.call(args).args(["--state", &state]).run();
    disk.fill(16 * 4096);
    let full = with(&["apply", "--yes"]);
    assert_eq!(full.code, 1, "{}{}", full.stdout, full.stderr);
    assert_has(&full.stderr, "No space left on device");
    // What was done before is told.
    assert_has(&full.stdout, "\nfailed: ");
    assert_has(&full.stdout, " created, ");
    disk.free();
    let _ = with(&["apply", "--yes", "--quiet"]).success();
    assert_eq!(with(&["plan", "--detailed-exitcode"]).code, 0);
    assert_eq!(with(&["state", "list"]).stdout.lines().count(), 300);
}

#[test]
fn large_values_and_many_members_go_through() {
    let place = Place::with(
        r#"members.big = { type = providers.local.file; inputs = { path = "big"; contents = builtins.concatStringsSep "" (builtins.genList (n: "0123456789abcdef") 65536); }; };
           members.many = { members = builtins.listToAttrs (map (n: { name = "m${toString n}"; value = {
             type = providers.local.memo; inputs.initialize_with = n; }; }) (builtins.genList (n: n) 10000)); };"#,
    );
    place.run(&["apply", "--yes", "--quiet"]);
    assert_eq!(place.read("big").len(), 1 << 20);
    place.assert_no_change();
    assert_eq!(place.run(&["state", "list"]).stdout.lines().count(), 10_001);
}

#[test]
fn a_composite_that_shrinks_loses_what_was_made_by_the_same_apply_that_finds_out() {
    let members = |n: &str| {
        format!(
            r#"members.count = {{ type = providers.local.exec; inputs = {{ executable = "/bin/echo"; args = [ "-n" "{n}" ]; }}; }};
               members.all.members = builtins.listToAttrs (map (n: {{ name = "m${{toString n}}"; value = {{
                 type = providers.local.file; inputs = {{ path = "m${{toString n}}"; contents = "x"; }}; }}; }})
                 (builtins.genList (n: n) (builtins.fromJSON members.count.outputs.stdout)));"#
        )
    };
    let place = Place::with(&members("3"));
    place.run(&["apply", "--yes"]);
    assert!(place.has("m0") && place.has("m2"));
    place.assert_no_change();
    place.deploy(&members("1"));
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
    assert!(place.has("m0") && !place.has("m1") && !place.has("m2"));
}

#[test]
fn members_go_before_what_decided_that_there_are_any() {
    let members = |text: &str| {
        format!(
            r#"members.list = {{ type = providers.local.file; inputs = {{ path = "list"; contents = "{text}"; }}; }};
               members.set.members = if members.list.outputs.path == "none" then {{ }} else {{
                 one = {{ type = providers.local.memo; inputs.initialize_with = 1; }};
               }};"#
        )
    };
    let place = Place::with(&members("1"));
    place.run(&["apply", "--yes"]);
    // The list is newer than what was made of it: only the edge tells which has to go first.
    place.deploy(&members("2"));
    place.run(&["apply", "--yes"]);
    assert_has(&place.run(&["show", "set.one"]).stdout, "needs list");
    let destroyed = place.run(&["destroy", "--yes", "--parallelism", "1"]).stderr;
    let at = |text: &str| destroyed.find(text).unwrap_or_else(|| panic!("{text}: {destroyed}"));
    assert!(at("set.one: deleted") < at("list: deleting"), "{destroyed}");
}

#[test]
fn what_a_target_is_to_come_after_comes_along() {
    let place = Place::with(
        r#"members.first = { type = providers.local.memo; inputs.initialize_with = 1; };
           members.second = { type = providers.local.memo; inputs.initialize_with = 2; dependsOn = [ members.first ]; };
           members.other = { type = providers.local.memo; inputs.initialize_with = 3; };"#,
    );
    assert_has(&place.run(&["apply", "--yes", "second"]).stdout, "2 created");
    assert_lacks(&place.run(&["state", "list"]).stdout, "other");
}

#[test]
fn a_file_that_is_made_before_the_old_one_goes_is_there_afterwards() {
    let members = |trigger: &str| {
        format!(
            r#"members.f = {{ type = providers.local.file; inputs = {{ path = "f"; contents = "{trigger}"; }};
                 lifecycle = {{ createBeforeDestroy = true; replaceWhen = [ "{trigger}" ]; }}; }};"#
        )
    };
    let place = Place::with(&members("1"));
    place.run(&["apply", "--yes"]);
    place.deploy(&members("2"));
    place.run(&["apply", "--yes"]);
    assert_eq!(place.read("f"), "2");
    place.assert_no_change();
}

#[test]
fn a_file_whose_member_is_renamed_stays() {
    let members = |name: &str| {
        format!(r#"members.{name} = {{ type = providers.local.file; inputs = {{ path = "f"; contents = "x"; }}; }};"#)
    };
    let place = Place::with(&members("old"));
    place.run(&["apply", "--yes"]);
    place.deploy(&members("new"));
    place.run(&["apply", "--yes"]);
    assert_eq!(place.read("f"), "x");
    place.assert_no_change();
    assert_has(&place.run(&["state", "list"]).stdout, "new");
}

#[test]
fn a_condition_that_is_not_true_does_not_hold_whatever_else_it_is() {
    let deploy = |check: &str, operation: &str, sub: &str| {
        format!(
            r#"members.id = {{
                 type = providers.local.random; inputs.bytes = 4;
                 postconditions = [ {{ assertion = {check}; message = "not as it should be"; }} ];
                 operations.tell = {{ executable = "/bin/echo"; args = [ ({operation}) ]; }};
               }};
               members.sub = {{
                 members.memo = {{ type = providers.local.memo; inputs.initialize_with = "x"; }};
                 checks = [ {{ assertion = {sub}; message = "sub is not as it should be"; }} ];
               }};"#
        )
    };
    let good = r#"members.id.outputs.hex != """#;
    let place = Place::with(&deploy(
        &format!("{good} && throw \"no such colour\""),
        good,
        &format!("if {good} then throw \"no such shape\" else true"),
    ));
    for _ in 0..2 {
        let failed = place.fails(1, &["apply", "--yes"]);
        assert_has(&failed.stderr, "error: `id`: postconditions/0: no such colour");
        assert_has(&failed.stderr, "error: `sub`: checks/0: no such shape");
    }
    place.deploy(&deploy("members.id.outputs.hex", r#""x""#, "true"));
    let failed = place.fails(1, &["apply", "--yes"]);
    assert_has(&failed.stderr, "error: `id`: its postcondition is neither true nor false: not as it should be");
    place.deploy(&deploy(good, r#""x""#, "members.id.outputs"));
    let failed = place.fails(1, &["apply", "--yes"]);
    assert_has(&failed.stderr, "error: `sub`: its check is neither true nor false: sub is not as it should be");

    // One that is known before anything is done is told by the plan.
    for answer in ["\"yes\"", "null", "1"] {
        place.deploy(&format!(
            r#"members.memo = {{
                 type = providers.local.memo; inputs.initialize_with = "x";
                 preconditions = [ {{ assertion = {answer}; message = "not ready"; }} ];
               }};
               members.sub.checks = [ {{ assertion = {answer}; message = "sub is not ready"; }} ];"#
        ));
        let refused = place.fails(1, &["plan"]);
        assert_has(&refused.stderr, "error: `memo`: its precondition is neither true nor false: not ready");
        assert_has(&refused.stderr, "error: `sub`: its check is neither true nor false: sub is not ready");
    }

    for (operation, why) in [
        (r#"throw "no such word""#, "`id`: operations.tell/args/0: no such word"),
        ("word: word", "`id`: operations.tell/args/0: a function is no value"),
    ] {
        place.deploy(&deploy("true", operation, "true"));
        assert_has(&place.fails(1, &["run", "id", "tell"]).stderr, why);
    }
    place.deploy(&deploy(good, "members.id.outputs.hex", good));
    place.run(&["apply", "--yes"]);
    assert_eq!(place.run(&["run", "id", "tell"]).stdout.trim().len(), 8);
}

#[test]
fn no_secret_leaves_its_place() {
    let canary = "canary-3f9a-not-to-be-seen";
    let mut place = Place::with(
        r#"members.page = { type = providers.local.file; inputs = { path = "page"; contents = { fromEnv = "SECRET"; }; }; };
           members.password = { type = providers.local.password; inputs.length = 24; };
           members.use = { type = providers.local.exec; inputs = {
             executable = "/bin/sh"; args = [ "-c" "cat > used; touch begun; while ! test -e go; do sleep 0.02; done" ];
             stdin = members.password.outputs.password; }; };"#,
    );
    place.env("SECRET", canary);
    let mut apply = place.call(&["apply", "--yes", "-vv"]).spawn();
    wait_until("the program runs", || place.has("begun"));
    let password = place.read("used");
    assert_eq!(password.len(), 24);
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let argv = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let argv = String::from_utf8_lossy(&argv);
        assert_lacks(&argv, canary);
        assert_lacks(&argv, &password);
    }
    place.write("go", "");
    let mut said = String::new();
    for pipe in [
        apply.child().stdout.take().map(|p| Box::new(p) as Box<dyn std::io::Read>),
        apply.child().stderr.take().map(|p| Box::new(p) as Box<dyn std::io::Read>),
    ] {
        let _ = pipe.map(|mut p| p.read_to_string(&mut said));
    }
    assert_eq!(apply.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code()), Some(0), "{said}");
    assert_eq!(place.read("page"), canary);
    for args in [
        &["plan", "-vv"][..],
        &["plan", "--json"],
        &["show"],
        &["show", "--json"],
        &["outputs", "--json"],
        &["history"],
        &["state", "export"],
        &["state", "history", "--json"],
    ] {
        let ran = place.run(args);
        said += &ran.stdout;
        said += &ran.stderr;
    }
    place.deploy("");
    let destroyed = place.run(&["apply", "--yes", "-vv", "--json"]);
    said += &destroyed.stdout;
    said += &destroyed.stderr;
    for secret in [canary, &password] {
        assert_nowhere(&place, &said, secret);
    }
}

/// Neither in what was said nor, in clear, in any file that freehold keeps.
#[track_caller]
fn assert_nowhere(place: &Place, said: &str, secret: &str) {
    assert_lacks(said, secret);
    for hidden in [place.dir.join("freehold.state"), place.scratch.join("home"), place.scratch.join("tmp")] {
        let found = std::process::Command::new("grep").args(["-rlF", secret]).arg(&hidden).output();
        let found = found.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        assert_eq!(found, "", "in clear below {}", hidden.display());
    }
}

#[test]
fn what_a_schema_alone_marks_as_a_secret_is_one_from_the_beginning() {
    let members = |more: &str| {
        format!(
            r#"providers.vault = {{ executable = "./vault-provider.py"; types.token.outputs = {{ token = {{ }}; name = {{ }}; }}; }};
               members.token = {{ type = providers.vault.token; inputs = {{ name = "t"; seed = "canary-seed"; }}; }};
               members.use = {{ type = providers.local.file; inputs = {{ path = "use"; contents = members.token.outputs.token; }}; }};
               members.again = {{ type = providers.local.memo; inputs.initialize_with = members.token.outputs.token; }};
               {more}"#
        )
    };
    let half = r#"members.half = { type = providers.vault.token; inputs = { name = "h"; fails = true; }; };"#;
    let found = r#"members.found = { type = providers.vault.token; inputs.name = "found"; };"#;
    let place = Place::with(&members(""));
    std::fs::copy(common::fixture("vault-provider.py"), place.dir.join("vault-provider.py")).unwrap();
    let mut said = String::new();
    let mut run = |token: &str, code: i32, args: &[&str]| {
        let ran = place.call(args).env("VAULT_TOKEN", token).run().code(code);
        said += &ran.stdout;
        said += &ran.stderr;
    };
    run("canary-one", 0, &["plan", "--json"]);
    run("canary-one", 0, &["apply", "--yes", "-vv", "--json"]);
    assert_eq!(place.read("use"), "canary-one");
    // It is another one in the world: what reads it sees that, and so does what depends on it.
    run("canary-two", 0, &["plan", "--json"]);
    run("canary-two", 0, &["plan", "-vv"]);
    run("canary-two", 0, &["drift", "--json"]);
    run("canary-two", 0, &["apply", "--yes", "-vv", "--json"]);
    assert_eq!(place.read("use"), "canary-two");
    run("canary-two", 0, &["run", "token", "rotate"]);
    place.deploy(&members(half));
    run("canary-two", 1, &["apply", "--yes", "-vv", "--json"]);
    place.deploy(&members(found));
    run("canary-two", 0, &["import", "found", "found", "--json"]);
    run("canary-two", 0, &["state", "history", "--json"]);
    for secret in ["canary-one", "canary-two", "canary-seed"] {
        assert_nowhere(&place, &said, secret);
    }
}

#[test]
fn what_repeats_a_secret_input_is_a_secret_whoever_says_it() {
    let mut place = Place::with(
        r#"members.password = { type = providers.local.password; inputs.length = 24; };
           members.page = { type = providers.local.file; inputs = {
             path = "${members.password.outputs.password}/page"; contents = "open"; }; };
           members.key = { type = providers.local.key; inputs = {
             kind = "nix"; name = { fromEnv = "SECRET"; }; }; };
           providers.old = { executable = "./nixops4-provider.py"; types.exec.outputs.stdout = { }; };
           members.echo = { type = providers.old.exec; inputs = {
             executable = "/bin/cat"; args = [ ]; stdin = "is ${members.password.outputs.password}"; }; };
           members.use = { type = providers.local.file; inputs = { path = "use"; contents = members.echo.outputs.stdout; }; };
           members.absolute = { type = providers.local.file; inputs = {
             path = "absolute"; contents = members.page.outputs.absolutePath; }; };"#,
    );
    place.env("SECRET", "canary-cache");
    std::fs::copy(common::fixture("nixops4-provider.py"), place.dir.join("nixops4-provider.py")).unwrap();
    let mut said = String::new();
    for args in [
        &["apply", "--yes", "-vv", "--json"][..],
        &["plan", "--json"],
        &["refresh", "--json"],
        &["show", "--json"],
        &["outputs", "--json"],
        &["state", "export"],
        &["state", "history", "--json"],
    ] {
        let ran = place.run(args);
        said += &ran.stdout;
        said += &ran.stderr;
    }
    place.assert_no_change();
    let used = place.read("use");
    let password = used.trim_start_matches("is ");
    assert_eq!(password.len(), 24);
    assert_has(&place.read("absolute"), password);
    for secret in ["canary-cache", password] {
        assert_nowhere(&place, &said, secret);
    }
}

#[test]
fn an_evaluator_that_is_killed_again_and_again_is_given_up() {
    let busy =
        r#"members.a = { type = providers.local.file; inputs = { path = "a"; contents = toString ENDLESS; }; };"#;
    let place = Place::with(&busy.replace("ENDLESS", ENDLESS));
    let mut plan = place.call(&["plan"]).spawn();
    let pid = plan.child().id();
    let nix = || {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|p| p.file_name().to_str()?.parse::<u32>().ok()).find(|id| {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let argv = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let argv = String::from_utf8_lossy(&argv).into_owned();
            status.lines().any(|l| l == format!("PPid:\t{pid}")) && argv.contains("driver.nix")
        })
    };
    // Killed once it is started anew; killed again and again it is given up.
    let mut kills = 0;
    let mut code = None;
    wait_until("it gives up", || {
        if let Some(id) = nix() {
            kills += 1;
            let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
        code = plan.wait_at_most(Duration::from_millis(20)).and_then(|s| s.code());
        code.is_some()
    });
    assert_eq!(code, Some(1), "after {kills} kills");
    assert!(kills > 1, "it was started anew");
    let mut said = String::new();
    let _ = plan.child().stderr.take().map(|mut p| std::io::Read::read_to_string(&mut p, &mut said));
    assert_has(&said, "error: ");
    assert_lacks(&said, "panicked");
    place.deploy(r#"members.a = { type = providers.local.file; inputs = { path = "a"; contents = "x"; }; };"#);
    place.run(&["apply", "--yes"]);
}

/// The process ends with this code; gives back what it said.
#[track_caller]
fn ends(mut process: Guarded, code: i32) -> String {
    let ended = process.wait_at_most(Duration::from_secs(120)).and_then(|s| s.code());
    let mut said = String::new();
    let _ = process.child().stdout.take().map(|mut p| std::io::Read::read_to_string(&mut p, &mut said));
    let _ = process.child().stderr.take().map(|mut p| std::io::Read::read_to_string(&mut p, &mut said));
    assert_eq!(ended, Some(code), "{said}");
    said
}

#[test]
fn what_was_made_is_told_when_its_conditions_are_not_waited_for() {
    let place = Place::with(
        &r#"members.id = { type = providers.local.random; inputs.bytes = 4; postconditions = [ {
             assertion = builtins.stringLength members.id.outputs.hex + ENDLESS > 0;
             message = "m"; } ]; };"#
            .replace("ENDLESS", ENDLESS),
    );
    let apply = place.call(&["apply", "--yes"]).spawn();
    wait_until("it is made", || place.run(&["state", "list"]).stdout.contains("id"));
    apply.signal("INT");
    let said = ends(apply, 130);
    assert_has(&said, "error: stopped before all conditions were checked");
    assert_has(&said, "interrupted: 1 created");
}

#[test]
fn an_object_that_waits_for_a_build_is_not_made_after_ctrl_c() {
    let place = Place::new();
    // The build lasts far longer than its end is waited for.
    place.deploy(
        &r#"members.f = { type = providers.local.file; inputs = { path = "f"; contents = "${derivation {
             name = "slow"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "PATH=/bin:/usr/bin; echo > HERE/builds; sleep 600 || while :; do :; done; echo > $out" ]; }}"; }; };
           members.other = { type = providers.local.memo; inputs.initialize_with = 1; };"#
            .replace("HERE", &place.dir.display().to_string()),
    );
    let apply = place.call(&["apply", "--yes"]).spawn();
    wait_until("the rest is made", || place.run(&["state", "list"]).stdout.contains("other"));
    wait_until("it is built", || place.has("builds"));
    apply.signal("INT");
    let said = ends(apply, 130);
    assert_has(&said, "1 created, 1 not begun");
    assert!(!place.has("f"));
    assert_lacks(&place.run(&["state", "list"]).stderr, "was begun");
}

/// Waits until it says that it has heard of the first Ctrl-C; what it says after that is heard by nobody, and may still be said.
#[track_caller]
fn hears_the_signal(apply: &mut Guarded) {
    let mut lines = std::io::BufReader::new(apply.child().stderr.take().unwrap()).lines().map_while(Result::ok);
    let heard = lines.any(|line| line.contains("stopping: "));
    assert!(heard, "it ended without a word of the signal");
    std::thread::spawn(move || lines.for_each(drop));
}

#[test]
fn an_interrupted_apply_finishes_what_runs_and_begins_nothing_new() {
    let members = r#"
        members.first = { type = providers.local.exec; inputs = { executable = "/bin/sh"; args = [ "-c" "touch begun; while ! test -e go; do sleep 0.05; done" ]; }; };
        members.second = { type = providers.local.file; inputs = { path = "second"; contents = members.first.outputs.stdout; }; };"#;
    let place = Place::with(members);
    let mut apply = place.call(&["apply", "--yes"]).spawn();
    wait_until("it runs", || place.has("begun"));
    apply.signal("INT");
    hears_the_signal(&mut apply);
    place.write("go", "");
    assert_eq!(apply.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code()), Some(130));
    assert!(!place.has("second"));
    assert_has(&place.run(&["state", "list"]).stdout, "first");
    place.run(&["apply", "--yes"]);
    place.assert_no_change();

    // Twice gives up what runs; what became of it is said, and the next plan looks into it.
    let place = Place::with(members);
    let mut apply = place.call(&["apply", "--yes"]).spawn();
    wait_until("it runs", || place.has("begun"));
    apply.signal("INT");
    // Two signals before either is heard are one.
    hears_the_signal(&mut apply);
    apply.signal("INT");
    assert_eq!(apply.wait_at_most(Duration::from_secs(60)).and_then(|s| s.code()), Some(130));
    assert_has(&place.run(&["state", "list"]).stderr, "create of `first` was begun");
    place.write("go", "");
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
}
