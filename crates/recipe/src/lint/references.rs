//! Rules about names that one part of a stack uses of another: Docker composes them all the same, and fails when it deploys them,
//! after what ran was stopped.

use super::{Findings, Severity, Subject};
use crate::Service;

/// A service's networks, volumes, secrets and configs have to stand in the sections of that name.
pub(super) fn undeclared(subject: &Subject<'_>, findings: &mut Findings) {
    for service in subject.stack.services() {
        let networks = service.networks().into_iter().filter(|name| *name != "default");
        missing(subject, service, "networks", networks, findings);
        missing(subject, service, "volumes", service.named_volumes(), findings);
        missing(subject, service, "secrets", service.sources("secrets"), findings);
        missing(subject, service, "configs", service.sources("configs"), findings);
    }
}

fn missing<'a>(
    subject: &Subject<'_>,
    service: Service<'_>,
    section: &str,
    names: impl Iterator<Item = &'a str>,
    findings: &mut Findings,
) {
    for name in names.filter(|name| !subject.stack.declares(section, name)) {
        let at = subject.place(&["services", service.name, section]);
        let message = format!("`{}` uses `{name}`, which `{section}` of the recipe does not have", service.name);
        findings.add(Severity::Error, "undeclared", at, message, format!("add `{name}:` to `{section}:`"));
    }
}
