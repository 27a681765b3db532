//! Towards the target: from `preparing` to `committed`, and the end of a workload that is no longer declared.
//!
//! What fails here breaks off: before the activation the old release is started again, after it `back.rs` takes over.

use freehold_model::limits;

use super::Machine;
use crate::{Back, BrokenOff, Effect, Millis, Outcome, Progress, Release, Settings, Snapshot, Stage, Strategy};

impl Machine {
    /// Takes what runs as the last good release: it was there before anything was recorded.
    pub(super) fn adopt(&mut self, adopt: Option<Release>, settings: &Settings) -> bool {
        let Some(release) = adopt else { return false };
        self.record.last_good = Some(release);
        self.record.good_gate = Some(settings.gate.clone());
        true
    }

    pub(super) fn start(
        &mut self,
        target: Release,
        settings: Settings,
        retry: bool,
        now: Millis,
        is_down: bool,
    ) -> Vec<Effect> {
        let record = &mut self.record;
        if retry {
            record.taken_back.retain(|taken| taken.release != target.id());
        }
        if retry || record.broken_off.as_ref().is_some_and(|broken| broken.release != target.id()) {
            record.broken_off = None;
        }
        record.settings = settings;
        // What an unfinished way back still owes stays owed until this rollout, or its own way back, has done it.
        let before = record.progress;
        record.progress = Progress { beside: before.beside, ..Progress::default() };
        match record.stuck.take() {
            Some(_) => {
                record.progress =
                    Progress { replaces: false, touched: false, activated: false, resumes: 0, revive: true, ..before }
            }
            None => record.back = None,
        }
        record.snapshot = None;
        record.reason = None;
        record.journal.clear();
        let from = record.last_good.as_ref().map_or("nothing".to_owned(), |good| format!("`{good}`"));
        let text = format!("from {from} to `{target}`");
        record.target = Some(target);
        record.progress.replaces = record.last_good.is_some() && !record.repeats();
        record.progress.down = is_down;
        record.stage = Stage::Preparing;
        self.note(now, text);
        self.enter(Stage::Preparing, now)
    }

    pub(super) fn stop(&mut self, now: Millis) -> Vec<Effect> {
        self.record.progress = Progress { touched: true, ..Progress::default() };
        self.record.target = None;
        self.record.stuck = None;
        self.record.back = None;
        self.record.journal.clear();
        // From here on it may no longer start at boot: there is nothing to go back to. Declared again one day, it begins anew; what
        // was good then still tells that there may be data.
        if let Some(good) = self.record.last_good.take() {
            self.record.previous.retain(|release| !release.is(&good));
            self.record.previous.insert(0, good);
        }
        self.record.good_gate = None;
        self.record.stage = Stage::Stopping;
        self.note(now, "no longer declared");
        self.enter(Stage::Stopping, now)
    }

    pub(super) fn stopped(&mut self, now: Millis) -> Vec<Effect> {
        self.settle(Stage::Stopped, Outcome::Stopped, None, now)
    }

    /// What comes after a stage that is done.
    pub(super) fn go_on(&mut self, now: Millis) -> Vec<Effect> {
        match self.record.stage {
            Stage::Preparing => self.prepared(now),
            Stage::StoppingOld => self.copy(now),
            Stage::Copying => {
                self.note_snapshot();
                self.activate(now)
            }
            Stage::Activating => self.enter(Stage::Gating, now),
            Stage::Switching => self.watch(now),
            Stage::Committing => self.committed(now),
            Stage::Draining => self.enter(Stage::Retiring, now),
            _ => {
                self.record.progress.beside = false;
                self.succeed(now)
            }
        }
    }

    fn prepared(&mut self, now: Millis) -> Vec<Effect> {
        let record = &mut self.record;
        let has_data = record.last_good.is_some() || !record.previous.is_empty();
        if !record.settings.stateful || !has_data || record.repeats() {
            return self.activate(now);
        }
        record.progress.touched = true;
        self.enter(Stage::StoppingOld, now)
    }

