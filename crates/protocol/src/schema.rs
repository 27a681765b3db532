//! What a provider says about its resource types.

use std::collections::BTreeMap;

use freehold_model::{Pointer, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// All that a provider offers, as the client keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSchema {
    /// The provider's name as it said in `initialize` (the program's file name for protocol v0).
    pub name: String,
    /// Its version as it said; empty when it said none.
    pub version: String,
    /// The protocol spoken: 1, or 0 (NixOps4's, which has no schema: `types` is empty and any type may exist).
    pub protocol: u32,
    /// Resource types by name.
    pub types: BTreeMap<String, TypeSchema>,
    /// JSON Schema of the provider-wide settings, when it has one.
    pub config: Option<Json>,
}

/// A resource type: the shapes of its inputs and outputs, and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeSchema {
    /// What it is, for documentation (Markdown).
    pub description: String,
    /// JSON Schema (an object schema) of the inputs.
    pub inputs: Json,
    /// JSON Schema (an object schema) of the outputs.
    pub outputs: Json,
    /// Other names under which an input may be given: alias → name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// Places of inputs that are secrets whatever the deployment says.
    #[schemars(with = "Vec<String>")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitive_inputs: Vec<Pointer>,
    /// Places of outputs that are secrets.
    #[schemars(with = "Vec<String>")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitive_outputs: Vec<Pointer>,
    /// Inputs that the provider fills in when they are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub computed: Vec<String>,
    /// Inputs whose change makes a new object necessary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub force_new: Vec<String>,
    /// Outputs that an update does not change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stable_outputs: Vec<String>,
    /// Inputs that together name the object in the world. Two members with equal ones manage the same object, and an object
    /// whose creation was interrupted is found by them. Empty when the world does not name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<String>,
    /// Whether an interrupted creation may simply be done again: making it twice does no harm. Of a `stateful` type that cannot be
    /// read nothing is left behind; of others the operator is asked once nothing declares the object any more.
    pub repeatable: bool,
    /// Whether `plan` is asked even when nothing changed.
    pub plan_always: bool,
    /// Inputs that `read` cannot give back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write_only: Vec<String>,
    /// Named actions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<String, OperationSchema>,
    /// Whether its outputs exist in the record only, so that losing the record loses them.
    pub stateful: bool,
    /// Whether it answers `state/read`, `state/append`, `state/lock`, `state/unlock`.
    pub holds_state: bool,
    /// Whether `read` finds out about the object in the world.
    pub can_read: bool,
    /// Whether `update` changes an object in place.
    pub can_update: bool,
    /// Whether `delete` removes the object.
    pub can_delete: bool,
    /// Whether `import` finds existing objects.
    pub can_import: bool,
    /// Inputs that work anywhere, for documentation and for `freehold provider test`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// A named action of a resource type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationSchema {
    /// One line for help.
    pub description: String,
    /// How its arguments are written: `[--full]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arguments: String,
    /// Whether it may change the outputs, so that dependents follow at the next apply.
    pub changes_outputs: bool,
}

/// Inputs that can be tried out in an empty working directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Example {
    /// What it shows.
    pub title: String,
    /// Inputs to create with.
    pub inputs: Map<String, Json>,
    /// Inputs to update to afterwards, when that is worth showing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<Map<String, Json>>,
}

impl TypeSchema {
    /// Names of the inputs that must be given.
    pub fn required_inputs(&self) -> Vec<&str> {
        required(&self.inputs)
    }

    /// Names of the outputs that every object has.
    pub fn required_outputs(&self) -> Vec<&str> {
        required(&self.outputs)
    }

    /// Names of all inputs, with their schemas.
    pub fn input_properties(&self) -> impl Iterator<Item = (&str, &Json)> {
        properties(&self.inputs)
    }

    /// Names of all outputs, with their schemas.
    pub fn output_properties(&self) -> impl Iterator<Item = (&str, &Json)> {
        properties(&self.outputs)
    }

    /// Whether inputs with names that are not listed are accepted.
    pub fn accepts_any_input(&self) -> bool {
        !matches!(self.inputs.get("additionalProperties"), None | Some(Json::Bool(false)))
    }

    /// Marks the inputs that are secrets by nature; places that are not given are passed over.
    pub fn mark_sensitive_inputs(&self, inputs: &mut freehold_model::Attrs) {
        mark_sensitive(inputs, &self.sensitive_inputs);
    }

    /// Marks the outputs that are secrets by nature; places that are not given are passed over.
    pub fn mark_sensitive_outputs(&self, outputs: &mut freehold_model::Attrs) {
        mark_sensitive(outputs, &self.sensitive_outputs);
    }

    /// Gives inputs their proper names; an alias beside its proper name stays, so that it is refused as unrecognised.
    pub fn resolve_aliases(&self, inputs: &mut freehold_model::Attrs) {
        for (alias, name) in &self.aliases {
            if !inputs.contains_key(name)
                && let Some(value) = inputs.remove(alias)
            {
                inputs.insert(name.clone(), value);
            }
        }
    }
}

/// Marks what is at `places`; those that are not given are passed over.
pub fn mark_sensitive(attrs: &mut freehold_model::Attrs, places: &[Pointer]) {
    if places.is_empty() {
        return;
    }
    let mut whole = Value::Map(std::mem::take(attrs));
    for place in places {
        if whole.get(place).is_some_and(|v| *v != Value::Null) {
            // The place was just seen, so this cannot fail.
            let _ = whole.mark_sensitive(place);
        }
    }
    if let Value::Map(marked) = whole {
        *attrs = marked;
    }
}

fn required(schema: &Json) -> Vec<&str> {
    schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
}

fn properties(schema: &Json) -> impl Iterator<Item = (&str, &Json)> {
    schema.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(name, s)| (name.as_str(), s))
}
