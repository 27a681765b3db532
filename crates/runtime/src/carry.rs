//! Carries out a rollout: the loop between the pure machine and the world.
//!
//! The machine says what is next; [`Hands`] do it. Nothing is decided here. When the loop is left in the middle (a stop, a crash), the
//! record on disk tells the next run where it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freehold_rollout::{
    Alert, Decision, Effect, Entry, Event, Gate, Look, Machine, Millis, Record, Release, Report, Settling, StopWhat,
};

use crate::{RecordFile, RuntimeError};

/// What does the deeds of one workload's rollout: a runtime, with what fetches closures and what switches routes. An error is a reason
/// in words, as records keep it.
pub trait Hands {
    /// Fetches and checks what is needed.
    fn prepare(&mut self, release: &Release) -> Result<(), String>;
    /// Stops, and waits until it is gone.
    fn stop(&mut self, what: &StopWhat) -> Result<(), String>;
    /// Starts a release.
    fn activate(&mut self, release: &Release) -> Result<(), String>;
    /// Whether exactly this release runs and has settled.
    fn settle(&mut self, release: &Release) -> Settling;
    /// Looks at it once.
    fn probe(&mut self, release: &Release, gate: &Gate) -> Look;
    /// Lets new requests go to it.
    fn switch_routes(&mut self, to: &Release) -> Result<(), String>;
    /// Lets it finish the requests it has.
    fn drain(&mut self, release: &Release) -> Result<(), String>;
    /// Makes it the one that starts at boot, and removes what is no longer kept.
    fn commit(&mut self, release: &Release, prune: &[Release]) -> Result<(), String>;
    /// Copies the data of the stopped workload.
    fn snapshot(&mut self, name: &str) -> Result<(), String>;
    /// Puts the data back.
    fn restore(&mut self, name: &str) -> Result<(), String>;
    /// Removes copies that are no longer kept.
    fn prune_snapshots(&mut self, names: &[String]) -> Result<(), String>;
}

/// Is told what goes on.
pub trait Told {
    /// A line of the journal, after it became durable.
    fn journal(&mut self, entry: &Entry);
    /// An alert stands, or none any more.
    fn alert(&mut self, alert: Option<&Alert>);
}

/// Carries a decision out to its end; `None` when `stop` was set first.
///
/// # Errors
/// The record cannot be read.
pub fn carry(
    file: &RecordFile,
    decision: Decision,
    hands: &mut dyn Hands,
    told: &mut dyn Told,
    stop: &AtomicBool,
) -> Result<Option<Report>, RuntimeError> {
    Ok(carry_from(file, file.read()?, decision, hands, told, stop))
}

/// The same, for whoever has read the record since it was locked.
pub fn carry_from(
    file: &RecordFile,
    record: Record,
    decision: Decision,
    hands: &mut dyn Hands,
    told: &mut dyn Told,
    stop: &AtomicBool,
) -> Option<Report> {
    let (mut machine, effects) = Machine::begin(record, decision, now());
    let mut effects: std::collections::VecDeque<Effect> = effects.into();
    while let Some(effect) = effects.pop_front() {
        if stop.load(Ordering::SeqCst) {
            return None;
        }
        let Some(event) = deed(effect, file, hands, told, stop) else { continue };
        effects.extend(machine.step(event, now()));
    }
    machine.report().cloned()
}

/// Does one thing and says what came of it; `None` for what wants no answer.
fn deed(
    effect: Effect,
    file: &RecordFile,
    hands: &mut dyn Hands,
    told: &mut dyn Told,
    stop: &AtomicBool,
) -> Option<Event> {
    let done = |result: Result<(), String>| match result {
        Ok(()) => Event::Done,
        Err(reason) => Event::Failed { reason },
    };
    Some(match effect {
        Effect::Persist(record) => persist(file, &record),
        Effect::Journal(entry) => {
            told.journal(&entry);
            return None;
        }
        Effect::Alert(alert) => {
            told.alert(Some(&alert));
            return None;
        }
        Effect::ClearAlert => {
            told.alert(None);
            return None;
        }
        Effect::Finished(_) => return None,
        Effect::Wait { millis } => {
            wait(Duration::from_millis(millis), stop);
            Event::Tick
        }
        Effect::Prepare { release } => done(hands.prepare(&release)),
        Effect::Stop { what } => done(hands.stop(&what)),
        Effect::Snapshot { name } => done(hands.snapshot(&name)),
        Effect::Activate { release } => done(hands.activate(&release)),
        Effect::Settle { release } => Event::Settled(hands.settle(&release)),
        Effect::Probe { release, gate } => Event::Probed(hands.probe(&release, &gate)),
        Effect::SwitchRoutes { to } => done(hands.switch_routes(&to)),
        Effect::Drain { release } => done(hands.drain(&release)),
        Effect::Commit { release, prune, prune_snapshots } => {
            done(hands.commit(&release, &prune).and_then(|()| hands.prune_snapshots(&prune_snapshots)))
        }
        Effect::Restore { snapshot } => done(hands.restore(&snapshot)),
    })
}

/// Puts a record in the place of the one with the revision before.
fn persist(file: &RecordFile, record: &Record) -> Event {
    match file.read() {
        Ok(there) if there.revision.checked_add(1) != Some(record.revision) => {
            Event::LockRefused { holder: format!("whoever wrote revision {} of its record", there.revision) }
        }
        Ok(_) => match file.write(record) {
            Ok(()) => Event::Persisted,
            Err(error) => Event::PersistFailed { reason: error.chain() },
        },
        Err(error) => Event::PersistFailed { reason: error.chain() },
    }
}

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Waits by a clock that does not jump; a stop ends it early.
fn wait(time: Duration, stop: &AtomicBool) {
    const SLICE: Duration = Duration::from_millis(20);
    let end = Instant::now() + time;
    while !stop.load(Ordering::SeqCst) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(SLICE));
    }
}
