//! `.env` files: read as godotenv reads them, edited without touching the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use freehold_recipe::EnvFile;
use freehold_testkit::{Scratch, not_run, run_limited};
use proptest::prelude::*;

fn env(text: &str) -> EnvFile {
    EnvFile::parse("app.env", text).unwrap_or_else(|error| panic!("{error}"))
}

/// What godotenv 1.5.1 made of texts that were thought of and of texts that were rolled, one JSON object per line:
/// `in`, and `out` or `err`.
const GODOTENV: &str = include_str!("godotenv.jsonl");

#[test]
fn files_are_read_as_godotenv_reads_them() {
    let mut refused = 0;
    for line in GODOTENV.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = case["in"].as_str().unwrap();
        let theirs = case["out"].as_object().map(|out| {
            let pairs = out.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
            pairs.collect::<BTreeMap<String, String>>()
        });
        match (theirs, EnvFile::parse("x.env", text)) {
            (Some(theirs), Ok(ours)) => assert_eq!(ours.variables(), theirs, "{text:?}"),
            (Some(theirs), Err(error)) => {
                let is_odd = |name: &String| name.is_empty() || name.contains(char::is_whitespace) || !name.is_ascii();
                assert!(theirs.keys().any(is_odd), "{text:?} is refused: {error}");
                refused += 1;
            }
            (None, Ok(ours)) => panic!("{text:?} is read: {:?}", ours.variables()),
            (None, Err(_)) => {}
        }
    }
    assert!(refused < GODOTENV.lines().count() / 4, "{refused} are refused that godotenv takes");
}

#[test]
fn what_is_recorded_is_what_godotenv_says() {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let program = cache.unwrap_or_default().join("freehold/interop/bin/godotenv");
    if !program.exists() {
        return not_run("the answers recorded of godotenv", "not built; run scripts/interop-tools godotenv");
    }
    let scratch = Scratch::new();
    // A start of a program for each: every fifth is enough to see that the record is of this program.
    for line in GODOTENV.lines().step_by(5) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = scratch.write("x.env", case["in"].as_str().unwrap());
        let mut command = Command::new(&program);
        command.env_clear().arg("-f").arg(file).args(["/usr/bin/env", "-0"]);
        let output = run_limited(&mut command, b"", Duration::from_secs(300));
        let printed = String::from_utf8_lossy(&output.stdout);
        let Some(recorded) = case["out"].as_object() else {
            assert!(!output.status.success(), "{line}: {printed:?}");
            continue;
        };
        // An environment has no variables without a name.
        let recorded = recorded.iter().filter(|(name, _)| !name.is_empty());
        let recorded: BTreeMap<&str, &str> =
            recorded.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let said: BTreeMap<&str, &str> =
            printed.split_terminator('\0').filter_map(|pair| pair.split_once('=')).collect();
        assert_eq!(said, recorded, "{line}");
    }
}

