//! `freehold members`.

use std::collections::{BTreeMap, BTreeSet};

use clap_complete::ArgValueCompleter;
use freehold_engine::Evaluated;
use freehold_model::{Declaration, MemberPath, ProviderRef};
use freehold_state::{State, Store};
use serde_json::{Value as Json, json};

use super::held;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::plan::type_of;
use crate::render::style::{self, paint};
use crate::render::text::escape_controls;
use crate::render::tree::tree;
use crate::session::{Session, Tuning};

/// Show the tree of members: what is declared, and what is recorded
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members and what is below them
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    members: Vec<MemberPath>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let (mut engine, stage) = session.engine(Tuning::default())?;
    let found = engine.evaluate(&args.members)?;
    stage.pause();
    let wanted = |m: &MemberPath| args.members.is_empty() || args.members.iter().any(|w| m.is_within(w));
    let all: BTreeMap<MemberPath, Member> =
        survey(&found, engine.stores().map(Store::view)).into_iter().filter(|(m, _)| wanted(m)).collect();
    if args.members.is_empty() {
        complete::remember_members(&engine.options().entry.dir, &all.keys().cloned().collect());
    }
    if let Some(missing) = args.members.iter().find(|m| !all.keys().any(|k| k.is_within(m))) {
        let known: Vec<MemberPath> = survey(&found, engine.stores().map(Store::view)).into_keys().collect();
        return Err(held::unknown_member("member", missing, known.iter(), "freehold members"));
    }
    if session.ui.json {
        let members: Vec<Json> = all.iter().map(|(path, member)| member.to_json(path)).collect();
        session.ui.json(&json!({ "format": "freehold.members/1", "members": members }));
    } else {
        let paths: BTreeSet<MemberPath> = all.keys().cloned().collect();
        session.ui.data(&tree(&paths, &|path| all.get(path).map(Member::note).unwrap_or_default()));
    }
    for (member, failure) in &found.failed {
        let mut told = Failure::new(failure.kind, format!("`{member}`: {}", failure.message));
        told.hints = failure.hint.iter().cloned().collect();
        session.ui.always(&told.render());
    }
    Ok(if found.failed.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// What is known of one member.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) composite: bool,
    /// Provider and type.
    pub(crate) kind: Option<(String, String)>,
    pub(crate) declared: bool,
    pub(crate) recorded: bool,
    pub(crate) needs: Vec<String>,
    pub(crate) failed: bool,
}

/// Everything that is declared or recorded.
pub(crate) fn survey<'a>(found: &Evaluated, states: impl Iterator<Item = &'a State>) -> BTreeMap<MemberPath, Member> {
    let mut all: BTreeMap<MemberPath, Member> = BTreeMap::new();
    for (path, record) in states.flat_map(State::records) {
        let kind = (record.provider.name.clone(), record.type_name.clone());
        all.insert(path.clone(), Member { kind: Some(kind), recorded: true, ..Member::default() });
    }
    for path in found.structures.keys().filter(|p| !p.is_root()) {
        let member = all.entry(path.clone()).or_default();
        (member.composite, member.declared) = (true, true);
    }
    for (path, (declaration, _)) in &found.declarations {
        let member = all.entry(path.clone()).or_default();
        member.kind = Some(kind_of(declaration));
        member.declared = true;
    }
    for (path, needs) in found.waiting.iter().filter(|(p, _)| !p.is_root()) {
        let member = all.entry(path.clone()).or_default();
        member.needs = needs.iter().map(ToString::to_string).collect();
        member.declared = true;
    }
    for path in found.failed.keys().filter(|p| !p.is_root()) {
        let member = all.entry(path.clone()).or_default();
        (member.failed, member.declared) = (true, true);
    }
    all
}

/// Provider and type of a declaration, as text.
pub(crate) fn kind_of(declaration: &Declaration) -> (String, String) {
    let provider = match &declaration.provider {
        ProviderRef::Builtin { name, .. } => name.clone(),
        ProviderRef::Stdio { executable, .. } => executable.rsplit('/').next().unwrap_or(executable).to_owned(),
    };
    (provider, declaration.type_name.clone())
}

impl Member {
    fn note(&self) -> String {
        let kind = self.kind.as_ref().map(|(provider, t)| type_of(provider, t)).unwrap_or_default();
        let state = match () {
            () if self.failed => paint(style::REMOVE, "does not evaluate"),
            () if !self.declared => paint(style::REMOVE, "recorded, no longer declared"),
            () if self.composite => String::new(),
            () if !self.needs.is_empty() && !self.recorded => {
                paint(style::FAINT, format!("waits for {}", escape_controls(&self.needs.join(", "))))
            }
            () if !self.recorded => paint(style::ADD, "not made yet"),
            () => String::new(),
        };
        [kind, state].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
    }

    fn to_json(&self, path: &MemberPath) -> Json {
        json!({
            "member": path,
            "kind": if self.composite { "composite" } else { "resource" },
            "provider": self.kind.as_ref().map(|(p, _)| p),
            "type": self.kind.as_ref().map(|(_, t)| t),
            "declared": self.declared,
            "recorded": self.recorded,
            "waitsFor": self.needs,
            "failed": self.failed,
        })
    }
}
