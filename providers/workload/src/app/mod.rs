//! `app`: a Co-op Cloud app on a Docker Swarm, as a member of a deployment.
//!
//! It is the same app as `freehold app` and the NixOS modules run: the same `.env`, record, gate, copies of data and way back. What a
//! deployment says is handed to `freehold-app`, and what came of it is an error when the app does not run as declared. Read on in
//! `inputs.rs` (what can be said), `known.rs` (what recipes are by themselves), `places.rs` (where things are), `seen.rs` (drift).

mod inputs;
mod known;
mod places;
mod seen;

use freehold_app::{App as Deployed, AppError, Converged, Places, Talk, Verb, converge, undeploy};
use freehold_model::{Attrs, Value};
use freehold_protocol::v1::{LogLevel, OutputStream, PlanAction};
use freehold_provider::sdk::{Context, Existing, Failure, Found, Made, Operation, Ran, ReadBack, ResourceType, Traits};
use freehold_rollout::{Exit, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use inputs::Inputs;
use places::{failed, places};
use seen::Seen;

/// The resource type.
pub struct App;

/// Outputs of an app.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Its domain.
    #[schemars(extend("x-stable" = true))]
    pub domain: String,
    /// The address of its first page.
    #[schemars(extend("x-stable" = true))]
    pub url: String,
    /// The name of its stack in the Swarm.
    #[schemars(extend("x-stable" = true))]
    pub stack: String,
    /// The docker context that it runs on; `default` for what `docker` uses by itself.
    #[schemars(extend("x-stable" = true))]
    pub server: String,
    /// The version that runs; null when none does.
    pub version: Option<String>,
    /// Whether what is declared runs and is healthy.
    pub healthy: bool,
}

impl ResourceType for App {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "app";
    const DESCRIPTION: &'static str = "A Co-op Cloud app on a Docker Swarm, deployed from its recipe.\n\n\
        A new version stays only if it is healthy: volumes of a stateful app are copied first, and version and data are put back when \
        the gate stays red. An update that was taken back or is held is a failed step, and what ran before runs. Deleted, its stack \
        goes; volumes, secrets and its `.env` stay unless `keepData = false`. The same app can be looked after with `freehold app`.";

    fn traits(&self) -> Traits {
        let operation =
            |name, description, changes_outputs| Operation { name, description, arguments: "", changes_outputs };
        Traits {
            can_read: true,
            can_update: true,
            can_import: true,
            repeatable: true,
            plan_always: true,
            operations: vec![
                operation("reconcile", "takes a newer version that may come by itself", true),
                operation("backup", "copies its volumes while it is stopped, and starts it again", false),
            ],
            ..Traits::default()
        }
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        inputs::check(inputs)
    }

    fn check_place(&self, _: &Context, prior: Option<&Existing<Self>>, inputs: &Attrs) -> Result<(), Failure> {
        prior.map_or(Ok(()), |prior| inputs::check_replacement(&prior.inputs, inputs))
    }

    fn planned_outputs(&self, _: &Context, inputs: &Attrs) -> Attrs {
        let mut known = Attrs::new();
        let text = |name: &str| match inputs.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        if let Some(domain) = text("domain") {
            known.insert("url".to_owned(), format!("https://{domain}/").into());
            known.insert("domain".to_owned(), domain.into());
        }
        match inputs.get("server") {
            None | Some(Value::Null) => drop(known.insert("server".to_owned(), "default".into())),
            Some(server) => drop(known.insert("server".to_owned(), server.clone())),
        }
        known
    }

