//! `build`: something that Nix builds, realised, with a GC root while it is recorded.

use std::collections::BTreeMap;

use freehold_model::{Attrs, Value};
use freehold_protocol::v1::{LogLevel, PlanAction};
use freehold_provider::sdk::{Context, Existing, Failure, Made, ReadBack, ResourceType, Traits, inputs_as};
use freehold_store::{Built, Nix, Progress, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::roots::{self, Notes, failure};

/// The three ways of saying what is built.
const WAYS: [&str; 3] = ["derivation", "installable", "expression"];

/// The resource type.
pub struct Build;

/// Inputs of a build; exactly one of `derivation`, `installable` and `expression`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// A derivation value (`pkgs.hello`, `pkgs.hello.dev`), or the store path of one of its outputs: that output alone, where the other
    /// two ways give all of them. It is built before this resource is.
    pub derivation: Option<String>,
    /// What `nix build` takes: `.#web`, `/nix/store/….drv^out`. Relative to the deployment.
    pub installable: Option<String>,
    /// Nix text that comes to a derivation, or a function of `args` to one. Paths in it are relative to the deployment.
    pub expression: Option<String>,
    /// Arguments for `expression`.
    pub args: Option<Map<String, Json>>,
    /// Name of the GC root's link. Default: the member's path.
    pub root_name: Option<String>,
}

/// Outputs of a build.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Store path of the output `out` (of the first, when there is none of that name).
    pub store_path: String,
    /// Store path of each output by name.
    pub outputs: BTreeMap<String, String>,
    /// Store path of the derivation, when known.
    pub drv_path: Option<String>,
    /// Whether all GC roots stand. A build that lost one is given a new one.
    pub rooted: bool,
}

impl ResourceType for Build {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "build";
    const DESCRIPTION: &'static str = "Something that Nix builds, in the store for as long as it is recorded.\n\n\
        Give exactly one of `derivation`, `installable` and `expression`. A GC root beside the deployment keeps the result; \
        it moves when the result changes and goes when the resource is deleted. An `installable` or `expression` is evaluated \
        at each plan, so that a change of the files behind it is seen.";

    fn traits(&self) -> Traits {
        Traits { can_read: true, can_update: true, repeatable: true, plan_always: true, ..Traits::default() }
            .examples_from(include_str!("../examples/build.json"))
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        refuse_secrets(inputs)?;
        let is_given = |name: &str| inputs.get(name).is_some_and(|value| *value != Value::Null);
        let given: Vec<&str> = WAYS.into_iter().filter(|name| is_given(name)).collect();
        match given[..] {
            [] => Err(Failure::user("one of `derivation`, `installable` and `expression` is needed")
                .hint("for example `inputs.installable = \".#web\";`")),
            [one] if one != "expression" && is_given("args") => {
                Err(Failure::user("`args` belong to an `expression`").at("args"))
            }
            [_] => Ok(()),
            [first, second, ..] => {
                Err(Failure::user(format!("`{first}` and `{second}` exclude each other")).at(second))
            }
        }
    }

    fn planned_outputs(&self, _: &Context, inputs: &Attrs) -> Attrs {
        match inputs.get("derivation") {
            // Of a derivation's file it cannot be told which outputs it has, or where they are.
            Some(Value::String(path))
                if !path.ends_with(".drv") && matches!(Target::parse(path), Ok(Target::Path(_))) =>
            {
                [("storePath".to_owned(), Value::from(path.as_str()))].into()
            }
            _ => Attrs::new(),
        }
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
        let recorded = prior.typed_outputs()?;
        if !recorded.rooted {
            return Ok((PlanAction::Update, vec!["one of its GC roots is gone".to_owned()]));
        }
        // What is none's output, or is named by its path, comes to the same for ever.
        let may_change = recorded.drv_path.is_some() && !names_an_output(inputs);
        if may_change && inputs.values().all(Value::is_known) {
            let wanted = self.evaluate(ctx, &inputs_as(inputs)?)?;
            if wanted.is_some() && wanted != recorded.drv_path {
                return Ok((PlanAction::Update, vec!["it evaluates to another derivation".to_owned()]));
            }
        }
        Ok((proposed, Vec::new()))
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        self.make(ctx, &inputs, &Notes::default())
    }

    fn read(&self, _: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let nix = Nix::find().map_err(failure)?;
        let mut outputs = object.typed_outputs()?;
        let paths: Vec<String> = outputs.outputs.values().cloned().collect();
        if !nix.missing(&paths).map_err(failure)?.is_empty() {
            return Ok(ReadBack::Gone);
        }
        let notes = notes_of(object);
        // What nothing keeps is not kept: with its last root the object is gone, whether or not the path still lies there.
        let standing = roots::standing(&nix, &notes)?;
        if standing == 0 {
            return Ok(ReadBack::Gone);
        }
        outputs.rooted = standing == notes.roots.len();
        Ok(ReadBack::Here { made: Made::new(outputs).private(json!(notes)), inputs: None })
    }

    fn update(&self, ctx: &Context, prior: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        self.make(ctx, &inputs, &notes_of(prior))
    }

    fn delete(&self, _: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        let nix = Nix::find().map_err(failure)?;
        roots::release(&nix, &notes_of(object))
    }
}

