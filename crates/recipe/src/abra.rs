//! What stands under `$ABRA_DIR`, as text: apps, the recipe and version that an app is pinned to, and the file of a new app.
//!
//! `servers/SERVER/DOMAIN.env` is an app on the docker context `SERVER`; its `TYPE=RECIPE:VERSION` says what it runs.
//! Freehold writes nothing else there, and in a file that is there only the values that it is asked to change.

use std::str::FromStr;

use crate::names::{check_domain, recipe_folder};
use crate::{EnvFile, RecipeError, Version};

/// What of a recipe is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pin {
    /// A version.
    Version(Version),
    /// A commit, as abra writes it when it deploys a work tree.
    Commit {
        /// Its hash, shortened or not.
        hash: String,
        /// Whether the work tree had changes (`+U`).
        is_dirty: bool,
    },
}

impl FromStr for Pin {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let (hash, is_dirty) = text.strip_suffix("+U").map_or((text, false), |hash| (hash, true));
        let is_hex = |char: char| char.is_ascii_digit() || ('a'..='f').contains(&char);
        if (7..=64).contains(&hash.len()) && hash.chars().all(is_hex) {
            return Ok(Self::Commit { hash: hash.to_owned(), is_dirty });
        }
        text.parse().map(Self::Version)
    }
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Commit { hash, is_dirty } => write!(f, "{hash}{}", if *is_dirty { "+U" } else { "" }),
        }
    }
}

/// The value of `TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppType {
    /// The recipe.
    pub recipe: String,
    /// What of it, once it was deployed.
    pub pin: Option<Pin>,
}

impl AppType {
    /// What an app is. `RECIPE=` is a newer name for `TYPE=`.
    ///
    /// # Errors
    /// [`RecipeError::Env`] when there is neither or it is malformed.
    pub fn of(env: &EnvFile) -> Result<Self, RecipeError> {
        let Some(variable) = type_variable(env) else {
            let at = crate::Place { file: env.file().to_owned(), line: 1, column: 1 };
            let hint = Some("write `TYPE=RECIPE`, such as `TYPE=ghost`".to_owned());
            return Err(RecipeError::Env { at, reason: "it does not say of which recipe it is".to_owned(), hint });
        };
        let text = env.get(variable).unwrap_or_default();
        let (recipe, pin) = text.split_once(':').map_or((text, None), |(recipe, pin)| (recipe, Some(pin)));
        let parsed = recipe_folder(recipe).and_then(|_| pin.filter(|pin| !pin.is_empty()).map(str::parse).transpose());
        match (parsed, env.place(variable)) {
            (Err(error), Some(at)) => {
                Err(RecipeError::Env { at: at.clone(), reason: error.to_string(), hint: error.hint() })
            }
            (parsed, _) => Ok(Self { recipe: recipe.to_owned(), pin: parsed? }),
        }
    }

    /// Writes it into the app's file, after it was deployed.
    ///
    /// # Errors
    /// [`RecipeError::Unwritable`].
    pub fn write(&self, env: &mut EnvFile) -> Result<(), RecipeError> {
        let variable = type_variable(env).unwrap_or("TYPE").to_owned();
        env.set(&variable, &self.to_string())
    }
}

impl std::fmt::Display for AppType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pin {
            Some(pin) => write!(f, "{}:{pin}", self.recipe),
            None => f.write_str(&self.recipe),
        }
    }
}

fn type_variable(env: &EnvFile) -> Option<&'static str> {
    ["TYPE", "RECIPE"].into_iter().find(|name| env.get(name).is_some_and(|value| !value.is_empty()))
}

/// An app's place under `$ABRA_DIR`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppPath {
    /// The docker context; `default` is the local one.
    pub server: String,
    /// The app's name, which is its domain.
    pub domain: String,
}

impl AppPath {
    /// The place of an app.
    ///
    /// # Errors
    /// [`RecipeError::Name`].
    pub fn new(server: &str, domain: &str) -> Result<Self, RecipeError> {
        check_domain(domain)?;
        let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        if server.is_empty() || server.starts_with('.') || !server.chars().all(is_part) {
            let reason = "it takes letters, digits, `-`, `_` and `.`, and no `.` first";
            return Err(RecipeError::Name { name: server.to_owned(), what: "a server", reason });
        }
        Ok(Self { server: server.to_owned(), domain: domain.to_owned() })
    }

