//! A note that data are being put back by hand. While it stands they may be neither those of the copy nor those of before: nothing
//! starts on them. A rollout that puts data back has its own record for that.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use freehold_runtime::{remove_durably, write_durably};
use freehold_swarm::{Copy, Volume};
use serde::{Deserialize, Serialize};

use crate::{App, AppError};

/// What is being put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restoring {
    /// The name of the copy.
    snapshot: String,
    /// The volumes in it.
    volumes: BTreeSet<String>,
}

const FILE: &str = "restoring.json";

impl Restoring {
    fn of(dir: &Path) -> Result<Option<Self>, AppError> {
        let path = dir.join(FILE);
        match fs_err::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| AppError::file("read", path)(error.into()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AppError::file("read", path)(error)),
        }
    }

    /// What is to be put back. After this the data are whole again, also when another copy was being put back before.
    ///
    /// # Errors
    /// [`AppError::Restoring`]: that other copy has volumes that this one has not.
    pub(crate) fn new(app: &App, snapshot: &str, copies: &[Copy]) -> Result<Self, AppError> {
        let volumes: BTreeSet<String> = copies.iter().map(|copy| copy.volume.name.clone()).collect();
        if let Some(before) = Self::of(&app.dir)?.filter(|before| !before.volumes.is_subset(&volumes)) {
            return Err(AppError::Restoring { domain: app.domain().to_owned(), snapshot: before.snapshot });
        }
        Ok(Self { snapshot: snapshot.to_owned(), volumes })
    }

    /// Notes it, before the first volume is touched.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(crate) fn begin(&self, app: &App) -> Result<(), AppError> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(write_durably(&app.dir.join(FILE), &bytes)?)
    }
}

impl App {
    /// Forgets that data were being put back when none of the volumes that it was about is among those that are `left`.
    ///
    /// # Errors
    /// The note cannot be read or removed.
    pub fn forget_restoring_of_none(&self, left: &[Volume]) -> Result<(), AppError> {
        let is_left = |note: &Restoring| left.iter().any(|volume| note.volumes.contains(&volume.name));
        if Restoring::of(&self.dir)?.is_some_and(|note| is_left(&note)) { Ok(()) } else { self.forget_restoring() }
    }

    /// Forgets that data were being put back: they are whole, or there are none any more.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub fn forget_restoring(&self) -> Result<(), AppError> {
        Ok(remove_durably(&self.dir.join(FILE))?)
    }
}

/// Refuses an app whose data were being put back when that was broken off.
///
/// # Errors
/// [`AppError::Restoring`].
pub(crate) fn check(app: &App) -> Result<(), AppError> {
    match Restoring::of(&app.dir)? {
        Some(note) => Err(AppError::Restoring { domain: app.domain().to_owned(), snapshot: note.snapshot }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use freehold_swarm::Listing;

    use super::*;
    use crate::testing::app;

    fn copy(name: &str) -> Copy {
        let (driver, options, labels) = ("local".to_owned(), [].into(), [].into());
        let listing = Listing { entries: 0, bytes: 0, digest: String::new() };
        Copy { volume: Volume { name: name.to_owned(), driver, options, labels }, listing }
    }

    #[test]
    fn what_was_broken_off_is_refused_until_it_is_finished() {
        let scratch = freehold_testkit::Scratch::new();
        let app = app(scratch.path());
        check(&app).unwrap();
        let begin = |name: &str, copies: &[Copy]| Restoring::new(&app, name, copies).and_then(|note| note.begin(&app));
        begin("monday", &[copy("a"), copy("b")]).unwrap();
        let told = check(&app).unwrap_err();
        assert_eq!(told.to_string(), "the data of `x.example.org` are not whole: putting `monday` back was broken off");
        assert_eq!(
            told.hint().unwrap(),
            "`freehold app restore x.example.org monday` finishes it, or another copy with the same volumes"
        );
        // `b` would stay as it is.
        let refused = begin("half", &[copy("a")]).unwrap_err();
        assert_eq!(refused.to_string(), told.to_string());
        begin("tuesday", &[copy("a"), copy("b"), copy("c")]).unwrap();
        assert!(check(&app).unwrap_err().to_string().contains("`tuesday`"));
        app.forget_restoring_of_none(&[copy("b").volume]).unwrap();
        assert!(check(&app).is_err(), "`b` may be half of one and half of another");
        app.forget_restoring_of_none(&[copy("other").volume]).unwrap();
        check(&app).unwrap();
        app.forget_restoring().unwrap();
    }
}
