//! A small synchronous S3 client: objects with conditional writes, listings, large uploads, buckets.
//!
//! It works against any endpoint that speaks S3 (AWS, MinIO, Garage, …), retries what can be retried, and says of every failure
//! who has to act. A conditional write whose reply was lost is settled by a mark that the write carries, so that our own success
//! is never taken for somebody else's. Deliberately without async (threads share one [`Client`]), without a cache and without
//! any knowledge of what the objects mean. Signing is `rusty-s3`'s, HTTP and TLS are `ureq`'s.
//!
//! Read on in `settings.rs` (where a bucket is and who we are), `transport.rs` (one request with its retries), `objects.rs`.

mod buckets;
mod credentials;
mod error;
mod multipart;
mod objects;
mod probe;
mod settings;
mod transport;

pub use credentials::{CredentialsSource, Keys};
pub use error::S3Error;
pub use objects::{Condition, Fetched, Listed, Meta, Object, Put, Written};
pub use probe::Conditions;
pub use settings::{Retry, Settings, Style};
pub use transport::Client;
