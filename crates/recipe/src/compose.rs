//! A compose file as it is written: not merged, not interpolated, every part with its place.
//!
//! What a stack comes to is `docker stack config`'s work ([`crate::Stack`]); this is for what only the files can tell: the raw
//! name of a secret, which holds the variable of its version, and where something stands.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::did_you_mean;

use crate::yaml::Node;
use crate::{Place, RecipeError, Texts};

/// A compose file.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposeFile {
    file: String,
    pub(crate) root: Node,
}

/// A use of a variable in a compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableUse {
    /// The variable.
    pub name: String,
    /// Where the value stands that uses it.
    pub at: Place,
    /// Whether the file says what to take when it is not set.
    pub has_default: bool,
}

impl ComposeFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`RecipeError::Yaml`], and [`RecipeError::Compose`] when it is YAML of something else.
    pub fn parse(file: &str, text: &str) -> Result<Self, RecipeError> {
        let root = Node::parse(file, text)?;
        let read = Self { file: file.to_owned(), root };
        read.check_shape()?;
        Ok(read)
    }

    /// The files that an app is made of, out of those that a recipe has.
    ///
    /// # Errors
    /// [`RecipeError::NoCompose`], [`RecipeError::Text`], and what [`ComposeFile::parse`] gives.
    pub fn parse_all(files: &Texts, wanted: &[String]) -> Result<Vec<Self>, RecipeError> {
        let parse = |name: &String| match files.read(name)? {
            Some(text) => Self::parse(name, text),
            None => Err(RecipeError::NoCompose { file: name.clone(), hint: no_compose_hint(files, name) }),
        };
        wanted.iter().map(parse).collect()
    }

    /// Its name, as messages give it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The names of its services.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.section("services").filter_map(|(name, _)| name.text())
    }

    /// The name of a secret as it is written (`${STACK_NAME}_db_${SECRET_DB_VERSION}`).
    pub fn raw_secret_name(&self, secret: &str) -> Option<(&str, Place)> {
        self.raw_name("secrets", secret)
    }

    /// The name of a config as it is written.
    pub fn raw_config_name(&self, config: &str) -> Option<(&str, Place)> {
        self.raw_name("configs", config)
    }

    /// Every use of a variable in its values, in order.
    pub fn variables(&self) -> Vec<VariableUse> {
        let uses = self.root.scalars().into_iter().flat_map(|node| {
            let of = |(name, has_default): (&str, bool)| VariableUse {
                name: name.to_owned(),
                at: node.place(&self.file),
                has_default,
            };
            variables_in(node.text().unwrap_or_default()).into_iter().map(of).collect::<Vec<_>>()
        });
        uses.collect()
    }

    /// Where a key of a section stands.
    pub fn place_in(&self, section: &str, key: &str) -> Option<Place> {
        Some(self.root.at(&[section, key])?.place(&self.file))
    }

    pub(crate) fn section(&self, name: &str) -> impl Iterator<Item = (&Node, &Node)> {
        self.root.get(name).into_iter().flat_map(Node::entries)
    }

    fn raw_name(&self, section: &str, key: &str) -> Option<(&str, Place)> {
        let name = self.root.at(&[section, key, "name"])?;
        Some((name.text()?, name.place(&self.file)))
    }

    fn check_shape(&self) -> Result<(), RecipeError> {
        let wrong = |node: &Node, reason: String, hint: Option<String>| {
            Err(RecipeError::Compose { at: node.place(&self.file), reason, hint })
        };
        if !self.root.is_map() {
            return wrong(&self.root, "a compose file is a map with `services:`".to_owned(), None);
        }
        let known: BTreeSet<&str> = ["version", "services", "networks", "volumes", "secrets", "configs", "name"].into();
        for (key, value) in self.root.entries() {
            let name = key.text().unwrap_or_default();
            if name.starts_with("x-") || name == "version" || name == "name" {
                continue;
            }
            if !known.contains(name) {
                let hint = did_you_mean(name, known.iter().copied()).map(|name| format!("did you mean `{name}`?"));
                return wrong(key, format!("`{name}` is no section of a compose file"), hint);
            }
            if !value.is_map() && !value.is_null() {
                return wrong(value, format!("`{name}` is not a map"), None);
            }
        }
        match self.section("services").find(|(_, service)| !service.is_map()) {
            Some((name, service)) => {
                wrong(service, format!("the service `{}` is not a map", name.text().unwrap_or_default()), None)
            }
            None => Ok(()),
        }
    }
}

