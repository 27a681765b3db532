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

/// Lines `NAME=value`; a value may stand in quotes, a line that begins with `#` or `;` is a comment.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let line = rest[..line_end].trim_start();
        let is_comment = line.starts_with(['#', ';']);
        let assignment = line.split_once('=').filter(|(name, _)| !is_comment && is_name(name.trim()));
        let Some((name, _)) = assignment else {
            rest = &rest[line_end..];
            continue;
        };
        let value_at = rest.len() - rest.trim_start().len() + name.len() + 1;
        let (value, used) = read_value(&rest[value_at..]);
        found.push((name.trim().to_owned(), value));
        rest = &rest[value_at + used..];
    }
    found
}

/// Reads a value up to the end of its line, quotes and escaped line ends taken into account; and how many bytes it took.
fn read_value(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    let mut end_of_text = 0;
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\n') => {
                value.truncate(end_of_text);
                return (value, at + 1);
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => match chars.next() {
                Some((_, '\n')) | None => {}
                Some((_, escaped)) => value.push(escaped),
            },
            (None, c) if c.is_whitespace() => {
                if !value.is_empty() {
                    value.push(c);
                }
                continue;
            }
            (_, c) => value.push(c),
        }
        end_of_text = value.len();
    }
    value.truncate(end_of_text);
    (value, text.len())
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
        assert_eq!(parse("A=unfinished"), [("A".to_owned(), "unfinished".to_owned())]);
        assert_eq!(parse(""), []);
    }
}
