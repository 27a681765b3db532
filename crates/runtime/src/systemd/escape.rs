//! Texts as systemd reads them back: words in quotes, `%` that is no specifier, paths that are taken as they stand.
//!
//! Facts from systemd.syntax(7), systemd.exec(5), systemd.service(5), and checked on a real systemd by the host test. `$` is not
//! escaped here: commands are written with the prefix `:`, under which systemd expands no variables.

use crate::RuntimeError;

/// A word in double quotes, as `ExecStart=` and `Environment=` read it: C escapes, and `%%` for `%`.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A program and its arguments as `ExecStart=` reads them back. Nothing in them is a variable.
///
/// # Errors
/// The program is no absolute path, or one that systemd cannot be told of; there is none.
pub fn command_line(words: &[String]) -> Result<String, RuntimeError> {
    let (first, arguments) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let words = arguments.iter().map(|argument| quoted(argument));
    Ok([program(first)?].into_iter().chain(words).collect::<Vec<_>>().join(" "))
}

/// The value of an environment variable. systemd refuses control characters in them, but for tabs and line ends.
///
/// # Errors
/// It holds one.
pub(super) fn variable(name: &str, value: &str) -> Result<String, RuntimeError> {
    let is_refused = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n');
    match value.chars().find(|c| is_refused(*c)) {
        Some(c) => {
            Err(refused(&format!("env/{name}"), &format!("it holds the control character `{}`", c.escape_debug())))
        }
        None => Ok(quoted(&format!("{name}={value}"))),
    }
}

/// The program of `ExecStart=`, which may hold no quotes, backslashes or control characters, however they are written.
///
/// # Errors
/// It does, or is no absolute path.
pub(super) fn program(path: &str) -> Result<String, RuntimeError> {
    if path.contains(|c: char| c.is_ascii_control() || matches!(c, '"' | '\'' | '\\')) {
        return Err(refused("exec/command", "the program's path holds a quote, a backslash or a control character"));
    }
    // `:`: nothing in the arguments is a variable to expand.
    Ok(quoted(&format!(":{}", absolute("exec/command", path)?)))
}

/// A path that systemd takes as it stands, without quotes: to the end of the line.
///
/// # Errors
/// It would not be read back as it was meant.
pub(super) fn raw_path(field: &str, path: &str) -> Result<String, RuntimeError> {
    if path.contains('\\') || path.ends_with(char::is_whitespace) || path.contains(|c: char| c.is_ascii_control()) {
        return Err(refused(
            field,
            &format!("`{}` holds a backslash or a control character, or ends in a blank", path.escape_debug()),
        ));
    }
    Ok(absolute(field, path)?.replace('%', "%%"))
}

/// A path that systemd takes for a pattern: what would match more than itself is escaped.
///
/// # Errors
/// It would not be read back as it was meant.
pub(super) fn pattern(field: &str, path: &str) -> Result<String, RuntimeError> {
    let raw = raw_path(field, path)?;
    let escape = |c| if matches!(c, '*' | '?' | '[' | ']') { vec!['\\', c] } else { vec![c] };
    Ok(raw.chars().flat_map(escape).collect())
}

/// A path in quotes, in a list; `-` and `+` before it mean what they mean to systemd.
///
/// # Errors
/// It is no absolute path.
pub(super) fn listed_path(field: &str, path: &str) -> Result<String, RuntimeError> {
    let bare = path.trim_start_matches(['-', '+']);
    let prefix = &path[..path.len() - bare.len()];
    Ok(quoted(&format!("{prefix}{}", absolute(field, bare)?)))
}

/// A path below one of systemd's own directories, in a list in which `:` divides.
///
/// # Errors
/// It cannot be such a path.
pub(super) fn directory(field: &str, path: &str) -> Result<String, RuntimeError> {
    if path.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '\\' | '"' | '\'')) {
        return Err(refused(field, &format!("`{}` holds a blank, a quote, a backslash or a `:`", path.escape_debug())));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.first() {
        None | Some(&"private") => Err(refused(field, &format!("`{path}` is a directory of systemd's own"))),
        Some(_) if parts.contains(&"..") || path.starts_with('/') => {
            Err(refused(field, &format!("`{path}` leaves the directory that systemd puts it in")))
        }
        Some(_) => Ok(parts.join("/").replace('%', "%%")),
    }
}

