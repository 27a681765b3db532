//! NixOps4 state: read as records to import, and continued where a NixOps4 provider holds it.
//!
//! The file is a sequence of JSON events `{index, meta, patch}` whose patches (RFC 6902) build one document:
//! `{_type, resources: {name: {type, …}}, deployments: {name: {resources, deployments}}}`. The properties of a resource
//! are written `input_properties` by its command line and `inputProperties` in its documentation: both are read.
//! There is no encryption in it, so secrets are refused rather than written.

use std::collections::BTreeMap;

use freehold_model::{Attrs, Interval, MemberPath, ProviderIdentity, Record, Status, Value, limits};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::error::StateError;

/// Size to which a document may be blown up by patches that copy, in bytes of the file it came from.
const COPY_FACTOR: usize = 16;
/// Copying up to this size is never refused.
const COPY_FREE: usize = 1024 * 1024;
/// How deep patches may nest what they place; a value as it is written can have 128 levels of its own.
const DEPTH: usize = 512;

/// A resource as NixOps4 remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixOps4Resource {
    /// Resource type.
    pub type_name: String,
    /// Inputs with which it was made.
    pub inputs: Attrs,
    /// What came of it.
    pub outputs: Attrs,
}

impl NixOps4Resource {
    /// A record of it; the provider is not in the file and comes from the deployment.
    pub fn into_record(self, provider: ProviderIdentity) -> Record {
        Record {
            provider,
            type_name: self.type_name,
            inputs: self.inputs,
            outputs: self.outputs,
            private: None,
            edges: [].into(),
            interval: Interval::default(),
            status: Status::Ok,
            deposed: Vec::new(),
            protect: false,
            keep: false,
            create_before_destroy: false,
            replace_when: None,
            holder: None,
        }
    }
}

#[derive(Deserialize)]
struct FileEvent {
    index: u64,
    meta: Meta,
    patch: json_patch::Patch,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "time")]
    _time: String,
}

/// The document that a NixOps4 state file amounts to.
///
/// # Errors
/// When an event is not one, a patch does not apply, or the file is empty. Never panics.
pub fn parse_nixops4(bytes: &[u8]) -> Result<Json, StateError> {
    let fault = |event: usize, reason: String| StateError::NixOps4 { event, reason };
    let mut document = Json::Null;
    let mut copied = 0;
    let mut count = 0;
    for (number, event) in serde_json::Deserializer::from_slice(bytes).into_iter::<FileEvent>().enumerate() {
        let event = event.map_err(|e| fault(number, format!("cannot be read: {e}")))?;
        if number == 0 && event.index != 0 {
            return Err(fault(0, format!("has index {}, not 0: the beginning is missing", event.index)));
        }
        let _ = event.meta;
        for operation in &event.patch.0 {
            let moved = moved_part(&document, operation);
            if let json_patch::PatchOperation::Copy(_) = operation {
                copied += moved.map_or(0, size);
            }
            if copied > COPY_FREE.max(bytes.len().saturating_mul(COPY_FACTOR)) {
                return Err(fault(number, "copies the document onto itself without end".to_owned()));
            }
            if operation.path().tokens().count() + moved.map_or(0, depth) > DEPTH {
                return Err(fault(number, format!("nests deeper than {DEPTH}")));
            }
            json_patch::patch(&mut document, std::slice::from_ref(operation))
                .map_err(|e| fault(number, format!("does not apply: {e}")))?;
        }
        count += 1;
    }
    if count == 0 {
        return Err(fault(0, "is missing: there is nothing in it".to_owned()));
    }
    Ok(document)
}

/// The records in a NixOps4 state file, by member path from the root.
///
/// # Errors
/// As [`parse_nixops4`]; and when the document is not one of state.
pub fn import_nixops4(bytes: &[u8]) -> Result<BTreeMap<MemberPath, NixOps4Resource>, StateError> {
    nixops4_records(&parse_nixops4(bytes)?)
}

/// The records in a NixOps4 document, as a protocol v0 holder gives it.
///
/// # Errors
/// When it is not a document of state.
pub fn nixops4_records(document: &Json) -> Result<BTreeMap<MemberPath, NixOps4Resource>, StateError> {
    let fault = |reason: String| StateError::NixOps4 { event: 0, reason };
    match document.get("_type").and_then(Json::as_str) {
        Some("nixopsState") => {}
        Some(other) => return Err(fault(format!("makes a document of type `{other}`, not `nixopsState`"))),
        None => return Err(fault("makes a document without `_type`".to_owned())),
    }
    let mut records = BTreeMap::new();
    read_deployment(document, &MemberPath::root(), &mut records).map_err(fault)?;
    Ok(records)
}

