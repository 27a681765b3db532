//! The built-in provider `s3`: buckets and objects in any store that speaks S3; an object can hold the state of other resources.
//!
//! The store itself is `freehold-s3`'s business. Deliberately without anything particular to one vendor.
//! Read on in `connection.rs` (whose store), `object.rs`, `state.rs` (an object as a state holder), `bucket.rs`.

mod bucket;
mod connection;
mod object;
mod state;

use freehold_provider::sdk::Provider;

pub use bucket::Bucket;
pub use object::Object;

/// The provider with its resource types. `s3.object` is another name of `object`.
pub fn provider() -> Provider {
    let connections = connection::Connections::default();
    Provider::new("s3", env!("CARGO_PKG_VERSION"))
        .with(Object::new(connections.clone()))
        .with_alias("s3.object", Object::new(connections.clone()))
        .with(Bucket::new(connections.clone()))
        .with_alias("s3.bucket", Bucket::new(connections))
        .config::<connection::Config>()
}
