//! Co-op Cloud recipes as text: what they say, what an app made of one is called, what it needs, and what will break.
//!
//! Recipes stay as they are upstream, and apps as `abra` writes them: this crate reads the formats of both and changes an app's
//! `.env` in place. Deliberately without Docker, git and files: `docker stack config` composes a stack, which [`Stack`] reads;
//! `freehold-recipe-source` fetches recipes and reads `$ABRA_DIR`; the runtime deploys.
//!
//! Read on in `env/` (the `.env`), `abra.rs` (an app's file and its pin), `texts.rs` (its files), `compose.rs` and `stack.rs` (a stack as written and as
//! composed), `secrets.rs`, `version.rs` and `notes.rs` (what an upgrade means), `deploy.rs` (what is put into a stack), `lint/`.

mod abra;
mod abra_sh;
mod backup;
mod compose;
mod deploy;
mod env;
mod error;
mod lint;
mod names;
mod notes;
mod recipe;
mod secrets;
mod stack;
mod texts;
mod version;
mod yaml;

pub use abra::{AppPath, AppType, Pin, new_app};
pub use abra_sh::AbraSh;
pub use backup::{Backup, Hook, When};
pub use compose::{ComposeFile, VariableUse, place_of};
pub use deploy::{AppLabels, ReadLabels};
pub use env::{Assignment, EnvFile};
pub use error::{Place, RecipeError};
pub use lint::{Finding, ServedRule, Severity, Subject, Tag, TakenPort, forbidden_fields, foreign_files, lint};
pub use names::{
    SECRET_NAME_CHARACTERS, SERVICE_NAME_CHARACTERS, STACK_NAME_CHARACTERS, check_domain, check_new_domain,
    custom_remote, next_version, recipe_folder, split_version, stack_name,
};
pub use notes::{MARKERS, Marker, NOTES_FOLDER, Notes, manual_marker, notes_between};
pub use recipe::Recipe;
pub use secrets::{Generator, LENGTH_MOST, Modifiers, Secret, secrets};
pub use stack::{APP_SERVICE, NamedObject, Port, Service, Stack};
pub use texts::Texts;
pub use version::{Jump, Jumps, Version, find_version};
