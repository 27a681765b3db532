//! The runtime `systemd`: a service is a unit of its host, hardened, started at boot once it is committed.
//!
//! A unit of another is never touched: ours have a line at their top that says so, and which release they start. What runs is read
//! back from systemd and from the process itself. Nothing is remembered here but which unit files systemd has not read yet.
//!
//! Read on in `unit.rs` (a release as a unit file; `marker.rs`, `hardening.rs`, `escape.rs`), `place.rs` (where files are), `state.rs`
//! (what systemd's words mean for a rollout), `bus.rs` (talking to it), `users.rs`, `journal.rs`.

mod bus;
mod escape;
mod hardening;
mod journal;
mod marker;
mod place;
mod state;
mod unit;
mod users;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use freehold_model::limits;
use freehold_rollout::{Release, Settling, StopWhat, Strategy};

use crate::records::write_durably;
use crate::{Instance, Runtime, RuntimeError, ServiceRelease, environment, host};
use bus::{Bus, Job};
pub use escape::command_line;
use marker::Mark;
use place::{Places, Slot};
use state::State;
pub use unit::render;

/// The names of the units that a workload may have: one alone, or two that take turns.
pub fn units(workload: &str) -> Vec<String> {
    Slot::ALL.iter().map(|slot| slot.unit(workload)).collect()
}

/// Runs services as units of this host's systemd. Needs root.
#[derive(Debug)]
pub struct SystemdRuntime {
    places: Places,
    creates_users: bool,
    bus: Mutex<Option<Bus>>,
    /// Units whose files systemd has not read yet.
    unread: Mutex<BTreeSet<String>>,
}

/// A unit of ours: what it is to start, and what it does.
struct Unit {
    name: String,
    slot: Slot,
    /// What its file says.
    mark: Mark,
    state: State,
}

impl SystemdRuntime {
    /// With copies of unit files below `state`.
    pub fn new(state: impl AsRef<Path>) -> Self {
        let places = Places::new(state.as_ref());
        Self { places, creates_users: false, bus: Mutex::default(), unread: Mutex::default() }
    }

    /// Lets users and groups be created that services name and the host has not.
    #[must_use]
    pub fn creating_users(mut self, allowed: bool) -> Self {
        self.creates_users = allowed;
        self
    }

    /// Puts the unit of a release in place; its slot.
    fn put(&self, workload: &str, release: &Release, strategy: Strategy, units: &[Unit]) -> Result<Slot, RuntimeError> {
        let service = ServiceRelease::from_release(release)?;
        let slot = choose_slot(release, service.blue_green && strategy == Strategy::BlueGreen, units);
        let name = slot.unit(workload);
        self.refuse_foreign(workload, &name)?;
        let old = self.places.text(&name)?;
        let own = old.as_deref().and_then(Mark::of).filter(|mark| mark.release.id() == release.id());
        let port = match (own, service.port, slot) {
            (Some(mark), ..) => mark.port,
            (None, Some(_), Slot::Blue | Slot::Green) => Some(host::free_port()?),
            (None, port, _) => port,
        };
        let text = unit::render(workload, release, port)?;
        if self.creates_users {
            users::create(workload, &service)?;
        }
        if old.as_deref() != Some(text.as_str()) {
            self.places.write_tried(&name, &text)?;
            lock(&self.unread).insert(name);
        }
        Ok(slot)
    }

    /// Makes systemd read unit files again if that of this unit has changed; others that have are read, too.
    fn read_again(&self, unit: &str) -> Result<(), RuntimeError> {
        // Held while systemd reads: whoever else waits finds the work done.
        let mut unread = lock(&self.unread);
        if unread.contains(unit) {
            self.ask(Bus::reload)?;
            unread.clear();
        }
        Ok(())
    }

    /// The units of a workload that are ours.
    fn units(&self, workload: &str) -> Result<Vec<Unit>, RuntimeError> {
        let mut units = Vec::new();
        for slot in Slot::ALL {
            let name = slot.unit(workload);
            if !self.places.has(&name) {
                continue;
            }
            let Some(mark) = self.places.text(&name)?.as_deref().and_then(Mark::of) else { continue };
            if mark.workload == workload {
                let state = self.ask(|bus| bus.state(&name))?;
                units.push(Unit { name, slot, mark, state });
            }
        }
        Ok(units)
    }

