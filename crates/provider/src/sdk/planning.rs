//! The plan of a resource type that says nothing more: by comparing inputs.

use freehold_model::{Attrs, Value};
use freehold_protocol::TypeSchema;
use freehold_protocol::v1::PlanAction;

/// What the difference between recorded and wanted inputs calls for.
pub(crate) fn compare(schema: &TypeSchema, prior: &Attrs, wanted: &Attrs) -> (PlanAction, Vec<String>) {
    let changed = changed_inputs(prior, wanted);
    if changed.is_empty() {
        return (PlanAction::None, Vec::new());
    }
    let forcing: Vec<&String> = changed.iter().filter(|name| schema.force_new.contains(name)).collect();
    if !forcing.is_empty() {
        let reasons = forcing.iter().map(|name| {
            let may = if wanted.get(*name).is_none_or(Value::is_known) { "changes" } else { "may change" };
            format!("`{name}` {may}, which needs a new object")
        });
        return (PlanAction::Replace, reasons.collect());
    }
    if !schema.can_update {
        return (PlanAction::Replace, vec!["objects of this type cannot be changed in place".into()]);
    }
    (PlanAction::Update, Vec::new())
}

/// Names of inputs that differ; null and absent are the same.
pub(crate) fn changed_inputs(prior: &Attrs, wanted: &Attrs) -> Vec<String> {
    let mut names: Vec<&String> = prior.keys().chain(wanted.keys()).collect();
    names.sort();
    names.dedup();
    let absent = Value::Null;
    names
        .into_iter()
        .filter(|name| {
            let (a, b) = (prior.get(*name).unwrap_or(&absent), wanted.get(*name).unwrap_or(&absent));
            !b.is_known() || !a.same_content(b)
        })
        .cloned()
        .collect()
}

/// Outputs after `action`: what is told beforehand, what stays, and otherwise unknown.
pub(crate) fn outputs(schema: &TypeSchema, action: PlanAction, prior: Option<&Attrs>, told: Attrs) -> Attrs {
    if let (PlanAction::None, Some(prior)) = (action, prior) {
        return prior.clone();
    }
    let mut outputs: Attrs = schema.output_properties().map(|(name, _)| (name.to_owned(), Value::Unknown)).collect();
    if let (PlanAction::Update, Some(prior)) = (action, prior) {
        for name in &schema.stable_outputs {
            if let Some(value) = prior.get(name) {
                outputs.insert(name.clone(), value.clone());
            }
        }
    }
    outputs.extend(told);
    schema.mark_sensitive_outputs(&mut outputs);
    outputs
}
