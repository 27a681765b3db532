//! Who we are to a store: keys given outright, the environment, or a profile of the AWS tools' files.
//!
//! Only static keys are read from profiles. A profile that needs a login or a program (`sso_…`, `role_arn`,
//! `credential_process`) is refused by name, with the way round it: `aws configure export-credentials`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use freehold_model::Sensitive;

use crate::error::S3Error;

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CredentialsSource {
    /// `AWS_ACCESS_KEY_ID` and its fellows, else the profile `AWS_PROFILE`, else the profile `default`.
    #[default]
    Default,
    /// A profile of `~/.aws/credentials` and `~/.aws/config`.
    Profile(String),
    /// These.
    Keys(Keys),
    /// None: requests are not signed.
    Anonymous,
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Its public part.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Sensitive<String>,
    /// For temporary credentials.
    pub session_token: Option<Sensitive<String>>,
}

/// The environment, in a form that tests can make up.
pub(crate) struct Lookup {
    variables: Option<BTreeMap<String, String>>,
}

impl Lookup {
    /// The process's own environment.
    pub(crate) fn process() -> Self {
        Self { variables: None }
    }

    #[cfg(test)]
    pub(crate) fn fixed(variables: &[(&str, &str)]) -> Self {
        Self { variables: Some(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()) }
    }

    /// A variable that is set and not empty.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        match &self.variables {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        }
        .filter(|value| !value.is_empty())
    }

    fn aws_file(&self, variable: &str, name: &str) -> Option<PathBuf> {
        match self.env(variable) {
            Some(path) => Some(PathBuf::from(path)),
            None => Some(Path::new(&self.env("HOME")?).join(".aws").join(name)),
        }
    }
}

/// What the AWS files say of one profile.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    name: String,
    asked_for: bool,
    found: bool,
    keys: Option<Keys>,
    unsupported: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

impl Profile {
    /// Reads the profile that `source` means; no profile when it means none.
    pub(crate) fn load(lookup: &Lookup, source: &CredentialsSource) -> Result<Self, S3Error> {
        let (name, asked_for) = match source {
            CredentialsSource::Profile(name) => (name.clone(), true),
            CredentialsSource::Default => match lookup.env("AWS_PROFILE") {
                Some(name) => (name, true),
                None => ("default".to_owned(), false),
            },
            CredentialsSource::Keys(_) | CredentialsSource::Anonymous => return Ok(Self::default()),
        };
        let mut values = BTreeMap::new();
        let mut found = false;
        for (variable, file, section) in [
            ("AWS_CONFIG_FILE", "config", if name == "default" { name.clone() } else { format!("profile {name}") }),
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name.clone()),
        ] {
            let Some(path) = lookup.aws_file(variable, file) else { continue };
            let text = match fs_err::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(S3Error::ReadFile { path, source }),
            };
            if let Some(section) = parse_ini(&text).remove(&section) {
                found = true;
                values.extend(section);
            }
        }
        let mut take = |key: &str| values.remove(key).filter(|value: &String| !value.is_empty());
        let keys = match (take("aws_access_key_id"), take("aws_secret_access_key")) {
            (Some(access_key_id), Some(secret)) => Some(Keys {
                access_key_id,
                secret_access_key: Sensitive::new(secret),
                session_token: take("aws_session_token").map(Sensitive::new),
            }),
            _ => None,
        };
        let (region, endpoint) = (take("region"), take("s3.endpoint_url").or_else(|| take("endpoint_url")));
        let unsupported = ["credential_process", "role_arn", "sso_session", "sso_start_url", "web_identity_token_file"]
            .iter()
            .find(|key| values.contains_key(**key))
            .map(|key| (*key).to_owned());
        Ok(Self { name, asked_for, found, keys, unsupported, region, endpoint })
    }

    /// The keys to sign with; `None` for anonymous requests.
    pub(crate) fn keys(
        self,
        lookup: &Lookup,
        source: &CredentialsSource,
        bucket: &str,
    ) -> Result<Option<Keys>, S3Error> {
        match source {
            CredentialsSource::Keys(keys) => return Ok(Some(keys.clone())),
            CredentialsSource::Anonymous => return Ok(None),
            CredentialsSource::Default => {
                if let Some(keys) = keys_of_environment(lookup, bucket)? {
                    return Ok(Some(keys));
                }
            }
            CredentialsSource::Profile(_) => {}
        }
        let reason = match self {
            Self { keys: Some(keys), .. } => return Ok(Some(keys)),
            Self { unsupported: Some(key), name, .. } => format!(
                "profile `{name}` uses `{key}`, which is not supported; `aws configure export-credentials --profile {name} --format env` turns it into variables"
            ),
            Self { found: true, name, .. } => format!("profile `{name}` holds no access key"),
            Self { asked_for: true, name, .. } => format!("there is no profile `{name}`"),
            _ => "neither the environment nor a profile `default` has any".to_owned(),
        };
        Err(S3Error::NoCredentials { bucket: bucket.to_owned(), reason })
    }
}

