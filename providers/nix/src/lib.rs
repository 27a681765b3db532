//! The built-in provider `nix`: builds that are kept alive by GC roots for as long as they are recorded.
//!
//! It brings things into the store of the machine that runs Freehold and puts nothing anywhere else. The store itself is
//! `freehold-store`'s business. Read on in `build.rs`, the one resource type, and `roots.rs`.

mod build;
mod roots;

use freehold_provider::sdk::Provider;
use schemars::JsonSchema;
use serde::Deserialize;

pub use build::Build;

/// Provider-wide settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "read through the context; this describes them")]
struct Config {
    /// Directory of the GC roots, relative to the deployment. Default: `.freehold/gcroots`.
    root_directory: Option<String>,
}

/// The provider with its resource types.
pub fn provider() -> Provider {
    Provider::new("nix", env!("CARGO_PKG_VERSION")).with(Build).config::<Config>()
}
