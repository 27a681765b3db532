//! `abra.sh`: the versions of configs that it exports, and the names of its functions. It is read, never executed.
//!
//! abra looks for lines that begin with `export`; so does this. A value that a shell would have to work out is not taken:
//! it is listed, and the lint tells of it.

use std::collections::BTreeMap;

use freehold_model::limits;

use crate::{Place, RecipeError};

/// What an `abra.sh` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AbraSh {
    /// Exported variables with their values, the last one of a name.
    pub exports: BTreeMap<String, String>,
    /// Exported variables whose value only a shell could tell.
    pub unknown: Vec<(String, Place)>,
    /// Functions, which `abra app cmd` runs.
    pub functions: Vec<String>,
}

impl AbraSh {
    /// Reads the file.
    ///
    /// # Errors
    /// [`RecipeError::TooLarge`].
    pub fn parse(file: &str, text: &str) -> Result<Self, RecipeError> {
        if text.len() > limits::RECIPE_FILE_BYTES {
            let most = limits::RECIPE_FILE_BYTES;
            return Err(RecipeError::TooLarge { file: file.to_owned(), bytes: text.len(), most });
        }
        let mut read = Self::default();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            let start = offset;
            offset += line.len();
            let line = line.trim_end_matches(['\n', '\r']);
            if let Some(rest) = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
                read.export(rest, &Place::of(file, text, start));
            } else if let Some(name) = function(line) {
                read.functions.push(name.to_owned());
            }
        }
        Ok(read)
    }

    fn export(&mut self, mut rest: &str, at: &Place) {
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            let Some((name, after)) = rest.split_once('=').filter(|(name, _)| is_name(name)) else {
                return;
            };
            match word(after) {
                Some((value, left)) => {
                    self.unknown.retain(|(unknown, _)| unknown != name);
                    self.exports.insert(name.to_owned(), value);
                    rest = left;
                }
                None => {
                    self.exports.remove(name);
                    self.unknown.push((name.to_owned(), at.clone()));
                    return;
                }
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    !name.is_empty() && !name.starts_with(|char: char| char.is_ascii_digit()) && name.chars().all(is_part)
}

/// One word of a shell without anything to expand, and what is left behind it. `None` when there is something.
fn word(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            ' ' | '\t' => return Some((out, &text[at..])),
            ';' => return Some((out, "")),
            quote @ ('"' | '\'') => loop {
                match chars.next()?.1 {
                    end if end == quote => break,
                    '$' | '`' | '\\' if quote == '"' => return None,
                    char => out.push(char),
                }
            },
            '$' | '`' | '\\' | '(' | ')' | '&' | '|' | '<' | '>' | '*' | '?' | '[' | '~' | '{' => return None,
            _ => out.push(char),
        }
    }
    Some((out, ""))
}

fn function(line: &str) -> Option<&str> {
    let (name, rest) = match line.strip_prefix("function ") {
        Some(rest) => rest.trim_start().split_once([' ', '(', '{'])?,
        None => line.split_once('(').filter(|(_, rest)| rest.trim_start().starts_with(')'))?,
    };
    let name = name.trim();
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | ':');
    (!name.is_empty() && name.chars().all(is_part) && !rest.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_read_and_nothing_is_executed() {
        let text = "#!/bin/bash\n\
            export APP_CONF_VERSION=v3\nexport A=\"x y\" B='z'  # why\nexport C=a\"b\"'c'\n  export INDENTED=1\nexport D=$(date)\n\
            export E=\"$A\"\nexport F=1; rm -rf /\nexport G\nexport APP_CONF_VERSION=v4\nexporting=1\nexport H=`id`\nexport I=\n\
            backup() {\n  true\n}\nfunction purge_rooms {\n}\nnot a function()\n";
        let read = AbraSh::parse("abra.sh", text).unwrap();
        let exports: Vec<String> = read.exports.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(exports, ["A=x y", "APP_CONF_VERSION=v4", "B=z", "C=abc", "F=1", "I="]);
        let unknown: Vec<String> = read.unknown.iter().map(|(name, at)| format!("{at} {name}")).collect();
        assert_eq!(unknown, ["abra.sh:6:1 D", "abra.sh:7:1 E", "abra.sh:12:1 H"]);
        assert_eq!(read.functions, ["backup", "purge_rooms"]);
    }
}
