//! The built-in provider `workload`: what hosts run, declared as members of a deployment.
//!
//! A `service` is an entry of the manifest in a bucket, with its closure beside it; hosts follow that with `freehold agent`. How it is
//! rolled out there is theirs. An `app` is a Co-op Cloud app on a Docker Swarm, rolled out from here. Read on in `service.rs` and
//! `app/mod.rs` (the resource types), `neighbours.rs` (what services would do to each other), `bucket.rs` (where they are published,
//! and as whom).

mod app;
mod bucket;
mod neighbours;
mod service;

use freehold_provider::sdk::Provider;

pub use app::App;
pub use service::Service;

/// The provider with its resource types.
pub fn provider() -> Provider {
    Provider::new("workload", env!("CARGO_PKG_VERSION")).with(Service::default()).with(App).config::<bucket::Config>()
}
