//! The rollout machine: `step(event, now) -> effects`. No IO, no clock, no threads; it knows no runtime.
//!
//! Every transition goes the same way: the record is changed in memory, `Persist` is yielded and nothing else, and only when the
//! driver has confirmed it comes the effect of the new stage. So the record on disk always tells what may have been begun.
//! Read on in `forward.rs` (towards the target), `gating.rs` (is it healthy?), `back.rs` (to the last good release), `resume.rs`
//! (after a crash) and `ending.rs` (what it came to).

mod back;
mod ending;
mod forward;
mod gating;
mod resume;

use freehold_model::limits;

use crate::{Decision, Effect, Entry, Event, Millis, Phase, Record, Report, Stage, StopWhat};
use gating::Rounds;

/// Moves one workload, once: made by [`Machine::begin`], stepped until [`Machine::report`] says what it came to.
#[derive(Debug)]
pub struct Machine {
    record: Record,
    awaiting: Awaiting,
    rounds: Rounds,
    /// How often the effect of this stage, or the writing of the record, has failed.
    tries: u32,
    /// Lines of the journal that are not durable yet.
    unsaid: Vec<Entry>,
    /// A look at what runs, rather than a rollout.
    check: Option<Check>,
    report: Option<Report>,
}

/// A look at what runs: what it is to come to when all is well.
#[derive(Debug)]
struct Check {
    /// The release that is held, and why.
    held: Option<(crate::Release, String)>,
    /// What others have put in the place of the last good release: it is the last good one when it is well.
    found: Option<crate::Release>,
    /// Whether the record says something new already.
    changed: bool,
}

/// What the driver owes an answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    /// That the record is durable.
    Persisted,
    /// That a pause is over, after which the record is written again.
    PersistPause,
    /// The effect of the stage.
    Done,
    /// That a pause is over, after which the effect is asked for again.
    RetryPause,
    /// What the runtime says.
    Settled,
    /// What was seen.
    Probed,
    /// That it is time for another look.
    NextLook,
    /// Nothing: it has ended.
    Nothing,
}

impl Machine {
    /// Begins to carry out a decision that was made for this record. A rollout that is under way is gone on with, whatever
    /// the decision says.
    pub fn begin(record: Record, decision: Decision, now: Millis) -> (Self, Vec<Effect>) {
        let is_settled = record.stage.is_settled();
        let mut machine = Self {
            record,
            awaiting: Awaiting::Nothing,
            rounds: Rounds::begin(now),
            tries: 0,
            unsaid: Vec::new(),
            check: None,
            report: None,
        };
        let effects = match decision {
            Decision::Start { target, settings, adopt, retry, is_down } if is_settled => {
                machine.adopt(adopt, &settings);
                machine.start(target, settings, retry, now, is_down)
            }
            Decision::Nothing { settings, adopt } if is_settled => machine.look(settings.as_ref(), adopt, None, now),
            Decision::Held { release, reason, settings, adopt } if is_settled => {
                machine.look(settings.as_ref(), adopt, Some((release, reason)), now)
            }
            Decision::Stop if is_settled => machine.stop(now),
            _ => machine.resume(now),
        };
        (machine, effects)
    }