fn read_deployment(
    deployment: &Json,
    at: &MemberPath,
    records: &mut BTreeMap<MemberPath, NixOps4Resource>,
) -> Result<(), String> {
    if at.names().len() >= limits::MEMBER_DEPTH {
        return Err(format!("nests deployments deeper than {}", limits::MEMBER_DEPTH));
    }
    for (name, resource) in object(deployment, "resources", at)? {
        let member = at.child(name);
        let type_name = resource.get("type").and_then(Json::as_str);
        let type_name = type_name.ok_or_else(|| format!("leaves `{member}` without a type"))?.to_owned();
        let inputs = properties(resource, "input_properties", "inputProperties", &member)?;
        let outputs = properties(resource, "output_properties", "outputProperties", &member)?;
        records.insert(member, NixOps4Resource { type_name, inputs, outputs });
    }
    for (name, nested) in object(deployment, "deployments", at)? {
        read_deployment(nested, &at.child(name), records)?;
    }
    Ok(())
}

fn object<'a>(
    deployment: &'a Json,
    name: &str,
    at: &MemberPath,
) -> Result<impl Iterator<Item = (&'a String, &'a Json)>, String> {
    match deployment.get(name) {
        None => Ok(None),
        Some(Json::Object(map)) => Ok(Some(map)),
        Some(_) => Err(format!("makes `{name}` of `{at}` something else than an object")),
    }
    .map(|map| map.into_iter().flatten())
}

fn properties(resource: &Json, snake: &str, camel: &str, member: &MemberPath) -> Result<Attrs, String> {
    match resource.get(snake).or_else(|| resource.get(camel)) {
        None | Some(Json::Null) => Ok(Attrs::new()),
        Some(Json::Object(map)) => Ok(map.iter().map(|(name, value)| (name.clone(), literal(value))).collect()),
        Some(_) => Err(format!("makes `{snake}` of `{member}` something else than an object")),
    }
}

/// JSON of NixOps4 has no marks: whatever looks like one is meant literally.
fn literal(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Number(n.clone()),
        Json::String(s) => Value::String(s.clone()),
        Json::Array(items) => Value::List(items.iter().map(literal).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(name, value)| (name.clone(), literal(value))).collect()),
    }
}

/// The patch by which a NixOps4 document comes to hold `resource` as the record of `member` (or, with `None`, none).
/// Empty when it does already.
///
/// # Errors
/// When a value is secret or unknown: this format would keep it in clear, or cannot keep it.
pub fn nixops4_patch(
    document: &Json,
    member: &MemberPath,
    resource: Option<&NixOps4Resource>,
) -> Result<Json, StateError> {
    let mut operations = Vec::new();
    let Some((name, deployments)) = member.names().split_last() else {
        return Err(StateError::NoRecord { member: member.clone() });
    };
    let mut place = String::new();
    let mut here = Some(document);
    for deployment in deployments {
        here = here.and_then(|d| d.get("deployments"));
        if here.is_none() && resource.is_some() {
            operations.push(json!({ "op": "add", "path": format!("{place}/deployments"), "value": {} }));
            here = Some(&Json::Null);
        }
        place = format!("{place}/deployments/{}", token(deployment));
        here = here.and_then(|d| d.get(deployment));
        if here.is_none() && resource.is_some() {
            let empty = json!({ "resources": {}, "deployments": {} });
            operations.push(json!({ "op": "add", "path": place, "value": empty }));
            // What was just made has both parts.
            here = Some(fresh());
        }
    }
    let resources = here.and_then(|d| d.get("resources"));
    if resources.is_none() && resource.is_some() {
        operations.push(json!({ "op": "add", "path": format!("{place}/resources"), "value": {} }));
    }
    let before = resources.and_then(|r| r.get(name));
    let place = format!("{place}/resources/{}", token(name));
    match (before, resource) {
        (None, None) => {}
        (Some(_), None) => operations.push(json!({ "op": "remove", "path": place })),
        (before, Some(resource)) => {
            let after = resource_json(resource, member, before)?;
            match before {
                Some(before) if *before == after => {}
                Some(_) => operations.push(json!({ "op": "replace", "path": place, "value": after })),
                None => operations.push(json!({ "op": "add", "path": place, "value": after })),
            }
        }
    }
    Ok(Json::Array(operations))
}

