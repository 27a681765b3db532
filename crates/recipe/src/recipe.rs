//! A recipe at one version: its files, and what they say before there is an app.

use std::collections::BTreeMap;

use crate::notes::{Notes, notes_between};
use crate::{AbraSh, ComposeFile, EnvFile, RecipeError, Texts, Version};

/// A recipe's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipe {
    /// Its text files by their path from its root.
    pub texts: Texts,
    /// `.env.sample`.
    pub sample: Option<EnvFile>,
    /// `abra.sh`.
    pub abra_sh: AbraSh,
}

impl Recipe {
    /// Reads a recipe out of its text files.
    ///
    /// # Errors
    /// What reading `.env.sample` and `abra.sh` gives.
    pub fn of(texts: impl Into<Texts>) -> Result<Self, RecipeError> {
        let texts = texts.into();
        let sample = texts.read(".env.sample")?.map(|text| EnvFile::parse(".env.sample", text)).transpose()?;
        let abra_sh = texts.read("abra.sh")?.map(|text| AbraSh::parse("abra.sh", text)).transpose()?;
        Ok(Self { sample, abra_sh: abra_sh.unwrap_or_default(), texts })
    }

    /// The compose files that an app is made of.
    ///
    /// # Errors
    /// [`RecipeError::NoCompose`], and what reading one gives.
    pub fn compose_files(&self, env: &EnvFile) -> Result<Vec<ComposeFile>, RecipeError> {
        ComposeFile::parse_all(&self.texts, &env.compose_files())
    }

    /// The variables that Docker puts into the compose files: the app's, the exports of `abra.sh` over them, and `STACK_NAME`.
    pub fn variables(&self, env: &EnvFile, stack_name: &str) -> BTreeMap<String, String> {
        let mut variables = env.variables();
        variables.extend(self.abra_sh.exports.clone());
        variables.insert("STACK_NAME".to_owned(), stack_name.to_owned());
        variables
    }

    /// The notes of the versions after `from` up to `to`, oldest first.
    pub fn notes_between(&self, from: Option<&Version>, to: &Version) -> Vec<Notes> {
        notes_between(&self.texts, from, to)
    }
}
