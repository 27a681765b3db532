//! The manifest as a whole: read strictly, written for people.

use freehold_model::{did_you_mean, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::ManifestError;
use crate::generation::Generation;
use crate::service::Service;
use crate::signature::ManifestSignature;
use crate::words;

/// The version that this code reads and writes.
pub const VERSION: u32 = 1;

/// Which services which hosts run, at which release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// When it was made; what it is called by.
    pub generation: Generation,
    /// Counts publishes. Agents that trust a key take no lower one than they have seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub serial: Option<u64>,
    /// The services.
    pub services: Vec<Service>,
    /// Signatures of everything else in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<ManifestSignature>,
}

impl Manifest {
    /// Reads a manifest and checks everything that must hold of one.
    ///
    /// # Errors
    /// Too large, of another version, not JSON, an unknown field (with a suggestion), or values that mean nothing: all of them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = Self::read(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes: bytes.len(), most: limits::MANIFEST_BYTES });
        }
        // The version first: of a newer one nothing else can be said.
        match serde_json::from_slice(bytes) {
            Ok(Json::Object(whole)) => match whole.get("version") {
                Some(found) if found.as_u64() != Some(u64::from(VERSION)) => {
                    Err(ManifestError::Version { found: found.to_string() })
                }
                _ => {
                    refuse_lists(&Json::Object(whole))?;
                    read_json(bytes, "")
                }
            },
            Ok(_) => Err(ManifestError::Read { at: "/".to_owned(), reason: "it is no JSON object".to_owned() }),
            Err(_) => match words::foreign(bytes) {
                Some(what) => Err(ManifestError::Read { at: "/".to_owned(), reason: what.to_owned() }),
                None => read_json(bytes, ""),
            },
        }
    }

    /// As it is stored: JSON that people can read.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: there is nothing in it that JSON has not.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The service of that name.
    ///
    /// # Errors
    /// There is none; the error names one that may be meant.
    pub fn service(&self, name: &str) -> Result<&Service, ManifestError> {
        self.services.iter().find(|service| service.name == name).ok_or_else(|| {
            let meant = did_you_mean(name, self.services.iter().map(|s| s.name.as_str())).map(str::to_owned);
            ManifestError::NoService { name: name.to_owned(), meant }
        })
    }

    /// The services that a host of this name runs.
    pub fn services_of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Service> {
        self.services.iter().filter(move |service| service.is_for(host))
    }
}

/// What is an object in a service, and the service itself.
const OBJECTS: [&str; 13] = [
    "",
    "/artifact",
    "/exec",
    "/env",
    "/http",
    "/systemd",
    "/hardening",
    "/gate",
    "/policy",
    "/gate/http",
    "/gate/tcp",
    "/gate/exec",
    "/systemd/loadCredential",
];

/// A list in the place of an object would be taken for its fields in order.
fn refuse_lists(whole: &Json) -> Result<(), ManifestError> {
    for list in ["services", "signatures"] {
        for (index, item) in whole[list].as_array().into_iter().flatten().enumerate() {
            refuse_lists_in(item, &format!("/{list}/{index}"))?;
        }
    }
    Ok(())
}

/// The same for one service, or signature.
pub(crate) fn refuse_lists_in(item: &Json, at: &str) -> Result<(), ManifestError> {
    match OBJECTS.into_iter().find(|field| item.pointer(field).is_some_and(Json::is_array)) {
        Some(field) => {
            let reason = "invalid type: sequence, expected an object".to_owned();
            Err(ManifestError::Read { at: format!("{at}{field}"), reason })
        }
        None => Ok(()),
    }
}

/// Reads JSON of a shape, and says where it is not of it. `base` is the pointer of what is read.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(bytes: &[u8], base: &str) -> Result<T, ManifestError> {
    // To know at each moment where one is takes longer than to read: it is asked for when something is wrong.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        use serde_path_to_error::Segment;
        let at: String = error
            .path()
            .iter()
            .map(|segment| match segment {
                Segment::Seq { index } => format!("/{index}"),
                Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                Segment::Enum { variant } => format!("/{variant}"),
                Segment::Unknown => String::new(),
            })
            .collect();
        let reason = no_word::<T>(bytes, &at, error.inner()).unwrap_or_else(|| error.into_inner().to_string());
        let at = format!("{base}{at}");
        let at = if at.is_empty() { "/".to_owned() } else { at };
        ManifestError::Read { at, reason }
    })?;
    reader.end().map_err(|error| ManifestError::Read { at: "/".to_owned(), reason: error.to_string() })?;
    Ok(value)
}

/// What is wrong when `bytes` are JSON and have no text in the place of a word of several: the reader takes that for bad syntax.
fn no_word<T: for<'de> Deserialize<'de>>(bytes: &[u8], at: &str, error: &serde_json::Error) -> Option<String> {
    if error.is_data() {
        return None;
    }
    let mut whole: Json = serde_json::from_slice(bytes).ok()?;
    let there = whole.pointer_mut(at)?;
    let found = match &there {
        Json::Bool(value) => format!("boolean `{value}`"),
        Json::Number(value) => format!("integer `{value}`"),
        Json::Null => "null".to_owned(),
        Json::Array(_) => "sequence".to_owned(),
        Json::Object(_) => "map".to_owned(),
        Json::String(_) => return None,
    };
    // Which words there are is told of one that is none of them.
    *there = Json::String(String::new());
    let told = T::deserialize(whole).err().map(|error| error.to_string()).unwrap_or_default();
    let words: Vec<&str> = told.strip_prefix("unknown variant `").unwrap_or("").split('`').skip(2).step_by(2).collect();
    Some(format!("invalid type: {found}, expected a word of {}", words.join(", ")))
}
