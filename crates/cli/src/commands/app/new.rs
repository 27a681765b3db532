//! `freehold app new`, `rm`: an app's file under `$ABRA_DIR` comes and goes.

use std::collections::BTreeMap;

use freehold_app::{App, Composed, NewApp};
use freehold_recipe::AppPath;

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;

/// Make an app out of a recipe: `$ABRA_DIR/servers/SERVER/DOMAIN.env`
#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The recipe: `ghost`, or its place on another forge
    recipe: String,
    /// Its domain, which is its name
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The version [default: the newest]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// A value of its .env; no secrets
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::super::publish::variable)]
    env: Vec<(String, String)>,
    /// Make up its secrets at once
    #[arg(long)]
    secrets: bool,
}

/// Remove an app for good: its file, its secrets, its volumes with all data, its copies
#[derive(Debug, clap::Args)]
pub(crate) struct RmArgs {
    /// The app
    domain: String,
    /// Leave volumes and copies of data
    #[arg(long)]
    keep_data: bool,
}

pub(super) fn new(args: NewArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let path = AppPath::new(site.server.as_deref().unwrap_or("default"), &args.domain)?;
    let env: BTreeMap<String, String> = args.env.into_iter().collect();
    site.places.create(&NewApp { path: path.clone(), recipe: args.recipe, version: args.version, env })?;
    let app = site.open(&args.domain)?;
    if args.secrets {
        let made = app.generate_secrets(&composed(&app, site)?, &app.docker(&site.places)?, None)?;
        for secret in made {
            site.session.ui.talk(&format!("made the secret `{}`", secret.name));
        }
    }
    let file = site.places.abra.file(&path).display().to_string();
    if site.session.ui.json {
        let pin = app.kind.pin.as_ref().map(ToString::to_string);
        site.session.ui.json(&serde_json::json!({
            "format": "freehold.app-new/1", "domain": args.domain, "recipe": app.kind.recipe, "version": pin, "file": file,
        }));
    } else {
        site.session.ui.data(&format!("{file}\n"));
    }
    Ok(Exit::Ok)
}

/// The app composed at the version that it is pinned to; the newest when it is to none.
pub(super) fn composed(app: &App, site: &Site<'_>) -> Result<Composed, Failure> {
    Ok(freehold_app::compose_pinned(&site.places, app, None)?)
}

pub(super) fn rm(args: RmArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = site.open(&args.domain)?;
    let what = if args.keep_data { "its file and its secrets" } else { "its file, its secrets and ALL OF ITS DATA" };
    site.session.need_consent("`freehold app rm`")?;
    if !app.docker(&site.places)?.services(&app.stack)?.is_empty() {
        return Err(freehold_app::AppError::Runs { domain: args.domain }.into());
    }
    if !site.session.consents(&format!("Remove {what} of `{}`?", args.domain)) {
        return Ok(Exit::Interrupted);
    }
    let removed = freehold_app::remove(&site.places, &mut app, !args.keep_data)?;
    if site.session.ui.json {
        site.session.ui.json(&serde_json::json!({
            "format": "freehold.app-removed/1", "domain": args.domain, "secrets": removed.secrets, "volumes": removed.volumes,
        }));
    }
    site.session.ui.talk(&format!("`{}` is gone", args.domain));
    Ok(Exit::Ok)
}
