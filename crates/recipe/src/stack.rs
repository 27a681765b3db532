//! A stack as `docker stack config` composes it: the truth about services, names, ports and labels.
//!
//! The document is kept whole, so that what this version does not know travels on. Read on in `deploy.rs` for what is put into
//! it before a deploy.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::limits;
use serde_json::{Map, Value as Json};

use crate::RecipeError;

/// The service that every recipe must have: labels and variables of the app are put there.
pub const APP_SERVICE: &str = "app";

/// A composed stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    pub(crate) json: Json,
}

/// A port that a service publishes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The service.
    pub service: String,
    /// The port on the node; `None` when the Swarm chooses one.
    pub published: Option<u16>,
    /// The port in the container.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Whether it is bound on the node itself (`mode: host`), not by the ingress mesh.
    pub is_host: bool,
}

/// A secret or config of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedObject {
    /// Its key in the compose file.
    pub key: String,
    /// Its name in the Swarm.
    pub name: String,
    /// Whether somebody else makes it.
    pub is_external: bool,
    /// The services that use it.
    pub used_by: BTreeSet<String>,
}

/// One service of a stack.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Its name within the stack.
    pub name: &'a str,
    json: &'a Json,
}

impl Stack {
    /// Reads what `docker stack config` wrote.
    ///
    /// # Errors
    /// [`RecipeError::Stack`].
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let wrong = |reason: String| RecipeError::Stack { reason };
        if text.len() > limits::RECIPE_FILE_BYTES {
            return Err(wrong(format!("it has {} bytes", text.len())));
        }
        let options = serde_saphyr::options! { strict_booleans: true };
        let json: Json = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            wrong(error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())
        })?;
        let services = json.get("services").and_then(Json::as_object);
        match services {
            None => Err(wrong("it has no `services`".to_owned())),
            Some(services) => match services.iter().find(|(_, service)| !service.is_object()) {
                Some((name, _)) => Err(wrong(format!("the service `{name}` is not a map"))),
                None => Ok(Self { json }),
            },
        }
    }

    /// The whole document.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its services by name.
    pub fn services(&self) -> impl Iterator<Item = Service<'_>> {
        let services = self.json.get("services").and_then(Json::as_object);
        services.into_iter().flatten().map(|(name, json)| Service { name, json })
    }

    /// One service.
    pub fn service(&self, name: &str) -> Option<Service<'_>> {
        self.services().find(|service| service.name == name)
    }

    /// The secrets that a service uses. What is declared and used by none does not count, as with abra.
    pub fn secrets(&self) -> Vec<NamedObject> {
        self.objects("secrets")
    }

    /// The configs that a service uses.
    pub fn configs(&self) -> Vec<NamedObject> {
        self.objects("configs")
    }

    /// Every port that is published.
    pub fn ports(&self) -> Vec<Port> {
        self.services().flat_map(Service::ports).collect()
    }

    /// Networks by their key: the name that the Swarm knows, when the stack does not make it itself.
    pub fn external_networks(&self) -> BTreeMap<String, String> {
        self.externals("networks")
    }

    /// Volumes that must be there already, by their key.
    pub fn external_volumes(&self) -> BTreeMap<String, String> {
        self.externals("volumes")
    }

    /// Configs that must be there already, by their key.
    pub fn external_configs(&self) -> BTreeMap<String, String> {
        self.externals("configs")
    }

    /// The names of the volumes that the stack makes, by their key.
    pub fn volumes(&self, stack_name: &str) -> BTreeMap<String, String> {
        let all = self.section("volumes").filter(|(_, json)| !is_external(json));
        all.map(|(key, json)| {
            let own = json.get("name").and_then(Json::as_str).map(str::to_owned);
            (key.clone(), own.unwrap_or_else(|| format!("{stack_name}_{key}")))
        })
        .collect()
    }

    /// Whether a section (`networks`, `volumes`, `secrets`, `configs`) has this key.
    pub(crate) fn declares(&self, section: &str, key: &str) -> bool {
        self.section(section).any(|(known, _)| known == key)
    }

    /// The files that configs and secrets are made of: the section, the key, the path.
    pub fn files(&self) -> Vec<(&'static str, &str, &str)> {
        let of = |section: &'static str| {
            let all = self.section(section);
            all.filter_map(move |(key, json)| Some((section, key.as_str(), json.get("file")?.as_str()?)))
        };
        of("configs").chain(of("secrets")).collect()
    }

    fn section(&self, name: &str) -> impl Iterator<Item = (&String, &Json)> {
        self.json.get(name).and_then(Json::as_object).into_iter().flatten()
    }

    fn externals(&self, section: &str) -> BTreeMap<String, String> {
        let all = self.section(section).filter(|(_, json)| is_external(json));
        all.map(|(key, json)| (key.clone(), object_name(key, json))).collect()
    }

    fn objects(&self, section: &str) -> Vec<NamedObject> {
        let all = self.section(section).map(|(key, json)| {
            let uses = |service: &Service<'_>| service.sources(section).any(|source| source == key);
            let used_by = self.services().filter(uses).map(|service| service.name.to_owned()).collect();
            NamedObject { key: key.clone(), name: object_name(key, json), is_external: is_external(json), used_by }
        });
        all.filter(|object| !object.used_by.is_empty()).collect()
    }
}