    fn plan(
        &self,
        _: &Context,
        prior: &Existing<Self>,
        _: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        if proposed != PlanAction::None {
            return Ok((proposed, Vec::new()));
        }
        Ok(match Seen::of(prior).drift {
            Some(reason) => (PlanAction::Update, vec![reason]),
            None => (proposed, Vec::new()),
        })
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        let places = places(ctx)?;
        let found = Deployed::open(&places, &inputs.domain, Some(inputs.server()), None);
        if let Ok(app) = found
            && !seen::is_ours(&app, ctx.member())
            && !seen::runs_nothing(&places, &app).map_err(|error| failed(&error))?
        {
            let domain = &inputs.domain;
            return Err(Failure::user(format!("an app `{domain}` runs that this member did not deploy"))
                .hint(format!("`freehold import {} {domain}` takes it over", ctx.member())));
        }
        bring(ctx, &places, &inputs, &Verb::Deploy { version: None }, Way::Create)
    }

    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let inputs = object.typed_inputs()?;
        let places = places(ctx)?;
        let mut app = match Deployed::open(&places, &inputs.domain, Some(inputs.server()), None) {
            Ok(app) => app,
            Err(AppError::Source(freehold_recipe_source::SourceError::NoApp { .. })) => return Ok(ReadBack::Gone),
            Err(error) => return Err(failed(&error)),
        };
        let found = freehold_app::check(&places, &mut app).map_err(|error| failed(&error))?;
        let drift = seen::drift(&places, &app, &inputs.settings(ctx)?, &found)?;
        let made = Made::new(outputs(&app, &found)).private(json!(Seen { drift }));
        Ok(ReadBack::Here { made, inputs: None })
    }

    fn update(&self, ctx: &Context, _: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        bring(ctx, &places(ctx)?, &inputs, &Verb::Deploy { version: None }, Way::Update)
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        let inputs = object.typed_inputs()?;
        let places = places(ctx)?;
        let mut app = match Deployed::open(&places, &inputs.domain, Some(inputs.server()), None) {
            Ok(app) => app,
            Err(AppError::Source(freehold_recipe_source::SourceError::NoApp { .. })) => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        let tell = |line: &str| ctx.progress(None, line);
        let done = match undeploy(&places, &mut app, &talk(&tell, &inputs)) {
            // It never came to run: what does is another's.
            Err(AppError::NotOurs { stack, .. }) => {
                ctx.log(
                    LogLevel::Warn,
                    format!("the stack `{stack}` was not deployed as `{}` and stays", inputs.domain),
                );
                return seen::disown(&app).map_err(|error| failed(&error));
            }
            done => done.map_err(|error| failed(&error))?,
        };
        if !matches!(done.exit, Exit::Well | Exit::Changed) {
            let reason = done.reason.unwrap_or_else(|| "it still runs".to_owned());
            return Err(Failure::host(format!("`{}` cannot be stopped: {reason}", inputs.domain)));
        }
        seen::disown(&app).map_err(|error| failed(&error))?;
        if inputs.keep_data == Some(false) {
            ctx.progress(None, "removing its volumes, secrets and copies");
            freehold_app::remove(&places, &mut app, true).map_err(|error| failed(&error))?;
        } else {
            ctx.log(LogLevel::Info, format!("the volumes, secrets and the .env of `{}` stay", inputs.domain));
        }
        Ok(())
    }

    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<Found<Outputs>>, Failure> {
        let places = places(ctx)?;
        let mut app = Deployed::open(&places, id, None, None).map_err(|error| failed(&error))?;
        let found = freehold_app::check(&places, &mut app).map_err(|error| failed(&error))?;
        let mut inputs = Attrs::new();
        inputs.insert("recipe".to_owned(), app.kind.recipe.clone().into());
        inputs.insert("domain".to_owned(), app.domain().into());
        if app.path.server != "default" {
            inputs.insert("server".to_owned(), app.path.server.clone().into());
        }
        let version = found.from.clone().or_else(|| app.kind.pin.as_ref().map(ToString::to_string));
        inputs.extend(version.map(|version| ("version".to_owned(), version.into())));
        Ok(vec![Found { inputs, made: Made::new(outputs(&app, &found)) }])
    }

    fn run(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        operation: &str,
        _: &[String],
    ) -> Result<Ran<Outputs>, Failure> {
        let inputs = object.typed_inputs()?;
        let places = places(ctx)?;
        if operation == "backup" {
            return backup(ctx, &places, &inputs);
        }
        let made = bring(ctx, &places, &inputs, &Verb::Reconcile, Way::Update)?;
        let version = made.outputs.version.clone().unwrap_or_default();
        ctx.output(OutputStream::Stdout, format!("{version}\n"));
        Ok(Ran { exit_code: 0, made: Some(made) })
    }
}

/// Why an app is brought to what is declared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Create,
    Update,
}

fn talk<'a>(tell: &'a dyn Fn(&str), inputs: &Inputs) -> Talk<'a> {
    Talk { tell, retry: false, take_over: false, no_lint: inputs.no_lint, detailed: false }
}

