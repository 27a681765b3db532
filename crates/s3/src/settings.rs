//! Where a bucket is, how it is spoken to, and how patient we are.
//!
//! Settings come from code or from the JSON that deployments write; what they leave open is filled from the environment and the
//! files of the AWS tools (`AWS_REGION`, `AWS_ENDPOINT_URL_S3`, the profile's `region` and `endpoint_url`).

use std::path::PathBuf;
use std::time::Duration;

use freehold_model::{Sensitive, limits};
use rusty_s3::{Bucket, BucketError, UrlStyle};
use serde_json::Value as Json;

use crate::credentials::{CredentialsSource, Keys, Lookup, Profile};
use crate::error::S3Error;

/// How the bucket's name gets into the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Virtual-hosted for AWS, path for every other endpoint.
    #[default]
    Auto,
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    Virtual,
}

/// How often and how fast a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// First pause; each further one doubles, with jitter.
    pub backoff: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Longest silence of the store before an attempt is given up.
    pub silence: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: limits::S3_ATTEMPTS,
            backoff: limits::S3_BACKOFF,
            backoff_max: limits::S3_BACKOFF_MAX,
            silence: limits::S3_SILENCE,
        }
    }
}

/// Which bucket, as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the bucket.
    pub bucket: String,
    /// Address of the store with scheme; `None` means the environment's, else AWS in the region.
    pub endpoint: Option<String>,
    /// Region; `None` means the environment's, else `us-east-1`.
    pub region: Option<String>,
    /// Form of the addresses.
    pub style: Style,
    /// Who we are.
    pub credentials: CredentialsSource,
    /// PEM file with the certificate authorities to trust instead of Mozilla's; `None` means the file named by
    /// `AWS_CA_BUNDLE`, `NIX_SSL_CERT_FILE` or `SSL_CERT_FILE` if one of them is set.
    pub ca_file: Option<PathBuf>,
    /// Patience.
    pub retry: Retry,
}

/// Settings with everything looked up: what a client works with.
pub(crate) struct Resolved {
    pub(crate) bucket: Bucket,
    pub(crate) keys: Option<Keys>,
    pub(crate) ca_file: Option<PathBuf>,
    /// Scheme, host and port, for messages.
    pub(crate) endpoint: String,
}

impl Settings {
    /// A bucket of the environment's store, with the environment's credentials.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            endpoint: None,
            region: None,
            style: Style::Auto,
            credentials: CredentialsSource::Default,
            ca_file: None,
            retry: Retry::default(),
        }
    }

    /// Reads `{ bucket, endpoint?, region?, style? = "auto" | "path" | "virtual", accessKeyId?, secretAccessKey?, sessionToken?,
    /// profile?, anonymous?, caFile? }`; other attributes are left to the caller.
    ///
    /// # Errors
    /// A setting of the wrong type, or two ways of saying who we are.
    pub fn from_json(json: &Json) -> Result<Self, S3Error> {
        let bucket = text(json, "bucket")?.ok_or_else(|| setting("bucket", "it is missing"))?;
        let mut settings = Self::new(bucket);
        settings.endpoint = text(json, "endpoint")?;
        settings.region = text(json, "region")?;
        settings.ca_file = text(json, "caFile")?.map(PathBuf::from);
        settings.style = match text(json, "style")?.as_deref() {
            None | Some("auto") => Style::Auto,
            Some("path") => Style::Path,
            Some("virtual") => Style::Virtual,
            Some(other) => {
                return Err(setting("style", format!("`{other}` is none of \"auto\", \"path\", \"virtual\"")));
            }
        };
        settings.credentials = credentials_from_json(json)?;
        Ok(settings)
    }

    /// Fills in what the environment and the AWS files say.
    pub(crate) fn resolve(&self, lookup: &Lookup) -> Result<Resolved, S3Error> {
        let profile = Profile::load(lookup, &self.credentials)?;
        let region = self
            .region
            .clone()
            .or_else(|| lookup.env("AWS_REGION"))
            .or_else(|| lookup.env("AWS_DEFAULT_REGION"))
            .or_else(|| profile.region.clone())
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = self
            .endpoint
            .clone()
            .or_else(|| lookup.env("AWS_ENDPOINT_URL_S3"))
            .or_else(|| lookup.env("AWS_ENDPOINT_URL"))
            .or_else(|| profile.endpoint.clone());
        let bucket = self.address(endpoint.as_deref(), &region)?;
        let ca_file = self.ca_file.clone().or_else(|| {
            ["AWS_CA_BUNDLE", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE"]
                .iter()
                .find_map(|name| lookup.env(name))
                .map(PathBuf::from)
        });
        let keys = profile.keys(lookup, &self.credentials, &self.bucket)?;
        let endpoint = bucket.base_url().origin().ascii_serialization();
        Ok(Resolved { bucket, keys, ca_file, endpoint })
    }

    fn address(&self, endpoint: Option<&str>, region: &str) -> Result<Bucket, S3Error> {
        if self.bucket.is_empty() || self.bucket.contains(['/', ' ']) {
            return Err(setting("bucket", format!("`{}` is no name of a bucket", self.bucket)));
        }
        let url = match endpoint {
            Some(endpoint) => url::Url::parse(endpoint).map_err(|e| {
                let example =
                    if endpoint.contains("://") { String::new() } else { format!(": write `https://{endpoint}`") };
                setting("endpoint", format!("`{endpoint}` is no address ({e}){example}"))
            })?,
            None => url::Url::parse(&format!("https://s3.{region}.amazonaws.com"))
                .map_err(|_| setting("region", format!("`{region}` is no name of a region")))?,
        };
        let style = match self.style {
            Style::Path => UrlStyle::Path,
            Style::Virtual => UrlStyle::VirtualHost,
            // AWS's certificates do not cover a further dot.
            Style::Auto if endpoint.is_none() && !self.bucket.contains('.') => UrlStyle::VirtualHost,
            Style::Auto => UrlStyle::Path,
        };
        Bucket::new(url, style, self.bucket.clone(), region.to_owned()).map_err(|e| match e {
            BucketError::UnsupportedScheme => setting("endpoint", "its scheme must be http or https"),
            BucketError::MissingHost => setting("endpoint", "it names no host"),
            BucketError::ParseError(_) => {
                setting("bucket", format!("`{}` cannot be part of a host name: set `style = \"path\"`", self.bucket))
            }
        })
    }
}

