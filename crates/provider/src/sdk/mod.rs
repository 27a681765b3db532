//! The SDK: a provider is a [`Provider`] with resource types, each one `impl` of [`ResourceType`], given to [`serve`].
//!
//! ```no_run
//! use freehold_provider::sdk::{Context, Failure, Made, Provider, ResourceType, serve};
//!
//! struct Greeting;
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Inputs { /** Whom. */ name: String }
//! #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
//! struct Outputs { /** What is said. */ text: String }
//!
//! impl ResourceType for Greeting {
//!     type Inputs = Inputs;
//!     type Outputs = Outputs;
//!     const NAME: &'static str = "greeting";
//!     const DESCRIPTION: &'static str = "Says hello.";
//!     fn create(&self, _: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
//!         Ok(Made::new(Outputs { text: format!("hello {}", inputs.name) }))
//!     }
//! }
//!
//! std::process::exit(serve(Provider::new("demo", "1").with(Greeting)));
//! ```

mod context;
pub(crate) mod erased;
mod failure;
mod planning;
mod provider;
mod resource;
mod serve;
mod stdio;

pub use context::Context;
pub use erased::inputs_as;
pub use failure::Failure;
pub use provider::Provider;
pub use resource::{Existing, Found, Made, Operation, Ran, ReadBack, ResourceType, StateLock, StateText, Traits};
pub use serve::serve;
