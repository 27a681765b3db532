//! Inputs and outputs against the JSON Schema of their type, where some may be unknown or secret.
//!
//! A small checker of our own, because a general one knows neither unknowns nor "did you mean": it understands what
//! schemars writes (type, properties, required, additionalProperties, items, enum, const, bounds, lengths, `$ref`, anyOf, oneOf,
//! allOf) and passes over the rest. What is unknown is taken to be right.

use freehold_model::{Attrs, Pointer, Value, did_you_mean};
use freehold_protocol::TypeSchema;
use freehold_protocol::v1::Diagnostic;
use serde_json::{Map, Value as Json};

/// What is wrong with `inputs`; empty when nothing is. Aliases must have been resolved.
pub fn validate(schema: &TypeSchema, inputs: &Attrs) -> Vec<Diagnostic> {
    validate_value(&schema.inputs, &Value::Map(inputs.clone()), true)
}

/// What is wrong with inputs by what a program of somebody else says of them. Its schema may be written in words that are passed
/// over here: what it does not list is refused only where it lists all there is.
pub fn validate_declared(schema: &TypeSchema, inputs: &Attrs) -> Vec<Diagnostic> {
    let combined = ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|word| schema.inputs.get(word).is_some());
    let closed = schema.inputs.get("properties").is_some() && !combined;
    validate_value(&schema.inputs, &Value::Map(inputs.clone()), closed)
}

/// What of `outputs` is of another kind than the schema says; what is missing is not looked at.
pub fn mistyped_outputs(schema: &TypeSchema, outputs: &Attrs) -> Vec<Diagnostic> {
    let given = schema.output_properties().filter_map(|(name, of)| Some((name, of, outputs.get(name)?)));
    given
        .flat_map(|(name, of, value)| {
            let mut checker = Checker { root: &schema.outputs, found: Vec::new(), secret: false };
            checker.check(of, value, &Pointer::new([name]), false, 0);
            checker.found
        })
        .collect()
}

/// What is wrong with `value`; `closed` refuses unlisted attributes at the top even if the schema does not say so.
pub fn validate_value(schema: &Json, value: &Value, closed: bool) -> Vec<Diagnostic> {
    let mut checker = Checker { root: schema, found: Vec::new(), secret: false };
    checker.check(schema, value, &Pointer::root(), closed, 0);
    checker.found
}

struct Checker<'a> {
    root: &'a Json,
    found: Vec<Diagnostic>,
    /// Whether what is looked at is a secret: it is not repeated.
    secret: bool,
}

/// Deeper than any real schema; a schema that refers to itself through values ends with the value.
const DEPTH: usize = 64;

