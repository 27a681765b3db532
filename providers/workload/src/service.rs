//! `service`: what of a manifest is one service's, and its closure.

use std::collections::BTreeMap;

use freehold_cache::PushOptions;
use freehold_manifest::{
    Artifact, ArtifactKind, Edit, Exec, Hardening, HttpRoute, Instances, Manifest, Mistake, Runtime, Service as Entry,
    Systemd, service_suspicions,
};
use freehold_model::{Attrs, Value};
use freehold_nar::{Compression, StorePath};
use freehold_protocol::v1::{Diagnostic, PlanAction};
use freehold_provider::sdk::{Context, Existing, Failure, Found, Made, ReadBack, ResourceType, Traits};
use freehold_rollout::{Gate, Http, Policy, Tcp};
use freehold_store::{Nix, StoreError, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::bucket::{self, Desk, of_cache, of_publish};
use crate::neighbours::Neighbours;

/// The ways of saying what runs.
const WAYS: [&str; 3] = ["storePath", "derivation", "installable"];
/// Inputs that are no part of the manifest.
const OURS: [&str; 7] = ["to", "keyFile", "name", "storePath", "derivation", "installable", "allowSecrets"];

/// Inputs whose value changes nothing about what is right for others.
const JUDGED_ALONE: [&str; 7] = ["to", "keyFile", "name", "hosts", "env", "envFile", "revision"];
/// Inputs that say where it is and what it takes there.
const PLACE: [&str; 4] = ["to", "name", "hosts", "http"];
/// Stands for the path that is not known before something was built.
const ANY_PATH: &str = "/nix/store/00000000000000000000000000000000-service";

/// The resource type.
#[derive(Debug, Default)]
pub struct Service {
    neighbours: Neighbours,
}

/// Inputs of a service; exactly one of `storePath`, `derivation` and `installable`. What has no description here is as in the manifest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The bucket or directory with the manifest and the closures. Default: the provider's.
    #[schemars(extend("x-force-new" = true))]
    pub to: Option<String>,
    /// File of the signing key, relative to the deployment. Default: the provider's.
    pub key_file: Option<String>,
    /// Its name. Default: the member's path, with `-` between its parts.
    #[schemars(extend("x-force-new" = true))]
    pub name: Option<String>,
    /// A path in the Nix store to run: `members.build.outputs.storePath`.
    pub store_path: Option<String>,
    /// A derivation value to run (`pkgs.hello`). It is built before this resource is made.
    pub derivation: Option<String>,
    /// What `nix build` takes, built first: `.#web`. Relative to the deployment.
    pub installable: Option<String>,
    /// How it is started: the command line (`command`), `user`, `group`.
    pub exec: Exec,
    /// Names of the hosts that run it. Default: every host that follows the manifest.
    pub hosts: Option<Vec<String>>,
    /// Its environment; no secrets.
    pub env: Option<BTreeMap<String, String>>,
    /// A file on the host with further environment, such as secrets.
    pub env_file: Option<String>,
    /// Its route: `domain`, `domains`, `path`, `paths`, `internalPort`.
    pub http: Option<HttpRoute>,
    /// What its unit says beside the command.
    pub systemd: Option<Systemd>,
    /// What its unit may not do; everything is on unless it is said otherwise.
    pub hardening: Option<Hardening>,
    /// Where it was built from, for people.
    pub revision: Option<String>,
    /// What runs it. Default: the agent's own.
    pub runtime: Option<Runtime>,
    /// What must be seen of a release before it may stay.
    pub gate: Option<Gate>,
    /// Which updates may go without a person.
    pub policy: Option<Policy>,
    /// Committed releases that a host keeps. Default: 5.
    pub keep_releases: Option<u32>,
    /// Whether the old instance is stopped first, or serves until the new one is healthy.
    pub instances: Option<Instances>,
    /// Publish values that look like secrets all the same.
    pub allow_secrets: Option<bool>,
}

/// Outputs of a service.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Its name.
    #[schemars(extend("x-stable" = true))]
    pub name: String,
    /// The bucket.
    #[schemars(extend("x-stable" = true))]
    pub to: String,
    /// What runs.
    pub store_path: String,
    /// The generation of the manifest that said it first.
    pub generation: String,
    /// Whether the manifest still says of it what was published. Otherwise it is published again.
    pub as_published: bool,
}

