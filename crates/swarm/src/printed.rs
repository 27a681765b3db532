//! What `docker stack config` prints is not all that it read: two faults of its YAML printer are mended here.
//!
//! - A text that begins with an empty line loses this line: `"\nfirst"` is printed as `|2-` with `first` below. The mark for the
//!   indentation (`2`) stands only where a text begins with an empty line or with spaces, so that nearly always it can be told what is
//!   missing.
//! - A text like `12e45678` stands without quotes: its printer knows that no number is that large. Other readers take it for one.
//!
//! Its documents are plain: each entry on a line of its own, texts of several lines in blocks (`|`) or with escapes. Line breaks that
//! only Unicode has (U+2028) are not looked after: their texts are printed with spaces that nobody can tell from their own.

/// Why a text is not known any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Its key, or what stands in its place.
    pub(crate) key: String,
}

/// Whether texts stand in it that may have lost their first line.
pub(crate) fn may_lack_lines(printed: &str) -> bool {
    Lines::of(printed).any(|line| line.header.is_some_and(|header| header.is_marked))
}

/// The document with what is missing. `loses_lines`: the printer is one that loses first lines. `may_begin_empty`: some text that it
/// was given may begin with an empty line and spaces behind it.
pub(crate) fn mended(printed: &str, loses_lines: bool, may_begin_empty: bool) -> Result<String, Unknown> {
    let mut out = String::with_capacity(printed.len() + 16);
    let mut lines = Lines::of(printed).peekable();
    while let Some(line) = lines.next() {
        match line.overflowing {
            Some(at) => out += &format!("{}\"{}\"\n", &line.text[..at], &line.text[at..]),
            None => out += &format!("{}\n", line.text),
        }
        let Some(header) = line.header.filter(|header| header.is_marked && loses_lines) else { continue };
        let first =
            lines.peek().filter(|next| next.is_content).map(|next| next.text.get(header.indent..).unwrap_or(""));
        match first {
            // It begins with spaces, or with an empty line that is lost and spaces behind it.
            Some(first) if first.starts_with(' ') && may_begin_empty => {
                let key = line.text.trim().split(": |").next().unwrap_or_default().to_owned();
                return Err(Unknown { key });
            }
            Some(first) if first.starts_with(' ') => {}
            _ => out.push('\n'),
        }
    }
    Ok(out)
}

/// Whether a text that is composed may come to begin with an empty line and spaces behind it, by what stands in a compose file or is
/// the value of a variable.
pub(crate) fn may_begin_empty<'a>(
    files: impl IntoIterator<Item = &'a str>,
    values: impl IntoIterator<Item = &'a str>,
) -> bool {
    let in_value = |text: &str| text.starts_with('\n') && text.trim_start_matches('\n').starts_with(' ');
    files.into_iter().any(|text| in_blocks(text) || in_quotes(text)) || values.into_iter().any(in_value)
}

/// In a block the first line that is not empty says how far all is indented, unless the mark does; what a variable begins with is not
/// known here.
fn in_blocks(text: &str) -> bool {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let header = line.trim_end().rsplit(' ').next().filter(|end| end.starts_with(['|', '>']));
        let Some(header) = header else { continue };
        let is_marked = header.contains(|char: char| char.is_ascii_digit());
        let mut content = lines.clone().peekable();
        let begins_empty = content.peek().is_some_and(|first| first.trim().is_empty());
        let first = content.find(|line| !line.trim().is_empty()).unwrap_or_default();
        if begins_empty && (is_marked || first.trim_start().starts_with('$')) {
            return true;
        }
    }
    false
}

/// In quotes line breaks at the beginning are escapes; those that are none are folded, with the spaces around them.
fn in_quotes(text: &str) -> bool {
    let breaks = ["\\n", "\\x0a", "\\x0A", "\\u000a", "\\u000A"];
    let behind = |text: &'_ str| breaks.iter().find_map(|one| text.strip_prefix(one)).map(str::len);
    text.match_indices('"').any(|(at, _)| {
        let mut rest = &text[at + 1..];
        let before = rest.len();
        while let Some(left) = behind(rest) {
            rest = &rest[rest.len() - left..];
        }
        rest.len() < before && [" ", "$", "\\x20", "\\u0020"].iter().any(|start| rest.starts_with(start))
    })
}

/// One line, and what it is.
struct Line<'a> {
    text: &'a str,
    /// It is of the text of a block.
    is_content: bool,
    /// It begins a block.
    header: Option<Header>,
    /// Where a text begins that others take for a number too large.
    overflowing: Option<usize>,
}

#[derive(Clone, Copy)]
struct Header {
    /// Whether it says how far its text is indented.
    is_marked: bool,
    /// How far that is.
    indent: usize,
}

struct Lines<'a> {
    rest: std::str::Split<'a, char>,
    /// What is further right than this is the text of a block.
    block: Option<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text.strip_suffix('\n').unwrap_or(text).split('\n'), block: None }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let text = self.rest.next()?;
        let indent = text.len() - text.trim_start_matches(' ').len();
        if self.block.is_some_and(|parent| text.trim_matches(' ').is_empty() || indent > parent) {
            return Some(Line { text, is_content: true, header: None, overflowing: None });
        }
        let (parent, at) = value_in(text, indent);
        let value = &text[at..];
        let is_block = value.starts_with(['|', '>']);
        self.block = is_block.then_some(parent);
        let is_marked = value.get(1..2).is_some_and(|mark| mark.bytes().all(|byte| byte.is_ascii_digit()));
        let header = is_block.then_some(Header { is_marked, indent: parent + 2 });
        Some(Line { text, is_content: false, header, overflowing: is_overflowing(value).then_some(at) })
    }
}

