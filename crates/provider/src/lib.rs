//! Both ends of the provider protocol: the client (a pool of provider processes) and the SDK (one trait and `serve`).
//!
//! It knows nothing of plans or of the engine. Read [`Call`] and [`Reply`] first (what can be asked), then [`Pool`] (how),
//! then [`sdk`] (how a provider is written; the smallest example is `providers/local/src/uuid.rs`).

mod call;
pub mod conformance;
pub mod credentials;
mod error;
mod launch;
mod marks;
mod pool;
pub mod program;
mod redact;
pub mod sdk;
pub mod source_digest;
pub mod validate;

pub use call::{Call, CallEvent, ImportedObject, Object, Private, Reply, Request};
pub use error::{CallError, ProviderError, Scene};
pub use launch::{EnvPolicy, Launch, PoolOptions, ProtocolChoice};
pub use pool::{CallId, Callback, Pool};
