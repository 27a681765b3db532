//! The difference between two manifests, service by service and field by field.

use std::collections::BTreeMap;

use freehold_model::Pointer;
use serde::Serialize;
use serde_json::Value as Json;

use crate::manifest::Manifest;
use crate::service::Service;

/// What became of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub service: String,
    /// What became of it.
    pub change: Change,
    /// The fields that differ, in order; none for one that is added or removed.
    pub fields: Vec<Field>,
}

/// What became of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is no longer there.
    Removed,
    /// Something is said differently of it.
    Changed,
}

/// A field that differs. What is on one side only is `null` on the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Where, within the service.
    pub at: Pointer,
    /// Before.
    pub before: Json,
    /// Now.
    pub after: Json,
}

/// What is different in `after`; nothing is an empty manifest. Services stand in order of their names.
pub fn diff(before: Option<&Manifest>, after: Option<&Manifest>) -> Vec<Difference> {
    let (before, after) = (by_name(before), by_name(after));
    let mut names: Vec<&&str> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let (change, fields) = match (before.get(name), after.get(name)) {
                (None, _) => (Change::Added, Vec::new()),
                (_, None) => (Change::Removed, Vec::new()),
                (Some(before), Some(after)) => match fields(before, after) {
                    fields if fields.is_empty() => return None,
                    fields => (Change::Changed, fields),
                },
            };
            Some(Difference { service: (*name).to_owned(), change, fields })
        })
        .collect()
}

fn by_name(manifest: Option<&Manifest>) -> BTreeMap<&str, &Service> {
    manifest.into_iter().flat_map(|m| &m.services).map(|service| (service.name.as_str(), service)).collect()
}

fn fields(before: &Service, after: &Service) -> Vec<Field> {
    let leaves = |service: &Service| {
        let mut found = BTreeMap::new();
        collect(&serde_json::to_value(service).unwrap_or_default(), &Pointer::root(), &mut found);
        found
    };
    let (before, after) = (leaves(before), leaves(after));
    let mut places: Vec<&Pointer> = before.keys().chain(after.keys()).collect();
    places.sort();
    places.dedup();
    let value = |side: &BTreeMap<Pointer, Json>, at| side.get(at).cloned().unwrap_or_default();
    places
        .into_iter()
        .filter(|at| before.get(at) != after.get(at))
        .map(|at| Field { at: at.clone(), before: value(&before, at), after: value(&after, at) })
        .collect()
}

/// Every value that is no object, by its place; lists are taken as a whole.
fn collect(value: &Json, at: &Pointer, found: &mut BTreeMap<Pointer, Json>) {
    match value {
        Json::Object(fields) => {
            for (name, field) in fields {
                collect(field, &at.child(name), found);
            }
        }
        leaf => {
            found.insert(at.clone(), leaf.clone());
        }
    }
}
