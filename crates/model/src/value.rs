//! Values of inputs and outputs: JSON, plus *unknown* (decided when something is applied) and *sensitive* (never shown).
//!
//! A value travels as JSON with marks: `{"$freehold":"unknown"}`, and `{"$freehold":"sensitive"}` where a secret is left out;
//! a literal attribute whose name starts with `$freehold` gets one more `$` in front. Which places are sensitive travels as a
//! list of pointers beside a value whose secrets are meant to arrive (see `freehold-protocol`).

use std::collections::BTreeMap;

use serde_json::{Number, Value as Json};

use crate::{Pointer, Sensitive};

/// The attribute that marks what JSON has no word for.
pub const MARK: &str = "$freehold";

/// Named values: the inputs or outputs of a resource.
pub type Attrs = BTreeMap<String, Value>;

/// Gives a meaning to a mark: it is handed the word and the whole object, and answers `None` when it knows none.
pub type MarkReader<'a> = &'a mut dyn FnMut(&str, &serde_json::Map<String, Json>) -> Option<Value>;

/// A value of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// JSON `null`.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A JSON number, as exact as it was written.
    Number(Number),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Map(Attrs),
    /// Not known before something is applied.
    Unknown,
    /// Known, and a secret.
    Sensitive(Sensitive<Box<Value>>),
}

/// Why marked JSON is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `{"$freehold": …}` with another word than those we know.
    #[error("`{MARK}` at `{at}` must be \"unknown\"; to mean a plain attribute of that name write `$${mark}`", mark = &MARK[1..])]
    BadMark {
        /// Where.
        at: Pointer,
    },
    /// A list of sensitive places names one that is not in the value.
    #[error("`{at}` is listed as sensitive but the value has no such place")]
    NoSuchPlace {
        /// Where.
        at: Pointer,
    },
}

impl Value {
    /// Wraps this value as a secret; a secret inside a secret is the same secret, and an unknown stays unknown.
    #[must_use]
    pub fn into_sensitive(self) -> Self {
        match self {
            Self::Sensitive(_) | Self::Unknown => self,
            plain => Self::Sensitive(Sensitive::new(Box::new(plain))),
        }
    }

    /// Whether no part of it is unknown.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::List(items) => items.iter().all(Self::is_known),
            Self::Map(attrs) => attrs.values().all(Self::is_known),
            Self::Sensitive(inner) => inner.expose().is_known(),
            _ => true,
        }
    }

    /// Whether any part of it is sensitive.
    pub fn has_sensitive(&self) -> bool {
        match self {
            Self::Sensitive(_) => true,
            Self::List(items) => items.iter().any(Self::has_sensitive),
            Self::Map(attrs) => attrs.values().any(Self::has_sensitive),
            _ => false,
        }
    }

    /// Whether both mean the same once secrecy is set aside.
    pub fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sensitive(a), b) => a.expose().same_content(b),
            (a, Self::Sensitive(b)) => a.same_content(b.expose()),
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_content(b)),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && a.same_content(b))
            }
            (Self::Number(a), Self::Number(b)) => a == b || a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64(),
            (a, b) => a == b,
        }
    }

    /// The part at `pointer`, looking through secrets.
    pub fn get(&self, pointer: &Pointer) -> Option<&Self> {
        pointer.tokens().iter().try_fold(self, |value, token| value.part(token))
    }

    /// The direct part called `token` (an attribute, or a list index).
    pub fn part(&self, token: &str) -> Option<&Self> {
        match self {
            Self::Map(attrs) => attrs.get(token),
            Self::List(items) => items.get(token.parse::<usize>().ok()?),
            Self::Sensitive(inner) => inner.expose().part(token),
            _ => None,
        }
    }

    /// Marks the part at `pointer` as a secret.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn mark_sensitive(&mut self, pointer: &Pointer) -> Result<(), ValueError> {
        let mut here = self;
        for token in pointer.tokens() {
            let next = match here {
                Self::Map(attrs) => attrs.get_mut(token),
                Self::List(items) => token.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
                // What lies inside a secret is secret already, and nothing is known of an unknown's parts.
                Self::Sensitive(_) | Self::Unknown => return Ok(()),
                _ => None,
            };
            here = next.ok_or_else(|| ValueError::NoSuchPlace { at: pointer.clone() })?;
        }
        let plain = std::mem::replace(here, Self::Null);
        *here = plain.into_sensitive();
        Ok(())
    }

    /// Where its secrets are.
    pub fn sensitive_places(&self) -> Vec<Pointer> {
        let mut places = Vec::new();
        self.walk(&Pointer::root(), &mut |at, value| {
            if matches!(value, Self::Sensitive(_)) {
                places.push(at.clone());
            }
        });
        places
    }

    /// Where something is unknown (not looking into secrets, of which nothing is told).
    pub fn unknown_places(&self) -> Vec<Pointer> {
        let mut places = Vec::new();
        self.walk(&Pointer::root(), &mut |at, value| match value {
            Self::Unknown => places.push(at.clone()),
            Self::Sensitive(inner) if !inner.expose().is_known() => places.push(at.clone()),
            _ => {}
        });
        places
    }

    /// JSON with marks in place of unknowns *and of secrets*: what may be printed and written anywhere.
    pub fn to_redacted_json(&self) -> Json {
        self.to_json(&mut |_| mark("sensitive"))
    }

    /// JSON with marks in place of unknowns and secrets *in clear*: only for a provider's pipe or for encryption.
    pub fn to_clear_json(&self) -> Json {
        self.to_json(&mut |inner| inner.to_clear_json())
    }

    /// JSON with marks in place of unknowns, and what `secret` makes of each secret.
    pub fn to_json(&self, secret: &mut dyn FnMut(&Self) -> Json) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Number(n) => Json::Number(n.clone()),
            Self::String(s) => Json::String(s.clone()),
            Self::List(items) => Json::Array(items.iter().map(|v| v.to_json(secret)).collect()),
            Self::Map(attrs) => Json::Object(attrs.iter().map(|(name, v)| (escape(name), v.to_json(secret))).collect()),
            Self::Unknown => mark("unknown"),
            Self::Sensitive(inner) => secret(inner.expose()),
        }
    }

    /// Reads JSON with marks.
    ///
    /// # Errors
    /// When a mark is none that may be received: a secret must arrive in clear, with its place listed beside the value.
    pub fn from_json(json: Json) -> Result<Self, ValueError> {
        Self::from_json_with(json, &mut |_, _| None)
    }

    /// Reads JSON with marks; `marked` may give a meaning to further ones (it is given the word and the whole object).
    ///
    /// # Errors
    /// When a mark is neither "unknown" nor understood by `marked`.
    pub fn from_json_with(json: Json, marked: MarkReader<'_>) -> Result<Self, ValueError> {
        read(json, &Pointer::root(), marked)
    }

    fn walk(&self, at: &Pointer, visit: &mut dyn FnMut(&Pointer, &Self)) {
        visit(at, self);
        match self {
            Self::List(items) => items.iter().enumerate().for_each(|(i, v)| v.walk(&at.child(i.to_string()), visit)),
            Self::Map(attrs) => attrs.iter().for_each(|(name, v)| v.walk(&at.child(name), visit)),
            _ => {}
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Number(n.into())
    }
}

