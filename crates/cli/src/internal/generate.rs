//! Everything that is made from code: reference pages, JSON Schemas, what Nix is told of the built-in providers, manual pages.
//!
//! Paths are those of the repository; `xtask generate` copies and compares.

use std::collections::BTreeMap;

use freehold_protocol::{ProviderSchema, TypeSchema};
use serde_json::{Map, Value as Json, json};

use super::{manual, reference};
use crate::builtin;
use crate::failure::Failure;
use crate::reports;

const PLAN_SCHEMA: &str = include_str!("../schemas/plan.json");

/// Path → contents.
pub(super) fn files() -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    for (name, page) in manual::pages()? {
        files.insert(format!("docs/man/{name}"), page);
    }
    for (name, page) in reference::pages() {
        files.insert(format!("docs/reference/generated/{name}"), page.into_bytes());
    }
    let schemas = freehold_protocol::schemas().into_iter().chain(freehold_rollout::schemas());
    for (name, schema) in schemas.chain(freehold_manifest::schemas()) {
        files.insert(format!("docs/schemas/{name}.json"), pretty(&schema));
    }
    for (name, schema) in reports::schemas() {
        files.insert(format!("docs/schemas/cli.{name}.json"), pretty(&schema));
    }
    files.insert("docs/schemas/plan.json".to_owned(), PLAN_SCHEMA.as_bytes().to_vec());
    for builtin in builtin::ALL {
        let facts = facts(&(builtin.provider)().schema(), builtin.description);
        files.insert(format!("nix/providers/{}.json", builtin.name), pretty(&facts));
    }
    Ok(files)
}

/// What the Nix library has to know of a provider.
fn facts(schema: &ProviderSchema, description: &str) -> Json {
    let types: Map<String, Json> = schema.types.iter().map(|(name, t)| (name.clone(), type_facts(t))).collect();
    json!({ "description": description, "types": types })
}

fn type_facts(schema: &TypeSchema) -> Json {
    let required = schema.required_inputs();
    let is_sensitive = |places: &[freehold_model::Pointer], name: &str| {
        places.iter().any(|p| p.tokens().first().is_some_and(|first| first == name) && p.tokens().len() == 1)
    };
    let described = |s: &Json| s.get("description").cloned().unwrap_or_else(|| json!(""));
    let mut inputs = Map::new();
    for (name, s) in schema.input_properties() {
        let sensitive = is_sensitive(&schema.sensitive_inputs, name);
        let input =
            json!({ "required": required.contains(&name), "description": described(s), "sensitive": sensitive });
        inputs.insert(name.to_owned(), input);
    }
    let mut outputs = Map::new();
    for (name, s) in schema.output_properties() {
        let sensitive = is_sensitive(&schema.sensitive_outputs, name);
        outputs.insert(name.to_owned(), json!({ "description": described(s), "sensitive": sensitive }));
    }
    let operations: Map<String, Json> =
        schema.operations.iter().map(|(name, op)| (name.clone(), json!({ "description": op.description }))).collect();
    json!({
        "description": schema.description,
        "inputs": inputs,
        "aliases": schema.aliases,
        "outputs": outputs,
        "operations": operations,
        "stateful": schema.stateful,
        "holdsState": schema.holds_state,
        "anyInput": schema.accepts_any_input(),
    })
}

fn pretty(json: &Json) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_contents_and_none_names_this_machine() {
        let files = files().unwrap();
        for path in [
            "docs/man/freehold.1",
            "docs/reference/generated/cli.md",
            "docs/schemas/plan.json",
            "nix/providers/local.json",
        ] {
            assert!(files.contains_key(path), "{path} is missing");
        }
        for (path, contents) in &files {
            let text = String::from_utf8(contents.clone()).unwrap();
            assert!(text.ends_with('\n') && text.len() > 20, "{path}");
            assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{path}");
        }
    }
}
