//! Providers as the engine knows them: how each is started, what it says of its types, and what the planner has to know of those.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freehold_apply::Failure;
use freehold_model::{Attrs, ErrorKind, MemberPath, ProviderRef, Value, did_you_mean};
use freehold_plan::{Identity, Recovery, TypeFacts};
use freehold_protocol::{ProviderSchema, TypeSchema};
use freehold_provider::{CallError, Launch, credentials, source_digest};

/// How providers are started and what they said.
#[derive(Debug)]
pub(crate) struct Catalog {
    program: PathBuf,
    base_dir: PathBuf,
    work_dir: PathBuf,
    known: BTreeMap<String, Known>,
    facts: BTreeMap<(String, String), Arc<TypeFacts>>,
    /// What was said of sources that cannot be looked at.
    told: BTreeSet<(MemberPath, String)>,
}

/// What is known of a provider's schema.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// It was asked.
    Asked,
    /// It answered.
    Schema(Arc<ProviderSchema>),
    /// It cannot be asked.
    Failed(Failure),
}

impl Catalog {
    pub(crate) fn new(program: PathBuf, base_dir: PathBuf, work_dir: PathBuf) -> Self {
        Self { program, base_dir, work_dir, known: BTreeMap::new(), facts: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// What tells providers apart as far as their schema goes: the program, not its settings.
    pub(crate) fn key(provider: &ProviderRef) -> String {
        match provider {
            ProviderRef::Builtin { name, .. } => format!("builtin {name}"),
            ProviderRef::Stdio { executable, args, .. } => format!("stdio {executable} {args:?}"),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Known> {
        self.known.get(key)
    }

    pub(crate) fn set(&mut self, key: String, known: Known) {
        self.known.insert(key, known);
    }

    pub(crate) fn schema(&self, provider: &ProviderRef) -> Option<&Arc<ProviderSchema>> {
        match self.known.get(&Self::key(provider)) {
            Some(Known::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    pub(crate) fn type_schema(&self, provider: &ProviderRef, type_name: &str) -> Option<&TypeSchema> {
        self.schema(provider)?.types.get(type_name)
    }

    /// How the provider is started, with its settings; credentials are looked up now.
    pub(crate) fn launch(&self, provider: &ProviderRef) -> Result<Launch, Failure> {
        let mut launch = self.bare_launch(provider);
        let (ProviderRef::Builtin { config, .. } | ProviderRef::Stdio { config, .. }) = provider;
        launch.config = credentials::resolve(config, &self.base_dir).map_err(|e| Failure {
            kind: ErrorKind::Config,
            message: freehold_model::chain(&e),
            hint: Some("see `Credentials` in the manual for where they may come from".into()),
        })?;
        Ok(launch)
    }

    /// How the provider is started to tell its schema: without settings.
    pub(crate) fn bare_launch(&self, provider: &ProviderRef) -> Launch {
        let mut launch = match provider {
            ProviderRef::Builtin { name, .. } => {
                let mut launch = Launch::new(name.clone(), self.program.clone());
                launch.args = ["internal", "provider", name].map(Into::into).to_vec();
                launch.protocol = freehold_provider::ProtocolChoice::V1;
                launch
            }
            ProviderRef::Stdio { executable, args, .. } => {
                let name = Path::new(executable)
                    .file_name()
                    .map_or_else(|| executable.clone(), |n| n.to_string_lossy().into());
                // A path is relative to the deployment, a bare name is looked up on PATH.
                let program = if executable.contains('/') { self.base_dir.join(executable) } else { executable.into() };
                let mut launch = Launch::new(name, program);
                launch.args = args.iter().map(Into::into).collect();
                launch
            }
        };
        launch.cwd = Some(self.base_dir.clone());
        launch.env.set.insert("FREEHOLD_WORK_DIR".into(), self.work_dir.display().to_string());
        launch
    }

    /// Inputs with credentials looked up, for a provider's pipe only.
    pub(crate) fn resolve_inputs(&self, inputs: &Attrs) -> Result<Attrs, Failure> {
        if !inputs.values().any(credentials::has_sources) {
            return Ok(inputs.clone());
        }
        credentials::resolve_attrs(inputs, &self.base_dir).map_err(|e| Failure {
            kind: ErrorKind::Config,
            message: freehold_model::chain(&e),
            hint: None,
        })
    }

    /// Puts digests beside the credential sources of what is declared, so that a secret that has changed is a change. Where a source
    /// cannot be looked at, it counts as what is recorded; gives back why.
    pub(crate) fn stamp(&self, inputs: &mut Attrs, recorded: Option<&Attrs>) -> Vec<String> {
        let (stamped, missed) = source_digest::stamp(inputs, recorded, &self.base_dir);
        *inputs = stamped;
        missed.iter().filter(|_| recorded.is_some()).map(|missed| freehold_model::chain(missed)).collect()
    }

    /// Why a credential source of these inputs cannot be looked at, if one cannot.
    pub(crate) fn lacks(&self, inputs: &Attrs) -> Option<String> {
        self.resolve_inputs(inputs).err().map(|failure| failure.message)
    }

    /// Whether it was not said yet that this is the matter with the member's credentials.
    pub(crate) fn is_news(&mut self, member: &MemberPath, why: &str) -> bool {
        self.told.insert((member.clone(), why.to_owned()))
    }

    /// Recorded inputs as a provider compares with them: what is another secret by now differs.
    pub(crate) fn former_inputs(&self, recorded: &Attrs) -> Result<Attrs, Failure> {
        if !recorded.values().any(credentials::has_sources) {
            return Ok(recorded.clone());
        }
        self.resolve_inputs(&source_digest::former(recorded, &self.base_dir))
    }

    /// What the planner has to know of a type.
    pub(crate) fn facts(&mut self, provider: &ProviderRef, type_name: &str) -> Result<Arc<TypeFacts>, Failure> {
        let key = (Self::key(provider), type_name.to_owned());
        if let Some(facts) = self.facts.get(&key) {
            return Ok(Arc::clone(facts));
        }
        let Some(schema) = self.schema(provider) else {
            return Err(internal(&format!("the schema of provider `{}` is not at hand", key.0)));
        };
        let facts = Arc::new(match (schema.protocol, schema.types.get(type_name)) {
            (0, _) => v0_facts(),
            (_, Some(t)) => type_facts(t, &self.base_dir),
            (_, None) => return Err(no_type(schema, type_name)),
        });
        self.facts.insert(key, Arc::clone(&facts));
        Ok(facts)
    }
}

/// Whether the provider can be started at all with what is known.
pub(crate) fn config_is_known(provider: &ProviderRef) -> bool {
    let (ProviderRef::Builtin { config, .. } | ProviderRef::Stdio { config, .. }) = provider;
    Value::is_known(config)
}

/// NixOps4's protocol can create and update, and knows nothing else; it does not say which types hold state.
fn v0_facts() -> TypeFacts {
    TypeFacts { can_update: true, holds_state: true, ..TypeFacts::default() }
}

fn type_facts(t: &TypeSchema, base: &Path) -> TypeFacts {
    let recovery = if t.can_read && !t.identity.is_empty() {
        Recovery::Read
    } else if t.repeatable && t.stateful && !t.can_read {
        // What it makes lives in the record alone.
        Recovery::InRecord
    } else if t.repeatable {
        Recovery::Again
    } else {
        Recovery::Ask
    };
    TypeFacts {
        force_new: t.force_new.iter().cloned().collect(),
        stable_outputs: t.stable_outputs.iter().cloned().collect(),
        identity: Identity { inputs: t.identity.clone(), base: base.to_path_buf() },
        sensitive_inputs: t.sensitive_inputs.clone(),
        sensitive_outputs: t.sensitive_outputs.clone(),
        can_read: t.can_read,
        can_update: t.can_update,
        can_delete: t.can_delete,
        can_plan: true,
        holds_state: t.holds_state,
        plan_always: t.plan_always,
        recovery,
    }
}

fn no_type(schema: &ProviderSchema, type_name: &str) -> Failure {
    let hint = did_you_mean(type_name, schema.types.keys().map(String::as_str)).map_or_else(
        || {
            let names: Vec<&str> = schema.types.keys().map(String::as_str).collect();
            format!("it has {}", names.join(", "))
        },
        |name| format!("did you mean `{name}`?"),
    );
    Failure {
        kind: ErrorKind::User,
        message: format!("provider `{}` has no type `{type_name}`", schema.name),
        hint: Some(hint),
    }
}

/// A broken invariant, as a failure.
pub(crate) fn internal(message: &str) -> Failure {
    Failure {
        kind: ErrorKind::Internal,
        message: message.to_owned(),
        hint: Some("this is a defect of freehold: please report it".into()),
    }
}

/// A call's error as a failure.
pub(crate) fn call_failure(error: &CallError) -> Failure {
    let mut message = freehold_model::chain(error);
    let tail = error.stderr_tail().trim();
    if !tail.is_empty() && !message.contains(tail) {
        message = format!("{message}\nits standard error ends with:\n{}", indent(tail));
    }
    Failure { kind: error.kind(), message, hint: error.hint() }
}

fn indent(text: &str) -> String {
    let last: Vec<&str> = text.lines().rev().take(12).collect();
    last.into_iter().rev().map(|l| format!("  {l}")).collect::<Vec<_>>().join("\n")
}
