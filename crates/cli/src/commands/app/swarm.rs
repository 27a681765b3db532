//! `freehold app swarm init`, `prune`: what apps stand on, and what nothing would go back to.

use clap::Subcommand;
use serde_json::json;

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;

/// Make the Swarm that apps run on
#[derive(Debug, clap::Args)]
pub(crate) struct SwarmArgs {
    #[command(subcommand)]
    command: SwarmCommand,
}

#[derive(Debug, Subcommand)]
enum SwarmCommand {
    /// Make a Swarm where there is none, and the network that apps share with their proxy
    Init {
        /// The address that other nodes reach this one by
        #[arg(long, value_name = "ADDRESS")]
        advertise_addr: Option<String>,
        /// The name of the network
        #[arg(long, value_name = "NAME", default_value = "proxy")]
        network: String,
    },
}

/// Remove images of apps that nothing runs and none would go back to
#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {}

pub(super) fn run(args: SwarmArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let SwarmCommand::Init { advertise_addr, network } = args.command;
    let docker = site.places.docker(site.server.as_deref().unwrap_or("default"))?;
    let made = docker.init(advertise_addr.as_deref(), &network)?;
    if site.session.ui.json {
        site.session
            .ui
            .json(&json!({ "format": "freehold.app-swarm/1", "swarm": made.swarm, "network": made.network }));
        return Ok(Exit::Ok);
    }
    let said = |made: bool| if made { "made" } else { "there already" };
    let line = format!("the Swarm is {}, the network `{network}` is {}", said(made.swarm), said(made.network));
    site.session.ui.talk(&line);
    Ok(Exit::Ok)
}

pub(super) fn prune(_: PruneArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let removed = freehold_app::prune_images(&site.places, site.server.as_deref().unwrap_or("default"))?;
    for image in &removed {
        site.session.ui.talk(&format!("removed the image `{image}`"));
    }
    if site.session.ui.json {
        site.session.ui.json(&json!({ "format": "freehold.app-prune/1", "removed": removed }));
    }
    Ok(Exit::Ok)
}
