//! `freehold agent …`: the program of a host. The work is done in `freehold_agent`; here it is set up, and its rounds are told.

mod install;
mod once;
mod poke;
mod run;
mod status;
mod told;
mod uninstall;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use freehold_agent::{Agent, AgentOptions, CaddyRouter, Notify, ReportPlace, Router, Runtimes, Trust, Voice};
use freehold_cache::Depot;
use freehold_manifest::Runtime as Kind;
use freehold_model::Sensitive;
use freehold_publish::Board;
use freehold_router::{Caddy, Endpoint, Https, Settings};
use freehold_runtime::process::ProcessRuntime;
use freehold_runtime::systemd::SystemdRuntime;
use freehold_store::Nix;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::places;
use crate::session::Session;
use crate::ui::Ui;

/// Follow the manifest on this host: pull, roll out, route, remove
///
/// What it remembers is in the directory `--state` [default: /var/lib/freehold].
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Once(once::Args),
    Run(run::Args),
    Status(status::Args),
    Poke(poke::Args),
    Install(Box<install::Args>),
    Uninstall(uninstall::Args),
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    match args.command {
        Command::Once(args) => once::run(args, session),
        Command::Run(args) => run::run(args, session),
        Command::Status(args) => status::run(args, session),
        Command::Poke(args) => poke::run(args, session),
        Command::Install(args) => install::run(*args, session),
        Command::Uninstall(args) => uninstall::run(args, session),
    }
}

/// What an agent is told.
#[derive(Debug, clap::Args)]
struct Told {
    /// The bucket or directory with the manifest and the closures
    #[arg(long, value_name = "URL")]
    from: String,
    /// The name of this host in the manifest [default: the host's own]
    #[arg(long, value_name = "NAME", value_parser = named_host)]
    host: Option<String>,
    /// A key whose manifests and closures are taken: NAME:BASE64, or a file that holds it
    #[arg(long, value_name = "KEY")]
    trusted_key: Vec<String>,
    /// What runs services that name no runtime
    /// [default: systemd where it runs, else process]
    #[arg(long, value_name = "RUNTIME", value_parser = super::publish::runtime)]
    runtime: Option<Kind>,
    /// Create users and groups that services name and this host has not
    #[arg(long)]
    create_users: bool,
    /// Set routes in this Caddy, by its admin API: `http://127.0.0.1:2019`, `unix//run/caddy/admin.sock`
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_routes")]
    caddy: Option<Endpoint>,
    /// Where Caddy listens for requests, in its own spelling [default: its port for HTTPS]
    #[arg(long, value_name = "ADDRESS", requires = "caddy")]
    caddy_listen: Vec<String>,
    /// Where certificates come from
    #[arg(long, value_name = "HOW", requires = "caddy", default_value = "automatic")]
    caddy_https: How,
    /// Follow a manifest that nobody has signed, too
    #[arg(long)]
    allow_unsigned: bool,
    /// Follow a manifest that is older than one seen before, too
    #[arg(long)]
    allow_rollback: bool,
    /// Try releases again that were taken back
    #[arg(long)]
    retry: bool,
    /// Set no routes
    #[arg(long)]
    no_routes: bool,
    /// Report how this host stands to `status/HOST.json` in this bucket or directory, or behind this HTTP server (PUT)
    #[arg(long, value_name = "URL")]
    report: Option<String>,
    /// A file with the token that the server of `--report` asks for
    #[arg(long, value_name = "FILE", requires = "report")]
    report_token_file: Option<PathBuf>,
}

/// The agent's directory: what `--state` says of every command, else where services of a system keep theirs.
pub(crate) fn directory(session: &Session) -> Result<PathBuf, Failure> {
    let given = session.global.state.as_deref().unwrap_or("/var/lib/freehold");
    std::path::absolute(given).map_err(|e| Failure::host("cannot tell the agent's directory", e))
}

