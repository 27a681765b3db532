//! Under which name an app's stack was last looked after: `.env` may give another one meanwhile, and what runs goes on under the old
//! one, with the data.

use std::io::ErrorKind;

use freehold_runtime::{remove_durably, write_durably};

use crate::converge::is_an_app;
use crate::{App, AppError, Places};

const FILE: &str = "stack";

/// Notes the name, from which on it is the one.
///
/// # Errors
/// It cannot be written.
pub(crate) fn note(app: &App) -> Result<(), AppError> {
    if noted(app)?.as_deref() == Some(app.stack.as_str()) {
        return Ok(());
    }
    Ok(write_durably(&app.dir.join(FILE), app.stack.as_bytes())?)
}

/// Refuses an app of which a stack runs under an earlier name: a second one beside it would begin without its data.
///
/// # Errors
/// [`AppError::StackRenamed`], or it cannot be told.
pub(crate) fn check(places: &Places, app: &App) -> Result<(), AppError> {
    let Some(before) = noted(app)?.filter(|before| *before != app.stack) else { return Ok(()) };
    let seen = app.docker(places)?.services(&before)?;
    // Meanwhile somebody else may have taken the name.
    if !seen.iter().any(|service| is_an_app(&before, service)) || app.other_with(places, &before)?.is_some() {
        return Ok(());
    }
    Err(AppError::StackRenamed { domain: app.domain().to_owned(), before, now: app.stack.clone() })
}

/// Forgets the name: nothing runs under it any more.
///
/// # Errors
/// The note cannot be removed.
pub(crate) fn forget(app: &App) -> Result<(), AppError> {
    Ok(remove_durably(&app.dir.join(FILE))?)
}

/// The name that is noted.
///
/// # Errors
/// The note cannot be read.
pub(crate) fn noted(app: &App) -> Result<Option<String>, AppError> {
    let path = app.dir.join(FILE);
    match fs_err::read_to_string(&path) {
        Ok(name) => Ok(Some(name.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AppError::file("read", path)(error)),
    }
}
