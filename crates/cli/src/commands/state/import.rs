//! `freehold state import`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use freehold_engine::{Engine, Evaluated};
use freehold_model::{MemberPath, ProviderIdentity, ProviderRef, Record};
use freehold_state::{commands, import_nixops4};
use serde_json::json;

use super::{locked, owner};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::count;
use crate::session::{Session, Tuning};

/// Take in the records of a NixOps4 state file
///
/// Which provider each resource has is not in such a file: the deployment must declare them. The world is not touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, as NixOps4's `state_file` resource keeps it
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    nixops4_file: PathBuf,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let found = import_nixops4(&fs_err::read(&args.nixops4_file)?)?;
    let (mut engine, stage) = session.engine(Tuning::default())?;
    let evaluated = engine.evaluate(&found.keys().cloned().collect::<Vec<_>>())?;
    stage.pause();
    let mut records: BTreeMap<MemberPath, Record> = BTreeMap::new();
    let mut strange = Vec::new();
    for (member, resource) in found {
        match provider_of(&mut engine, &evaluated, &member)? {
            Some(provider) => drop(records.insert(member, resource.into_record(provider))),
            None => strange.push(format!("`{member}`")),
        }
    }
    if !strange.is_empty() {
        let what = if strange.len() == 1 { "is" } else { "are" };
        return Err(Failure::user(format!("{} {what} in the file and not in the deployment", strange.join(", ")))
            .hint("declare them first (they can be removed, and so deleted, afterwards)"));
    }
    let owner = owner(&engine);
    let imported = locked(engine.store_mut(), &owner, |store| Ok(commands::import_records(store, records)?))?;
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.state-import/1", "imported": imported }));
    } else {
        session.ui.data(&format!("imported {}\n", count(imported, "record", "records")));
        session.ui.talk("`freehold plan` shows how they differ from what is declared");
    }
    Ok(Exit::Ok)
}

fn provider_of(
    engine: &mut Engine,
    found: &Evaluated,
    member: &MemberPath,
) -> Result<Option<ProviderIdentity>, Failure> {
    let Some((declaration, _)) = found.declarations.get(member) else { return Ok(None) };
    let provider: ProviderRef = declaration.provider.clone();
    let schema = engine.schema_of(&provider)?;
    Ok(Some(ProviderIdentity { provider, name: schema.name.clone(), version: schema.version.clone() }))
}
