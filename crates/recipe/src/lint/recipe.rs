//! Rules about the recipe as a whole: its main service, its tags, its labels.

use super::{Findings, Severity, Subject};
use crate::{APP_SERVICE, AppType, Backup, Version};

pub(super) fn no_app_service(subject: &Subject<'_>, findings: &mut Findings) {
    if subject.stack.service(APP_SERVICE).is_none() {
        let names: Vec<&str> = subject.stack.services().map(|service| service.name).collect();
        let message = format!("there is no service `{APP_SERVICE}`, only {}", names.join(", "));
        let hint = "the main service of a recipe is called `app`: its labels say which version runs";
        findings.add(Severity::Error, "no-app-service", None, message, hint);
    }
}

/// One lightweight tag is enough for abra to refuse the whole recipe (its rule R014).
pub(super) fn lightweight_tags(subject: &Subject<'_>, findings: &mut Findings) {
    let light: Vec<&str> = subject.tags.iter().filter(|tag| !tag.is_annotated).map(|tag| tag.name.as_str()).collect();
    if light.is_empty() {
        return;
    }
    let shown = light.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = if light.len() > 3 { format!(" and {} more", light.len() - 3) } else { String::new() };
    let message = format!("lightweight tags: {shown}{more}; abra refuses to deploy any version of this recipe");
    let hint = format!("in the recipe: `git tag -a -f {0} {0}^{{}}`, and push it", light[0]);
    findings.add(Severity::Warning, "lightweight-tag", None, message, hint);
    // It may be moved without anybody seeing it: what would be deployed is not what was released.
    let pin = AppType::of(subject.env).ok().and_then(|app| app.pin);
    if let Some(name) = pin.map(|pin| pin.to_string()).filter(|pin| light.contains(&pin.as_str())) {
        let message = format!("the version `{name}` is a lightweight tag, which is no release");
        let hint = format!("in the recipe: `git tag -a -f {name} {name}^{{}}`, and push it");
        findings.add(Severity::Error, "lightweight-version", None, message, hint);
    }
}

/// The label of the compose file is what abra shows for a work tree, so it should name a version.
pub(super) fn version_label(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(app) = subject.stack.service(APP_SERVICE) else { return };
    let name = format!("coop-cloud.{}.version", subject.stack_name);
    let at = subject.service_place(APP_SERVICE);
    match app.labels().get(name.as_str()).map(|version| version.parse::<Version>()) {
        None => {
            let hint = "`abra recipe sync` writes it";
            findings.add(Severity::Notice, "version-label", at, format!("`app` has no label `{name}`"), hint);
        }
        Some(Err(error)) => {
            findings.add(
                Severity::Warning,
                "version-label",
                at,
                format!("the label `{name}`: {error}"),
                "write `X.Y.Z+app`",
            );
        }
        Some(Ok(_)) => {}
    }
}

pub(super) fn backup_labels(subject: &Subject<'_>, findings: &mut Findings) {
    let backup = Backup::of(subject.stack);
    if backup.services.len() > 1 {
        let message = format!("more than one service says `backupbot.backup=true`: {}", backup.services.join(", "));
        findings.add(Severity::Warning, "backup-services", None, message, "version 2 of backupbot takes exactly one");
    }
    for label in &backup.old_labels {
        let (service, label) = label.split_once(' ').unwrap_or(("", label));
        let message = format!("`{service}` has the label `{label}` of backupbot's version 1");
        let hint = "write `backupbot.backup.volumes.VOLUME.path=…`; version 2 saves all volumes unless told otherwise";
        findings.add(Severity::Warning, "backup-v1", subject.service_place(service), message, hint);
    }
    let own = subject.stack.volumes(subject.stack_name);
    let named = backup.left_out.iter().chain(backup.paths.keys());
    for volume in named.filter(|volume| !own.contains_key(*volume)) {
        let message = format!("a backup label names the volume `{volume}`, and the stack makes no such volume");
        let hint = format!("there is: {}", own.keys().cloned().collect::<Vec<_>>().join(", "));
        findings.add(Severity::Warning, "backup-volume", None, message, hint);
    }
}