#[test]
fn a_line_that_is_none_is_told_with_its_place() {
    let told = |text: &str| {
        let error = EnvFile::parse("app.env", text).unwrap_err();
        let hint = error.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("{error}{hint}\n")
    };
    let all: String = [
        "A=1\nFOO\n",
        "A=1\n  B-C=2\n",
        "# a\n=x\n",
        "A='it\nB=2\n",
        "PASSWORD=\"s3cret\\\"\n",
        "\u{feff}A=1\n",
        "A=\"x\" y z\n",
    ]
    .map(told)
    .concat();
    insta::assert_snapshot!(all, @r#"
    app.env:2:1: there is no `=`
      hint: write `NAME=value`, or `#` before it
    app.env:2:4: `-` cannot be in a variable's name
      hint: names are letters, digits, `_` and `.`
    app.env:2:1: there is no name before the `=`
    app.env:1:3: this quote does not end
      hint: close it; a backslash directly before a quote keeps it open
    app.env:1:10: this quote does not end
      hint: close it; a backslash directly before a quote keeps it open
    app.env:1:1: the file begins with a byte order mark
      hint: save it without
    app.env:1:7: there is no `=`
      hint: write `NAME=value`, or `#` before it
    "#);
}

#[test]
fn an_edit_keeps_comments_order_and_every_other_byte() {
    let mut file = env(
        "TYPE=ghost\r\n\r\n# who\r\nDOMAIN=a.org   # the name\r\nA=\"x\" B=2\r\nCOMPOSE_FILE=\"compose.yml\"\r\nCOMPOSE_FILE=\"$COMPOSE_FILE:b.yml\"",
    );
    file.set("TYPE", "ghost:1.3.0+6.42.0-alpine").unwrap();
    file.set("DOMAIN", "b.org").unwrap();
    file.set("A", "y z").unwrap();
    file.set("COMPOSE_FILE", "compose.yml:c.yml").unwrap();
    file.set("NEW", "$HOME # `x`").unwrap();
    insta::assert_snapshot!(file.text().replace('\r', "␍"), @r#"
    TYPE=ghost:1.3.0+6.42.0-alpine␍
    ␍
    # who␍
    DOMAIN=b.org   # the name␍
    A="y z" B=2␍
    COMPOSE_FILE="compose.yml"␍
    COMPOSE_FILE="compose.yml:c.yml"␍
    NEW='$HOME # `x`'␍
    "#);
    assert!(file.unset("DOMAIN") && file.unset("COMPOSE_FILE") && !file.unset("NOBODY"));
    insta::assert_snapshot!(file.text().replace('\r', "␍"), @r#"
    TYPE=ghost:1.3.0+6.42.0-alpine␍
    ␍
    # who␍
    A="y z" B=2␍
    NEW='$HOME # `x`'␍
    "#);
}

/// A value without quotes, and its comment, end at a carriage return alone; what stands behind that is not theirs.
#[test]
fn removing_leaves_what_shares_its_line() {
    let removed = |text: &str, name: &str| {
        let mut file = EnvFile::parse("app.env", text).unwrap();
        assert!(file.unset(name), "{text:?}");
        file.text().to_owned()
    };
    assert_eq!(removed("A=x # c\rB=\"y\"\nC=1\n", "A"), "B=\"y\"\nC=1\n");
    assert_eq!(removed("A=\"x\" B=y # c\rC=\"z\"\n", "B"), "A=\"x\" \rC=\"z\"\n");
    assert_eq!(removed("A=\"x\" # c\nB=y\n", "A"), "B=y\n");
}

#[test]
fn what_cannot_be_written_is_said() {
    let mut file = env("A=1\n");
    let error = file.set("A", "it's\n\\").unwrap_err();
    assert_eq!(error.to_string(), "`A` cannot be set in `app.env`: no way of quoting keeps it");
    assert!(file.set("not a name", "1").is_err());
    assert_eq!(file.text(), "A=1\n");
}

#[test]
fn compose_files_are_those_of_the_last_line() {
    assert_eq!(env("").compose_files(), ["compose.yml"]);
    let text = "COMPOSE_FILE=\"compose.yml\"\n#COMPOSE_FILE=x\nCOMPOSE_FILE=\"$COMPOSE_FILE:db/compose.db.yml\"\n";
    assert_eq!(env(text).compose_files(), ["compose.yml", "db/compose.db.yml"]);
}

/// Lines as people write them.
fn line() -> impl Strategy<Value = String> {
    let name = "[A-D]{1,2}";
    prop_oneof![
        (name, "[a-z0-9 ./:$#]{0,8}").prop_map(|(name, value)| format!("{name}={value}")),
        (name, "[a-z0-9 .'/:$A-D{}#]{0,8}").prop_map(|(name, value)| format!("{name}=\"{value}\"")),
        (name, "[a-z0-9 .\"/:$A-D#]{0,8}").prop_map(|(name, value)| format!("export {name}='{value}' # length=3")),
        "# [ -~]{0,10}",
        " {0,3}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    (proptest::collection::vec(line(), 0..8), any::<bool>(), any::<bool>()).prop_map(|(lines, windows, ends)| {
        let end = if windows { "\r\n" } else { "\n" };
        lines.join(end) + if ends { end } else { "" }
    })
}

proptest! {
    #[test]
    fn a_value_that_is_set_is_read_back_and_all_else_stays(text in text(), name in "[A-E]{1,2}", value in "\\PC{0,12}|[ -~\n]{0,12}") {
        let before = env(&text);
        let mut after = before.clone();
        prop_assert_eq!(before.text(), &text);
        if after.set(&name, &value).is_err() {
            prop_assert_eq!(&after, &before);
            prop_assert!(value.contains(['\\', '\'']), "{:?} cannot be written", value);
            return Ok(());
        }
        prop_assert_eq!(after.get(&name), Some(value.as_str()));
        let at = before.assignments().iter().rposition(|one| one.name == name);
        let others = |file: &EnvFile| {
            let of = |(_, one): (usize, &freehold_recipe::Assignment)| (one.name.clone(), file.written(one).to_owned(), one.comment.clone());
            let is_other = |pair: &(usize, &freehold_recipe::Assignment)| Some(pair.0) != at && pair.0 < before.assignments().len();
            file.assignments().iter().enumerate().filter(is_other).map(of).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&after), others(&before));
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        // A value of several lines may have lines that look like comments.
        if !value.contains('\n') {
            prop_assert_eq!(comments(after.text()), comments(before.text()));
        }
        // Once more changes nothing, and setting what was there before gives the same value again.
        let again = after.clone();
        after.set(&name, &value).unwrap();
        prop_assert_eq!(&after, &again);
    }

    #[test]
    fn a_variable_that_is_removed_is_gone_and_the_others_stay(text in text(), name in "[A-D]{1,2}") {
        let before = env(&text);
        let mut after = before.clone();
        prop_assert_eq!(after.unset(&name), before.get(&name).is_some());
        prop_assert_eq!(after.get(&name), None);
        let others = |file: &EnvFile| {
            let of = |one: &freehold_recipe::Assignment| (one.name.clone(), file.written(one).to_owned());
            file.assignments().iter().filter(|one| one.name != name).map(of).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&after), others(&before));
    }
}
