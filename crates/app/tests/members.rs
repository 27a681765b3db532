//! Apps as members of a deployment, on a real Swarm: planned, deployed, upgraded, taken back, healed and taken away by `freehold
//! plan`, `apply` and `destroy`, beside `freehold app`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod swarm;

use freehold_testkit::Finished;
use swarm::{Swarm, inside};

const DOMAIN: &str = "blog.example.org";

#[test]
fn an_app_that_is_a_member_is_kept_as_declared_and_taken_back_when_it_is_not_healthy_on_a_swarm() {
    let Some(swarm) =
        inside("an_app_that_is_a_member_is_kept_as_declared_and_taken_back_when_it_is_not_healthy_on_a_swarm")
    else {
        return;
    };
    swarm.done(&["swarm", "init", "--advertise-addr", swarm::ADDRESS]);
    swarm.recipe("1.0.0+1.0.0", "STATUS=200", "");
    declare(&swarm, "1.0.0+1.0.0", "");
    deploys_what_is_declared_and_touches_nothing_after_that(&swarm);
    upgrades_and_takes_an_unhealthy_version_back_with_its_data(&swarm);
    heals_what_others_changed(&swarm);
    a_changed_secret_is_a_new_version_of_it(&swarm);
    leaves_data_when_it_is_destroyed_unless_it_is_said(&swarm);
    takes_over_what_was_deployed_by_hand_only_when_asked(&swarm);
    leaves_a_stack_of_others_alone(&swarm);
}

/// Writes the deployment.
fn declare(swarm: &Swarm, version: &str, more: &str) {
    let text = format!(
        r#"{{ freehold, ... }}:
freehold.lib.mkRoot {{
  modules = [
    ({{ providers, members, ... }}: {{
      members.token = {{ type = providers.local.password; inputs.length = 24; }};
      members.blog = {{
        type = providers.workload.app;
        inputs = {{
          recipe = "stub"; domain = "{DOMAIN}"; version = "{version}"; stateful = true;
          healthOrigin = "http://127.0.0.1:18080"; healthOk = [ 200 ]; healthTimeout = 30; timeout = 300;
          secrets.token = members.token.outputs.password; {more}
        }};
      }};
    }})
  ];
}}
"#
    );
    swarm.scratch().dir("deployment");
    swarm.scratch().write("deployment/freehold.nix", text);
}

fn run(swarm: &Swarm, words: &[&str], code: i32) -> Finished {
    swarm.freehold("deployment", words).code(code)
}

