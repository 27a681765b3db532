//! `freehold app volume`, `backup`, `restore`: an app's data. Copies are made of a stack that stands still.

use clap::Subcommand;
use freehold_swarm::{Copy, Docker};
use serde_json::json;

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::table::table;

/// List and remove an app's volumes
#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArgs {
    #[command(subcommand)]
    command: VolumeCommand,
}

#[derive(Debug, Subcommand)]
enum VolumeCommand {
    /// List the volumes of an app on this node
    #[command(alias = "list")]
    Ls {
        /// The app
        domain: String,
    },
    /// Remove volumes with all that is in them; the app must not run
    #[command(alias = "remove")]
    Rm {
        /// The app
        domain: String,
        /// Only these
        names: Vec<String>,
    },
}

/// Copy an app's volumes: it is stopped, copied, compared, and started again
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The app
    domain: String,
    /// List the copies there are instead
    #[arg(long)]
    list: bool,
    /// The name of the copy, which must be a new one [default: manual-TIME]
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    name: Option<String>,
}

/// Put an app's volumes back as a copy has them; the app must not run, or be stopped for it
///
/// With `--restart` the commands of the recipe's labels `backupbot.restore.pre-hook` and `post-hook` are run before and after.
/// While data are not whole because it was broken off, nothing else is done with the app; run again, it is finished.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The app
    domain: String,
    /// The copy; `freehold app backup DOMAIN --list` tells which there are
    name: String,
    /// Stop what runs for it, and start it again
    #[arg(long)]
    restart: bool,
}

pub(super) fn volume(args: VolumeArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    match args.command {
        VolumeCommand::Ls { domain } => {
            let app = site.open(&domain)?;
            let volumes = app.volumes(&app.docker(&site.places)?)?;
            if site.session.ui.json {
                site.session
                    .ui
                    .json(&json!({ "format": "freehold.app-volumes/1", "domain": domain, "volumes": volumes }));
            } else if !volumes.is_empty() {
                let rows: Vec<_> = volumes.into_iter().map(|volume| vec![volume.name, volume.driver]).collect();
                site.session.ui.data(&table(&["volume", "driver"], &rows));
            }
        }
        VolumeCommand::Rm { domain, names } => {
            let mut app = site.open(&domain)?;
            site.session.need_consent("`freehold app volume rm`")?;
            let _lock = app.lock(&site.places)?;
            let docker = app.docker(&site.places)?;
            still(&docker, &app.stack, &domain)?;
            let is_meant = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
            let all = app.volumes(&docker)?;
            if let Some(unknown) = names.iter().find(|name| !all.iter().any(|volume| volume.name == **name)) {
                return Err(Failure::user(format!("`{domain}` has no volume `{unknown}`")));
            }
            let meant: Vec<_> = all.iter().filter(|volume| is_meant(&volume.name)).collect();
            if !site.session.consents(&format!("Remove {} volumes of `{domain}` with ALL OF THEIR DATA?", meant.len()))
            {
                return Ok(Exit::Interrupted);
            }
            let removed: Vec<&str> = meant.iter().map(|volume| volume.name.as_str()).collect();
            for name in &removed {
                docker.remove_volume(name)?;
                site.session.ui.talk(&format!("removed the volume `{name}`"));
            }
            if removed.is_empty() {
                site.session.ui.talk(&format!("`{domain}` has no volumes on this node"));
            }
            let left = app.volumes(&docker)?;
            if let Some(left) = left.iter().find(|volume| removed.contains(&volume.name.as_str())) {
                return Err(Failure::user(format!("the volume `{}` is still there", left.name)));
            }
            // Half a copy that was being put back is gone with them.
            app.forget_restoring_of_none(&left)?;
            if site.session.ui.json {
                site.session
                    .ui
                    .json(&json!({ "format": "freehold.app-volumes-removed/1", "domain": domain, "removed": removed }));
            }
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn backup(args: BackupArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = site.open(&args.domain)?;
    let snapshots = app.snapshots();
    if args.list {
        let names = snapshots.names()?;
        if site.session.ui.json {
            site.session
                .ui
                .json(&json!({ "format": "freehold.app-snapshots/1", "domain": args.domain, "snapshots": names }));
        } else {
            site.session.ui.data(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
        }
        return Ok(Exit::Ok);
    }
    let name = args.name.unwrap_or_else(|| format!("manual-{}", freehold_app::now_millis()));
    let copies = freehold_app::backup(&site.places, &mut app, &name, &|line| {
        site.session.ui.talk(&format!("{}: {line}", args.domain));
    })?;
    tell(&args.domain, &name, &copies, site);
    Ok(Exit::Ok)
}

pub(super) fn restore(args: RestoreArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = site.open(&args.domain)?;
    // What is missing is told before anything else.
    app.snapshots().contents(&args.name)?;
    if !args.restart {
        still(&app.docker(&site.places)?, &app.stack, &args.domain)?;
    }
    let talk = |line: &str| site.session.ui.talk(&format!("{}: {line}", args.domain));
    let copies = freehold_app::restore(&site.places, &mut app, &args.name, &talk)?;
    tell(&args.domain, &args.name, &copies, site);
    Ok(Exit::Ok)
}

fn still(docker: &Docker, stack: &str, domain: &str) -> Result<(), Failure> {
    if docker.services(stack)?.is_empty() {
        return Ok(());
    }
    Err(freehold_app::AppError::Runs { domain: domain.to_owned() }.into())
}

fn tell(domain: &str, name: &str, copies: &[Copy], site: &Site<'_>) {
    if site.session.ui.json {
        let json =
            json!({ "format": "freehold.app-snapshot/1", "domain": domain, "snapshot": name, "volumes": copies });
        site.session.ui.json(&json);
        return;
    }
    for copy in copies {
        let listing = &copy.listing;
        let line = format!("{name}: `{}`, {} entries, {} bytes", copy.volume.name, listing.entries, listing.bytes);
        site.session.ui.talk(&line);
    }
}
