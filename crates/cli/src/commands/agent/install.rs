//! `freehold agent install`: an agent as a service of this host, where no NixOS module does that.
//!
//! The files are made in `freehold_agent` (`install.rs`); here they are shown, or written and started. Done again it changes only what
//! differs, and it replaces nothing that it has not written.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use freehold_agent::{Installation, Schedule, UNIT, is_ours};
use freehold_manifest::Runtime as Kind;
use freehold_runtime::write_durably;
use freehold_store::Nix;

use super::run::loopback;
use super::{Told, directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::places;
use crate::session::Session;

/// Where systemd reads units of the administrator.
pub(super) const UNITS: &str = "/etc/systemd/system";
/// The file that tells Nix whom to trust, and the one that includes it.
pub(super) const NIX_OURS: &str = "/etc/nix/freehold.conf";
pub(super) const NIX_CONF: &str = "/etc/nix/nix.conf";
pub(super) const INCLUDE: &str = "!include freehold.conf";

/// Make the agent a service of this host: a unit of systemd that starts now and at boot
///
/// Writes `/etc/systemd/system/freehold-agent.service` (with `--timer` a timer beside it), lets systemd read it, and starts it. On NixOS
/// the module of the flake does this. Done again it changes what differs; a unit that it has not written is left alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    told: Told,
    /// Time between two looks: `30s`, `5m`, `1h`
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "timer")]
    poll: String,
    /// Do a round at these times (as OnCalendar reads them) instead of running all the time: `*:0/5`
    #[arg(long, value_name = "CALENDAR")]
    timer: Option<String>,
    /// Answer `/metrics` and `/status` here, too: `127.0.0.1:9464`
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, conflicts_with = "timer")]
    metrics: Option<std::net::SocketAddr>,
    /// A file with AWS_ACCESS_KEY_ID and its like, for reading the bucket
    #[arg(long, value_name = "FILE")]
    environment_file: Option<PathBuf>,
    /// The program that the unit starts [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Let Nix trust the keys, too: in `/etc/nix/freehold.conf`, which `nix.conf` is made to include
    #[arg(long)]
    nix_trust: bool,
    /// Show what would be written, and do nothing
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    // What cannot be read now would fail at every start.
    crate::commands::duration(&args.poll).map_err(|why| Failure::usage(format!("`--poll {}`: {why}", args.poll)))?;
    let installation = installation(&args, session)?;
    let mut files: Vec<(PathBuf, String)> =
        installation.files()?.into_iter().map(|(name, text)| (Path::new(UNITS).join(name), text)).collect();
    if args.nix_trust {
        files.extend(nix_files(&args)?);
    }
    if args.print {
        for (path, text) in &files {
            session.ui.data(&format!("# {}\n{text}\n", path.display()));
        }
        return Ok(Exit::Ok);
    }
    need_systemd()?;
    refuse_foreign(Path::new(UNITS))?;
    if installation.program.starts_with("/nix/store") {
        session.ui.warn(&format!(
            "`{}` lies in the Nix store: keep it there by a profile, and name that with `--program`",
            installation.program.display()
        ));
    }
    let mut changed = false;
    for (path, text) in &files {
        if fs_err::read_to_string(path).is_ok_and(|before| before == *text) {
            continue;
        }
        write_durably(path, text.as_bytes()).map_err(with_root)?;
        session.ui.talk(&format!("wrote {}", path.display()));
        changed = true;
    }
    start(&installation, changed, session)?;
    if args.nix_trust && changed {
        // Where there is no daemon, nobody has to read the file again.
        let _ = systemctl(&["try-restart", "nix-daemon.service"]);
    }
    Ok(Exit::Ok)
}