    /// The release that a unit's process was started as; that of its file where the process cannot tell.
    fn running(&self, unit: &Unit) -> Result<Option<Release>, RuntimeError> {
        let Some(id) = release_of_process(unit.state.pid) else { return Ok(Some(unit.mark.release.clone())) };
        if unit.mark.release.id() == id {
            return Ok(Some(unit.mark.release.clone()));
        }
        let marks = self.places.marks(&unit.name)?;
        Ok(marks.into_iter().map(|mark| mark.release).find(|release| release.id() == id))
    }

    /// Whether what is active now was started as this release. Its unit file alone says nothing of that: it may have been put in place
    /// since, and between two starts of a release that ends by itself there is no process that could tell.
    fn was_started(&self, unit: &Unit, release: &Release) -> Result<bool, RuntimeError> {
        if let Some(id) = release_of_process(unit.state.pid) {
            return Ok(id == release.id());
        }
        let started = place::read(&self.places.copy(&unit.name))?.as_deref().and_then(Mark::of);
        Ok(unit.state.active == "active" && started.is_some_and(|mark| mark.release.id() == release.id()))
    }

    /// What there is under this name that is not ours.
    fn foreign(&self, workload: &str, unit: &str) -> Result<Option<(String, State)>, RuntimeError> {
        let state = self.ask(|bus| bus.state(unit))?;
        let committed = self.places.committed(unit).to_string_lossy().into_owned();
        for file in [state.file.clone(), committed].iter().filter(|file| !file.is_empty()) {
            let what = match place::read(Path::new(file))? {
                None => continue,
                Some(text) => match Mark::of(&text) {
                    Some(mark) if mark.workload == workload => continue,
                    Some(mark) => format!("it belongs to the service `{}`", mark.workload),
                    None => format!("`{file}` was written by somebody else"),
                },
            };
            return Ok(Some((what, state)));
        }
        Ok((state.load == "masked").then(|| ("it is masked".to_owned(), state)))
    }

    fn refuse_foreign(&self, workload: &str, unit: &str) -> Result<(), RuntimeError> {
        match self.foreign(workload, unit)? {
            Some((what, _)) => Err(RuntimeError::Foreign { unit: unit.to_owned(), what }),
            None => Ok(()),
        }
    }

    /// Ends a unit and waits until it is gone.
    fn end(&self, unit: &Unit) -> Result<(), RuntimeError> {
        if unit.state.is_stopped() {
            return Ok(());
        }
        let limit = limits::UNIT_JOB + stop_time(&unit.mark.release);
        let result = self.ask(|bus| bus.job(Job::Stop, &unit.name, limit))?;
        match result.as_str() {
            "done" | "skipped" => Ok(()),
            result => {
                Err(RuntimeError::Refused { what: format!("stopping `{}`", unit.name), reason: result.to_owned() })
            }
        }
    }

    /// Ends what runs before its unit is another, when the new one would give it another time to end: a restart knows the new alone.
    /// Says whether anything was ended.
    fn end_as_it_was_told(&self, units: &[Unit], release: &Release) -> Result<bool, RuntimeError> {
        let mut has_ended = false;
        for unit in units.iter().filter(|unit| !unit.state.is_stopped()) {
            if stop_time(&unit.mark.release) != stop_time(release) {
                self.end(unit)?;
                has_ended = true;
            }
        }
        Ok(has_ended)
    }

    /// Whether a unit starts this release at boot.
    fn is_committed(&self, unit: &Unit, release: &Release) -> bool {
        let text = place::read(&self.places.committed(&unit.name)).ok().flatten();
        text.as_deref().and_then(Mark::of).is_some_and(|mark| mark.release.id() == release.id())
    }

    /// Removes a unit that is ours and does not run, so that nothing starts it at boot.
    fn remove(&self, unit: &Unit) -> Result<(), RuntimeError> {
        for until_reboot in [false, true] {
            if until_reboot || !self.places.forgets() {
                self.ask(|bus| bus.disable(&unit.name, until_reboot))?;
            }
        }
        if self.places.remove(&unit.name)? {
            lock(&self.unread).insert(unit.name.clone());
        }
        self.ask(|bus| {
            bus.reset_failed(&unit.name);
            Ok(())
        })
    }

