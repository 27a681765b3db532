//! Marks of fields in JSON Schemas (`x-sensitive` and its kin), put into the lists that everybody reads.
//!
//! A provider may say the same in both ways: what a mark says is added to what the lists say.

use freehold_model::Pointer;
use freehold_protocol::TypeSchema;
use serde_json::Value as Json;

/// Adds to the lists of a type what the marks in its schemas say.
pub(crate) fn read_marks(schema: &mut TypeSchema) {
    let places = |names: Vec<String>| names.into_iter().map(|name| Pointer::new([name]));
    let sensitive_inputs = places(marked(&schema.inputs, "x-sensitive"));
    let sensitive_outputs = places(marked(&schema.outputs, "x-sensitive"));
    add(&mut schema.sensitive_inputs, sensitive_inputs);
    add(&mut schema.sensitive_outputs, sensitive_outputs);
    for (list, of, mark) in [
        (&mut schema.force_new, &schema.inputs, "x-force-new"),
        (&mut schema.identity, &schema.inputs, "x-identity"),
        (&mut schema.computed, &schema.inputs, "x-computed"),
        (&mut schema.write_only, &schema.inputs, "x-write-only"),
        (&mut schema.stable_outputs, &schema.outputs, "x-stable"),
    ] {
        add(list, marked(of, mark));
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

/// Names of the properties with this mark.
fn marked(schema: &Json, mark: &str) -> Vec<String> {
    let properties = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
    properties.filter(|(_, p)| p.get(mark) == Some(&Json::Bool(true))).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marks_and_lists_say_the_same_and_each_is_heard() {
        let mut schema = TypeSchema {
            inputs: json!({ "properties": { "name": { "x-identity": true }, "size": { "x-force-new": true } } }),
            outputs: json!({ "properties": { "token": { "x-sensitive": true }, "id": { "x-stable": true } } }),
            sensitive_outputs: vec![Pointer::new(["key"])],
            force_new: vec!["size".to_owned()],
            ..TypeSchema::default()
        };
        read_marks(&mut schema);
        assert_eq!(schema.sensitive_outputs, [Pointer::new(["key"]), Pointer::new(["token"])]);
        assert_eq!((schema.force_new, schema.identity), (vec!["size".to_owned()], vec!["name".to_owned()]));
        assert_eq!(schema.stable_outputs, ["id"]);
    }
}