fn installation(args: &Args, session: &Session) -> Result<Installation, Failure> {
    let state = directory(session)?;
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|e| Failure::host("cannot tell a path", e));
    let told = &args.told;
    // Where it cannot be found here it may be there when the agent starts.
    let nix = Nix::find().map_or_else(|_| PathBuf::from(USUAL_NIX), |nix| nix.bin().to_owned());
    Ok(Installation {
        program: args.program.as_ref().map_or_else(places::program, absolute)?,
        arguments: told.words(&state)?,
        running_arguments: args.metrics.iter().flat_map(|at| ["--metrics".to_owned(), at.to_string()]).collect(),
        schedule: match &args.timer {
            Some(calendar) => Schedule::At { calendar: calendar.clone() },
            None => Schedule::Always { poll: args.poll.clone() },
        },
        state,
        environment_file: args.environment_file.as_ref().map(absolute).transpose()?,
        nix,
        runs_processes: told.runtime == Some(Kind::Process),
        has_caddy: told.caddy.is_some() && !told.no_routes,
    })
}

/// Where an installer of Nix for all users puts its programs.
const USUAL_NIX: &str = "/nix/var/nix/profiles/default/bin";

/// The files by which Nix trusts the keys. What stands in its own file stays; ours is included at its end, once.
fn nix_files(args: &Args) -> Result<Vec<(PathBuf, String)>, Failure> {
    let keys: Vec<String> = args.told.keys()?.keys().iter().map(ToString::to_string).collect();
    let ours =
        format!("# Written by `freehold agent install --nix-trust`\nextra-trusted-public-keys = {}\n", keys.join(" "));
    let mut theirs = match fs_err::read_to_string(NIX_CONF) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        other => other?,
    };
    if !theirs.lines().any(|line| line.trim() == INCLUDE) {
        if !theirs.is_empty() && !theirs.ends_with('\n') {
            theirs.push('\n');
        }
        theirs += &format!("{INCLUDE}\n");
    }
    Ok(vec![(NIX_OURS.into(), ours), (NIX_CONF.into(), theirs)])
}

/// Refuses when a unit lies there that no installation has written.
pub(super) fn refuse_foreign(units: &Path) -> Result<(), Failure> {
    for name in [format!("{UNIT}.service"), format!("{UNIT}.timer")] {
        let path = units.join(name);
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other?,
        };
        if !is_ours(&text) {
            return Err(Failure::user(format!("`{}` was not written by `freehold agent install`", path.display()))
                .hint("look whose it is; take it away first if it is to go"));
        }
    }
    Ok(())
}

pub(super) fn need_systemd() -> Result<(), Failure> {
    if Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    Err(Failure::user("systemd does not run here")
        .hint("`--print` shows what would be written; `freehold agent run` works without systemd"))
}

/// Lets systemd read the unit, and starts it; one that runs and has changed is started again.
fn start(installation: &Installation, changed: bool, session: &Session) -> Result<(), Failure> {
    let unit = installation.enabled_unit();
    let is_timer = matches!(installation.schedule, Schedule::At { .. });
    if !is_timer && Path::new(UNITS).join(format!("{UNIT}.timer")).exists() {
        systemctl(&["disable", "--now", &format!("{UNIT}.timer")])?;
        fs_err::remove_file(Path::new(UNITS).join(format!("{UNIT}.timer")))?;
    }
    systemctl(&["daemon-reload"])?;
    if is_timer {
        // One that ran all the time before does no more.
        systemctl(&["stop", &format!("{UNIT}.service")])?;
    }
    systemctl(&["enable", &unit])?;
    // It may take as long as its first round, which is not waited for.
    systemctl(&[if changed { "restart" } else { "start" }, "--no-block", &unit])?;
    session.ui.talk(&format!("{unit} is started, and starts at boot; `systemctl status {UNIT}` tells how it goes"));
    Ok(())
}

/// Runs `systemctl`; what it says is said on.
pub(super) fn systemctl(words: &[&str]) -> Result<(), Failure> {
    let output = Command::new("systemctl")
        .arg("--quiet")
        .args(words)
        .output()
        .map_err(|error| Failure::host("cannot run `systemctl`", error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::user(format!("`systemctl {}` failed: {said}", words.join(" "))).hint("it needs root"))
}

fn with_root(error: freehold_runtime::RuntimeError) -> Failure {
    Failure::from(error).hint("this needs root; `--print` shows what would be written")
}
