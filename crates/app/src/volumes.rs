//! The volumes of an app: those that its stack made, and those that were there before it and that its releases name.
//!
//! Docker gives its label only to a volume that it makes itself. One that somebody made and filled before the first deploy has none,
//! and holds the app's data all the same. External volumes are no part of the app: others look after them.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use freehold_swarm::{Docker, Volume};

use crate::composed::Release;
use crate::{App, AppError};

impl App {
    /// Its volumes on this node, in order.
    ///
    /// # Errors
    /// They cannot be listed, or what is kept of its releases cannot be read.
    pub fn volumes(&self, docker: &Docker) -> Result<Vec<Volume>, AppError> {
        let mut all = docker.volumes(&self.stack)?;
        for name in self.named_volumes()? {
            if all.iter().all(|volume| volume.name != name) {
                // Of two stacks `a` and `a_b` both may have an `a_b_data`; who made it has it.
                all.extend(docker.volume(&name)?.filter(|volume| volume.stack().is_none()));
            }
        }
        all.sort();
        Ok(all)
    }

    /// The names of the volumes that the releases which are kept would make.
    fn named_volumes(&self) -> Result<BTreeSet<String>, AppError> {
        let dir = self.dir.join("releases");
        let entries = match fs_err::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(AppError::file("list", &dir)(error)),
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let dir = entry.map_err(AppError::file("list", &dir))?.path();
            if dir.extension().is_some_and(|end| end == "draft") {
                continue;
            }
            if let Some(stack) = (Release { dir }).stack()? {
                names.extend(stack.volumes(&self.stack).into_values());
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_known_by_the_releases_that_are_kept() {
        let scratch = freehold_testkit::Scratch::new();
        let app = crate::testing::app(scratch.path());
        assert_eq!(app.named_volumes().unwrap(), BTreeSet::new());
        let document =
            |volumes: &str| format!("{{\"services\":{{\"app\":{{\"image\":\"x\"}}}},\"volumes\":{volumes}}}");
        scratch
            .write("releases/one/stack.json", document("{\"data\":{},\"media\":{\"external\":true,\"name\":\"m\"}}"));
        scratch.write("releases/two/stack.json", document("{\"data\":{},\"own\":{\"name\":\"own\"}}"));
        scratch.write("releases/two.draft/stack.json", "{");
        scratch.write("releases/three/recipe/compose.yml", "");
        let names: Vec<String> = app.named_volumes().unwrap().into_iter().collect();
        assert_eq!(names, ["own", "x_example_org_data"]);
    }
}
