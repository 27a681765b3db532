//! The JSON Schemas of everything that travels, by file name: published for other languages in `schemas/`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value as Json;

use crate::{TypeSchema, events, v0, v1};

/// Schema files: name without `.json` → JSON Schema (draft 2020-12).
pub fn schemas() -> BTreeMap<&'static str, Json> {
    [
        ("events.event", schema::<events::Event>()),
        ("v0.request", schema::<v0::Request>()),
        ("v0.response", schema::<v0::Response>()),
        ("v1.type-schema", schema::<TypeSchema>()),
        ("v1.error", schema::<v1::ErrorObject>()),
        ("v1.initialize.params", schema::<v1::InitializeParams>()),
        ("v1.initialize.result", schema::<v1::InitializeResult>()),
        ("v1.schema.params", schema::<v1::SchemaParams>()),
        ("v1.schema.result", schema::<v1::SchemaResult>()),
        ("v1.configure.params", schema::<v1::ConfigureParams>()),
        ("v1.configure.result", schema::<v1::Done>()),
        ("v1.validate.params", schema::<v1::ValidateParams>()),
        ("v1.validate.result", schema::<v1::ValidateResult>()),
        ("v1.plan.params", schema::<v1::PlanParams>()),
        ("v1.plan.result", schema::<v1::PlanResult>()),
        ("v1.create.params", schema::<v1::CreateParams>()),
        ("v1.create.result", schema::<v1::ObjectResult>()),
        ("v1.read.params", schema::<v1::ObjectParams>()),
        ("v1.read.result", schema::<v1::ReadResult>()),
        ("v1.update.params", schema::<v1::UpdateParams>()),
        ("v1.update.result", schema::<v1::ObjectResult>()),
        ("v1.delete.params", schema::<v1::ObjectParams>()),
        ("v1.delete.result", schema::<v1::Done>()),
        ("v1.import.params", schema::<v1::ImportParams>()),
        ("v1.import.result", schema::<v1::ImportResult>()),
        ("v1.operations-run.params", schema::<v1::RunParams>()),
        ("v1.operations-run.result", schema::<v1::RunResult>()),
        ("v1.state-read.params", schema::<v1::ObjectParams>()),
        ("v1.state-read.result", schema::<v1::StateReadResult>()),
        ("v1.state-append.params", schema::<v1::StateAppendParams>()),
        ("v1.state-append.result", schema::<v1::StateAppendResult>()),
        ("v1.state-lock.params", schema::<v1::StateLockParams>()),
        ("v1.state-lock.result", schema::<v1::StateLockResult>()),
        ("v1.state-unlock.params", schema::<v1::StateUnlockParams>()),
        ("v1.state-unlock.result", schema::<v1::Done>()),
        ("v1.cancel.notification", schema::<v1::CancelParams>()),
        ("v1.progress.notification", schema::<v1::ProgressParams>()),
        ("v1.log.notification", schema::<v1::LogParams>()),
        ("v1.partial.notification", schema::<v1::PartialParams>()),
        ("v1.output.notification", schema::<v1::OutputParams>()),
    ]
    .into()
}

fn schema<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}
