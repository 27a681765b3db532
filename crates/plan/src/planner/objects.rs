//! Who has which object in the world: a member under a new name keeps its own, no two members have one, and what one gives up
//! another may take only after that.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, Record};

use super::{Planner, Removal};
use crate::identity::{ObjectKey, object_key, shared_object, wording};
use crate::{Action, Mode, Reason};

impl Planner {
    /// A removed record and a new member that name the same object are one member under a new name.
    pub(super) fn recognise_renamed(&mut self) -> bool {
        let mut leaving = self.leaving_objects();
        let renamed: Vec<(MemberPath, MemberPath)> = self
            .members
            .iter()
            .filter(|(path, m)| {
                let made = m.step.as_ref().is_some_and(|s| s.action == Action::Create);
                made && !self.records.contains_key(*path)
            })
            .filter_map(|(to, m)| {
                let d = &m.declaration;
                let key = object_key(&d.provider, &d.type_name, &d.inputs, &m.facts.identity)?;
                Some((leaving.remove(&key)?, to.clone()))
            })
            .collect();
        for (from, to) in &renamed {
            self.removals.remove(from);
            // It leaves nothing: what kept its old name from going is no problem.
            self.problems.retain(|p| p.member != *from);
            self.move_records(from, to);
            if let Some(member) = self.members.get_mut(to) {
                member.step = None;
            }
            self.consider(to);
        }
        !renamed.is_empty()
    }

    /// Objects of records that nothing declares, whether or not they are part of this plan.
    fn leaving_objects(&self) -> BTreeMap<ObjectKey, MemberPath> {
        if self.options.mode != Mode::Normal {
            return BTreeMap::new();
        }
        let stays = |path: &MemberPath| {
            self.members.contains_key(path)
                || self.is_declared(path)
                || self.is_left_open(path)
                || self.options.excludes(path)
                || self.is_forgotten(path)
        };
        let leaving = self.records.iter().filter(|(path, _)| !stays(path));
        leaving.filter_map(|(path, record)| Some((self.object_of(record)?, path.clone()))).collect()
    }

    fn object_of(&self, record: &Record) -> Option<ObjectKey> {
        let key = (wording(&record.provider.provider), record.type_name.clone());
        object_key(&record.provider.provider, &record.type_name, &record.inputs, &self.known_types.get(&key)?.identity)
    }

    /// An object that a member which stays has recorded, too, is not deleted with the other record of it.
    pub(super) fn let_go_of_what_others_have(&mut self) {
        let deletes = |removal: &Removal| matches!(removal, Removal::Step(step) if step.action == Action::Delete);
        if !self.removals.values().any(deletes) {
            return;
        }
        let mut owners: BTreeMap<ObjectKey, MemberPath> = BTreeMap::new();
        for (path, member) in &self.members {
            let stays = member.step.as_ref().is_some_and(|s| s.action != Action::Replace);
            let Some(record) = self.records.get(path).filter(|_| stays) else { continue };
            owners.extend(self.object_of(record).map(|key| (key, path.clone())));
        }
        let mut kept = Vec::new();
        for (path, removal) in &self.removals {
            let Removal::Step(step) = removal else { continue };
            let record = step.prior.as_ref().filter(|_| step.action == Action::Delete);
            if let Some(owner) = record.and_then(|record| owners.get(&self.object_of(record)?)) {
                kept.push((path.clone(), owner.clone()));
            }
        }
        for (path, owner) in kept {
            if let Some(Removal::Step(step)) = self.removals.get_mut(&path) {
                step.action = Action::Forget;
                step.reasons = vec![Reason::TakenOver(owner)];
            }
        }
    }

    /// Two members that manage one object would undo each other's work.
    pub(super) fn refuse_shared_objects(&mut self) {
        let mut owners: BTreeMap<ObjectKey, MemberPath> = BTreeMap::new();
        let mut clashes = Vec::new();
        for (path, member) in &self.members {
            let d = &member.declaration;
            let Some(key) = object_key(&d.provider, &d.type_name, &d.inputs, &member.facts.identity) else { continue };
            match owners.get(&key) {
                Some(first) => clashes.push((path.clone(), shared_object(first, &member.facts.identity))),
                None => drop(owners.insert(key, path.clone())),
            }
        }
        for (path, (message, hint)) in clashes {
            self.problem(&path, message, Some(hint));
        }
    }