/// A word of a list without quotes: names of units, of capabilities, of groups.
///
/// # Errors
/// It is none.
pub(super) fn word(field: &str, text: &str) -> Result<String, RuntimeError> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'')) {
        return Err(refused(field, &format!("`{}` is not a word", text.escape_debug())));
    }
    if text.ends_with('\\') {
        return Err(refused(field, &format!("`{text}` ends in a backslash")));
    }
    Ok(text.replace('%', "%%"))
}

/// An absolute path without what means nothing in it; systemd refuses those in some places.
fn absolute(field: &str, path: &str) -> Result<String, RuntimeError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if !path.starts_with('/') || parts.contains(&"..") {
        return Err(refused(field, &format!("`{}` is not an absolute path without `..`", path.escape_debug())));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// What cannot be said to systemd.
pub(super) fn refused(field: &str, reason: &str) -> RuntimeError {
    RuntimeError::Unwritable { field: field.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use super::*;

    #[test]
    fn every_nasty_character_is_written_so_that_it_comes_back() {
        let cases = [
            ("plain", r#""plain""#),
            ("", r#""""#),
            ("two words", r#""two words""#),
            (r#"say "no""#, r#""say \"no\"""#),
            ("it's", r#""it's""#),
            (r"back\slash\", r#""back\\slash\\""#),
            ("100%n", r#""100%%n""#),
            ("$HOME ${HOME}", r#""$HOME ${HOME}""#),
            ("a\nb\tc\u{1}\u{7f}", r#""a\nb\tc\x01\x7f""#),
            ("grün 🌱", r#""grün 🌱""#),
            (";", r#"";""#),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn paths_are_made_plain_and_what_cannot_be_said_is_refused() {
        assert_eq!(raw_path("f", "/srv//my data/./50%").unwrap(), "/srv/my data/50%%");
        assert_eq!(pattern("f", "/srv/a*[b]?").unwrap(), r"/srv/a\*\[b\]\?");
        assert_eq!(listed_path("f", r#"-/srv/a "b""#).unwrap(), r#""-/srv/a \"b\"""#);
        assert_eq!(directory("f", "web/./data%1").unwrap(), "web/data%%1");
        assert_eq!(program("/opt/a b/run%").unwrap(), r#"":/opt/a b/run%%""#);
        let refusals = [
            raw_path("f", "/srv/a\\"),
            raw_path("f", "/srv/a "),
            raw_path("f", "srv"),
            raw_path("f", "/srv/../etc"),
            directory("f", "private/web"),
            directory("f", "a:b"),
            directory("f", "a/../b"),
            program("/opt/it's"),
            variable("A", "\u{1b}[0m"),
            word("f", "two words"),
        ];
        let texts: Vec<String> = refusals.into_iter().map(|refusal| refusal.unwrap_err().to_string()).collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
        `f` cannot be written into a unit: `/srv/a\\` holds a backslash or a control character, or ends in a blank
        `f` cannot be written into a unit: `/srv/a ` holds a backslash or a control character, or ends in a blank
        `f` cannot be written into a unit: `srv` is not an absolute path without `..`
        `f` cannot be written into a unit: `/srv/../etc` is not an absolute path without `..`
        `f` cannot be written into a unit: `private/web` is a directory of systemd's own
        `f` cannot be written into a unit: `a:b` holds a blank, a quote, a backslash or a `:`
        `f` cannot be written into a unit: `a/../b` leaves the directory that systemd puts it in
        `exec/command` cannot be written into a unit: the program's path holds a quote, a backslash or a control character
        `env/A` cannot be written into a unit: it holds the control character `\u{1b}`
        `f` cannot be written into a unit: `two words` is not a word
        "#);
    }
}
