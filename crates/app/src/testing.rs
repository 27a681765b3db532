//! What tests of this crate share.

use std::path::Path;

use freehold_recipe_source::{AbraDir, Settings};
use freehold_testkit::Scratch;

use crate::{App, AppSettings, Known, Places};

/// Places of which nothing is there yet.
pub(crate) fn places(scratch: &Scratch) -> Places {
    let abra = AbraDir::of_environment(Some(scratch.join("abra").as_os_str()), None).unwrap();
    let (state, alerts) = (scratch.join("state"), scratch.join("alerts"));
    let source = Settings::new(state.join("recipes"), abra.path());
    Places { abra, state, alerts, source, stop: std::sync::Arc::default(), known: Known::default() }
}

/// An app without anything, remembered in this directory.
pub(crate) fn app(dir: &Path) -> App {
    let env = freehold_recipe::EnvFile::parse("x.env", "TYPE=x\n").unwrap();
    App {
        path: freehold_recipe::AppPath::new("default", "x.example.org").unwrap(),
        kind: freehold_recipe::AppType::of(&env).unwrap(),
        env,
        stack: "x_example_org".to_owned(),
        settings: AppSettings::default(),
        dir: dir.to_owned(),
        values: std::collections::BTreeMap::new(),
    }
}