    /// What is known now; durable as far as `Persist` was confirmed.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What it came to, when it has ended.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Takes in what has happened and says what is to be done. Answers to what was not asked change nothing.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        if self.awaiting == Awaiting::Nothing {
            return Vec::new();
        }
        if let Event::LockRefused { holder } = event {
            return self.give_way(&holder);
        }
        let waited = if event == Event::Tick { self.rounds.waiting } else { 0 };
        match (self.awaiting, event) {
            (Awaiting::Persisted, Event::Persisted) => {
                self.rounds.pass(now, 0);
                self.tries = 0;
                let mut effects: Vec<Effect> = self.unsaid.drain(..).map(Effect::Journal).collect();
                effects.extend(self.act(now));
                effects
            }
            (Awaiting::Persisted, Event::PersistFailed { reason }) => self.not_durable(reason, now),
            (Awaiting::PersistPause, Event::Tick) => {
                self.awaiting = Awaiting::Persisted;
                vec![Effect::Persist(Box::new(self.record.clone()))]
            }
            (Awaiting::Done, Event::Done) => self.done(now),
            (Awaiting::Done, Event::Failed { reason }) => self.failed(&short(reason), now),
            (Awaiting::RetryPause, Event::Tick) => self.act(now),
            (Awaiting::Settled, Event::Settled(settling)) => self.settled(settling, now),
            (Awaiting::Probed, Event::Probed(look)) => self.probed(look, now),
            (Awaiting::NextLook, Event::Tick) => self.next_look(now, waited),
            _ => Vec::new(),
        }
    }

    /// Goes to a stage: first of all the record is made durable.
    fn enter(&mut self, stage: Stage, now: Millis) -> Vec<Effect> {
        self.record.stage = stage;
        self.tries = 0;
        self.rounds = Rounds::begin(now);
        self.record.deadline = self.deadline(now);
        self.persist()
    }

    fn persist(&mut self) -> Vec<Effect> {
        self.record.revision += 1;
        self.awaiting = Awaiting::Persisted;
        vec![Effect::Persist(Box::new(self.record.clone()))]
    }

    /// The effect of the stage that the durable record stands at.
    fn act(&mut self, now: Millis) -> Vec<Effect> {
        let stage = self.record.stage;
        if stage.is_settled() {
            return self.finish();
        }
        if matches!(stage, Stage::Gating | Stage::Watching | Stage::BackGating) {
            return self.begin_rounds();
        }
        let Some(effect) = self.effect() else {
            return self.fail("the record lacks what this stage needs".to_owned(), None, now);
        };
        self.awaiting = Awaiting::Done;
        vec![effect]
    }

    /// What a stage does, read from the record alone; `None` when the record does not hold what it needs.
    fn effect(&self) -> Option<Effect> {
        let target = || self.record.target.clone();
        let good = || self.record.last_good.clone();
        let snapshot = || self.record.snapshot.as_ref().map(|snapshot| snapshot.name.clone());
        Some(match self.record.stage {
            Stage::Preparing => Effect::Prepare { release: target()? },
            Stage::StoppingOld => Effect::Stop { what: StopWhat::Running },
            Stage::Copying => Effect::Snapshot { name: snapshot()? },
            Stage::Activating => Effect::Activate { release: target()? },
            Stage::Switching => Effect::SwitchRoutes { to: target()? },
            Stage::Committing => self.commit(target()?),
            Stage::Draining => Effect::Drain { release: self.record.previous.first()?.clone() },
            Stage::Retiring => Effect::Stop { what: StopWhat::AllBut(good()?) },
            Stage::BackCommitting => {
                Effect::Commit { release: good()?, prune: Vec::new(), prune_snapshots: Vec::new() }
            }
            Stage::BackStopping => Effect::Stop { what: self.stop_on_the_way_back() },
            Stage::BackRestoring => Effect::Restore { snapshot: snapshot()? },
            Stage::BackActivating => Effect::Activate { release: good()? },
            Stage::BackRouting => Effect::SwitchRoutes { to: good()? },
            Stage::Stopping => Effect::Stop { what: StopWhat::Workload },
            _ => return None,
        })
    }

    /// The effect of the stage is done.
    fn done(&mut self, now: Millis) -> Vec<Effect> {
        match self.record.stage.phase() {
            Phase::RollingBack => self.go_on_back(now),
            Phase::Stopping => self.stopped(now),
            _ => self.go_on(now),
        }
    }

    /// The effect of the stage has failed.
    fn failed(&mut self, reason: &str, now: Millis) -> Vec<Effect> {
        let stage = self.record.stage;
        let may_retry = matches!(stage.phase(), Phase::RollingBack | Phase::Stopping | Phase::Committing)
            || stage == Stage::Switching;
        self.tries += 1;
        if may_retry && self.tries < limits::ROLLOUT_TRIES {
            self.note(now, format!("{reason}; trying again"));
            self.awaiting = Awaiting::RetryPause;
            return vec![pause()];
        }
        match stage.phase() {
            Phase::RollingBack => self.stuck(reason, now),
            // Nobody wants it any more: the next run goes on stopping it, and does not start it.
            Phase::Stopping => self.fail(format!("it cannot be stopped: {reason}"), Some(Stage::Stopping), now),
            _ => self.break_off(reason, now),
        }
    }

    /// The record could not be made durable, so nothing may be done that it does not tell of.
    fn not_durable(&mut self, reason: String, now: Millis) -> Vec<Effect> {
        self.tries += 1;
        if self.tries < limits::ROLLOUT_TRIES {
            self.awaiting = Awaiting::PersistPause;
            return vec![pause()];
        }
        self.halt(format!("the record cannot be written: {}", short(reason)), now)
    }

    fn note(&mut self, now: Millis, text: impl Into<String>) {
        let entry = Entry { at: now, phase: self.record.stage.phase(), text: short(text.into()) };
        self.unsaid.push(entry.clone());
        self.record.journal.push(entry);
        let over = self.record.journal.len().saturating_sub(limits::ROLLOUT_JOURNAL);
        self.record.journal.drain(..over);
    }
}

fn pause() -> Effect {
    Effect::Wait { millis: u64::try_from(limits::ROLLOUT_PAUSE.as_millis()).unwrap_or(u64::MAX) }
}

/// A reason that fits into a record.
fn short(mut text: String) -> String {
    if text.len() > limits::ROLLOUT_REASON_BYTES {
        let mut end = limits::ROLLOUT_REASON_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
