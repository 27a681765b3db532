//! Changes of an `.env`: one assignment is rewritten, added or removed, and every other byte stays.
//!
//! There are values that godotenv cannot read in one way of quoting and can in another, so each way is tried and read back.

use super::{Assignment, EnvFile, scan};
use crate::RecipeError;

impl EnvFile {
    /// Gives a variable a value. The last assignment of the name is rewritten, with its comment kept; a new variable comes last.
    /// Nothing changes when it has the value already.
    ///
    /// # Errors
    /// [`RecipeError::Name`] and [`RecipeError::Unwritable`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), RecipeError> {
        if self.get(name) == Some(value) {
            return Ok(());
        }
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if name.is_empty() || !name.chars().all(is_part) || name.starts_with(|char: char| char.is_ascii_digit()) {
            let reason = "it takes letters, digits and `_`, and no digit first";
            return Err(RecipeError::Name { name: name.to_owned(), what: "a variable", reason });
        }
        let before = self.assignments.iter().rposition(|assignment| assignment.name == name);
        let old = before.map(|at| self.written(&self.assignments[at]));
        for written in ways(value, old) {
            let text = match before {
                Some(at) => self.rewritten(&self.assignments[at], &written),
                None => self.appended(name, &written),
            };
            let Ok(after) = Self::parse(&self.file, &text) else { continue };
            if after.get(name) == Some(value) && self.differs_only_in(&after, before) {
                *self = after;
                return Ok(());
            }
        }
        let reason = "no way of quoting keeps it";
        Err(RecipeError::Unwritable { file: self.file.clone(), name: name.to_owned(), reason })
    }

    /// Removes every assignment of a variable, with their lines where nothing else stands on them. Whether there was one.
    pub fn unset(&mut self, name: &str) -> bool {
        let mut text = self.text.clone();
        for assignment in self.assignments.iter().rev().filter(|assignment| assignment.name == name) {
            text.replace_range(self.lines_of(assignment), "");
        }
        // What is left was read before: its statements stand as they stood.
        match Self::parse(&self.file, &text) {
            Ok(after) if after.text != self.text => {
                *self = after;
                true
            }
            _ => false,
        }
    }

    fn rewritten(&self, assignment: &Assignment, written: &str) -> String {
        let mut text = self.text.clone();
        text.replace_range(assignment.written.clone(), written);
        text
    }

    fn appended(&self, name: &str, written: &str) -> String {
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let between = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { end };
        format!("{}{between}{name}={written}{end}", self.text)
    }

    /// Whether all assignments but one are written in `after` as they are here, with the same comments.
    fn differs_only_in(&self, after: &Self, changed: Option<usize>) -> bool {
        let expected = self.assignments.len() + usize::from(changed.is_none());
        after.assignments.len() == expected
            && self.assignments.iter().zip(&after.assignments).enumerate().all(|(at, (old, new))| {
                let is_same = changed == Some(at) || self.written(old) == after.written(new);
                is_same && old.name == new.name && old.comment == new.comment
            })
    }

    /// What goes with an assignment: its whole lines, or where something else shares them its statement and its comment.
    fn lines_of(&self, assignment: &Assignment) -> std::ops::Range<usize> {
        let statement = assignment.statement.clone();
        let start = self.text[..statement.start].rfind('\n').map_or(0, |at| at + 1);
        // A value without quotes ends, like its comment, also at a carriage return alone; others go on behind that.
        let ends: &[char] = if self.written(assignment).starts_with(['"', '\'']) { &['\n'] } else { &['\n', '\r'] };
        let end = self.text[statement.end..].find(ends).map_or(self.text.len(), |at| statement.end + at);
        let is_alone = self.text[start..statement.start].trim_matches(scan::is_space).is_empty();
        let behind = self.text[statement.end..end].trim();
        let is_last = behind.is_empty() || behind.starts_with('#');
        match (is_last, is_alone) {
            (true, true) => start..self.behind_end_of_line(end),
            (true, false) => statement.start..end,
            (false, _) => statement,
        }
    }

    fn behind_end_of_line(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = ["\r\n", "\n", "\r"].into_iter().find(|end| rest.starts_with(end));
        at + end.map_or(0, str::len)
    }
}

/// The ways to write a value, the best first; not each of them keeps it.
fn ways(value: &str, old: Option<&str>) -> Vec<String> {
    let is_safe = |char: char| char.is_ascii_alphanumeric() || "_./:@%+,=~^-".contains(char);
    let single = format!("'{value}'");
    let double = format!("\"{value}\"");
    let escaped = format!("\"{}\"", escape(value));
    let plain = value.to_owned();
    let mut ways = Vec::new();
    if value.chars().all(is_safe) {
        match old.and_then(|old| old.chars().next()) {
            Some('"') => ways.push(double.clone()),
            Some('\'') => ways.push(single.clone()),
            _ => {}
        }
        ways.push(plain.clone());
    }
    if !value.contains(['\\', '$', '"', '\n', '\r']) {
        ways.push(double);
    }
    if !value.contains(['\n', '\r']) {
        ways.push(single.clone());
    }
    ways.extend([escaped, plain, single]);
    ways
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for char in value.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' | '"' | '$' => out.extend(['\\', char]),
            _ => out.push(char),
        }
    }
    out
}
