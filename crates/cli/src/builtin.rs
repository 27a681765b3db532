//! The providers inside this binary. Each runs as a process of its own: `freehold internal provider NAME`.
//!
//! To add one: a crate under `providers/`, a line here, and its name in `freehold_engine::BUILTIN_PROVIDERS`.

use freehold_provider::sdk::Provider;

/// One built-in provider.
pub(crate) struct Builtin {
    /// Its name in Nix: `providers.<name>`.
    pub(crate) name: &'static str,
    /// What it is for, in a sentence.
    pub(crate) description: &'static str,
    /// Makes it.
    pub(crate) provider: fn() -> Provider,
}

/// All of them, by name.
pub(crate) const ALL: &[Builtin] = &[
    Builtin {
        name: "local",
        description: "Files, programs, keys and values on the machine that runs Freehold.",
        provider: freehold_provider_local::provider,
    },
    Builtin {
        name: "nix",
        description: "Builds of the Nix store of the machine that runs Freehold, kept alive while they are recorded.",
        provider: freehold_provider_nix::provider,
    },
    Builtin {
        name: "s3",
        description: "Buckets and objects in any store that speaks S3; an object can hold the state of other resources.",
        provider: freehold_provider_s3::provider,
    },
    Builtin {
        name: "workload",
        description: "Services of the manifest that hosts follow, with their closures.",
        provider: freehold_provider_workload::provider,
    },
];

/// The one with this name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|b| b.name == name)
}
