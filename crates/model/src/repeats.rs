//! Secrets that are repeated: what is made of a secret input is a secret too, whoever says it and however it is declared.
//!
//! Deliberately by the text alone: what a provider makes of a secret in another form (a hash, base64) is not known for one; its
//! schema has to say so. Read on in [`crate::Value`] for how secrets are marked.

use crate::{Attrs, Sensitive, Value};

/// A secret from this length on is looked for inside of texts; a shorter one would be found everywhere, and is compared as a whole.
const INSIDE_CHARS: usize = 8;

/// The texts that are secret in some values.
#[derive(Debug, Clone, Default)]
pub struct SecretTexts(Vec<Sensitive<String>>);

impl SecretTexts {
    /// Every text in a sensitive part of these values, without white space around it.
    pub fn of(attrs: &Attrs) -> Self {
        let mut texts = Self::default();
        attrs.values().for_each(|value| texts.learn(value, false));
        texts
    }

    /// With those of other values.
    #[must_use]
    pub fn and(mut self, attrs: &Attrs) -> Self {
        attrs.values().for_each(|value| self.learn(value, false));
        self
    }

    fn learn(&mut self, value: &Value, secret: bool) {
        match value {
            Value::Sensitive(inner) => self.learn(inner.expose(), true),
            Value::List(items) => items.iter().for_each(|item| self.learn(item, secret)),
            Value::Map(attrs) => attrs.values().for_each(|value| self.learn(value, secret)),
            Value::String(text) if secret && !text.trim().is_empty() => {
                self.0.push(Sensitive::new(text.trim().to_owned()));
            }
            _ => {}
        }
    }

    /// Marks every text that repeats one of them as a secret; of attributes with such a name, all.
    pub fn mark(&self, attrs: &mut Attrs) {
        if !self.0.is_empty() {
            attrs.values_mut().for_each(|value| self.mark_value(value));
        }
    }

    fn mark_value(&self, value: &mut Value) {
        let repeats = match value {
            Value::String(text) => self.is_in(text),
            Value::Map(attrs) => attrs.keys().any(|name| self.is_in(name)),
            _ => false,
        };
        if repeats {
            *value = std::mem::replace(value, Value::Null).into_sensitive();
            return;
        }
        match value {
            Value::List(items) => items.iter_mut().for_each(|item| self.mark_value(item)),
            Value::Map(attrs) => attrs.values_mut().for_each(|value| self.mark_value(value)),
            _ => {}
        }
    }

    fn is_in(&self, text: &str) -> bool {
        self.0.iter().map(Sensitive::expose).any(|secret| {
            let is_long = secret.chars().nth(INSIDE_CHARS - 1).is_some();
            if is_long { text.contains(secret.as_str()) } else { text.trim() == secret }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pointer;

    fn attrs(json: serde_json::Value) -> Attrs {
        match Value::from_json(json) {
            Ok(Value::Map(attrs)) => attrs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_repeats_a_secret_is_one() {
        let mut inputs = Value::Map(attrs(serde_json::json!({
            "path": "dir/canary-4711\n", "keys": { "pin": "0600" }, "size": 8, "none": "", "open": "open text",
        })));
        for place in [&["path"][..], &["keys"], &["size"], &["none"]] {
            inputs.mark_sensitive(&Pointer::new(place.iter().copied())).unwrap();
        }
        let Value::Map(inputs) = inputs else { panic!("no attribute set") };
        let mut outputs = attrs(serde_json::json!({
            "absolutePath": "/srv/dir/canary-4711", "pin": "0600", "mode": "10600", "empty": "", "size": 8,
            "open": "open text", "list": ["a", "dir/canary-4711"], "byName": { "in dir/canary-4711": 1 },
        }));
        SecretTexts::default().and(&inputs).mark(&mut outputs);
        let places = Value::Map(outputs).sensitive_places();
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["/absolutePath", "/byName", "/list/1", "/pin"]);
    }
}
