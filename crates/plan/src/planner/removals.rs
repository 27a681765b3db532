//! What is recorded and no longer declared: deleted in reverse order, kept, forgotten, or recognised under its new name.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_model::{Attrs, MemberPath, Record};

use super::{PlanEffect, Planner, Removal};
use crate::identity::{ObjectKey, object_key};
use crate::plan::provider_text;
use crate::{Action, DeletionOrder, Mode, Observation, Problem, Reason, Recovery, Step, TypeFacts};

impl Planner {
    /// Settles the removals one question at a time; finishes the plan when none is left.
    pub(super) fn settle_removals(&mut self) {
        let candidates = self.candidates();
        for path in &candidates {
            if !self.removals.contains_key(path) {
                self.settle_removal(path);
            }
        }
        if self.outstanding > 0 || !self.effects.is_empty() {
            return;
        }
        if self.recognise_renamed() {
            return;
        }
        self.refuse_shared_objects();
        if self.options.mode == Mode::Normal || self.options.mode == Mode::RefreshOnly {
            self.check_named_members();
        }
        let steps = self.removal_steps();
        self.finish(steps);
    }

    /// Records (and unfinished creates) that nothing declares and nothing leaves open.
    fn candidates(&self) -> Vec<MemberPath> {
        let paths = self.records.keys().chain(self.intents.keys().filter(|p| !self.records.contains_key(*p)));
        let normal = self.options.mode == Mode::Normal;
        paths
            .filter(|path| !self.members.contains_key(*path) && !self.options.excludes(path))
            .filter(|path| !normal || !self.is_left_open(path))
            .filter(|path| self.options.is_target(path) || self.depends_on_target(path))
            .cloned()
            .collect()
    }

    fn is_left_open(&self, path: &MemberPath) -> bool {
        let within = |p: &MemberPath| path.is_within(p);
        self.open.keys().any(within) || self.failed.iter().any(within) || self.skipped.iter().any(within)
    }

