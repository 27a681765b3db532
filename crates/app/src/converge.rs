//! One run for one app: what is declared, recorded and seen is decided on, carried out, and told in one word.

use freehold_recipe::ReadLabels;
use freehold_recipe_source::{Revision, SourceError, Wanted, WorkTree};
use freehold_rollout::{
    Alert, Decision, Declared, Entry, Exit, Look, Outcome, Record, Release, Report, Running, Settling, Stage, Wish,
    decide,
};
use freehold_runtime::{Hands as _, RecordFile, Told, carry};
use freehold_swarm::{Docker, RunningService};

use crate::alerts::AppAlert;
use crate::composed::{Release as Prepared, app_labels, services};
use crate::declared::declared;
use crate::hands::{AppHands, is_of};
use crate::left::{leave, stay};
use crate::release::{LABEL, env_digest, version_of};
use crate::source::{Source, is_dirty};
use crate::{App, AppError, AppRelease, Composed, Places};

/// What is wanted of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// What is declared, and nothing newer.
    Deploy {
        /// This version, whatever is declared.
        version: Option<String>,
    },
    /// What is declared, or with `auto` what is newer and may come.
    Reconcile,
    /// This version, which a person wants.
    Upgrade {
        /// The version.
        version: String,
    },
    /// This version, to which a person goes back; the one that runs is not tried again by itself.
    Rollback {
        /// The version.
        version: String,
    },
    /// The work tree under `$ABRA_DIR/recipes` as it is.
    Chaos,
}

