//! What an interrupted run left open: every create that was begun and has no recorded end is looked into, one after the other, before its
//! member is decided. An object that is found goes into the record (an older one becomes a deposed one), and that is the first
//! thing which an apply writes: whatever happens to the member's step afterwards, the object is known.

use std::sync::Arc;

use freehold_model::{Deposed, Interval, MemberPath, Record, Status};

use super::{Member, PlanEffect, Planner, Removal};
use crate::identity::{is_same_object, is_same_program, wording};
use crate::{Action, Mode, Observation, OpenIntent, Recovery, TypeFacts, is_same_type};

/// How far the open operations of a member are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// All of them.
    Done,
    /// A question is under way.
    Asking,
    /// Nobody but the operator can tell; a problem says so.
    Stuck,
}

impl Planner {
    /// Goes on looking into what was left open of `path`.
    pub(super) fn look_into(&mut self, path: &MemberPath) -> Looked {
        loop {
            let settled = self.looked.get(path).copied().unwrap_or_default();
            let Some(intent) = self.intents.get(path).and_then(|all| all.get(settled)).cloned() else {
                return Looked::Done;
            };
            match self.look_at(path, intent) {
                Looked::Done => *self.looked.entry(path.clone()).or_default() += 1,
                other => return other,
            }
        }
    }

    fn look_at(&mut self, path: &MemberPath, intent: OpenIntent) -> Looked {
        let about_the_record = intent.action != Action::Create && self.records.contains_key(path);
        if about_the_record || self.is_forgotten(path) {
            return Looked::Done;
        }
        let Some(object) = self.record_of(path, &intent) else {
            self.ask_operator(path);
            return Looked::Stuck;
        };
        // The interrupted run may have made something else than what is declared now.
        let Some(facts) = self.facts_of(path, &object) else { return Looked::Asking };
        if self.is_recorded(path, &object, &intent, &facts) {
            return Looked::Done;
        }
        if facts.can_read && (facts.recovery == Recovery::Read || intent.partial.is_some()) {
            self.looking.insert(path.clone(), intent);
            self.outstanding += 1;
            self.effects.push(PlanEffect::Read { member: path.clone(), record: Arc::new(object) });
            return Looked::Asking;
        }
        let is_settled = match facts.recovery {
            Recovery::InRecord => true,
            Recovery::Again => self.is_made_again(path, &object, &facts),
            Recovery::Read | Recovery::Ask => false,
        };
        if is_settled {
            return Looked::Done;
        }
        if facts.recovery == Recovery::Again && self.refreshes_only() {
            // Nothing is made in this run; the next apply makes it again, or asks.
            return Looked::Stuck;
        }
        self.ask_operator(path);
        Looked::Stuck
    }

    /// Whether what an unfinished create may have made is made once more, so that it is known then. What is left to be decided at
    /// apply may be: then the next plan asks.
    fn is_made_again(&self, path: &MemberPath, object: &Record, facts: &TypeFacts) -> bool {
        match self.members.get(path) {
            Some(member) => {
                let declared = &member.declaration;
                is_same_type(declared, object) && is_same_object(&facts.identity, &declared.inputs, &object.inputs)
            }
            None => self.open.keys().any(|open| path.is_within(open)),
        }
    }

    /// Takes what a look showed.
    pub(super) fn take_look(&mut self, path: &MemberPath, intent: &OpenIntent, observed: &Observation) {
        *self.looked.entry(path.clone()).or_default() += 1;
        let (Observation::Object { inputs, outputs, private }, Some(mut new)) =
            (observed, self.record_of(path, intent))
        else {
            return;
        };
        new.inputs = inputs.clone().unwrap_or(new.inputs);
        new.outputs.clone_from(outputs);
        new.private.clone_from(private);
        if let Some(old) = self.records.remove(path) {
            let mut old = Arc::unwrap_or_clone(old);
            new.deposed = std::mem::take(&mut old.deposed);
            new.deposed.push(Deposed { key: intent.op.clone(), record: Box::new(old) });
        }
        self.records.insert(path.clone(), Arc::new(new));
        self.found.insert(path.clone(), intent.op.clone());
    }

    /// Members that are known only at apply are looked into all the same: whatever is begun on them then closes what is open.
    pub(super) fn look_into_left_open(&mut self) {
        if self.options.mode != Mode::Normal {
            return;
        }
        let left: Vec<MemberPath> = self
            .intents
            .keys()
            .filter(|path| self.open.keys().any(|open| path.is_within(open)) && !self.members.contains_key(*path))
            .filter(|path| !self.options.excludes(path) && !self.removals.contains_key(*path))
            .cloned()
            .collect();
        for path in left {
            match self.look_into(&path) {
                Looked::Done => {
                    let last = self.intents.get(&path).and_then(|all| all.last()).map(|intent| intent.op.clone());
                    self.left_open.extend(last.filter(|op| self.found.get(&path) != Some(op)).map(|op| (path, op)));
                }
                Looked::Asking => drop(self.removals.insert(path, Removal::Asking)),
                Looked::Stuck => drop(self.removals.insert(path, Removal::Stuck)),
            }
        }
    }

