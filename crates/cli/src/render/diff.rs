//! What differs at one place: on one line, or line by line for longer texts.

use freehold_model::{Pointer, Value};
use freehold_plan::Change;
use freehold_provider::credentials::is_digest;
use similar::{ChangeTag, TextDiff};

use super::style::{self, paint};
use super::text::{escape_controls, shorten};
use super::value::{self, Style};

/// Texts longer than this are not compared line by line.
const DIFF_BYTES: usize = 256 * 1024;
/// Unchanged lines shown around changed ones.
const CONTEXT: usize = 2;
/// Lines shown of one comparison.
const LINES: usize = 60;

/// One change, its lines moved in by `depth` spaces, with an end of line.
pub(crate) fn change(change: &Change, depth: usize, style: Style) -> String {
    let pad = " ".repeat(depth);
    if let Some(text) = source_change(change) {
        return format!("{pad}{} {text}\n", paint(style::CHANGE, "~"));
    }
    let (sign, label) = match (&change.before, &change.after) {
        (None, _) => (paint(style::ADD, "+"), place(&change.at)),
        (_, None) => (paint(style::REMOVE, "-"), place(&change.at)),
        _ => (paint(style::CHANGE, "~"), place(&change.at)),
    };
    let note = if change.forces_replace { paint(style::REMOVE, "  # forces replacement") } else { String::new() };
    match (&change.before, &change.after) {
        (Some(Value::String(before)), Some(Value::String(after))) if is_long(before) || is_long(after) => {
            if before.len().max(after.len()) > DIFF_BYTES {
                let size = |text: &str| format!("a text of {} bytes", text.len());
                return format!("{pad}{sign} {label}: {} → {}{note}\n", size(before), size(after));
            }
            format!("{pad}{sign} {label}:{note}\n{}", line_diff(before, after, depth + 4, style))
        }
        (Some(Value::String(before)), Some(Value::String(after))) => {
            let (before, after) = if style.whole { (quoted(before), quoted(after)) } else { excerpts(before, after) };
            format!("{pad}{sign} {label}: {} → {}{note}\n", paint(style::REMOVE, before), paint(style::ADD, after))
        }
        (before, after) => {
            let show = |v: &Option<Value>| v.as_ref().map(|v| style.show(v, depth + 2));
            match (show(before), show(after)) {
                (Some(before), Some(after)) if before == after => {
                    format!("{pad}{sign} {label}: {before} → another{note}\n")
                }
                (Some(before), Some(after)) => format!("{pad}{sign} {label}: {before} → {after}{note}\n"),
                (before, after) => {
                    let value = before.or(after).unwrap_or_default();
                    format!("{pad}{sign} {label} = {value}{note}\n")
                }
            }
        }
    }
}

/// What is to be said where a secret is another one, and its source the same.
fn source_change(change: &Change) -> Option<String> {
    let (last, source) = change.at.tokens().split_last()?;
    let is_noted = |value: &Option<Value>| value.as_ref().map(|value| is_digest(last, value));
    let said = match (is_noted(&change.before), is_noted(&change.after)) {
        (Some(true), Some(true)) => "secret changed",
        (None, Some(true)) => "secret noted, so that its change will be seen",
        _ => return None,
    };
    let note = if change.forces_replace { paint(style::REMOVE, "  # forces replacement") } else { String::new() };
    Some(format!("{}: {}{note}", place(&Pointer::new(source.to_vec())), paint(style::FAINT, format!("({said})"))))
}

/// A place as one would write it in Nix: `settings.port`, `args.1`.
pub(crate) fn place(at: &Pointer) -> String {
    let name = |token: &String| {
        if token.chars().all(|c| c.is_ascii_digit()) && !token.is_empty() { token.clone() } else { value::name(token) }
    };
    at.tokens().iter().map(name).collect::<Vec<_>>().join(".")
}

fn is_long(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
}

