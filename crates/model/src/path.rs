//! Member paths: how a member of a deployment is addressed, from the root down.
//!
//! Written with dots (`hosts.web1.system`); a name that is not plain is quoted (`files."a.txt"`), with `\"`, `\\`, `\n`,
//! `\t`, `\r` and `\u{…}` inside. The root is written `.`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Where a member stands in the deployment: names from the root down; empty for the root itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberPath(Arc<[String]>);

/// Why a text is not a member path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing was given.
    #[error("the member path is empty; the root is written `.`")]
    Empty,
    /// Two dots in a row, or one at an end.
    #[error("empty name at byte {at} of member path `{text}`; quote an empty name as `\"\"`")]
    EmptyName {
        /// The whole text.
        text: String,
        /// Byte offset of the fault.
        at: usize,
    },
    /// A quote that is not closed, or text after a closing quote.
    #[error("bad quoting at byte {at} of member path `{text}`; write a name with dots as `a.\"b.c\"`")]
    Quoting {
        /// The whole text.
        text: String,
        /// Byte offset of the fault.
        at: usize,
    },
    /// Longer than [`limits::MEMBER_DEPTH`] or a name longer than [`limits::MEMBER_NAME_BYTES`].
    #[error("member path is too long (at most {} names of {} bytes)", limits::MEMBER_DEPTH, limits::MEMBER_NAME_BYTES)]
    TooLong,
}

impl MemberPath {
    /// The root of a deployment.
    pub fn root() -> Self {
        Self(Arc::from(Vec::new()))
    }

    /// From names, outermost first.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The names, outermost first.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether this is short enough to be written down and read back: see [`PathError::TooLong`].
    pub fn is_within_limits(&self) -> bool {
        self.0.len() <= limits::MEMBER_DEPTH && self.0.iter().all(|name| name.len() <= limits::MEMBER_NAME_BYTES)
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The member `name` of this composite.
    pub fn child(&self, name: &str) -> Self {
        let mut names = self.0.to_vec();
        names.push(name.to_owned());
        Self(names.into())
    }

    /// The composite that holds this member; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.into()))
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Whether `self` is `other` or stands below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.len() >= other.0.len() && self.0[..other.0.len()] == other.0[..]
    }

    /// The same path with the leading `from` exchanged for `to`; `None` when `self` is not within `from`.
    pub fn rebase(&self, from: &Self, to: &Self) -> Option<Self> {
        self.is_within(from).then(|| Self::new(to.0.iter().chain(&self.0[from.0.len()..]).cloned()))
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write_name(f, name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl FromStr for MemberPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text == "." {
            return Ok(Self::root());
        }
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        let mut names = Vec::new();
        let mut rest = text;
        loop {
            let at = text.len() - rest.len();
            let (name, after) = if rest.starts_with('"') {
                read_quoted(text, at)?
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                if end == 0 {
                    return Err(PathError::EmptyName { text: text.to_owned(), at });
                }
                (rest[..end].to_owned(), &rest[end..])
            };
            if name.len() > limits::MEMBER_NAME_BYTES || names.len() == limits::MEMBER_DEPTH {
                return Err(PathError::TooLong);
            }
            names.push(name);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(Self(names.into())),
                None => {
                    let at = text.len() - after.len();
                    return Err(PathError::Quoting { text: text.to_owned(), at });
                }
            }
        }
    }
}

impl Serialize for MemberPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemberPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A name is written bare when nothing in it could be mistaken for syntax by us or by a shell.
fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '\'' | '@' | '+');
    if !name.is_empty() && name.chars().all(plain) {
        return f.write_str(name);
    }
    f.write_str("\"")?;
    for c in name.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// Reads the quoted name that starts at byte `at`; returns it and what follows the closing quote.
fn read_quoted(text: &str, at: usize) -> Result<(String, &str), PathError> {
    let fault = |at| PathError::Quoting { text: text.to_owned(), at };
    let mut name = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((offset, c)) = chars.next() {
        let here = at + 1 + offset;
        match c {
            '"' => return Ok((name, &text[here + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => name.push('\n'),
                Some((_, 't')) => name.push('\t'),
                Some((_, 'r')) => name.push('\r'),
                Some((_, c @ ('"' | '\\'))) => name.push(c),
                Some((_, 'u')) => name.push(read_code_point(&mut chars).ok_or_else(|| fault(here))?),
                _ => return Err(fault(here)),
            },
            c => name.push(c),
        }
    }
    Err(fault(at))
}

fn read_code_point(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let (_, '{') = chars.next()? else { return None };
    let mut digits = String::new();
    for (_, c) in chars.by_ref() {
        if c == '}' {
            return char::from_u32(u32::from_str_radix(&digits, 16).ok()?);
        }
        digits.push(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_joined_by_dots() {
        assert_eq!(MemberPath::new(["hosts", "web1", "system"]).to_string(), "hosts.web1.system");
    }

    #[test]
    fn names_with_dots_quotes_spaces_and_foreign_letters_are_quoted() {
        let path = MemberPath::new(["files", "a.txt", "say \"hi\"", "żółw", ""]);
        assert_eq!(path.to_string(), r#"files."a.txt"."say \"hi\""."żółw"."""#);
    }

    #[test]
    fn faults_are_named_with_their_place() {
        for (text, message) in [
            ("", "the member path is empty; the root is written `.`"),
            ("a..b", "empty name at byte 2 of member path `a..b`; quote an empty name as `\"\"`"),
            ("a.", "empty name at byte 2 of member path `a.`; quote an empty name as `\"\"`"),
            ("a.\"b", "bad quoting at byte 2 of member path `a.\"b`; write a name with dots as `a.\"b.c\"`"),
            ("\"a\"b", "bad quoting at byte 3 of member path `\"a\"b`; write a name with dots as `a.\"b.c\"`"),
        ] {
            assert_eq!(text.parse::<MemberPath>().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn every_path_survives_being_written_and_read(names in prop::collection::vec(any::<String>(), 0..5)) {
            prop_assume!(names.iter().all(|n| n.len() <= limits::MEMBER_NAME_BYTES));
            let path = MemberPath::new(names);
            prop_assert_eq!(path.to_string().parse::<MemberPath>().unwrap(), path);
        }
    }
}
