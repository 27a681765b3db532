//! Rules about the `.env` and the variables of the compose files.

use std::collections::BTreeSet;

use super::{Findings, Severity, Subject};

/// Set for every stack by whoever deploys it.
const GIVEN: [&str; 1] = ["STACK_NAME"];

/// A variable that nobody sets is empty, and Docker says nothing of it.
pub(super) fn undefined_variables(subject: &Subject<'_>, findings: &mut Findings) {
    for used in subject.files.iter().flat_map(crate::ComposeFile::variables) {
        let name = used.name.as_str();
        let is_set = subject.env.get(name).is_some() || subject.abra_sh.exports.contains_key(name);
        if used.has_default || is_set || GIVEN.contains(&name) {
            continue;
        }
        let in_sample = subject.sample.and_then(|sample| sample.get(name));
        // What the sample has only as a comment is an option.
        let is_option = subject.texts.get(".env.sample").is_some_and(|text| is_commented(text, name));
        let (severity, message) = match in_sample {
            Some(value) if !value.is_empty() => (
                Severity::Error,
                format!("the setting `{name}` is missing: the recipe's .env.sample has `{name}={value}`"),
            ),
            Some(_) => (Severity::Warning, format!("`{name}` is not set and has no default: Docker takes it as empty")),
            None if is_option => {
                (Severity::Notice, format!("`{name}` is not set and has no default: Docker takes it as empty"))
            }
            None => (Severity::Error, format!("nobody defines the variable `{name}`, and it has no default")),
        };
        let hint = format!("set `{name}` in the app's .env, empty if that is meant");
        findings.add(severity, "undefined-variable", Some(used.at), message, hint);
    }
}

/// What the recipe's sample sets and the app does not: abra warns of these, too.
pub(super) fn missing_settings(subject: &Subject<'_>, findings: &mut Findings) {
    let used: BTreeSet<String> =
        subject.files.iter().flat_map(crate::ComposeFile::variables).map(|used| used.name).collect();
    let Some(sample) = subject.sample else { return };
    for assignment in sample.assignments() {
        let name = &assignment.name;
        if subject.env.get(name).is_none() && !used.contains(name) && !["TYPE", "RECIPE"].contains(&name.as_str()) {
            let message = format!("`{name}` is in the recipe's .env.sample and not in the app's .env");
            let hint = format!(
                "copy the line: {}",
                sample.written(assignment).lines().next().map_or_else(String::new, |value| format!("`{name}={value}`"))
            );
            findings.add(Severity::Notice, "missing-setting", Some(assignment.at.clone()), message, hint);
        }
    }
}

/// What godotenv reads otherwise than most people think.
pub(super) fn surprising_values(subject: &Subject<'_>, findings: &mut Findings) {
    for assignment in subject.env.assignments() {
        let written = subject.env.written(assignment);
        let name = &assignment.name;
        let at = Some(assignment.at.clone());
        if !written.starts_with(['"', '\'']) && (written.starts_with('#') || written.contains(" #")) {
            let message = format!("the value of `{name}` has a `#` in it that looks like a comment and is none");
            findings.add(
                Severity::Warning,
                "comment-in-value",
                at.clone(),
                message,
                "put the value in quotes, or the comment on a line of its own",
            );
        }
        let is_expanded = !written.starts_with('\'');
        if is_expanded && ["${", "$"].iter().any(|mark| has_default(written, mark)) {
            let message = format!("the value of `{name}` gives a default for a variable; .env files have no defaults");
            findings.add(Severity::Warning, "default-in-env", at.clone(), message, "set the variable on a line above");
        }
        if written.len() > 2 && written.ends_with("\\\"\"") {
            let message = format!("the value of `{name}` ends with an escaped quote, which is lost");
            findings.add(Severity::Warning, "quote-lost", at, message, "put the value in single quotes");
        }
    }
}

/// Values that the sample holds as examples.
pub(super) fn placeholder_values(subject: &Subject<'_>, findings: &mut Findings) {
    for assignment in subject.env.assignments() {
        let value = &assignment.value;
        if value.ends_with(".example.com") || value.ends_with("@example.com") || value == "example.com" {
            let message = format!("`{}` still has the value of the sample, `{value}`", assignment.name);
            findings.add(
                Severity::Warning,
                "placeholder",
                Some(assignment.at.clone()),
                message,
                "set it to one of yours",
            );
        }
    }
}

/// Exports that only a shell could tell: abra takes them literally, or not at all.
pub(super) fn unknown_exports(subject: &Subject<'_>, findings: &mut Findings) {
    for (name, at) in &subject.abra_sh.unknown {
        let message = format!("`{name}` would have to be worked out by a shell, and abra.sh is not executed");
        findings.add(Severity::Warning, "export-not-plain", Some(at.clone()), message, "export a plain value");
    }
}

fn has_default(written: &str, mark: &str) -> bool {
    written.match_indices(mark).any(|(at, _)| {
        let name = &written[at + mark.len()..];
        let end = name.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(name.len());
        end > 0 && mark == "${" && (name[end..].starts_with(":-") || name[end..].starts_with('-'))
    })
}

fn is_commented(sample: &str, name: &str) -> bool {
    let of = |line: &str| line.trim_start().trim_start_matches('#').trim_start().split('=').next() == Some(name);
    sample.lines().any(|line| line.trim_start().starts_with('#') && line.contains('=') && of(line))
}