impl Checker<'_> {
    fn check(&mut self, schema: &Json, value: &Value, at: &Pointer, closed: bool, depth: usize) {
        let value = match value {
            Value::Unknown => return,
            Value::Sensitive(inner) => {
                let was = std::mem::replace(&mut self.secret, true);
                self.check(schema, inner.expose(), at, closed, depth);
                self.secret = was;
                return;
            }
            other => other,
        };
        let Json::Object(schema) = schema else {
            if *schema == Json::Bool(false) {
                self.report(at, "nothing is allowed here".into(), None);
            }
            return;
        };
        if depth > DEPTH {
            return;
        }
        if let Some(target) = schema.get("$ref").and_then(Json::as_str).and_then(|r| self.resolve(r)) {
            self.check(&target, value, at, closed, depth + 1);
        }
        for part in schema.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.check(part, value, at, false, depth + 1);
        }
        for word in ["anyOf", "oneOf"] {
            if let Some(choices) = schema.get(word).and_then(Json::as_array) {
                self.check_choices(choices, value, at, depth);
            }
        }
        if !self.check_type(schema, value, at) {
            return;
        }
        self.check_plain(schema, value, at);
        match value {
            Value::Map(attrs) => self.check_attrs(schema, attrs, at, closed, depth),
            Value::List(items) => {
                if let Some(of) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.check(of, item, &at.child(index.to_string()), false, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn check_attrs(&mut self, schema: &Map<String, Json>, attrs: &Attrs, at: &Pointer, closed: bool, depth: usize) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !attrs.contains_key(name) {
                let of = properties.get(name).and_then(|p| p.get("description")).and_then(Json::as_str);
                let hint = of.map(|text| format!("`{name}`: {text}"));
                self.report(&at.child(name), format!("`{name}` is required"), hint);
            }
        }
        let others = schema.get("additionalProperties");
        // Patterns are not looked at: any name may be one of theirs.
        if schema.contains_key("patternProperties") {
            let listed = attrs.iter().filter_map(|(name, value)| Some((name, value, properties.get(name)?)));
            return listed.for_each(|(name, value, of)| self.check(of, value, &at.child(name), false, depth + 1));
        }
        for (name, value) in attrs {
            let place = at.child(name);
            match (properties.get(name), others) {
                (Some(of), _) => self.check(of, value, &place, false, depth + 1),
                (None, Some(Json::Bool(false))) => self.report_unrecognised(&place, name, properties),
                (None, None) if closed => self.report_unrecognised(&place, name, properties),
                (None, Some(of)) => self.check(of, value, &place, false, depth + 1),
                (None, None) => {}
            }
        }
    }

    fn report_unrecognised(&mut self, at: &Pointer, name: &str, properties: &Map<String, Json>) {
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        if self.secret {
            let parent = Pointer::new(at.tokens().split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default());
            let hint = format!("there are: {}", known.join(", "));
            return self.report(&parent, "has an attribute that is not recognised".into(), Some(hint));
        }
        let hint = match did_you_mean(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "there are none".to_owned(),
            None => format!("there are: {}", known.join(", ")),
        };
        self.report(at, format!("`{name}` is not recognised"), Some(hint));
    }

    fn check_choices(&mut self, choices: &[Json], value: &Value, at: &Pointer, depth: usize) {
        let mut best: Option<Vec<Diagnostic>> = None;
        for choice in choices {
            let mut checker = Checker { root: self.root, found: Vec::new(), secret: self.secret };
            checker.check(choice, value, at, false, depth + 1);
            if checker.found.is_empty() {
                return;
            }
            // The choice that went wrong deepest is the one that was meant.
            let depth_of = |found: &[Diagnostic]| found.iter().map(|d| d.pointer.tokens().len()).max().unwrap_or(0);
            if best.as_ref().is_none_or(|best| depth_of(&checker.found) > depth_of(best)) {
                best = Some(checker.found);
            }
        }
        match best {
            Some(found) if found.iter().all(|d| d.pointer == *at) => {
                let names: Vec<String> = choices.iter().filter_map(|c| self.describe(c, depth)).collect();
                if names.is_empty() {
                    self.found.extend(found);
                } else {
                    let is = match value {
                        // One of the words was meant.
                        Value::String(text) if !self.secret && names.iter().any(|name| name.starts_with('"')) => {
                            format!("{text:?}")
                        }
                        other => type_of(other).to_owned(),
                    };
                    self.report(at, format!("must be {}, not {is}", names.join(" or ")), None);
                }
            }
            Some(found) => self.found.extend(found),
            None => {}
        }
    }

    /// What a schema takes, in words; `None` when there are none for it.
    fn describe(&self, schema: &Json, depth: usize) -> Option<String> {
        if depth > DEPTH {
            return None;
        }
        if let Some(target) = schema.get("$ref").and_then(Json::as_str).and_then(|r| self.resolve(r)) {
            return self.describe(&target, depth + 1);
        }
        if let Some(constant) = schema.get("const") {
            return Some(constant.to_string());
        }
        if let Some(Json::Array(words)) = schema.get("enum") {
            return Some(words.iter().map(Json::to_string).collect::<Vec<_>>().join(" or "));
        }
        // Words of which each has a description of its own.
        if let Some(Json::Array(choices)) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
            let mut names: Vec<String> = choices.iter().filter_map(|choice| self.describe(choice, depth + 1)).collect();
            names.dedup();
            return (!names.is_empty()).then(|| names.join(" or "));
        }
        match schema.get("type")? {
            Json::String(one) => Some(article(one)),
            Json::Array(many) => {
                Some(many.iter().filter_map(Json::as_str).map(article).collect::<Vec<_>>().join(" or "))
            }
            _ => None,
        }
    }

    fn check_type(&mut self, schema: &Map<String, Json>, value: &Value, at: &Pointer) -> bool {
        let allowed: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
            _ => return true,
        };
        // What is no type of JSON Schema is a fault of the schema and passed over like other words that are not known.
        if allowed.iter().any(|name| is_of_type(value, name) || !TYPES.contains(name)) {
            return true;
        }
        let wanted = allowed.iter().map(|name| article(name)).collect::<Vec<_>>().join(" or ");
        self.report(at, format!("must be {wanted}, not {}", type_of(value)), meant_source(value, &allowed));
        false
    }

    fn check_plain(&mut self, schema: &Map<String, Json>, value: &Value, at: &Pointer) {
        let clear = || value.to_clear_json();
        if let Some(constant) = schema.get("const")
            && value.is_known()
            && clear() != *constant
        {
            self.report(at, format!("must be {constant}"), None);
        }
        if let Some(Json::Array(words)) = schema.get("enum")
            && value.is_known()
            && !words.contains(&clear())
        {
            let known: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            let meant = match value {
                Value::String(text) => did_you_mean(text, known.iter().copied()),
                _ => None,
            };
            let list = words.iter().map(Json::to_string).collect::<Vec<_>>().join(", ");
            self.report(at, format!("must be one of {list}"), meant.map(|m| format!("did you mean `{m}`?")));
        }
        let limit = |name: &str| schema.get(name).and_then(Json::as_f64);
        let (what, size, least, most) = match value {
            Value::Number(n) => ("the number", n.as_f64().unwrap_or(0.0), limit("minimum"), limit("maximum")),
            Value::String(s) => ("the length", s.chars().count() as f64, limit("minLength"), limit("maxLength")),
            Value::List(l) => ("the number of items", l.len() as f64, limit("minItems"), limit("maxItems")),
            _ => return,
        };
        if let Some(least) = least.filter(|least| size < *least) {
            self.report(at, format!("{what} must be at least {least}"), None);
        }
        if let Some(most) = most.filter(|most| size > *most) {
            self.report(at, format!("{what} must be at most {most}"), None);
        }
    }

    fn resolve(&self, reference: &str) -> Option<Json> {
        self.root.pointer(reference.strip_prefix('#')?).cloned()
    }

    fn report(&mut self, pointer: &Pointer, message: String, hint: Option<String>) {
        self.found.push(Diagnostic { pointer: pointer.clone(), message, hint });
    }
}

