//! The way back: to the last good release, which is recorded and absolute, or to nothing when there is none.
//!
//! Which stages it has follows from the record alone, so that a crash in any of them goes on in the same order. What fails here
//! for good needs a person; the next run tries again at the same stage.

use super::Machine;
use crate::{Effect, Millis, Outcome, Stage, StopWhat, Strategy, TakenBack};
use freehold_model::limits;

impl Machine {
    /// The stages of the way back, in order.
    pub(super) fn way_back(&self) -> Vec<Stage> {
        let record = &self.record;
        let (progress, has_good) = (record.progress, record.last_good.is_some());
        let is_blue_green = record.settings.strategy == Strategy::BlueGreen;
        let restores = progress.activated && record.has_snapshot();
        // What starts at boot comes first: a reboot in a later stage must not bring the target back.
        [
            (has_good && progress.committing, Stage::BackCommitting),
            (has_good && is_blue_green && progress.revive, Stage::BackActivating),
            (has_good && is_blue_green && progress.routed, Stage::BackRouting),
            ((progress.activated || progress.beside) && (!has_good || is_blue_green || restores), Stage::BackStopping),
            (restores, Stage::BackRestoring),
            (has_good && !is_blue_green, Stage::BackActivating),
            (has_good, Stage::BackGating),
        ]
        .into_iter()
        .filter_map(|(needed, stage)| needed.then_some(stage))
        .collect()
    }

    /// Goes to the stage after this one on the way back, or to the first.
    pub(super) fn enter_back(&mut self, after: Option<Stage>, now: Millis) -> Vec<Effect> {
        let way = self.way_back();
        let next = match after {
            Some(stage) => way.iter().position(|at| *at == stage).and_then(|at| way.get(at + 1)),
            None => way.first(),
        };
        match next.copied() {
            Some(stage) => self.enter(stage, now),
            None => self.gone_back(now),
        }
    }

    pub(super) fn go_on_back(&mut self, now: Millis) -> Vec<Effect> {
        self.record.progress.beside &= self.record.stage != Stage::BackStopping;
        self.enter_back(Some(self.record.stage), now)
    }

    pub(super) fn stop_on_the_way_back(&self) -> StopWhat {
        match (&self.record.last_good, self.record.settings.strategy) {
            (None, _) => StopWhat::Workload,
            (Some(good), Strategy::BlueGreen) => StopWhat::AllBut(good.clone()),
            (Some(_), Strategy::Restart) => StopWhat::Running,
        }
    }

    /// The last good release has passed its gate.
    pub(super) fn good_again(&mut self, now: Millis) -> Vec<Effect> {
        self.note(now, "the last good release is healthy");
        self.go_on_back(now)
    }

    /// The last good release has not passed its gate.
    pub(super) fn not_good_again(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        let progress = &mut self.record.progress;
        if self.record.settings.strategy == Strategy::BlueGreen && !progress.revive {
            progress.revive = true;
            self.note(now, format!("{reason}; starting it once more"));
            return self.enter(Stage::BackActivating, now);
        }
        self.stuck(reason, now)
    }

    /// A stage of the way back has failed for good.
    pub(super) fn stuck(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        let stage = self.record.stage;
        let step = match stage {
            Stage::BackCommitting => "the last good release cannot be committed",
            Stage::BackStopping => "it cannot be stopped",
            Stage::BackRestoring => "its data cannot be put back",
            Stage::BackActivating => "the last good release cannot be started",
            Stage::BackRouting => "routes cannot be switched back",
            _ => "the last good release is not healthy",
        };
        let first = self.record.back.as_ref().map_or("", |back| back.reason.as_str());
        self.fail(format!("{first}; then {step}: {reason}"), Some(stage), now)
    }

    fn gone_back(&mut self, now: Millis) -> Vec<Effect> {
        let (reason, blame) = match &self.record.back {
            Some(back) => (back.reason.clone(), back.blame),
            None => (String::new(), false),
        };
        if blame && self.record.last_good.is_some() {
            return self.settle(Stage::RolledBack, Outcome::RolledBack, Some(reason), now);
        }
        self.fail(reason, None, now)
    }

    /// Remembers the target: no timer tries it again.
    pub(super) fn remember(&mut self, reason: &str, now: Millis) {
        let record = &mut self.record;
        let Some(target) = record.target.as_ref().filter(|_| !record.repeats()) else { return };
        let taken = TakenBack { release: target.id().to_owned(), reason: reason.to_owned(), at: now };
        record.taken_back.retain(|known| known.release != taken.release);
        record.taken_back.insert(0, taken);
        record.taken_back.truncate(limits::ROLLOUT_TAKEN_BACK);
        record.broken_off = None;
    }
}
