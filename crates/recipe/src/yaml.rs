//! YAML as a tree that knows the line and column of every node.
//!
//! Reading is `serde-saphyr`'s: aliases and `<<` are resolved, sizes are bounded, a key that stands twice is refused.

use freehold_model::limits;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::{Place, RecipeError};

const SECOND_DOCUMENT: &str = "another YAML document begins, and a compose file is one";

/// A node and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) kind: Kind,
}

/// What a node is. Numbers and booleans are kept as the text that Docker would make of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Scalar(String),
    List(Vec<Node>),
    /// Keys in the order of the file.
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, RecipeError> {
        if text.len() > limits::RECIPE_FILE_BYTES {
            let most = limits::RECIPE_FILE_BYTES;
            return Err(RecipeError::TooLarge { file: file.to_owned(), bytes: text.len(), most });
        }
        // What Docker takes for text because no number is that large (`12e45678`) is no fault; nobody looks at such a text.
        let policy = serde_saphyr::NonFiniteFloatPolicy::AsString;
        let options = serde_saphyr::options! { strict_booleans: true, non_finite_float_policy: policy };
        let read: Result<Spanned<Kind>, _> = serde_saphyr::from_str_with_options(text, options);
        read.map(Self::from).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |at| (number(at.line()), number(at.column())));
            let error = error.without_snippet().to_string();
            let place = format!(" at line {line}, column {column}");
            let reason = error.lines().next().unwrap_or_default().replace(&place, "");
            // What follows is advice to programmers.
            let reason = reason.split(", set DuplicateKeyPolicy").next().unwrap_or_default().to_owned();
            let reason = reason.strip_prefix(&format!("line {line} column {column}: ")).unwrap_or(&reason).to_owned();
            // It names functions to programmers.
            let is_second = reason.starts_with("multiple YAML documents");
            let reason = if is_second { SECOND_DOCUMENT.to_owned() } else { reason };
            RecipeError::Yaml { at: Place { file: file.to_owned(), line: line.max(1), column: column.max(1) }, reason }
        })
    }

    pub(crate) fn place(&self, file: &str) -> Place {
        Place { file: file.to_owned(), line: self.line, column: self.column }
    }

    /// The value of a key, when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// The value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries, when this is a map.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Self, &Self)> {
        let entries: &[(Self, Self)] = if let Kind::Map(entries) = &self.kind { entries } else { &[] };
        entries.iter().map(|(key, value)| (key, value))
    }

    /// The items, when this is a list.
    pub(crate) fn items(&self) -> &[Self] {
        if let Kind::List(items) = &self.kind { items } else { &[] }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Kind::Scalar(text) = &self.kind { Some(text) } else { None }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Every key at and below this node.
    pub(crate) fn keys(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        let mut next = vec![self];
        while let Some(node) = next.pop() {
            next.extend(node.items().iter().rev());
            found.extend(node.entries().map(|(key, _)| key));
            next.extend(node.entries().map(|(_, value)| value).collect::<Vec<_>>().into_iter().rev());
        }
        found
    }

    /// Every scalar value (not keys) at and below this node.
    pub(crate) fn scalars(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        let mut next = vec![self];
        while let Some(node) = next.pop() {
            match &node.kind {
                Kind::Null => {}
                Kind::Scalar(_) => found.push(node),
                Kind::List(items) => next.extend(items.iter().rev()),
                Kind::Map(entries) => next.extend(entries.iter().rev().map(|(_, value)| value)),
            }
        }
        found
    }
}

impl From<Spanned<Kind>> for Node {
    fn from(node: Spanned<Kind>) -> Self {
        Self { line: number(node.referenced.line()), column: number(node.referenced.column()), kind: node.value }
    }
}

fn number(count: impl TryInto<u32>) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Kind, E> {
        Ok(Kind::Scalar(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Kind>>()? {
            items.push(item.into());
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<Kind>, Spanned<Kind>>()? {
            entries.push((key.into(), value.into()));
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_place() {
        let text = "a: 1\nb:\n  - x: &v ${D}\n    y: yes\n  - *v\nc: &m {d: e}\nf:\n  <<: *m\n  80: true\n";
        let node = Node::parse("c.yml", text).unwrap();
        let all: Vec<String> =
            node.scalars().iter().map(|node| format!("{} {}", node.place("c.yml"), node.text().unwrap())).collect();
        assert_eq!(
            all,
            [
                "c.yml:1:4 1",
                "c.yml:3:11 ${D}",
                "c.yml:4:8 yes",
                "c.yml:5:5 ${D}",
                "c.yml:6:11 e",
                "c.yml:9:7 true",
                "c.yml:8:7 e"
            ]
        );
        assert!(Node::parse("c.yml", "a: 12e45678\nb: .inf\n").is_ok());
        assert_eq!(node.at(&["f", "80"]).and_then(Node::text), Some("true"));
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_place() {
        let told = |text: &str| Node::parse("c.yml", text).unwrap_err().to_string();
        assert_eq!(told("a: [1\n"), "c.yml:1:4: unclosed bracket '['");
        assert_eq!(told("a: 1\nb: 1\na: 2\n"), "c.yml:3:1: duplicate mapping key: a");
        assert_eq!(told("a: 1\n b: 2\n"), "c.yml:2:3: mapping values are not allowed in this context");
        assert_eq!(told("a: *x\n"), "c.yml:1:4: alias references unknown anchor");
        assert!(told("a: \"x\n").starts_with("c.yml:"));
    }
}