    /// From the folder `$ABRA_DIR`: `servers/SERVER/DOMAIN.env`.
    pub fn relative(&self) -> String {
        format!("servers/{}/{}.env", self.server, self.domain)
    }

    /// The app of a path relative to `$ABRA_DIR`; `None` for whatever else lies there.
    pub fn of_relative(path: &str) -> Option<Self> {
        let (server, file) = path.strip_prefix("servers/")?.split_once('/')?;
        Self::new(server, file.strip_suffix(".env")?).ok()
    }
}

/// The `.env` of a new app, made from the recipe's `.env.sample` with all its comments: the domain in place of the sample's
/// `RECIPE.example.com`, and the pin.
///
/// # Errors
/// What parsing the sample and writing the values give.
pub fn new_app(sample: &str, app: &AppPath, kind: &AppType) -> Result<EnvFile, RecipeError> {
    let recipe = kind.recipe.rsplit('/').next().unwrap_or_default();
    let text = sample.replace(&format!("{recipe}.example.com"), &app.domain);
    let mut env = EnvFile::parse(&format!("{}.env", app.domain), &text)?;
    kind.write(&mut env)?;
    env.set("DOMAIN", &app.domain)?;
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(text: &str) -> EnvFile {
        EnvFile::parse("blog.example.org.env", text).unwrap()
    }

    #[test]
    fn what_an_app_runs_is_read_and_written_in_place() {
        let check = |text: &str, recipe: &str, pin: Option<&str>| {
            let read = AppType::of(&env(text)).unwrap();
            assert_eq!((read.recipe.as_str(), read.pin.map(|pin| pin.to_string()).as_deref()), (recipe, pin), "{text}");
        };
        check("TYPE=ghost\n", "ghost", None);
        check("TYPE=ghost:1.3.0+6.42.0-alpine\n", "ghost", Some("1.3.0+6.42.0-alpine"));
        check("TYPE=ghost:7ae7b0f7\n", "ghost", Some("7ae7b0f7"));
        check("TYPE=ghost:7ae7b0f7+U\n", "ghost", Some("7ae7b0f7+U"));
        check("RECIPE=mygit.org/me/cool:1.0.0+2\n", "mygit.org/me/cool", Some("1.0.0+2"));
        let mut file = env("# an app\nTYPE=\"ghost\" # the recipe\nDOMAIN=blog.example.org\n");
        let mut kind = AppType::of(&file).unwrap();
        kind.pin = Some("1.3.0+6.42.0-alpine".parse().unwrap());
        kind.write(&mut file).unwrap();
        assert_eq!(file.text(), "# an app\nTYPE=\"ghost:1.3.0+6.42.0-alpine\" # the recipe\nDOMAIN=blog.example.org\n");
        let error = AppType::of(&env("A=1\nTYPE=../x\n")).unwrap_err().to_string();
        assert!(error.starts_with("blog.example.org.env:2:1: `../x` cannot be the name of a recipe"), "{error}");
        let error = AppType::of(&env("TYPE=ghost:latest\n")).unwrap_err().to_string();
        assert!(error.contains("`latest` is no recipe version"), "{error}");
        assert!(AppType::of(&env("DOMAIN=x\n")).is_err());
    }

    #[test]
    fn apps_are_known_by_their_paths() {
        let app = AppPath::of_relative("servers/default/blog.example.org.env").unwrap();
        assert_eq!(app.relative(), "servers/default/blog.example.org.env");
        for other in [
            "servers/default/README.md",
            "recipes/x/.env",
            "servers/x.env",
            "servers/default/.env",
            "servers/.git/a.env",
        ] {
            assert_eq!(AppPath::of_relative(other), None, "{other}");
        }
        assert!(AppPath::new("..", "a.org").is_err() && AppPath::new("default", "../a").is_err());
    }

    #[test]
    fn a_new_app_is_its_sample_with_its_domain() {
        let sample = "TYPE=ghost\n# where\nDOMAIN=ghost.example.com\n#EXTRA_DOMAINS=', `www.ghost.example.com`'\nA=1\n";
        let app = AppPath::new("default", "blog.example.org").unwrap();
        let kind = AppType { recipe: "ghost".to_owned(), pin: Some("1.0.0+6".parse().unwrap()) };
        let expected =
            "TYPE=ghost:1.0.0+6\n# where\nDOMAIN=blog.example.org\n#EXTRA_DOMAINS=', `www.blog.example.org`'\nA=1\n";
        assert_eq!(new_app(sample, &app, &kind).unwrap().text(), expected);
    }
}