impl Verb {
    /// The version that is said.
    pub(crate) fn version(&self) -> Option<&str> {
        match self {
            Self::Deploy { version } => version.as_deref(),
            Self::Upgrade { version } | Self::Rollback { version } => Some(version),
            Self::Reconcile | Self::Chaos => None,
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converged {
    /// The app.
    pub domain: String,
    /// In one word.
    pub action: Outcome,
    /// The version that ran before.
    pub from: Option<String>,
    /// The version that was wanted.
    pub to: Option<String>,
    /// Whether what is declared runs and is healthy.
    pub healthy: bool,
    /// Why, when there is something to say.
    pub reason: Option<String>,
    /// The way out, when there is one.
    pub hint: Option<String>,
    /// How a command ends with it.
    pub exit: Exit,
}

/// How a run goes, beside what is wanted.
pub struct Talk<'a> {
    /// Told every line of the journal.
    pub tell: &'a dyn Fn(&str),
    /// Whether a release that was taken back is tried again.
    pub retry: bool,
    /// Whether a stack that others made is replaced.
    pub take_over: bool,
    /// Whether what lint finds wrong is deployed all the same.
    pub no_lint: bool,
    /// Whether a change has an exit code of its own.
    pub detailed: bool,
}

/// Brings an app to what is wanted of it.
///
/// # Errors
/// It could not even be decided; nothing has changed then.
pub fn converge(places: &Places, app: &mut App, verb: &Verb, talk: &Talk<'_>) -> Result<Converged, AppError> {
    let file = app.lock(places)?;
    crate::restoring::check(app)?;
    let docker = app.docker(places)?;
    docker.check_manager()?;
    let before = file.read()?.last_good.as_ref().map(version_of);
    let mut last = None;
    // What was interrupted is finished first; what is declared now is decided on after it.
    for resumed in [false, true] {
        let record = file.read()?;
        // A person wants it gone. A timer ends what that person began, and does not start it again after that.
        if resumed && *verb == Verb::Reconcile && record.is_leaving() {
            break;
        }
        let (mut source, mut target) = (None, None);
        if record.stage.is_settled() {
            let from = source_of(places, app, verb, talk)?;
            supply(places, app, &docker, verb, talk, &record, &from)?;
            target = Some(declared(app, verb, &record, &from)?);
            // What was said of an app counts from here on; nothing came of it before.
            app.settings.remember(&app.dir)?;
            source = Some(from);
        }
        let resolve = |wanted: &Wanted| match source.as_ref()? {
            Source::Mirror(mirror) => Some(mirror.resolve(wanted)),
            Source::Work(_) => None,
        };
        let running = running(app, &docker, &record, &resolve)?;
        let adopts = is_env_of_good(app, &record);
        let wish = Wish { declared: target, retry: talk.retry, take_over: talk.take_over, resumed, adopts };
        let decision = decide(&wish, &record, &running);
        if resumed && !decision.changes() {
            break;
        }
        let resumes = decision == Decision::Resume;
        let is_foreign = matches!(decision, Decision::Held { settings: None, .. });
        if !is_foreign {
            crate::last_stack::note(app)?;
        }
        let goes_back = matches!(verb, Verb::Rollback { .. });
        if let (true, Decision::Start { target, .. }) = (goes_back, &decision) {
            leave(&file, target)?;
        }
        let (report, hint) = run(places, app, &docker, &file, decision, source, talk)?;
        if goes_back && !resumes && !matches!(report.outcome, Outcome::Deployed | Outcome::Upgraded) {
            stay(&file)?;
        }
        last = Some((report, hint, is_foreign));
        if !resumes {
            break;
        }
    }
    let Some((report, hint, is_foreign)) = last else { return Err(AppError::Stopped) };
    let mut done = told(app, before, &report, talk.detailed);
    // Of what others have made nothing was looked at.
    done.healthy &= !is_foreign;
    done.hint = hint.or_else(|| hint_of(&done));
    Ok(done)
}

/// Whether the `.env` says what it said for the last good release: abra changes `TYPE` alone. Only then what abra made of a newer
/// version runs with what is in it now.
fn is_env_of_good(app: &App, record: &Record) -> bool {
    let good = record.last_good.as_ref().and_then(|good| AppRelease::parse(good.id()));
    good.is_none_or(|good| good.env == env_digest(&app.env))
}

/// The recipe's mirror, or its work tree for chaos.
fn source_of(places: &Places, app: &App, verb: &Verb, talk: &Talk<'_>) -> Result<Source, AppError> {
    if *verb == Verb::Chaos {
        return Ok(Source::Work(Box::new(WorkTree::open(&app.kind.recipe, &places.source)?)));
    }
    let fetched = places.mirror(&app.kind.recipe)?;
    places.tell_of(&fetched, talk.tell);
    Ok(Source::Mirror(Box::new(fetched)))
}

/// What would be gone back to; what abra deployed was never composed here.
fn gone_back_to(record: &Record, decision: &Decision) -> Option<Release> {
    let (adopt, target) = match decision {
        Decision::Start { adopt, target, .. } => (adopt, Some(target)),
        Decision::Nothing { adopt, settings: Some(_) } | Decision::Held { adopt, settings: Some(_), .. } => {
            (adopt, None)
        }
        _ => return None,
    };
    let good = adopt.as_ref().or(record.last_good.as_ref());
    good.filter(|good| target.is_none_or(|target| !target.is(good))).cloned()
}

/// What a person can do about it.
fn hint_of(done: &Converged) -> Option<String> {
    let reason = done.reason.as_deref()?;
    if reason.starts_with("it was taken back") {
        return Some("`--retry` tries it again".to_owned());
    }
    reason.ends_with("was not rolled out from here").then(|| "`--take-over` replaces it".to_owned())
}

/// Takes an app's stack away and waits until it is gone. Volumes and secrets stay.
///
/// # Errors
/// It could not even be decided.
pub fn undeploy(places: &Places, app: &mut App, talk: &Talk<'_>) -> Result<Converged, AppError> {
    let file = app.lock(places)?;
    let docker = app.docker(places)?;
    docker.check_manager()?;
    let record = file.read()?;
    let before = record.last_good.as_ref().map(version_of);
    let seen = docker.services(&app.stack)?;
    if !talk.take_over && !seen.is_empty() && !seen.iter().any(|service| is_an_app(&app.stack, service)) {
        return Err(AppError::NotOurs { domain: app.domain().to_owned(), stack: app.stack.clone() });
    }
    let decision = match seen.is_empty() && record.is_new() {
        true => Decision::Nothing { settings: None, adopt: None },
        false => Decision::Stop,
    };
    let (mut report, _) = run(places, app, &docker, &file, decision.clone(), None, talk)?;
    // What was under way came to its end first; that end is not the one that is wanted. Data that it still owes stay owed.
    if !record.stage.is_settled() && report.outcome != Outcome::Stopped && !file.read()?.owes_data() {
        (report, _) = run(places, app, &docker, &file, decision, None, talk)?;
    }
    if report.outcome == Outcome::Stopped {
        crate::last_stack::forget(app)?;
    }
    Ok(told(app, before, &report, talk.detailed))
}

/// Whether a service says that it is of this Co-op Cloud app, whoever deployed it.
pub(crate) fn is_an_app(stack: &str, service: &RunningService) -> bool {
    let labels = service.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    service.labels.contains_key(LABEL) || ReadLabels::of(stack, labels) != ReadLabels::default()
}

/// Looks at an app once and changes nothing, not even its record.
///
/// # Errors
/// It cannot be looked at.
pub fn check(places: &Places, app: &mut App) -> Result<Converged, AppError> {
    let docker = app.docker(places)?;
    docker.check_manager()?;
    let record = places.records().read(&app.workload())?;
    // What abra deployed is known by its recipe alone, which may be away.
    let resolve = |wanted: &Wanted| Some(places.mirror(&app.kind.recipe).ok()?.resolve(wanted));
    let running = running(app, &docker, &record, &resolve)?;
    let good = record.last_good.clone();
    let wrong = match (&running, &good) {
        (Running::Foreign { what }, _) => Some(format!("{what} runs under this name")),
        (Running::Nothing, _) => Some("it does not run, or not as a whole".to_owned()),
        (Running::Release(running), Some(good)) if !running.is(good) => {
            Some(format!("`{running}` runs, and `{good}` was good last"))
        }
        (Running::Release(running), _) => look_at(places, app, &docker, running)?,
    };
    let runs = match &running {
        Running::Release(release) => Some(version_of(release)),
        _ => None,
    };
    let outcome = if wrong.is_none() { Outcome::None } else { Outcome::Failed };
    Ok(Converged {
        domain: app.domain().to_owned(),
        action: outcome,
        from: runs,
        to: good.as_ref().map(version_of).or_else(|| app.kind.pin.as_ref().map(ToString::to_string)),
        healthy: wrong.is_none(),
        hint: wrong.is_some().then(|| way_out(&running, app)).flatten(),
        reason: wrong,
        exit: outcome.exit(true, false),
    })
}

fn way_out(running: &Running, app: &App) -> Option<String> {
    let deploys = || format!("`freehold app deploy {}` deploys it", app.domain());
    matches!(running, Running::Nothing).then(deploys)
}

/// What is wrong with a release that runs, as its gate sees it.
fn look_at(places: &Places, app: &mut App, docker: &Docker, release: &Release) -> Result<Option<String>, AppError> {
    let gate = app.settings.rollout(app.domain())?.gate;
    let mut hands = AppHands::new(places, app, docker, None, &|_| {});
    Ok(match hands.settle(release) {
        Settling::Busy { reason } | Settling::Broken { reason } => Some(reason),
        Settling::Settled => match hands.probe(release, &gate) {
            Look::Green => None,
            Look::Red { reason } => Some(reason),
        },
    })
}

fn run(
    places: &Places,
    app: &mut App,
    docker: &Docker,
    file: &RecordFile,
    decision: Decision,
    source: Option<Source>,
    talk: &Talk<'_>,
) -> Result<(Report, Option<String>), AppError> {
    let mut told = AppTold { alerts: places.alerts.clone(), app: app.clone(), tell: talk.tell };
    let mut hands = AppHands::new(places, app, docker, source, talk.tell);
    hands.lints = !talk.no_lint;
    let record = file.read()?;
    hands.target = match &decision {
        Decision::Start { target, .. } => Some(target.clone()),
        Decision::Resume => record.target.clone(),
        _ => None,
    };
    hands.sends_again = decision == Decision::Resume && record.stage == Stage::Activating;
    let good = gone_back_to(&record, &decision);
    match (&decision, good) {
        // What runs is not touched without a way back to it.
        (Decision::Start { is_down: false, .. }, good) => hands.good = good,
        (_, Some(good)) => {
            if let Err(error) = hands.keep(&good) {
                (talk.tell)(&error.chain());
            }
        }
        (_, None) => {}
    }
    let report = carry(file, decision, &mut hands, &mut told, &places.stop)?;
    let hint = hands.hint.take();
    Ok((report.ok_or(AppError::Stopped)?, hint))
}

/// Secrets from files, and those that are made up, before anything is decided: a new value is a new version.
fn supply(
    places: &Places,
    app: &mut App,
    docker: &Docker,
    verb: &Verb,
    talk: &Talk<'_>,
    record: &Record,
    source: &Source,
) -> Result<(), AppError> {
    if app.settings.secrets.is_empty() && !app.settings.generate_secrets {
        return Ok(());
    }
    app.name_versions(places)?;
    let is_first = record.is_new() && docker.services(&app.stack)?.is_empty();
    // A version that changes renames a secret, and the new one may be missing.
    for _ in 0..2 {
        let target = chosen(&declared(app, verb, record, source)?, record, talk.retry);
        let Some(release) = AppRelease::parse(target.id()) else { return Ok(()) };
        let tree = match source.tree(&release.commit) {
            Ok(tree) => tree,
            // Nobody can compose it again; it has run, with its secrets.
            Err(_) if Prepared::of(app, &release).stack()?.is_some() => return Ok(()),
            Err(error) => return Err(error),
        };
        let composed = Composed::look(app, &tree, &release.version.parse()?)?;
        if !app.supply_secrets(places, &composed, docker, is_first, talk.tell)? {
            break;
        }
    }
    Ok(())
}

/// What is to be rolled out of what is declared: a newer version may need secrets that the declared one has not.
fn chosen(declared: &Declared, record: &Record, retry: bool) -> Release {
    let good = record.last_good.as_ref().map(Release::id);
    let choice = declared.policy.choose(&declared.release, &declared.versions, good).release;
    if retry || record.taken_back(&choice).is_none() { choice } else { declared.release.clone() }
}

/// What runs of an app. `resolve` gives the commit of a version, or nothing when the recipe cannot be asked.
fn running(
    app: &App,
    docker: &Docker,
    record: &Record,
    resolve: &dyn Fn(&Wanted) -> Option<Result<Revision, SourceError>>,
) -> Result<Running, AppError> {
    let seen = docker.services(&app.stack)?;
    if seen.is_empty() {
        return Ok(Running::Nothing);
    }
    let labels = app_labels(&seen);
    if let Some(id) = labels.get(LABEL) {
        let parsed = AppRelease::parse(id);
        let Some(parsed) = parsed else { return Ok(Running::Nothing) };
        let release = parsed.to_release(app.domain())?;
        // A service that is missing, or is another one, is drift: as good as nothing, so that it is sent again.
        return Ok(if is_whole(app, &seen, &release)? { Running::Release(release) } else { Running::Nothing });
    }
    let read = ReadLabels::of(&app.stack, labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let Some(version) = read.deployed() else {
        let what = format!("the stack `{}`, of which no service says that it is a Co-op Cloud app,", app.stack);
        return Ok(Running::Foreign { what });
    };
    // abra deployed it. With the `.env` as it is now it is the release that would be deployed of that version.
    if let Some(known) = record.last_good.iter().find(|good| version_of(good) == version) {
        return Ok(Running::Release(known.clone()));
    }
    let foreign = |what: String| Ok(Running::Foreign { what });
    if is_dirty(version) {
        return foreign(format!("`{version}`, a work tree with changes that only whoever deployed it has,"));
    }
    match resolve(&crate::app::wanted(version)) {
        Some(Ok(revision)) => Ok(Running::Release(crate::declared::release(app, &revision)?.to_release(app.domain())?)),
        Some(Err(_)) => foreign(format!("the version `{version}`, which the recipe has not,")),
        None => foreign(format!("the version `{version}`, of which the recipe could not be asked,")),
    }
}

fn is_whole(app: &App, seen: &[RunningService], release: &Release) -> Result<bool, AppError> {
    let Some(parsed) = AppRelease::parse(release.id()) else { return Ok(false) };
    if !seen.iter().all(|service| is_of(app, service, release)) {
        return Ok(false);
    }
    // Where nothing is kept of it, it is composed anew before it is sent again.
    let names = Prepared::of(app, &parsed).stack()?.map(|stack| services(&stack).0);
    Ok(names.is_some_and(|names| names.iter().all(|name| seen.iter().any(|service| service.name == *name))))
}

fn told(app: &App, from: Option<String>, report: &Report, detailed: bool) -> Converged {
    // Where nothing was done, what was tried last may be another than what runs.
    let (first, then) = match report.outcome {
        Outcome::None => (&report.last_good, &report.release),
        _ => (&report.release, &report.last_good),
    };
    let to = first.as_ref().or(then.as_ref()).map(version_of);
    Converged {
        domain: app.domain().to_owned(),
        action: report.outcome,
        from,
        to,
        healthy: match report.outcome {
            Outcome::None | Outcome::Deployed | Outcome::Upgraded => true,
            // While one waits, the last good one is looked at.
            Outcome::Held => report.last_good.is_some(),
            Outcome::RolledBack | Outcome::Failed | Outcome::Stopped => false,
        },
        reason: report.reason.clone(),
        hint: None,
        exit: report.exit(detailed),
    }
}

struct AppTold<'a> {
    alerts: std::path::PathBuf,
    app: App,
    tell: &'a dyn Fn(&str),
}

impl Told for AppTold<'_> {
    fn journal(&mut self, entry: &Entry) {
        (self.tell)(&entry.text);
    }

    fn alert(&mut self, alert: Option<&Alert>) {
        let done = match alert {
            Some(alert) => AppAlert::of(&self.app, alert).raise(&self.alerts),
            None => AppAlert::clear(&self.alerts, self.app.name()),
        };
        if let Err(error) = done {
            (self.tell)(&format!("the alert cannot be written: {}", error.chain()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_rollout::{Change, Policy, Settings, Version};

    #[test]
    fn secrets_are_made_for_the_version_that_comes() {
        let release = |id: &str| Release::new(id, serde_json::Value::Null).unwrap();
        let version = Version { release: release("1.1"), change: Change::Minor, manual: None };
        let (policy, settings) = (Policy::AUTO, Settings::default());
        let declared = Declared { release: release("1.0"), policy, versions: vec![version], settings };
        let mut record = Record { last_good: Some(release("1.0")), ..Record::new("blog") };
        assert_eq!(chosen(&declared, &record, false).id(), "1.1");
        let taken = freehold_rollout::TakenBack { release: "1.1".to_owned(), reason: String::new(), at: 0 };
        record.taken_back.push(taken);
        assert_eq!(chosen(&declared, &record, false).id(), "1.0", "it is not tried again");
        assert_eq!(chosen(&declared, &record, true).id(), "1.1");
    }
}
