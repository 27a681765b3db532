//! The JSON Schemas of what others write and read: the gate, how a workload is rolled out, the policy, the alert.
//!
//! The record has none: it is nobody's to write.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value as Json;

use crate::{Alert, Gate, Policy, Settings};

/// Schema files: name without `.json` → JSON Schema (draft 2020-12).
pub fn schemas() -> BTreeMap<&'static str, Json> {
    [
        ("rollout.alert", schema::<Alert>()),
        ("rollout.gate", schema::<Gate>()),
        ("rollout.policy", schema::<Policy>()),
        ("rollout.settings", schema::<Settings>()),
    ]
    .into()
}

fn schema<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}
