//! The `.env` of an app: read as godotenv reads it (which abra is made of), edited without touching what is not meant.
//!
//! The text is kept as it is; an assignment is a range in it. Lines are evaluated from the top, so that
//! `COMPOSE_FILE="$COMPOSE_FILE:compose.x.yml"` sees what stood before it; the last assignment of a name wins.
//! What godotenv does that surprises is done the same way, and told by the lint (`lint/env.rs`).
//!
//! Read on in `scan.rs` (where assignments are), `expand.rs` (what values mean), `edit.rs` (how one is changed).

mod edit;
mod expand;
mod scan;

use std::collections::BTreeMap;
use std::ops::Range;

use freehold_model::limits;

use crate::{Place, RecipeError};

/// An `.env` file with all its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    file: String,
    text: String,
    assignments: Vec<Assignment>,
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Its value after this line, with variables above it put in.
    pub value: String,
    /// The comment behind the value, without `#` and space around it.
    pub comment: Option<String>,
    /// Where the name stands.
    pub at: Place,
    /// From the first byte of the statement (`export` included) to the last of the value.
    statement: Range<usize>,
    /// The value as it is written, quotes included.
    written: Range<usize>,
}

impl EnvFile {
    /// Reads a file; `file` is the name that messages give.
    ///
    /// # Errors
    /// [`RecipeError::Env`] with the place, or [`RecipeError::TooLarge`].
    pub fn parse(file: &str, text: &str) -> Result<Self, RecipeError> {
        if text.len() > limits::RECIPE_FILE_BYTES {
            let most = limits::RECIPE_FILE_BYTES;
            return Err(RecipeError::TooLarge { file: file.to_owned(), bytes: text.len(), most });
        }
        let assignments = scan::assignments(file, text)?;
        Ok(Self { file: file.to_owned(), text: text.to_owned(), assignments })
    }

    /// The name that messages give.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The whole text, byte by byte as it was read, except what was edited since.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every assignment from the top.
    pub fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// The value of a variable at the end of the file.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.last(name).map(|assignment| assignment.value.as_str())
    }

    /// Where a variable gets its value.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.last(name).map(|assignment| &assignment.at)
    }

    /// All variables with their values at the end of the file.
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.assignments.iter().map(|assignment| (assignment.name.clone(), assignment.value.clone())).collect()
    }

    /// The value as it is written in the file, quotes included.
    pub fn written(&self, assignment: &Assignment) -> &str {
        self.text.get(assignment.written.clone()).unwrap_or_default()
    }

    /// The compose files that the app is made of, in order: `COMPOSE_FILE` split at `:`, or `compose.yml`.
    pub fn compose_files(&self) -> Vec<String> {
        let named = self.get("COMPOSE_FILE").unwrap_or_default();
        let files: Vec<String> = named.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if files.is_empty() { vec!["compose.yml".to_owned()] } else { files }
    }

    fn last(&self, name: &str) -> Option<&Assignment> {
        self.assignments.iter().rev().find(|assignment| assignment.name == name)
    }
}