fn credentials_from_json(json: &Json) -> Result<CredentialsSource, S3Error> {
    let profile = text(json, "profile")?;
    let anonymous = match json.get("anonymous") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(anonymous)) => *anonymous,
        Some(_) => return Err(setting("anonymous", "it must be true or false")),
    };
    let id = text(json, "accessKeyId")?;
    let secret = text(json, "secretAccessKey")?;
    let ways = u8::from(profile.is_some()) + u8::from(anonymous) + u8::from(id.is_some() || secret.is_some());
    if ways > 1 {
        return Err(setting("profile", "give one of `profile`, `accessKeyId` with `secretAccessKey`, or `anonymous`"));
    }
    match (id, secret) {
        (Some(access_key_id), Some(secret)) => Ok(CredentialsSource::Keys(Keys {
            access_key_id,
            secret_access_key: Sensitive::new(secret),
            session_token: text(json, "sessionToken")?.map(Sensitive::new),
        })),
        (Some(_), None) => Err(setting("secretAccessKey", "it is missing beside `accessKeyId`")),
        (None, Some(_)) => Err(setting("accessKeyId", "it is missing beside `secretAccessKey`")),
        (None, None) if anonymous => Ok(CredentialsSource::Anonymous),
        (None, None) => Ok(profile.map_or(CredentialsSource::Default, CredentialsSource::Profile)),
    }
}

fn text(json: &Json, name: &'static str) -> Result<Option<String>, S3Error> {
    match json.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(setting(name, "it must be a string")),
    }
}

fn setting(name: &'static str, reason: impl Into<String>) -> S3Error {
    S3Error::Setting { name, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolve(json: &Json, env: &[(&str, &str)]) -> Result<Resolved, S3Error> {
        Settings::from_json(json)?.resolve(&Lookup::fixed(env))
    }

    fn address(json: &Json, env: &[(&str, &str)]) -> String {
        resolve(json, env).map_or_else(|e| e.to_string(), |r| r.bucket.object_url("a b").to_string())
    }

    #[test]
    fn aws_is_virtual_hosted_and_other_endpoints_are_path_style() {
        let anonymous = json!({ "bucket": "b", "anonymous": true, "region": "eu-west-1" });
        assert_eq!(address(&anonymous, &[]), "https://b.s3.eu-west-1.amazonaws.com/a%20b");
        let own = json!({ "bucket": "b", "anonymous": true, "endpoint": "http://127.0.0.1:9000" });
        assert_eq!(address(&own, &[]), "http://127.0.0.1:9000/b/a%20b");
        let virtual_hosted =
            json!({ "bucket": "b", "anonymous": true, "endpoint": "https://s3.example.org", "style": "virtual" });
        assert_eq!(address(&virtual_hosted, &[]), "https://b.s3.example.org/a%20b");
        let dotted = json!({ "bucket": "a.b", "anonymous": true });
        assert_eq!(address(&dotted, &[]), "https://s3.us-east-1.amazonaws.com/a.b/a%20b");
    }

    #[test]
    fn the_environment_fills_in_what_the_settings_leave_open() {
        let env = [("AWS_ENDPOINT_URL_S3", "https://s3.example.org"), ("AWS_REGION", "garage")];
        let resolved = resolve(&json!({ "bucket": "b", "anonymous": true }), &env).unwrap();
        assert_eq!(resolved.bucket.region(), "garage");
        assert_eq!(resolved.endpoint, "https://s3.example.org");
    }

    #[test]
    fn mistakes_in_settings_say_what_to_write_instead() {
        let said = |json: &Json| address(json, &[]);
        assert_eq!(said(&json!({})), "s3 setting `bucket`: it is missing");
        assert_eq!(
            said(&json!({ "bucket": "b", "endpoint": "s3.example.org" })),
            "s3 setting `endpoint`: `s3.example.org` is no address (relative URL without a base): write `https://s3.example.org`"
        );
        assert_eq!(
            said(&json!({ "bucket": "b", "accessKeyId": "AK" })),
            "s3 setting `secretAccessKey`: it is missing beside `accessKeyId`"
        );
        assert_eq!(
            said(&json!({ "bucket": "b", "style": "vhost" })),
            "s3 setting `style`: `vhost` is none of \"auto\", \"path\", \"virtual\""
        );
        assert_eq!(
            said(&json!({ "bucket": "b", "endpoint": "http://127.0.0.1", "style": "virtual" })),
            "s3 setting `bucket`: `b` cannot be part of a host name: set `style = \"path\"`"
        );
    }

    #[test]
    fn settings_shown_for_debugging_hold_no_secret() {
        let settings = Settings::from_json(
            &json!({ "bucket": "b", "accessKeyId": "AK", "secretAccessKey": "canary", "sessionToken": "canary" }),
        )
        .unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
    }
}
