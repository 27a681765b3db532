//! `freehold publish`: a service is built, its closure brought into the cache, the manifest moved on.

mod declared;
mod file;

use clap::ValueHint;
use freehold_agent::{Awaited, ReportPlace};
use freehold_cache::{Depot, PushOptions};
use freehold_manifest::{Difference, Edit, Manifest, Runtime, Service, ServiceFlags, diff, service_suspicions};
use freehold_nar::{Compression, SecretKey, StorePath};
use freehold_publish::{Board, Published};
use freehold_store::Nix;
use serde_json::{Value as Json, json};

use crate::commands::cache::{moving::Moving, paths};
use crate::commands::publish_wait::{Waited, Waiting, wait};
use crate::commands::signing::Signing;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::count;
use crate::session::Session;

/// Publish a service: hosts that follow the manifest will run it
///
/// Builds it if asked to (`--installable`, or a Nix file in the place of the name), signs its closure and brings it into the bucket, and moves the manifest on. What was said of the service by
/// an earlier publish stays unless it is said again; a repeated flag (`--env`, `--host`) replaces its group. Prints the store path.
///
/// Without `--to` the services are members of the deployment (`type = providers.workload.service`), which is the whole truth then: they
/// and what they need are applied, and nothing more is said here.
///
/// With `--wait` it ends when hosts have reported how it went: with 0 when it is healthy on each, with 3 when one took it back or
/// failed, with 4 when one holds it, and with 1 when the time is up. Hosts report when their agents have `--report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service, or a Nix file that builds it (`web.nix`); several of a deployment
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    /// The bucket or directory with the manifest and the closures
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    #[command(flatten)]
    signing: Signing,
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
    #[command(flatten)]
    waiting: Waiting,
}

impl Args {
    /// Whether anything is said of the service beside its name.
    fn says_something(&self) -> bool {
        flags(self, None) != ServiceFlags::default() || self.store_path.is_some() || self.installable.is_some()
    }
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

pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
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
    match (&args.to, args.services.as_slice()) {
        (None, services) => {
            if args.says_something() {
                return Err(Failure::usage("a service that a deployment declares is not described here as well")
                    .hint("say it in the deployment, or publish without one: `--to URL`"));
            }
            declared::run(services, &args.waiting, session)
        }
        (Some(to), [service]) => described(&args, service, to, session),
        (Some(_), _) => Err(Failure::usage("one service at a time is described on the command line")),
    }
}

/// Publishes what the command line says of a service.
fn described(args: &Args, name: &str, to: &str, session: &Session) -> Result<Exit, Failure> {
    let named = file::named(name, session)?;
    let name = named.service.as_str();
    let depot = Depot::open(to)?;
    let signer = args.signing.signer(session)?;
    let board = Board::new(depot);
    let before = board.current()?;
    if let Some(current) = &before {
        signer.publisher().accept(&current.bytes).map_err(|error| board.strange("manifest.json", error))?;
    }
    let before = before.map(|current| current.manifest);
    let path = match &named.file {
        Some(_) if args.store_path.is_some() || args.installable.is_some() => {
            return Err(Failure::usage("a file says what is built: leave `--store-path` and `--installable` out"));
        }
        Some(file) => Some(file::build(file, session)?),
        None => build(args, session)?,
    };
    let mut flags = flags(args, path.as_ref());
    let is_new = args.reset || before.as_ref().is_none_or(|manifest| manifest.service(name).is_err());
    if is_new && flags.command.is_none() && !flags.set.iter().any(|(at, _)| at.first().is_some_and(|at| at == "exec")) {
        flags.command = path.as_ref().and_then(file::own_command);
    }
    // Everything that can be refused is, before anything is sent.
    let service = flags.apply(name, before.as_ref().and_then(|manifest| manifest.service(name).ok()))?;
    if !args.allow_secrets {
        refuse_secrets(&service)?;
    }
    file::refuse_without_program(&service)?;
    if let Some(path) = path {
        push(path, &board, &signer.key, session)?;
    }
    let published = board.publish(Some(&signer.publisher()), &|before| {
        let known = before.and_then(|manifest| manifest.service(name).ok());
        flags.apply(name, known).map(|service| Edit::Put(Box::new(service)))
    })?;
    if !session.ui.json {
        tell(name, &published, session)?;
    }
    let waited = if args.waiting.wait {
        Some(await_hosts(&args.waiting, name, &published.manifest, &board, session)?)
    } else {
        None
    };
    if session.ui.json {
        tell_programs(name, &published, waited.as_ref(), session)?;
    }
    Ok(waited.map_or(Exit::Ok, |waited| waited.exit()))
}