    fn copy(&mut self, now: Millis) -> Vec<Effect> {
        let record = &mut self.record;
        let of = record.last_good.as_ref().or(record.previous.first()).map_or("", Release::id);
        let name = snapshot_name(of, now);
        record.snapshot = Some(Snapshot { name: name.clone(), verified: false });
        record.snapshots.insert(0, name);
        record.progress.touched = true;
        self.enter(Stage::Copying, now)
    }

    /// The snapshot that was asked for is complete.
    pub(super) fn note_snapshot(&mut self) {
        if self.record.stage == Stage::Copying
            && let Some(snapshot) = &mut self.record.snapshot
        {
            snapshot.verified = true;
        }
    }

    fn activate(&mut self, now: Millis) -> Vec<Effect> {
        self.record.progress.touched = true;
        self.record.progress.activated = true;
        self.record.progress.beside |= self.record.settings.strategy == Strategy::BlueGreen;
        self.enter(Stage::Activating, now)
    }

    /// The gate was passed.
    pub(super) fn healthy(&mut self, now: Millis) -> Vec<Effect> {
        self.note(now, "healthy");
        if self.record.settings.strategy == Strategy::BlueGreen {
            self.record.progress.routed = true;
            return self.enter(Stage::Switching, now);
        }
        self.watch(now)
    }

    fn watch(&mut self, now: Millis) -> Vec<Effect> {
        if self.record.settings.gate.window_seconds == 0 {
            return self.watched(now);
        }
        self.enter(Stage::Watching, now)
    }

    /// The window is over and the release was healthy to the end.
    pub(super) fn watched(&mut self, now: Millis) -> Vec<Effect> {
        self.record.progress.committing = true;
        self.enter(Stage::Committing, now)
    }

    /// What is good is well; what earlier rollouts have left beside it goes.
    pub(super) fn tidy_up(&mut self, now: Millis) -> Vec<Effect> {
        self.record.target = self.record.last_good.clone();
        self.record.progress = Progress { touched: true, beside: true, ..Progress::default() };
        self.enter(Stage::Retiring, now)
    }

    /// The effect `Commit`, with what is no longer kept after it.
    pub(super) fn commit(&self, release: Release) -> Effect {
        let (_, prune) = self.kept_after(&release);
        let keep = self.keep();
        let prune_snapshots = self.record.snapshots.iter().skip(keep).cloned().collect();
        Effect::Commit { release, prune, prune_snapshots }
    }

    fn committed(&mut self, now: Millis) -> Vec<Effect> {
        let Some(target) = self.record.target.clone() else { return Vec::new() };
        let (previous, _) = self.kept_after(&target);
        let keep = self.keep();
        let record = &mut self.record;
        let has_old = record.progress.replaces;
        record.previous = previous;
        record.snapshots.truncate(keep);
        record.taken_back.retain(|taken| taken.release != target.id());
        record.broken_off = None;
        record.good_gate = Some(record.settings.gate.clone());
        record.last_good = Some(target);
        match record.settings.strategy {
            Strategy::BlueGreen if has_old => self.enter(Stage::Draining, now),
            Strategy::BlueGreen => self.enter(Stage::Retiring, now),
            Strategy::Restart => self.succeed(now),
        }
    }

    fn succeed(&mut self, now: Millis) -> Vec<Effect> {
        let progress = self.record.progress;
        let outcome = match (progress.activated, progress.replaces) {
            (true, true) => Outcome::Upgraded,
            (true, false) => Outcome::Deployed,
            // What an earlier rollout had left beside it is gone.
            (false, _) => Outcome::None,
        };
        self.note(now, "committed");
        self.settle(Stage::Committed, outcome, None, now)
    }

    /// How many committed releases are kept. An old instance that still drains keeps its release.
    fn keep(&self) -> usize {
        let least = if self.record.settings.strategy == Strategy::BlueGreen { 2 } else { 1 };
        usize::try_from(self.record.settings.keep_releases).unwrap_or(least).max(least)
    }

