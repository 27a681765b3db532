//! Values on a provider's pipe: JSON with marks, and beside it the list of places that are secrets (which are in clear).

use freehold_model::{Attrs, Pointer, Value, ValueError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Named values on the wire.
///
/// Secrets are in it *in clear*: it goes to a provider's pipe and nowhere else. Its `Debug` leaves the values out.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireAttrs {
    /// Values by name; `{"$freehold":"unknown"}` stands for a value that is decided later.
    pub value: Map<String, Json>,
    /// JSON pointers to the places in `value` that are secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub sensitive: Vec<Pointer>,
}

/// One value on the wire, with the same rules as [`WireAttrs`].
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireValue {
    /// JSON with marks.
    pub value: Json,
    /// JSON pointers to the places in `value` that are secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub sensitive: Vec<Pointer>,
}

/// Why wire values are not values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A mark or a sensitive place is wrong.
    #[error("the value cannot be read")]
    Value(#[from] ValueError),
}

impl WireAttrs {
    /// Puts values on the wire.
    pub fn from_attrs(attrs: &Attrs) -> Self {
        let wire = WireValue::from_value(&Value::Map(attrs.clone()));
        let value = match wire.value {
            Json::Object(object) => object,
            _ => Map::new(),
        };
        Self { value, sensitive: wire.sensitive }
    }

    /// Reads values from the wire.
    ///
    /// # Errors
    /// When a mark is not understood or a sensitive place does not exist.
    pub fn into_attrs(self) -> Result<Attrs, WireError> {
        match (WireValue { value: Json::Object(self.value), sensitive: self.sensitive }).into_value()? {
            Value::Map(attrs) => Ok(attrs),
            // The whole is one secret: then so is each part.
            Value::Sensitive(inner) => Ok(match inner.into_exposed() {
                inner if matches!(*inner, Value::Map(_)) => match *inner {
                    Value::Map(attrs) => attrs.into_iter().map(|(name, v)| (name, v.into_sensitive())).collect(),
                    _ => Attrs::new(),
                },
                _ => Attrs::new(),
            }),
            _ => Ok(Attrs::new()),
        }
    }
}

impl WireValue {
    /// Puts a value on the wire.
    pub fn from_value(value: &Value) -> Self {
        Self { value: value.to_clear_json(), sensitive: value.sensitive_places() }
    }

    /// Reads a value from the wire.
    ///
    /// # Errors
    /// When a mark is not understood or a sensitive place does not exist.
    pub fn into_value(self) -> Result<Value, WireError> {
        let mut value = Value::from_json(self.value)?;
        for place in &self.sensitive {
            value.mark_sensitive(place)?;
        }
        Ok(value)
    }
}

impl std::fmt::Debug for WireAttrs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WireAttrs({} values)", self.value.len())
    }
}

impl std::fmt::Debug for WireValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireValue(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_and_unknowns_survive_the_wire() {
        let attrs: Attrs = [
            ("password".to_owned(), Value::from("canary").into_sensitive()),
            ("id".to_owned(), Value::Unknown),
            ("user".to_owned(), Value::from("ada")),
        ]
        .into();
        let wire = WireAttrs::from_attrs(&attrs);
        let text = serde_json::to_value(&wire).unwrap();
        assert_eq!(
            text,
            json!({ "value": { "id": { "$freehold": "unknown" }, "password": "canary", "user": "ada" }, "sensitive": ["/password"] })
        );
        assert!(!format!("{wire:?}").contains("canary"));
        assert_eq!(wire.into_attrs().unwrap(), attrs);
    }

    #[test]
    fn a_sensitive_place_that_does_not_exist_is_refused() {
        let wire = WireAttrs { value: Map::new(), sensitive: vec![Pointer::new(["nope"])] };
        assert!(matches!(wire.into_attrs(), Err(WireError::Value(ValueError::NoSuchPlace { .. }))));
    }

    #[test]
    fn the_whole_as_one_secret_makes_each_part_a_secret() {
        let wire = WireAttrs { value: Map::from_iter([("a".to_owned(), json!(1))]), sensitive: vec![Pointer::root()] };
        assert_eq!(wire.into_attrs().unwrap()["a"], Value::from(1).into_sensitive());
    }
}