/// Where stands what Docker's words begin with: `services.app.ports must be a list`, `services.app Additional property x is …`,
/// `services must be a mapping`, `unsupported Compose file version: 2.4`.
pub fn place_of(files: &[ComposeFile], words: &str) -> Option<Place> {
    let is_path = |word: &&str| {
        let section = word.split('.').next().unwrap_or_default();
        let is_section = ["services", "networks", "volumes", "secrets", "configs"].contains(&section);
        is_section && (section.len() < word.len() || words.contains(&format!("{section} must be ")))
    };
    let is_version = words.contains("unsupported Compose file version");
    let path = if is_version { "version" } else { words.split_whitespace().find(is_path)?.trim_end_matches(':') };
    let mut keys: Vec<&str> = path.split('.').collect();
    if let Some(rest) = words.split("Additional property ").nth(1) {
        keys.push(rest.split(' ').next()?);
    }
    // A section that Docker complains of as a whole is no map; other files may have one that is.
    let is_it = |node: &Node| path.contains('.') || !node.is_map();
    let place = |keys: &[&str]| {
        let found =
            |file: &ComposeFile| file.root.at(keys).filter(|node| is_it(node)).map(|node| node.place(&file.file));
        files.iter().rev().find_map(found)
    };
    // The nearest that stands in a file.
    (1..=keys.len()).rev().find_map(|length| place(keys.get(..length)?))
}

fn no_compose_hint(files: &BTreeMap<String, String>, wanted: &str) -> Option<String> {
    let is_compose = |name: &&str| {
        let last = name.rsplit('/').next().unwrap_or_default();
        last.starts_with("compose") && last.ends_with("ml")
    };
    let known: Vec<&str> = files.keys().map(String::as_str).filter(is_compose).collect();
    if known.is_empty() {
        return Some("it has no compose file at all: is it a recipe of Co-op Cloud?".to_owned());
    }
    match did_you_mean(wanted, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None => Some(format!("it has: {}", known.join(", "))),
    }
}

/// The variables that Docker would put into a text, and whether the text gives a default for each.
///
/// Source: docker/cli's template, tried with 28.2: `$$` is a `$`, `$A` and `${A}` may be followed by `-`, `:-`, `?` or `:?`
/// and a text that ends with the braces.
pub(crate) fn variables_in(text: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let end = inner.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(inner.len());
        let name = &inner[..end];
        if !name.is_empty() && !name.starts_with(|char: char| char.is_ascii_digit()) {
            let has_default = inner[end..].starts_with('-') || inner[end..].starts_with(":-");
            found.push((name, has_default));
        }
        rest = &inner[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_as_docker_finds_them() {
        assert_eq!(
            variables_in("${A}_x_${B:-v1} $C $$D ${E-} ${F:?no} $1 ${G"),
            [("A", false), ("B", true), ("C", false), ("E", true), ("F", false), ("G", false)]
        );
    }

    #[test]
    fn what_is_no_compose_file_is_told() {
        let told = |text: &str| {
            let error = ComposeFile::parse("compose.yml", text).unwrap_err();
            format!("{error} ({})", error.hint().unwrap_or_default())
        };
        assert_eq!(told("[]"), "compose.yml:1:1: a compose file is a map with `services:` ()");
        assert_eq!(
            told("version: '3.8'\nservice:\n  app: {}\n"),
            "compose.yml:2:1: `service` is no section of a compose file (did you mean `services`?)"
        );
        assert_eq!(told("services:\n  app: nginx\n"), "compose.yml:2:8: the service `app` is not a map ()");
        let files = Texts::of([("compose.yaml", &b""[..])]);
        let error = ComposeFile::parse_all(&files, &["compose.yml".to_owned()]).unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("did you mean `compose.yaml`?"));
    }

    #[test]
    fn several_documents_are_told_in_words_for_people() {
        let error = ComposeFile::parse("compose.yml", "services: {}\n---\nservices: {}\n").unwrap_err();
        let told = "compose.yml:3:1: another YAML document begins, and a compose file is one";
        assert_eq!(error.to_string(), told);
        assert_eq!(ComposeFile::parse("compose.yml", "---\nservices: {}\n...\n").map(drop), Ok(()));
    }

    #[test]
    fn what_docker_says_has_its_place() {
        let files = ["version: '2.4'\nservices: {app: {ports: 1}}\n", "services:\nvolumes:\n", "services: {}\n"];
        let files = files.map(|text| ComposeFile::parse("compose.yml", text).unwrap());
        let place = |words: &str| place_of(&files, words).map(|at| at.to_string()).unwrap_or_default();
        assert_eq!(place("unsupported Compose file version: 2.4"), "compose.yml:1:10");
        assert_eq!(place("services must be a mapping"), "compose.yml:1:9");
        assert_eq!(place("volumes must be a mapping"), "compose.yml:2:8");
        assert_eq!(place("services.app.ports must be a list"), "compose.yml:2:25");
        assert_eq!(place("cannot start services"), "");
    }
}
