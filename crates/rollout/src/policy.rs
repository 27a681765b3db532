//! Update policy: which of the releases that exist may be rolled out without a person.
//!
//! It knows no version scheme: whoever does (a recipe's tags, a channel) lists the versions in order and says how each differs
//! from the one before it. Read on in `decide.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Release;

/// What may be rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Whether newer versions than the declared one are looked at.
    pub mode: Mode,
    /// The largest step that goes without a person, with `auto`.
    pub up_to: UpTo,
}

/// Whether newer versions than the declared one are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The declared version, exactly.
    #[default]
    Pinned,
    /// The declared version is the floor.
    Auto,
}

/// The largest step that goes without a person. There is no `major`: that is what a person is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpTo {
    /// Patch versions only.
    Patch,
    /// Patch and minor versions.
    #[default]
    Minor,
}

/// How a version differs from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing that anyone has to know of.
    Patch,
    /// New things, old ones stay.
    Minor,
    /// What worked may need a hand.
    Major,
}

/// A version that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What would be rolled out.
    pub release: Release,
    /// How it differs from the version before it.
    pub change: Change,
    /// What its release notes ask a person to do, when they do.
    pub manual: Option<String>,
}

/// What a policy makes of the versions that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The newest release that may be rolled out.
    pub release: Release,
    /// A newer one that needs a person, and why.
    pub held: Option<(Release, String)>,
}

impl Policy {
    /// The declared version, exactly.
    pub const PINNED: Self = Self { mode: Mode::Pinned, up_to: UpTo::Minor };
    /// The declared version is the floor; patch and minor versions go.
    pub const AUTO: Self = Self { mode: Mode::Auto, up_to: UpTo::Minor };

    /// Chooses among `versions`, oldest first. Where `declared` is not among them they are all newer than it.
    ///
    /// `reached` is the identity of the last good release, when there is one. What is already running is never held, and never
    /// left for an older one that the policy itself would choose; the declared release always goes, for a person declared it.
    pub fn choose(&self, declared: &Release, versions: &[Version], reached: Option<&str>) -> Choice {
        let mut choice = Choice { release: declared.clone(), held: None };
        if self.mode == Mode::Pinned {
            return choice;
        }
        // What was reached once, by a person's hand perhaps, is a floor as well.
        let is_floor = |version: &Version| version.release.is(declared) || Some(version.release.id()) == reached;
        let floor = versions.iter().rposition(is_floor).map_or(0, |at| at + 1);
        if let Some(version) = floor.checked_sub(1).and_then(|at| versions.get(at)) {
            choice.release = version.release.clone();
        }
        for version in versions.iter().skip(floor) {
            if let Some(reason) = self.objection(version) {
                choice.held = Some((version.release.clone(), reason));
                break;
            }
            choice.release = version.release.clone();
        }
        choice
    }

    fn objection(&self, version: &Version) -> Option<String> {
        if let Some(notes) = &version.manual {
            return Some(format!("its release notes ask for a person: {notes}"));
        }
        match (version.change, self.up_to) {
            (Change::Major, _) => Some("it is a major version".to_owned()),
            (Change::Minor, UpTo::Patch) => Some("it is a minor version, and the policy lets patches go".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(id: &str) -> Release {
        Release::new(id, serde_json::Value::Null).unwrap()
    }

    fn version(id: &str, change: Change) -> Version {
        Version { release: release(id), change, manual: None }
    }

    fn check(policy: Policy, reached: Option<&str>, expected: &str) {
        let mut versions = vec![
            version("1.0.1", Change::Patch),
            version("1.1.0", Change::Minor),
            version("2.0.0", Change::Major),
            version("2.0.1", Change::Patch),
            version("2.1.0", Change::Minor),
        ];
        versions[4].manual = Some("move the database".to_owned());
        let choice = policy.choose(&release("1.0.0"), &versions, reached);
        let held = choice.held.map(|(release, reason)| format!(", held {release}: {reason}")).unwrap_or_default();
        assert_eq!(format!("{}{held}", choice.release), expected);
    }

    #[test]
    fn pinned_is_the_declared_version_exactly() {
        check(Policy::PINNED, Some("1.1.0"), "1.0.0");
    }

    #[test]
    fn auto_goes_up_to_the_first_version_that_needs_a_person() {
        check(Policy::AUTO, None, "1.1.0, held 2.0.0: it is a major version");
        check(Policy::AUTO, Some("1.0.0"), "1.1.0, held 2.0.0: it is a major version");
        let patch = Policy { mode: Mode::Auto, up_to: UpTo::Patch };
        check(patch, None, "1.0.1, held 1.1.0: it is a minor version, and the policy lets patches go");
    }

    #[test]
    fn what_a_person_has_reached_is_no_longer_held() {
        let notes = "held 2.1.0: its release notes ask for a person: move the database";
        check(Policy::AUTO, Some("2.0.0"), &format!("2.0.1, {notes}"));
        check(Policy::AUTO, Some("2.0.1"), &format!("2.0.1, {notes}"));
        check(Policy::AUTO, Some("2.1.0"), "2.1.0");
    }
}
