//! `exec`: a program that runs when the resource is made and whenever its inputs change.

use std::collections::BTreeMap;
use std::time::Duration;

use freehold_model::{Attrs, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::sdk::{Context, Existing, Failure, Made, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::process::{Program, describe, run};

pub(crate) struct Exec;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inputs {
    /// The program: a path, relative to the deployment's directory, or a name to be found on `PATH`.
    #[schemars(length(min = 1))]
    executable: String,
    /// Its arguments.
    #[serde(default)]
    args: Vec<String>,
    /// What it reads from its standard input.
    stdin: Option<String>,
    /// Variables that are set beside those of freehold's own environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Where it runs, relative to the deployment's directory.
    cwd: Option<String>,
    /// Run it at every apply.
    #[serde(default)]
    #[allow(dead_code, reason = "`plan` looks at it before it is typed")]
    always: bool,
    /// Run it when the resource is made and never again.
    #[serde(default)]
    once: bool,
    /// How long it may run.
    #[schemars(range(min = 1))]
    timeout_seconds: Option<u64>,
    /// A program and its arguments that undo it, run when the resource is deleted.
    on_delete: Option<Vec<String>>,
    /// Whether the output is a secret; without it, it is one when any input is. One that repeats a secret input always is.
    sensitive_output: Option<bool>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// What it wrote to its standard output.
    stdout: String,
    /// 0, because anything else is a failure.
    exit_code: i32,
}

impl ResourceType for Exec {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "exec";
    const DESCRIPTION: &'static str = "A program that runs when the resource is made and whenever its inputs change.\n\nIt should do no harm when it runs twice: a run that was interrupted is run again.";

    fn traits(&self) -> Traits {
        Traits { can_update: true, repeatable: true, plan_always: true, ..Traits::default() }
            .examples_from(include_str!("../../examples/exec.json"))
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        let is_true = |name: &str| inputs.get(name) == Some(&Value::Bool(true));
        if is_true("always") && is_true("once") {
            return Err(Failure::user("`always` and `once` contradict each other").hint("drop one of them").at("once"));
        }
        for name in ["executable", "args", "onDelete"] {
            if let Some(value) = inputs.get(name) {
                refuse_secret_words(name, value)?;
            }
        }
        match inputs.get("onDelete") {
            Some(Value::List(words)) if words.is_empty() => Err(Failure::user("`onDelete` names no program")
                .hint("onDelete = [ \"program\" \"argument\" ];")
                .at("onDelete")),
            _ => Ok(()),
        }
    }

    fn plan(
        &self,
        _: &Context,
        _: &Existing<Self>,
        inputs: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        let is_true = |name: &str| inputs.get(name) == Some(&Value::Bool(true));
        Ok(if is_true("once") {
            (PlanAction::None, Vec::new())
        } else if is_true("always") && proposed == PlanAction::None {
            (PlanAction::Update, vec!["it runs at every apply (`always`)".into()])
        } else {
            (proposed, Vec::new())
        })
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        if inputs.once && !ctx.is_stateful() {
            return Err(Failure::user("`once` needs a state to remember that it has run").at("once"));
        }
        execute(ctx, inputs)
    }

    fn update(&self, ctx: &Context, prior: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        if inputs.once {
            let secret = prior.outputs.get("stdout").is_some_and(Value::has_sensitive);
            return Ok(Made::new(prior.typed_outputs()?).sensitive_if(secret, &["stdout"]));
        }
        execute(ctx, inputs)
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        if !object.inputs.contains_key("onDelete") {
            return Ok(());
        }
        if let Some(words) = object.inputs.get("onDelete") {
            refuse_secret_words("onDelete", words)?;
        }
        let mut inputs = object.typed_inputs()?;
        let Some(mut words) = inputs.on_delete.take().filter(|words| !words.is_empty()) else { return Ok(()) };
        inputs.executable = words.remove(0);
        inputs.args = words;
        inputs.stdin = object.output_text("stdout").map(str::to_owned);
        // What it is given was an output: as secret as that.
        let secret = object.outputs.get("stdout").is_some_and(Value::has_sensitive);
        inputs.sensitive_output = inputs.sensitive_output.or_else(|| secret.then_some(true));
        execute(ctx, inputs).map(drop)
    }
}

/// Arguments of a process are seen by everybody on the machine.
fn refuse_secret_words(input: &str, value: &Value) -> Result<(), Failure> {
    let Some(place) = value.sensitive_places().into_iter().next() else { return Ok(()) };
    Err(Failure::user(format!(
        "`{input}{place}` is a secret, and everybody on the machine can see what programs are called with"
    ))
    .hint("hand it over with `stdin` or `env`")
    .at(input))
}

fn execute(ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
    let secret = inputs.sensitive_output.unwrap_or_else(|| ctx.has_sensitive_inputs());
    let program = Program {
        executable: &inputs.executable,
        args: &inputs.args,
        env: &inputs.env,
        cwd: inputs.cwd.as_deref().map_or_else(|| ctx.working_directory().to_owned(), |cwd| ctx.resolve(cwd)),
        stdin: inputs.stdin,
        timeout: inputs.timeout_seconds.map(Duration::from_secs),
        secret,
    };
    let ended = run(ctx, program)?;
    if !ended.status.success() {
        let failure = Failure::user(format!("`{}` failed: {}", inputs.executable, describe(ended.status)));
        if secret {
            return Err(failure
                .hint("what it said is not shown because it may hold secrets; `sensitiveOutput = false` shows it"));
        }
        let last = ended.stderr.trim_end().lines().last().unwrap_or_default().to_owned();
        return Err(if last.is_empty() { failure } else { failure.hint(format!("it said: {last}")) });
    }
    let stdout = String::from_utf8(ended.stdout).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::user(format!("`{}` wrote something that is not UTF-8 text, at byte {at}", inputs.executable))
            .hint("let it encode its output, e.g. with base64")
    })?;
    Ok(Made::new(Outputs { stdout, exit_code: 0 }).sensitive_if(secret, &["stdout"]))
}
