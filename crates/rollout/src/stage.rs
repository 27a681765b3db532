//! Where a rollout stands: the phases of the picture, and the stages inside them.
//!
//! A stage has at most one kind of effect, and is written down before that effect is yielded: this is what makes a crash at any
//! point end in a known place. Which stage follows which stands in `machine/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The phases, as every page and `--json` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing was ever rolled out.
    Idle,
    /// Fetching and checking; nothing has changed yet.
    Preparing,
    /// The workload is stopped and its data are copied.
    Snapshotting,
    /// The release is started.
    Activating,
    /// It is looked at until it is healthy, or the time is up.
    Gating,
    /// It is healthy, and watched for the window.
    Watching,
    /// It is made the one that starts at boot; old ones go.
    Committing,
    /// It runs and is the last good one.
    Committed,
    /// The last good release is put back.
    RollingBack,
    /// The last good release runs again.
    RolledBack,
    /// A person is needed.
    Failed,
    /// A release waits for a person; what ran goes on.
    Held,
    /// The workload is no longer declared and is being stopped.
    Stopping,
    /// It does not run.
    Stopped,
}

/// The exact place, as the record keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing was ever rolled out.
    #[default]
    Idle,
    /// `Prepare` the target.
    Preparing,
    /// `Stop` what runs, so that its data can be copied.
    StoppingOld,
    /// `Snapshot` the data.
    Copying,
    /// `Activate` the target.
    Activating,
    /// `Settle` and `Probe` the target until it is healthy.
    Gating,
    /// `SwitchRoutes` to the target.
    Switching,
    /// `Settle` and `Probe` the target for the window.
    Watching,
    /// `Commit` the target.
    Committing,
    /// `Drain` the old instance; the target is committed.
    Draining,
    /// `Stop` the old instance.
    Retiring,
    /// The target is the last good release.
    Committed,
    /// `Commit` the last good release again, because a commit of the target had begun.
    BackCommitting,
    /// `Stop` the target.
    BackStopping,
    /// `Restore` the data.
    BackRestoring,
    /// `Activate` the last good release.
    BackActivating,
    /// `SwitchRoutes` to the last good release.
    BackRouting,
    /// `Settle` and `Probe` the last good release.
    BackGating,
    /// The last good release runs again.
    RolledBack,
    /// A person is needed.
    Failed,
    /// A release waits for a person.
    Held,
    /// `Stop` the workload.
    Stopping,
    /// It does not run.
    Stopped,
}

impl Stage {
    /// All of them, in the order of a rollout.
    pub const ALL: [Self; 23] = [
        Self::Idle,
        Self::Preparing,
        Self::StoppingOld,
        Self::Copying,
        Self::Activating,
        Self::Gating,
        Self::Switching,
        Self::Watching,
        Self::Committing,
        Self::Draining,
        Self::Retiring,
        Self::Committed,
        Self::BackCommitting,
        Self::BackStopping,
        Self::BackRestoring,
        Self::BackActivating,
        Self::BackRouting,
        Self::BackGating,
        Self::RolledBack,
        Self::Failed,
        Self::Held,
        Self::Stopping,
        Self::Stopped,
    ];

    /// The phase of the picture.
    pub fn phase(self) -> Phase {
        match self {
            Self::Idle => Phase::Idle,
            Self::Preparing => Phase::Preparing,
            Self::StoppingOld | Self::Copying => Phase::Snapshotting,
            Self::Activating => Phase::Activating,
            Self::Gating | Self::Switching => Phase::Gating,
            Self::Watching => Phase::Watching,
            Self::Committing | Self::Draining | Self::Retiring => Phase::Committing,
            Self::Committed => Phase::Committed,
            Self::RolledBack => Phase::RolledBack,
            Self::Failed => Phase::Failed,
            Self::Held => Phase::Held,
            Self::Stopping => Phase::Stopping,
            Self::Stopped => Phase::Stopped,
            Self::BackCommitting
            | Self::BackStopping
            | Self::BackRestoring
            | Self::BackActivating
            | Self::BackRouting
            | Self::BackGating => Phase::RollingBack,
        }
    }

    /// Whether nothing is under way.
    pub fn is_settled(self) -> bool {
        matches!(
            self.phase(),
            Phase::Idle | Phase::Committed | Phase::RolledBack | Phase::Failed | Phase::Held | Phase::Stopped
        )
    }

    /// The word that the record uses.
    pub fn word(self) -> String {
        word(self)
    }
}

impl Phase {
    /// The word that pages and `--json` use.
    pub fn word(self) -> String {
        word(self)
    }
}

/// One spelling for JSON and for people: serde's.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}
