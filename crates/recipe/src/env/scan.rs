//! Where the assignments of an `.env` are, as godotenv 1.5.1 finds them.
//!
//! Messages show nothing of a line but where it is: it may be a secret. Stricter than godotenv in three places, where it takes what nobody means: a name that is empty, has a space in it, or is not ASCII.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Assignment, expand};
use crate::{Place, RecipeError};

pub(super) fn assignments(file: &str, text: &str) -> Result<Vec<Assignment>, RecipeError> {
    let mut scan = Scan { file, text, at: 0 };
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    while scan.skip_to_statement() {
        let assignment = scan.assignment(&known)?;
        known.insert(assignment.name.clone(), assignment.value.clone());
        found.push(assignment);
    }
    Ok(found)
}

struct Scan<'a> {
    file: &'a str,
    text: &'a str,
    at: usize,
}

struct Value {
    value: String,
    written: Range<usize>,
    comment: Option<String>,
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Skips space, lines and comments; whether there is anything left.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.at = self.text.len() - self.rest().trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.at = self.rest().find('\n').map_or(self.text.len(), |end| self.at + end);
        }
    }

    fn assignment(&mut self, known: &BTreeMap<String, String>) -> Result<Assignment, RecipeError> {
        let start = self.at;
        let (name, at) = self.name()?;
        self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
        let value = match self.rest().bytes().next() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote, known)?,
            _ => self.plain(known),
        };
        let at = Place::of(self.file, self.text, at);
        let statement = start..value.written.end;
        Ok(Assignment { name, value: value.value, comment: value.comment, at, statement, written: value.written })
    }

    /// The name, and where it stands; afterwards the scan is behind the `=` or `:`.
    fn name(&mut self) -> Result<(String, usize), RecipeError> {
        if let Some(rest) = self.rest().strip_prefix("export").filter(|rest| rest.starts_with(is_space)) {
            self.at = self.text.len() - rest.trim_start_matches(is_space).len();
        }
        let start = self.at;
        let line = self.rest().lines().next().unwrap_or_default();
        let Some(end) = line.find(['=', ':']) else {
            return Err(self.wrong(start, "there is no `=`".to_owned(), "write `NAME=value`, or `#` before it"));
        };
        let name = line[..end].trim_end_matches(is_space).to_owned();
        let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.');
        match name.char_indices().find(|(_, char)| !is_part(*char)) {
            None if name.is_empty() => Err(self.wrong(start, "there is no name before the `=`".to_owned(), "")),
            None => {
                self.at = start + end + 1;
                Ok((name, start))
            }
            Some((at, '\u{feff}')) => {
                Err(self.wrong(start + at, "the file begins with a byte order mark".to_owned(), "save it without"))
            }
            Some((at, char)) => {
                let reason = format!("`{char}` cannot be in a variable's name");
                Err(self.wrong(start + at, reason, "names are letters, digits, `_` and `.`"))
            }
        }
    }

    /// A value without quotes ends with its line, or with the last ` #` in it.
    fn plain(&mut self, known: &BTreeMap<String, String>) -> Value {
        let start = self.at;
        let end = self.rest().find(['\n', '\r']).map_or(self.text.len(), |end| start + end);
        self.at = end;
        let line = &self.text[start..end];
        let is_comment = |at: &usize| *at > 0 && line[..*at].ends_with(is_space);
        let comment = line.match_indices('#').map(|(at, _)| at).rev().find(is_comment);
        let value = line[..comment.unwrap_or(line.len())].trim_matches(is_space);
        let lead = line.len() - line.trim_start_matches(is_space).len();
        Value {
            value: expand::variables(value, known),
            written: start + lead..start + lead + value.len(),
            comment: comment.map(|at| line[at + 1..].trim().to_owned()),
        }
    }

    /// A value in quotes may go over lines; a quote with a backslash before it does not end it.
    fn quoted(&mut self, quote: u8, known: &BTreeMap<String, String>) -> Result<Value, RecipeError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let ends = |at: &usize| bytes[*at] == quote && bytes[*at - 1] != b'\\';
        let Some(end) = (start + 1..bytes.len()).find(ends) else {
            let reason = "this quote does not end".to_owned();
            return Err(self.wrong(start, reason, "close it; a backslash directly before a quote keeps it open"));
        };
        // Every quote at either end goes, also an escaped one: that is how godotenv does it.
        let inner = self.text[start..end].trim_matches(char::from(quote)).replace("\r\n", "\n");
        let value = if quote == b'"' { expand::double_quoted(&inner, known) } else { inner };
        self.at = end + 1;
        let rest = self.rest().lines().next().unwrap_or_default().trim();
        let comment = rest.strip_prefix('#').map(|comment| comment.trim().to_owned());
        Ok(Value { value, written: start..end + 1, comment })
    }

    fn wrong(&self, offset: usize, reason: String, hint: &str) -> RecipeError {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        RecipeError::Env { at: Place::of(self.file, self.text, offset), reason, hint }
    }
}

/// Space within a line.
pub(super) fn is_space(char: char) -> bool {
    matches!(char, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}