/// What is handed back to us: what was published, and the derivation that an `installable` came to.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notes {
    entry: Option<Entry>,
    derivation: Option<String>,
}

/// What was built, or was there.
struct Built {
    path: StorePath,
    derivation: Option<String>,
}

impl ResourceType for Service {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "service";
    const DESCRIPTION: &'static str = "A service that hosts run: an entry of the manifest in a bucket, with its closure.\n\n\
        Hosts follow the manifest with `freehold agent`, which pulls the closure, starts it, waits for its gate and takes back what is \
        not healthy. Give exactly one of `storePath`, `derivation` and `installable`. Deleted, it leaves the manifest: hosts stop it \
        and keep its data.";

    fn traits(&self) -> Traits {
        Traits {
            can_read: true,
            can_update: true,
            can_import: true,
            repeatable: true,
            plan_always: true,
            ..Traits::default()
        }
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        for (name, value) in inputs {
            if let Some(place) = value.sensitive_places().into_iter().next() {
                return Err(Failure::user(format!("`{name}{place}` is a secret, and every host reads the manifest"))
                    .hint("keep it in a file on the host: `envFile`, or `systemd.loadCredential`")
                    .at(name));
            }
        }
        let is_given = |name: &str| inputs.get(name).is_some_and(|value| *value != Value::Null);
        let given: Vec<&str> = WAYS.into_iter().filter(|name| is_given(name)).collect();
        match given[..] {
            [] => Err(Failure::user("one of `storePath`, `derivation` and `installable` is needed")
                .hint("for example `inputs.storePath = members.build.outputs.storePath;`")),
            [_] => check_entry(inputs),
            [first, second, ..] => {
                Err(Failure::user(format!("`{first}` and `{second}` exclude each other")).at(second))
            }
        }
    }

    fn check_place(&self, ctx: &Context, prior: Option<&Existing<Self>>, inputs: &Attrs) -> Result<(), Failure> {
        let place = match inputs.get("to") {
            None | Some(Value::Null) => bucket::place(ctx, None),
            Some(Value::String(to)) => Some(to.clone()),
            Some(_) => None,
        };
        let is_known = |name: &str| inputs.get(name).is_none_or(Value::is_known);
        let (Some(to), true) = (place, PLACE.into_iter().all(is_known)) else {
            self.neighbours.forget(ctx.member());
            return Ok(());
        };
        let Some(entry) = planned_entry(inputs, || name_of(ctx)) else { return Ok(()) };
        let before = prior.and_then(|prior| prior.typed_outputs().ok()).map(|outputs| outputs.name);
        // What is published already stood its check beside all others. A bucket that cannot be read yet may be made by this very plan.
        let is_new = prior.is_none_or(|prior| PLACE.into_iter().any(|name| prior.inputs.get(name) != inputs.get(name)));
        let ask = || {
            let current = bucket::board(ctx, Some(&to)).ok()?.current().ok()?;
            Some(current.map(|current| current.manifest.services).unwrap_or_default())
        };
        let published = if is_new { self.neighbours.published(&to, ask) } else { Vec::new() };
        let found = self.neighbours.note(&to, ctx.member(), &entry, before.as_deref(), &published);
        refused(found.into_iter().map(of_mistake).collect())
    }

    fn planned_outputs(&self, ctx: &Context, inputs: &Attrs) -> Attrs {
        let mut known = Attrs::new();
        known.insert(
            "name".to_owned(),
            match inputs.get("name") {
                None | Some(Value::Null) => name_of(ctx).into(),
                Some(name) => name.clone(),
            },
        );
        match inputs.get("to") {
            None | Some(Value::Null) => known.extend(bucket::place(ctx, None).map(|to| ("to".to_owned(), to.into()))),
            Some(to) => drop(known.insert("to".to_owned(), to.clone())),
        }
        for way in ["storePath", "derivation"] {
            let path = inputs.get(way).filter(|path| matches!(path, Value::String(path) if !path.ends_with(".drv")));
            known.extend(path.map(|path| ("storePath".to_owned(), path.clone())));
        }
        known
    }

