//! Release notes (`release/VERSION`), and whether they ask a person to do something.
//!
//! Notes are prose; what tells is a list of words ([`MARKERS`]). It is better to wake somebody for nothing than to run a new
//! version on data that had to be moved first, so the words are broad; a line that denies it (`no manual steps`) does not count.

use crate::{Texts, Version};

/// Where a recipe keeps the notes of its versions.
pub const NOTES_FOLDER: &str = "release/";

/// Words in notes that ask for a person.
pub const MARKERS: [&str; 21] = [
    "action required",
    "abra app cmd",
    "abra app run",
    "abra app secret",
    "back up first",
    "before deploying",
    "before the upgrade",
    "before upgrading",
    "before you deploy",
    "before you upgrade",
    "breaking",
    "by hand",
    "incompatible",
    "major upgrade",
    "manual",
    "migrate your",
    "migration required",
    "must be migrated",
    "needs a new secret",
    "you have to",
    "you must",
];

/// The word of notes that cannot be read.
const UNREADABLE: &str = "unreadable";

/// Words that deny what stands behind them.
const DENIALS: [&str; 8] = ["no ", "not ", "without ", "nothing ", "isn't ", "don't ", "doesn't ", "never "];

/// Notes of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    /// The version.
    pub version: Version,
    /// The whole text.
    pub text: String,
    /// The first line that asks for a person.
    pub manual: Option<Marker>,
}

/// A line that asks for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Its number, from 1.
    pub line: u32,
    /// The line, without space around it.
    pub text: String,
    /// The word that tells.
    pub word: &'static str,
}

/// Notes of all versions after `from` (all, when there is none) up to `to`, oldest first. Those that cannot be read ask for a person:
/// nobody else can tell what they say.
pub fn notes_between(files: &Texts, from: Option<&Version>, to: &Version) -> Vec<Notes> {
    let between = |path: &str| -> Option<Version> {
        let version: Version = path.strip_prefix(NOTES_FOLDER)?.parse().ok()?;
        (from.is_none_or(|from| version > *from) && version <= *to).then_some(version)
    };
    let read = files.iter().filter_map(|(path, text)| {
        Some(Notes { version: between(path)?, text: text.clone(), manual: manual_marker(text) })
    });
    let broken = files.broken().filter_map(|(path, error)| {
        let line = error.place().map_or(1, |at| at.line);
        let manual =
            Some(Marker { line, text: format!("{error}; nobody can tell what it asks for"), word: UNREADABLE });
        Some(Notes { version: between(path)?, text: String::new(), manual })
    });
    let mut notes: Vec<Notes> = read.chain(broken).collect();
    notes.sort_by(|a, b| a.version.cmp(&b.version));
    notes
}

/// The first line that asks for a person.
pub fn manual_marker(text: &str) -> Option<Marker> {
    text.lines().zip(1..).find_map(|(line, number)| {
        let lower = line.to_lowercase();
        let word = MARKERS.iter().find(|word| lower.match_indices(**word).any(|(at, _)| !is_denied(&lower[..at])))?;
        Some(Marker { line: number, text: line.trim().to_owned(), word })
    })
}

/// Whether one of the last three words denies what follows.
fn is_denied(before: &str) -> bool {
    let sentence = before.rsplit(['.', ';', ':', ',', '!']).next().unwrap_or_default();
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let last = words[words.len().saturating_sub(3)..].iter();
    last.into_iter().any(|word| DENIALS.iter().any(|denial| denial.trim_end() == *word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_ask_for_a_person_are_found() {
        let word = |text: &str| manual_marker(text).map(|marker| format!("{} {}", marker.line, marker.word));
        assert_eq!(word("Better logs.\nThe database needs a MANUAL migration.\n").as_deref(), Some("2 manual"));
        assert_eq!(word("Run `abra app cmd blog.example.org db upgrade` after it.").as_deref(), Some("1 abra app cmd"));
        assert_eq!(word("You must set SMTP_HOST.").as_deref(), Some("1 you must"));
        assert_eq!(word("No manual steps. Not a breaking change."), None);
        assert_eq!(word("No changes for you. Manual steps below."), Some("1 manual".to_owned()));
        assert_eq!(word("Bumps the image."), None);
    }

    #[test]
    fn notes_are_those_between_two_versions() {
        let names =
            ["release/1.0.0+1", "release/1.1.0+1", "release/1.10.0+2", "release/1.2.0+1", "release/next", "README.md"];
        let files = Texts::of(names.map(|name| (name, &b"text"[..])));
        let version = |text: &str| text.parse::<Version>().unwrap();
        let between = |from: Option<&str>, to: &str| {
            let notes = notes_between(&files, from.map(version).as_ref(), &version(to));
            notes.into_iter().map(|notes| notes.version.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(between(Some("1.0.0+1"), "1.10.0+2"), ["1.1.0+1", "1.2.0+1", "1.10.0+2"]);
        assert_eq!(between(None, "1.1.0+1"), ["1.0.0+1", "1.1.0+1"]);
        assert_eq!(between(Some("1.1.0+1"), "1.1.0+1"), [""; 0]);
    }

    #[test]
    fn notes_that_cannot_be_read_ask_for_a_person() {
        let latin = b"Caf\xe9: manual migration needed";
        let files = Texts::of([("release/1.0.0+1", &b"\xff"[..]), ("release/1.1.0+1.1", latin)]);
        let (from, to) = ("1.0.0+1".parse().unwrap(), "1.1.0+1.1".parse().unwrap());
        let notes = notes_between(&files, Some(&from), &to);
        let told: Vec<_> = notes.iter().filter_map(|notes| Some(notes.manual.as_ref()?.text.as_str())).collect();
        assert_eq!(told, ["release/1.1.0+1.1:1:4: this is not UTF-8; nobody can tell what it asks for"]);
    }
}
