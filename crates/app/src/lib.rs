//! Co-op Cloud apps on Docker Swarm: what is declared of one, composed out of its recipe, rolled out, copied and put back.
//!
//! Whether to roll out, and in which order, is decided by `freehold-rollout`; here are the deeds, and what the machine must know of
//! recipes and their versions. Deliberately without a terminal.
//!
//! Read on in `app.rs` (an app and its files), `settings.rs` (what is said of it), `release.rs` (what a release of it is), `composed.rs`
//! (recipe and `.env` become a stack), `declared.rs` (which versions there are), `converge.rs` (one run), `last_stack.rs` (its name before), `left.rs` (what a person went
//! back from), `hands.rs` (its deeds), `secrets.rs` (with `sops.rs`, `version_key.rs`), `source.rs` (mirror or work tree), `room.rs` (on
//! disks), `volumes.rs`, `snapshots.rs`, `by_hand.rs` (with `still.rs`, `restoring.rs`), `images.rs`, `alerts.rs`, `look.rs`, `remove.rs`.

mod alerts;
mod app;
mod by_hand;
mod composed;
mod converge;
mod declared;
mod error;
mod hands;
mod images;
mod last_stack;
mod left;
mod look;
mod random;
mod release;
mod remove;
mod restoring;
mod room;
mod secrets;
mod settings;
mod snapshots;
mod sops;
mod source;
mod still;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod version_key;
mod volumes;

pub use alerts::AppAlert;
pub use app::{App, Known, NewApp, Places, workload_of};
pub use by_hand::{backup, container_of, restart, restore};
pub use composed::{Composed, Others, Release as PreparedRelease};
pub use converge::{Converged, Talk, Verb, check, converge, undeploy};
pub use error::AppError;
pub use images::prune_images;
pub use look::{compose_pinned, lint_pinned, now_millis, sent_and_declared};
pub use release::AppRelease;
pub use remove::{Removed, remove};
pub use secrets::{Inserted, SecretState};
pub use settings::{AppSettings, Rotation, SecretSource, SopsValue};
pub use snapshots::Snapshots;
pub use sops::{decrypt, recipient_of_host};
