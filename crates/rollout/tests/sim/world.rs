//! The runtime of the simulation: instances, routes, what starts at boot, data and their copies.
//!
//! It fails when it is told to, and panics when it is asked for what no driver may be asked for.

use std::collections::{BTreeMap, BTreeSet};

use freehold_rollout::{Alert, Effect, Look, Release, Running, Settling, StopWhat};
use serde_json::Value as Json;

/// How a release behaves when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Green at once.
    Good,
    /// Green after so many looks.
    Late(u32),
    /// Settles, and is never green.
    Red,
    /// Green once, then red.
    Flicker,
    /// The runtime says that it will not run.
    Broken,
    /// It settles, the runtime cannot tell once, and all is well.
    Stutter,
    /// It settles once, and the runtime cannot tell any more.
    Fade,
    /// It never settles, while an older instance may answer.
    Busy,
}

/// How an effect fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// How often it fails.
    pub times: u32,
    /// Whether it was done nevertheless.
    pub done: bool,
}

#[derive(Debug, Default)]
pub struct World {
    pub health: BTreeMap<String, Health>,
    /// How often the runtime was asked for each release.
    pub asked: BTreeMap<String, u32>,
    /// Looks at each release since its activation.
    pub looks: BTreeMap<String, u32>,
    pub instances: BTreeSet<String>,
    pub routes: Option<String>,
    pub boot: Option<String>,
    /// Which releases have written the data, in order.
    pub data: Vec<String>,
    pub copies: BTreeMap<String, Vec<String>>,
    pub faults: BTreeMap<&'static str, Fault>,
    pub alert: Option<Alert>,
    pub foreign: Option<String>,
    pub blue_green: bool,
    /// Releases that were green since they were last activated.
    pub green: BTreeSet<String>,
    pub prepared: BTreeSet<String>,
}

/// What comes of an effect.
pub type Outcome = Result<(), String>;

pub fn release(id: &str) -> Release {
    Release::new(id, Json::Null).unwrap()
}

/// The word for an effect that faults and scripts use.
pub fn word(effect: &Effect) -> &'static str {
    match effect {
        Effect::Persist(_) => "persist",
        Effect::Journal(_) => "journal",
        Effect::Prepare { .. } => "prepare",
        Effect::Stop { .. } => "stop",
        Effect::Snapshot { .. } => "snapshot",
        Effect::Activate { .. } => "activate",
        Effect::Settle { .. } => "settle",
        Effect::Probe { .. } => "probe",
        Effect::Wait { .. } => "wait",
        Effect::SwitchRoutes { .. } => "routes",
        Effect::Drain { .. } => "drain",
        Effect::Commit { .. } => "commit",
        Effect::Restore { .. } => "restore",
        Effect::Alert(_) => "alert",
        Effect::ClearAlert => "clear-alert",
        Effect::Finished(_) => "finished",
    }
}

impl World {
    pub fn running(&self) -> Running {
        if let Some(what) = &self.foreign {
            return Running::Foreign { what: what.clone() };
        }
        let routed = self.routes.as_ref().filter(|id| self.instances.contains(*id));
        match routed.or(self.instances.first()) {
            Some(id) => Running::Release(release(id)),
            None => Running::Nothing,
        }
    }

    /// Whether this effect is to fail now, and whether it is done nevertheless.
    pub fn fault(&mut self, word: &str) -> Option<Fault> {
        let fault = self.faults.get_mut(word)?;
        if fault.times == 0 {
            return None;
        }
        fault.times -= 1;
        Some(*fault)
    }

    /// Carries an effect out, or fails as told.
    pub fn carry_out(&mut self, effect: &Effect) -> Outcome {
        let word = word(effect);
        match self.fault(word) {
            Some(fault) => {
                if fault.done {
                    self.change(effect);
                }
                Err(format!("{word} says no"))
            }
            None => {
                self.change(effect);
                Ok(())
            }
        }
    }

