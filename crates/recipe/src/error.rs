//! What can be wrong with a recipe or an app's `.env`, with the place in the file and the way out.

use freehold_model::ErrorKind;

/// A place in a file: both numbers begin at 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as the caller gave it.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// The place of a byte offset in a text; offsets past the end are its end.
    pub fn of(file: &str, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            file: file.to_owned(),
            line: number(before.matches('\n').count() + 1),
            column: number(before[line_start..].chars().count() + 1),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why something of a recipe or an app cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// A line of an `.env` that is none.
    #[error("{at}: {reason}")]
    Env {
        /// Where.
        at: Place,
        /// What is wrong.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A value that cannot be written into an `.env` so that it is read back.
    #[error("`{name}` cannot be set in `{file}`: {reason}")]
    Unwritable {
        /// The file.
        file: String,
        /// The variable.
        name: String,
        /// What stands in the way.
        reason: &'static str,
    },
    /// Values for a new app make it one of another recipe.
    #[error("the app is to be of the recipe `{recipe}`, and its TYPE says `{said}`")]
    OtherRecipe {
        /// The recipe that it is made of.
        recipe: String,
        /// What the values say.
        said: String,
    },
    /// A comment modifier of a secret that means nothing.
    #[error("{at}: `{modifier}` of `{variable}` means nothing: {reason}")]
    Modifier {
        /// Where the variable stands.
        at: Place,
        /// The variable.
        variable: String,
        /// As it stands there.
        modifier: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that has to be text, and is not.
    #[error("{at}: {reason}")]
    Text {
        /// Where it ends to be one.
        at: Place,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not YAML.
    #[error("{at}: {reason}")]
    Yaml {
        /// Where.
        at: Place,
        /// What is wrong.
        reason: String,
    },
    /// YAML, but not what a compose file is.
    #[error("{at}: {reason}")]
    Compose {
        /// Where.
        at: Place,
        /// What is wrong.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A compose file that the recipe does not have.
    #[error("`{file}` is named by COMPOSE_FILE, and the recipe has no such file")]
    NoCompose {
        /// Its name.
        file: String,
        /// One that may be meant, or what there is.
        hint: Option<String>,
    },
    /// Not the form of a version.
    #[error("`{text}` is no recipe version: {reason}")]
    Version {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A version that the recipe does not have.
    #[error("the recipe has no version `{version}`")]
    NoVersion {
        /// As asked for.
        version: String,
        /// One that may be meant, or the newest.
        hint: Option<String>,
    },
    /// A name of a recipe, an app or a server that cannot be one.
    #[error("`{name}` cannot be the name of {what}: {reason}")]
    Name {
        /// As given.
        name: String,
        /// What it should name.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that Docker would refuse.
    #[error("the {what} `{name}` has {length} characters; Docker takes {most}")]
    TooLong {
        /// A secret, a config, a service.
        what: &'static str,
        /// Its whole name.
        name: String,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// A secret whose name holds no version.
    #[error("the secret `{secret}` is named `{name}`: its version is missing")]
    SecretVersion {
        /// Its key in the compose file.
        secret: String,
        /// Its name as composed.
        name: String,
        /// The variable that holds the version, when the compose file names one.
        variable: Option<String>,
    },
    /// No service has the name that the main one has.
    #[error("the recipe has no service `app`, only {}", .known.join(", "))]
    NoApp {
        /// Those that it has.
        known: Vec<String>,
    },
    /// The composed stack is not what `docker stack config` writes.
    #[error("the composed stack cannot be read: {reason}")]
    Stack {
        /// What is wrong.
        reason: String,
    },
    /// Larger than any file of a recipe.
    #[error("`{file}` has {bytes} bytes; {most} are the most")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: usize,
        /// What is allowed.
        most: usize,
    },
}

impl RecipeError {
    /// Who has to act: all of it is what somebody wrote, except a composed stack that Docker made.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Stack { .. } => ErrorKind::Host,
            _ => ErrorKind::User,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Env { hint, .. } | Self::Compose { hint, .. } | Self::NoCompose { hint, .. } => hint.clone(),
            Self::NoVersion { hint, .. } => hint.clone(),
            Self::OtherRecipe { .. } => Some("leave TYPE out: the recipe and `--version` say it".to_owned()),
            Self::Text { .. } => Some("save it as UTF-8".to_owned()),
            Self::Unwritable { .. } => {
                Some("the format has no way to write it; keep such a value in a secret".to_owned())
            }
            Self::Modifier { .. } => {
                Some("known are `length=32`, `charset=default,special,safespecial,hex` and `generate=false`".to_owned())
            }
            Self::Version { .. } => Some("versions look like `1.2.0+6.42.0-alpine`".to_owned()),
            Self::TooLong { .. } => Some("set a shorter STACK_NAME in the app's .env".to_owned()),
            Self::SecretVersion { variable: Some(variable), .. } => {
                Some(format!("set `{variable}=v1` in the app's .env"))
            }
            Self::SecretVersion { .. } => {
                Some("name it `${STACK_NAME}_NAME_${SECRET_NAME_VERSION}` in the recipe".to_owned())
            }
            Self::NoApp { .. } => {
                Some("the main service of a recipe is called `app`: its labels say which version runs".to_owned())
            }
            Self::Stack { .. } => Some("it takes the docker CLI 23 or newer; `freehold doctor` looks at it".to_owned()),
            Self::Yaml { .. } | Self::Name { .. } | Self::TooLarge { .. } => None,
        }
    }

    /// The place in a file, when it is about one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Env { at, .. }
            | Self::Modifier { at, .. }
            | Self::Text { at, .. }
            | Self::Yaml { at, .. }
            | Self::Compose { at, .. } => Some(at),
            _ => None,
        }
    }
}
