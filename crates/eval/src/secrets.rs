//! Sensitive outputs enter Nix as opaque tokens; this is where tokens are made and turned back.

use std::collections::HashMap;

use freehold_model::{Attrs, OutputRef, Pointer, Sensitive, Value};
use serde_json::Value as Json;

/// A piece of a token of this length is none by chance, nor a word.
const PIECE: usize = 18;

/// All tokens handed to one evaluator.
#[derive(Debug)]
pub(crate) struct Tokens {
    prefix: String,
    secrets: Vec<Sensitive<Value>>,
    by_place: HashMap<(OutputRef, Pointer), usize>,
}

impl Tokens {
    pub(crate) fn new(nonce: &str) -> Self {
        Self { prefix: format!("__freehold_sensitive_{nonce}_"), secrets: Vec::new(), by_place: HashMap::new() }
    }

    /// What every token starts with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether any secret has been handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The token for the secret at `place` of an output; the same place keeps its token.
    pub(crate) fn token(&mut self, output: &OutputRef, place: &Pointer, secret: &Value) -> String {
        let index = *self.by_place.entry((output.clone(), place.clone())).or_insert_with(|| {
            self.secrets.push(Sensitive::new(Value::Null));
            self.secrets.len() - 1
        });
        self.secrets[index] = Sensitive::new(secret.clone());
        format!("{}{index}__", self.prefix)
    }

    /// The secret behind a whole token.
    pub(crate) fn reveal(&self, token: &str) -> Option<&Sensitive<Value>> {
        let index: usize = token.strip_prefix(&self.prefix)?.strip_suffix("__")?.parse().ok()?;
        self.secrets.get(index)
    }

    /// What a string from Nix means: itself, or a secret when it holds tokens.
    pub(crate) fn resolve(&self, text: String) -> Value {
        if !text.contains(&self.prefix) {
            return Value::String(text);
        }
        if let Some(secret) = self.reveal(&text) {
            return secret.expose().clone().into_sensitive();
        }
        let mut clear = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&self.prefix) {
            clear.push_str(&rest[..at]);
            let token = &rest[at..];
            let end = token[self.prefix.len()..].find("__").map(|end| self.prefix.len() + end + 2);
            match end.and_then(|end| Some((end, self.reveal(&token[..end])?))) {
                Some((end, secret)) => {
                    clear.push_str(&as_text(secret.expose()));
                    rest = &token[end..];
                }
                None => {
                    clear.push_str(&self.prefix);
                    rest = &token[self.prefix.len()..];
                }
            }
        }
        clear.push_str(rest);
        Value::String(clear).into_sensitive()
    }

    /// Whether a text has pieces of a token that is no longer whole: cut, or with other letters. What it stands for cannot be told.
    pub(crate) fn is_mangled(&self, text: &str) -> bool {
        if self.is_empty() || text.len() < PIECE {
            return false;
        }
        let mut rest = String::new();
        let mut parts = text.split(&self.prefix);
        rest.extend(parts.next());
        for part in parts {
            match part.split_once("__") {
                Some((number, after)) if self.reveal(&format!("{}{number}__", self.prefix)).is_some() => {
                    rest.push('\n');
                    rest.push_str(after);
                }
                _ => return true,
            }
        }
        let rest = rest.to_ascii_lowercase();
        let prefix = self.prefix.to_ascii_lowercase();
        (0..=prefix.len() - PIECE).any(|at| prefix.get(at..at + PIECE).is_some_and(|piece| rest.contains(piece)))
    }

    /// The driver's form of one output: `[0, value]`, `[1, value with unknown parts]`, `[2]` when it is not known at all, or
    /// `[3, reason]` when Nix cannot hold it.
    pub(crate) fn encode(&mut self, output: &OutputRef, value: &Value, nonce: &str) -> Json {
        if matches!(value, Value::Unknown) {
            return serde_json::json!([2]);
        }
        if has_nul(value) {
            let reason = format!("`{output}` holds a NUL character, which a Nix string cannot");
            return serde_json::json!([3, reason]);
        }
        let json = self.encode_part(output, &Pointer::root(), value, nonce);
        serde_json::json!([u8::from(!value.is_known()), json])
    }

    fn encode_part(&mut self, output: &OutputRef, at: &Pointer, value: &Value, nonce: &str) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => Json::Number(n.clone()),
            Value::String(s) => Json::String(s.clone()),
            Value::List(items) => Json::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.encode_part(output, &at.child(i.to_string()), item, nonce))
                    .collect(),
            ),
            Value::Map(attrs) => self.encode_attrs(output, at, attrs, nonce),
            Value::Unknown => serde_json::json!({ nonce: "unknown" }),
            Value::Sensitive(secret) => Json::String(self.token(output, at, secret.expose())),
        }
    }

    fn encode_attrs(&mut self, output: &OutputRef, at: &Pointer, attrs: &Attrs, nonce: &str) -> Json {
        let encoded =
            attrs.iter().map(|(name, value)| (name.clone(), self.encode_part(output, &at.child(name), value, nonce)));
        Json::Object(encoded.collect())
    }
}

