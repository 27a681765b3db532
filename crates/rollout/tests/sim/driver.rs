//! Carries effects out in the small world, crashes where it is told to, and checks at every effect what must always hold.

use std::collections::VecDeque;

use freehold_rollout::{
    Decision, Effect, Event, Look, Machine, Millis, Outcome, Phase, Record, Report, Settling, Stage, StopWhat, Wish,
    decide,
};

use super::world::{World, word};

/// More effects than any run may have.
const EFFECTS: usize = 20_000;

/// How a run is disturbed. Places are the numbers of effects within the run, or words with the number of their occurrence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Knobs {
    pub crash: Option<(At, When)>,
    pub lock: Option<At>,
    /// The clock moves by so many milliseconds.
    pub jump: Option<(At, i64)>,
    /// The clock moves before every step, as this seed says.
    pub restless: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Number(usize),
    Word(&'static str, usize),
}

/// Whether the effect was done when the crash came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

#[derive(Debug)]
pub enum Ended {
    Finished(Box<Report>),
    Crashed,
}

/// Runtime, disk and clock; what survives a crash of the driver.
#[derive(Debug, Default)]
pub struct Sim {
    pub world: World,
    pub disk: Option<Record>,
    pub now: Millis,
    /// What was done, in words.
    pub log: Vec<String>,
    /// The data when the rollout began.
    pub before: Vec<String>,
    effects: usize,
    seen: Vec<&'static str>,
    locked_out: bool,
}

impl Sim {
    pub fn new() -> Self {
        Self { now: 1_000_000_000, ..Self::default() }
    }

    pub fn record(&self) -> Record {
        self.disk.clone().unwrap_or_else(|| Record::new("site"))
    }

    /// One run of a driver: decides, carries out, and decides again after having gone on with an old rollout.
    pub fn run(&mut self, wish: &Wish, knobs: Knobs) -> Ended {
        (self.effects, self.seen, self.locked_out) = (0, Vec::new(), false);
        let first = self.decide(wish);
        let goes_on = first == Decision::Resume;
        let ended = self.carry_out(first, knobs);
        if !goes_on || matches!(ended, Ended::Crashed) || self.locked_out {
            return ended;
        }
        let wish = Wish { resumed: true, ..wish.clone() };
        match decide(&wish, &self.record(), &self.world.running()) {
            next if next.changes() => {
                self.decide(&wish);
                self.carry_out(next, knobs)
            }
            _ => ended,
        }
    }

    fn decide(&mut self, wish: &Wish) -> Decision {
        let decision = decide(wish, &self.record(), &self.world.running());
        if let Decision::Start { .. } = &decision {
            self.before.clone_from(&self.world.data);
        }
        self.log.push(format!("decision: {}", shown(&decision)));
        decision
    }

    fn carry_out(&mut self, decision: Decision, knobs: Knobs) -> Ended {
        let (mut machine, effects) = Machine::begin(self.record(), decision, self.now);
        let mut queue: VecDeque<Effect> = effects.into();
        while let Some(effect) = queue.pop_front() {
            self.effects += 1;
            assert!(self.effects < EFFECTS, "it does not end:\n{}", self.log.join("\n"));
            self.seen.push(word(&effect));
            self.move_clock(knobs);
            if machine.report().is_none() && knobs.lock.is_some_and(|at| self.is_at(at)) {
                return self.refuse(&mut machine);
            }
            let crash = knobs.crash.filter(|(at, _)| self.is_at(*at)).map(|(_, when)| when);
            if crash == Some(When::Before) {
                return self.crash();
            }
            self.check(&effect, &machine);
            let event = self.perform(&effect);
            if crash == Some(When::After) {
                return self.crash();
            }
            if let Effect::Finished(report) = effect {
                self.check_end(&report);
                return Ended::Finished(report);
            }
            if let Some(event) = event {
                queue.extend(machine.step(event, self.now));
            }
        }
        panic!("it stops without an end at {:?}:\n{}", machine.record().stage, self.log.join("\n"));
    }

    fn is_at(&self, at: At) -> bool {
        match at {
            At::Number(number) => number == self.effects,
            At::Word(word, number) => {
                self.seen.last() == Some(&word) && self.seen.iter().filter(|seen| **seen == word).count() == number
            }
        }
    }

