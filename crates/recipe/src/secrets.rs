//! The secrets of an app: which there must be, what they are called, and how one is made up.
//!
//! A secret counts when a service of the composed stack uses it. Its version is what stands behind the last `_` of its name, and
//! the variable that holds the version is found in the name as the compose file writes it. Modifiers stand in the comment
//! behind that variable in the `.env`: `SECRET_DB_PASSWORD_VERSION=v1 # length=32 charset=hex`. All of this is abra's rule. An
//! `.env` that was made of an older version knows nothing of newer secrets: what it does not say, the recipe's sample says.
//! Nothing here holds a value.

use crate::env::EnvFile;
use crate::names::{SECRET_NAME_CHARACTERS, split_version};
use crate::{Assignment, ComposeFile, RecipeError, Stack};

/// A secret that an app needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its key in the compose file: what a person calls it.
    pub key: String,
    /// Its name in the Swarm, with the version.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The variable of the `.env` that holds the version; without one it cannot be rotated.
    pub variable: Option<String>,
    /// Whether `secret generate` makes it up.
    pub generate: bool,
    /// What is made up.
    pub recipe: Generator,
}

/// How a value is made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generator {
    /// That many characters, each one of these.
    Characters {
        /// How many.
        length: u32,
        /// Which.
        alphabet: String,
    },
    /// Words that a person can read out; for secrets without a `length`.
    Passphrase,
}

/// The longest value that is made up.
pub const LENGTH_MOST: u32 = 4096;

/// The sets of characters by their names in `charset=`. That they exist is known, which characters exactly is not confirmed:
/// abra's documentation names none.
const CHARSETS: [(&str, &str); 4] = [
    ("default", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"),
    ("special", "!@#$%^&*_-+="),
    ("safespecial", "!@#%^&*_-+="),
    ("hex", "0123456789abcdef"),
];

/// The secrets that the composed stack needs, by their key. What the `.env` says of one counts before what the recipe's `.env.sample`
/// says.
///
/// # Errors
/// [`RecipeError::SecretVersion`], [`RecipeError::TooLong`] and [`RecipeError::Modifier`].
pub fn secrets(
    stack: &Stack,
    files: &[ComposeFile],
    env: &EnvFile,
    sample: Option<&EnvFile>,
) -> Result<Vec<Secret>, RecipeError> {
    let mut found = Vec::new();
    for object in stack.secrets().into_iter().filter(|object| object.is_external) {
        let raw = files.iter().rev().find_map(|file| file.raw_secret_name(&object.key)).map(|(raw, _)| raw);
        let variable = raw.and_then(version_variable).map(str::to_owned);
        let Some((_, version)) = split_version(&object.name) else {
            return Err(RecipeError::SecretVersion { secret: object.key, name: object.name, variable });
        };
        let version = version.to_owned();
        if object.name.chars().count() > SECRET_NAME_CHARACTERS {
            let length = object.name.chars().count();
            return Err(RecipeError::TooLong {
                what: "secret",
                name: object.name,
                length,
                most: SECRET_NAME_CHARACTERS,
            });
        }
        let modifiers = variable.as_deref().map(|name| modifiers(name, env, sample)).transpose()?.unwrap_or_default();
        found.push(Secret {
            key: object.key,
            name: object.name,
            version,
            variable,
            generate: modifiers.generate.unwrap_or(true),
            recipe: modifiers.generator(),
        });
    }
    Ok(found)
}

/// What is said of a secret by the variable of its version: in the `.env`, and what that leaves open in the sample.
fn modifiers(variable: &str, env: &EnvFile, sample: Option<&EnvFile>) -> Result<Modifiers, RecipeError> {
    let last = |file: &EnvFile| file.assignments().iter().rev().find(|one| one.name == variable).cloned();
    let of_sample = || sample.and_then(|sample| last(sample).or_else(|| commented(sample, variable)));
    match last(env) {
        Some(own) => {
            let own = Modifiers::of(&own)?;
            // The app has what it needs to be looked after: a newer sample that cannot be read does not stop that.
            Ok(own.or(of_sample().and_then(|said| Modifiers::of(&said).ok()).unwrap_or_default()))
        }
        None => of_sample().as_ref().map(Modifiers::of).transpose().map(Option::unwrap_or_default),
    }
}

/// The assignment of a variable that a sample has only as a comment, because it is an option.
fn commented(sample: &EnvFile, variable: &str) -> Option<Assignment> {
    let mut lines = sample.text().lines().enumerate();
    lines.find_map(|(number, line)| {
        let text = line.trim_start().strip_prefix('#')?.trim_start_matches(['#', ' ', '\t']);
        if !text.contains(variable) {
            return None;
        }
        // The lines above keep its place.
        let alone = EnvFile::parse(sample.file(), &format!("{}{text}", "\n".repeat(number))).ok()?;
        alone.assignments().iter().find(|one| one.name == variable).cloned()
    })
}

/// The variable that a raw name ends with, which holds its version.
pub(crate) fn version_variable(raw: &str) -> Option<&str> {
    let (name, _) = crate::compose::variables_in(raw).into_iter().next_back()?;
    let (_, last) = raw.trim_end().rsplit_once('$')?;
    (name != "STACK_NAME" && (last == name || last.ends_with('}'))).then_some(name)
}

/// What the comment behind a secret's version says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modifiers {
    /// `length=`.
    pub length: Option<u32>,
    /// The characters of `charset=`, each once.
    pub alphabet: Option<String>,
    /// `generate=`.
    pub generate: Option<bool>,
}