fn keys_of_environment(lookup: &Lookup, bucket: &str) -> Result<Option<Keys>, S3Error> {
    match (lookup.env("AWS_ACCESS_KEY_ID"), lookup.env("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret)) => Ok(Some(Keys {
            access_key_id,
            secret_access_key: Sensitive::new(secret),
            session_token: lookup.env("AWS_SESSION_TOKEN").map(Sensitive::new),
        })),
        (Some(_), None) => Err(S3Error::NoCredentials {
            bucket: bucket.to_owned(),
            reason: "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not".to_owned(),
        }),
        _ => Ok(None),
    }
}

/// The AWS tools' dialect: `[section]`, `key = value`, `#` and `;` comments at line starts, nested `key =` blocks (flattened to
/// `key.sub`).
fn parse_ini(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.split_whitespace().collect::<Vec<_>>().join(" ");
            block = None;
            sections.entry(section.clone()).or_default();
            continue;
        }
        let Some((key, value)) = trimmed.split_once('=') else { continue };
        let (key, value) = (key.trim().to_lowercase(), value.split(" #").next().unwrap_or_default().trim().to_owned());
        let nested = line.starts_with([' ', '\t']);
        let key = match &block {
            Some(block) if nested => format!("{block}.{key}"),
            _ => {
                block = value.is_empty().then(|| key.clone());
                key
            }
        };
        sections.entry(section.clone()).or_default().insert(key, value);
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
[default]
region = eu-central-1
[profile backup]
region=garage
s3 =
    endpoint_url = https://s3.example.org
    addressing_style = path
[profile work]
sso_session = corp
";
    const CREDENTIALS: &str = "\
# made by hand
[backup]
aws_access_key_id = GK1
aws_secret_access_key = s3cr+t=/x
";

    fn files(test: &str) -> (PathBuf, Vec<(&'static str, String)>) {
        let dir = std::env::temp_dir().join(format!("freehold-s3-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config"), CONFIG).unwrap();
        std::fs::write(dir.join("credentials"), CREDENTIALS).unwrap();
        let variables = vec![
            ("AWS_CONFIG_FILE", dir.join("config").display().to_string()),
            ("AWS_SHARED_CREDENTIALS_FILE", dir.join("credentials").display().to_string()),
        ];
        (dir, variables)
    }

    fn lookup(variables: &[(&'static str, String)], more: &[(&str, &str)]) -> Lookup {
        let mut all: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
        all.extend(more);
        Lookup::fixed(&all)
    }

    #[test]
    fn a_profile_gives_keys_region_and_endpoint() {
        let (dir, variables) = files("profile");
        let lookup = lookup(&variables, &[]);
        let source = CredentialsSource::Profile("backup".to_owned());
        let profile = Profile::load(&lookup, &source).unwrap();
        assert_eq!(profile.region.as_deref(), Some("garage"));
        assert_eq!(profile.endpoint.as_deref(), Some("https://s3.example.org"));
        let keys = profile.keys(&lookup, &source, "b").unwrap().unwrap();
        assert_eq!((keys.access_key_id.as_str(), keys.secret_access_key.expose().as_str()), ("GK1", "s3cr+t=/x"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn variables_win_over_profiles_unless_a_profile_is_asked_for() {
        let (dir, variables) = files("order");
        let lookup = lookup(
            &variables,
            &[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_SESSION_TOKEN", "t")],
        );
        let of = |source: &CredentialsSource| {
            Profile::load(&lookup, source).unwrap().keys(&lookup, source, "b").unwrap().unwrap().access_key_id
        };
        assert_eq!(of(&CredentialsSource::Default), "ENV");
        assert_eq!(of(&CredentialsSource::Profile("backup".to_owned())), "GK1");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_profile_that_cannot_serve_is_named_with_the_reason() {
        let (dir, variables) = files("reasons");
        let said = |source: &CredentialsSource, more: &[(&str, &str)]| {
            let lookup = lookup(&variables, more);
            Profile::load(&lookup, source).unwrap().keys(&lookup, source, "b").unwrap_err().to_string()
        };
        assert_eq!(
            said(&CredentialsSource::Profile("home".to_owned()), &[]),
            "no credentials for bucket `b`: there is no profile `home`"
        );
        assert!(
            said(&CredentialsSource::Default, &[("AWS_PROFILE", "work")])
                .contains("profile `work` uses `sso_session`, which is not supported")
        );
        assert_eq!(
            said(&CredentialsSource::Default, &[]),
            "no credentials for bucket `b`: profile `default` holds no access key"
        );
        assert_eq!(
            said(&CredentialsSource::Default, &[("AWS_ACCESS_KEY_ID", "x")]),
            "no credentials for bucket `b`: AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not"
        );
        std::fs::remove_dir_all(dir).unwrap();
    }
}
