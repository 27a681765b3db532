//! `freehold publish`: a service is built, its closure brought into the cache, the manifest moved on.

use std::path::PathBuf;

use clap::ValueHint;
use freehold_cache::{Depot, PushOptions};
use freehold_manifest::{Difference, Edit, Manifest, Runtime, Service, ServiceFlags, diff, service_suspicions};
use freehold_nar::{Compression, SecretKey, StorePath};
use freehold_publish::{Board, Published};
use freehold_store::Nix;
use serde_json::{Value as Json, json};

use crate::commands::cache::{keys, moving::Moving, paths};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::count;
use crate::session::Session;

/// Publish a service: hosts that follow the manifest will run it
///
/// Builds it if asked to, signs its closure and brings it into the bucket, and moves the manifest on. What was said of the service by
/// an earlier publish stays unless it is said again; a repeated flag (`--env`, `--host`) replaces its group. Prints the store path.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The bucket or directory with the manifest and the closures
    #[arg(long, value_name = "URL")]
    to: String,
    /// File of the signing key [default: $NIX_CACHE_KEY, then ~/.config/nix/cache-priv-key.pem]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// Run this store path
    #[arg(long, value_name = "PATH", conflicts_with = "installable", value_hint = ValueHint::AnyPath)]
    store_path: Option<String>,
    /// Build this first, and run what comes of it: `.#web`
    #[arg(long, value_name = "INSTALLABLE")]
    installable: Option<String>,
    #[command(flatten)]
    said: Said,
    /// Any other field, as a path and JSON: `systemd/after=["postgresql.service"]`; `null` takes it out
    #[arg(long, value_name = "POINTER=JSON", value_parser = pointer)]
    set: Vec<(Vec<String>, Json)>,
    /// Forget what earlier publishes said of the service
    #[arg(long)]
    reset: bool,
    /// Publish values that look like secrets all the same
    #[arg(long)]
    allow_secrets: bool,
}

/// What is said of the service.
#[derive(Debug, clap::Args)]
struct Said {
    /// The command line: a program in the artifact's `bin` and its arguments
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A variable of its environment; no secrets
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A file on the host with further environment, such as secrets
    #[arg(long, value_name = "FILE")]
    env_file: Option<String>,
    /// A host that runs it; without any, every host that follows the manifest
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// The user it runs as
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The group it runs as
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// A name that requests are for
    #[arg(long, value_name = "DOMAIN")]
    http_domain: Vec<String>,
    /// The port it listens on
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// A path below which requests are its own
    #[arg(long, value_name = "PATH")]
    http_path: Vec<String>,
    /// What must be seen before a release may stay, as JSON: `{"http":{"path":"/health"}}`
    #[arg(long, value_name = "JSON", value_parser = json_value)]
    gate: Option<Json>,
    /// What runs it
    #[arg(long, value_name = "RUNTIME", value_parser = runtime)]
    runtime: Option<Runtime>,
    /// Where it was built from, for people
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}

