//! HTTP routes to services, put into a running Caddy through its admin API.
//!
//! Whose routes they are stands in their `@id`s; what is not ours is read and never changed. A change is decided by a pure function
//! over Caddy's whole configuration, is one write, and is guarded by the tag of what it was decided from: two writers cannot lose each
//! other's change. Nothing is remembered here: Caddy's configuration is read each time, so routes that a restart lost come back with
//! the next [`Caddy::sync`].
//!
//! It deliberately does not start, install or configure Caddy, does not decide when a service is healthy, and knows no manifest.
//! Read on in `caddy.rs` (what one can do), `layout.rs` (what a configuration becomes), `change.rs` (the one write), `admin.rs` (the
//! conversation).

mod admin;
mod caddy;
mod change;
mod endpoint;
mod error;
mod layout;
mod piece;
mod route;
mod settings;
mod unix;

pub use caddy::{Caddy, Drained, Switched, Synced};
pub use endpoint::Endpoint;
pub use error::RouterError;
pub use route::{Route, unusable};
pub use settings::{Https, Settings};
