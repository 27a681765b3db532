//! Plan and apply, driven with real effects: the evaluator, provider processes, the Nix store and the state.
//!
//! The decisions are made by the pure machines in `freehold-plan` and `freehold-apply`; this crate carries out what they ask for and
//! tells them what came of it. It prints nothing (an [`Observer`] is told) and looks at no `$HOME`: whoever opens an [`Engine`] says
//! where things are. Reading order: [`Engine`], `front.rs` (evaluation made ready for the machines), `planning.rs`, `applying.rs`.

mod after;
mod applying;
mod asking;
mod catalog;
mod documents;
mod engine;
mod entry;
mod error;
mod evaluating;
mod front;
mod holder_io;
mod holders;
mod importing;
mod mail;
mod observer;
mod opening;
mod operations;
mod options;
mod planning;
mod recording;
mod schemas;

pub use engine::{Applied, BUILTIN_PROVIDERS, Engine, InterruptHandle};
pub use entry::Entry;
pub use error::EngineError;
pub use evaluating::Evaluated;
pub use observer::{Note, Observer};
pub use options::{EngineOptions, StateLocation};
