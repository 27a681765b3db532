//! Secrets of an app: which there are, made up, taken from files, rotated, removed when nothing uses them.
//!
//! A value goes from its source to Docker and nowhere else. One that is in the Swarm is never overwritten: another value is
//! another version, whose name the `.env` tells.

use std::collections::BTreeMap;

use freehold_model::Sensitive;
use freehold_recipe::{AppType, Secret, Stack, next_version, split_version};
use freehold_swarm::{Docker, SwarmSecret};

use crate::{App, AppError, AppRelease, Composed, Places, Rotation, SecretSource, random};

/// A secret that an app needs, and whether the Swarm has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretState {
    /// What the recipe says of it.
    pub secret: Secret,
    /// Whether the Swarm has this version.
    pub exists: bool,
    /// Other versions of it that the Swarm has.
    pub others: Vec<String>,
}

/// What was put into the Swarm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inserted {
    /// The secret's key.
    pub key: String,
    /// Its name in the Swarm.
    pub name: String,
}

impl App {
    /// The secrets that the app needs.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn secrets(&self, composed: &Composed, docker: &Docker) -> Result<Vec<SecretState>, AppError> {
        let there = docker.secrets("")?;
        let states = composed.secrets.iter().map(|secret| SecretState {
            exists: there.iter().any(|one| one.name == secret.name),
            others: other_versions(&secret.name, &self.stack, &there),
            secret: secret.clone(),
        });
        Ok(states.collect())
    }

    /// Makes up every secret that is missing and may be made up, or the one that is named.
    ///
    /// # Errors
    /// There is no such secret, it exists, or the Swarm refuses.
    pub fn generate_secrets(
        &self,
        composed: &Composed,
        docker: &Docker,
        only: Option<&str>,
    ) -> Result<Vec<Inserted>, AppError> {
        let wanted = match only {
            Some(name) => vec![self.secret(composed, name)?],
            None => {
                // One that a deployment gives the value of is not made up when it is gone.
                let is_given = |key: &str| {
                    self.settings.secrets.iter().any(|one| {
                        one.name == key && one.file.is_none() && one.sops.is_none() && one.rotation == Rotation::Content
                    })
                };
                let states = self.secrets(composed, docker)?.into_iter();
                let missing =
                    states.filter(|state| !state.exists && state.secret.generate && !is_given(&state.secret.key));
                missing.map(|state| state.secret).collect()
            }
        };
        let mut made = Vec::new();
        for secret in wanted {
            docker.create_secret(&self.stack, &secret.name, &random::secret(&secret)?)?;
            made.push(Inserted { key: secret.key, name: secret.name });
        }
        Ok(made)
    }

    /// Puts a value into the Swarm, as the version that the app names.
    ///
    /// # Errors
    /// There is no such secret, it exists, or the Swarm refuses.
    pub fn insert_secret(
        &self,
        composed: &Composed,
        docker: &Docker,
        name: &str,
        value: &Sensitive<Vec<u8>>,
    ) -> Result<Inserted, AppError> {
        let secret = self.secret(composed, name)?;
        docker.create_secret(&self.stack, &secret.name, value)?;
        Ok(Inserted { key: secret.key, name: secret.name })
    }

    /// Makes the next version of a secret and names it in the `.env`. The next deploy uses it.
    ///
    /// # Errors
    /// There is no such secret, no variable holds its version, or the Swarm refuses.
    pub fn rotate_secret(
        &mut self,
        places: &Places,
        composed: &Composed,
        docker: &Docker,
        name: &str,
        value: Option<&Sensitive<Vec<u8>>>,
    ) -> Result<Inserted, AppError> {
        let secret = self.secret(composed, name)?;
        let Some(variable) = secret.variable.clone() else { return Err(AppError::NotRotatable { name: secret.key }) };
        let stem = split_version(&secret.name).map_or("", |(stem, _)| stem);
        let there = docker.secrets(stem)?;
        let mut version = next_version(&secret.version);
        // One that was rotated to before and left is not taken for the new one.
        while there.iter().any(|one| one.name == format!("{stem}_{version}")) {
            version = next_version(&version);
        }
        let made_up;
        let value = match value {
            Some(value) => value,
            None => {
                made_up = random::secret(&secret)?;
                &made_up
            }
        };
        let inserted = Inserted { key: secret.key.clone(), name: format!("{stem}_{version}") };
        docker.create_secret(&self.stack, &inserted.name, value)?;
        self.set(places, &BTreeMap::from([(variable, version)]))?;
        Ok(inserted)
    }

    /// Removes versions of the app's secrets that no service uses, that its `.env` does not name, and that what was good last does
    /// not need: a version that is being tried may still be taken back.
    ///
    /// # Errors
    /// Somebody else works on the app, or what the Swarm refuses.
    pub fn prune_secrets(
        &mut self,
        places: &Places,
        composed: &Composed,
        docker: &Docker,
    ) -> Result<Vec<String>, AppError> {
        let file = self.lock(places)?;
        let mut spared = docker.used_secrets(&self.stack)?;
        let record = file.read()?;
        let tried = record.target.as_ref().filter(|_| !record.stage.is_settled());
        for release in tried.into_iter().chain(&record.last_good) {
            let Some(release) = AppRelease::parse(release.id()) else { continue };
            let kept = crate::composed::Release::of(self, &release).stack()?;
            spared.extend(kept.iter().flat_map(Stack::secrets).map(|secret| secret.name));
        }
        let own = self.all_secrets(places, docker)?;
        let others = self.secrets(composed, docker)?.into_iter().flat_map(|state| state.others);
        self.remove_all(docker, others.filter(|name| own.contains(name) && !spared.contains(name)).collect())
    }

    /// Removes one secret, as the `.env` names it.
    ///
    /// # Errors
    /// There is no such secret, a service uses it, or somebody else works on the app.
    pub fn remove_secret(
        &mut self,
        places: &Places,
        composed: &Composed,
        docker: &Docker,
        name: &str,
    ) -> Result<Vec<String>, AppError> {
        let _lock = self.lock(places)?;
        let secret = self.secret(composed, name)?;
        let exists = docker.secrets(&secret.name)?.iter().any(|one| one.name == secret.name);
        self.remove_all(docker, if exists { vec![secret.name] } else { Vec::new() })
    }

    /// Every secret of the app that the Swarm has, whatever version of the recipe it was for. An app whose stack's name goes on
    /// where that of this one ends keeps its own.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn all_secrets(&self, places: &Places, docker: &Docker) -> Result<Vec<String>, AppError> {
        let mut longer: Vec<String> = docker.stacks()?.into_keys().collect();
        for path in places.abra.apps()? {
            if let Ok(env) = places.abra.read(&path) {
                longer.extend(freehold_recipe::stack_name(&path.domain, &env));
            }
        }
        let prefix = format!("{}_", self.stack);
        longer.retain(|stack| stack.starts_with(&prefix));
        let is_of_other = |name: &str| longer.iter().any(|stack| name.starts_with(&format!("{stack}_")));
        let ours = docker.secrets(&prefix)?.into_iter().filter(|secret| match &secret.stack {
            Some(stack) => *stack == self.stack,
            None => !is_of_other(&secret.name),
        });
        Ok(ours.map(|secret| secret.name).collect())
    }

    /// Removes secrets that no service uses. None is removed when a service of the app uses one of them; what Docker itself refuses
    /// stops it in the middle.
    ///
    /// # Errors
    /// [`AppError::SecretsUsed`], and what the Swarm refuses.
    pub fn remove_all(&self, docker: &Docker, names: Vec<String>) -> Result<Vec<String>, AppError> {
        let used = docker.used_secrets(&self.stack)?;
        let still: Vec<String> = names.iter().filter(|name| used.contains(*name)).cloned().collect();
        if !still.is_empty() {
            return Err(AppError::SecretsUsed { domain: self.domain().to_owned(), names: still });
        }
        names.iter().try_for_each(|name| docker.remove_secret(name))?;
        Ok(names)
    }

    /// Names in the `.env` the versions that are known without the recipe: said, or derived from the value. A recipe may leave the
    /// variable out of its sample, and cannot be composed without it.
    ///
    /// # Errors
    /// A file cannot be read, or the `.env` not be written.
    pub fn name_versions(&mut self, places: &Places) -> Result<(), AppError> {
        let mut versions = BTreeMap::new();
        for source in &self.settings.secrets {
            let Some(variable) = source.version_variable.clone() else { continue };
            let Some(value) = self.value_of(source)? else { continue };
            versions.extend(version_of(places, source, &value)?.map(|version| (variable, version)));
        }
        self.set(places, &versions)
    }

    /// The value that a secret is to have; `None` for one that is made up.
    fn value_of(&self, source: &SecretSource) -> Result<Option<Sensitive<Vec<u8>>>, AppError> {
        match (self.values.get(&source.name), &source.sops, &source.file) {
            (Some(value), _, _) => Ok(Some(value.clone())),
            (None, Some(sops), _) => crate::decrypt(&sops.file, sops.key.as_deref()).map(Some),
            (None, None, Some(file)) => {
                let value = fs_err::read(file).map_err(AppError::file("read the secret", file))?;
                Ok(Some(Sensitive::new(value)))
            }
            (None, None, None) => Ok(None),
        }
    }

    /// Brings the secrets that come from files of this host into the Swarm, and makes up what is missing when the settings say so.
    /// Whether the `.env` was changed, because a version is derived from a value. One that this version of the recipe does not have
    /// is told and left out: it is for another version, and what runs is looked after all the same. Where nothing runs yet (`is_first`)
    /// it is a mistake: with another name the right one would be made up.
    ///
    /// # Errors
    /// A file cannot be read, or the Swarm refuses; the app has no such secret.
    pub fn supply_secrets(
        &mut self,
        places: &Places,
        composed: &Composed,
        docker: &Docker,
        is_first: bool,
        tell: &dyn Fn(&str),
    ) -> Result<bool, AppError> {
        let there = docker.secrets("")?;
        let mut versions = BTreeMap::new();
        for source in self.settings.secrets.clone() {
            let secret = match self.secret(composed, &source.name) {
                Ok(secret) => secret,
                Err(error) if is_first => return Err(error),
                Err(error) => {
                    tell(&self.unknown_secret(composed, &source.name, &error));
                    continue;
                }
            };
            let Some(value) = self.value_of(&source)? else { continue };
            let (name, version) = named(places, &secret, &source, &value)?;
            if let Some((variable, version)) = version {
                versions.insert(variable, version);
            }
            if !there.iter().any(|one| one.name == name) {
                docker.create_secret(&self.stack, &name, &value)?;
            }
        }
        let before = self.env.clone();
        self.set(places, &versions)?;
        if self.settings.generate_secrets && before == self.env {
            self.generate_secrets(composed, docker, None)?;
        }
        Ok(before != self.env)
    }

    /// What is said of a secret that is declared and not used.
    fn unknown_secret(&self, composed: &Composed, name: &str, error: &AppError) -> String {
        let version = AppType::of(&composed.env).ok().and_then(|kind| kind.pin);
        let at = version.map(|pin| format!(" at {pin}")).unwrap_or_default();
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("the declared secret `{name}` is left out: the recipe has none of that name{at}{hint}")
    }

    fn secret(&self, composed: &Composed, name: &str) -> Result<Secret, AppError> {
        let found = composed.secrets.iter().find(|secret| secret.key == name);
        let known = || composed.secrets.iter().map(|secret| secret.key.clone()).collect();
        found.cloned().ok_or_else(|| AppError::NoSecret { name: name.to_owned(), known: known() })
    }
}