/// A text that is a set of one attribute may be a misspelt credential source.
fn meant_source(value: &Value, allowed: &[&str]) -> Option<String> {
    let Value::Map(attrs) = value else { return None };
    let (Some((name, _)), 1, true) = (attrs.first_key_value(), attrs.len(), allowed.contains(&"string")) else {
        return None;
    };
    let meant = did_you_mean(name, ["fromEnv", "fromFile", "fromSops"].iter().copied())?;
    Some(format!("did you mean `{meant}`?"))
}

const TYPES: [&str; 7] = ["null", "boolean", "string", "number", "integer", "array", "object"];

fn is_of_type(value: &Value, name: &str) -> bool {
    match (value, name) {
        (Value::Null, "null") | (Value::Bool(_), "boolean") | (Value::String(_), "string") => true,
        (Value::List(_), "array") | (Value::Map(_), "object") | (Value::Number(_), "number") => true,
        (Value::Number(n), "integer") => !n.is_f64() || n.as_f64().is_some_and(|f| f.fract() == 0.0),
        _ => false,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "an attribute set",
        Value::Unknown => "unknown",
        Value::Sensitive(inner) => type_of(inner.expose()),
    }
}

fn article(name: &str) -> String {
    match name {
        "null" => "null".into(),
        "array" => "a list".into(),
        "object" => "an attribute set".into(),
        "integer" => "a whole number".into(),
        other => format!("a {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(inputs: Json, expected: &[&str]) {
        let schema = json!({
            "type": "object",
            "properties": {
                "path": { "type": "string", "minLength": 1, "description": "where it is" },
                "mode": { "type": ["string", "null"] },
                "kind": { "enum": ["ssh", "age"] },
                "count": { "type": "integer", "minimum": 1 },
                "tags": { "type": "array", "items": { "type": "string" } },
                "nested": { "$ref": "#/$defs/Nested" },
                "either": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/Nested" }] },
                "form": { "oneOf": [{ "const": "ssh" }, { "const": "age" }] },
                "may": { "anyOf": [{ "$ref": "#/$defs/Word" }, { "type": "null" }] },
            },
            "required": ["path"],
            "$defs": { "Word": { "oneOf": [{ "enum": ["no", "always"], "type": "string" }, { "const": "once", "type": "string" }] }, "Nested": { "type": "object", "properties": { "a": { "type": "boolean" } }, "additionalProperties": false } },
        });
        let Ok(Value::Map(inputs)) = Value::from_json(inputs) else { panic!("not an object") };
        let schema = TypeSchema { inputs: schema, ..TypeSchema::default() };
        let found: Vec<String> = validate(&schema, &inputs)
            .into_iter()
            .map(|d| format!("{}: {}{}", d.pointer, d.message, d.hint.map(|h| format!(" ({h})")).unwrap_or_default()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn right_inputs_and_unknown_ones_pass() {
        check(
            json!({ "path": "x", "mode": null, "kind": "ssh", "count": 2, "tags": ["a"], "nested": { "a": true } }),
            &[],
        );
        check(json!({ "path": { "$freehold": "unknown" }, "tags": [{ "$freehold": "unknown" }] }), &[]);
        check(json!({ "path": "x", "either": { "a": false } }), &[]);
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let schema = json!({ "properties": {
            "form": { "oneOf": [{ "const": "ssh" }, { "const": "age" }] },
            "user": { "type": "object", "properties": { "name": {} }, "additionalProperties": false },
        }});
        let secret = Value::Map([("canary".to_owned(), "x".into())].into());
        for (name, value, expected) in [
            ("form", Value::from("canary"), "/form: must be \"ssh\" or \"age\", not a string"),
            ("user", secret, "/user: has an attribute that is not recognised"),
        ] {
            let inputs: Attrs = [(name.to_owned(), value.into_sensitive())].into();
            let found = validate_value(&schema, &Value::Map(inputs), true);
            assert_eq!(format!("{}: {}", found[0].pointer, found[0].message), expected);
        }
    }

    #[test]
    fn a_schema_in_words_that_are_not_understood_refuses_nothing_for_that() {
        for schema in [
            json!({}),
            json!({ "properties": { "b": {} }, "allOf": [{ "properties": { "a": {} } }] }),
            json!({ "properties": {}, "patternProperties": { "^a": {} }, "additionalProperties": false }),
            json!({ "properties": { "a": { "type": "strange" } } }),
        ] {
            let of = TypeSchema { inputs: schema, ..TypeSchema::default() };
            assert_eq!(validate_declared(&of, &[("a".to_owned(), "x".into())].into()), []);
        }
    }

    #[test]
    fn outputs_of_another_type_than_promised_are_found() {
        let outputs = json!({ "properties": { "id": { "type": "integer" }, "size": { "type": "integer" } } });
        let of = TypeSchema { outputs, ..TypeSchema::default() };
        let given: Attrs = [("id".to_owned(), "x".into()), ("size".to_owned(), Value::Unknown)].into();
        let found = mistyped_outputs(&of, &given);
        assert_eq!((found.len(), found[0].message.as_str()), (1, "must be a whole number, not a string"));
    }

    #[test]
    fn each_mistake_is_told_with_its_place_and_the_remedy() {
        check(json!({}), &["/path: `path` is required (`path`: where it is)"]);
        check(json!({ "path": "x", "mod": "1" }), &["/mod: `mod` is not recognised (did you mean `mode`?)"]);
        check(json!({ "path": "" }), &["/path: the length must be at least 1"]);
        check(json!({ "path": 1 }), &["/path: must be a string, not a number"]);
        check(
            json!({ "path": { "fromEvn": "X" } }),
            &["/path: must be a string, not an attribute set (did you mean `fromEnv`?)"],
        );
        check(json!({ "path": "x", "kind": "shh" }), &["/kind: must be one of \"ssh\", \"age\" (did you mean `ssh`?)"]);
        check(json!({ "path": "x", "count": 0 }), &["/count: the number must be at least 1"]);
        check(json!({ "path": "x", "tags": ["a", 1] }), &["/tags/1: must be a string, not a number"]);
        check(json!({ "path": "x", "nested": { "b": 1 } }), &["/nested/b: `b` is not recognised (there are: a)"]);
        check(json!({ "path": "x", "form": "rsa" }), &["/form: must be \"ssh\" or \"age\", not \"rsa\""]);
        let words = r#"/may: must be "no" or "always" or "once" or null, not"#;
        check(json!({ "path": "x", "may": "sometimes" }), &[&format!("{words} \"sometimes\"")]);
        check(json!({ "path": "x", "may": 1 }), &[&format!("{words} a number")]);
        check(json!({ "path": "x", "may": "once" }), &[]);
        check(json!({ "path": "x", "form": 1 }), &["/form: must be \"ssh\" or \"age\", not a number"]);
        check(json!({ "path": "x", "either": 1 }), &["/either: must be a string or an attribute set, not a number"]);
        check(json!({ "path": "x", "either": { "a": 1 } }), &["/either/a: must be a boolean, not a number"]);
    }
}