    /// The committed releases that are kept beside `target` once that is committed, and those that are not.
    fn kept_after(&self, target: &Release) -> (Vec<Release>, Vec<Release>) {
        let mut kept: Vec<Release> = Vec::new();
        for release in self.record.last_good.iter().chain(&self.record.previous) {
            if !release.is(target) && !kept.iter().any(|known| known.is(release)) {
                kept.push(release.clone());
            }
        }
        let pruned = kept.split_off(kept.len().min(self.keep() - 1));
        (kept, pruned)
    }

    /// A stage on the way to the target has failed.
    pub(super) fn break_off(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        match self.record.stage {
            Stage::Preparing => self.unprepared(format!("it cannot be prepared: {reason}"), now),
            Stage::StoppingOld => self.interrupted(format!("what runs cannot be stopped: {reason}"), now),
            Stage::Copying => self.interrupted(format!("its data cannot be copied: {reason}"), now),
            Stage::Activating => self.turn_back(format!("it cannot be started: {reason}"), true, now),
            // A router that is away is not the release's fault.
            Stage::Switching => self.interrupted(format!("routes cannot be switched: {reason}"), now),
            Stage::Committing => self.turn_back(format!("it cannot be committed: {reason}"), true, now),
            Stage::Draining => {
                self.note(now, format!("the old instance does not drain: {reason}"));
                self.enter(Stage::Retiring, now)
            }
            // It is committed and healthy; only the old instance is in the way.
            stage => self.fail(format!("the old instance cannot be stopped: {reason}"), Some(stage), now),
        }
    }

    /// It ends before anything has changed; what an earlier way back owes is gone on with by the next run. Where nothing runs the last
    /// good release is better than that.
    pub(super) fn unprepared(&mut self, reason: String, now: Millis) -> Vec<Effect> {
        if self.record.progress.down && self.record.progress.replaces && self.record.back.is_none() {
            self.record.progress.revive = true;
            self.record.progress.touched = true;
            return self.turn_back(reason, false, now);
        }
        let owed = self.record.back.as_ref().and_then(|_| self.way_back().first().copied());
        self.fail(reason, owed, now)
    }

    /// Something beside the release has failed: it is not to blame, unless it happens each time.
    pub(super) fn interrupted(&mut self, reason: String, now: Millis) -> Vec<Effect> {
        let id = self.record.target.as_ref().map_or(String::new(), |target| target.id().to_owned());
        let before =
            self.record.broken_off.as_ref().filter(|broken| broken.release == id).map_or(0, |broken| broken.count);
        let count = before.saturating_add(1);
        self.record.broken_off = Some(BrokenOff { release: id, count });
        self.turn_back(reason, count >= limits::ROLLOUT_ATTEMPTS, now)
    }

    /// Takes the way back, and remembers the release when it is to blame.
    pub(super) fn turn_back(&mut self, mut reason: String, blame: bool, now: Millis) -> Vec<Effect> {
        if (1..=limits::ROLLOUT_RESUMES).contains(&self.record.progress.resumes) {
            reason = format!("after an interruption: {reason}");
        }
        self.note(now, reason.clone());
        if self.record.repeats() {
            // It is the last good release itself: there is nothing to go back to.
            return self.fail(reason, None, now);
        }
        if blame {
            self.remember(&reason, now);
        }
        self.record.back = Some(Back { reason, blame });
        // An instance that ran on all the time needs no activation, unless a reboot may have come in between.
        self.record.progress.revive |= self.record.progress.resumes > 0;
        self.enter_back(None, now)
    }
}

/// A name that a person and every file system can read: the release's last words, and the time.
fn snapshot_name(release: &str, now: Millis) -> String {
    const LONGEST: usize = 64;
    let plain: Vec<char> =
        release.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_+".contains(c) { c } else { '-' }).collect();
    let name: String = plain[plain.len().saturating_sub(LONGEST)..].iter().collect();
    format!("{}-{now}", name.trim_start_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_a_name_for_every_file_system() {
        assert_eq!(snapshot_name("/nix/store/abc-site-1.0", 7), "nix-store-abc-site-1.0-7");
        assert_eq!(snapshot_name("../etc", 7), "etc-7");
        assert_eq!(snapshot_name(&"a".repeat(300), 7), format!("{}-7", "a".repeat(64)));
    }
}
