//! `freehold publish SERVICE…` of services that a deployment declares: `members.web = { type = providers.workload.service; … }`.
//!
//! An apply that is limited to them and what they need. The deployment is the whole truth: nothing is said on the command line.

use std::collections::BTreeSet;

use freehold_cache::Depot;
use freehold_model::{MemberPath, Value};
use freehold_plan::{Mode, PlanOptions};
use freehold_publish::Board;

use super::await_hosts;

use crate::commands::apply::{Consent, Following, Order, follow};
use crate::commands::held;
use crate::commands::publish_wait::Waiting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

pub(super) fn run(services: &[String], waiting: &Waiting, session: &Session) -> Result<Exit, Failure> {
    let targets = services.iter().map(|text| text.parse()).collect::<Result<BTreeSet<MemberPath>, _>>();
    let targets = targets.map_err(|error| Failure::usage(error.to_string()))?;
    session.entry().map_err(|failure| {
        failure
            .hint("without a deployment say where to publish, and what: `--to URL --store-path PATH --command COMMAND`")
    })?;
    let options = PlanOptions { mode: Mode::Normal, refresh: true, targets: targets.clone(), ..PlanOptions::default() };
    let consent = Consent::Ask("publish this?");
    let order = Order { command: "publish", options, saved: None, consent, only: Some(("workload", "service")) };
    let exit = follow(&order, Following::default(), session)?;
    if exit != Exit::Ok {
        return Ok(exit);
    }
    let mut worst = exit;
    for published in published(&targets, session)? {
        if !session.ui.json {
            session
                .ui
                .talk(&format!("{} is in generation {} of {}", published.member, published.generation, published.to));
            session.ui.data(&format!("{}\n", published.store_path));
        }
        if waiting.wait {
            let board = Board::new(Depot::open(&published.to)?);
            let manifest = board.current()?.map(|current| current.manifest);
            let manifest =
                manifest.ok_or_else(|| Failure::user(format!("there is no manifest in {}", published.to)))?;
            let exit = await_hosts(waiting, &published.name, &manifest, &board, session)?.exit();
            worst = if exit == Exit::Ok { worst } else { exit };
        }
    }
    Ok(worst)
}

/// What became of a member.
struct Published {
    member: String,
    name: String,
    to: String,
    generation: String,
    store_path: String,
}

fn published(targets: &BTreeSet<MemberPath>, session: &Session) -> Result<Vec<Published>, Failure> {
    let engine = held::reader(session)?;
    let mut all = Vec::new();
    for member in targets {
        let Some(record) = held::state_with(&engine, member).record(member) else { continue };
        let text = |name: &str| match record.outputs.get(name) {
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        let (member, name, to) = (member.to_string(), text("name"), text("to"));
        all.push(Published { member, name, to, generation: text("generation"), store_path: text("storePath") });
    }
    Ok(all)
}
