//! Composites whose members become known on the way: who is added, moved, forgotten and removed, within what the operator asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::{ErrorKind, MemberPath, Structure};
use freehold_plan::{
    Action, Identity, Move, Observation, Old, Reason, Recovery, moved_in_a_circle, moved_together, tells_inputs,
};

use super::delete::Target;
use super::evaluate::protected;
use super::operate::What;
use super::{Executor, Node, Stage};
use crate::{ApplyEffect, Failure, RecordChange, Report};

impl Executor {
    /// A composite whose members were left open is known now.
    pub(super) fn take_structure(&mut self, member: &MemberPath, structure: &Structure) {
        self.open.remove(member);
        let children: Vec<MemberPath> = structure.members.iter().map(|name| member.child(name)).collect();
        if let Err(circle) = self.move_together(&structure.moved, &children) {
            let (message, hint) = moved_in_a_circle(&circle);
            let failure = Failure { kind: ErrorKind::User, message, hint: Some(hint) };
            return self.take_eval_failure(member, failure);
        }
        self.forget_late(&structure.removed);
        self.structures.insert(member.clone(), structure.members.clone());
        self.remove_undeclared(member, &children);
        let part_of_it = |child: &MemberPath| self.options.wants(child, &self.needed) && !self.options.excludes(child);
        let (wanted, left): (Vec<MemberPath>, Vec<MemberPath>) = children.into_iter().partition(part_of_it);
        for child in left {
            self.publish_recorded(&child);
        }
        for child in &wanted {
            self.open.insert(child.clone(), Vec::new());
        }
        self.release_open_waiters(member);
        if !wanted.is_empty() {
            self.quiet = false;
            self.effects.push(ApplyEffect::Evaluate(wanted));
        }
    }

    /// What the operator leaves out stays as it is recorded.
    fn publish_recorded(&mut self, top: &MemberPath) {
        let recorded = self.records.range(top.clone()..).take_while(|(path, _)| path.is_within(top));
        let all: Vec<_> = recorded.map(|(path, record)| (path.clone(), record.outputs.clone())).collect();
        for (path, outputs) in all {
            self.publish(&path, outputs);
        }
    }

    /// A member that no plan knew.
    pub(super) fn add_late_member(&mut self, path: &MemberPath) {
        self.unfinished += 1;
        let resumes = self.left_open.get(path).cloned();
        let record = self.records.get(path);
        let prior = match (record, self.observed.get(path)) {
            (Some(_), Some(Observation::Gone)) => None,
            (Some(record), Some(observed)) => Some(observed.onto(record)),
            (record, _) => record.cloned(),
        };
        self.nodes.insert(
            path.clone(),
            Node {
                action: Action::None,
                create_first: false,
                open: true,
                reasons: resumes.as_ref().map(|_| Reason::Interrupted).into_iter().collect(),
                declaration: None,
                old: Old::Deleted,
                identity: Identity::default(),
                recovery: Recovery::default(),
                told: tells_inputs(self.observed.get(path)),
                edges: BTreeSet::new(),
                prior,
                resumes,
                blocked_by: 0,
                stage: Stage::Evaluating,
            },
        );
    }

    /// What `path` says that it comes after, and that does not exist, as is known by now. The plan names what it knew of.
    pub(super) fn lacks(&self, path: &MemberPath) -> Option<Failure> {
        let declaration = self.nodes.get(path)?.declaration.as_ref()?;
        let is_named = |member: &MemberPath| match (member.parent(), member.name()) {
            (Some(parent), Some(name)) => {
                self.structures.get(&parent).is_none_or(|names| names.iter().any(|n| n == name))
            }
            _ => true,
        };
        let exists =
            |other: &MemberPath| std::iter::successors(Some(other.clone()), MemberPath::parent).all(|p| is_named(&p));
        if let Some(holder) = declaration.holder.as_ref().filter(|holder| self.structures.contains_key(*holder)) {
            let message =
                format!("its record is to be held by `{holder}`, which cannot hold state: it is a composite (`state`)");
            return Some(Failure { kind: ErrorKind::User, message, hint: None });
        }
        let missing = declaration.depends_on.iter().find(|other| !exists(other))?;
        let message = if declaration.holder.as_ref() == Some(missing) {
            format!("its record is to be held by `{missing}`, which does not exist (`state`)")
        } else {
            format!("is to come after `{missing}`, which does not exist (`dependsOn`)")
        };
        Some(Failure { kind: ErrorKind::User, message, hint: Some("`freehold members` lists them".into()) })
    }

    /// Records within `member` that stand under none of `children` have left the deployment.
    pub(super) fn remove_undeclared(&mut self, member: &MemberPath, children: &[MemberPath]) {
        let gone: Vec<MemberPath> = self
            .records
            .range(member.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.is_within(member))
            .filter(|path| !self.nodes.contains_key(*path) && !children.iter().any(|c| path.is_within(c)))
            .filter(|path| self.options.is_target(path) && !self.options.excludes(path))
            .cloned()
            .collect();
        for path in gone {
            // Nobody can have its outputs any more.
            self.quiet = false;
            self.effects.push(ApplyEffect::Fail { member: path.clone() });
            let Some(record) = self.records.get(&path).cloned() else { continue };
            if self.is_forgotten(&path) {
                self.forget(&path);
            } else if record.keep && !record.deposed.is_empty() {
                // Its old objects go first, in this run; the record goes with the next.
            } else if record.keep {
                self.forget(&path);
            } else if record.protect {
                let failure = protected(&path, "deleted");
                self.report(Report::Failed { member: path.clone(), action: Action::Delete, failure: failure.clone() });
                self.summary.failed.push((path, Action::Delete, failure));
            } else {
                self.report(Report::Decided { member: path.clone(), action: Action::Delete });
                self.add_deletion(Target { member: path, deposed: None }, record);
            }
        }
    }