    /// What a member gives up in this plan another may take after it; not before, for then the deletion would hit the new object.
    pub(super) fn refuse_taken_objects(&mut self) {
        let taken = self.taken_objects();
        for (taker, owner) in &taken {
            if !self.members.contains_key(owner) {
                self.problem(
                    taker,
                    format!("takes the object of `{owner}`, which is no part of this plan"),
                    Some(format!("bring `{owner}` along, or choose another name in the world")),
                );
            }
        }
        for (taker, owner) in self.taken_of_kept() {
            self.problem(
                &taker,
                format!("takes the object that `{owner}` leaves behind, which is kept (`lifecycle.keep`)"),
                Some(format!(
                    "choose another name in the world, or set `lifecycle.keep = false` for `{owner}` and apply first"
                )),
            );
        }
        let taken = taken.into_iter().filter(|(_, owner)| self.members.contains_key(owner));
        let taken: BTreeMap<MemberPath, BTreeSet<MemberPath>> =
            taken.map(|(taker, owner)| (taker, [owner].into())).collect();
        let Some(circle) = self.find_circle(&taken) else { return };
        let next = circle.iter().skip(1);
        let pair = circle.iter().zip(next).find(|(taker, owner)| taken.get(taker).is_some_and(|o| o.contains(owner)));
        let Some((taker, owner)) = pair.map(|(taker, owner)| (taker.clone(), owner.clone())) else { return };
        let text = circle.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(" → ");
        self.problem(
            &taker,
            format!("takes the object that `{owner}` gives up, and `{owner}` comes after it: {text}"),
            Some(format!(
                "give `{taker}` a name in the world that is free and apply; then the name that it is to have"
            )),
        );
    }

    /// Members that are to make or become an object which this plan lets go of to keep it, with the member that had it.
    fn taken_of_kept(&self) -> Vec<(MemberPath, MemberPath)> {
        let is_kept = |owner: &MemberPath| match (self.removals.get(owner), self.members.get(owner)) {
            (Some(Removal::Step(step)), _) => step.reasons.contains(&Reason::Kept),
            (_, Some(member)) => member.step.as_ref().is_some_and(|s| s.reasons.contains(&Reason::Kept)),
            _ => false,
        };
        self.taken_by(is_kept)
    }

    /// Members that are to make or become an object which another has recorded, with that other.
    fn taken_objects(&self) -> Vec<(MemberPath, MemberPath)> {
        self.taken_by(|owner| self.keeps_it_for_now(owner))
    }

    fn taken_by(&self, is_owner: impl Fn(&MemberPath) -> bool) -> Vec<(MemberPath, MemberPath)> {
        let mut takers: BTreeMap<ObjectKey, &MemberPath> = BTreeMap::new();
        for (path, member) in &self.members {
            let Some(step) = member.step.as_ref().filter(|s| s.action.is_forward()) else { continue };
            let d = &member.declaration;
            if let Some(key) = object_key(&d.provider, &d.type_name, &d.inputs, &member.facts.identity)
                && step.prior.as_ref().and_then(|record| self.object_of(record)) != Some(key.clone())
            {
                takers.insert(key, path);
            }
        }
        if takers.is_empty() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for (owner, record) in &self.records {
            let Some(taker) = self.object_of(record).and_then(|key| takers.get(&key).copied()) else { continue };
            if taker != owner && is_owner(owner) {
                taken.push((taker.clone(), owner.clone()));
            }
        }
        taken
    }

    /// Whether the object of this record is there until something is done about its member, of which nobody else takes care.
    fn keeps_it_for_now(&self, owner: &MemberPath) -> bool {
        match self.members.get(owner) {
            Some(member) => !member.step.as_ref().is_some_and(|s| s.reasons.contains(&Reason::Gone)),
            None => {
                let mut undecided = self.open.keys().chain(&self.failed);
                !self.removals.contains_key(owner) && !undecided.any(|path| owner.is_within(path))
            }
        }
    }
}
