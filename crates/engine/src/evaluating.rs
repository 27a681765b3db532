//! The deployment as it is declared, with the outputs that are recorded: for `members`, `graph`, `run` and completion.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{Attrs, Declaration, MemberPath, OutputRef, Structure};

use crate::EngineError;
use crate::engine::Engine;
use crate::front::Front;
use crate::mail::Mail;

/// What was evaluated.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// Composites.
    pub structures: BTreeMap<MemberPath, Structure>,
    /// Resources, with the members whose outputs were seen to flow in.
    pub declarations: BTreeMap<MemberPath, (Declaration, BTreeSet<MemberPath>)>,
    /// Members that need outputs which are not recorded.
    pub waiting: BTreeMap<MemberPath, BTreeSet<OutputRef>>,
    /// Members that do not evaluate, and why.
    pub failed: BTreeMap<MemberPath, freehold_apply::Failure>,
}

impl Engine {
    /// Evaluates `members` and all below them (everything when empty) with the outputs that are recorded.
    ///
    /// # Errors
    /// When nothing can be evaluated at all.
    pub fn evaluate(&mut self, members: &[MemberPath]) -> Result<Evaluated, EngineError> {
        self.open_recorded_holders();
        let recorded = self.records().into_iter().map(|(path, record)| (path, record.outputs.clone())).collect();
        self.evaluate_with(members, recorded)
    }

    /// As [`Engine::evaluate`], with these outputs; whatever needs others waits.
    pub(crate) fn evaluate_with(
        &mut self,
        members: &[MemberPath],
        outputs: BTreeMap<MemberPath, Attrs>,
    ) -> Result<Evaluated, EngineError> {
        self.tell_phase(outputs)?;
        let wanted =
            |path: &MemberPath| members.is_empty() || members.iter().any(|m| path.is_within(m) || m.is_within(path));
        let mut found = Evaluated::default();
        if members.is_empty() {
            self.tell_want_all()?;
        } else {
            self.tell_want(vec![MemberPath::root()])?;
        }
        loop {
            let Some(mail) = self.receive(None) else { continue };
            let fronts = match self.fronts_of(mail) {
                Ok(fronts) => fronts?,
                Err(mail) if matches!(*mail, Mail::Interrupt { .. }) => return Err(EngineError::Interrupted),
                Err(_) => continue,
            };
            for front in fronts {
                match front {
                    Front::Quiet if self.is_quiet() => return Ok(found),
                    Front::Quiet => {}
                    Front::Structure { member, structure } => {
                        let children = structure.members.iter().map(|n| member.child(n)).filter(|c| wanted(c));
                        let children: Vec<MemberPath> = children.collect();
                        if !children.is_empty() {
                            self.tell_want(children)?;
                        }
                        found.structures.insert(member, structure);
                    }
                    Front::Declared { member, declaration, edges, .. } => {
                        found.waiting.remove(&member);
                        let edges = edges.into_iter().map(|e| e.member).chain(declaration.depends_on.clone()).collect();
                        found.declarations.insert(member, (*declaration, edges));
                    }
                    Front::Waiting { member, partial, needs } => {
                        if let Some((declaration, _)) = partial {
                            let edges = needs.iter().map(|n| n.member.clone()).collect();
                            found.declarations.insert(member.clone(), (*declaration, edges));
                        }
                        found.waiting.insert(member, needs);
                    }
                    Front::Failed { member, failure } => {
                        self.tell_fail(member.clone())?;
                        found.failed.insert(member, failure);
                    }
                }
            }
        }
    }
}