    /// Asks systemd; once more over a new connection when the old one is gone.
    fn ask<T>(&self, question: impl Fn(&Bus) -> Result<T, RuntimeError>) -> Result<T, RuntimeError> {
        let kept = lock(&self.bus).clone();
        if let Some(bus) = kept {
            match question(&bus) {
                Err(RuntimeError::Bus { source, .. }) if is_lost(&source) => *lock(&self.bus) = None,
                answer => return answer,
            }
        }
        let bus = Bus::connect()?;
        *lock(&self.bus) = Some(bus.clone());
        question(&bus)
    }
}

impl Runtime for SystemdRuntime {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn workloads(&self) -> Result<Vec<String>, RuntimeError> {
        self.places.workloads()
    }

    fn observe(&self, workload: &str) -> Result<Vec<Instance>, RuntimeError> {
        let mut found = Vec::new();
        let units = self.units(workload)?;
        for unit in units.iter().filter(|unit| unit.state.is_running()) {
            found.push(Instance {
                release: self.running(unit)?,
                port: unit.mark.port,
                text: format!("unit {}, {}", unit.name, unit.state),
            });
        }
        if units.is_empty() {
            let name = Slot::Single.unit(workload);
            if let Some((what, state)) = self.foreign(workload, &name)? {
                found.push(Instance { release: None, port: None, text: format!("unit {name}, {state}: {what}") });
            }
        }
        Ok(found)
    }

    fn check(&self, workload: &str, release: &Release) -> Result<(), RuntimeError> {
        let service = ServiceRelease::from_release(release)?;
        host::check_program(&service)?;
        unit::render(workload, release, service.port)?;
        for directory in unit::state_directories(workload, &service.systemd) {
            self.places.refuse_own(&directory)?;
        }
        if !self.creates_users
            && let Some((what, name)) = users::missing(&service).into_iter().next()
        {
            return Err(RuntimeError::NoUser { what, name });
        }
        environment::of(&service, None)?;
        for file in service.systemd.load_credential.iter().flat_map(|all| all.values()) {
            fs_err::metadata(file).map_err(RuntimeError::file("read", file))?;
        }
        self.refuse_foreign(workload, &Slot::Single.unit(workload))
    }

    /// A service that ends by itself meanwhile is started again by its new unit.
    fn install(&self, workload: &str, release: &Release, strategy: Strategy) -> Result<(), RuntimeError> {
        let units = self.units(workload)?;
        // One that is to end as it was told keeps its unit until then.
        let waits = |unit: &Unit| !unit.state.is_stopped() && stop_time(&unit.mark.release) != stop_time(release);
        if strategy == Strategy::Restart && units.iter().any(waits) {
            return Ok(());
        }
        self.put(workload, release, strategy, &units).map(drop)
    }

    fn activate(&self, workload: &str, release: &Release, strategy: Strategy) -> Result<(), RuntimeError> {
        let mut units = self.units(workload)?;
        if strategy == Strategy::Restart && self.end_as_it_was_told(&units, release)? {
            units = self.units(workload)?;
        }
        let slot = self.put(workload, release, strategy, &units)?;
        let name = slot.unit(workload);
        let is_there = units.iter().find(|unit| unit.slot == slot && unit.state.is_running());
        let is_left_alone = match is_there {
            Some(unit) => self.was_started(unit, release)?,
            None => false,
        };
        if strategy == Strategy::Restart {
            for other in units.iter().filter(|unit| unit.slot != slot) {
                self.end(other)?;
            }
        }
        self.read_again(&name)?;
        if is_left_alone {
            return Ok(());
        }
        let limit = limits::UNIT_JOB
            + start_time(release)
            + is_there.map_or(Duration::ZERO, |unit| stop_time(&unit.mark.release));
        let result = self.ask(|bus| {
            bus.reset_failed(&name);
            bus.job(Job::Restart, &name, limit)
        })?;
        if result != "done" {
            let state = self.ask(|bus| bus.state(&name))?;
            let reason = with_last_words(format!("{result}: {}", state.ending()), &name, &state);
            return Err(RuntimeError::Refused { what: format!("starting `{name}`"), reason });
        }
        let text = self.places.text(&name)?.unwrap_or_default();
        write_durably(&self.places.copy(&name), text.as_bytes())
    }

