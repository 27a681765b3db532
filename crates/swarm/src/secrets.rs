//! Secrets of the Swarm: made, never overwritten, listed without values, removed when nothing uses them.

use std::collections::{BTreeSet, HashMap};

use bollard::models::SecretSpec;
use freehold_model::Sensitive;

use crate::{Docker, SwarmError};

/// A secret that the Swarm has; nobody can read its value back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SwarmSecret {
    /// Its name, with the version.
    pub name: String,
    /// Docker's own identity of it.
    pub id: String,
    /// When it was made, as Docker writes it.
    pub created: String,
    /// The stack that it was made for; `None` when others made it.
    pub stack: Option<String>,
}

/// Not the label of the stack: `docker stack rm` and abra remove all that has it.
const OF: &str = "freehold.stack";

impl Docker {
    /// The secrets whose names begin so, in order.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn secrets(&self, prefix: &str) -> Result<Vec<SwarmSecret>, SwarmError> {
        let all =
            self.ask("list secrets", self.client.list_secrets(None::<bollard::query_parameters::ListSecretsOptions>))?;
        let named = all.into_iter().filter_map(|secret| {
            let spec = secret.spec?;
            let name = spec.name?;
            let stack = spec.labels.unwrap_or_default().remove(OF);
            let created = secret.created_at.map(|at| at.to_string()).unwrap_or_default();
            name.starts_with(prefix).then(|| SwarmSecret { name, id: secret.id.unwrap_or_default(), created, stack })
        });
        let mut named: Vec<SwarmSecret> = named.collect();
        named.sort();
        Ok(named)
    }

    /// Makes a secret of a stack.
    ///
    /// # Errors
    /// [`SwarmError::SecretExists`], and what Docker refuses (more than 500 KiB).
    pub fn create_secret(&self, stack: &str, name: &str, value: &Sensitive<Vec<u8>>) -> Result<(), SwarmError> {
        if self.secrets(name)?.iter().any(|secret| secret.name == name) {
            return Err(SwarmError::SecretExists { name: name.to_owned() });
        }
        let spec = SecretSpec {
            name: Some(name.to_owned()),
            labels: Some(HashMap::from([(OF.to_owned(), stack.to_owned())])),
            data: Some(base64(value.expose())),
            ..SecretSpec::default()
        };
        self.ask(format!("make the secret `{name}`"), self.client.create_secret(spec)).map(drop)
    }

    /// Removes a secret; one that is gone is as good. Docker refuses while a service uses it.
    ///
    /// # Errors
    /// What Docker refuses.
    pub fn remove_secret(&self, name: &str) -> Result<(), SwarmError> {
        let Some(found) = self.secrets(name)?.into_iter().find(|secret| secret.name == name) else { return Ok(()) };
        match self.ask(format!("remove the secret `{name}`"), self.client.delete_secret(&found.id)) {
            Err(error) if error.is_missing() => Ok(()),
            result => result,
        }
    }

    /// The names of all secrets that a service of this stack uses.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn used_secrets(&self, stack: &str) -> Result<BTreeSet<String>, SwarmError> {
        let services = self.raw_services(stack)?;
        let containers =
            services.into_iter().filter_map(|service| service.spec?.task_template?.container_spec?.secrets).flatten();
        Ok(containers.filter_map(|secret| secret.secret_name).collect())
    }
}

/// Base64 with padding, as Docker's API takes values.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get((word >> shift & 63) as usize).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn values_are_written_as_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