    /// `destroy MEMBER` takes along what was seen to depend on it.
    fn depends_on_target(&self, path: &MemberPath) -> bool {
        if self.options.mode != Mode::Destroy {
            return false;
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut trail = vec![path.clone()];
        while let Some(here) = trail.pop() {
            if self.options.is_target(&here) {
                return true;
            }
            if seen.insert(here.clone())
                && let Some(record) = self.records.get(&here)
            {
                trail.extend(record.edges.iter().cloned());
            }
        }
        false
    }

    fn settle_removal(&mut self, path: &MemberPath) {
        if self.options.mode == Mode::RefreshOnly && self.records.contains_key(path) {
            return self.refresh_record(path);
        }
        let Some(record) = self.records.get(path).cloned().or_else(|| self.record_of_intent(path)) else {
            let facts = None;
            return self.settle_unfinished_create(path, facts);
        };
        let forgotten = self.options.forgets(path) || self.forgotten.iter().any(|f| path.is_within(f));
        let destroy = self.options.mode == Mode::Destroy;
        if forgotten || (record.keep && !destroy && self.records.contains_key(path)) {
            let reason = if forgotten { Reason::Forgotten } else { Reason::Kept };
            return self.remove_with(path, Action::Forget, reason, Some(record));
        }
        if record.protect {
            self.stuck(
                path,
                "is protected and would be deleted",
                format!("set `lifecycle.protect = false` and apply, or keep its object with `--forget {path}`"),
            );
            return;
        }
        match self.facts_of(path, &record) {
            None => {}
            Some(facts) if !self.records.contains_key(path) => self.settle_unfinished_create(path, Some(facts)),
            Some(facts) if !facts.can_delete => self.stuck(
                path,
                format!("cannot be deleted: type `{}` of its provider has no delete", record.type_name),
                format!("`--forget {path}` drops it from the record and leaves its object in the world"),
            ),
            Some(facts) if self.has_unfinished_replacement(path) && facts.recovery == Recovery::Ask => {
                self.ask_about_replacement(path);
                self.removals.insert(path.clone(), Removal::Stuck);
            }
            Some(facts) if self.has_unfinished_replacement(path) && self.look_for_replacement(path, &facts) => {
                self.removals.insert(path.clone(), Removal::Asking);
            }
            Some(_) => {
                let reason = if destroy { Reason::Destroyed } else { Reason::Removed };
                self.remove_with(path, Action::Delete, reason, Some(record));
            }
        }
    }

    fn has_unfinished_replacement(&self, path: &MemberPath) -> bool {
        self.intents.get(path).is_some_and(|i| i.action == Action::Create)
    }

    /// Its type's facts; asks for them and returns `None` when they are not at hand.
    fn facts_of(&mut self, path: &MemberPath, record: &Record) -> Option<Arc<TypeFacts>> {
        let key = (provider_text(&record.provider.provider), record.type_name.clone());
        if let Some(facts) = self.known_types.get(&key) {
            return Some(Arc::clone(facts));
        }
        self.outstanding += 1;
        self.removals.insert(path.clone(), Removal::Asking);
        self.effects.push(PlanEffect::Describe { member: path.clone(), record: Box::new(record.clone()) });
        None
    }

    pub(super) fn take_description(&mut self, path: &MemberPath, result: Result<Arc<TypeFacts>, Problem>) {
        let Some(record) = self.records.get(path).cloned().or_else(|| self.record_of_intent(path)) else { return };
        match result {
            Ok(facts) => {
                let key = (provider_text(&record.provider.provider), record.type_name);
                self.known_types.insert(key, facts);
                self.removals.remove(path);
            }
            Err(mut problem) => {
                let way_out = format!("`--forget {path}` drops it from the record without its provider");
                problem.hint = Some(problem.hint.map_or(way_out.clone(), |h| format!("{h}; {way_out}")));
                self.problems.push(problem);
                self.removals.insert(path.clone(), Removal::Stuck);
            }
        }
    }

    /// A create was begun, nothing declares the member any more: is there an object to delete?
    fn settle_unfinished_create(&mut self, path: &MemberPath, facts: Option<Arc<TypeFacts>>) {
        let Some(intent) = self.intents.get(path).cloned() else { return };
        let record = self.record_of_intent(path);
        let forgets = self.options.forgets(path);
        match (facts, record) {
            _ if forgets => self.remove_with(path, Action::Forget, Reason::Forgotten, None),
            (Some(facts), Some(record))
                if facts.can_read && (facts.recovery == Recovery::Read || intent.partial.is_some()) =>
            {
                self.outstanding += 1;
                self.removals.insert(path.clone(), Removal::Asking);
                self.effects.push(PlanEffect::Read { member: path.clone(), record: Box::new(record) });
            }
            (Some(facts), _) if facts.recovery == Recovery::Again => {
                self.remove_with(path, Action::Forget, Reason::Interrupted, None);
            }
            _ => {
                self.ask_about_intent(path);
                self.removals.insert(path.clone(), Removal::Stuck);
            }
        }
    }

    fn refresh_record(&mut self, path: &MemberPath) {
        let Some(record) = self.records.get(path).cloned() else { return };
        let Some(facts) = self.facts_of(path, &record) else { return };
        if facts.can_read {
            self.outstanding += 1;
            self.removals.insert(path.clone(), Removal::Asking);
            self.effects.push(PlanEffect::Read { member: path.clone(), record: Box::new(record) });
        } else {
            self.remove_with(path, Action::None, Reason::Unchanged, Some(record));
        }
    }

    pub(super) fn take_removal_observation(&mut self, path: &MemberPath, result: Result<Observation, Problem>) {
        let observed = match result {
            Ok(observed) => observed,
            Err(problem) => {
                self.problems.push(problem);
                self.removals.insert(path.clone(), Removal::Stuck);
                return;
            }
        };
        if self.looking.contains(path) && self.looked.insert(path.clone()) {
            self.take_replacement(path, &observed);
            // Settled anew, with what is recorded now.
            self.removals.remove(path);
            return;
        }
        self.note_drift(path, &observed);
        let recorded = self.records.get(path).cloned();
        let unfinished = recorded.is_none();
        match (observed, recorded.or_else(|| self.record_of_intent(path))) {
            (Observation::Gone, record) => {
                let reason = if unfinished { Reason::Interrupted } else { Reason::Gone };
                self.remove_with(path, Action::Forget, reason, record);
            }
            (Observation::Object { inputs, outputs, private }, Some(mut record)) => {
                let drifted = self.drift.iter().any(|d| &d.member == path);
                record.inputs = inputs.unwrap_or(record.inputs);
                record.outputs = outputs;
                record.private = private.or(record.private);
                let (action, reason) = match (unfinished, drifted) {
                    (true, _) => (Action::Delete, Reason::Interrupted),
                    (false, true) => (Action::Read, Reason::Observed),
                    (false, false) => (Action::None, Reason::Unchanged),
                };
                self.remove_with(path, action, reason, Some(record));
            }
            (Observation::Object { .. }, None) => {}
        }
    }

    fn stuck(&mut self, path: &MemberPath, message: impl Into<String>, hint: String) {
        self.problem(path, message, Some(hint));
        self.removals.insert(path.clone(), Removal::Stuck);
    }

    fn remove_with(&mut self, path: &MemberPath, action: Action, reason: Reason, prior: Option<Record>) {
        let step = Step {
            member: path.clone(),
            deposed: None,
            action,
            create_first: false,
            reasons: vec![reason],
            provider: prior.as_ref().map(|r| provider_text(&r.provider.provider)).unwrap_or_default(),
            type_name: prior.as_ref().map(|r| r.type_name.clone()).unwrap_or_default(),
            changes: Vec::new(),
            declaration: None,
            exact: true,
            open: false,
            outputs: Attrs::new(),
            edges: prior.as_ref().map(|r| r.edges.clone()).unwrap_or_default(),
            prior,
            resumes: self.intents.get(path).map(|i| i.op),
        };
        self.removals.insert(path.clone(), Removal::Step(Box::new(step)));
    }

    /// A removed record and a new member that name the same object are one member under a new name.
    fn recognise_renamed(&mut self) -> bool {
        let mut leaving: BTreeMap<ObjectKey, MemberPath> = BTreeMap::new();
        for (path, removal) in &self.removals {
            let Removal::Step(step) = removal else { continue };
            if let (Action::Delete, Some(record)) = (step.action, &step.prior) {
                let key = (provider_text(&record.provider.provider), record.type_name.clone());
                let Some(facts) = self.known_types.get(&key) else { continue };
                if let Some(key) = object_key(&record.provider.provider, &record.type_name, &record.inputs, facts) {
                    leaving.insert(key, path.clone());
                }
            }
        }
        let renamed: Vec<(MemberPath, MemberPath)> = self
            .members
            .iter()
            .filter(|(_, m)| m.step.as_ref().is_some_and(|s| s.action == Action::Create && !s.open))
            .filter_map(|(to, m)| {
                let d = &m.declaration;
                let key = object_key(&d.provider, &d.type_name, &d.inputs, &m.facts)?;
                Some((leaving.remove(&key)?, to.clone()))
            })
            .collect();
        for (from, to) in &renamed {
            self.removals.remove(from);
            self.move_records(from, to);
            if let Some(member) = self.members.get_mut(to) {
                member.step = None;
            }
            self.consider(to);
        }
        !renamed.is_empty()
    }

    /// Two members that manage one object would undo each other's work.
    fn refuse_shared_objects(&mut self) {
        let mut owners: BTreeMap<ObjectKey, MemberPath> = BTreeMap::new();
        let mut clashes = Vec::new();
        for (path, member) in &self.members {
            let d = &member.declaration;
            let Some(key) = object_key(&d.provider, &d.type_name, &d.inputs, &member.facts) else { continue };
            match owners.get(&key) {
                Some(first) => clashes.push((path.clone(), first.clone(), member.facts.identity.join(", "))),
                None => drop(owners.insert(key, path.clone())),
            }
        }
        for (path, first, identity) in clashes {
            self.problem(
                &path,
                format!("manages the same object as `{first}` ({identity} are equal)"),
                Some("remove one of the two, or give it another name in the world".into()),
            );
        }
    }

    /// Removals in the order in which they can go, deposed objects among them.
    fn removal_steps(&mut self) -> Vec<Step> {
        let mut order = DeletionOrder::default();
        let mut steps = BTreeMap::new();
        let mut others = Vec::new();
        for removal in std::mem::take(&mut self.removals).into_values() {
            let Removal::Step(step) = removal else { continue };
            match (step.action, &step.prior) {
                (Action::Delete, Some(prior)) => {
                    let key = (step.member.clone(), None);
                    order.insert(key.clone(), prior.interval);
                    steps.insert(key, *step);
                }
                _ => others.push(*step),
            }
        }
        for (path, deposed) in self.deposed() {
            let key = (path.clone(), Some(deposed.key.clone()));
            order.insert(key.clone(), deposed.record.interval);
            steps.insert(key, deposed_step(path, deposed));
        }
        let edges: Vec<_> = steps
            .iter()
            .flat_map(|(user, step): (_, &Step)| step.edges.iter().map(|used| (user.clone(), (used.clone(), None))))
            .collect();
        for (user, used) in edges {
            order.insert_edge(&user, &used);
        }
        for old in steps.keys().filter(|(_, deposed)| deposed.is_some()) {
            order.insert_edge(old, &(old.0.clone(), None));
        }
        while let Some(key) = order.take_ready() {
            order.done(&key);
            others.extend(steps.remove(&key));
        }
        others
    }

    fn deposed(&self) -> Vec<(MemberPath, freehold_model::Deposed)> {
        if self.options.mode == Mode::RefreshOnly {
            return Vec::new();
        }
        self.records
            .iter()
            .filter(|(path, _)| self.options.is_target(path) && !self.options.excludes(path))
            .flat_map(|(path, record)| record.deposed.iter().map(|d| (path.clone(), d.clone())))
            .collect()
    }
}

fn deposed_step(member: MemberPath, deposed: freehold_model::Deposed) -> Step {
    Step {
        member,
        deposed: Some(deposed.key),
        action: Action::Delete,
        create_first: false,
        reasons: vec![Reason::Deposed],
        provider: provider_text(&deposed.record.provider.provider),
        type_name: deposed.record.type_name.clone(),
        changes: Vec::new(),
        declaration: None,
        exact: true,
        open: false,
        outputs: Attrs::new(),
        edges: deposed.record.edges.clone(),
        prior: Some(*deposed.record),
        resumes: None,
    }
}