    fn move_clock(&mut self, knobs: Knobs) {
        self.now += 1;
        if let Some((at, by)) = knobs.jump
            && self.is_at(at)
        {
            self.now = self.now.saturating_add_signed(by);
            self.log.push(format!("the clock moves by {} s", by / 1000));
        }
        if let Some(seed) = knobs.restless {
            let mixed = (seed ^ self.effects as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hours = i64::try_from(mixed >> 60).unwrap() - 8;
            self.now = self.now.saturating_add_signed(hours * 3_600_000);
        }
    }

    fn crash(&mut self) -> Ended {
        self.log.push("crash".to_owned());
        // The next driver has seen nothing itself.
        self.world.green.clear();
        Ended::Crashed
    }

    fn refuse(&mut self, machine: &mut Machine) -> Ended {
        self.locked_out = true;
        let effects = machine.step(Event::LockRefused { holder: "process 7".to_owned() }, self.now);
        let [Effect::Finished(report)] = effects.as_slice() else {
            panic!("without the lock it wants {effects:?}");
        };
        self.log.push(format!("refused: {}", report.reason.as_deref().unwrap_or_default()));
        assert!(machine.step(Event::Done, self.now).is_empty(), "it goes on without the lock");
        Ended::Finished(report.clone())
    }

    fn perform(&mut self, effect: &Effect) -> Option<Event> {
        if let Some(line) = show(effect) {
            self.log.push(line);
        }
        match effect {
            Effect::Persist(record) => Some(match self.world.fault("persist") {
                Some(fault) => {
                    if fault.done {
                        self.write(record);
                    }
                    self.log.push("  fails: disk full".to_owned());
                    Event::PersistFailed { reason: "disk full".to_owned() }
                }
                None => {
                    self.write(record);
                    Event::Persisted
                }
            }),
            Effect::Settle { release } => {
                let settling = self.world.settle(release);
                if settling == Settling::Settled && !asks_more(&self.record()) {
                    self.world.green.insert(release.id().to_owned());
                }
                self.log.push(match &settling {
                    Settling::Settled => format!("settle {release}: settled"),
                    Settling::Busy { reason } => format!("settle {release}: busy, {reason}"),
                    Settling::Broken { reason } => format!("settle {release}: broken, {reason}"),
                });
                Some(Event::Settled(settling))
            }
            Effect::Probe { release, .. } => {
                let look = self.world.probe(release);
                if look == Look::Green {
                    self.world.green.insert(release.id().to_owned());
                } else {
                    self.world.green.remove(release.id());
                }
                let seen = if look == Look::Green { "green" } else { "red" };
                self.log.push(format!("probe {release}: {seen}"));
                Some(Event::Probed(look))
            }
            Effect::Wait { millis } => {
                self.now = self.now.saturating_add(*millis);
                Some(Event::Tick)
            }
            Effect::Journal(_) | Effect::Finished(_) => None,
            Effect::Alert(_) | Effect::ClearAlert => {
                self.world.carry_out(effect).unwrap();
                None
            }
            _ => Some(match self.world.carry_out(effect) {
                Ok(()) => Event::Done,
                Err(reason) => {
                    self.log.push(format!("  fails: {reason}"));
                    Event::Failed { reason }
                }
            }),
        }
    }

    /// Writes a record as a driver would: as bytes, which must be read back as they were meant.
    fn write(&mut self, record: &Record) {
        let read = Record::parse(&record.to_bytes()).expect("the record that was written");
        assert_eq!(read, *record, "a record changes when it is written");
        self.disk = Some(read);
    }

    /// What must hold of every effect before it is carried out.
    fn check(&self, effect: &Effect, machine: &Machine) {
        if matches!(effect, Effect::Persist(_) | Effect::Wait { .. } | Effect::Settle { .. } | Effect::Probe { .. }) {
            return;
        }
        let disk = self.record();
        let told = || self.log.join("\n");
        let changes =
            !matches!(effect, Effect::Journal(_) | Effect::Alert(_) | Effect::ClearAlert | Effect::Finished(_));
        if changes {
            assert_eq!(disk.stage, machine.record().stage, "{} before its intent:\n{}", word(effect), told());
            assert_eq!(disk.revision, machine.record().revision, "{} before its intent:\n{}", word(effect), told());
        }
        let is = |release: &Option<freehold_rollout::Release>, id: &str| release.as_ref().is_some_and(|r| r.id() == id);
        match effect {
            Effect::Activate { release } => {
                let id = release.id();
                assert!(is(&disk.target, id) || is(&disk.last_good, id), "`{id}` is activated:\n{}", told());
                if disk.stage == Stage::Activating {
                    assert!(disk.taken_back(release).is_none(), "`{id}` was taken back:\n{}", told());
                } else {
                    assert!(is(&disk.last_good, id), "`{id}` is put back and was not good:\n{}", told());
                }
            }
            Effect::Commit { release, prune, .. } => {
                if disk.stage == Stage::Committing {
                    let id = release.id();
                    assert!(self.world.green.contains(id), "`{id}` is committed and was not seen green:\n{}", told());
                } else {
                    assert!(prune.is_empty() && is(&disk.last_good, release.id()), "{}", told());
                }
            }
            Effect::Stop { what } if self.world.blue_green && disk.stage.phase() == Phase::RollingBack => {
                if let Some(good) = &disk.last_good {
                    assert_eq!(*what, StopWhat::AllBut(good.clone()), "the old instance is stopped:\n{}", told());
                }
            }
            _ => {}
        }
    }

    /// What must hold when a run has ended.
    fn check_end(&self, report: &Report) {
        let told = || self.log.join("\n");
        let record = self.record();
        let could_write =
            !report.reason.as_ref().is_some_and(|reason| reason.starts_with("the record cannot be written"));
        assert!(record.stage.is_settled() || !could_write, "it ends while {:?}:\n{}", record.stage, told());
        assert_eq!(self.world.alert.is_some(), report.outcome.alerts(), "the alert is wrong:\n{}", told());
        let runs: Vec<&str> = self.world.instances.iter().map(String::as_str).collect();
        let good = record.last_good.as_ref().map(freehold_rollout::Release::id);
        match report.outcome {
            Outcome::Deployed | Outcome::Upgraded => {
                let target = report.release.as_ref().unwrap().id();
                assert_eq!(
                    (runs, good, self.world.boot.as_deref()),
                    (vec![target], Some(target), Some(target)),
                    "{}",
                    told()
                );
                if self.world.blue_green {
                    assert_eq!(self.world.routes.as_deref(), Some(target), "{}", told());
                }
            }
            Outcome::RolledBack => {
                assert_eq!(runs, [good.unwrap()], "{}", told());
                assert_eq!(self.world.boot.as_deref(), good, "what starts at boot is not the last good:\n{}", told());
                if self.world.blue_green {
                    assert_eq!(self.world.routes.as_deref(), good, "{}", told());
                }
                if record.settings.stateful {
                    assert_eq!(self.world.data, self.before, "the data were not put back:\n{}", told());
                }
            }
            Outcome::Stopped => assert_eq!((runs.len(), self.world.boot.as_deref()), (0, None), "{}", told()),
            Outcome::None if good.is_some() => assert!(runs.contains(&good.unwrap()), "{}", told()),
            _ => {}
        }
    }
}

/// Whether the gate has something to look at beside settling.
fn asks_more(record: &Record) -> bool {
    record.settings.gate.looks()
}

pub fn shown(decision: &Decision) -> String {
    match decision {
        Decision::Resume => "resume".to_owned(),
        Decision::Start { target, adopt, retry, .. } => {
            let adopt = adopt.as_ref().map(|release| format!(", from {release} as found")).unwrap_or_default();
            format!("start {target}{adopt}{}", if *retry { ", again" } else { "" })
        }
        Decision::Nothing { settings: None, .. } => "nothing".to_owned(),
        Decision::Nothing { .. } => "nothing but a look".to_owned(),
        Decision::Held { release, reason, .. } => format!("held {release}: {reason}"),
        Decision::Stop => "stop".to_owned(),
    }
}

/// An effect as a script shows it; what is seen of a release is shown with its answer.
fn show(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Persist(record) => format!("persist {}", record.stage.word()),
        Effect::Journal(entry) => format!("journal {}: {}", entry.phase.word(), entry.text),
        Effect::Prepare { release } => format!("prepare {release}"),
        Effect::Stop { what: StopWhat::Running } => "stop what runs".to_owned(),
        Effect::Stop { what: StopWhat::AllBut(release) } => format!("stop all but {release}"),
        Effect::Stop { what: StopWhat::Workload } => "stop for good".to_owned(),
        Effect::Snapshot { name } => format!("snapshot {name}"),
        Effect::Activate { release } => format!("activate {release}"),
        Effect::Settle { .. } | Effect::Probe { .. } => return None,
        Effect::Wait { millis } => format!("wait {millis} ms"),
        Effect::SwitchRoutes { to } => format!("routes to {to}"),
        Effect::Drain { release } => format!("drain {release}"),
        Effect::Commit { release, prune, prune_snapshots } => {
            let ids: Vec<&str> = prune.iter().map(freehold_rollout::Release::id).collect();
            let names: Vec<&str> = prune_snapshots.iter().map(String::as_str).collect();
            let gone = [ids, names].concat().join(", ");
            format!("commit {release}{}", if gone.is_empty() { gone } else { format!(", prune {gone}") })
        }
        Effect::Restore { snapshot } => format!("restore {snapshot}"),
        Effect::Alert(alert) => {
            let count = if alert.count > 1 { format!(" ({} times)", alert.count) } else { String::new() };
            let copy = alert.snapshot.as_ref().map(|name| format!(" [data in {name}]")).unwrap_or_default();
            format!("alert {}{count}: {}{copy}", alert.outcome, alert.reason)
        }
        Effect::ClearAlert => "clear the alert".to_owned(),
        Effect::Finished(report) => {
            let reason = report.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} (exit {}){reason}", report.outcome, report.exit(false).code())
        }
    })
}
