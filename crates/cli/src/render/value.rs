//! Values as a reader of Nix expects them: `"text"`, `[ 1 2 ]`, `{ a = 1; }`. Secrets and unknowns have words.

use freehold_model::{Attrs, Value};
use freehold_provider::credentials::{DIGEST, source_name, without_digest};

use super::style::{self, paint};
use super::text::{is_unfit, shorten};

/// Characters of one string that are shown unless all is asked for.
pub(crate) const STRING_LIMIT: usize = 200;
/// Entries of one list or set that are shown.
const ENTRIES_LIMIT: usize = 40;
/// A value is broken into lines when it is longer than this on one.
const LINE: usize = 88;

/// How values are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Nothing is left out for its length.
    pub(crate) whole: bool,
    /// Secrets in clear: only where the operator asked for it.
    pub(crate) reveal: bool,
}

impl Style {
    /// Shortened, secrets hidden.
    pub(crate) const PLAN: Self = Self { whole: false, reveal: false };

    /// Shortened unless `whole`.
    pub(crate) fn plan(whole: bool) -> Self {
        Self { whole, ..Self::PLAN }
    }

    /// The value on one line, or on several, all but the first moved in by `depth` spaces.
    pub(crate) fn show(self, value: &Value, depth: usize) -> String {
        let line = self.line(value);
        let width = anstream::adapter::strip_str(&line).to_string().chars().count();
        if width + depth <= LINE { line } else { self.lines(value, depth) }
    }

    /// The value on one line.
    pub(crate) fn line(self, value: &Value) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => n.to_string(),
            Value::String(text) => self.string(text),
            Value::Unknown => paint(style::FAINT, "(known after apply)"),
            Value::Sensitive(inner) if self.reveal => self.line(inner.expose()),
            Value::Sensitive(_) => paint(style::FAINT, "(sensitive)"),
            Value::List(items) if items.is_empty() => "[ ]".to_owned(),
            Value::Map(attrs) if attrs.is_empty() => "{ }".to_owned(),
            Value::Map(attrs) if has_digest(attrs) => self.line(&Value::Map(without_digest(attrs))),
            Value::List(items) => {
                let shown: Vec<String> = items.iter().take(self.entries()).map(|v| self.line(v)).collect();
                format!("[ {}{} ]", shown.join(" "), self.rest(items.len(), " "))
            }
            Value::Map(attrs) => {
                let shown = attrs.iter().take(self.entries()).map(|(n, v)| format!("{} = {};", name(n), self.line(v)));
                format!("{{ {}{} }}", shown.collect::<Vec<_>>().join(" "), self.rest(attrs.len(), " "))
            }
        }
    }

    fn lines(self, value: &Value, depth: usize) -> String {
        let (inner, close) = (" ".repeat(depth + 2), " ".repeat(depth));
        match value {
            Value::List(items) if !items.is_empty() => {
                let shown = items.iter().take(self.entries());
                let shown: String = shown.map(|v| format!("{inner}{}\n", self.show(v, depth + 2))).collect();
                format!("[\n{shown}{}{close}]", self.rest_line(items.len(), &inner))
            }
            Value::Map(attrs) if !attrs.is_empty() => {
                let shown = attrs.iter().take(self.entries());
                let shown: String =
                    shown.map(|(n, v)| format!("{inner}{} = {};\n", name(n), self.show(v, depth + 2))).collect();
                format!("{{\n{shown}{}{close}}}", self.rest_line(attrs.len(), &inner))
            }
            Value::Sensitive(secret) if self.reveal => self.lines(secret.expose(), depth),
            flat => self.line(flat),
        }
    }

    fn string(self, text: &str) -> String {
        let limit = if self.whole { usize::MAX } else { STRING_LIMIT };
        let (shown, more) = shorten(text, limit);
        let rest = if more > 0 { paint(style::FAINT, format!("… ({more} more characters)")) } else { String::new() };
        format!("\"{}\"{rest}", escape_string(shown))
    }

    fn entries(self) -> usize {
        if self.whole { usize::MAX } else { ENTRIES_LIMIT }
    }

    fn rest(self, len: usize, before: &str) -> String {
        match len.saturating_sub(self.entries()) {
            0 => String::new(),
            more => format!("{before}{}", paint(style::FAINT, format!("… ({more} more)"))),
        }
    }

    fn rest_line(self, len: usize, inner: &str) -> String {
        match self.rest(len, inner) {
            rest if rest.is_empty() => rest,
            rest => format!("{rest}\n"),
        }
    }
}

/// Whether it is a credential source with what was noted of its secret, which is nobody's matter.
fn has_digest(attrs: &Attrs) -> bool {
    attrs.contains_key(DIGEST) && source_name(attrs).is_some()
}

/// A string's content as it stands between quotes.
pub(crate) fn escape_string(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            '\r' => escaped.push_str("\\r"),
            '$' if rest.peek() == Some(&'{') => escaped.push_str("\\$"),
            c if is_unfit(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An attribute's name, quoted where Nix wants it quoted.
pub(crate) fn name(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '\''));
    if plain { name.to_owned() } else { format!("\"{}\"", escape_string(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: serde_json::Value) -> String {
        anstream::adapter::strip_str(&Style::PLAN.show(&Value::from_json(json).unwrap(), 4)).to_string()
    }

    #[test]
    fn values_read_as_nix() {
        let value =
            serde_json::json!({ "a b": [1, true, null], "c": { "$freehold": "unknown" }, "d": "x\n${y}\u{1b}" });
        insta::assert_snapshot!(shown(value), @r#"{ "a b" = [ 1 true null ]; c = (known after apply); d = "x\n\${y}\u{1b}"; }"#);
    }

    #[test]
    fn long_values_are_broken_and_shortened() {
        let value = serde_json::json!({ "long": "x".repeat(300), "list": (0..50).collect::<Vec<_>>() });
        let shown = shown(value);
        assert!(shown.starts_with("{\n      list = [\n        0\n"), "{shown}");
        assert!(shown.contains("        … (10 more)\n      ];\n"), "{shown}");
        assert!(shown.ends_with("x\"… (100 more characters);\n    }"), "{shown}");
    }

    #[test]
    fn a_secret_is_shown_only_to_who_asks() {
        let secret = Value::from("canary").into_sensitive();
        assert!(!Style::PLAN.show(&secret, 0).contains("canary"));
        assert_eq!(Style { whole: true, reveal: true }.show(&secret, 0), "\"canary\"");
    }
}
