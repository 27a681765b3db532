//! What it came to: the last record, the alert that stands or not, and the report.
//!
//! A look at what runs ends here too, without a record when there is nothing new to say.

use super::{Awaiting, Check, Machine};
use crate::{Alert, Effect, Millis, Outcome, Release, Report, Settings, Stage};

impl Machine {
    /// Looks at what runs, once. `held` is what waits for a person meanwhile.
    pub(super) fn look(
        &mut self,
        settings: Option<&Settings>,
        adopt: Option<Release>,
        held: Option<(Release, String)>,
        now: Millis,
    ) -> Vec<Effect> {
        let mut changed = false;
        let (adopt, found) = if self.record.last_good.is_none() { (adopt, None) } else { (None, adopt) };
        if let Some(settings) = settings {
            changed = self.adopt(adopt, settings);
            changed |= self.record.settings != *settings;
            self.record.settings = settings.clone();
        }
        // What was good under an older gate is looked at, and put back, with today's.
        if self.record.last_good.is_some() && settings.is_some() {
            let gate = Some(self.record.settings.gate.clone());
            changed |= self.record.good_gate != gate;
            self.record.good_gate = gate;
        }
        let is_ours = settings.is_some() && self.record.last_good.is_some();
        self.check = Some(Check { held, found, changed });
        if is_ours { self.settle_first() } else { self.checked(Ok(()), now) }
    }

    /// What the look has shown.
    pub(super) fn checked(&mut self, seen: Result<(), String>, now: Millis) -> Vec<Effect> {
        let Some(mut check) = self.check.take() else { return Vec::new() };
        self.record.progress.touched = false;
        if seen.is_ok()
            && let Some(found) = check.found.take()
        {
            self.replace_good(found, now);
            check.changed = true;
        }
        if seen.is_ok() && self.record.progress.beside && self.record.last_good.is_some() {
            return self.tidy_up(now);
        }
        match (seen, check.held) {
            (Err(reason), _) => {
                self.record.target = check.found.or_else(|| self.record.last_good.clone());
                // Something runs, and it is not well: that is not "nothing changed".
                self.record.progress.touched = true;
                self.fail(format!("what runs is not healthy: {reason}"), None, now)
            }
            (Ok(()), Some((release, reason))) => {
                // A first release that failed has left nothing that runs: waiting is no state to be content with.
                let runs = self.record.last_good.is_some() || self.record.taken_back(&release).is_none();
                self.record.target = Some(release);
                self.record.progress.touched = !runs;
                match runs {
                    true => self.settle(Stage::Held, Outcome::Held, Some(reason), now),
                    false => self.fail(reason, None, now),
                }
            }
            (Ok(()), None) => self.found_well(check.changed, now),
        }
    }

    /// Others have put a release in the place of the last good one, and it is well.
    fn replace_good(&mut self, found: Release, now: Millis) {
        self.note(now, format!("others have put `{found}` in its place, and it is healthy"));
        if let Some(good) = self.record.last_good.replace(found.clone()) {
            self.record.previous.insert(0, good);
        }
        self.record.previous.retain(|release| !release.is(&found));
        self.record.taken_back.retain(|taken| taken.release != found.id());
        self.record.good_gate = Some(self.record.settings.gate.clone());
        self.record.target = Some(found);
    }

    fn found_well(&mut self, changed: bool, now: Millis) -> Vec<Effect> {
        let stage = if self.record.last_good.is_some() { Stage::Committed } else { self.record.stage };
        let is_news = changed || self.record.alert.is_some() || self.record.stage != stage;
        if is_news {
            return self.settle(stage, Outcome::None, None, now);
        }
        self.record.outcome = Outcome::None;
        self.record.reason = None;
        self.finish()
    }

    /// A person is needed. `stuck` is the stage at which the next run goes on.
    pub(super) fn fail(&mut self, reason: String, stuck: Option<Stage>, now: Millis) -> Vec<Effect> {
        self.note(now, reason.clone());
        self.record.stuck = stuck;
        self.settle(Stage::Failed, Outcome::Failed, Some(reason), now)
    }

    /// Nothing is under way any more: records it, with the alert that stands from now on.
    pub(super) fn settle(
        &mut self,
        stage: Stage,
        outcome: Outcome,
        reason: Option<String>,
        now: Millis,
    ) -> Vec<Effect> {
        let before = self.record.alert.take();
        self.record.outcome = outcome;
        self.record.reason = reason.clone();
        if outcome != Outcome::Failed {
            self.record.stuck = None;
        }
        let owed = self.record.owes_data();
        if outcome.alerts() {
            let mut alert = self.make_alert(outcome, reason.unwrap_or_default(), now);
            alert.snapshot = self.record.snapshot.as_ref().filter(|_| owed).map(|snapshot| snapshot.name.clone());
            self.record.alert = Some(alert.after(before.as_ref()));
        }
        self.enter(stage, now)
    }

    fn make_alert(&self, outcome: Outcome, reason: String, now: Millis) -> Alert {
        Alert {
            format: Alert::FORMAT.to_owned(),
            workload: self.record.workload.clone(),
            outcome,
            reason,
            release: self.record.target.clone(),
            last_good: self.record.last_good.clone(),
            snapshot: None,
            since: now,
            seen: now,
            count: 1,
        }
    }

    /// The record is durable: tells the world.
    pub(super) fn finish(&mut self) -> Vec<Effect> {
        let alert = match &self.record.alert {
            Some(alert) => Effect::Alert(Box::new(alert.clone())),
            None => Effect::ClearAlert,
        };
        let report = self.make_report(self.record.outcome, self.record.reason.clone());
        vec![alert, self.end(report)]
    }

    /// The record cannot be written: ends with an alert. The durable record tells the next run where to go on.
    pub(super) fn halt(&mut self, reason: String, now: Millis) -> Vec<Effect> {
        let alert = self.make_alert(Outcome::Failed, reason.clone(), now);
        let report = self.make_report(Outcome::Failed, Some(reason));
        vec![Effect::Alert(Box::new(alert)), self.end(report)]
    }

    /// Somebody else works on this workload: nothing further is done, nothing written, and the alerts are theirs.
    pub(super) fn give_way(&mut self, holder: &str) -> Vec<Effect> {
        let reason = format!("another rollout of this workload is under way: {holder}");
        let report = self.make_report(Outcome::Failed, Some(reason));
        vec![self.end(report)]
    }

    fn make_report(&self, outcome: Outcome, reason: Option<String>) -> Report {
        Report {
            outcome,
            reason,
            release: self.record.target.clone(),
            last_good: self.record.last_good.clone(),
            touched: self.record.progress.touched,
        }
    }

    fn end(&mut self, report: Report) -> Effect {
        self.awaiting = Awaiting::Nothing;
        self.report = Some(report.clone());
        Effect::Finished(Box::new(report))
    }
}
