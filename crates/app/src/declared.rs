//! Which releases of an app there are: the one that is declared, and newer versions with how far each is away.

use freehold_recipe::{Jump, Pin, Version, notes_between};
use freehold_recipe_source::{Mirror, Revision, Wanted};
use freehold_rollout::{Change, Declared, Mode, Policy, Record, Version as Candidate};

use crate::app::wanted;
use crate::source::{Source, is_dirty, release_of};
use crate::{App, AppError, AppRelease, Verb};

/// What is declared of an app, for the decision.
pub(crate) fn declared(app: &App, verb: &Verb, record: &Record, source: &Source) -> Result<Declared, AppError> {
    let policy = policy(app, verb);
    let good = record.last_good.as_ref().and_then(|release| AppRelease::parse(release.id()));
    let only = |release: AppRelease| {
        let (release, settings) = (release.to_release(app.domain())?, app.settings.rollout(app.domain())?);
        Ok(Declared { release, policy: Policy::PINNED, versions: Vec::new(), settings })
    };
    let mirror = match source {
        Source::Mirror(mirror) => mirror,
        Source::Work(work) => return only(release_of(work, &app.env)),
    };
    let wanted = base(app, verb, good.as_ref());
    // A work tree that had changes, or a commit that nobody pushed, stays as it was deployed until somebody says otherwise.
    let is_kept = |good: &AppRelease| {
        let is_pinned = app.kind.pin.as_ref().is_some_and(|pin| pin.to_string() == good.version);
        let is_said = verb.version().is_some() || app.settings.version.is_some();
        let cannot_be_had = || matches!(wanted, Wanted::Commit(_)) && mirror.resolve(&wanted).is_err();
        is_pinned && !is_said && (is_dirty(&good.version) || cannot_be_had())
    };
    if let Some(kept) = good.as_ref().filter(|good| is_kept(good)) {
        return only(kept.clone());
    }
    let mut base =
        mirror.resolve(&wanted).or_else(|error| match good.as_ref().filter(|_| verb.version().is_none()) {
            Some(good) if is_withdrawn(&wanted, good, policy) => reached_revision(good),
            _ => Err(error.into()),
        })?;
    // What was reached is a floor as well; the machine knows releases, whose `.env` may have been another.
    let reached = good.as_ref().and_then(|release| release.version.parse().ok());
    if let (Mode::Auto, Pin::Version(floor), Some(Pin::Version(reached))) = (policy.mode, &base.pin, &reached)
        && reached > floor
        && verb.version().is_none()
    {
        let good = good.as_ref();
        base = mirror.resolve(&Wanted::Version(reached.to_string())).or_else(|error| match good {
            Some(good) => reached_revision(good),
            None => Err(error.into()),
        })?;
    }
    let versions = match (verb, policy.mode, &base.pin) {
        (Verb::Reconcile, Mode::Auto, Pin::Version(floor)) => newer(app, floor, mirror)?,
        _ => Vec::new(),
    };
    Ok(Declared {
        release: release(app, &base)?.to_release(app.domain())?,
        policy,
        versions,
        settings: app.settings.rollout(app.domain())?,
    })
}

/// Whether a version that cannot be had is the one that was good last, or with `auto` one before it: whoever withdraws a tag does not
/// stop the care of what runs.
fn is_withdrawn(wanted: &Wanted, good: &AppRelease, policy: Policy) -> bool {
    let Wanted::Version(wanted) = wanted else { return false };
    let is_before = || match (wanted.parse::<Version>(), good.version.parse::<Version>()) {
        (Ok(wanted), Ok(good)) => wanted < good,
        _ => false,
    };
    // The left half is enough to name a version.
    let is_it = good.version == *wanted || good.version.split('+').next() == Some(wanted);
    is_it || (policy.mode == Mode::Auto && is_before())
}

/// What was reached, when its tag is gone: its commit is known.
fn reached_revision(good: &AppRelease) -> Result<Revision, AppError> {
    Ok(Revision { pin: good.version.parse()?, commit: good.commit.clone() })
}

/// What a version of the recipe would be as a release of this app.
pub(crate) fn release(app: &App, revision: &Revision) -> Result<AppRelease, AppError> {
    Ok(AppRelease::of(&revision.pin, &revision.commit, &app.env))
}

fn policy(app: &App, verb: &Verb) -> Policy {
    match (verb, app.settings.policy) {
        // A person has said which.
        (Verb::Upgrade { .. } | Verb::Rollback { .. } | Verb::Chaos | Verb::Deploy { version: Some(_) }, _) => {
            Policy::PINNED
        }
        (_, Some(policy)) => policy,
        // To look for what is newer is what reconciling is for, unless somebody has said otherwise.
        (Verb::Reconcile, None) => Policy::AUTO,
        (Verb::Deploy { .. }, None) => Policy::PINNED,
    }
}

/// What is declared: said now, by the settings, by the pin, or what runs; else the newest.
fn base(app: &App, verb: &Verb, good: Option<&AppRelease>) -> Wanted {
    if let Some(version) = verb.version() {
        return wanted(version);
    }
    if let Some(version) = &app.settings.version {
        return wanted(version);
    }
    match (&app.kind.pin, good) {
        (Some(Pin::Version(version)), _) => Wanted::Version(version.to_string()),
        (Some(Pin::Commit { hash, .. }), _) => Wanted::Commit(hash.clone()),
        (None, Some(good)) => wanted(&good.version),
        (None, None) => Wanted::Newest,
    }
}

/// Releases after `floor`, oldest first.
fn newer(app: &App, floor: &Version, mirror: &Mirror) -> Result<Vec<Candidate>, AppError> {
    let versions: Vec<Version> = mirror.releases().into_iter().filter(|version| version > floor).collect();
    let Some(newest) = versions.last() else { return Ok(Vec::new()) };
    // Notes are never taken out of a recipe: the newest version has all of them.
    let revision = mirror.resolve(&Wanted::Version(newest.to_string()))?;
    let texts = mirror.tree(&revision.commit)?.texts();
    let mut before = floor.clone();
    let mut found = Vec::new();
    for version in versions {
        let notes = notes_between(&texts, Some(&before), &version).into_iter().find_map(|notes| notes.manual);
        let change = match before.jumps(&version).longest() {
            Jump::Major => Change::Major,
            Jump::Minor => Change::Minor,
            Jump::None | Jump::Patch => Change::Patch,
        };
        let revision = mirror.resolve(&Wanted::Version(version.to_string()))?;
        found.push(Candidate {
            release: release(app, &revision)?.to_release(app.domain())?,
            change,
            manual: notes.map(|marker| marker.text),
        });
        before = version;
    }
    Ok(found)
}
