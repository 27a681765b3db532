//! Scripts of commands with their output (`scenarios/*.txt`), run with the real program and a real Nix.
//!
//! In a script, `$ ` begins a command for `sh` (with `> ` its further lines), `#` a remark; what follows is standard output, then
//! standard error with `! ` in front, then `[exit N]` unless N is 0. What differs from run to run is written as in [`plain`].
//! `BLESS=1 cargo test -p freehold-cli --test scenarios` writes what is printed now; look at the difference before you commit it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a panic is the report of a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use freehold_testkit::s3::{Fault, S3Server};
use freehold_testkit::{Nix, Scratch, freehold_binary, nixes, repository_root, run_limited};
use regex_lite::Regex;

const LIMIT: Duration = Duration::from_secs(300);

/// Variables that a script finds beside the usual ones; their values are shown by their names.
type Variables<'a> = &'a [(&'a str, &'a str)];

fn scenario(name: &str) {
    run(name, nixes().first().unwrap(), &[]);
}

fn run(name: &str, nix: &Nix, variables: Variables<'_>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
    let script = fs_err::read_to_string(&file).unwrap();
    let played = play(&script, nix, variables);
    if std::env::var_os("BLESS").is_some() {
        fs_err::write(&file, played).unwrap();
        return;
    }
    if played != script {
        let diff = similar::TextDiff::from_lines(&script, &played);
        let diff = diff.unified_diff().header("as committed", "as played").to_string();
        panic!("{name} on Nix {} goes otherwise:\n{diff}", nix.name);
    }
}

/// The script with what its commands print now.
fn play(script: &str, nix: &Nix, variables: Variables<'_>) -> String {
    let scratch = Scratch::new();
    let dir = scratch.dir("d");
    let mut played = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') || line.is_empty() && lines.peek().is_none_or(|next| next.starts_with(['#', '$'])) {
            played += &format!("{line}\n");
            continue;
        }
        // Output of the last time.
        let Some(first) = line.strip_prefix("$ ") else { continue };
        played += &format!("{line}\n");
        let mut command = first.to_owned();
        while let Some(more) = lines.next_if(|l| l.starts_with("> ") || *l == ">") {
            played += &format!("{more}\n");
            command += &format!("\n{}", more.get(2..).unwrap_or_default());
        }
        let mut said = sh(&command, &dir, &scratch, nix, variables).replace(&nix.bin.display().to_string(), "NIX");
        for (name, value) in variables {
            said = said.replace(value, name);
        }
        played += &plain(&said, &scratch);
    }
    played
}

fn sh(command: &str, dir: &Path, scratch: &Scratch, nix: &Nix, variables: Variables<'_>) -> String {
    let home = scratch.dir("home");
    let bin = freehold_binary().parent().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(dir)
        .env_clear()
        .env("LANG", "C.UTF-8")
        .env("USER", "ada")
        .env("TMPDIR", scratch.dir("tmp"))
        .env("HOME", &home)
        .env("REPOSITORY", repository_root())
        .envs(nix.env(&home))
        .env("PATH", format!("{}:{}:/usr/bin:/bin", bin.display(), nix.bin.display()))
        .env("NO_COLOR", "1")
        .envs(variables.iter().copied());
    let output = run_limited(&mut shell, b"", LIMIT);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text += "(no end of line)\n";
    }
    text.extend(String::from_utf8_lossy(&output.stderr).lines().map(|line| format!("! {line}\n")));
    match output.status.code() {
        Some(0) => {}
        Some(code) => text += &format!("[exit {code}]\n"),
        None => text += &format!("[{}]\n", output.status),
    }
    text
}