/// Versions of a secret beside this one. Another stack's secret may look like one: of the stack `shop` the key `db_password`, and of
/// `shop_db` the key `password`.
fn other_versions(name: &str, stack: &str, there: &[SwarmSecret]) -> Vec<String> {
    let Some((stem, _)) = split_version(name) else { return Vec::new() };
    let is_other = |one: &&SwarmSecret| {
        let is_ours = one.stack.as_deref().is_none_or(|of| of == stack);
        is_ours && one.name != name && split_version(&one.name).is_some_and(|(of, _)| of == stem)
    };
    there.iter().filter(is_other).map(|one| one.name.clone()).collect()
}

/// What a secret from a file is called, and the variable that has to say so.
fn named(
    places: &Places,
    secret: &Secret,
    source: &SecretSource,
    value: &Sensitive<Vec<u8>>,
) -> Result<(String, Option<(String, String)>), AppError> {
    let Some(version) = version_of(places, source, value)? else { return Ok((secret.name.clone(), None)) };
    let variable = source.version_variable.clone().or_else(|| secret.variable.clone());
    let Some(variable) = variable else { return Err(AppError::NotRotatable { name: secret.key.clone() }) };
    let stem = split_version(&secret.name).map_or(secret.name.as_str(), |(stem, _)| stem);
    Ok((format!("{stem}_{version}"), Some((variable, version))))
}

