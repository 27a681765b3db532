//! The record of a rollout: one JSON document per workload, replaced atomically and made durable before each transition.
//!
//! It holds all that is needed to go on after a crash or a reboot, by another process, of a later version. It is foreign bytes when
//! it is read: what is newer or does not fit together is refused, never guessed. Read on in `machine/mod.rs`.

use freehold_model::{ErrorKind, limits};
use serde::{Deserialize, Serialize};

use crate::{Alert, Gate, Millis, Outcome, Phase, Release, Settings, Stage};

/// What is remembered of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// [`Record::FORMAT`].
    pub format: String,
    /// Whose.
    pub workload: String,
    /// Grows by one with every version that is to be written. A driver that finds another than it expects has a rival.
    pub revision: u64,
    /// Where the rollout stands.
    pub stage: Stage,
    /// How the target is rolled out.
    pub settings: Settings,
    /// What is, or was last, rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Release>,
    /// What is put back when the target fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Release>,
    /// The gate with which the last good release was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_gate: Option<Gate>,
    /// Releases that were committed before the last good one, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Release>,
    /// Releases that are not tried again, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
    /// The data as they were before this rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// Names of all snapshots that may exist, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// How far this rollout has reached into the world.
    #[serde(default)]
    pub progress: Progress,
    /// Why the rollout goes back, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Back>,
    /// The stage that failed for good, and at which the next run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stage>,
    /// Rollouts to one release that broke off for reasons beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_off: Option<BrokenOff>,
    /// When the gate or the window ends, for people; the machine counts what has passed itself, for clocks jump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    /// What the last rollout, or look, came to.
    #[serde(default)]
    pub outcome: Outcome,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// What happened in this rollout, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<Entry>,
}

/// A release that was tried and taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakenBack {
    /// Its identity.
    pub release: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Millis,
}

/// A copy of a workload's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// Named after the release that wrote the data, and the time.
    pub name: String,
    /// Whether it is complete and was compared with the data. Only then is it restored.
    pub verified: bool,
}

/// How far a rollout has reached into the world: what it has begun, not what it has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Progress {
    /// There is a last good release, and the target is another one.
    pub replaces: bool,
    /// What runs was touched at all.
    pub touched: bool,
    /// The target may have been activated.
    pub activated: bool,
    /// Routes may lead to the target.
    pub routed: bool,
    /// The target may start at boot.
    pub committing: bool,
    /// With blue-green: the old instance may be gone and is activated again on the way back.
    pub revive: bool,
    /// With blue-green: other instances may run beside the one that is good. Outlives the rollout that left them.
    pub beside: bool,
    /// Nothing ran when the rollout began.
    pub down: bool,
    /// How often it was taken up again after a crash.
    pub resumes: u32,
}

/// Why a rollout goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Back {
    /// In words.
    pub reason: String,
    /// Whether the release is to blame, so that it is remembered and not tried again.
    pub blame: bool,
}

/// Rollouts to one release that broke off for reasons beside it, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokenOff {
    /// Its identity.
    pub release: String,
    /// How many.
    pub count: u32,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// When, by the caller's clock.
    pub at: Millis,
    /// In which phase.
    pub phase: Phase,
    /// What happened.
    pub text: String,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Larger than any record.
    #[error("the record has {bytes} bytes; {} are the most", limits::ROLLOUT_RECORD_BYTES)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Written by a later Freehold.
    #[error("the record has format `{format}`, which this version of freehold does not know")]
    Newer {
        /// What it says.
        format: String,
    },
    /// It is no record, or one that was cut off.
    #[error("the record cannot be read at `{at}`")]
    Read {
        /// The field.
        at: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Its parts do not fit together.
    #[error("the record contradicts itself: {reason}")]
    Contradiction {
        /// In what.
        reason: &'static str,
    },
}

impl RecordError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Newer { .. } => ErrorKind::Config,
            Self::TooLarge { .. } | Self::Read { .. } | Self::Contradiction { .. } => ErrorKind::Host,
        }
    }

    /// The way out.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Newer { .. } => "use the version of freehold that wrote it, or a later one".to_owned(),
            _ => "put back a copy of the file, or move it away: what runs is then taken as the last good release"
                .to_owned(),
        })
    }
}

impl Record {
    /// The name of the format and its version.
    pub const FORMAT: &'static str = "freehold.rollout/1";

    /// The record of a workload of which nothing is known.
    pub fn new(workload: impl Into<String>) -> Self {
        Self {
            format: Self::FORMAT.to_owned(),
            workload: workload.into(),
            revision: 0,
            stage: Stage::Idle,
            settings: Settings::default(),
            target: None,
            last_good: None,
            good_gate: None,
            previous: Vec::new(),
            taken_back: Vec::new(),
            snapshot: None,
            snapshots: Vec::new(),
            progress: Progress::default(),
            back: None,
            stuck: None,
            broken_off: None,
            deadline: None,
            outcome: Outcome::None,
            reason: None,
            alert: None,
            journal: Vec::new(),
        }
    }