/// What differs from run to run gets a name; blank lines at the end and spaces at the ends of lines go.
fn plain(text: &str, scratch: &Scratch) -> String {
    let root: PathBuf = scratch.path().to_owned();
    let text = text
        .replace(&root.display().to_string(), "DIR")
        .replace(&repository_root().display().to_string(), "REPOSITORY");
    let patterns = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"(?m)^\d{4}-\d\d-\d\d$", "DAY"),
        (r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS"),
        (r"\b(\d+ min )?\d+(\.\d+)? s\b", "N s"),
        (r#""seconds":\s*[0-9.e-]+"#, r#""seconds":N"#),
        (r"ada@[A-Za-z0-9._-]+", "ada@HOST"),
        (r"`ada` on `[^`]*` \(pid \d+", "`ada` on `HOST` (pid PID"),
        (r"/store/[a-z0-9]{32}-", "/store/HASH-"),
        (r"#[0-9a-f]{12}\b", "#DIGEST"),
        (r"lib/[0-9a-f]{32}", "lib/DIGEST"),
        (r"age1[a-z0-9]{58}", "age1RECIPIENT"),
        (r"\b[0-9a-f]{64}\b", "SHA256"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
        (r"\bhello [0-9a-f]{8}\b", "hello HEX"),
        (r"\d+ MiB free", "N MiB free"),
        (r"\bbyte \d+", "byte N"),
        (r":[A-Za-z0-9+/]{43}=", ":PUBLIC"),
        (r"\b\d+(\.\d+)? (B|kB|MB)\b", "N bytes"),
        (r"\bNix 2\.\d+(\.\d+)?", "Nix 2.N"),
        (r"\(pid \d+\)", "(pid PID)"),
        (r"(?m)[ \t]+$", ""),
    ];
    let mut text = text;
    for (pattern, name) in patterns {
        text = Regex::new(pattern).unwrap().replace_all(&text, name).into_owned();
    }
    if text.trim().is_empty() { String::new() } else { format!("{}\n", text.trim_end()) }
}

#[test]
fn the_story_of_the_first_deployment() {
    for nix in nixes() {
        run("story.txt", nix, &[]);
    }
}

#[test]
fn a_state_that_was_lost_or_damaged_is_told_and_repaired() {
    scenario("damaged-state.txt");
}

#[test]
fn a_secret_that_comes_from_elsewhere_and_changes_is_a_change() {
    scenario("changed-secrets.txt");
}

#[test]
fn what_commands_print_for_programs_is_as_its_schema_says() {
    scenario("json-reports.txt");
}

#[test]
fn every_report_on_services_and_caches_has_a_schema() {
    scenario("json-services.txt");
}

#[test]
fn what_was_there_before_is_neither_overwritten_nor_deleted_unasked() {
    scenario("what-was-there.txt");
}

#[test]
fn what_is_wrong_with_a_deployment_is_said_with_what_mends_it() {
    scenario("bad-deployments.txt");
}

#[test]
fn the_command_line_says_what_it_cannot_do() {
    scenario("usage.txt");
}

#[test]
fn inputs_and_outputs_are_held_against_the_schema_of_their_provider() {
    scenario("against-the-schema.txt");
}

#[test]
fn a_flake_says_itself_which_deployment_it_has() {
    scenario("flakes.txt");
}

#[test]
fn providers_that_misbehave_are_named() {
    scenario("bad-providers.txt");
}

#[test]
fn the_state_can_be_looked_at_moved_and_mended() {
    scenario("state.txt");
}

#[test]
fn the_state_can_be_in_a_bucket() {
    let server = S3Server::start();
    server.create_bucket("states");
    let variables = [
        ("ENDPOINT", server.endpoint()),
        ("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY.to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run("state-in-a-bucket.txt", nixes().first().unwrap(), &variables);
}

#[test]
fn a_cache_is_pushed_to_pulled_from_and_looked_after() {
    for nix in nixes() {
        run("cache.txt", nix, &[]);
    }
}

#[test]
fn a_saved_plan_is_done_or_refused() {
    scenario("saved-plans.txt");
}

#[test]
fn secrets_are_shown_to_who_asks_and_to_nobody_else() {
    scenario("secrets.txt");
}

#[test]
fn operations_run_and_keys_rotate() {
    scenario("operations.txt");
}

#[test]
fn one_writer_at_a_time_and_it_can_be_stopped() {
    scenario("interrupt.txt");
}

#[test]
fn names_may_hold_anything() {
    scenario("names.txt");
}

#[test]
fn programs_read_json() {
    scenario("json.txt");
}

#[test]
fn what_is_decided_during_apply_is_in_the_plan() {
    scenario("decided-late.txt");
}

#[test]
fn conditions_are_looked_at_before_during_and_after() {
    scenario("conditions.txt");
}

#[test]
fn a_member_that_is_not_there_is_named() {
    scenario("unknown-members.txt");
}

#[test]
fn members_can_be_targeted_kept_and_protected() {
    scenario("lifecycle.txt");
}

#[test]
fn init_and_doctor_help_to_begin() {
    scenario("begin.txt");
}

#[test]
fn services_are_members_of_a_deployment() {
    scenario("declared-services.txt");
}

#[test]
fn services_are_published_run_upgraded_taken_back_and_removed() {
    scenario("services.txt");
}

#[test]
fn a_service_may_be_a_nix_file_and_an_artifact_a_single_program() {
    scenario("services-from-files.txt");
}

#[test]
fn everything_works_through_a_bucket_too() {
    let server = S3Server::start();
    for bucket in ["shop", "reports"] {
        server.create_bucket(bucket);
    }
    // Nobody notices: what fails on the way is done again.
    for (fault, method, part) in [
        (Fault::Unavailable, "PUT", "/shop/nar/"),
        (Fault::LostReply, "PUT", ".narinfo"),
        (Fault::LostReply, "PUT", "/shop/manifest.json"),
        (Fault::SlowDown, "GET", "/shop/manifest.json"),
        (Fault::ErrorAfterEffect, "PUT", "/reports/"),
        (Fault::LostRequest, "GET", "/reports/"),
    ] {
        server.inject(fault, method, part, 2);
    }
    let variables = [
        ("SERVER", server.endpoint().trim_start_matches("http://").to_owned()),
        ("WRITER", S3Server::ACCESS_KEY.to_owned()),
        ("WRITER_SECRET", S3Server::SECRET_KEY.to_owned()),
        ("READER", S3Server::READER_KEY.to_owned()),
        ("READER_SECRET", S3Server::READER_SECRET.to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run("services-in-a-bucket.txt", nixes().first().unwrap(), &variables);
}

#[test]
fn hosts_are_watched_by_publishers_by_logs_and_by_metrics() {
    scenario("watch.txt");
}

#[test]
fn apps_of_co_op_cloud_are_planned_as_members() {
    scenario("declared-apps.txt");
}

#[test]
fn apps_without_a_docker() {
    scenario("apps.txt");
}