/// A deployment without anything in it.
fn fresh() -> &'static Json {
    static FRESH: std::sync::OnceLock<Json> = std::sync::OnceLock::new();
    FRESH.get_or_init(|| json!({ "resources": {}, "deployments": {} }))
}

/// One event of the file, with its line end.
pub fn nixops4_event(index: u64, time: &str, what: &str, patch: &Json) -> String {
    format!("{}\n", json!({ "index": index, "meta": { "time": time, "event": what }, "patch": patch }))
}

fn resource_json(resource: &NixOps4Resource, member: &MemberPath, before: Option<&Json>) -> Result<Json, StateError> {
    let clear = |attrs: &Attrs| -> Result<Map<String, Json>, StateError> {
        attrs.iter().map(|(name, value)| Ok((name.clone(), plain(value, member)?))).collect()
    };
    // The command line of NixOps4 reads the first spelling only; a file in the other one stays as it is.
    let camel = before.is_some_and(|b| b.get("inputProperties").is_some());
    let (inputs, outputs) =
        if camel { ("inputProperties", "outputProperties") } else { ("input_properties", "output_properties") };
    Ok(json!({ "type": resource.type_name, inputs: clear(&resource.inputs)?, outputs: clear(&resource.outputs)? }))
}

fn plain(value: &Value, member: &MemberPath) -> Result<Json, StateError> {
    let refused = |what: &str| StateError::NotInNixOps4 { member: member.clone(), what: what.to_owned() };
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Number(n) => Json::Number(n.clone()),
        Value::String(s) => Json::String(s.clone()),
        Value::List(items) => Json::Array(items.iter().map(|v| plain(v, member)).collect::<Result<_, _>>()?),
        Value::Map(attrs) => Json::Object(
            attrs.iter().map(|(n, v)| Ok((n.clone(), plain(v, member)?))).collect::<Result<_, StateError>>()?,
        ),
        Value::Unknown => return Err(refused("a value that is not known")),
        Value::Sensitive(_) => return Err(refused("a secret")),
    })
}

/// A name as a part of a JSON pointer.
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What an operation takes from one place to another.
fn moved_part<'a>(document: &'a Json, operation: &json_patch::PatchOperation) -> Option<&'a Json> {
    match operation {
        json_patch::PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()),
        json_patch::PatchOperation::Move(moved) => document.pointer(moved.from.as_str()),
        _ => None,
    }
}