    fn plan(
        &self,
        ctx: &Context,
        prior: &Existing<Self>,
        inputs: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        if proposed != PlanAction::None {
            return Ok((proposed, Vec::new()));
        }
        let outputs = prior.typed_outputs()?;
        if !inputs.contains_key("name") && outputs.name != name_of(ctx) {
            return Ok((PlanAction::Replace, vec!["its name follows the member's".to_owned()]));
        }
        if !outputs.as_published {
            return Ok((PlanAction::Update, vec!["the manifest says something else of it".to_owned()]));
        }
        if let (Some(Value::String(installable)), Some(before)) =
            (inputs.get("installable"), notes_of(prior).derivation)
        {
            let nix = Nix::find().map_err(|error| of_store(&error))?;
            let found = nix.derivation_of(installable, ctx.working_directory(), ctx.cancelled());
            if found.map_err(|error| of_store(&error).at("installable"))? != before {
                return Ok((PlanAction::Update, vec!["it evaluates to another derivation".to_owned()]));
            }
        }
        Ok((proposed, Vec::new()))
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        publish(ctx, &inputs, None)
    }

    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let mut outputs = object.typed_outputs()?;
        let board = bucket::board(ctx, Some(&outputs.to))?;
        let current = board.current().map_err(|error| of_publish(&error))?;
        let entry = current.and_then(|current| current.manifest.service(&outputs.name).ok().cloned());
        let Some(entry) = entry else { return Ok(ReadBack::Gone) };
        let notes = notes_of(object);
        outputs.as_published = notes.entry.as_ref() == Some(&entry);
        outputs.store_path = entry.artifact.store_path;
        Ok(ReadBack::Here { made: Made::new(outputs).private(json!(notes)), inputs: None })
    }

    fn update(&self, ctx: &Context, prior: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        publish(ctx, &inputs, Some(&notes_of(prior)))
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        let outputs = object.typed_outputs()?;
        let desk = Desk::open(ctx, Some(&outputs.to), object.input_text("keyFile"))?;
        let is_there = |manifest: &Manifest| manifest.service(&outputs.name).is_ok();
        let current = desk.board.current().map_err(|error| of_publish(&error))?;
        if !current.is_some_and(|current| is_there(&current.manifest)) {
            return Ok(());
        }
        let edit = |before: Option<&Manifest>| {
            Ok(match before {
                // A rival was faster, and it is gone already.
                Some(before) if !is_there(before) => Edit::Restore(before.services.clone()),
                _ => Edit::Remove(outputs.name.clone()),
            })
        };
        desk.board.publish(Some(&desk.publisher()), &edit).map(drop).map_err(|error| of_publish(&error))
    }

    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<Found<Outputs>>, Failure> {
        let board = bucket::board(ctx, None)?;
        let current = board.current().map_err(|error| of_publish(&error))?;
        let Some(current) = current else { return Err(Failure::user("there is no manifest there")) };
        let entry = current.manifest.service(id).map_err(|error| {
            let failure = Failure::user(error.to_string());
            error.hint().map_or(failure.clone(), |hint| failure.hint(hint))
        })?;
        let outputs = Outputs {
            name: entry.name.clone(),
            to: board.depot().url().to_string(),
            store_path: entry.artifact.store_path.clone(),
            generation: current.manifest.generation.to_string(),
            as_published: true,
        };
        let notes = Notes { entry: Some(entry.clone()), derivation: None };
        Ok(vec![Found { inputs: inputs_of(entry, &name_of(ctx)), made: Made::new(outputs).private(json!(notes)) }])
    }
}

