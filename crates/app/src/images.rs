//! Images that apps have brought to a server: noted when they are fetched, removed when no release would go back to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use freehold_runtime::write_durably;
use freehold_swarm::{Docker, ImageRemoval};

use crate::composed::{Release, services};
use crate::{App, AppError, AppRelease, Places};

/// Remembers those of an app's images that its server does not have yet: they come with it, and can go with it one day.
pub(crate) fn note_images(places: &Places, app: &App, docker: &Docker, images: &[String]) -> Result<(), AppError> {
    // First: while it is open nobody removes what is found here.
    let mut ledger = Ledger::open(places, &app.path.server)?;
    let mut new = BTreeSet::new();
    for image in images {
        if !docker.has_image(image)? {
            new.insert(image.clone());
        }
    }
    ledger.add(new)
}

/// Removes images that came with apps of a server and that no release which is kept has, and nothing runs. Their names.
///
/// # Errors
/// What is kept of an app cannot be read, for then its images would seem to be nobody's; or Docker fails.
pub fn prune_images(places: &Places, server: &str) -> Result<Vec<String>, AppError> {
    let docker = places.docker(server)?;
    let mut ledger = Ledger::open(places, server)?;
    // Of all servers: two names may lead to one Docker.
    let kept = kept_images(places)?;
    let mut removed = Vec::new();
    for image in ledger.images.difference(&kept).cloned().collect::<Vec<_>>() {
        match docker.remove_image(&image)? {
            ImageRemoval::Used => continue,
            ImageRemoval::Done => removed.push(image.clone()),
            ImageRemoval::Missing => {}
        }
        ledger.forget(&image)?;
    }
    Ok(removed)
}

/// The images of every release that an app would go back to.
fn kept_images(places: &Places) -> Result<BTreeSet<String>, AppError> {
    let mut kept = BTreeSet::new();
    for path in places.abra.apps()? {
        let app = App::open(places, &path.domain, Some(&path.server), None)?;
        let record = places.records().read(&app.workload())?;
        for release in record.kept().filter_map(|release| AppRelease::parse(release.id())) {
            if let Some(stack) = Release::of(&app, &release).stack()? {
                kept.extend(services(&stack).1);
            }
        }
    }
    Ok(kept)
}

/// What was noted of one server. Apps have locks of their own, and many are at work at the same hour: who has the ledger has it
/// alone, for as long as it takes to add to it, or to remove images.
struct Ledger {
    path: PathBuf,
    images: BTreeSet<String>,
    _lock: fs_err::File,
}

impl Ledger {
    fn open(places: &Places, server: &str) -> Result<Self, AppError> {
        fs_err::create_dir_all(&places.state).map_err(AppError::file("make", &places.state))?;
        let name = if server == "default" { "images".to_owned() } else { format!("images@{server}") };
        let (path, lock_path) = (places.state.join(format!("{name}.json")), places.state.join(format!("{name}.lock")));
        let opened = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = opened.map_err(AppError::file("open", &lock_path))?;
        lock.lock().map_err(AppError::file("lock", &lock_path))?;
        Ok(Self { images: noted(&path)?, path, _lock: lock })
    }

    fn add(&mut self, new: BTreeSet<String>) -> Result<(), AppError> {
        let before = self.images.len();
        self.images.extend(new);
        if self.images.len() == before { Ok(()) } else { self.write() }
    }

    fn forget(&mut self, image: &str) -> Result<(), AppError> {
        self.images.remove(image);
        self.write()
    }

    fn write(&self) -> Result<(), AppError> {
        Ok(write_durably(&self.path, &serde_json::to_vec(&self.images).unwrap_or_default())?)
    }
}

fn noted(path: &Path) -> Result<BTreeSet<String>, AppError> {
    match fs_err::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| AppError::file("read", path)(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(AppError::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::places;

    #[test]
    fn every_server_has_a_ledger_of_its_own() {
        let scratch = freehold_testkit::Scratch::new();
        let places = places(&scratch);
        let images = |server: &str| Ledger::open(&places, server).unwrap().images.into_iter().collect::<Vec<_>>();
        Ledger::open(&places, "default").unwrap().add(["a".to_owned(), "b".to_owned()].into()).unwrap();
        Ledger::open(&places, "web1").unwrap().add(["b".to_owned()].into()).unwrap();
        Ledger::open(&places, "default").unwrap().forget("b").unwrap();
        assert_eq!((images("default"), images("web1")), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn an_app_that_cannot_be_read_keeps_every_image() {
        let scratch = freehold_testkit::Scratch::new();
        let places = places(&scratch);
        assert_eq!(kept_images(&places).unwrap(), BTreeSet::new());
        scratch.write("abra/servers/default/broken.example.org.env", "TYPE=\n");
        kept_images(&places).unwrap_err();
    }
}