    /// What stands at and below `from` stands at `to` now. What is declared at its old place, or is being deleted already, stays.
    pub(super) fn move_late(&mut self, from: &MemberPath, to: &MemberPath) {
        // One word leads in no circle.
        let _ = self.move_together(&[(from.clone(), to.clone())], &[]);
    }

    fn move_together(
        &mut self,
        words: &[(MemberPath, MemberPath)],
        declared: &[MemberPath],
    ) -> Result<(), Vec<MemberPath>> {
        let within = |from: &MemberPath| {
            let recorded = self.records.range(from.clone()..).map(|(path, _)| path);
            recorded
                .take_while(|path| path.is_within(from))
                .filter(|path| self.is_free(path))
                .cloned()
                .collect::<Vec<_>>()
        };
        let old: BTreeSet<MemberPath> = words.iter().flat_map(|(from, _)| within(from)).collect();
        let moves =
            moved_together(words, &old, |path| self.records.contains_key(path), |path| declared.contains(path))?;
        self.move_all(moves.into_iter().map(|mv| (mv.from, mv.to)).collect());
        Ok(())
    }

    /// The record at `from` alone is that of `to`.
    pub(super) fn move_one(&mut self, from: &MemberPath, to: &MemberPath) {
        self.move_all(vec![(from.clone(), to.clone())]);
    }

    fn move_all(&mut self, asked: Vec<(MemberPath, MemberPath)>) {
        let mut moves = Vec::new();
        for (path, target) in asked {
            if self.records.contains_key(&target) || !self.is_free(&path) {
                continue;
            }
            self.take_back_deletions(&path);
            let Some(record) = self.records.remove(&path) else { continue };
            for old in &record.deposed {
                let deposed = Target { member: target.clone(), deposed: Some(old.key.clone()) };
                self.add_deletion(deposed, Arc::new((*old.record).clone()));
            }
            self.owners.note(&target, &record);
            self.records.insert(target.clone(), record);
            if let Some(op) = self.left_open.remove(&path) {
                self.left_open.insert(target.clone(), op);
            }
            if let Some(observed) = self.observed.remove(&path) {
                self.observed.insert(target.clone(), observed);
            }
            moves.push(Move { from: path, to: target });
        }
        if !moves.is_empty() {
            let op = self.new_op();
            // Nothing begins before the records stand where they are looked for.
            self.moving.insert(op, moves.len());
            let change = Box::new(RecordChange::Moved(moves));
            self.effects.push(ApplyEffect::WriteResult { op, member: MemberPath::root(), change });
        }
    }

    /// Records at and below these paths are dropped, and their objects left alone.
    fn forget_late(&mut self, removed: &[MemberPath]) {
        self.forgotten.extend(removed.iter().cloned());
        for top in removed {
            let recorded = self.records.range(top.clone()..).map(|(path, _)| path);
            let within: Vec<MemberPath> = recorded.take_while(|path| path.is_within(top)).cloned().collect();
            for path in within {
                let asked = self.options.is_target(&path) && !self.options.excludes(&path);
                let planned = self.deleting.contains_key(&Target { member: path.clone(), deposed: None });
                if asked && planned && self.is_free(&path) {
                    self.take_back_deletions(&path);
                    self.forget(&path);
                }
            }
        }
    }

    fn forget(&mut self, path: &MemberPath) {
        self.write_forgotten(path);
        self.records.remove(path);
        *self.summary.done.entry(Action::Forget).or_default() += 1;
        self.report(Report::Done { member: path.clone(), action: Action::Forget });
    }

    fn is_forgotten(&self, path: &MemberPath) -> bool {
        self.options.forgets(path) || self.forgotten.iter().any(|f| path.is_within(f))
    }

    /// Whether nothing is done at `path`, no resource is declared there, and no deletion of what was there has begun.
    fn is_free(&self, path: &MemberPath) -> bool {
        let names = path.parent().and_then(|parent| self.structures.get(&parent));
        let declared = names.is_some_and(|names| path.name().is_some_and(|name| names.iter().any(|n| n == name)));
        let begun = |what: &What| matches!(what, What::Delete(target) if target.member == *path);
        let is_composite = self.structures.contains_key(path);
        (!declared || is_composite) && !self.nodes.contains_key(path) && !self.ops.values().any(|op| begun(&op.what))
    }

    /// What was to be deleted at `path` is not.
    fn take_back_deletions(&mut self, path: &MemberPath) {
        let first = Target { member: path.clone(), deposed: None };
        let planned = self.deleting.range(first..).map(|(target, _)| target);
        let targets: Vec<Target> = planned.take_while(|target| target.member == *path).cloned().collect();
        for target in targets {
            self.deletions.done(&target);
            self.deleting.remove(&target);
            self.cleared(&target);
        }
    }
}
