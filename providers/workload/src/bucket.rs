//! Where services are published, and as whom: of a member's inputs, else of the provider's settings, else where the commands look.

use std::error::Error;
use std::path::PathBuf;

use freehold_cache::{CacheError, Depot};
use freehold_model::ErrorKind;
use freehold_nar::{PublicKey, SecretKey, TrustedKeys};
use freehold_provider::sdk::{Context, Failure};
use freehold_publish::{Board, PublishError, Publisher};
use schemars::JsonSchema;
use serde::Deserialize;

/// Provider-wide settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "read through the context; this describes them")]
pub(crate) struct Config {
    /// The bucket or directory with the manifest and the closures, as Nix writes it: `s3://shop?endpoint=…`, `file:///srv/shop`.
    to: Option<String>,
    /// File of the signing key, relative to the deployment. Default: `$NIX_CACHE_KEY`, then `~/.config/nix/cache-priv-key.pem`.
    key_file: Option<String>,
    /// Public keys of others whose manifests are built on.
    trusted_keys: Option<Vec<String>>,
    /// Where apps' `.env` files lie, relative to the deployment. Default: `$ABRA_DIR`, then `~/.abra`.
    abra_dir: Option<String>,
    /// Where records of apps and copies of their data lie, relative to the deployment. Default: `$FREEHOLD_APPS`, then
    /// `/var/lib/freehold/apps`.
    apps_dir: Option<String>,
    /// Where alerts of apps lie, relative to the deployment. Default: `$FREEHOLD_ALERTS`, then `/var/lib/coop-cloud/alerts`.
    alerts_dir: Option<String>,
    /// Where recipes are fetched from, one repository each. Default: `$FREEHOLD_RECIPE_BASE`, then what abra's clone says, then the
    /// forge of Co-op Cloud.
    recipe_base: Option<String>,
}

/// Who publishes where.
pub(crate) struct Desk {
    pub(crate) board: Board,
    pub(crate) key: SecretKey,
    trusted: TrustedKeys,
}

impl Desk {
    /// Of what the member says; `None` stands for the provider's settings.
    pub(crate) fn open(ctx: &Context, to: Option<&str>, key_file: Option<&str>) -> Result<Self, Failure> {
        Ok(Self { board: board(ctx, to)?, key: key(ctx, key_file)?, trusted: trusted(ctx)? })
    }

    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { key: &self.key, trusted: &self.trusted, adopts: false }
    }
}

/// The bucket; reading it needs no key.
pub(crate) fn board(ctx: &Context, to: Option<&str>) -> Result<Board, Failure> {
    let url = place(ctx, to).ok_or_else(|| {
        Failure::user("where to publish is not said").hint("set `to`, or `config.to` of the provider")
    })?;
    Ok(Board::new(Depot::open(&url).map_err(|error| of_cache(&error))?))
}

/// The bucket's address, when it is said.
pub(crate) fn place(ctx: &Context, to: Option<&str>) -> Option<String> {
    to.map(str::to_owned).or_else(|| ctx.config_text("to"))
}

fn key(ctx: &Context, key_file: Option<&str>) -> Result<SecretKey, Failure> {
    let said = key_file.map(str::to_owned).or_else(|| ctx.config_text("keyFile")).map(|path| ctx.resolve(&path));
    let path = said.or_else(usual).ok_or_else(|| {
        Failure::config("there is no key to sign with").hint(
            "set `config.keyFile` of the provider, or NIX_CACHE_KEY to the file; `freehold cache keygen NAME` makes one",
        )
    })?;
    let text = fs_err::read_to_string(&path).map_err(|error| Failure::from(error).at("keyFile"))?;
    SecretKey::parse(&text).map_err(|error| Failure::config(format!("`{}`: {error}", path.display())).at("keyFile"))
}

/// Where the commands look, too.
fn usual() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let below = |dir: PathBuf| dir.join("nix/cache-priv-key.pem");
    let config = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config"))).map(below);
    variable("NIX_CACHE_KEY").or(config.filter(|path| path.is_file()))
}

fn trusted(ctx: &Context) -> Result<TrustedKeys, Failure> {
    let listed = match ctx.config().to_clear_json().get("trustedKeys") {
        Some(serde_json::Value::Array(keys)) => keys.clone(),
        _ => Vec::new(),
    };
    let keys = listed.iter().filter_map(|key| key.as_str()).map(PublicKey::parse).collect::<Result<Vec<_>, _>>();
    keys.map(TrustedKeys::new).map_err(|error| Failure::config("one of `trustedKeys` is none").because(&error))
}

pub(crate) fn of_cache(error: &CacheError) -> Failure {
    with_hint(failed(error.kind(), error), error.hint())
}

pub(crate) fn of_publish(error: &PublishError) -> Failure {
    with_hint(failed(error.kind(), error), error.hint())
}

fn failed(kind: ErrorKind, error: &dyn Error) -> Failure {
    let failure = Failure::new(kind, error.to_string());
    match error.source() {
        Some(source) => failure.because(source),
        None => failure,
    }
}

fn with_hint(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
