//! The text files of a recipe, and those of its files that are no text: a picture may be one, a compose file may not.
//!
//! What is no text is not taken for absent: whoever needs it hears where it ends to be text.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::{Place, RecipeError};

/// Files of a recipe by their path from its root. It derefs to those that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    known: BTreeMap<String, String>,
    broken: BTreeMap<String, RecipeError>,
}

impl Texts {
    /// Sorts files into those that are text and those that are not.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut texts = Self::default();
        for (path, contents) in files {
            match text(path, contents) {
                Ok(text) => drop(texts.known.insert(path.to_owned(), text)),
                Err(error) => drop(texts.broken.insert(path.to_owned(), error)),
            }
        }
        texts
    }

    /// A file that has to be text, when there is one of that path.
    ///
    /// # Errors
    /// [`RecipeError::Text`] when it is none.
    pub fn read(&self, path: &str) -> Result<Option<&str>, RecipeError> {
        match self.broken.get(path) {
            Some(error) => Err(error.clone()),
            None => Ok(self.known.get(path).map(String::as_str)),
        }
    }

    /// What is no text, by its path, with the place where it ends to be text.
    pub fn broken(&self) -> impl Iterator<Item = (&str, &RecipeError)> {
        self.broken.iter().map(|(path, error)| (path.as_str(), error))
    }
}

impl Deref for Texts {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}

impl From<BTreeMap<String, String>> for Texts {
    fn from(known: BTreeMap<String, String>) -> Self {
        Self { known, broken: BTreeMap::new() }
    }
}

fn text(path: &str, contents: &[u8]) -> Result<String, RecipeError> {
    let (good, reason) = match (std::str::from_utf8(contents), contents.iter().position(|byte| *byte == 0)) {
        (Ok(text), None) => return Ok(text.to_owned()),
        (Err(error), nul) if nul.is_none_or(|nul| nul > error.valid_up_to()) => {
            (error.valid_up_to(), "this is not UTF-8")
        }
        // What an editor writes that saves as UTF-16.
        (_, nul) => (nul.unwrap_or_default(), "this is a NUL, which no text has"),
    };
    let before = String::from_utf8_lossy(contents.get(..good).unwrap_or_default());
    Err(RecipeError::Text { at: Place::of(path, &before, good), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        let files: [(&str, &[u8]); 4] = [
            ("README.md", b"caf\xc3\xa9"),
            ("release/1.0.0+1", b"one\ncaf\xc3\xa9: na\xefve\n"),
            ("compose.yml", b"v\0e\0r\0"),
            ("logo.png", b"\x89P\0"),
        ];
        let texts = Texts::of(files);
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["README.md"]);
        let told = |path| texts.read(path).map_err(|error| error.to_string());
        assert_eq!(told("README.md"), Ok(Some("café")));
        assert_eq!(told("nothing"), Ok(None));
        assert_eq!(told("release/1.0.0+1"), Err("release/1.0.0+1:2:9: this is not UTF-8".to_owned()));
        assert_eq!(told("compose.yml"), Err("compose.yml:1:2: this is a NUL, which no text has".to_owned()));
        assert_eq!(told("logo.png"), Err("logo.png:1:1: this is not UTF-8".to_owned()));
        assert_eq!(texts.read("logo.png").unwrap_err().hint().as_deref(), Some("save it as UTF-8"));
    }
}
