//! The environment of a service: what its declaration says, and a file on the host in the form that systemd reads.

use std::collections::BTreeMap;

use crate::{RuntimeError, ServiceRelease};

/// The variable that tells one of two instances its port.
pub(crate) const PORT: &str = "PORT";

/// The whole environment of an instance that listens on `port`.
pub(crate) fn of(service: &ServiceRelease, port: Option<u16>) -> Result<BTreeMap<String, String>, RuntimeError> {
    let mut env = service.env.clone();
    if let Some(file) = &service.env_file {
        let (path, may_lack) = file.strip_prefix('-').map_or((file.as_str(), false), |path| (path, true));
        match fs_err::read_to_string(path) {
            Ok(text) => {
                let found = parse(&text);
                // With systemd the file would win, and both instances listen on one port.
                if service.blue_green && found.iter().any(|(name, _)| name == PORT) {
                    let reason = format!("`{path}` sets {PORT}, by which each of two instances is told its own port");
                    return Err(RuntimeError::Refused { what: "`envFile`".to_owned(), reason });
                }
                env.extend(found);
            }
            Err(error) if may_lack && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(RuntimeError::file("read", path)(error)),
        }
    }
    if let Some(port) = port.filter(|_| service.blue_green) {
        env.insert(PORT.to_owned(), port.to_string());
    }
    Ok(env)
}

/// Lines `NAME=value`, as systemd reads them (its `load_env_file`): a line that begins with `#` or `;` is a comment, quotes count where a
/// value begins or goes on after a quote, and what is no name is passed over with its value.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut reader = Reader::default();
    let end = text.chars().fold(State::Start, |state, c| reader.step(state, c));
    if !matches!(end, State::Start | State::Comment | State::Name) {
        reader.finish(end);
    }
    reader.found
}

/// Where in a file the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Comment,
    Name,
    /// Behind the `=`, or behind a closing quote.
    Before,
    Plain,
    PlainEscape,
    Single,
    Double,
    DoubleEscape,
}

#[derive(Default)]
struct Reader {
    found: Vec<(String, String)>,
    name: String,
    value: String,
    /// Where the white space at the end of a plain value begins, when there is some.
    blank: Option<usize>,
}

impl Reader {
    fn step(&mut self, state: State, c: char) -> State {
        let (is_end, is_blank) = (matches!(c, '\n' | '\r'), matches!(c, ' ' | '\t' | '\n' | '\r'));
        match (state, c) {
            (State::Start, '#' | ';') => State::Comment,
            (State::Start, _) if is_blank => State::Start,
            (State::Start, _) => {
                self.name = c.to_string();
                State::Name
            }
            (State::Comment | State::Name, _) if is_end => State::Start,
            (State::Comment, _) => State::Comment,
            (State::Name, '=') => {
                (self.value, self.blank) = (String::new(), None);
                State::Before
            }
            (State::Name, _) => {
                self.name.push(c);
                State::Name
            }
            (State::Before | State::Plain, _) if is_end => self.finish(state),
            (State::Before, '\'') => State::Single,
            (State::Before, '"') => State::Double,
            (State::Before, _) if is_blank => State::Before,
            (State::Single, '\'') | (State::Double, '"') => State::Before,
            (State::Before | State::Plain, '\\') => {
                self.blank = None;
                State::PlainEscape
            }
            (State::Double, '\\') => State::DoubleEscape,
            // What joins two lines is no part of the value.
            (State::PlainEscape, _) if is_end => State::Plain,
            (State::DoubleEscape, '\n') => State::Double,
            (State::Before | State::Plain | State::PlainEscape, _) => {
                let is_trailing = is_blank && state == State::Plain;
                self.blank = is_trailing.then(|| self.blank.unwrap_or(self.value.len()));
                self.value.push(c);
                State::Plain
            }
            (State::Single, _) => {
                self.value.push(c);
                State::Single
            }
            (State::Double | State::DoubleEscape, _) => {
                if state == State::DoubleEscape && !matches!(c, '"' | '\\' | '`' | '$') {
                    self.value.push('\\');
                }
                self.value.push(c);
                State::Double
            }
        }
    }

    /// The value is at its end.
    fn finish(&mut self, state: State) -> State {
        if let (State::Plain, Some(blank)) = (state, self.blank) {
            self.value.truncate(blank);
        }
        let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.value));
        let name = name.trim_end();
        if is_name(name) {
            self.found.push((name.to_owned(), value));
        }
        State::Start
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_systemd_reads_it() {
        let text = "# a comment\n; another\nA=1\n  B = two words  \nC=\"a \\\"b\\\" c\"\nD='it is $HOME \\n'\nE=\nbad line\nF=x\\\ny\nG=\"two\nlines\"\n1H=no\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a \"b\" c"),
            ("D", "it is $HOME \\n"),
            ("E", ""),
            ("F", "xy"),
            ("G", "two\nlines"),
        ];
        let expected: Vec<(String, String)> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(parse(text), expected);
        let odd = r#"JSON={"a":"b c"}
REG="a\d\"\$\`\\"
Q=it's
AFTER=1
S='a\'b"c" d
T=x\ 
U="a" 'b'   c\
d	
V=#no comment
export W=1
X=\"q\"
"#;
        let expected = [
            ("JSON", r#"{"a":"b c"}"#),
            ("REG", "a\\d\"$`\\"),
            ("Q", "it's"),
            ("AFTER", "1"),
            ("S", "a\\b\"c\" d"),
            ("T", "x "),
            ("U", "abcd"),
            ("V", "#no comment"),
            ("X", "\"q\""),
        ];
        let expected: Vec<(String, String)> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(parse(odd), expected);
        assert_eq!(parse("A=1\r\nB=\"2\r\n"), [("A", "1"), ("B", "2\r\n")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(parse("A=unfinished"), [("A".to_owned(), "unfinished".to_owned())]);
        assert_eq!(parse(""), []);
    }
}