/// Waits until the hosts have reported of what a manifest says of a service.
fn await_hosts(
    waiting: &Waiting,
    name: &str,
    manifest: &Manifest,
    board: &Board,
    session: &Session,
) -> Result<Waited, Failure> {
    let service = manifest.service(name)?;
    let awaited = Awaited {
        service: service.name.clone(),
        store_path: service.artifact.store_path.clone(),
        serial: manifest.serial.unwrap_or(0),
    };
    wait(waiting, &awaited, &service.hosts, ReportPlace::in_depot(board.depot().clone()), session)
}

/// The store path that is said, or built; `None` when it is to stay what it was.
fn build(args: &Args, session: &Session) -> Result<Option<StorePath>, Failure> {
    Ok(match (&args.store_path, &args.installable) {
        (Some(path), _) => paths::store_paths(std::slice::from_ref(path))?.into_iter().next(),
        (None, Some(installable)) => {
            let stop = session.stopper()?;
            let nix = Nix::find()?.with_traces(session.global.show_trace);
            let built = nix.build_installable(installable, &session.cwd()?, &stop, &mut |_| {})?;
            let main =
                built.main_output().ok_or_else(|| Failure::user(format!("`{installable}` has no output to run")))?;
            Some(StorePath::parse(main)?)
        }
        (None, None) => None,
    })
}

/// Brings the closure into the cache before anybody is told of it.
fn push(path: StorePath, board: &Board, key: &SecretKey, session: &Session) -> Result<(), Failure> {
    let stop = session.stopper()?;
    board.depot().heed(&stop);
    let index = paths::index_dir();
    let options = PushOptions { compression: Compression::Zstd, index: index.as_deref(), recheck: false };
    let moving = Moving::new(&session.ui, "pushed");
    let pushed =
        freehold_cache::push(&Nix::find()?, board.depot(), &[path], key, &options, &|news| moving.hear(news), &stop)?;
    drop(moving);
    let all = count(pushed.paths, "path", "paths");
    session.ui.talk(&format!("pushed {} of {all}", pushed.new));
    Ok(())
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

fn refuse_secrets(service: &Service) -> Result<(), Failure> {
    let Some(found) = service_suspicions(service).into_iter().next() else { return Ok(()) };
    Err(Failure::user(format!("`{}` looks like a secret: {}", found.at, found.why))
        .hint("keep it in a file on the host, and name that with `--env-file FILE` or `--set systemd/loadCredential/NAME='\"FILE\"'`")
        .hint("if it is none, say `--allow-secrets`"))
}

fn tell(name: &str, published: &Published, session: &Session) -> Result<(), Failure> {
    let service = published.manifest.service(name)?;
    let changes = diff(published.before.as_ref(), Some(&published.manifest));
    session.ui.talk(&format!(
        "generation {}, serial {}",
        published.manifest.generation,
        published.manifest.serial.unwrap_or(0)
    ));
    session.ui.talk(&what_hosts_do(service, &changes));
    session.ui.data(&format!("{}\n", service.artifact.store_path));
    Ok(())
}

fn tell_programs(name: &str, published: &Published, waited: Option<&Waited>, session: &Session) -> Result<(), Failure> {
    let service = published.manifest.service(name)?;
    let mut said = json!({
        "format": "freehold.publish/1",
        "service": service.name,
        "storePath": service.artifact.store_path,
        "generation": published.manifest.generation,
        "serial": published.manifest.serial,
        "hosts": service.hosts,
        "changes": diff(published.before.as_ref(), Some(&published.manifest)),
    });
    if let Some(waited) = waited {
        said["wait"] = waited.to_json();
    }
    session.ui.json(&said);
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
