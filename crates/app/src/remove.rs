//! An app goes for good: its secrets, its volumes with all data, its copies, its record, its file under `$ABRA_DIR`.

use crate::composed::remove as remove_dir;
use crate::{App, AppAlert, AppError, Places};

/// What was removed of an app, beside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
}

/// Removes an app that does not run. Without `with_data` its volumes and copies stay.
///
/// # Errors
/// It runs, somebody else works on it, or Docker keeps something of it.
pub fn remove(places: &Places, app: &mut App, with_data: bool) -> Result<Removed, AppError> {
    let file = app.lock(places)?;
    let docker = app.docker(places)?;
    let app = &*app;
    let domain = || app.domain().to_owned();
    if !docker.services(&app.stack)?.is_empty() {
        return Err(AppError::Runs { domain: domain() });
    }
    let volumes = if with_data { app.volumes(&docker)? } else { Vec::new() };
    let volumes: Vec<String> = volumes.into_iter().map(|volume| volume.name).collect();
    let removed = Removed { secrets: app.remove_all(&docker, app.all_secrets(places, &docker)?)?, volumes };
    for volume in &removed.volumes {
        docker.remove_volume(volume)?;
    }
    if with_data {
        remove_dir(&app.dir)?;
    }
    // Read back: what Docker removes later, or refuses in silence, is not gone.
    let mut left = app.all_secrets(places, &docker)?;
    for volume in &removed.volumes {
        left.extend(docker.volume(volume)?.map(|volume| volume.name));
    }
    if !left.is_empty() {
        return Err(AppError::Left { domain: domain(), names: left });
    }
    places.abra.remove(&app.path)?;
    file.forget()?;
    AppAlert::clear(&places.alerts, app.name())?;
    Ok(removed)
}