/// Brings the closure into the bucket, and the service into the manifest. `before` is what was published of it before; nothing for a
/// new one, which must not be there unless it is the same.
fn publish(ctx: &Context, inputs: &Inputs, before: Option<&Notes>) -> Result<Made<Outputs>, Failure> {
    let desk = Desk::open(ctx, inputs.to.as_deref(), inputs.key_file.as_deref())?;
    let current = desk.board.current().map_err(|error| of_publish(&error))?;
    if let Some(current) = &current {
        let strange = |error| of_publish(&desk.board.strange("manifest.json", error));
        desk.publisher().accept(&current.bytes).map_err(strange)?;
    }
    let built = build(ctx, inputs)?;
    let name = inputs.name.clone().unwrap_or_else(|| name_of(ctx));
    let entry = entry(inputs, name, built.path.to_string());
    let found = current.as_ref().and_then(|current| current.manifest.service(&entry.name).ok());
    if before.is_none() && found.is_some_and(|found| *found != entry) {
        return Err(Failure::user(format!(
            "the manifest has a service `{}` that this member did not publish",
            entry.name
        ))
        .hint(format!(
            "`freehold import {} {}` takes it over; or give this one another `name`",
            ctx.member(),
            entry.name
        )));
    }
    push(ctx, &desk, built.path)?;
    let notes = Notes { entry: Some(entry.clone()), derivation: built.derivation };
    let generation = match (found, current.as_ref()) {
        // Nothing to say that is not said already.
        (Some(found), Some(current)) if *found == entry => current.manifest.generation.to_string(),
        _ => {
            let edit = |_: Option<&Manifest>| Ok(Edit::Put(Box::new(entry.clone())));
            let published = desk.board.publish(Some(&desk.publisher()), &edit).map_err(|error| of_publish(&error))?;
            published.manifest.generation.to_string()
        }
    };
    let outputs = Outputs {
        name: entry.name,
        to: desk.board.depot().url().to_string(),
        store_path: entry.artifact.store_path,
        generation,
        as_published: true,
    };
    Ok(Made::new(outputs).private(json!(notes)))
}

fn build(ctx: &Context, inputs: &Inputs) -> Result<Built, Failure> {
    let nix = Nix::find().map_err(|error| of_store(&error))?;
    let (dir, stop) = (ctx.working_directory(), ctx.cancelled());
    let mut tell = |progress| {
        if let freehold_store::Progress::Building { derivation } = progress {
            ctx.progress(None, format!("building {derivation}"));
        }
    };
    let parse = |path: &str| StorePath::parse(path).map_err(|error| Failure::user(error.to_string()));
    if let Some(installable) = &inputs.installable {
        let built = nix.build_installable(installable, dir, stop, &mut tell);
        let built = built.map_err(|error| of_store(&error).at("installable"))?;
        let main = built.main_output().ok_or_else(|| Failure::user("there is no output to run").at("installable"))?;
        return Ok(Built { path: parse(main)?, derivation: built.derivation });
    }
    let (field, path) = match (&inputs.store_path, &inputs.derivation) {
        (Some(path), _) => ("storePath", path),
        (None, path) => ("derivation", path.as_ref().ok_or_else(|| Failure::user("what is to run is not said"))?),
    };
    let target = Target::parse(path).map_err(|error| of_store(&error).at(field))?;
    let options = freehold_store::RealiseOptions::default();
    let found = nix.realise(&[target], options, stop, &mut tell).map_err(|error| of_store(&error).at(field))?;
    let [found] = found.as_slice() else { return Err(Failure::user("it must name one output").at(field)) };
    Ok(Built { path: parse(&found.display().to_string()).map_err(|failure| failure.at(field))?, derivation: None })
}

fn push(ctx: &Context, desk: &Desk, path: StorePath) -> Result<(), Failure> {
    ctx.progress(None, "bringing the closure into the bucket");
    let nix = Nix::find().map_err(|error| of_store(&error))?;
    let options = PushOptions { compression: Compression::Zstd, index: None, recheck: false };
    let stop = ctx.cancelled();
    freehold_cache::push(&nix, desk.board.depot(), &[path], &desk.key, &options, &|_| {}, stop)
        .map(drop)
        .map_err(|error| of_cache(&error))
}

/// What can be told of the entry before anything is built. Where another input is unknown than one that no other is judged by, that
/// is nothing yet.
fn check_entry(inputs: &Attrs) -> Result<(), Failure> {
    let (known, unknown): (Attrs, Attrs) =
        inputs.iter().map(|(name, value)| (name.clone(), value.clone())).partition(|(_, value)| value.is_known());
    if unknown.keys().any(|name| !WAYS.contains(&name.as_str()) && !JUDGED_ALONE.contains(&name.as_str())) {
        return Ok(());
    }
    let Some(entry) = planned_entry(&known, || "service".to_owned()) else { return Ok(()) };
    let mut found: Vec<Diagnostic> = entry.mistakes().into_iter().map(of_mistake).collect();
    if known.get("allowSecrets") != Some(&Value::Bool(true)) {
        found.extend(service_suspicions(&entry).into_iter().map(|it| {
            let hint = "keep it in a file on the host (`envFile`, `systemd.loadCredential`); if it is none, set `allowSecrets = true`";
            Diagnostic { pointer: it.at, message: format!("looks like a secret: {}", it.why), hint: Some(hint.to_owned()) }
        }));
    }
    refused(found)
}