    /// Reads a record and checks that it fits together.
    ///
    /// # Errors
    /// It is too large, of a later version, cut off, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > limits::ROLLOUT_RECORD_BYTES {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        // One that is in order, as nearly all are, is read once.
        if let Ok(record) = serde_json::from_slice::<Self>(bytes)
            && record.format == Self::FORMAT
        {
            record.check()?;
            return Ok(record);
        }
        // The format is read first: a later version may have fields that this one does not know.
        let versioned: Versioned = read(bytes)?;
        if versioned.format != Self::FORMAT {
            return Err(RecordError::Newer { format: versioned.format.chars().take(100).collect() });
        }
        let record: Self = read(bytes)?;
        record.check()?;
        Ok(record)
    }

    /// The record as it is kept: one line of JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Every field is a plain value with text keys, which JSON can always hold.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Releases that must not be removed: what may run, now or after a rollback, and what is kept besides.
    pub fn kept(&self) -> impl Iterator<Item = &Release> {
        let target = self.target.as_ref().filter(|_| !self.stage.is_settled());
        target.into_iter().chain(&self.last_good).chain(&self.previous)
    }

    /// Whether nothing was ever written of this workload.
    pub fn is_new(&self) -> bool {
        self.revision == 0
    }

    /// The note on a release that was taken back.
    pub fn taken_back(&self, release: &Release) -> Option<&TakenBack> {
        self.taken_back.iter().find(|taken| taken.release == release.id())
    }

    /// Whether it is wanted no longer: it is being stopped, could not be yet, or is.
    pub fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Stopping | Stage::Stopped) || self.stuck == Some(Stage::Stopping)
    }

    /// Whether data wait to be put back before anything else may run.
    pub fn owes_data(&self) -> bool {
        matches!(self.stuck, Some(Stage::BackCommitting | Stage::BackStopping | Stage::BackRestoring))
            && self.has_snapshot()
    }

    /// Whether there is a snapshot that may be restored.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.verified)
    }

    /// Whether the target is what was good already: there is nothing to go back to then.
    pub(crate) fn repeats(&self) -> bool {
        matches!((&self.target, &self.last_good), (Some(target), Some(good)) if target.is(good))
    }

    fn check(&self) -> Result<(), RecordError> {
        let wrong = |reason| Err(RecordError::Contradiction { reason });
        let phase = self.stage.phase();
        let under_way = !self.stage.is_settled() && phase != Phase::Stopping;
        if self.workload.is_empty() {
            return wrong("it is of no workload");
        }
        if under_way && self.target.is_none() {
            return wrong("a rollout is under way to no release");
        }
        if matches!(self.stage, Stage::Draining | Stage::Retiring) && !self.repeats() {
            return wrong("old instances go before the new release is the last good one");
        }
        if self.settings.validate().is_err() || self.good_gate.as_ref().is_some_and(|gate| gate.validate().is_err()) {
            return wrong("its settings cannot be used");
        }
        for stage in [Some(self.stage), self.stuck].into_iter().flatten() {
            if stage.phase() == Phase::RollingBack && self.back.is_none() {
                return wrong("it goes back for no reason");
            }
            if stage.phase() == Phase::RollingBack && self.target.is_none() {
                return wrong("it goes back from no release");
            }
            if matches!(stage, Stage::BackRestoring) && !self.has_snapshot() {
                return wrong("it restores data of which there is no complete snapshot");
            }
            let needs_good =
                matches!(stage, Stage::BackActivating | Stage::BackRouting | Stage::BackGating | Stage::BackCommitting);
            if needs_good && self.last_good.is_none() {
                return wrong("it goes back to no release");
            }
            if matches!(stage, Stage::Copying) && self.snapshot.is_none() {
                return wrong("it copies data to no snapshot");
            }
        }
        if self.stuck.is_some_and(Stage::is_settled) || (self.stuck.is_some() && self.stage != Stage::Failed) {
            return wrong("it is stuck where nothing is done");
        }
        if self.stage.is_settled() && self.alert.is_some() != self.outcome.alerts() {
            return wrong("its alert and its outcome differ");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Versioned {
    format: String,
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| RecordError::Read { at: place(&error.path().to_string()), source: error.into_inner() })?;
    reader.end().map_err(|source| RecordError::Read { at: ".".to_owned(), source })?;
    Ok(value)
}

/// Where reading ended; a file that is no JSON at all has no field to name.
fn place(path: &str) -> String {
    if ["?", "."].contains(&path) { "its beginning".to_owned() } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> String {
        let error = Record::parse(text.as_bytes()).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record::new("site");
        assert_eq!(Record::parse(&record.to_bytes()).unwrap(), record);
    }

    #[test]
    fn a_record_of_a_later_version_is_refused_as_such() {
        let said = says(r#"{"format":"freehold.rollout/2","unheardOf":true}"#);
        assert_eq!(said, "the record has format `freehold.rollout/2`, which this version of freehold does not know");
    }

    #[test]
    fn a_record_that_was_cut_off_or_changed_is_refused_with_the_place() {
        let whole = String::from_utf8(Record::new("site").to_bytes()).unwrap();
        for end in 0..whole.len() - 2 {
            assert!(Record::parse(&whole.as_bytes()[..end]).is_err(), "the first {end} bytes");
        }
        assert!(
            says(&whole.replace("\"revision\":0", "\"revision\":-1"))
                .starts_with("the record cannot be read at `revision`")
        );
        assert!(says(&whole.replace("\"site\"", "\"\"")).ends_with("it is of no workload"));
        assert!(says(&whole.replace("\"idle\"", "\"gating\"")).ends_with("a rollout is under way to no release"));
        assert!(says(&whole.replace("\"none\"", "\"held\"")).ends_with("its alert and its outcome differ"));
    }
}
