//! The JSON Schema of a manifest, made from its types.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use crate::Manifest;

/// Schema files: name without `.json` → JSON Schema (draft 2020-12).
pub fn schemas() -> BTreeMap<&'static str, Json> {
    let manifest = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Manifest>().to_value();
    [("manifest", manifest)].into()
}