/// Whether a text that Nix would see holds a NUL character (a secret is not seen).
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::List(items) => items.iter().any(has_nul),
        Value::Map(attrs) => attrs.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// How a secret reads inside a longer text.
fn as_text(secret: &Value) -> String {
    match secret {
        Value::String(text) => text.clone(),
        other => other.to_clear_json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::MemberPath;

    fn output() -> OutputRef {
        OutputRef { member: MemberPath::new(["key"]), output: "private".into() }
    }

    #[test]
    fn a_token_inside_a_text_makes_the_whole_text_a_secret() {
        let mut tokens = Tokens::new("n");
        let token = tokens.token(&output(), &Pointer::root(), &"canary".into());
        assert_eq!(tokens.resolve(format!("<{token}|{token}>")), Value::from("<canary|canary>").into_sensitive());
        assert_eq!(tokens.resolve(token), Value::from("canary").into_sensitive());
        assert_eq!(tokens.resolve("plain".into()), "plain".into());
        assert!(!format!("{tokens:?}").contains("canary"));
    }

    #[test]
    fn a_token_that_was_cut_or_changed_is_noticed() {
        let mut tokens = Tokens::new("0123456789abcdef0123456789abcdef");
        let token = tokens.token(&output(), &Pointer::root(), &"canary".into());
        for whole in [token.clone(), format!("<{token}>{token}"), "sensitive words of freehold".to_owned()] {
            assert!(!tokens.is_mangled(&whole), "{whole}");
        }
        let (start, end) = token.split_at(token.len() / 2);
        for changed in [start, end, &token.to_uppercase(), &format!("a {start}…"), &token.replace("__", "-")] {
            assert!(tokens.is_mangled(changed), "{changed}");
        }
    }

    #[test]
    fn the_same_place_keeps_its_token_and_a_forged_one_reveals_nothing() {
        let mut tokens = Tokens::new("n");
        let token = tokens.token(&output(), &Pointer::root(), &"a".into());
        assert_eq!(tokens.token(&output(), &Pointer::root(), &"b".into()), token);
        let forged = format!("{}7__", tokens.prefix());
        assert!(tokens.reveal(&forged).is_none());
        assert_eq!(tokens.resolve(forged.clone()), Value::from(forged).into_sensitive());
    }

    #[test]
    fn a_value_with_unknown_parts_says_so() {
        let mut tokens = Tokens::new("n");
        let value = Value::Map([("a".to_owned(), Value::Unknown), ("b".to_owned(), 1.into())].into());
        assert_eq!(tokens.encode(&output(), &value, "N"), serde_json::json!([1, { "a": { "N": "unknown" }, "b": 1 }]));
        assert_eq!(tokens.encode(&output(), &Value::Unknown, "N"), serde_json::json!([2]));
    }
}