/// The column of the entry that a line holds, and where its value begins.
fn value_in(text: &str, indent: usize) -> (usize, usize) {
    let (mut parent, mut at) = (indent, indent);
    while ["- ", "? ", ": "].iter().any(|mark| text[at..].starts_with(mark)) {
        (parent, at) = (at, at + 2);
    }
    let rest = &text[at..];
    let key = match rest.chars().next() {
        Some('"') => end_of_quoted(rest, '"'),
        Some('\'') => end_of_quoted(rest, '\''),
        Some('|' | '>') => None,
        _ => rest.find(": "),
    };
    match key.filter(|end| rest[*end..].starts_with(": ")) {
        Some(end) => (at, at + end + 2),
        None => (parent, at),
    }
}

/// Where a quoted text ends. Within `'` a quote is doubled: two texts side by side, for this purpose.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let (mut is_within, mut is_escaped) = (false, false);
    for (at, char) in text.char_indices() {
        if !is_within && char != quote {
            return Some(at);
        }
        if char == quote && !is_escaped {
            is_within = !is_within;
        }
        is_escaped = quote == '"' && char == '\\' && !is_escaped;
    }
    None
}

/// Whether a text without quotes is one that others take for a number. Docker's printer leaves quotes out where no number of 64 bits
/// can be meant.
fn is_overflowing(value: &str) -> bool {
    let number = value.strip_prefix(['+', '-']).unwrap_or(value);
    if !number.starts_with(|char: char| char.is_ascii_digit() || char == '.') {
        return false;
    }
    let number = number.replace('_', "").to_lowercase();
    ["0x", "0o", "0b"].iter().any(|start| number.starts_with(start)) || number.parse().is_ok_and(f64::is_infinite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_that_are_empty_come_back() {
        let printed = "services:\n  app:\n    command:\n      - sh\n      - |2-\n        first\n        x\n    environment:\n      \
            A: |2\n        first\n          second\n      'b: c': |2\n\n        first\n      C: |2+\n      D: |-\n        x: |2\n        y\n\
            x-a:\n  - k: |2-\n      first\n  - - |2-\n      z\n  - l: x\n";
        let mended = mended(printed, true, true).unwrap();
        let expected = printed
            .replace("|2-\n        first", "|2-\n\n        first")
            .replace("A: |2\n", "A: |2\n\n")
            .replace("'b: c': |2\n", "'b: c': |2\n\n")
            .replace("|2+\n", "|2+\n\n")
            .replace("k: |2-\n", "k: |2-\n\n")
            .replace("- - |2-\n", "- - |2-\n\n");
        assert_eq!(mended, expected);
        assert!(may_lack_lines(printed) && !may_lack_lines("a: |-\n  x: |2\n  y\n"));
        assert_eq!(super::mended(printed, false, true).unwrap(), printed, "a printer without the fault");
    }

    #[test]
    fn spaces_at_the_beginning_are_kept_where_nothing_can_have_been_lost() {
        let printed = "a:\n  - B: |2-\n        x\n      y\n";
        assert_eq!(mended(printed, true, false).unwrap(), printed);
        assert_eq!(mended(printed, true, true), Err(Unknown { key: "- B".to_owned() }));
        let files = |text| may_begin_empty([text], []);
        for text in ["a: |2-\n\n    x\n", "a: |\n\n  ${X}\n", "a: \"\\n\\n x\"\n", "a: \"\\x0a$X\"\n"] {
            assert!(files(text), "{text}");
        }
        for text in ["a: |\n\n  x\n", "a: |2\n    x\n\n  b\n", "a: \"x\\n y\"\n", "a: \"\\nx y\"\n", "a: \"\n\n x\"\n"]
        {
            assert!(!files(text), "{text}");
        }
        assert!(may_begin_empty([], ["x", "\n y"]) && !may_begin_empty([], [" y", "\ny"]));
    }

    #[test]
    fn texts_that_look_like_numbers_too_large_are_quoted() {
        let printed = "a:\n  - 12e45678\n  - B: -1e400\n  - 0xffffffffffffffffffff\n  - 1e5_000\n  - '12e45678'\nc: 1e-08\nd: 5e\ne: 12\n\
            f: .inf\ng: |-\n  h: 12e45678\n\"i\\\"\": 1e999\n'j''': +.1E999\nk: 1e999 x\n";
        let expected = "a:\n  - \"12e45678\"\n  - B: \"-1e400\"\n  - \"0xffffffffffffffffffff\"\n  - \"1e5_000\"\n  - '12e45678'\nc: 1e-08\nd: \
            5e\ne: 12\nf: .inf\ng: |-\n  h: 12e45678\n\"i\\\"\": \"1e999\"\n'j''': \"+.1E999\"\nk: 1e999 x\n";
        assert_eq!(mended(printed, true, true).unwrap(), expected);
    }
}
