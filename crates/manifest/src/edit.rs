//! What a publish changes: flags laid over what was said of a service before, and the manifest that comes of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::error::ManifestError;
use crate::generation::Generation;
use crate::manifest::{Manifest, VERSION, read_json, refuse_lists_in};
use crate::service::{Runtime, Service};

/// What is said of a service now. What is `None` or empty stays as it was; a group that is given replaces the group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceFlags {
    /// Forget what was said before.
    pub reset: bool,
    /// The store path to run.
    pub store_path: Option<String>,
    /// The command line.
    pub command: Option<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// A file on the host with further environment.
    pub env_file: Option<String>,
    /// The hosts.
    pub hosts: Vec<String>,
    /// The user.
    pub user: Option<String>,
    /// The group.
    pub group: Option<String>,
    /// Names that requests are for.
    pub domains: Vec<String>,
    /// Paths below which requests are its own.
    pub paths: Vec<String>,
    /// The port it listens on.
    pub port: Option<u16>,
    /// The gate, as JSON.
    pub gate: Option<Json>,
    /// What runs it.
    pub runtime: Option<Runtime>,
    /// Where it was built from.
    pub revision: Option<String>,
    /// Any field: its path and its value; `null` takes it out.
    pub set: Vec<(Vec<String>, Json)>,
}

impl ServiceFlags {
    /// The service `name` as it is after these flags; `before` is what was said of it so far.
    ///
    /// # Errors
    /// A new service without store path or command, or a field that is not there or does not take such a value.
    pub fn apply(&self, name: &str, before: Option<&Service>) -> Result<Service, ManifestError> {
        let before = before.filter(|_| !self.reset);
        let mut service = match before.map(serde_json::to_value) {
            Some(Ok(Json::Object(fields))) => fields,
            _ => Map::new(),
        };
        service.insert("name".to_owned(), json!(name));
        self.lay_over(&mut service);
        for (tokens, value) in &self.set {
            set(&mut service, tokens, value)?;
        }
        let (service, at) = (Json::Object(service), format!("/{name}"));
        refuse_lists_in(&service, &at)?;
        let has = |field: &str, part: &str| service.get(field).is_some_and(|value| value.get(part).is_some());
        let missing = |what| Err(ManifestError::Missing { name: name.to_owned(), what });
        if !has("artifact", "storePath") {
            return missing("a store path");
        }
        if !has("exec", "command") {
            return missing("a command");
        }
        read_json(service.to_string().as_bytes(), &at)
    }

    fn lay_over(&self, service: &mut Map<String, Json>) {
        if let Some(path) = &self.store_path {
            service.insert("artifact".to_owned(), json!({ "type": "nix-closure", "storePath": path }));
        }
        for (field, value) in [("command", &self.command), ("user", &self.user), ("group", &self.group)] {
            if let Some(value) = value {
                object(service, "exec").insert(field.to_owned(), json!(value));
            }
        }
        if !self.env.is_empty() {
            let env: BTreeMap<_, _> = self.env.iter().cloned().collect();
            service.insert("env".to_owned(), json!(env));
        }
        if !self.hosts.is_empty() {
            service.insert("hosts".to_owned(), json!(self.hosts));
        }
        for (field, value) in [("envFile", &self.env_file), ("revision", &self.revision)] {
            if let Some(value) = value {
                service.insert(field.to_owned(), json!(value));
            }
        }
        self.lay_over_http(service);
        if let Some(gate) = &self.gate {
            service.insert("gate".to_owned(), gate.clone());
        }
        if let Some(runtime) = self.runtime {
            service.insert("runtime".to_owned(), json!(runtime));
        }
    }

    fn lay_over_http(&self, service: &mut Map<String, Json>) {
        for (first, rest, given) in [("domain", "domains", &self.domains), ("path", "paths", &self.paths)] {
            let Some((one, others)) = given.split_first() else { continue };
            let http = object(service, "http");
            http.insert(first.to_owned(), json!(one));
            http.remove(rest);
            if !others.is_empty() {
                http.insert(rest.to_owned(), json!(others));
            }
        }
        if let Some(port) = self.port {
            object(service, "http").insert("internalPort".to_owned(), json!(port));
        }
    }
}