fn refused(found: Vec<Diagnostic>) -> Result<(), Failure> {
    match found.first() {
        None => Ok(()),
        Some(first) => Err(Failure::user(format!("`{}` {}", first.pointer, first.message)).diagnostics(found)),
    }
}

fn of_mistake(mistake: Mistake) -> Diagnostic {
    Diagnostic { pointer: mistake.at, message: mistake.message, hint: Some(mistake.hint) }
}

/// What the manifest would say by those of the inputs that are known; nothing where their shape is wrong, which is told elsewhere.
fn planned_entry(inputs: &Attrs, name: impl FnOnce() -> String) -> Option<Entry> {
    let known = inputs.iter().filter(|(_, value)| value.is_known());
    let fields = known.map(|(name, value)| (name.clone(), value.to_clear_json())).collect();
    let inputs = serde_json::from_value::<Inputs>(Json::Object(fields)).ok()?;
    let name = inputs.name.clone().unwrap_or_else(name);
    Some(entry(&inputs, name, ANY_PATH.to_owned()))
}

/// What the manifest is to say.
fn entry(inputs: &Inputs, name: String, store_path: String) -> Entry {
    Entry {
        name,
        artifact: Artifact { kind: ArtifactKind::NixClosure, store_path },
        hosts: inputs.hosts.clone().unwrap_or_default(),
        exec: inputs.exec.clone(),
        env: inputs.env.clone().unwrap_or_default(),
        env_file: inputs.env_file.clone(),
        http: inputs.http.clone(),
        systemd: inputs.systemd.clone().unwrap_or_default(),
        hardening: inputs.hardening.clone().unwrap_or_default(),
        revision: inputs.revision.clone(),
        runtime: inputs.runtime,
        gate: inputs.gate.clone(),
        policy: inputs.policy,
        keep_releases: inputs.keep_releases,
        instances: inputs.instances,
    }
}

/// Inputs by which a published service would be published as it is; without those that say what is so unless it is said otherwise, as
/// a deployment leaves them out. `usual` is the name that it would have.
fn inputs_of(entry: &Entry, usual: &str) -> Attrs {
    let mut inputs = Attrs::new();
    let mut whole = serde_json::to_value(entry).unwrap_or_default();
    let gate = Gate { http: Some(Http::default()), tcp: Some(Tcp::default()), ..Gate::default() };
    leave_out(&mut whole, &json!({ "gate": gate, "policy": Policy::default() }));
    if let Json::Object(fields) = whole {
        let plain = fields.into_iter().filter(|(name, _)| name != "artifact" && name != "name");
        inputs.extend(plain.filter_map(|(name, value)| Some((name, Value::from_json(value).ok()?))));
    }
    let is_empty = |value: &Value| match value {
        Value::List(items) => items.is_empty(),
        Value::Map(attrs) => attrs.is_empty(),
        _ => false,
    };
    inputs.retain(|name, value| !OURS.contains(&name.as_str()) && !is_empty(value));
    if entry.name != usual {
        inputs.insert("name".to_owned(), entry.name.as_str().into());
    }
    inputs.insert("storePath".to_owned(), entry.artifact.store_path.as_str().into());
    inputs
}

/// Takes out what is as `usual`.
fn leave_out(value: &mut Json, usual: &Json) {
    let (Json::Object(fields), Json::Object(usual)) = (value, usual) else { return };
    for (name, usual) in usual {
        match fields.get_mut(name) {
            Some(inner) if inner.is_object() => leave_out(inner, usual),
            Some(inner) if inner == usual => drop(fields.remove(name)),
            _ => {}
        }
    }
}

/// The member's path, as one name.
fn name_of(ctx: &Context) -> String {
    ctx.member().replace('.', "-")
}

fn notes_of(object: &Existing<Service>) -> Notes {
    let notes = object.private.as_ref().map(|private| private.expose().clone()).unwrap_or_default();
    serde_json::from_value(notes).unwrap_or_default()
}

fn of_store(error: &StoreError) -> Failure {
    let failure = Failure::new(error.kind(), error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.because(source),
        None => failure,
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
