//! `freehold provider …`: what providers offer, and whether one keeps the contract.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;
use freehold_model::{ErrorKind, did_you_mean};
use freehold_protocol::{ProviderSchema, TypeSchema};
use freehold_provider::conformance::{self, Outcome};
use freehold_provider::{Call, Launch, Pool, PoolOptions, Reply};
use serde_json::{Value as Json, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::table::table;
use crate::render::text::escape_controls;
use crate::session::Session;
use crate::{builtin, complete, places};

/// See what providers offer, and test one of your own
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the built-in providers and their resource types
    List,
    /// Show a provider's resource types: inputs, outputs, operations
    Schema(SchemaArgs),
    /// Test whether a provider keeps the contract (provider protocol 1)
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct SchemaArgs {
    /// A built-in provider, or an executable
    #[arg(value_name = "PROVIDER", add = ArgValueCompleter::new(complete::providers))]
    provider: String,
    /// Only this resource type
    #[arg(value_name = "TYPE")]
    type_name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// A built-in provider, or an executable
    #[arg(value_name = "PROVIDER", add = ArgValueCompleter::new(complete::providers))]
    provider: String,
    /// Arguments of the executable
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    match args.command {
        Command::List => list(session),
        Command::Schema(args) => schema(&args, session),
        Command::Test(args) => test(&args, session),
    }
}

fn list(session: &Session) -> Result<Exit, Failure> {
    let schemas: Vec<(&str, &str, ProviderSchema)> =
        builtin::ALL.iter().map(|b| (b.name, b.description, (b.provider)().schema())).collect();
    if session.ui.json {
        let providers: Vec<Json> = schemas
            .iter()
            .map(|(name, text, schema)| {
                json!({ "name": name, "description": text, "version": schema.version, "types": schema.types.keys().collect::<Vec<_>>() })
            })
            .collect();
        session.ui.json(&json!({ "format": "freehold.providers/1", "providers": providers }));
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for (name, description, schema) in &schemas {
        text += &format!("{}  {}\n", paint(style::STRONG, name), paint(style::FAINT, description));
        // `s3.s3.object` is `s3.object` under NixOps4's name.
        let is_alias = |t: &str| t.split_once('.').is_some_and(|(p, t)| p == *name && schema.types.contains_key(t));
        let rows: Vec<Vec<String>> = schema
            .types
            .iter()
            .filter(|(t, _)| !is_alias(t))
            .map(|(t, s)| vec![format!("  {name}.{t}"), first_sentence(&s.description)])
            .collect();
        text += &table(&[], &rows);
    }
    session.ui.data(&text);
    Ok(Exit::Ok)
}

fn schema(args: &SchemaArgs, session: &Session) -> Result<Exit, Failure> {
    let schema = ask(&args.provider, session)?;
    let wanted: Vec<(&String, &TypeSchema)> = match &args.type_name {
        None => schema.types.iter().collect(),
        Some(name) => vec![schema.types.get_key_value(name).ok_or_else(|| no_type(&schema, name))?],
    };
    if session.ui.json {
        let types: serde_json::Map<String, Json> =
            wanted.into_iter().map(|(n, t)| (n.clone(), serde_json::to_value(t).unwrap_or_default())).collect();
        session.ui.json(&json!({
            "format": "freehold.provider-schema/1", "name": schema.name, "version": schema.version,
            "protocol": schema.protocol, "config": schema.config, "types": types,
        }));
        return Ok(Exit::Ok);
    }
    if schema.protocol == 0 {
        session.ui.talk(
            "it speaks protocol 0 (NixOps4's), which has no schema: any type may exist, there is no read and no delete",
        );
    }
    let text: Vec<String> = wanted.into_iter().map(|(name, t)| type_text(&schema.name, name, t)).collect();
    session.ui.data(&text.join("\n"));
    Ok(Exit::Ok)
}

fn no_type(schema: &ProviderSchema, name: &str) -> Failure {
    let names: Vec<&str> = schema.types.keys().map(String::as_str).collect();
    let hint = match did_you_mean(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", names.join(", ")),
    };
    Failure::user(format!("provider `{}` has no type `{name}`", schema.name)).hint(hint)
}

/// The schema of a built-in provider without a process, of an executable from itself.
fn ask(provider: &str, session: &Session) -> Result<Arc<ProviderSchema>, Failure> {
    if let Some(builtin) = builtin::find(provider) {
        return Ok(Arc::new((builtin.provider)().schema()));
    }
    let launch = launch(provider, &[], session)?;
    match Pool::new(PoolOptions::default()).call(&launch, Call::Schema)? {
        Reply::Schema(schema) => Ok(schema),
        _ => Err(Failure::new(ErrorKind::Internal, "a schema was asked for and something else came")),
    }
}

fn launch(provider: &str, args: &[String], session: &Session) -> Result<Launch, Failure> {
    if builtin::find(provider).is_some() {
        let mut launch = Launch::new(provider, places::program()?);
        launch.args = ["internal", "provider", provider].map(Into::into).to_vec();
        return Ok(launch);
    }
    let program = if provider.contains('/') { session.cwd()?.join(provider) } else { PathBuf::from(provider) };
    if provider.contains('/') && !program.exists() || !provider.contains('/') && !is_on_path(provider) {
        let names = builtin::ALL.iter().map(|b| b.name);
        let hint = match did_you_mean(provider, names) {
            Some(near) => format!("did you mean the built-in provider `{near}`?"),
            None => "give a built-in provider (`freehold provider list`), a path, or a program on PATH".to_owned(),
        };
        return Err(Failure::user(format!("there is no provider `{provider}`")).hint(hint));
    }
    let name =
        Path::new(provider).file_name().map_or_else(|| provider.to_owned(), |n| n.to_string_lossy().into_owned());
    let mut launch = Launch::new(name, program);
    launch.args = args.iter().map(Into::into).collect();
    Ok(launch)
}

fn is_on_path(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).is_file())
}