fn deploys_what_is_declared_and_touches_nothing_after_that(swarm: &Swarm) {
    let planned = run(swarm, &["plan"], 0).stdout;
    assert!(planned.contains("blog  workload.app") && planned.contains("2 to create"), "{planned}");
    assert_eq!(swarm.docker(&["service", "ls", "--quiet"]), "", "a plan changes nothing");
    run(swarm, &["apply", "--yes"], 0);
    assert_eq!(swarm.answer(), "1.0.0");
    let version = run(swarm, &["outputs", "blog", "version", "--raw"], 0).stdout;
    assert_eq!(version.trim(), "1.0.0+1.0.0");
    let before = swarm.versions();
    let planned = run(swarm, &["plan"], 0).stdout;
    assert!(planned.contains("nothing to change"), "{planned}");
    run(swarm, &["apply", "--yes"], 0);
    assert_eq!(swarm.versions(), before);
    assert_eq!(swarm.json(&["check", DOMAIN], 0)["healthy"], true, "`freehold app` knows it, too");
    // The secret's value went to Docker and to the encrypted state, and nowhere else.
    let token = run(swarm, &["outputs", "token", "password", "--raw", "--reveal"], 0).stdout;
    let found = std::process::Command::new("grep")
        .args([
            "--recursive",
            "--files-with-matches",
            "--fixed-strings",
            token.trim(),
            "abra",
            "state",
            "alerts",
            "deployment",
        ])
        .current_dir(swarm.scratch().path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

fn upgrades_and_takes_an_unhealthy_version_back_with_its_data(swarm: &Swarm) {
    swarm.recipe("1.1.0+1.1.0", "STATUS=200", "");
    declare(swarm, "1.1.0+1.1.0", "");
    run(swarm, &["apply", "--yes"], 0);
    assert_eq!((swarm.answer().as_str(), swarm.data().as_str()), ("1.1.0", "1.0.0\n1.1.0\n"));
    swarm.recipe("1.2.0+1.2.0", "STATUS=500", "");
    declare(swarm, "1.2.0+1.2.0", "");
    let failed = run(swarm, &["apply", "--yes"], 1).stderr;
    assert!(failed.contains("`1.2.0+1.2.0` of `blog.example.org` was taken back"), "{failed}");
    assert!(failed.contains("`1.1.0+1.1.0` runs again") && failed.contains("500"), "{failed}");
    assert_eq!((swarm.answer().as_str(), swarm.data().as_str()), ("1.1.0", "1.0.0\n1.1.0\n1.1.0\n"));
    let before = swarm.versions();
    let held = run(swarm, &["apply", "--yes"], 1).stderr;
    assert!(held.contains("is held") && held.contains("freehold app deploy blog.example.org --retry"), "{held}");
    assert_eq!(swarm.versions(), before, "it is not tried again by itself");
    assert_eq!(swarm.json(&["deploy", DOMAIN, "--retry"], 3)["action"], "rolled-back", "a person may");
    declare(swarm, "9.9.9+9.9.9", "");
    let unknown = run(swarm, &["apply", "--yes"], 1).stderr;
    assert!(unknown.contains("9.9.9+9.9.9"), "{unknown}");
    assert_eq!(swarm.answer(), "1.1.0");
    declare(swarm, "1.1.0+1.1.0", "");
    run(swarm, &["apply", "--yes"], 0);
}

fn heals_what_others_changed(swarm: &Swarm) {
    swarm.docker(&["service", "rm", "blog_example_org_app"]);
    let planned = run(swarm, &["plan"], 0).stdout;
    assert!(planned.contains("does not run"), "{planned}");
    run(swarm, &["apply", "--yes"], 0);
    assert_eq!(swarm.answer(), "1.1.0");
    // Somebody went back by hand.
    swarm.json(&["rollback", DOMAIN, "1.0.0+1.0.0"], 0);
    let planned = run(swarm, &["plan"], 0).stdout;
    assert!(planned.contains("1.0.0+1.0.0 runs, and 1.1.0+1.1.0 is declared"), "{planned}");
    let held = run(swarm, &["apply", "--yes"], 1).stderr;
    assert!(held.contains("a person went back from it"), "it is theirs to go on: {held}");
    assert_eq!(swarm.json(&["deploy", DOMAIN, "--retry"], 0)["healthy"], true);
    assert_eq!(swarm.answer(), "1.1.0");
    run(swarm, &["apply", "--yes"], 0);
    swarm.done(&["env", DOMAIN, "LETS_ENCRYPT_ENV=production"]);
    let planned = run(swarm, &["plan"], 0).stdout;
    assert!(planned.contains(".env says otherwise of LETS_ENCRYPT_ENV"), "{planned}");
    run(swarm, &["apply", "--yes"], 0);
    assert!(run(swarm, &["plan"], 0).stdout.contains("nothing to change"));
}

fn a_changed_secret_is_a_new_version_of_it(swarm: &Swarm) {
    let before = swarm.docker(&["secret", "ls", "--format", "{{.Name}}"]);
    run(swarm, &["run", "token", "rotate"], 0);
    run(swarm, &["apply", "--yes"], 0);
    let after = swarm.docker(&["secret", "ls", "--format", "{{.Name}}"]);
    assert_eq!((before.lines().count(), after.lines().count()), (1, 2), "{before} {after}");
    assert!(run(swarm, &["plan"], 0).stdout.contains("nothing to change"));
}

fn leaves_data_when_it_is_destroyed_unless_it_is_said(swarm: &Swarm) {
    let data = swarm.data();
    run(swarm, &["destroy", "--yes"], 0);
    assert_eq!(swarm.docker(&["service", "ls", "--quiet"]), "");
    assert_eq!(swarm.data(), data);
    assert!(swarm.env_file(DOMAIN).contains("TYPE=stub:"));
    declare(swarm, "1.1.0+1.1.0", "keepData = false;");
    run(swarm, &["apply", "--yes"], 0);
    assert_eq!(swarm.data(), format!("{data}1.1.0\n"), "it goes on with its data");
    run(swarm, &["destroy", "--yes"], 0);
    let left = [&["service", "ls", "--quiet"][..], &["secret", "ls", "--quiet"], &["volume", "ls", "--quiet"]];
    assert_eq!(left.map(|words| swarm.docker(words)), ["", "", ""]);
    assert!(!swarm.scratch().join(format!("abra/servers/default/{DOMAIN}.env")).exists());
}

fn takes_over_what_was_deployed_by_hand_only_when_asked(swarm: &Swarm) {
    swarm.done(&["new", "stub", "--domain", DOMAIN, "--version", "1.1.0+1.1.0", "--secrets"]);
    swarm.json(&["deploy", DOMAIN, "--no-health", "--health-window", "1"], 0);
    let refused = run(swarm, &["apply", "--yes"], 1).stderr;
    assert!(refused.contains("this member did not deploy") && refused.contains("freehold import blog"), "{refused}");
    run(swarm, &["import", "blog", DOMAIN], 0);
    run(swarm, &["apply", "--yes"], 0);
    assert!(run(swarm, &["plan"], 0).stdout.contains("nothing to change"));
    run(swarm, &["destroy", "--yes"], 0);
    assert_eq!(swarm.docker(&["volume", "ls", "--quiet"]), "");
}

/// A stack that has the app's name and is none: the member never comes to run, and goes without touching it.
fn leaves_a_stack_of_others_alone(swarm: &Swarm) {
    let (name, label) = ("blog_example_org_theirs", "com.docker.stack.namespace=blog_example_org");
    let words = ["service", "create", "--detach", "--name", name, "--label", label, "--endpoint-mode", "dnsrr"];
    swarm.docker(&[&words[..], &["--env", "STATUS=200", "freehold-stub:1"]].concat());
    let held = run(swarm, &["apply", "--yes"], 1).stderr;
    assert!(held.contains("was not rolled out from here"), "{held}");
    run(swarm, &["destroy", "--yes"], 0);
    assert_eq!(swarm.docker(&["service", "ls", "--format", "{{.Name}}"]).trim(), name);
}
