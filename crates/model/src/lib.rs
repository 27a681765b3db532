//! The nouns that every other crate speaks in: member paths, values, declarations, records, error kinds and limits.
//!
//! Deliberately without behaviour: no IO, no async, no clock, no randomness, and no dependency on another crate of ours.
//! Read on in `freehold-plan` for what is decided about these nouns and in `freehold-protocol` for how they travel.

pub mod limits;

mod chain;
mod declaration;
mod kind;
mod path;
mod pointer;
mod record;
mod repeats;
mod sensitive;
mod suggest;
mod value;

pub use chain::chain;
pub use declaration::{Check, Declaration, Lifecycle, OutputRef, ProviderRef, ScriptOperation, Structure};
pub use kind::ErrorKind;
pub use path::{MemberPath, PathError};
pub use pointer::Pointer;
pub use record::{Deposed, Interval, ProviderIdentity, Record, Status};
pub use repeats::SecretTexts;
pub use sensitive::Sensitive;
pub use suggest::did_you_mean;
pub use value::{Attrs, MARK, MarkReader, Value, ValueError};
