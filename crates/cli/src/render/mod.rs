//! How things look. Each file turns one kind of thing into text with colours; nothing here decides, and only [`progress`] prints.
//!
//! Values come from deployments and providers: whatever is shown goes through [`text::escape_controls`] or [`value`], so that no
//! escape sequence reaches the terminal. Colours are ANSI sequences of our own, which [`crate::ui`] takes out where none are wanted.

pub(crate) mod diff;
pub(crate) mod graph;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod summary;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod timeline;
pub(crate) mod tree;
pub(crate) mod value;