fn test(args: &TestArgs, session: &Session) -> Result<Exit, Failure> {
    let launch = launch(&args.provider, &args.args, session)?;
    let scratch = std::env::temp_dir().join(format!("freehold-provider-test-{}", std::process::id()));
    fs_err::create_dir_all(&scratch)?;
    let report = conformance::run(&launch, &scratch);
    fs_err::remove_dir_all(&scratch)?;
    if session.ui.json {
        let checks: Vec<Json> = report
            .checks
            .iter()
            .map(|check| {
                let (outcome, why) = match &check.outcome {
                    Outcome::Passed => ("passed", None),
                    Outcome::Failed(why) => ("failed", Some(why)),
                    Outcome::NotRun(why) => ("not-run", Some(why)),
                };
                json!({ "check": check.name, "outcome": outcome, "why": why })
            })
            .collect();
        session.ui.json(&json!({ "format": "freehold.provider-test/1", "passed": report.passed(), "checks": checks }));
    } else {
        session.ui.data(&report.checks.iter().map(check_line).collect::<String>());
    }
    Ok(if report.passed() { Exit::Ok } else { Exit::Failed })
}

fn check_line(check: &conformance::Check) -> String {
    let name = escape_controls(&check.name);
    match &check.outcome {
        Outcome::Passed => format!("{} {name}\n", paint(style::ADD, "ok     ")),
        Outcome::Failed(why) => {
            let why = escape_controls(why).replace('\n', "\n          ");
            format!("{} {name}\n          {why}\n", paint(style::REMOVE, "FAILED "))
        }
        Outcome::NotRun(why) => format!("{} {name}: {}\n", paint(style::CHANGE, "not run"), escape_controls(why)),
    }
}

fn type_text(provider: &str, name: &str, schema: &TypeSchema) -> String {
    let mut text = format!("{}\n", paint(style::STRONG, format!("{provider}.{name}")));
    text += &format!("  {}\n", escape_controls(&schema.description).replace('\n', "\n  "));
    let required = schema.required_inputs();
    let inputs: Vec<Vec<String>> = schema
        .input_properties()
        .map(|(input, s)| {
            let mut marks = vec![if required.contains(&input) { "required" } else { "optional" }.to_owned()];
            if schema.force_new.iter().any(|f| f == input) {
                marks.push("a change replaces".to_owned());
            }
            vec![format!("    {}", paint(style::STRONG, input)), shape(s), marks.join(", "), described(s)]
        })
        .collect();
    let outputs: Vec<Vec<String>> = schema
        .output_properties()
        .map(|(output, s)| vec![format!("    {}", paint(style::STRONG, output)), shape(s), String::new(), described(s)])
        .collect();
    let operations: Vec<Vec<String>> = schema
        .operations
        .iter()
        .map(|(op, s)| {
            vec![format!("    {} {}", paint(style::STRONG, op), s.arguments), first_sentence(&s.description)]
        })
        .collect();
    for (title, rows) in [("inputs", inputs), ("outputs", outputs), ("operations", operations)] {
        if !rows.is_empty() {
            text += &format!("  {}\n{}", paint(style::FAINT, title), table(&[], &rows));
        }
    }
    text
}

/// What kind of value a JSON Schema wants, in a word.
pub(crate) fn shape(schema: &Json) -> String {
    match schema.get("type") {
        Some(Json::String(word)) => match (word.as_str(), schema.get("items")) {
            ("array", Some(items)) => format!("list of {}", shape(items)),
            ("object", _) => "set".to_owned(),
            (word, _) => word.to_owned(),
        },
        Some(Json::Array(words)) => {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).filter(|w| *w != "null").collect();
            words.join(" or ")
        }
        _ if schema.get("enum").is_some() => "one of a few".to_owned(),
        _ => "any".to_owned(),
    }
}

fn described(schema: &Json) -> String {
    schema.get("description").and_then(Json::as_str).map(first_sentence).unwrap_or_default()
}

/// The first sentence of a description, on one line.
pub(crate) fn first_sentence(text: &str) -> String {
    let text = escape_controls(text).replace('\n', " ");
    text.find(". ").map_or(text.as_str(), |end| &text[..end]).trim_end_matches('.').to_owned()
}