impl Build {
    fn make(&self, ctx: &Context, inputs: &Inputs, before: &Notes) -> Result<Made<Outputs>, Failure> {
        let nix = Nix::find().map_err(failure)?;
        let built = build(ctx, &nix, inputs)?;
        let Some(store_path) = built.main_output().map(str::to_owned) else {
            return Err(Failure::internal("Nix built something without outputs"));
        };
        let notes = roots::keep(ctx, &nix, inputs.root_name.as_deref(), &built.outputs, before)?;
        let outputs = Outputs {
            store_path,
            outputs: built.outputs.into_iter().collect(),
            drv_path: built.derivation,
            rooted: true,
        };
        Ok(Made::new(outputs).private(json!(notes)))
    }

    /// The derivation that the inputs come to now, without building it; `None` when they name a path.
    fn evaluate(&self, ctx: &Context, inputs: &Inputs) -> Result<Option<String>, Failure> {
        let nix = Nix::find().map_err(failure)?;
        let (dir, stop) = (ctx.working_directory(), ctx.cancelled());
        if let Some(text) = &inputs.expression {
            let args = inputs.args.clone().unwrap_or_default();
            return nix.instantiate(text, &args, dir, stop).map(Some).map_err(failure);
        }
        match &inputs.installable {
            Some(installable) => nix.derivation_of(installable, dir, stop).map(Some).map_err(failure),
            None => Ok(None),
        }
    }
}

/// Whether the installable is the path of something in the store, and no derivation.
fn names_an_output(inputs: &Attrs) -> bool {
    match inputs.get("installable") {
        Some(Value::String(path)) => {
            let is_path = !path.contains(['#', '^', '!']) && !path.ends_with(".drv");
            is_path && matches!(Target::parse(path), Ok(Target::Path(_)))
        }
        _ => false,
    }
}

/// All inputs are words that Nix is called with, and most of them end in a derivation or in the name of a link.
fn refuse_secrets(inputs: &Attrs) -> Result<(), Failure> {
    for (name, value) in inputs {
        if let Some(place) = value.sensitive_places().into_iter().next() {
            return Err(Failure::user(format!(
                "`{name}{place}` is a secret, and everybody can read the Nix store and what programs are called with"
            ))
            .hint("leave it out of the build, and hand it to what is built when that runs (`local.file`, `local.exec`)")
            .at(name));
        }
    }
    Ok(())
}

fn build(ctx: &Context, nix: &Nix, inputs: &Inputs) -> Result<Built, Failure> {
    let (dir, stop) = (ctx.working_directory(), ctx.cancelled());
    let mut tell = |progress| tell(ctx, progress);
    if let Some(path) = &inputs.derivation {
        return build_path(nix, path, ctx, &mut tell);
    }
    if let Some(installable) = &inputs.installable {
        return nix.build_installable(installable, dir, stop, &mut tell).map_err(failure);
    }
    let text = inputs.expression.as_deref().unwrap_or_default();
    let args = inputs.args.clone().unwrap_or_default();
    let derivation = nix.instantiate(text, &args, dir, stop).map_err(failure)?;
    nix.build_derivation(&derivation, stop, &mut tell).map_err(failure)
}

/// A derivation value has arrived as the store path of an output; a `.drv` is built whole.
fn build_path(nix: &Nix, path: &str, ctx: &Context, tell: &mut dyn FnMut(Progress)) -> Result<Built, Failure> {
    let target = Target::parse(path).map_err(|e| failure(e).at("derivation"))?;
    if path.ends_with(".drv") {
        return nix.build_derivation(path, ctx.cancelled(), tell).map_err(failure);
    }
    let found =
        nix.realise(&[target], freehold_store::RealiseOptions::default(), ctx.cancelled(), tell).map_err(failure)?;
    let [path] = found.as_slice() else {
        return Err(Failure::user("`derivation` must name one output").at("derivation"));
    };
    let path = path.display().to_string();
    let info = nix.path_info(std::slice::from_ref(&path)).map_err(failure)?;
    let derivation = info.into_iter().next().and_then(|info| info.deriver);
    Ok(Built { derivation, outputs: vec![("out".to_owned(), path)] })
}

fn tell(ctx: &Context, progress: Progress) {
    match progress {
        Progress::Building { derivation } => ctx.progress(None, format!("building {}", short(&derivation))),
        Progress::Fetching { path, .. } => ctx.progress(None, format!("fetching {}", short(&path))),
        Progress::Phase { derivation, phase } => {
            ctx.progress(None, format!("building {}: {phase}", short(&derivation)))
        }
        Progress::Log { derivation, line } => ctx.log(LogLevel::Debug, format!("{}> {line}", short(&derivation))),
        Progress::Counts { built, to_build, fetched, to_fetch } => {
            let (done, all) = (built + fetched, to_build + to_fetch);
            if all > 0 {
                #[allow(clippy::cast_precision_loss, reason = "a share for a progress bar")]
                let share = (done as f64 / all as f64).min(1.0);
                ctx.progress(Some(share), format!("{done} of {all} store paths"));
            }
        }
        Progress::Ended { .. } => {}
        Progress::Message { text } => ctx.log(LogLevel::Debug, text),
    }
}

/// The name of a store path without its directory, hash and `.drv`.
fn short(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once('-').map_or(name, |(_, name)| name).trim_end_matches(".drv")
}

fn notes_of(object: &Existing<Build>) -> Notes {
    let notes = object.private.as_ref().map(|private| private.expose().clone()).unwrap_or_default();
    serde_json::from_value(notes).unwrap_or_default()
}