impl Modifiers {
    /// Reads the comment of an assignment. Words that are no modifiers are prose.
    ///
    /// # Errors
    /// [`RecipeError::Modifier`].
    pub fn of(assignment: &Assignment) -> Result<Self, RecipeError> {
        let mut read = Self::default();
        for word in assignment.comment.iter().flat_map(|comment| comment.split_whitespace()) {
            let wrong = |reason| RecipeError::Modifier {
                at: assignment.at.clone(),
                variable: assignment.name.clone(),
                modifier: word.to_owned(),
                reason,
            };
            match word.split_once('=') {
                Some(("length", value)) => match value.parse() {
                    Ok(length) if (1..=LENGTH_MOST).contains(&length) => read.length = Some(length),
                    _ => return Err(wrong("a length is a number from 1 to 4096")),
                },
                Some(("charset", value)) => {
                    read.alphabet = Some(alphabet(value).ok_or_else(|| wrong("there is no such set of characters"))?);
                }
                Some(("generate", "true")) => read.generate = Some(true),
                Some(("generate", "false")) => read.generate = Some(false),
                Some(("generate", _)) => return Err(wrong("it is `true` or `false`")),
                _ => {}
            }
        }
        Ok(read)
    }

    /// These, and where they say nothing `other`.
    fn or(self, other: Self) -> Self {
        Self {
            length: self.length.or(other.length),
            alphabet: self.alphabet.or(other.alphabet),
            generate: self.generate.or(other.generate),
        }
    }

    fn generator(&self) -> Generator {
        let alphabet = || self.alphabet.clone().unwrap_or_else(|| CHARSETS[0].1.to_owned());
        match self.length {
            Some(length) => Generator::Characters { length, alphabet: alphabet() },
            None => Generator::Passphrase,
        }
    }
}

