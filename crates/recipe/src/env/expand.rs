//! What the text of a value means: escapes and variables, as godotenv 1.5.1 has them.
//!
//! Names of variables in values are capitals, digits and `_`; an unset one is empty; defaults (`${A:-b}`) do not exist.

use std::collections::BTreeMap;

/// The value of text between double quotes.
pub(super) fn double_quoted(text: &str, known: &BTreeMap<String, String>) -> String {
    variables(&unescape(text), known)
}

/// Puts variables in. `\$` is a `$`.
pub(super) fn variables(text: &str, known: &BTreeMap<String, String>) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes[at] == b'\\' && bytes.get(at + 1) == Some(&b'$');
        if bytes[at] != b'$' && !escaped {
            let end = next_char(text, at);
            out.push_str(&text[at..end]);
            at = end;
            continue;
        }
        let (name, end) = reference(bytes, at + usize::from(escaped) + 1);
        let name = &text[name.0..name.1];
        if escaped {
            out.push_str(&text[at + 1..end]);
        } else if name.is_empty() {
            out.push_str(&text[at..end]);
        } else {
            out.push_str(known.get(name).map_or("", String::as_str));
        }
        at = end;
    }
    out
}

/// What may follow a `$`: `(`, `{`, a name, `}`, each of them or not. Gives the range of the name, and the end.
fn reference(bytes: &[u8], mut at: usize) -> ((usize, usize), usize) {
    let skip = |at: usize, byte: u8| at + usize::from(bytes.get(at) == Some(&byte));
    at = skip(at, b'(');
    at = skip(at, b'{');
    let start = at;
    while bytes.get(at).is_some_and(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_') {
        at += 1;
    }
    ((start, at), skip(at, b'}'))
}

/// `\n` and `\r` are what they say, and then a backslash before anything but `$` is dropped.
fn unescape(text: &str) -> String {
    let mut first = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, false) => first.push(char),
            (_, true) => match chars.next() {
                Some('n') => first.push('\n'),
                Some('r') => first.push('\r'),
                // Go's `.` does not take the end of a line: that pair is no escape.
                Some(other) => first.extend(['\\', other]),
                None => first.push('\\'),
            },
        }
    }
    let mut out = String::with_capacity(first.len());
    let mut chars = first.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some(next)) if *next != '$' => out.extend(chars.next()),
            _ => out.push(char),
        }
    }
    out
}

fn next_char(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(text.len(), |char| at + char.len_utf8())
}