/// The version that is said, or that the content gives; `None` for what the `.env` says.
fn version_of(places: &Places, source: &SecretSource, value: &Sensitive<Vec<u8>>) -> Result<Option<String>, AppError> {
    Ok(match (source.rotation, &source.version) {
        (_, Some(version)) => Some(version.clone()),
        (Rotation::Version, None) => None,
        (Rotation::Content, None) => Some(crate::version_key::version(places, value.expose())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_another_stacks_secret_are_not_ours() {
        let secret = |name: &str, stack: Option<&str>| SwarmSecret {
            name: name.to_owned(),
            id: String::new(),
            created: String::new(),
            stack: stack.map(str::to_owned),
        };
        let there = [
            secret("shop_db_password_v1", Some("shop")),
            secret("shop_db_password_v2", Some("shop")),
            secret("shop_db_password_v3", Some("shop_db")),
            // As abra makes them.
            secret("shop_db_password_v4", None),
            secret("shop_db_v1", Some("shop")),
        ];
        let others = |stack: &str| other_versions("shop_db_password_v2", stack, &there);
        assert_eq!(others("shop"), ["shop_db_password_v1", "shop_db_password_v4"]);
        assert_eq!(others("shop_db"), ["shop_db_password_v3", "shop_db_password_v4"]);
    }
}
