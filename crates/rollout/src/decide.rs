//! Whether to roll out at all: declared, recorded and observed make a decision. The caller makes no choice of its own.
//!
//! It does nothing; `Machine::begin` carries the decision out. After `Resume` has ended a driver decides once more, with
//! `resumed`, and carries that out when it [changes](Decision::changes) something; otherwise what the old rollout came to is the last word.

use crate::{Choice, Policy, Record, Release, Settings, Stage, Version};

/// What is wanted of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Its declaration; `None` when it is no longer declared.
    pub declared: Option<Declared>,
    /// The operator wants a release tried again that was taken back.
    pub retry: bool,
    /// The operator wants what others started under this name replaced.
    pub take_over: bool,
    /// `Resume` was carried out in this run already: a way back that is stuck does not keep a newer release waiting.
    pub resumed: bool,
    /// What others have moved to the chosen release is taken as it is, after a look: the runtime keeps it after a reboot by itself.
    pub adopts: bool,
}

/// A workload as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The release, with `auto` the floor.
    pub release: Release,
    /// What may be rolled out.
    pub policy: Policy,
    /// Versions that exist, oldest first, from the declared one or the one after it; for `auto` only.
    pub versions: Vec<Version>,
    /// How it is rolled out.
    pub settings: Settings,
}

/// What runs, as read back from the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Running {
    /// Nothing of this workload.
    Nothing,
    /// This release, complete enough to be activated again.
    Release(Release),
    /// Something under the workload's name that nobody here has made.
    Foreign {
        /// What it is, in words.
        what: String,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A rollout is under way, or owes something: go on with it, then decide again.
    Resume,
    /// Roll out.
    Start {
        /// To this release.
        target: Release,
        /// How.
        settings: Settings,
        /// What runs already, to be taken as the last good release.
        adopt: Option<Release>,
        /// Whether to forget that it was taken back.
        retry: bool,
        /// Whether nothing runs now: the last good release is started again when this one cannot even be prepared.
        is_down: bool,
    },
    /// It runs as declared: one look, and nothing else.
    Nothing {
        /// How it is looked at; `None` when it is not declared and does not run.
        settings: Option<Settings>,
        /// What runs already, to be taken as the last good release.
        adopt: Option<Release>,
    },
    /// A person has to look first.
    Held {
        /// The release that waits.
        release: Release,
        /// Why.
        reason: String,
        /// How what runs is looked at; `None` when it is not ours to look at.
        settings: Option<Settings>,
        /// What runs already, to be taken as the last good release.
        adopt: Option<Release>,
    },
    /// It is no longer declared: stop it.
    Stop,
}

impl Decision {
    /// Whether what runs is to change.
    pub fn changes(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Stop)
    }
}

/// Decides what is to be done with a workload.
pub fn decide(wish: &Wish, record: &Record, running: &Running) -> Decision {
    if !record.stage.is_settled() {
        return Decision::Resume;
    }
    let Some(declared) = &wish.declared else {
        return undeclared(record, running);
    };
    if record.owes_data() || (record.stuck.is_some() && !wish.resumed) {
        return Decision::Resume;
    }
    if let Running::Foreign { what } = running
        && !wish.take_over
    {
        let reason = format!("{what} runs under this name and was not rolled out from here");
        return Decision::Held { release: declared.release.clone(), reason, settings: None, adopt: None };
    }
    // What runs before anything is recorded is what to go back to.
    let adopt = match running {
        Running::Release(release) if record.is_new() => Some(release.clone()),
        _ => None,
    };
    let good = adopt.as_ref().or(record.last_good.as_ref());
    let choice = declared.policy.choose(&declared.release, &declared.versions, good.map(Release::id));
    let start = |target: &Release, retry: bool| Decision::Start {
        target: target.clone(),
        settings: declared.settings.clone(),
        adopt: adopt.clone(),
        retry,
        is_down: *running == Running::Nothing,
    };
    let is_good = good.is_some_and(|good| good.is(&choice.release));
    // What is good was gone back to, or never left, whatever was noted of it.
    let taken = record.taken_back(&choice.release).filter(|_| !wish.retry && !is_good);
    if taken.is_none() && !is_good {
        // Its data are those of the chosen release already: to start it once more would cost a copy and a pause for nothing.
        if wish.adopts && record.stuck.is_none() && runs(running, &choice.release) {
            return stay(declared, &choice, None, Some(choice.release.clone()));
        }
        return start(&choice.release, wish.retry);
    }
    if record.stuck.is_some() {
        return Decision::Resume;
    }
    match good {
        Some(good) if !runs(running, good) => start(good, false),
        _ => stay(declared, &choice, taken.map(|taken| taken.reason.as_str()), adopt.clone()),
    }
}

fn undeclared(record: &Record, running: &Running) -> Decision {
    let absent = Decision::Nothing { settings: None, adopt: None };
    match running {
        // What others have made is theirs to stop.
        Running::Foreign { .. } => absent,
        Running::Nothing if record.is_new() || record.stage == Stage::Stopped => absent,
        _ => Decision::Stop,
    }
}

/// What runs stays: because it is what is wanted, or because the rest waits for a person.
fn stay(declared: &Declared, choice: &Choice, taken: Option<&str>, adopt: Option<Release>) -> Decision {
    let settings = Some(declared.settings.clone());
    if let Some(reason) = taken {
        let reason = format!("it was taken back: {reason}");
        return Decision::Held { release: choice.release.clone(), reason, settings, adopt };
    }
    match &choice.held {
        Some((release, reason)) => Decision::Held { release: release.clone(), reason: reason.clone(), settings, adopt },
        None => Decision::Nothing { settings, adopt },
    }
}

fn runs(running: &Running, release: &Release) -> bool {
    matches!(running, Running::Release(running) if running.is(release))
}
