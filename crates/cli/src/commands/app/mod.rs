//! `freehold app`: Co-op Cloud apps on a Docker Swarm.
//!
//! One file per group of commands; what they share (where things are, the options of a rollout) stands here and in `said.rs`.
//! Nothing is decided here: `freehold-app` does that.

mod cmd;
mod data;
mod list;
mod logs;
mod look;
mod new;
mod rollout;
mod said;
mod secret;
mod swarm;

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use freehold_app::{App, Known, Places};
use freehold_recipe_source::{AbraDir, Settings};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Run Co-op Cloud apps on a Docker Swarm
///
/// Recipes stay as they are upstream, and apps where abra keeps them: `$ABRA_DIR/servers/SERVER/DOMAIN.env`. What abra deployed can
/// be looked after here, and the other way round.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    places: PlaceArgs,
    #[command(subcommand)]
    command: Command,
}

/// Where things are.
#[derive(Debug, Clone, clap::Args)]
struct PlaceArgs {
    /// The docker context that apps are on, where several have one of that name [default: the one that has it]
    #[arg(long, global = true, value_name = "SERVER")]
    server: Option<String>,
    /// Where recipes are fetched from, one repository each [default: FREEHOLD_RECIPE_BASE, what abra's clone says, the forge]
    #[arg(long, global = true, value_name = "URL")]
    recipe_base: Option<String>,
    /// Fetch nothing; use what was fetched before
    #[arg(long, global = true)]
    offline: bool,
    /// Where alerts lie [default: FREEHOLD_ALERTS, /var/lib/coop-cloud/alerts]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    alerts: Option<PathBuf>,
    /// Where records, releases and copies of data lie [default: FREEHOLD_APPS, /var/lib/freehold/apps]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    apps_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::NewArgs),
    #[command(alias = "list")]
    Ls(list::LsArgs),
    Deploy(Box<rollout::DeployArgs>),
    Reconcile(Box<rollout::ReconcileArgs>),
    Check(rollout::CheckArgs),
    Upgrade(Box<rollout::UpgradeArgs>),
    #[command(alias = "downgrade")]
    Rollback(Box<rollout::RollbackArgs>),
    Restart(rollout::RestartArgs),
    Undeploy(rollout::UndeployArgs),
    #[command(alias = "remove")]
    Rm(new::RmArgs),
    Ps(list::PsArgs),
    Logs(logs::LogsArgs),
    Cmd(cmd::CmdArgs),
    Diff(look::DiffArgs),
    Env(look::EnvArgs),
    Config(look::ConfigArgs),
    Lint(look::LintArgs),
    Versions(look::VersionsArgs),
    Secret(secret::SecretArgs),
    Volume(data::VolumeArgs),
    Backup(data::BackupArgs),
    Restore(data::RestoreArgs),
    Swarm(swarm::SwarmArgs),
    Prune(swarm::PruneArgs),
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let site = Site { places: places(&args.places, session)?, server: args.places.server, session };
    let done = carry_out(args.command, &site);
    site.places.untold().iter().for_each(|warning| session.ui.warn(warning));
    done
}

fn carry_out(command: Command, site: &Site<'_>) -> Result<Exit, Failure> {
    match command {
        Command::New(args) => new::new(args, site),
        Command::Ls(args) => list::ls(args, site),
        Command::Deploy(args) => rollout::deploy(*args, site),
        Command::Reconcile(args) => rollout::reconcile(*args, site),
        Command::Check(args) => rollout::check(args, site),
        Command::Upgrade(args) => rollout::upgrade(*args, site),
        Command::Rollback(args) => rollout::rollback(*args, site),
        Command::Restart(args) => rollout::restart(args, site),
        Command::Undeploy(args) => rollout::undeploy(args, site),
        Command::Rm(args) => new::rm(args, site),
        Command::Ps(args) => list::ps(args, site),
        Command::Logs(args) => logs::logs(args, site),
        Command::Cmd(args) => cmd::cmd(args, site),
        Command::Diff(args) => look::diff(args, site),
        Command::Env(args) => look::env(args, site),
        Command::Config(args) => look::config(args, site),
        Command::Lint(args) => look::lint(args, site),
        Command::Versions(args) => look::versions(args, site),
        Command::Secret(args) => secret::run(args, site),
        Command::Volume(args) => data::volume(args, site),
        Command::Backup(args) => data::backup(args, site),
        Command::Restore(args) => data::restore(args, site),
        Command::Swarm(args) => swarm::run(args, site),
        Command::Prune(args) => swarm::prune(args, site),
    }
}

/// What every command here has at hand.
struct Site<'a> {
    places: Places,
    server: Option<String>,
    session: &'a Session,
}

impl Site<'_> {
    /// An app that is there.
    fn open(&self, domain: &str) -> Result<App, Failure> {
        Ok(App::open(&self.places, domain, self.server.as_deref(), None)?)
    }
}

fn places(args: &PlaceArgs, session: &Session) -> Result<Places, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let abra = AbraDir::of_environment(variable("ABRA_DIR").as_deref(), variable("HOME").as_deref());
    let abra = abra.ok_or_else(|| Failure::user("there is neither ABRA_DIR nor HOME").hint("set ABRA_DIR"))?;
    let place = |given: &Option<PathBuf>, name: &str, usual: &str| {
        given.clone().or_else(|| variable(name).map(PathBuf::from)).unwrap_or_else(|| PathBuf::from(usual))
    };
    let state = place(&args.apps_dir, "FREEHOLD_APPS", "/var/lib/freehold/apps");
    let alerts = place(&args.alerts, "FREEHOLD_ALERTS", "/var/lib/coop-cloud/alerts");
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let (state, alerts) = (absolute(state), absolute(alerts));
    let stop = session.stopper()?;
    let base = variable("FREEHOLD_RECIPE_BASE").and_then(|base| base.into_string().ok());
    let mut source = Settings::new(state.join("recipes"), abra.path());
    source.base = args.recipe_base.clone().or(base);
    source.offline = args.offline;
    source.stop = std::sync::Arc::clone(&stop);
    Ok(Places { abra, state, alerts, source, stop, known: Known::default() })
}
