//! Provider protocol version 1: JSON-RPC 2.0, one message per line, any number of requests at once.
//!
//! [`message`] is the envelope, [`methods`] what is asked and answered, [`notifications`] what a provider says unasked.
//! The client sends `initialize` first, then `configure`, then anything. Standard error is free text.

pub mod message;
pub mod methods;
pub mod notifications;

pub use message::{ErrorData, ErrorObject, Id, Message, ParseError, codes, parse_message};
pub use methods::*;
pub use notifications::*;

/// The version number in `initialize`.
pub const VERSION: u32 = 1;
