//! Manifest v1: which services which hosts run, at which release. `publish` writes it into a bucket, agents follow it.
//!
//! It reads strictly what may come from anywhere, checks it, signs it, edits it and compares two of them. Deliberately without IO
//! and clock: fetching and storing are the publisher's and the agent's work, and so is what is done about a difference. The JSON is
//! that of the manifests people already have; every addition is an optional field.
//!
//! Read on in `service.rs` (what is said of a service), `manifest.rs` (the whole), `check.rs` (what must hold), `signature.rs`,
//! `edit.rs` (what a publish changes), `diff.rs`, `lint.rs` (values that look like secrets).

mod check;
mod diff;
mod edit;
mod error;
mod generation;
mod lint;
mod manifest;
mod schemas;
mod service;
mod signature;
mod words;

pub use check::is_host_name;
pub use diff::{Change, Difference, Field, diff};
pub use edit::{Edit, Known, ServiceFlags};
pub use error::{ManifestError, Mistake};
pub use generation::Generation;
pub use lint::{Suspicion, service_suspicions, suspicions};
pub use manifest::{Manifest, VERSION};
pub use schemas::schemas;
pub use service::{
    Artifact, ArtifactKind, Exec, Hardening, HttpRoute, Instances, ProtectHome, ProtectHomeWord, ProtectSystem,
    ProtectSystemWord, Restart, Runtime, Service, StartType, Systemd,
};
pub use signature::ManifestSignature;
