//! The colours, by meaning.

use anstyle::{AnsiColor, Style};

/// Something comes.
pub(crate) const ADD: Style = AnsiColor::Green.on_default();
/// Something changes.
pub(crate) const CHANGE: Style = AnsiColor::Yellow.on_default();
/// Something goes.
pub(crate) const REMOVE: Style = AnsiColor::Red.on_default();
/// Something is only looked at or written down.
pub(crate) const LOOK: Style = AnsiColor::Cyan.on_default();
/// An error's label.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// A warning's label.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// A hint's label.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// What stands out.
pub(crate) const STRONG: Style = Style::new().bold();
/// What stands back.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// `text` in a colour.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
