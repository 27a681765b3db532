//! Signatures inside a manifest: over the canonical JSON (RFC 8785) of everything but the signatures themselves.
//!
//! Inside, so that a manifest and its signature can never be of two publishes. Keys are Nix's signing keys; whether a signature is
//! wanted is the agent's decision.

use freehold_nar::{SecretKey, TrustedKeys};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::ManifestError;
use crate::manifest::Manifest;

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestSignature {
    /// The name of the key that made it.
    pub key: String,
    /// Its 64 bytes in base64.
    pub sig: String,
}

impl Manifest {
    /// The same, signed by this key alone.
    #[must_use]
    pub fn signed(mut self, key: &SecretKey) -> Self {
        self.signatures.clear();
        let text = key.sign(&canonical(serde_json::to_value(&self).unwrap_or_default()));
        let sig = text.split_once(':').map_or_else(String::new, |(_, sig)| sig.to_owned());
        self.signatures.push(ManifestSignature { key: key.name().to_owned(), sig });
        self
    }

    /// The name of the trusted key that signed the manifest in `bytes`, which must be one.
    ///
    /// # Errors
    /// It is not signed, not by a key that is trusted, or was changed after it was signed.
    pub fn verify(bytes: &[u8], trusted: &TrustedKeys) -> Result<String, ManifestError> {
        Self::parse(bytes)?.verify_read(bytes, trusted)
    }

    /// The same of a manifest that was parsed from these bytes.
    ///
    /// # Errors
    /// As [`Manifest::verify`].
    pub fn verify_read(&self, bytes: &[u8], trusted: &TrustedKeys) -> Result<String, ManifestError> {
        // What was read is what is verified: fields that were left out stay left out.
        let whole: Json = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Read { at: "/".to_owned(), reason: error.to_string() })?;
        if self.signatures.is_empty() {
            return Err(ManifestError::Unsigned);
        }
        let message = canonical(whole);
        let texts: Vec<String> = self.signatures.iter().map(|s| format!("{}:{}", s.key, s.sig)).collect();
        if let Some(key) = trusted.signer(&message, &texts) {
            return Ok(key.name().to_owned());
        }
        let by: Vec<String> = self.signatures.iter().map(|s| s.key.clone()).collect();
        match by.iter().find(|name| trusted.keys().iter().any(|key| key.name() == name.as_str())) {
            Some(key) => Err(ManifestError::Tampered { key: key.clone() }),
            None => Err(ManifestError::Untrusted { by }),
        }
    }
}

/// The bytes that are signed.
fn canonical(mut whole: Json) -> Vec<u8> {
    if let Json::Object(fields) = &mut whole {
        fields.remove("signatures");
    }
    // It is made of JSON values: there is nothing that cannot be written.
    serde_json_canonicalizer::to_vec(&whole).unwrap_or_default()
}
