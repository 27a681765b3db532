//! Rules about names in the Swarm.

use super::{Findings, Severity, Subject};
use crate::names::{SECRET_NAME_CHARACTERS, SERVICE_NAME_CHARACTERS, STACK_NAME_CHARACTERS};
use crate::secrets::version_variable;

pub(super) fn too_long(subject: &Subject<'_>, findings: &mut Findings) {
    let hint = "set a shorter STACK_NAME in the app's .env";
    let mut check = |what: &str, name: &str, most: usize, path: &[&str]| {
        let length = name.chars().count();
        if length > most {
            let message = format!("the {what} `{name}` has {length} characters; Docker takes {most}");
            findings.add(Severity::Error, "name-too-long", subject.place(path), message, hint);
        }
    };
    for secret in subject.stack.secrets() {
        check("secret", &secret.name, SECRET_NAME_CHARACTERS, &["secrets", &secret.key, "name"]);
    }
    for config in subject.stack.configs() {
        check("config", &config.name, SECRET_NAME_CHARACTERS, &["configs", &config.key, "name"]);
    }
    for service in subject.stack.services() {
        let name = format!("{}_{}", subject.stack_name, service.name);
        check("service", &name, SERVICE_NAME_CHARACTERS, &["services", service.name]);
    }
    if subject.env.get("STACK_NAME").is_none() && subject.domain.chars().count() > STACK_NAME_CHARACTERS {
        let message =
            format!("the stack's name is cut off at `{}`: two long domains can get the same", subject.stack_name);
        findings.add(Severity::Warning, "name-cut-off", None, message, hint);
    }
}

/// What the Swarm holds cannot be changed, so a name without a version can never be deployed with other contents.
pub(super) fn unversioned(subject: &Subject<'_>, findings: &mut Findings) {
    for secret in subject.stack.secrets().into_iter().filter(|secret| secret.is_external) {
        let raw = subject.files.iter().rev().find_map(|file| file.raw_secret_name(&secret.key));
        if raw.as_ref().is_none_or(|(raw, _)| version_variable(raw).is_none()) {
            let message = format!("the secret `{}` has no variable for its version: it cannot be rotated", secret.key);
            let at = raw.map(|(_, at)| at).or_else(|| subject.place(&["secrets", &secret.key]));
            let hint = "name it `${STACK_NAME}_NAME_${SECRET_NAME_VERSION}`";
            findings.add(Severity::Warning, "secret-version", at, message, hint);
        }
    }
    for config in subject.stack.configs().into_iter().filter(|config| !config.is_external) {
        let raw = subject.files.iter().rev().find_map(|file| file.raw_config_name(&config.key));
        match raw.as_ref().map(|(raw, at)| (version_variable(raw), at.clone())) {
            Some((Some(variable), at)) => {
                let is_known = subject.abra_sh.exports.contains_key(variable) || subject.env.get(variable).is_some();
                if !is_known {
                    let message =
                        format!("`{variable}`, the version of the config `{}`, is exported by no abra.sh", config.key);
                    let hint = "export it: a change of the config needs another version";
                    findings.add(Severity::Notice, "config-version", Some(at), message, hint);
                }
            }
            other => {
                let message = format!(
                    "the config `{}` has no variable for its version: once deployed it cannot change",
                    config.key
                );
                let at = other.map(|(_, at)| at).or_else(|| subject.place(&["configs", &config.key]));
                findings.add(
                    Severity::Warning,
                    "config-version",
                    at,
                    message,
                    "name it `${STACK_NAME}_NAME_${NAME_VERSION}`",
                );
            }
        }
    }
}