    fn change(&mut self, effect: &Effect) {
        match effect {
            Effect::Prepare { release } => drop(self.prepared.insert(release.id().to_owned())),
            Effect::Stop { what } => self.stop(what),
            Effect::Snapshot { name } => {
                assert!(self.instances.is_empty(), "data are copied while {:?} runs", self.instances);
                self.copies.insert(name.clone(), self.data.clone());
            }
            Effect::Activate { release } => self.start(release.id()),
            Effect::SwitchRoutes { to } => self.routes = Some(to.id().to_owned()),
            Effect::Commit { release, prune, prune_snapshots } => {
                assert!(!prune.iter().any(|old| old.is(release)), "the release that is committed is pruned");
                for name in prune_snapshots {
                    self.copies.remove(name);
                }
                self.boot = Some(release.id().to_owned());
            }
            Effect::Restore { snapshot } => {
                assert!(self.instances.is_empty(), "data are put back while {:?} runs", self.instances);
                self.data = self.copies.get(snapshot).expect("a copy of that name").clone();
            }
            Effect::Drain { release } => {
                assert_ne!(self.routes.as_deref(), Some(release.id()), "what is drained still gets requests");
            }
            Effect::Alert(alert) => self.alert = Some((**alert).clone()),
            Effect::ClearAlert => self.alert = None,
            _ => {}
        }
    }

    fn stop(&mut self, what: &StopWhat) {
        match what {
            StopWhat::Running => self.instances.clear(),
            StopWhat::AllBut(release) => self.instances.retain(|id| id == release.id()),
            StopWhat::Workload => {
                self.instances.clear();
                self.boot = None;
                self.routes = None;
            }
        }
    }

    /// Starts a release; one that runs stays untouched.
    /// Others put a release in the place of what runs, and their runtime starts it at boot.
    pub fn moved(&mut self, id: &str) {
        self.start(id);
        self.boot = Some(id.to_owned());
    }

    fn start(&mut self, id: &str) {
        self.foreign = None;
        if self.instances.contains(id) {
            return;
        }
        if !self.blue_green {
            self.instances.clear();
        }
        self.instances.insert(id.to_owned());
        self.looks.remove(id);
        self.green.remove(id);
        if self.data.last().map(String::as_str) != Some(id) {
            self.data.push(id.to_owned());
        }
    }

    /// What was not committed is gone.
    pub fn reboot(&mut self) {
        self.instances.clear();
        self.green.clear();
        if let Some(boot) = self.boot.clone() {
            self.start(&boot);
            self.routes = Some(boot);
        }
    }

    pub fn health_of(&self, id: &str) -> Health {
        self.health.get(id).copied().unwrap_or(Health::Good)
    }

    pub fn settle(&mut self, release: &Release) -> Settling {
        let id = release.id();
        let asked = self.asked.entry(id.to_owned()).or_default();
        *asked += 1;
        let asked = *asked;
        if !self.instances.contains(id) {
            return Settling::Broken { reason: format!("`{id}` does not run") };
        }
        match self.health_of(id) {
            Health::Broken => Settling::Broken { reason: "the runtime has given up".to_owned() },
            Health::Stutter if asked == 2 => Settling::Busy { reason: "no answer".to_owned() },
            Health::Fade if asked >= 2 => Settling::Busy { reason: "no answer".to_owned() },
            Health::Busy => Settling::Busy { reason: "0 of 1 tasks".to_owned() },
            _ => Settling::Settled,
        }
    }

    pub fn probe(&mut self, release: &Release) -> Look {
        let id = release.id();
        assert!(self.instances.contains(id), "`{id}` is looked at and does not run");
        let health = self.health_of(id);
        let looks = self.looks.entry(id.to_owned()).or_default();
        *looks += 1;
        let is_green = match health {
            Health::Good | Health::Stutter | Health::Fade => true,
            Health::Late(after) => *looks > after,
            Health::Flicker => *looks == 1,
            _ => false,
        };
        if is_green { Look::Green } else { Look::Red { reason: "status 503".to_owned() } }
    }
}
