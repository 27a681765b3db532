//! After a crash or a reboot: what the durable record says may have been begun, and what is done about it.
//!
//! Before the activation it is aborted and the old release started; from the activation on the target is gated once more, and
//! then committed or taken back; on the way back it goes on.

use freehold_model::limits;

use super::Machine;
use crate::{Effect, Millis, Phase, Stage};

impl Machine {
    pub(super) fn resume(&mut self, now: Millis) -> Vec<Effect> {
        let stage = self.record.stage;
        match stage.phase() {
            Phase::Preparing => self.unprepared("interrupted while preparing; nothing had changed".to_owned(), now),
            Phase::Snapshotting => self.interrupted("interrupted before the activation".to_owned(), now),
            Phase::RollingBack => {
                self.note(now, "interrupted on the way back; going on");
                self.back_at(stage, now)
            }
            Phase::Stopping => self.enter(Stage::Stopping, now),
            Phase::Failed => match self.record.stuck.take() {
                Some(stage @ (Stage::Draining | Stage::Retiring | Stage::Stopping)) => self.enter(stage, now),
                Some(stage) => {
                    self.note(now, "trying again to go back");
                    self.back_at(stage, now)
                }
                None => self.finish(),
            },
            Phase::Activating | Phase::Gating | Phase::Watching | Phase::Committing => match stage {
                // Committed already; whether the old instance is gone is not known.
                Stage::Draining | Stage::Retiring => self.enter(stage, now),
                _ => self.gate_once_more(now),
            },
            Phase::Idle | Phase::Committed | Phase::RolledBack | Phase::Held | Phase::Stopped => self.finish(),
        }
    }

    /// What runs now is not known: the target, or after a reboot the last good release. The gate finds out.
    fn gate_once_more(&mut self, now: Millis) -> Vec<Effect> {
        let phase = self.record.stage.phase().word();
        self.record.progress.resumes = self.record.progress.resumes.saturating_add(1);
        if self.record.progress.resumes > limits::ROLLOUT_RESUMES {
            return self.turn_back(format!("interrupted {} times", self.record.progress.resumes), true, now);
        }
        self.note(now, format!("interrupted while {phase}; gating once more"));
        self.enter(Stage::Gating, now)
    }

    fn back_at(&mut self, stage: Stage, now: Millis) -> Vec<Effect> {
        // A reboot has started what starts at boot, which must not run while its data are put back; and what is gated may be gone.
        let stage = match stage {
            Stage::BackRestoring => Stage::BackStopping,
            Stage::BackGating => Stage::BackActivating,
            stage => stage,
        };
        self.record.progress.revive = true;
        self.enter(stage, now)
    }
}
