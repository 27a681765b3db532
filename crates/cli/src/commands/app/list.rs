//! `freehold app ls`, `ps`: which apps there are, and what of one runs.

use std::collections::BTreeMap;

use freehold_app::{App, AppError};
use freehold_recipe::ReadLabels;
use serde_json::json;

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::table::table;

/// List apps with the version that is pinned, what runs, and how the last run ended
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {}

/// Show the services of an app and their tasks
#[derive(Debug, clap::Args)]
pub(crate) struct PsArgs {
    /// The app
    domain: String,
}

/// The labels of every stack of a server.
type Stacks = BTreeMap<String, BTreeMap<String, String>>;

pub(super) fn ls(_: LsArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut stacks: BTreeMap<String, Option<Stacks>> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for path in site.places.abra.apps()? {
        if site.server.as_ref().is_some_and(|server| *server != path.server) {
            continue;
        }
        let app = match App::open(&site.places, &path.domain, Some(&path.server), None) {
            Ok(app) => app,
            Err(error) => {
                site.session.ui.warn(&format!("{}: {}", path.domain, error.chain()));
                continue;
            }
        };
        // A server that is away keeps nobody from the list.
        let there = stacks.entry(path.server.clone()).or_insert_with(|| {
            let connect = || Ok::<_, AppError>(site.places.docker(&path.server)?.stacks()?);
            connect().map_err(|error| site.session.ui.warn(&error.chain())).ok()
        });
        let record = site.places.records().read(&app.workload())?;
        let labels = there.as_ref().and_then(|stacks| stacks.get(&app.stack));
        let pairs = labels.iter().flat_map(|labels| labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let read = ReadLabels::of(&app.stack, pairs);
        let status = match (&there, labels) {
            (None, _) => "unknown",
            (Some(_), None) => "-",
            (Some(_), Some(_)) => "deployed",
        };
        let pinned = app.kind.pin.as_ref().map(ToString::to_string).unwrap_or_default();
        let running = read.chaos_version.filter(|_| read.chaos).or(read.version);
        let outcome = if record.is_new() { "-".to_owned() } else { record.outcome.to_string() };
        all.push(json!({
            "domain": path.domain, "server": path.server, "recipe": app.kind.recipe, "version": pinned, "status": status,
            "running": running, "stack": app.stack, "outcome": outcome, "reason": record.reason,
        }));
        let running = running.unwrap_or_default();
        rows.push([path.domain, path.server, app.kind.recipe, pinned, status.to_owned(), running, outcome].to_vec());
    }
    if site.session.ui.json {
        site.session.ui.json(&json!({ "format": "freehold.app-list/1", "apps": all }));
    } else if !rows.is_empty() {
        let head = ["domain", "server", "recipe", "version", "status", "runs", "last"];
        site.session.ui.data(&table(&head, &rows));
    }
    Ok(Exit::Ok)
}

pub(super) fn ps(args: PsArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.open(&args.domain)?;
    let services = app.docker(&site.places)?.services(&app.stack)?;
    if site.session.ui.json {
        let all: Vec<_> = services
            .iter()
            .map(|service| {
                let tasks: Vec<_> = service
                    .tasks
                    .iter()
                    .map(|task| {
                        json!({
                            "id": task.id, "state": task.state, "desired": task.desired, "current": task.is_current,
                            "error": task.error, "node": task.node, "container": task.container, "created": task.created,
                        })
                    })
                    .collect();
                json!({
                    "service": service.name, "image": service.image, "version": service.version,
                    "replicas": service.replicas, "tasks": tasks, "labels": service.labels,
                })
            })
            .collect();
        site.session.ui.json(&json!({ "format": "freehold.app-ps/1", "domain": args.domain, "services": all }));
        return Ok(Exit::Ok);
    }
    let mut rows = Vec::new();
    for service in &services {
        let running = service.tasks.iter().filter(|task| task.state == "running" && task.desired == "running").count();
        let wanted = service.replicas.map_or("all".to_owned(), |count| count.to_string());
        let error = service.tasks.iter().map(|task| task.error.clone()).find(|error| !error.is_empty());
        let states = service.tasks.first().map(|task| task.state.clone()).unwrap_or_default();
        let row = [&service.name, &service.image, &format!("{running}/{wanted}"), &states, &error.unwrap_or_default()];
        rows.push(row.map(String::clone).to_vec());
    }
    if rows.is_empty() {
        site.session.ui.talk(&format!("nothing of `{}` runs", args.domain));
    } else {
        site.session.ui.data(&table(&["service", "image", "tasks", "newest", "last error"], &rows));
    }
    Ok(Exit::Ok)
}
