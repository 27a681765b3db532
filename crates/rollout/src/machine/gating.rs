//! Is it healthy? Rounds of looking: the runtime's settling first, then the gate's probe, then a pause.
//!
//! The probe counts only after the runtime has said that exactly this release has settled: an old task that still answers is not
//! taken for the new one. Time is counted here, step by step, because a clock may jump: a leap neither ends a gate nor passes a
//! window, and a clock that stands still does not keep it waiting for ever.

use freehold_model::limits;

use super::{Awaiting, Machine, short};
use crate::{Effect, Gate, Look, Millis, Release, Settling, Stage};

/// How far the looking has come.
#[derive(Debug)]
pub(super) struct Rounds {
    /// The clock at the last event.
    last: Millis,
    /// What has passed since the stage began, in milliseconds.
    passed: u64,
    /// The wait that is out.
    pub(super) waiting: u64,
    /// Good looks in a row.
    good: u32,
    /// Whether this is not the first look of the stage.
    again: bool,
}

impl Rounds {
    pub(super) fn begin(now: Millis) -> Self {
        Self { last: now, passed: 0, waiting: 0, good: 0, again: false }
    }

    /// Counts the time since the last event. What is longer than a look can take is a clock that leaps, and not counted; a clock
    /// that goes back, or stands still, counts as what was waited.
    pub(super) fn pass(&mut self, now: Millis, waited: u64) {
        let longest = u64::try_from(limits::ROLLOUT_LOOK.as_millis()).unwrap_or(u64::MAX).saturating_add(waited);
        let measured = now.saturating_sub(self.last);
        let passed = if measured > longest { waited } else { measured.max(waited) };
        self.passed = self.passed.saturating_add(passed);
        self.last = now;
        self.waiting = 0;
    }
}

impl Machine {
    /// When the stage ends, for people.
    pub(super) fn deadline(&self, now: Millis) -> Option<Millis> {
        let seconds = match self.record.stage {
            Stage::Gating => self.record.settings.gate.timeout_seconds,
            Stage::Watching => self.record.settings.gate.window_seconds,
            Stage::BackGating => self.gate().timeout_seconds,
            _ => return None,
        };
        Some(now.saturating_add(u64::from(seconds) * 1000))
    }

    /// The gate of what is looked at.
    fn gate(&self) -> &Gate {
        let settings = &self.record.settings.gate;
        match self.record.stage {
            Stage::BackGating => self.record.good_gate.as_ref().unwrap_or(settings),
            _ => settings,
        }
    }

    /// What is looked at.
    fn looked_at(&self) -> Option<Release> {
        match self.record.stage {
            Stage::Gating | Stage::Watching => self.record.target.clone(),
            _ => self.check.as_ref().and_then(|check| check.found.clone()).or_else(|| self.record.last_good.clone()),
        }
    }

    pub(super) fn begin_rounds(&mut self) -> Vec<Effect> {
        // The gate has just been passed: the window begins with a pause.
        if self.record.stage == Stage::Watching { self.pause_between_looks() } else { self.settle_first() }
    }

    pub(super) fn settle_first(&mut self) -> Vec<Effect> {
        match self.looked_at() {
            Some(release) => {
                self.awaiting = Awaiting::Settled;
                vec![Effect::Settle { release }]
            }
            None => Vec::new(),
        }
    }

    pub(super) fn next_look(&mut self, now: Millis, waited: u64) -> Vec<Effect> {
        self.rounds.pass(now, waited);
        self.rounds.again = true;
        self.settle_first()
    }

    pub(super) fn settled(&mut self, settling: Settling, now: Millis) -> Vec<Effect> {
        self.rounds.pass(now, 0);
        match settling {
            Settling::Settled if self.gate().looks() => {
                let Some(release) = self.looked_at() else { return Vec::new() };
                self.awaiting = Awaiting::Probed;
                vec![Effect::Probe { release, gate: Box::new(self.gate().clone()) }]
            }
            Settling::Settled => self.good_look(now),
            Settling::Busy { reason } => self.busy(&format!("it has not settled: {}", short(reason)), now),
            Settling::Broken { reason } => self.broken(&short(reason), now),
        }
    }

    pub(super) fn probed(&mut self, look: Look, now: Millis) -> Vec<Effect> {
        self.rounds.pass(now, 0);
        match look {
            Look::Green => self.good_look(now),
            Look::Red { reason } => self.bad_look(&short(reason), now),
        }
    }

    fn good_look(&mut self, now: Millis) -> Vec<Effect> {
        if self.check.is_some() {
            return self.checked(Ok(()), now);
        }
        self.rounds.good = self.rounds.good.saturating_add(1);
        let is_watching = self.record.stage == Stage::Watching;
        let enough = if is_watching {
            self.rounds.passed >= u64::from(self.gate().window_seconds) * 1000
        } else {
            self.rounds.good >= self.gate().successes
        };
        match self.record.stage {
            _ if !enough => self.pause_between_looks(),
            Stage::Watching => self.watched(now),
            Stage::Gating => self.healthy(now),
            _ => self.good_again(now),
        }
    }

    /// The runtime cannot tell, or not yet. What was healthy a moment ago is given as long as its gate to be told of again.
    fn busy(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        let gate = self.gate();
        let longest = u64::from(gate.window_seconds) + u64::from(gate.timeout_seconds);
        if self.check.is_none() && self.record.stage == Stage::Watching && self.rounds.passed < longest * 1000 {
            return self.pause_between_looks();
        }
        self.bad_look(reason, now)
    }

    fn bad_look(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        if self.check.is_some() {
            return self.checked(Err(reason.to_owned()), now);
        }
        self.rounds.good = 0;
        let timeout = u64::from(self.gate().timeout_seconds);
        match self.record.stage {
            Stage::Watching => self.turn_back(format!("it was healthy and is not any more: {reason}"), true, now),
            _ if self.rounds.passed < timeout * 1000 => self.pause_between_looks(),
            Stage::Gating => self.turn_back(format!("not healthy within {timeout} s: {reason}"), true, now),
            _ => self.not_good_again(&format!("not healthy within {timeout} s: {reason}"), now),
        }
    }

    /// The runtime says that waiting does not help.
    fn broken(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        if self.check.is_some() {
            return self.checked(Err(reason.to_owned()), now);
        }
        match self.record.stage {
            Stage::BackGating => self.not_good_again(reason, now),
            // It may never have been started, or a reboot has ended it: it is tried again, unless that happens each time.
            Stage::Gating if self.record.progress.resumes > 0 && !self.rounds.again => {
                self.interrupted(reason.to_owned(), now)
            }
            _ => self.turn_back(reason.to_owned(), true, now),
        }
    }

    fn pause_between_looks(&mut self) -> Vec<Effect> {
        self.rounds.waiting = u64::from(self.gate().interval_seconds) * 1000;
        self.awaiting = Awaiting::NextLook;
        vec![Effect::Wait { millis: self.rounds.waiting }]
    }
}
