//! A provider: a name, a version and its resource types.

use std::collections::BTreeMap;

use freehold_protocol::v1::SchemaResult;
use freehold_protocol::{ProviderSchema, TypeSchema, v1};
use serde_json::Value as Json;

use super::ResourceType;
use super::erased::{AnyType, Erased};

/// What [`super::serve`] serves.
pub struct Provider {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) types: BTreeMap<String, Box<dyn AnyType>>,
    pub(crate) config: Option<Json>,
    pub(crate) concurrency: u32,
}

impl Provider {
    /// A provider without types.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        let concurrency = u32::try_from(freehold_model::limits::PROVIDER_CONCURRENCY).unwrap_or(1);
        Self { name: name.into(), version: version.into(), types: BTreeMap::new(), config: None, concurrency }
    }

    /// Adds a resource type.
    #[must_use]
    pub fn with<T: ResourceType>(mut self, resource_type: T) -> Self {
        self.types.insert(T::NAME.to_owned(), Box::new(Erased::new(resource_type)));
        self
    }

    /// Adds a resource type under a second name.
    #[must_use]
    pub fn with_alias<T: ResourceType>(mut self, name: &str, resource_type: T) -> Self {
        self.types.insert(name.to_owned(), Box::new(Erased::new(resource_type)));
        self
    }

    /// Describes the provider-wide settings; without this any are accepted.
    #[must_use]
    pub fn config<C: schemars::JsonSchema>(mut self) -> Self {
        self.config = Some(super::erased::schema_of::<C>());
        self
    }

    /// How many requests it works on at once.
    #[must_use]
    pub fn concurrency(mut self, requests: u32) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Its schema, as a client sees it.
    pub fn schema(&self) -> ProviderSchema {
        let SchemaResult { types, config } = self.schema_result();
        let (name, version) = (self.name.clone(), self.version.clone());
        ProviderSchema { name, version, protocol: v1::VERSION, types, config }
    }

    pub(crate) fn schema_result(&self) -> SchemaResult {
        let types: BTreeMap<String, TypeSchema> =
            self.types.iter().map(|(name, t)| (name.clone(), t.schema().clone())).collect();
        SchemaResult { types, config: self.config.clone() }
    }
}