/// The object in that field, made when there is none.
fn object<'a>(fields: &'a mut Map<String, Json>, field: &str) -> &'a mut Map<String, Json> {
    let value = fields.entry(field).or_insert_with(|| Json::Object(Map::new()));
    if !value.is_object() {
        *value = Json::Object(Map::new());
    }
    match value {
        Json::Object(inner) => inner,
        _ => unreachable!("it was just made an object"),
    }
}

fn set(service: &mut Map<String, Json>, tokens: &[String], value: &Json) -> Result<(), ManifestError> {
    let failed = |reason: &str| ManifestError::Set { pointer: tokens.join("/"), reason: reason.to_owned() };
    let (last, above) = tokens.split_last().ok_or_else(|| failed("it names no field"))?;
    if tokens.len() == 1 && last == "name" {
        return Err(failed("the name is what the service is published as"));
    }
    let mut at = service;
    for token in above {
        let inner = at.entry(token.as_str()).or_insert_with(|| Json::Object(Map::new()));
        at = inner.as_object_mut().ok_or_else(|| failed(&format!("`{token}` has no fields; set it as a whole")))?;
    }
    match value {
        Json::Null => at.remove(last),
        value => at.insert(last.clone(), value.clone()),
    };
    Ok(())
}

/// Changes of a manifest. Each makes a new generation; nothing is changed in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// This service, new or instead of what was said of it before.
    Put(Box<Service>),
    /// Without the service of this name.
    Remove(String),
    /// The services of another manifest: the way back.
    Restore(Vec<Service>),
    /// This service as it was, or without it when it was not there then.
    RestoreOne {
        /// Its name.
        name: String,
        /// What was said of it then.
        service: Option<Box<Service>>,
    },
}

/// What is known of other manifests than the one that is current.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The latest generation.
    pub generation: Option<Generation>,
    /// The highest serial; 0 when there is none.
    pub serial: u64,
}

impl Manifest {
    /// The next manifest: a later generation, the next serial, not yet signed. `before` is what is current, nothing in a new bucket;
    /// `known` is what is known of others, which it comes after, too.
    ///
    /// # Errors
    /// A service that is to be removed and is not there; or the result does not hold together.
    pub fn next(before: Option<&Self>, edit: Edit, now_millis: u64, known: &Known) -> Result<Self, ManifestError> {
        let mut services = before.map(|manifest| manifest.services.clone()).unwrap_or_default();
        match edit {
            Edit::Put(service) => put(&mut services, *service),
            Edit::Remove(name) => {
                match before {
                    Some(before) => before.service(&name)?,
                    None => return Err(ManifestError::NoService { name, meant: None }),
                };
                services.retain(|service| service.name != name);
            }
            Edit::Restore(all) => services = all,
            Edit::RestoreOne { service: Some(service), .. } => put(&mut services, *service),
            Edit::RestoreOne { name, service: None } => services.retain(|service| service.name != name),
        }
        let (had, now) = (before.and_then(|manifest| manifest.serial).unwrap_or(0), now_millis);
        let mut generation =
            Generation::next(now, before.map(|manifest| &manifest.generation).into_iter().chain(&known.generation));
        let mut serial = had.max(known.serial) + 1;
        if had < known.serial {
            // By hand another one was put in the place of one that nobody archived, and that had this number.
            generation = Generation::next(now, [&generation]);
            serial += 1;
        }
        let next = Self { version: VERSION, generation, serial: Some(serial), services, signatures: Vec::new() };
        next.check()?;
        Ok(next)
    }
}

fn put(services: &mut Vec<Service>, service: Service) {
    match services.iter_mut().find(|other| other.name == service.name) {
        Some(other) => *other = service,
        None => services.push(service),
    }
}