fn is_external(json: &Json) -> bool {
    json.get("external").is_some_and(|external| external.as_bool().unwrap_or(external.is_object()))
}

fn object_name(key: &str, json: &Json) -> String {
    let old_form = json.get("external").and_then(|external| external.get("name"));
    let name = json.get("name").or(old_form).and_then(Json::as_str);
    name.unwrap_or(key).to_owned()
}

impl<'a> Service<'a> {
    /// Its image.
    pub fn image(self) -> &'a str {
        self.text("image")
    }

    /// Labels of the service (`deploy.labels`), which is where Co-op Cloud keeps its own.
    pub fn labels(self) -> BTreeMap<&'a str, &'a str> {
        self.json.get("deploy").map(|deploy| texts(deploy.get("labels"))).unwrap_or_default()
    }

    /// Its environment; a variable without a value is empty.
    pub fn environment(self) -> BTreeMap<&'a str, &'a str> {
        texts(self.json.get("environment"))
    }

    /// The keys of the networks that it is on.
    pub fn networks(self) -> Vec<&'a str> {
        match self.json.get("networks") {
            Some(Json::Object(networks)) => networks.keys().map(String::as_str).collect(),
            Some(Json::Array(networks)) => networks.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The names that it has on a network, apart from its own.
    pub fn aliases(self, network: &str) -> Vec<&'a str> {
        let network = self.json.get("networks").and_then(|networks| networks.get(network));
        let aliases = network.and_then(|network| network.get("aliases")).and_then(Json::as_array);
        aliases.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// How many tasks of it are wanted; `None` for one on each node.
    pub fn replicas(self) -> Option<u64> {
        let deploy = self.json.get("deploy");
        let get = |key: &str| deploy.and_then(|deploy| deploy.get(key));
        if get("mode").and_then(Json::as_str).is_some_and(|mode| mode.starts_with("global")) {
            return None;
        }
        Some(get("replicas").and_then(Json::as_u64).unwrap_or(1))
    }

    /// Its part of the document.
    pub fn json(self) -> &'a Json {
        self.json
    }

    fn text(self, key: &str) -> &'a str {
        self.json.get(key).and_then(Json::as_str).unwrap_or_default()
    }

    fn list(self, key: &str) -> impl Iterator<Item = &'a Json> {
        self.json.get(key).and_then(Json::as_array).into_iter().flatten()
    }

    /// The keys of the volumes that it has; paths of the host have none.
    pub(crate) fn named_volumes(self) -> impl Iterator<Item = &'a str> {
        let named = self.list("volumes").filter(|json| json.get("type").and_then(Json::as_str) == Some("volume"));
        named.filter_map(|json| json.get("source")?.as_str())
    }

    pub(crate) fn sources(self, section: &str) -> impl Iterator<Item = &'a str> {
        self.list(section).filter_map(|json| json.as_str().or_else(|| json.get("source").and_then(Json::as_str)))
    }

    fn ports(self) -> impl Iterator<Item = Port> {
        self.list("ports").filter_map(move |json| {
            let number = |key: &str| json.get(key).and_then(as_port);
            let text = |key: &str| json.get(key).and_then(Json::as_str);
            Some(Port {
                service: self.name.to_owned(),
                published: number("published"),
                target: number("target")?,
                protocol: text("protocol").unwrap_or("tcp").to_owned(),
                is_host: text("mode") == Some("host"),
            })
        })
    }
}

fn as_port(json: &Json) -> Option<u16> {
    let number = json.as_u64().or_else(|| json.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// A map, or a list of `NAME=value`, as Docker takes both.
fn texts(json: Option<&Json>) -> BTreeMap<&str, &str> {
    match json {
        Some(Json::Object(map)) => {
            map.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect()
        }
        Some(Json::Array(list)) => {
            let pair = |text| str::split_once(text, '=').unwrap_or((text, ""));
            list.iter().filter_map(Json::as_str).map(pair).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// The same as a map that can be written to.
pub(crate) fn as_map(json: &mut Json) -> &mut Map<String, Json> {
    if !json.is_object() {
        let pairs = texts(Some(json)).into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        *json = Json::Object(pairs.collect());
    }
    match json {
        Json::Object(map) => map,
        // It was made one just above.
        _ => unreachable!("not a map"),
    }
}