    fn stop(&self, workload: &str, what: &StopWhat) -> Result<(), RuntimeError> {
        let units = self.units(workload)?;
        for unit in &units {
            let is_kept = match what {
                StopWhat::AllBut(kept) => self.running(unit)?.is_some_and(|runs| runs.id() == kept.id()),
                StopWhat::Running | StopWhat::Workload => false,
            };
            if is_kept {
                continue;
            }
            self.end(unit)?;
            if let StopWhat::AllBut(kept) = what
                && units.iter().any(|other| other.name != unit.name && self.is_committed(other, kept))
            {
                // Its successor is started at boot; so it must not be.
                self.remove(unit)?;
            }
        }
        if *what == StopWhat::Workload {
            for unit in &units {
                self.remove(unit)?;
            }
            users::forget(workload)?;
            if let Some(unit) = units.first() {
                self.read_again(&unit.name)?;
            }
        }
        Ok(())
    }

    fn settle(&self, workload: &str, release: &Release) -> Settling {
        let units = match self.units(workload) {
            Ok(units) => units,
            Err(error) => return Settling::Busy { reason: error.chain() },
        };
        let Some(unit) = units.into_iter().find(|unit| unit.mark.release.id() == release.id()) else {
            return Settling::Broken { reason: "it does not run".to_owned() };
        };
        match release_of_process(unit.state.pid) {
            Some(id) if id != release.id() => Settling::Broken { reason: format!("`{id}` runs in its place") },
            _ => match unit.state.settling() {
                Settling::Broken { reason } => {
                    Settling::Broken { reason: with_last_words(reason, &unit.name, &unit.state) }
                }
                settling => settling,
            },
        }
    }

    fn commit(&self, workload: &str, release: &Release) -> Result<(), RuntimeError> {
        let units = self.units(workload)?;
        let Some(unit) = units.iter().find(|unit| unit.mark.release.id() == release.id()) else {
            let what = format!("committing `{workload}`");
            return Err(RuntimeError::Refused { what, reason: "no unit of it starts this release".to_owned() });
        };
        let file = self.places.committed(&unit.name);
        let text = self.places.text(&unit.name)?.unwrap_or_default();
        if place::read(&file)?.as_deref() != Some(text.as_str()) {
            write_durably(&file, text.as_bytes())?;
        }
        let forgets = self.places.forgets();
        self.ask(|bus| bus.enable(&file.to_string_lossy(), forgets))?;
        for other in units.iter().filter(|other| other.name != unit.name && other.state.is_stopped()) {
            self.remove(other)?;
        }
        Ok(())
    }
}

/// The unit that a release is started in: the one that it has already; else one of the two that does not run.
fn choose_slot(release: &Release, takes_turns: bool, units: &[Unit]) -> Slot {
    if !takes_turns {
        return Slot::Single;
    }
    let turns = units.iter().filter(|unit| unit.slot != Slot::Single);
    if let Some(own) = turns.clone().find(|unit| unit.mark.release.id() == release.id()) {
        return own.slot;
    }
    let is_free = |slot: &Slot| !turns.clone().any(|unit| unit.slot == *slot && !unit.state.is_stopped());
    // When both run, a rollout was left in the middle: green began it.
    [Slot::Blue, Slot::Green].into_iter().find(is_free).unwrap_or(Slot::Green)
}

/// Which release a process was told that it is.
fn release_of_process(pid: u64) -> Option<String> {
    if pid == 0 {
        return None;
    }
    let environment = fs_err::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{}=", unit::RELEASE_VARIABLE);
    let of = |variable: &[u8]| String::from_utf8_lossy(variable).strip_prefix(&prefix).map(str::to_owned);
    environment.split(|byte| *byte == 0).find_map(of)
}

fn with_last_words(reason: String, unit: &str, state: &State) -> String {
    match journal::last_words(unit, state) {
        Some(words) => format!("{reason}; it said: {words}"),
        None => reason,
    }
}

/// How long a release may take to start, as it says itself.
fn start_time(release: &Release) -> Duration {
    let says = ServiceRelease::from_release(release).ok().and_then(|service| service.systemd.timeout_start_sec);
    says.map_or(limits::UNIT_TIMEOUT, |seconds| Duration::from_secs(u64::from(seconds)))
}

/// How long a release may take to stop, as it says itself.
fn stop_time(release: &Release) -> Duration {
    let says = ServiceRelease::from_release(release).ok().and_then(|service| service.systemd.timeout_stop_sec);
    says.map_or(limits::UNIT_TIMEOUT, |seconds| Duration::from_secs(u64::from(seconds)))
}

fn is_lost(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(_) | zbus::Error::Connection(..))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind it is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