    /// Goes on with a member after an answer about what was left open of it.
    pub(super) fn go_on_with(&mut self, path: &MemberPath) {
        if self.members.contains_key(path) {
            self.consider(path);
        } else {
            // Settled anew, with what is recorded now.
            self.removals.remove(path);
        }
    }

    /// What was left open of a member cannot be told.
    pub(super) fn give_up_on(&mut self, path: &MemberPath) {
        if self.members.contains_key(path) {
            self.fail(path.clone());
        } else {
            self.removals.insert(path.clone(), Removal::Stuck);
        }
    }

    pub(super) fn is_forgotten(&self, path: &MemberPath) -> bool {
        self.options.forgets(path) || self.forgotten.iter().any(|f| path.is_within(f))
    }

    /// Whether the object of an unfinished create is one that the record lists.
    fn is_recorded(&self, path: &MemberPath, object: &Record, intent: &OpenIntent, facts: &TypeFacts) -> bool {
        let Some(current) = self.records.get(path) else { return false };
        let same = |known: &Record| {
            let same_program = is_same_program(&known.provider.provider, &object.provider.provider);
            if known.type_name != object.type_name || !same_program {
                return false;
            }
            if facts.identity.is_empty() {
                return intent.partial.is_some() && known.outputs == object.outputs;
            }
            is_same_object(&facts.identity, &known.inputs, &object.inputs)
        };
        same(current) || current.deposed.iter().any(|d| same(&d.record))
    }

    fn ask_operator(&mut self, path: &MemberPath) {
        let (message, hint) = if self.records.contains_key(path) {
            (
                "an interrupted replacement may have made a new object beside the recorded one, and the provider cannot tell",
                format!("look for it and delete it; then say that there is none with `--forget {path}`"),
            )
        } else {
            (
                "an interrupted apply may have made its object, and the provider cannot tell",
                format!(
                    "look for it; then take it over with `freehold import {path} ID`, or say that there is none with `freehold state rm {path}`"
                ),
            )
        };
        self.problem(path, message, Some(hint));
    }

    /// A record as it would stand had the unfinished create ended.
    pub(super) fn record_of(&self, path: &MemberPath, intent: &OpenIntent) -> Option<Record> {
        let member = self.members.get(path);
        Some(Record {
            provider: intent.provider.clone()?,
            type_name: intent.type_name.clone(),
            inputs: intent.inputs.clone(),
            outputs: intent.partial.clone().unwrap_or_default(),
            private: None,
            edges: member.map(|m: &Member| m.edges.clone()).unwrap_or_default(),
            interval: Interval { began: intent.began, ended: intent.began },
            status: Status::Ok,
            deposed: Vec::new(),
            protect: false,
            keep: false,
            create_before_destroy: false,
            replace_when: None,
            holder: member.and_then(|m| m.declaration.holder.clone()),
        })
    }

    /// Its type's facts; asks for them and returns `None` when they are not at hand.
    pub(super) fn facts_of(&mut self, path: &MemberPath, record: &Record) -> Option<Arc<TypeFacts>> {
        let key = (wording(&record.provider.provider), record.type_name.clone());
        if let Some(facts) = self.known_types.get(&key) {
            return Some(Arc::clone(facts));
        }
        self.outstanding += 1;
        self.describing.insert(path.clone(), key);
        self.effects.push(PlanEffect::Describe { member: path.clone(), record: Arc::new(record.clone()) });
        None
    }

    pub(super) fn take_description(&mut self, path: &MemberPath, result: Result<Arc<TypeFacts>, crate::Problem>) {
        let Some(key) = self.describing.remove(path) else { return };
        match result {
            Ok(facts) => {
                self.known_types.insert(key, facts);
                self.go_on_with(path);
            }
            Err(mut problem) => {
                let way_out = format!("`--forget {path}` drops it from the record without its provider");
                problem.hint = Some(problem.hint.map_or(way_out.clone(), |h| format!("{h}; {way_out}")));
                self.problems.push(problem);
                self.give_up_on(path);
            }
        }
    }

    /// Whether only the record is to be brought up to date.
    pub(super) fn refreshes_only(&self) -> bool {
        self.options.mode == Mode::RefreshOnly
    }
}
