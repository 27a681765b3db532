//! What differs between two sets of inputs, place by place.

use std::collections::BTreeSet;

use freehold_model::{Attrs, Pointer, Value};

/// One place that differs. Secrets stay [`Value::Sensitive`] on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where: the first token is the input's name.
    pub at: Pointer,
    /// What was; `None` when there was nothing.
    pub before: Option<Value>,
    /// What will be; `None` when there will be nothing.
    pub after: Option<Value>,
    /// Whether this change needs a new object.
    pub forces_replace: bool,
}

/// What differs between `before` and `after`; maps are entered, lists too when they are equally long.
pub fn diff_attrs(before: &Attrs, after: &Attrs) -> Vec<Change> {
    let mut changes = Vec::new();
    diff_maps(before, after, &Pointer::root(), false, &mut changes);
    changes
}

fn diff_maps(before: &Attrs, after: &Attrs, at: &Pointer, secret: bool, changes: &mut Vec<Change>) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        diff_values(before.get(name), after.get(name), &at.child(name), secret, changes);
    }
}

fn diff_values(before: Option<&Value>, after: Option<&Value>, at: &Pointer, secret: bool, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Map(b)), Some(Value::Map(a))) => diff_maps(b, a, at, secret, changes),
        (Some(Value::List(b)), Some(Value::List(a))) if a.len() == b.len() => {
            for (index, (b, a)) in b.iter().zip(a).enumerate() {
                diff_values(Some(b), Some(a), &at.child(index.to_string()), secret, changes);
            }
        }
        (Some(b), Some(a)) if a.is_known() && a.same_content(b) => {}
        (None, Some(Value::Null)) | (Some(Value::Null), None) => {}
        (b, a) => {
            let secret = secret || b.is_some_and(Value::has_sensitive) || a.is_some_and(Value::has_sensitive);
            let shade = |v: Option<&Value>| v.cloned().map(|v| if secret { v.into_sensitive() } else { v });
            changes.push(Change { at: at.clone(), before: shade(b), after: shade(a), forces_replace: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attrs(json: serde_json::Value) -> Attrs {
        match Value::from_json(json).unwrap() {
            Value::Map(attrs) => attrs,
            other => panic!("{other:?}"),
        }
    }

    fn places(before: serde_json::Value, after: serde_json::Value) -> Vec<String> {
        diff_attrs(&attrs(before), &attrs(after)).iter().map(|c| c.at.to_string()).collect()
    }

    #[test]
    fn only_the_places_that_differ_are_named() {
        assert_eq!(
            places(json!({"a": {"x": 1, "y": [1, 2]}, "b": 1}), json!({"a": {"x": 1, "y": [1, 3]}, "c": 1})),
            ["/a/y/1", "/b", "/c"]
        );
    }

    #[test]
    fn an_unknown_value_counts_as_a_change() {
        assert_eq!(places(json!({"a": 1}), json!({"a": {"$freehold": "unknown"}})), ["/a"]);
    }

    #[test]
    fn absent_and_null_are_the_same() {
        assert_eq!(places(json!({"a": null}), json!({})), Vec::<String>::new());
    }

    #[test]
    fn a_change_beside_a_secret_hides_the_old_value_too() {
        let mut after = attrs(json!({"password": "new"}));
        after.insert("password".into(), Value::from("new").into_sensitive());
        let changes = diff_attrs(&attrs(json!({"password": "canary"})), &after);
        assert!(!format!("{changes:?}").contains("canary"));
    }
}