impl Told {
    /// The agent with this state; `stop` ends what is under way.
    fn agent(
        &self,
        poll: Duration,
        notify: Option<Arc<Notify>>,
        stop: &Arc<AtomicBool>,
        session: &Session,
    ) -> Result<Agent, Failure> {
        let trusted = self.keys()?;
        let state = directory(session)?;
        let options = AgentOptions {
            board: Board::new(Depot::open(&self.from)?),
            host: self.host.clone().map_or_else(host_name, Ok)?,
            trust: Trust { unsigned: self.allow_unsigned, rollback: self.allow_rollback },
            trusted,
            runtimes: self.runtimes(&state)?,
            state,
            router: self.router()?,
            nix: Nix::find()?,
            poll,
            retry: self.retry,
            report: self.report()?,
            notify,
        };
        let voice = Box::new(Talk(Arc::clone(&session.ui)));
        Ok(Agent::open(options, voice, Arc::clone(stop))?)
    }
}

/// Tells on standard error what goes on.
struct Talk(Arc<Ui>);

impl Voice for Talk {
    fn say(&self, workload: Option<&str>, text: &str) {
        self.0.talk(&told::line(workload, text));
    }
}

/// Where certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// From a public authority, as Caddy does it by itself.
    Automatic,
    /// From Caddy's internal authority.
    Internal,
    /// None.
    Off,
}

impl Told {
    /// The runtimes that this host has, the default first.
    fn runtimes(&self, state: &Path) -> Result<Runtimes, Failure> {
        let program = places::program()?;
        let supervisor = vec![program.to_string_lossy().into_owned(), "internal".to_owned(), "supervise".to_owned()];
        let mut runtimes: Runtimes = vec![(Kind::Process, Arc::new(ProcessRuntime::new(state, supervisor)))];
        let has_systemd = Path::new("/run/systemd/system").is_dir();
        if has_systemd {
            let systemd = SystemdRuntime::new(state).creating_users(self.create_users);
            runtimes.push((Kind::Systemd, Arc::new(systemd)));
        }
        let default = self.runtime.unwrap_or(if has_systemd { Kind::Systemd } else { Kind::Process });
        let Some(at) = runtimes.iter().position(|(kind, _)| *kind == default) else {
            let names: Vec<&str> = runtimes.iter().map(|(_, runtime)| runtime.name()).collect();
            let message = format!("this host has no runtime `{}`", word_of(default));
            return Err(Failure::usage(message).hint(format!("there is {}", names.join(", "))));
        };
        runtimes.swap(0, at);
        Ok(runtimes)
    }

    fn report(&self) -> Result<Option<ReportPlace>, Failure> {
        let Some(url) = &self.report else { return Ok(None) };
        let token = self.report_token_file.as_ref().map(fs_err::read_to_string).transpose()?;
        let token = token.map(|token| Sensitive::new(token.trim().to_owned()));
        Ok(Some(ReportPlace::open(url, token)?))
    }

    fn router(&self) -> Result<Option<Arc<dyn Router>>, Failure> {
        let Some(endpoint) = self.caddy.clone().filter(|_| !self.no_routes) else { return Ok(None) };
        let https = match self.caddy_https {
            How::Automatic => Https::Automatic,
            How::Internal => Https::Internal,
            How::Off => Https::Off,
        };
        let settings = Settings { listen: self.caddy_listen.clone(), https, ..Settings::default() };
        Ok(Some(Arc::new(CaddyRouter::new(Caddy::with_settings(endpoint, settings)?))))
    }
}

/// A runtime's name in manifests.
fn word_of(runtime: Kind) -> String {
    let word = serde_json::to_value(runtime).ok().and_then(|json| json.as_str().map(str::to_owned));
    word.unwrap_or_default()
}

/// A name that manifests can say: another would name nobody, and everything that runs here would be stopped.
fn named_host(text: &str) -> Result<String, String> {
    match freehold_manifest::is_host_name(text) {
        true => Ok(text.to_owned()),
        false => Err("a host is named by letters, digits, `-`, `_` and `.`".to_owned()),
    }
}

fn host_name() -> Result<String, Failure> {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().to_owned())
}