fn mark(word: &str) -> Json {
    serde_json::json!({ MARK: word })
}

/// A literal attribute that could be taken for a mark gets one more `$`.
fn escape(name: &str) -> String {
    if name.trim_start_matches('$') == &MARK[1..] && name.starts_with('$') {
        format!("${name}")
    } else {
        name.to_owned()
    }
}

fn unescape(name: String) -> String {
    if name.starts_with("$$") && name.trim_start_matches('$') == &MARK[1..] { name[1..].to_owned() } else { name }
}

fn read(json: Json, at: &Pointer, marked: MarkReader<'_>) -> Result<Value, ValueError> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => Value::Number(n),
        Json::String(s) => Value::String(s),
        Json::Array(items) => Value::List(
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| read(item, &at.child(i.to_string()), marked))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(object) => match object.get(MARK) {
            Some(Json::String(word)) if word == "unknown" && object.len() == 1 => Value::Unknown,
            Some(Json::String(word)) => marked(word, &object).ok_or_else(|| ValueError::BadMark { at: at.clone() })?,
            Some(_) => return Err(ValueError::BadMark { at: at.clone() }),
            None => Value::Map(
                object
                    .into_iter()
                    .map(|(name, v)| {
                        let name = unescape(name);
                        let v = read(v, &at.child(&name), marked)?;
                        Ok((name, v))
                    })
                    .collect::<Result<_, _>>()?,
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn redacted_json_shows_marks_and_no_secret() {
        let mut value =
            Value::from_json(json!({ "user": "ada", "password": "canary", "id": { MARK: "unknown" } })).unwrap();
        value.mark_sensitive(&Pointer::new(["password"])).unwrap();
        assert_eq!(
            value.to_redacted_json(),
            json!({ "user": "ada", "password": { MARK: "sensitive" }, "id": { MARK: "unknown" } })
        );
        assert!(!format!("{value:?}").contains("canary"));
        assert_eq!(value.sensitive_places(), [Pointer::new(["password"])]);
        assert_eq!(value.unknown_places(), [Pointer::new(["id"])]);
    }

    #[test]
    fn an_attribute_that_looks_like_a_mark_is_escaped() {
        let literal = Value::Map([(MARK.to_owned(), "unknown".into())].into());
        assert_eq!(literal.to_clear_json(), json!({ "$$freehold": "unknown" }));
        assert_eq!(Value::from_json(literal.to_clear_json()).unwrap(), literal);
    }

    #[test]
    fn an_unknown_mark_is_refused_with_its_place() {
        let error = Value::from_json(json!([{ MARK: "maybe" }])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`$freehold` at `/0` must be \"unknown\"; to mean a plain attribute of that name write `$$freehold`"
        );
    }

    #[test]
    fn secrecy_does_not_make_a_difference_of_content() {
        let plain = Value::from("x");
        assert!(plain.same_content(&plain.clone().into_sensitive()));
        assert!(!Value::Unknown.same_content(&plain));
    }
}
