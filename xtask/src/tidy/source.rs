//! A view of Rust source in which comments and the insides of literals are blank, line by line as in the file.
//!
//! It is no parser: enough to count braces and to look for names without being fooled by text.

/// The blanked source, and where its tests begin.
pub(super) struct Code {
    /// The lines, as long as in the file.
    pub(super) lines: Vec<String>,
    /// How many lines come before the file's `#[cfg(test)] mod …`; all of them when there is none.
    pub(super) before_tests: usize,
}

/// A function with its first and last line, counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Code {
    pub(super) fn of(text: &str) -> Self {
        let lines: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let is_test_module = |at: &usize| {
            lines[*at].trim() == "#[cfg(test)]"
                && lines[at + 1..].iter().find(|line| !line.trim().starts_with("#[")).is_some_and(|line| {
                    let line = line.trim();
                    line.starts_with("mod ") && line.ends_with('{')
                })
        };
        let before_tests = (0..lines.len()).find(is_test_module).unwrap_or(lines.len());
        Self { lines, before_tests }
    }

    /// The lines that are not tests, with their numbers from 1.
    pub(super) fn own_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().take(self.before_tests).enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }

    /// Every function with a body, outside the tests.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for first in 0..self.before_tests {
            let Some(name) = function_name(&self.lines[first]) else {
                continue;
            };
            if let Some(last) = self.end_of_body(first) {
                found.push(Function { name, first, last });
            }
        }
        found
    }

    fn end_of_body(&self, first: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut parentheses = 0_usize;
        for (at, line) in self.lines.iter().enumerate().skip(first) {
            for character in line.chars() {
                match character {
                    '(' | '[' => parentheses += 1,
                    ')' | ']' => parentheses = parentheses.saturating_sub(1),
                    // A declaration without a body.
                    ';' if depth == 0 && parentheses == 0 => return None,
                    '{' => depth += 1,
                    '}' => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            return Some(at);
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let leads = |word: &str| word.starts_with("pub") || ["const", "async", "unsafe", "extern"].contains(&word);
    if words.find(|word| !leads(word))? != "fn" {
        return None;
    }
    let name = words.next()?.split(['(', '<']).next()?;
    Some(name.to_owned())
}

/// The text with everything in comments, strings and character literals replaced by spaces.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = literal_end(&characters, at);
        if end == at {
            out.push(characters[at]);
            at += 1;
            continue;
        }
        for character in &characters[at..end] {
            out.push(if *character == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(text: &[char], at: usize) -> usize {
    let next = text.get(at + 1).copied().unwrap_or(' ');
    let after_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match text[at] {
        '/' if next == '/' => find(text, at, |rest| rest.starts_with(&['\n'])).unwrap_or(text.len()),
        '/' if next == '*' => end_of_comment(text, at),
        '"' => end_of_string(text, at + 1),
        'r' if !after_word || text[at - 1] == 'b' => end_of_raw_string(text, at).unwrap_or(at),
        '\'' => end_of_character(text, at).unwrap_or(at),
        _ => at,
    }
}

fn find(text: &[char], from: usize, matches: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..text.len()).find(|at| matches(&text[*at..]))
}

fn end_of_comment(text: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn end_of_string(text: &[char], mut at: usize) -> usize {
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn end_of_raw_string(text: &[char], start: usize) -> Option<usize> {
    let hashes = text[start + 1..].iter().take_while(|character| **character == '#').count();
    if text.get(start + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut closing = vec!['"'];
    closing.extend(std::iter::repeat_n('#', hashes));
    let body = start + 2 + hashes;
    Some(find(text, body, |rest| rest.starts_with(&closing)).map_or(text.len(), |at| at + closing.len()))
}

/// A character literal, not a lifetime: `'x'`, `'\n'`, `'\u{1f}'`.
fn end_of_character(text: &[char], start: usize) -> Option<usize> {
    if text.get(start + 1) == Some(&'\\') {
        let close = find(text, start + 3, |rest| rest.starts_with(&['\'']))?;
        return Some(close + 1);
    }
    (text.get(start + 2) == Some(&'\'')).then_some(start + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_the_rest_stays_in_place() {
        let code = Code::of("let a = \"{\\\"\"; // {\nlet b = '{'; /* { /* } */ */ f::<'a>();\nlet c = r#\"\"{\"#;");
        assert_eq!(
            code.lines.join("\n"),
            "let a =      ;     \nlet b =    ;                 f::<'a>();\nlet c =        ;"
        );
    }

    #[test]
    fn functions_are_found_with_their_extent() {
        let code = Code::of(
            "trait T {\n    fn none(&self) -> [u8; 3];\n    fn one() {\n        if x { y }\n    }\n}\npub(crate) async fn two<T>(\n    a: u8,\n) {\n}\n",
        );
        let found: Vec<(String, usize, usize)> =
            code.functions().into_iter().map(|function| (function.name, function.first, function.last)).collect();
        assert_eq!(found, [("one".to_owned(), 2, 4), ("two".to_owned(), 6, 9)]);
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let code = Code::of("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
        assert_eq!(code.before_tests, 2);
        assert_eq!(code.functions().len(), 1);
    }
}
