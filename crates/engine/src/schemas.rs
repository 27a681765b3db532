//! What providers offer: each is asked once per command, and one that cannot be asked is not asked again.
//!
//! Nothing here knows what a schema says (see [`crate::catalog`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_model::{ProviderRef, limits};
use freehold_protocol::ProviderSchema;
use freehold_provider::{Call, Launch, Pool, Reply};

use crate::EngineError;
use crate::catalog::{Catalog, Known, call_failure, internal};
use crate::engine::{BUILTIN_PROVIDERS, Engine};
use crate::mail::Mail;

impl Engine {
    /// What the built-in providers offer, by name.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn schemas(&mut self) -> Result<BTreeMap<String, Arc<ProviderSchema>>, EngineError> {
        let builtin =
            |name: &&str| ProviderRef::Builtin { name: (*name).to_owned(), config: freehold_model::Value::Null };
        let providers: Vec<ProviderRef> = BUILTIN_PROVIDERS.iter().map(builtin).collect();
        self.learn_schemas(&providers);
        let named = BUILTIN_PROVIDERS.iter().zip(&providers);
        named.map(|(name, provider)| Ok(((*name).to_owned(), self.schema_of(provider)?))).collect()
    }

    /// What a provider offers; waits for it.
    ///
    /// # Errors
    /// When it cannot be built or started, or does not answer: now, or when this command asked it before.
    pub fn schema_of(&mut self, provider: &ProviderRef) -> Result<Arc<ProviderSchema>, EngineError> {
        self.learn_schemas(std::slice::from_ref(provider));
        let failure = match self.catalog.get(&Catalog::key(provider)) {
            Some(Known::Schema(schema)) => return Ok(Arc::clone(schema)),
            Some(Known::Failed(failure)) => failure.clone(),
            Some(Known::Asked) | None => internal("a schema was asked for and nothing came"),
        };
        Err(EngineError::Provider {
            provider: self.catalog.bare_launch(provider).name,
            kind: failure.kind,
            message: failure.message,
            hint: failure.hint,
        })
    }

    /// Asks all of them at the same time, and waits; what each said, or why it could not, is in the catalog.
    pub(crate) fn learn_schemas(&mut self, providers: &[ProviderRef]) {
        let mut unknown: BTreeMap<String, &ProviderRef> = BTreeMap::new();
        for provider in providers {
            let key = Catalog::key(provider);
            if !matches!(self.catalog.get(&key), Some(Known::Schema(_) | Known::Failed(_))) {
                unknown.insert(key, provider);
            }
        }
        let unknown: Vec<(String, &ProviderRef)> = unknown.into_iter().collect();
        for some in unknown.chunks(limits::SCHEMAS_AT_ONCE) {
            let (pool, observer, stop) = (&self.pool, &self.observer, &self.stop);
            let ask = |provider: &ProviderRef, launch: &Launch| match crate::recording::realise(
                &context(provider),
                observer,
                stop,
            ) {
                Ok(()) => ask_for_schema(pool, launch),
                Err(failure) => Known::Failed(failure),
            };
            let launches: Vec<Launch> = some.iter().map(|(_, provider)| self.catalog.bare_launch(provider)).collect();
            let ask = &ask;
            let answers: Vec<Known> = std::thread::scope(|scope| {
                let asked: Vec<_> = some
                    .iter()
                    .zip(&launches)
                    .map(|((_, provider), launch)| scope.spawn(move || ask(provider, launch)))
                    .collect();
                let answer = |asked: std::thread::ScopedJoinHandle<'_, Known>| {
                    asked.join().unwrap_or_else(|_| Known::Failed(internal("asking for a schema broke off")))
                };
                asked.into_iter().map(answer).collect()
            });
            for ((key, _), answer) in some.iter().zip(answers) {
                self.catalog.set(key.clone(), answer);
            }
        }
    }

    /// Asks a provider for its schema without waiting for it, nor for what it is built of; answered by mail, whatever comes of it.
    pub(crate) fn ask_schema(&mut self, provider: &ProviderRef) {
        let key = Catalog::key(provider);
        if self.catalog.get(&key).is_some() {
            return;
        }
        self.catalog.set(key.clone(), Known::Asked);
        let (context, launch) = (context(provider), self.catalog.bare_launch(provider));
        let (pool, sender) = (Arc::clone(&self.pool), self.sender.clone());
        let (observer, stop) = (Arc::clone(&self.observer), Arc::clone(&self.stop));
        std::thread::spawn(move || {
            let known = match crate::recording::realise(&context, &observer, &stop) {
                Ok(()) => ask_for_schema(&pool, &launch),
                Err(failure) => Known::Failed(failure),
            };
            // Nobody listens any more when the engine is gone.
            let _ = sender.send(Mail::Schema { key, known });
        });
    }
}

fn ask_for_schema(pool: &Pool, launch: &Launch) -> Known {
    match pool.call(launch, Call::Schema) {
        Ok(Reply::Schema(schema)) => Known::Schema(schema),
        Ok(_) => Known::Failed(internal("a schema was asked for and something else came")),
        Err(error) => Known::Failed(call_failure(&error)),
    }
}

/// What has to be in the Nix store before a provider can be started.
fn context(provider: &ProviderRef) -> Vec<String> {
    match provider {
        ProviderRef::Stdio { context, .. } => context.iter().cloned().collect(),
        ProviderRef::Builtin { .. } => Vec::new(),
    }
}
