//! Labels of backupbot v2: what of an app is saved, and what is run in its containers before and after.

use std::collections::{BTreeMap, BTreeSet};

use crate::Stack;

/// What a stack says about its backups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backup {
    /// The services that say `backupbot.backup=true`; the specification allows one.
    pub services: Vec<String>,
    /// Volumes (by key) that are left out.
    pub left_out: BTreeSet<String>,
    /// Volumes of which only these paths are saved, from the volume's root.
    pub paths: BTreeMap<String, Vec<String>>,
    /// Commands, in the order that the services have.
    pub hooks: Vec<Hook>,
    /// Labels of version 1, which say something else: `SERVICE LABEL`.
    pub old_labels: Vec<String>,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Before the backup.
    BeforeBackup,
    /// After the backup.
    AfterBackup,
    /// Before a restore.
    BeforeRestore,
    /// After a restore.
    AfterRestore,
}

/// A command that is run in a service's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The service.
    pub service: String,
    /// When.
    pub when: When,
    /// For `/bin/sh -c`.
    pub command: String,
}

const HOOKS: [(&str, When); 4] = [
    ("backup.pre-hook", When::BeforeBackup),
    ("backup.post-hook", When::AfterBackup),
    ("restore.pre-hook", When::BeforeRestore),
    ("restore.post-hook", When::AfterRestore),
];

impl Backup {
    /// Reads the labels of all services.
    pub fn of(stack: &Stack) -> Self {
        let all: Vec<_> = stack.services().map(|service| (service.name, service.labels())).collect();
        Self::of_labels(
            all.iter().flat_map(|(name, labels)| labels.iter().map(|(label, value)| (*name, *label, *value))),
        )
    }

    /// Reads labels that services have: the service, the label, its value.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Self {
        let mut backup = Self::default();
        for (service, label, value) in labels {
            if let Some(key) = label.strip_prefix("backupbot.") {
                backup.read(service, key, value);
            }
        }
        backup
    }

    /// Whether anything is to be saved.
    pub fn is_enabled(&self) -> bool {
        !self.services.is_empty()
    }

    fn read(&mut self, service: &str, key: &str, value: &str) {
        if key == "backup" {
            if value == "true" {
                self.services.push(service.to_owned());
            }
        } else if let Some((_, when)) = HOOKS.iter().find(|(name, _)| *name == key) {
            self.hooks.push(Hook { service: service.to_owned(), when: *when, command: value.to_owned() });
        } else if key == "backup.path" {
            self.old_labels.push(format!("{service} backupbot.{key}"));
        } else if let Some(volume) = key.strip_prefix("backup.volumes.") {
            match volume.strip_suffix(".path") {
                Some(volume) => {
                    let paths = value.split(',').map(str::trim).filter(|path| !path.is_empty());
                    self.paths.insert(volume.to_owned(), paths.map(str::to_owned).collect());
                }
                None if value == "false" => drop(self.left_out.insert(volume.to_owned())),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_is_saved() {
        let text = r#"{"services": {
            "app": {"image": "a", "deploy": {"labels": {"backupbot.backup": "true", "backupbot.backup.volumes.cache": "false",
                "backupbot.backup.volumes.data.path": "/a, b", "backupbot.backup.volumes.media": "true"}}},
            "db": {"image": "b", "deploy": {"labels": {"backupbot.backup.pre-hook": "/pg_backup.sh backup",
                "backupbot.restore.post-hook": "/pg_backup.sh restore", "backupbot.backup.path": "/old"}}}}}"#;
        let backup = Backup::of(&Stack::parse(text).unwrap());
        assert!(backup.is_enabled() && backup.left_out.contains("cache") && backup.left_out.len() == 1);
        assert_eq!(backup.paths["data"], ["/a", "b"]);
        assert_eq!(
            backup.hooks.iter().map(|hook| hook.when).collect::<Vec<_>>(),
            [When::BeforeBackup, When::AfterRestore]
        );
        assert_eq!(backup.old_labels, ["db backupbot.backup.path"]);
    }
}