fn json_value(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

fn pointer(text: &str) -> Result<(Vec<String>, Json), String> {
    let (pointer, value) = text.split_once('=').ok_or("write POINTER=JSON, such as systemd/restartSec=10")?;
    let value = serde_json::from_str(value).map_err(|error| {
        format!("the value is no JSON: {error}; text stands in double quotes: {pointer}='\"{value}\"'")
    })?;
    let tokens = pointer.trim_matches('/').split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
    Ok((tokens.collect(), value))
}

/// A runtime by its name in manifests.
pub(crate) fn runtime(text: &str) -> Result<Runtime, String> {
    serde_json::from_value(json!(text))
        .map_err(|_| "there are systemd, process, swarm, quadlet, nomad and nixos".to_owned())
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = Depot::open(&args.to)?;
    let key = keys::signing(args.key.as_deref(), session)?;
    let board = Board::new(depot);
    let before = board.current()?.map(|current| current.manifest);
    let path = push(&args, &board, before.as_ref(), &key, session)?;
    let flags = flags(&args, path.as_ref());
    if !args.allow_secrets {
        refuse_secrets(&args.service, &flags, before.as_ref())?;
    }
    let published = board.publish(Some(&key), &|before| {
        let known = before.and_then(|manifest| manifest.service(&args.service).ok());
        flags.apply(&args.service, known).map(|service| Edit::Put(Box::new(service)))
    })?;
    tell(&args, &published, session)?;
    Ok(Exit::Ok)
}

/// Brings the closure into the cache before anybody is told of it.
fn push(
    args: &Args,
    board: &Board,
    before: Option<&Manifest>,
    key: &SecretKey,
    session: &Session,
) -> Result<Option<StorePath>, Failure> {
    let stop = session.stopper()?;
    let path = match (&args.store_path, &args.installable) {
        (Some(path), _) => paths::store_paths(std::slice::from_ref(path))?.into_iter().next(),
        (None, Some(installable)) => {
            let built = Nix::find()?.build_installable(installable, &session.cwd()?, &stop, &mut |_| {})?;
            let main =
                built.main_output().ok_or_else(|| Failure::user(format!("`{installable}` has no output to run")))?;
            Some(StorePath::parse(main)?)
        }
        (None, None) => None,
    };
    let Some(path) = path else {
        // What would be said without one is said by the manifest itself, before anything is sent.
        flags(args, None).apply(&args.service, before.and_then(|manifest| manifest.service(&args.service).ok()))?;
        return Ok(None);
    };
    // What is missing is said before anything is sent.
    flags(args, Some(&path)).apply(&args.service, before.and_then(|manifest| manifest.service(&args.service).ok()))?;
    let index = paths::index_dir();
    let options = PushOptions { compression: Compression::Zstd, index: index.as_deref(), recheck: false };
    let moving = Moving::new(&session.ui, "pushed");
    let roots = [path];
    let pushed =
        freehold_cache::push(&Nix::find()?, board.depot(), &roots, key, &options, &|news| moving.hear(news), &stop)?;
    drop(moving);
    let all = count(pushed.paths, "path", "paths");
    session.ui.talk(&format!("pushed {} of {all}", pushed.new));
    let [path] = roots;
    Ok(Some(path))
}

fn flags(args: &Args, path: Option<&StorePath>) -> ServiceFlags {
    let said = &args.said;
    ServiceFlags {
        reset: args.reset,
        store_path: path.map(ToString::to_string),
        command: said.command.clone(),
        env: said.env.clone(),
        env_file: said.env_file.clone(),
        hosts: said.host.clone(),
        user: said.user.clone(),
        group: said.group.clone(),
        domains: said.http_domain.clone(),
        paths: said.http_path.clone(),
        port: said.http_port,
        gate: said.gate.clone(),
        runtime: said.runtime,
        revision: said.revision.clone(),
        set: args.set.clone(),
    }
}

fn refuse_secrets(name: &str, flags: &ServiceFlags, before: Option<&Manifest>) -> Result<(), Failure> {
    let service = flags.apply(name, before.and_then(|manifest| manifest.service(name).ok()))?;
    let Some(found) = service_suspicions(&service).into_iter().next() else { return Ok(()) };
    Err(Failure::user(format!("`{}` looks like a secret: {}", found.at, found.why))
        .hint("keep it in a file on the host, and name that with `--env-file FILE` or `--set systemd/loadCredential/NAME='\"FILE\"'`")
        .hint("if it is none, say `--allow-secrets`"))
}

fn tell(args: &Args, published: &Published, session: &Session) -> Result<(), Failure> {
    let service = published.manifest.service(&args.service)?;
    let changes = diff(published.before.as_ref(), Some(&published.manifest));
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.publish/1",
            "service": service.name,
            "storePath": service.artifact.store_path,
            "generation": published.manifest.generation,
            "serial": published.manifest.serial,
            "hosts": service.hosts,
            "changes": changes,
        }));
        return Ok(());
    }
    session.ui.talk(&format!(
        "generation {}, serial {}",
        published.manifest.generation,
        published.manifest.serial.unwrap_or(0)
    ));
    session.ui.talk(&what_hosts_do(service, &changes));
    session.ui.data(&format!("{}\n", service.artifact.store_path));
    Ok(())
}

fn what_hosts_do(service: &Service, changes: &[Difference]) -> String {
    let who = match service.hosts.as_slice() {
        [] => "every host that follows it".to_owned(),
        hosts => hosts.join(", "),
    };
    let Some(change) = changes.iter().find(|change| change.service == service.name) else {
        return format!("nothing changed for {who}");
    };
    let fields: Vec<String> = change.fields.iter().map(|field| field.at.to_string()).collect();
    match fields.as_slice() {
        [] => format!("{who} will start it at the next look"),
        fields => format!("{who} will change it at the next look: {}", fields.join(", ")),
    }
}
