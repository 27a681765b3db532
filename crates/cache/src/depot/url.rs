//! Addresses of depots, as Nix writes those of binary caches.

use std::path::PathBuf;

use freehold_s3::{CredentialsSource, Settings};
use url::Url;

use crate::error::CacheError;

/// Settings of Nix's stores that say nothing of where a cache is, so that an address may be shared with Nix.
const NIX_ONLY: [&str; 19] = [
    "addressing-style",
    "buffer-size",
    "compression-level",
    "index-debug-info",
    "local-nar-cache",
    "log-compression",
    "ls-compression",
    "multipart-upload",
    "narinfo-compression",
    "parallel-compression",
    "path-info-cache-size",
    "priority",
    "secret-key",
    "store",
    "system-features",
    "trusted",
    "want-mass-query",
    "write-nar-listing",
    "multipart-chunk-size",
];

/// Where a depot is.
#[derive(Debug, Clone)]
pub enum DepotUrl {
    /// `s3://BUCKET[/PREFIX]?endpoint=…&scheme=…&region=…&profile=…`.
    Bucket {
        /// The bucket, and who we are to it.
        settings: Box<Settings>,
        /// What all keys begin with: empty, or ending in a slash.
        prefix: String,
        /// `compression=`, when given.
        compression: Option<String>,
        /// The address as it was given.
        shown: String,
    },
    /// `file:///DIRECTORY`.
    Directory {
        /// The directory.
        path: PathBuf,
        /// `compression=`, when given.
        compression: Option<String>,
        /// The address as it was given.
        shown: String,
    },
}

impl DepotUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// Other schemes, parameters that neither we nor Nix know, no bucket, a path that is not absolute.
    pub fn parse(text: &str) -> Result<Self, CacheError> {
        let bad = |reason: String| CacheError::BadUrl { url: text.to_owned(), reason };
        let url = Url::parse(text).map_err(|e| bad(e.to_string()))?;
        let mut parameters = Parameters::default();
        for (name, value) in url.query_pairs() {
            parameters.set(&name, value.into_owned()).map_err(bad)?;
        }
        match url.scheme() {
            "s3" => Self::bucket(&url, parameters, text).map_err(bad),
            "file" => {
                if url.host_str().is_some_and(|host| !host.is_empty()) {
                    return Err(bad("it names a host: three slashes begin a directory".to_owned()));
                }
                let path = url.to_file_path().map_err(|()| bad("its path is not absolute".to_owned()))?;
                Ok(Self::Directory { path, compression: parameters.compression, shown: text.to_owned() })
            }
            "http" | "https" => Err(bad("a cache behind HTTP can be read by Nix itself and not written to".to_owned())),
            other => Err(bad(format!("its scheme is `{other}`"))),
        }
    }

    /// `compression=` of the address.
    pub fn compression(&self) -> Option<&str> {
        match self {
            Self::Bucket { compression, .. } | Self::Directory { compression, .. } => compression.as_deref(),
        }
    }

    fn bucket(url: &Url, parameters: Parameters, text: &str) -> Result<Self, String> {
        let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no bucket")?;
        let mut settings = Settings::new(bucket);
        let scheme = parameters.scheme.as_deref().unwrap_or("https");
        settings.endpoint = parameters.endpoint.map(|endpoint| match endpoint.contains("://") {
            true => endpoint,
            false => format!("{scheme}://{endpoint}"),
        });
        settings.region = parameters.region;
        if let Some(profile) = parameters.profile {
            settings.credentials = CredentialsSource::Profile(profile);
        }
        let path = url.path().trim_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        Ok(Self::Bucket {
            settings: Box::new(settings),
            prefix,
            compression: parameters.compression,
            shown: text.to_owned(),
        })
    }
}

impl std::fmt::Display for DepotUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bucket { shown, .. } | Self::Directory { shown, .. } => f.write_str(shown),
        }
    }
}

#[derive(Default)]
struct Parameters {
    endpoint: Option<String>,
    scheme: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    compression: Option<String>,
}

impl Parameters {
    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let slot = match name {
            "endpoint" => &mut self.endpoint,
            "scheme" if !["http", "https"].contains(&value.as_str()) => {
                return Err(format!("its scheme for the endpoint must be http or https, not `{value}`"));
            }
            "scheme" => &mut self.scheme,
            "region" => &mut self.region,
            "profile" => &mut self.profile,
            "compression" => &mut self.compression,
            known if NIX_ONLY.contains(&known) => return Ok(()),
            other => {
                let ours = ["endpoint", "scheme", "region", "profile", "compression"];
                let meant = freehold_model::did_you_mean(other, ours);
                let meant = meant.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
                return Err(format!("nobody knows its parameter `{other}`{meant}"));
            }
        };
        if !value.is_empty() {
            *slot = Some(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        DepotUrl::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_address_that_nix_takes_is_taken() {
        let url =
            "s3://omni-nix-cache?profile=digitalocean&scheme=https&endpoint=nyc3.example.com&want-mass-query=true";
        let DepotUrl::Bucket { settings, prefix, .. } = DepotUrl::parse(url).unwrap() else { panic!("no bucket") };
        assert_eq!((settings.bucket.as_str(), prefix.as_str()), ("omni-nix-cache", ""));
        assert_eq!(settings.endpoint.as_deref(), Some("https://nyc3.example.com"));
        assert_eq!(settings.credentials, CredentialsSource::Profile("digitalocean".to_owned()));
        let DepotUrl::Bucket { settings, prefix, .. } =
            DepotUrl::parse("s3://b/team/a?endpoint=127.0.0.1:9000&scheme=http&region=eu").unwrap()
        else {
            panic!("no bucket")
        };
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((settings.region.as_deref(), prefix.as_str()), (Some("eu"), "team/a/"));
        let file = DepotUrl::parse("file:///var/cache/my%20nix?compression=xz").unwrap();
        assert_eq!(file.compression(), Some("xz"));
        assert!(matches!(file, DepotUrl::Directory { path, .. } if path.ends_with("my nix")));
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        assert!(said("/tmp/x").starts_with("`/tmp/x` is no address of a cache"));
        assert_eq!(said("s3://?region=a"), "`s3://?region=a` is no address of a cache: it names no bucket");
        assert_eq!(
            said("s3://b?endpont=x"),
            "`s3://b?endpont=x` is no address of a cache: nobody knows its parameter `endpont`: did you mean `endpoint`?"
        );
        assert!(said("https://cache.example.org").ends_with("can be read by Nix itself and not written to"));
        assert!(said("file://host/x").ends_with("three slashes begin a directory"));
        assert!(said("ssh://host").ends_with("its scheme is `ssh`"));
    }
}
