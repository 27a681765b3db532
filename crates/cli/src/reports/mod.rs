//! What `--json` prints, format by format: each type here is one attribute set with `format`, of which its JSON Schema is made
//! (`docs/schemas/cli.NAME.json`). The plan, events, manifests and types of providers have schemas of their own.
//!
//! It prints nothing. Commands write their JSON; a build with debug assertions reads it back as the type says before it is printed,
//! so that every test of a command is one of its schema, too. To add a format: a type in the file of its kind, a line in [`ALL`].

mod apps;
mod deployment;
mod hosts;
mod records;
mod tools;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

/// One format.
struct Report {
    /// `freehold.NAME/1`
    name: &'static str,
    schema: fn() -> Json,
    check: fn(Json) -> Result<(), serde_json::Error>,
}

const fn report<T: JsonSchema + DeserializeOwned>(name: &'static str) -> Report {
    Report { name, schema: schema_of::<T>, check: |json| serde_json::from_value::<T>(json).map(drop) }
}

/// All formats.
const ALL: [Report; 61] = [
    report::<tools::Error>("error"),
    report::<tools::Init>("init"),
    report::<tools::Identity>("identity"),
    report::<tools::Doctor>("doctor"),
    report::<tools::Providers>("providers"),
    report::<tools::ProviderSchema>("provider-schema"),
    report::<tools::ProviderTest>("provider-test"),
    report::<deployment::Members>("members"),
    report::<deployment::Graph>("graph"),
    report::<deployment::Status>("status"),
    report::<deployment::Drift>("drift"),
    report::<deployment::Import>("import"),
    report::<deployment::Run>("run"),
    report::<records::Outputs>("outputs"),
    report::<records::Records>("records"),
    report::<records::Export>("export"),
    report::<records::History>("history"),
    report::<records::StateList>("state-list"),
    report::<records::StateDiff>("state-diff"),
    report::<records::StateRm>("state-rm"),
    report::<records::StateMv>("state-mv"),
    report::<records::StateImport>("state-import"),
    report::<records::StateRekey>("state-rekey"),
    report::<records::StateUnlock>("state-unlock"),
    report::<records::StateRepair>("state-repair"),
    report::<hosts::CacheKey>("cache-key"),
    report::<hosts::CacheLs>("cache-ls"),
    report::<hosts::CacheVerify>("cache-verify"),
    report::<hosts::CachePush>("cache-push"),
    report::<hosts::CachePull>("cache-pull"),
    report::<hosts::CacheGc>("cache-gc"),
    report::<hosts::Publish>("publish"),
    report::<hosts::Rollback>("rollback"),
    report::<hosts::Generations>("generations"),
    report::<hosts::ManifestDiff>("manifest-diff"),
    report::<hosts::ManifestRemove>("manifest-remove"),
    report::<hosts::ManifestVerify>("manifest-verify"),
    report::<hosts::AgentStatus>("agent-status"),
    report::<hosts::Round>("round"),
    report::<apps::App>("app"),
    report::<apps::Sweep>("app-sweep"),
    report::<apps::List>("app-list"),
    report::<apps::Ps>("app-ps"),
    report::<apps::New>("app-new"),
    report::<apps::Secrets>("app-secrets"),
    report::<apps::SecretsMade>("app-secrets-made"),
    report::<apps::SecretsRemoved>("app-secrets-removed"),
    report::<apps::Volumes>("app-volumes"),
    report::<apps::VolumesRemoved>("app-volumes-removed"),
    report::<apps::Removed>("app-removed"),
    report::<apps::Logs>("app-logs"),
    report::<apps::Functions>("app-functions"),
    report::<apps::Recipient>("app-recipient"),
    report::<apps::Snapshots>("app-snapshots"),
    report::<apps::Snapshot>("app-snapshot"),
    report::<apps::Diff>("app-diff"),
    report::<apps::Env>("app-env"),
    report::<apps::Lint>("app-lint"),
    report::<apps::Versions>("app-versions"),
    report::<apps::Swarm>("app-swarm"),
    report::<apps::Prune>("app-prune"),
];

/// Name of the format → its schema.
pub(crate) fn schemas() -> impl Iterator<Item = (&'static str, Json)> {
    ALL.iter().map(|report| (report.name, with_format((report.schema)(), report.name)))
}

/// What of a report is not as its schema says; formats that are described elsewhere pass.
pub(crate) fn mistake(report: &Json) -> Option<String> {
    let format = report.get("format")?.as_str()?;
    let known = ALL.iter().find(|known| format == format_of(known.name))?;
    let mut attributes = report.clone();
    attributes.as_object_mut()?.remove("format");
    (known.check)(attributes)
        .err()
        .map(|error| format!("a report of the format `{format}` is not as it should be: {error}"))
}

fn format_of(name: &str) -> String {
    format!("freehold.{name}/1")
}

fn schema_of<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// New attributes may come within a version, so others than those that are described are no mistake of a report that is read.
fn with_format(mut schema: Json, name: &str) -> Json {
    schema["properties"]["format"] = json!({ "const": format_of(name) });
    let mut required = vec![json!("format")];
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    schema["required"] = Json::Array(required);
    open(&mut schema);
    schema
}

fn open(schema: &mut Json) {
    match schema {
        Json::Object(parts) => {
            parts.retain(|name, value| name != "additionalProperties" || *value != json!(false));
            parts.values_mut().for_each(open);
        }
        Json::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_that_a_command_prints_has_a_schema() {
        let elsewhere = ["plan", "events"];
        let mut pending = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut seen = 0;
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = fs_err::read_to_string(&path).unwrap();
            for (_, rest) in
                text.match_indices("\"format\": \"freehold.").map(|(at, found)| (at, &text[at + found.len()..]))
            {
                let name = rest.split('/').next().unwrap();
                let is_known = elsewhere.contains(&name) || ALL.iter().any(|known| known.name == name);
                assert!(is_known, "`freehold.{name}/1` in {} has no schema", path.display());
                seen += 1;
            }
        }
        assert!(seen > 20);
    }

    #[test]
    fn a_report_that_says_something_else_is_noticed() {
        assert_eq!(mistake(&json!({ "format": "freehold.run/1", "exitCode": 0 })), None);
        assert_eq!(mistake(&json!({ "format": "freehold.plan/1" })), None);
        for wrong in [json!({ "exitCode": "0" }), json!({}), json!({ "exitCode": 0, "more": 1 })] {
            let mut report = wrong;
            report["format"] = json!("freehold.run/1");
            assert!(mistake(&report).is_some(), "{report}");
        }
    }

    #[test]
    fn every_attribute_is_described() {
        for (name, schema) in schemas() {
            assert!(schema["description"].is_string(), "{name}");
            let properties = schema["properties"].as_object().unwrap();
            for (attribute, schema) in properties.iter().filter(|(attribute, _)| *attribute != "format") {
                assert!(schema["description"].is_string(), "{name}: {attribute}");
            }
        }
    }
}
