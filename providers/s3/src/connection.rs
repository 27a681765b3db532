//! Whose store: the provider's settings, with what a resource says beside, as clients that are shared between requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use freehold_model::{ErrorKind, Value};
use freehold_provider::sdk::{Context, Failure};
use freehold_s3::{Client, S3Error, Settings};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// Provider-wide settings. Without credentials here, those of the environment and of the AWS tools' files are used.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "read through the context; this describes them")]
pub(crate) struct Config {
    /// Address of the store. Default: `AWS_ENDPOINT_URL_S3`, else AWS.
    endpoint: Option<String>,
    /// Region. Default: `AWS_REGION`, else `us-east-1`.
    region: Option<String>,
    /// How the bucket's name gets into addresses: `auto`, `path`, `virtual`.
    style: Option<String>,
    /// Access key.
    access_key_id: Option<String>,
    /// Its secret.
    #[schemars(extend("x-sensitive" = true))]
    secret_access_key: Option<String>,
    /// For temporary credentials.
    #[schemars(extend("x-sensitive" = true))]
    session_token: Option<String>,
    /// Profile of `~/.aws/credentials` and `~/.aws/config`.
    profile: Option<String>,
    /// Send requests without a signature.
    anonymous: Option<bool>,
    /// PEM file with the certificate authorities to trust.
    ca_file: Option<String>,
}

/// Which store, as a resource says it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) region: Option<&'a str>,
}

/// Clients by what they are made of, so that connections and what was found out about a store are kept.
#[derive(Clone, Default)]
pub(crate) struct Connections {
    clients: Arc<Mutex<HashMap<String, Client>>>,
}

impl Connections {
    /// The client for a bucket.
    pub(crate) fn client(&self, ctx: &Context, place: &Place<'_>) -> Result<Client, Failure> {
        let mut json = match ctx.config() {
            Value::Map(_) => ctx.config().to_clear_json(),
            _ => json!({}),
        };
        json["bucket"] = json!(place.bucket);
        for (name, value) in [("endpoint", place.endpoint), ("region", place.region)] {
            if let Some(value) = value {
                json[name] = json!(value);
            }
        }
        if let Some(path) = json["caFile"].as_str() {
            json["caFile"] = json!(ctx.resolve(path));
        }
        // Holds credentials: never shown, and gone with the process.
        let key = json.to_string();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = settings(&json).and_then(|settings| Client::new(&settings)).map_err(failure)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn settings(json: &Json) -> Result<Settings, S3Error> {
    Settings::from_json(json)
}

/// A failure of a store as one of the provider.
#[allow(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
pub(crate) fn failure(error: S3Error) -> Failure {
    let failure = Failure::new(error.kind(), error.to_string());
    let failure = match std::error::Error::source(&error) {
        Some(source) => failure.because(source),
        None => failure,
    };
    // The client has been patient already: asking again at once is of no use, later may be.
    match (error.hint(), error.kind()) {
        (Some(hint), _) => failure.hint(hint),
        (None, ErrorKind::Transient) => failure.hint("apply again when the store is well"),
        (None, _) => failure,
    }
}