fn depth(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn size(json: &Json) -> usize {
    match json {
        Json::String(s) => s.len() + 8,
        Json::Array(items) => 8 + items.iter().map(size).sum::<usize>(),
        Json::Object(map) => 8 + map.iter().map(|(name, value)| name.len() + 8 + size(value)).sum::<usize>(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the provider writes it: events of several lines, one after another.
    const FILE: &str = r#"
{ "index": 0, "meta": { "time": "2026-03-04T07:40:00Z" },
  "patch": [ { "op": "add", "path": "", "value": { "_type": "nixopsState", "resources": {}, "deployments": {} } } ] }
{ "index": 0, "meta": { "time": "2026-03-04T07:41:00Z", "event": "create" },
  "patch": [ { "op": "add", "path": "/resources/page", "value":
      { "type": "file", "input_properties": { "contents": "hi", "$freehold": "literal" }, "output_properties": {} } } ] }
{ "index": 0, "meta": { "time": "2026-03-04T07:42:00Z" },
  "patch": [ { "op": "add", "path": "/deployments/web~1x", "value": { "resources": {
      "key": { "type": "memo", "inputProperties": { "initialize_with": 1 }, "outputProperties": { "value": 1 } } } } },
    { "op": "replace", "path": "/resources/page/input_properties/contents", "value": "ho" } ] }
"#;

    #[test]
    fn both_spellings_and_nested_deployments_are_read() {
        let records = import_nixops4(FILE.as_bytes()).unwrap();
        let paths: Vec<String> = records.keys().map(ToString::to_string).collect();
        assert_eq!(paths, ["page", "\"web/x\".key"]);
        let page = &records[&MemberPath::new(["page"])];
        assert_eq!((page.type_name.as_str(), &page.inputs["contents"]), ("file", &"ho".into()));
        assert_eq!(page.inputs["$freehold"], "literal".into());
        assert_eq!(records[&MemberPath::new(["web/x", "key"])].outputs["value"], Value::from(1));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_number_of_the_event() {
        for (text, message) in [
            ("", "this is not NixOps4 state: event 0 is missing: there is nothing in it"),
            (
                r#"{"index":1,"meta":{"time":"t"},"patch":[]}"#,
                "this is not NixOps4 state: event 0 has index 1, not 0: the beginning is missing",
            ),
            (
                r#"{"index":0,"meta":{"time":"t"},"patch":[{"op":"remove","path":"/x"}]}"#,
                "this is not NixOps4 state: event 0 does not apply: operation '/0' failed at path '/x': path is invalid",
            ),
            (
                r#"{"index":0,"meta":{"time":"t"},"patch":[{"op":"add","path":"","value":{"_type":"x"}}]}"#,
                "this is not NixOps4 state: event 0 makes a document of type `x`, not `nixopsState`",
            ),
        ] {
            assert_eq!(import_nixops4(text.as_bytes()).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_patch_that_copies_the_document_onto_itself_is_stopped() {
        let file = |operations: &str| {
            let first = r#"{"op":"add","path":"","value":{"_type":"nixopsState"}}"#;
            format!(r#"{{"index":0,"meta":{{"time":"t"}},"patch":[{first},{}]}}"#, operations.trim_end_matches(','))
        };
        let doubling = r#"{"op":"copy","from":"","path":"/x"},{"op":"copy","from":"","path":"/y"},"#.repeat(40);
        let error = import_nixops4(file(&doubling).as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("event 0 copies the document onto itself without end"), "{error}");
        let deeper = r#"{"op":"add","path":"/y","value":{}},{"op":"move","from":"/x","path":"/y/x"},"#;
        let deeper = format!(r#"{deeper}{{"op":"move","from":"/y","path":"/x"}},"#);
        let nesting = format!(r#"{{"op":"add","path":"/x","value":{{}}}},{}"#, deeper.repeat(600));
        let error = import_nixops4(file(&nesting).as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("event 0 nests deeper than 512"), "{error}");
    }

    #[test]
    fn a_patch_brings_the_document_to_hold_a_record_and_to_drop_it() {
        let mut document = parse_nixops4(FILE.as_bytes()).unwrap();
        let resource = |text: &str| NixOps4Resource {
            type_name: "file".into(),
            inputs: [("contents".to_owned(), text.into())].into(),
            outputs: Attrs::new(),
        };
        for member in [MemberPath::new(["new"]), MemberPath::new(["a", "b/c", "d"]), MemberPath::new(["web/x", "y"])] {
            for text in ["one", "two"] {
                let patch = nixops4_patch(&document, &member, Some(&resource(text))).unwrap();
                let event = nixops4_event(7, "2026-11-21T00:00:00Z", "update", &patch);
                let parsed: FileEvent = serde_json::from_str(&event).unwrap();
                json_patch::patch(&mut document, &parsed.patch.0).unwrap();
                assert_eq!(nixops4_records(&document).unwrap()[&member], resource(text));
                assert_eq!(nixops4_patch(&document, &member, Some(&resource(text))).unwrap(), json!([]));
            }
            let patch = nixops4_patch(&document, &member, None).unwrap();
            json_patch::patch(&mut document, &serde_json::from_value::<json_patch::Patch>(patch).unwrap().0).unwrap();
            assert!(!nixops4_records(&document).unwrap().contains_key(&member));
        }
    }

    #[test]
    fn a_secret_is_not_written_in_clear() {
        let document = parse_nixops4(FILE.as_bytes()).unwrap();
        let secret = Value::Map([("password".to_owned(), Value::from("canary").into_sensitive())].into());
        let resource = NixOps4Resource {
            type_name: "db".into(),
            inputs: [("settings".to_owned(), secret)].into(),
            outputs: Attrs::new(),
        };
        let error = nixops4_patch(&document, &MemberPath::new(["db"]), Some(&resource)).unwrap_err();
        assert_eq!(error.to_string(), "`db` has a secret, which NixOps4 state cannot keep");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = import_nixops4(&bytes);
        }

        #[test]
        fn no_change_of_a_byte_makes_the_reader_panic(at in 0..FILE.len(), byte in any::<u8>()) {
            let mut bytes = FILE.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = import_nixops4(&bytes);
        }
    }
}