/// Declares an app as the inputs say, brings it there, and fails when it does not run so in the end.
fn bring(ctx: &Context, places: &Places, inputs: &Inputs, verb: &Verb, way: Way) -> Result<Made<Outputs>, Failure> {
    let settings = inputs.settings(ctx)?;
    settings.rollout(&inputs.domain).map_err(|error| failed(&error))?;
    places.make_private().map_err(|error| failed(&error))?;
    let server = Some(inputs.server());
    if let Ok(app) = Deployed::open(places, &inputs.domain, server, None)
        && app.kind.recipe != inputs.recipe
    {
        let (domain, recipe) = (&inputs.domain, &app.kind.recipe);
        return Err(Failure::user(format!(
            "`{domain}` is an app of the recipe `{recipe}`, and its data lie here still"
        ))
        .hint(format!("`freehold app rm {domain}` removes it for good; or choose another domain"))
        .at("recipe"));
    }
    let mut app = Deployed::declare(places, &inputs.domain, server, settings).map_err(|error| failed(&error))?;
    seen::own(&app, ctx.member()).map_err(|error| failed(&error))?;
    if way == Way::Create {
        // From here on there is something that a `destroy` has to see.
        let nothing = outputs(&app, &Converged { healthy: false, from: None, ..blank(&app) });
        if let Ok(Value::Map(outputs)) = Value::from_json(json!(nothing)) {
            ctx.partial(&outputs, None);
        }
    }
    say_where(ctx, places, &app)?;
    app.values = inputs.values();
    let tell = |line: &str| ctx.progress(None, line);
    let done = converge(places, &mut app, verb, &talk(&tell, inputs)).map_err(|error| failed(&error))?;
    judge(&app, &done)?;
    Ok(Made::new(outputs(&app, &Converged { from: done.to.clone(), ..done })).private(json!(Seen::default())))
}

/// A remote Docker has no Freehold of its own: whoever applies owns the rollout, and its record.
fn say_where(ctx: &Context, places: &Places, app: &Deployed) -> Result<(), Failure> {
    let docker = app.docker(places).map_err(|error| failed(&error))?;
    if !docker.endpoint().is_local() {
        ctx.log(
            LogLevel::Info,
            format!(
                "`{}` runs at {}; this machine rolls it out, and keeps its record and the copies of its data in `{}`",
                app.domain(),
                docker.endpoint().address,
                places.state.display()
            ),
        );
    }
    Ok(())
}

/// Nothing but all is well is a success of a step.
fn judge(app: &Deployed, done: &Converged) -> Result<(), Failure> {
    if matches!(done.exit, Exit::Well | Exit::Changed) {
        return Ok(());
    }
    let domain = app.domain();
    let wanted = done.to.clone().unwrap_or_else(|| "what is declared".to_owned());
    let reason = done.reason.clone().unwrap_or_else(|| "no reason was told".to_owned());
    let server = if app.path.server == "default" { String::new() } else { format!(" --server {}", app.path.server) };
    let again =
        format!("declare a version that works; to try this one again: `freehold app deploy {domain} --retry{server}`");
    Err(match (done.exit, done.action) {
        (Exit::Held, _) => Failure::user(format!("`{wanted}` of `{domain}` is held: {reason}")).hint(again),
        (_, Outcome::RolledBack) => {
            let before = match &done.from {
                Some(before) if *before != wanted => format!("`{before}` runs again"),
                _ => "what ran before runs again".to_owned(),
            };
            Failure::user(format!("`{wanted}` of `{domain}` was taken back, and {before}: {reason}")).hint(again)
        }
        (Exit::NotDone, _) => {
            let failure = Failure::user(format!("`{wanted}` of `{domain}` was not deployed: {reason}"));
            done.hint.iter().fold(failure, Failure::hint)
        }
        _ => Failure::user(format!("`{wanted}` of `{domain}` is not healthy: {reason}"))
            .hint(format!("`freehold app ps {domain}` and `freehold app logs {domain}` show more; {again}")),
    })
}

fn backup(ctx: &Context, places: &Places, inputs: &Inputs) -> Result<Ran<Outputs>, Failure> {
    let mut app =
        Deployed::open(places, &inputs.domain, Some(inputs.server()), None).map_err(|error| failed(&error))?;
    let name = format!("by-hand-{}", freehold_app::now_millis());
    let tell = |line: &str| ctx.progress(None, line);
    freehold_app::backup(places, &mut app, &name, &tell).map_err(|error| failed(&error))?;
    ctx.output(OutputStream::Stdout, format!("{name}\n"));
    Ok(Ran { exit_code: 0, made: None })
}

fn blank(app: &Deployed) -> Converged {
    Converged {
        domain: app.domain().to_owned(),
        action: Outcome::None,
        from: None,
        to: None,
        healthy: false,
        reason: None,
        hint: None,
        exit: Exit::Well,
    }
}

/// `from` is what runs.
fn outputs(app: &Deployed, found: &Converged) -> Outputs {
    Outputs {
        domain: app.domain().to_owned(),
        url: format!("https://{}/", app.domain()),
        stack: app.stack.clone(),
        server: app.path.server.clone(),
        version: found.from.clone(),
        healthy: found.healthy,
    }
}
