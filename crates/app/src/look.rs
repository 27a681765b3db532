//! Looks at an app: composed at a version, linted, compared with what was sent.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use freehold_recipe::{Finding, Pin, Stack};
use freehold_recipe_source::{Wanted, WorkTree};

use crate::app::wanted;
use crate::composed::{Others, Release as Prepared, look_dir};
use crate::release::LABEL;
use crate::source::{Source, release_of};
use crate::{App, AppError, AppRelease, Composed, Places};

/// An app composed at this version; without one at the pinned one, or the newest.
///
/// # Errors
/// The recipe cannot be had, or not be composed.
pub fn compose_pinned(places: &Places, app: &App, version: Option<&str>) -> Result<Composed, AppError> {
    composed(places, app, version).map(|(composed, _)| composed)
}

fn composed(places: &Places, app: &App, version: Option<&str>) -> Result<(Composed, Source), AppError> {
    let is_work = version.is_none() && matches!(app.kind.pin, Some(Pin::Commit { is_dirty: true, .. }));
    let (release, pin, source) = if is_work {
        let work = WorkTree::open(&app.kind.recipe, &places.source)?;
        (release_of(&work, &app.env), work.pin.clone(), Source::Work(Box::new(work)))
    } else {
        let mirror = places.mirror(&app.kind.recipe)?;
        let revision = mirror.resolve(&pinned(app, version))?;
        let release = AppRelease::of(&revision.pin, &revision.commit, &app.env);
        let tree = mirror.tree(&revision.commit)?;
        let mut composed = Composed::look(app, &tree, &revision.pin)?;
        composed.stack.set_label(LABEL, &release.to_string());
        return Ok((composed, Source::Mirror(Box::new(mirror))));
    };
    let mut composed = Composed::look(app, &source.tree(&release.commit)?, &pin)?;
    composed.stack.set_label(LABEL, &release.to_string());
    Ok((composed, source))
}

/// What breaks of it, or may.
///
/// # Errors
/// As [`compose_pinned`]. A Docker that is away only keeps unknown what others have.
pub fn lint_pinned(places: &Places, app: &App, version: Option<&str>) -> Result<Vec<Finding>, AppError> {
    let (composed, source) = composed(places, app, version)?;
    let others = app.docker(places).and_then(|docker| Others::of(app, &docker, &composed.stack)).unwrap_or_default();
    Ok(composed.lint(app, &source.tags(), &others))
}

/// The document that was sent last, and the one that a deploy would send, both for people to compare.
///
/// # Errors
/// As [`compose_pinned`], and what was sent cannot be read.
pub fn sent_and_declared(places: &Places, app: &App, version: Option<&str>) -> Result<(String, String), AppError> {
    let record = places.records().read(&app.workload())?;
    let good = record.last_good.and_then(|release| AppRelease::parse(release.id()));
    let sent = match good.map(|release| Prepared::of(app, &release)) {
        Some(kept) => kept.stack()?.map_or_else(String::new, |stack| shown(&stack, &kept.dir)),
        None => String::new(),
    };
    let declared = compose_pinned(places, app, version)?.stack;
    let doubled = Stack::parse(&declared.to_deploy())?;
    Ok((sent, shown(&doubled, &look_dir(app))))
}

/// Indented, with the recipe's files named from its root.
fn shown(stack: &Stack, dir: &Path) -> String {
    format!("{:#}\n", stack.json()).replace(&format!("{}/", dir.join("recipe").display()), "")
}

fn pinned(app: &App, version: Option<&str>) -> Wanted {
    match (version.or(app.settings.version.as_deref()), &app.kind.pin) {
        (Some(version), _) => wanted(version),
        (None, Some(Pin::Commit { hash, .. })) => Wanted::Commit(hash.clone()),
        (None, Some(pin)) => Wanted::Version(pin.to_string()),
        (None, None) => Wanted::Newest,
    }
}

/// Milliseconds since 1970.
pub fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