/// The characters of `special,hex`, each once. `special` and `safespecial` alone come with the letters and digits of `default`.
fn alphabet(names: &str) -> Option<String> {
    let mut sets = Vec::new();
    for name in names.split(',').map(str::trim) {
        sets.push(CHARSETS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?);
    }
    if sets.iter().all(|(name, _)| name.ends_with("special")) {
        sets.insert(0, &CHARSETS[0]);
    }
    let mut characters = String::new();
    for character in sets.iter().flat_map(|(_, set)| set.chars()) {
        if !characters.contains(character) {
            characters.push(character);
        }
    }
    Some(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(composed_name: &str, env: &str) -> Result<Vec<Secret>, RecipeError> {
        with_sample(composed_name, env, "TYPE=x\n")
    }

    fn with_sample(composed_name: &str, env: &str, sample: &str) -> Result<Vec<Secret>, RecipeError> {
        let raw = "services: {app: {image: a}}\nsecrets:\n  db: {external: true, name: '${STACK_NAME}_db_${SECRET_DB_VERSION:-v1}'}\n";
        let composed = format!(
            "services: {{app: {{image: a, secrets: [{{source: db}}]}}}}\n\
             secrets: {{db: {{external: true, name: {composed_name}}}, other: {{external: true, name: s_other_v1}}}}\n"
        );
        let files = [ComposeFile::parse("compose.yml", raw).unwrap()];
        let (env, sample) = (EnvFile::parse("x.env", env).unwrap(), EnvFile::parse(".env.sample", sample).unwrap());
        secrets(&Stack::parse(&composed).unwrap(), &files, &env, Some(&sample))
    }

    #[test]
    fn a_secret_is_what_a_service_uses_with_its_modifiers() {
        let env = "SECRET_DB_VERSION=v2 # length=32 charset=hex (keep it) generate=false\n";
        let expected = Secret {
            key: "db".to_owned(),
            name: "s_db_v2".to_owned(),
            version: "v2".to_owned(),
            variable: Some("SECRET_DB_VERSION".to_owned()),
            generate: false,
            recipe: Generator::Characters { length: 32, alphabet: "0123456789abcdef".to_owned() },
        };
        assert_eq!(of("s_db_v2", env).unwrap(), [expected]);
        let plain = of("s_db_v1", "").unwrap().remove(0);
        assert_eq!((plain.generate, plain.recipe), (true, Generator::Passphrase));
    }

    #[test]
    fn what_the_env_does_not_say_of_a_secret_the_sample_says() {
        let said = |env: &str, sample: &str| {
            let secret = with_sample("s_db_v1", env, sample).unwrap().remove(0);
            (secret.generate, secret.recipe)
        };
        let characters = |length, names: &str| Generator::Characters { length, alphabet: alphabet(names).unwrap() };
        let sample = "SECRET_DB_VERSION=v1 # generate=false length=20 charset=hex\n";
        // The app is older than the secret, or its line was written by a program.
        for env in ["", "SECRET_DB_VERSION=v1\n", "SECRET_DB_VERSION=v1 # of the mail server\n"] {
            assert_eq!(said(env, sample), (false, characters(20, "hex")));
        }
        assert_eq!(said("", "# SECRET_DB_VERSION=v1 # length=20 charset=hex\n"), (true, characters(20, "hex")));
        assert_eq!(said("", "#SECRET_DB_VERSION_OLD=v1 # generate=false\n"), (true, Generator::Passphrase));
        // The operator has the last word, one by one.
        let own = "SECRET_DB_VERSION=v1 # generate=true length=9\n";
        assert_eq!(said(own, sample), (true, characters(9, "hex")));
        // A sample that means nothing stops only what needs it.
        let wrong = "A=1\nSECRET_DB_VERSION=v1 # length=many\n";
        assert_eq!(said("SECRET_DB_VERSION=v1 # length=9\n", wrong), (true, characters(9, "default")));
        let error = with_sample("s_db_v1", "", wrong).unwrap_err().to_string();
        assert!(error.starts_with(".env.sample:2:1: `length=many` of `SECRET_DB_VERSION`"), "{error}");
        let error = with_sample("s_db_v1", "", "A=1\n# SECRET_DB_VERSION=v1 # length=many\n").unwrap_err();
        assert!(error.to_string().starts_with(".env.sample:2:1: "), "{error}");
    }

    #[test]
    fn what_cannot_be_is_said_with_the_way_out() {
        let told = |result: Result<Vec<Secret>, RecipeError>| {
            let error = result.unwrap_err();
            format!("{error}: {}", error.hint().unwrap_or_default())
        };
        assert_eq!(
            told(of("s_db_", "SECRET_DB_VERSION=")),
            "the secret `db` is named `s_db_`: its version is missing: set `SECRET_DB_VERSION=v1` in the app's .env"
        );
        let long = format!("{}_db_v1", "s".repeat(60));
        assert!(told(of(&long, "")).contains("has 66 characters; Docker takes 64: set a shorter STACK_NAME"));
        for modifier in ["length=0", "length=many", "length=99999", "charset=greek", "generate=maybe"] {
            let env = format!("A=1\nSECRET_DB_VERSION=v1 # {modifier}\n");
            assert!(told(of("s_db_v1", &env)).starts_with(&format!("x.env:2:1: `{modifier}` of `SECRET_DB_VERSION`")));
        }
    }

    #[test]
    fn sets_of_characters_are_joined() {
        assert_eq!(alphabet("hex").unwrap().len(), 16);
        assert_eq!(alphabet("default,special").unwrap(), alphabet("special").unwrap());
        assert_eq!(alphabet("safespecial,hex").unwrap().len(), 27);
        assert!(!alphabet("safespecial").unwrap().contains('$'));
    }
}