fn line_diff(before: &str, after: &str, depth: usize, style: Style) -> String {
    let pad = " ".repeat(depth);
    let diff = TextDiff::from_lines(before, after);
    let mut lines: Vec<String> = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            lines.push(paint(style::FAINT, "…"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = escape_controls(change.value().trim_end_matches('\n')).into_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => paint(style::FAINT, format!("  {text}")),
                ChangeTag::Delete => paint(style::REMOVE, format!("- {text}")),
                ChangeTag::Insert => paint(style::ADD, format!("+ {text}")),
            });
            if change.missing_newline() {
                lines.push(paint(style::FAINT, "  (no end of line)"));
            }
        }
    }
    let more = if style.whole { 0 } else { lines.len().saturating_sub(LINES) };
    lines.truncate(lines.len() - more);
    if more > 0 {
        lines.push(paint(style::FAINT, format!("… ({more} more lines)")));
    }
    lines.iter().map(|line| format!("{pad}{line}\n")).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", value::escape_string(text))
}

/// Both texts around the place where they begin to differ.
fn excerpts(before: &str, after: &str) -> (String, String) {
    const LEAD: usize = 20;
    const SHOWN: usize = 80;
    if before.chars().count().max(after.chars().count()) <= SHOWN {
        return (quoted(before), quoted(after));
    }
    let same = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count();
    let start = same.saturating_sub(LEAD);
    let cut = |text: &str| {
        let (_, rest) = text.char_indices().nth(start).map_or((0, ""), |(at, _)| (at, &text[at..]));
        let (shown, more) = shorten(rest, SHOWN);
        let (lead, trail) = (if start > 0 { "…" } else { "" }, if more > 0 { "…" } else { "" });
        format!("\"{lead}{}{trail}\"", value::escape_string(shown))
    };
    (cut(before), cut(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: impl Into<Option<Value>>, after: impl Into<Option<Value>>) -> String {
        let (before, after) = (before.into(), after.into());
        let at = Pointer::new(["contents"]);
        let text = change(&Change { at, before, after, forces_replace: false }, 0, Style::PLAN);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_short_text_is_shown_on_one_line() {
        assert_eq!(shown(Value::from("a\n"), Value::from("b\n")), "~ contents: \"a\\n\" → \"b\\n\"\n");
        assert_eq!(shown(None, Value::from(1)), "+ contents = 1\n");
        assert_eq!(shown(Value::from(1), None), "- contents = 1\n");
        assert_eq!(shown(Value::from("a"), Value::Unknown), "~ contents: \"a\" → (known after apply)\n");
    }

    #[test]
    fn a_longer_text_is_compared_line_by_line() {
        let lines = |changed: &str| Value::from(format!("1\n2\n3\n4\n{changed}\n6\n7\n8\n"));
        insta::assert_snapshot!(shown(lines("five"), lines("\u{1b}[5m")), @r"
        ~ contents:
              3
              4
            - five
            + \u{1b}[5m
              6
              7
        ");
    }

    #[test]
    fn a_long_line_is_shown_around_what_differs() {
        let line = |end: &str| Value::from(format!("{}{end}", "x".repeat(500)));
        assert_eq!(shown(line("a"), line("bc")), format!("~ contents: \"…{0}a\" → \"…{0}bc\"\n", "x".repeat(20)));
    }

    #[test]
    fn a_secret_that_changes_shows_nothing_of_itself() {
        let secret = |text: &str| Value::from(text).into_sensitive();
        assert_eq!(shown(secret("canary"), secret("other")), "~ contents: (sensitive) → another\n");
    }

    #[test]
    fn a_huge_text_is_not_compared() {
        let huge = |c: &str| Value::from(c.repeat(1 << 20) + "\nx\n");
        assert_eq!(shown(huge("a"), huge("b")), "~ contents: a text of 1048579 bytes → a text of 1048579 bytes\n");
    }
}
