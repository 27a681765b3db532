//! What is recorded and no longer declared: deleted in reverse order, kept, forgotten, or recognised under its new name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_model::{Attrs, MemberPath, Record};

use super::interrupted::Looked;
use super::{PlanEffect, Planner, Removal};
use crate::plan::provider_text;
use crate::{Action, DeletionOrder, Identity, Mode, Observation, Old, Reason, Recovery, Step};

impl Planner {
    /// Settles the removals one question at a time; finishes the plan when none is left.
    pub(super) fn settle_removals(&mut self) {
        self.refuse_unheard_of();
        self.look_into_left_open();
        self.look_at_left_open();
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
        self.let_go_of_what_others_have();
        self.refuse_shared_objects();
        self.refuse_impossible_order();
        self.refuse_taken_objects();
        self.check_named_members();
        let steps = self.removal_steps();
        self.finish(steps);
    }

    /// Records (and unfinished creates) that nothing declares and nothing leaves open.
    fn candidates(&self) -> Vec<MemberPath> {
        let paths = self.records.keys().chain(self.intents.keys().filter(|p| !self.records.contains_key(*p)));
        let normal = self.options.mode == Mode::Normal;
        let used = self.used_by_excluded();
        paths
            .filter(|path| !self.members.contains_key(*path) && !self.options.excludes(path))
            .filter(|path| !used.contains(*path) && (!normal || !self.is_declared(path)))
            .filter(|path| !normal || !self.is_left_open(path))
            .filter(|path| self.options.is_target(path) || self.depends_on_target(path))
            .cloned()
            .collect()
    }

    /// Whether a composite that was evaluated has this member: then its record is none that nothing declares.
    pub(super) fn is_declared(&self, path: &MemberPath) -> bool {
        self.declared.contains(path) && !self.structures.contains_key(path)
    }

    /// Every declared member that is part of this plan was heard of: a plan that knows nothing of one must not be followed.
    fn refuse_unheard_of(&mut self) {
        if self.options.mode != Mode::Normal {
            return;
        }
        let heard_of = |path: &MemberPath| {
            self.members.contains_key(path)
                || self.structures.contains_key(path)
                || self.open.contains_key(path)
                || self.failed.contains(path)
                || self.skipped.contains(path)
        };
        let lost: Vec<MemberPath> = self
            .declared
            .iter()
            .filter(|path| self.is_wanted(path) && !self.options.excludes(path) && !heard_of(path))
            .filter(|path| !self.problems.iter().any(|p| p.member == **path))
            .cloned()
            .collect();
        for path in lost {
            let hint = "this is a fault of freehold; please report it with the deployment".to_owned();
            self.problem(&path, "was declared, and the evaluation said nothing of it", Some(hint));
        }
    }

    /// Records within what is decided at apply are looked at with the rest: what is declared there then mends their drift.
    fn look_at_left_open(&mut self) {
        if self.options.mode != Mode::Normal || !self.options.refresh {
            return;
        }
        let within_open = |path: &MemberPath| self.open.keys().any(|open| path.is_within(open));
        let records = self.records.keys().filter(|path| within_open(path) && !self.members.contains_key(*path));
        let records = records.filter(|path| !self.removals.contains_key(*path) && !self.seen_late.contains_key(*path));
        let left: Vec<MemberPath> =
            records.filter(|path| self.is_wanted(path) && !self.options.excludes(path)).cloned().collect();
        for path in left {
            let Some(record) = self.records.get(&path).cloned() else { continue };
            let Some(facts) = self.facts_of(&path, &record) else { continue };
            if facts.can_read {
                self.outstanding += 1;
                self.seen_late.insert(path.clone(), None);
                self.effects.push(PlanEffect::Read { member: path, record });
            }
        }
    }

    /// What excluded members were seen to use, and what that uses: it stays with them.
    fn used_by_excluded(&self) -> BTreeSet<MemberPath> {
        let excluded = self.records.keys().filter(|path| self.options.excludes(path));
        let mut trail: Vec<MemberPath> =
            if self.options.excludes.is_empty() { Vec::new() } else { excluded.cloned().collect() };
        let mut used = BTreeSet::new();
        while let Some(user) = trail.pop() {
            let edges = self.records.get(&user).into_iter().flat_map(|record| &record.edges);
            for edge in edges {
                let within = self.records.range(edge.clone()..).map(|(p, _)| p).take_while(|p| p.is_within(edge));
                trail.extend(within.filter(|path| used.insert((*path).clone())).cloned());
            }
        }
        used
    }

    pub(super) fn is_left_open(&self, path: &MemberPath) -> bool {
        let within = |p: &MemberPath| path.is_within(p);
        self.open.keys().any(within) || self.failed.iter().any(within) || self.skipped.iter().any(within)
    }

    /// `destroy MEMBER` takes along what was seen to depend on it.
    fn depends_on_target(&self, path: &MemberPath) -> bool {
        if self.options.mode != Mode::Destroy {
            return false;
        }
        let mut seen = BTreeSet::new();
        let mut trail = vec![path.clone()];
        while let Some(here) = trail.pop() {
            // What comes after a composite comes after each of its members.
            if self.options.is_target(&here) || self.options.targets.iter().any(|target| target.is_within(&here)) {
                return true;
            }
            if seen.insert(here.clone()) {
                let within = self.records.range(here.clone()..).take_while(|(path, _)| path.is_within(&here));
                trail.extend(within.flat_map(|(_, record)| record.edges.iter().cloned()));
            }
        }
        false
    }

    fn settle_removal(&mut self, path: &MemberPath) {
        if let Some(place) = self.place_beside(path) {
            let hint = format!("name `{place}` instead");
            return self.stuck(
                path,
                format!("there is no member `{path}`: its record is that of `{place}` (`moved`)"),
                hint,
            );
        }
        match self.look_into(path) {
            Looked::Done => {}
            Looked::Asking => return drop(self.removals.insert(path.clone(), Removal::Asking)),
            Looked::Stuck => return drop(self.removals.insert(path.clone(), Removal::Stuck)),
        }
        let forgotten = self.is_forgotten(path);
        let Some(record) = self.records.get(path).cloned() else {
            // There is no object: what was left open is closed.
            let reason = if forgotten { Reason::Forgotten } else { Reason::Interrupted };
            let begun = self.intents.get(path).and_then(|all| all.last());
            let begun = begun.and_then(|intent| self.record_of(path, intent)).map(Arc::new);
            return self.remove_with(path, Action::Forget, reason, begun);
        };
        if self.refreshes_only() {
            return self.refresh_record(path, record);
        }
        let destroy = self.options.mode == Mode::Destroy;
        if forgotten || record.keep {
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
            None => drop(self.removals.insert(path.clone(), Removal::Asking)),
            Some(facts) if !facts.can_delete => self.stuck(
                path,
                format!("cannot be deleted: type `{}` of its provider has no delete", record.type_name),
                format!("`--forget {path}` drops it from the record and leaves its object in the world"),
            ),
            Some(_) => {
                let reason = match (self.found.contains_key(path), destroy) {
                    (true, _) => Reason::Interrupted,
                    (false, true) => Reason::Destroyed,
                    (false, false) => Reason::Removed,
                };
                self.remove_with(path, Action::Delete, reason, Some(record));
            }
        }
    }

    fn refresh_record(&mut self, path: &MemberPath, record: Arc<Record>) {
        if self.found.contains_key(path) {
            return self.remove_with(path, Action::Adopt, Reason::Interrupted, Some(record));
        }
        match self.facts_of(path, &record) {
            None => drop(self.removals.insert(path.clone(), Removal::Asking)),
            Some(facts) if facts.can_read => {
                self.outstanding += 1;
                self.removals.insert(path.clone(), Removal::Asking);
                self.effects.push(PlanEffect::Read { member: path.clone(), record });
            }
            Some(_) => self.remove_with(path, Action::None, Reason::Unchanged, Some(record)),
        }
    }

    /// A record was looked at only to bring it up to date.
    pub(super) fn take_refreshed(&mut self, path: &MemberPath, observed: Observation) {
        let Some(mut record) = self.records.get(path).cloned() else { return };
        let Observation::Object { inputs, outputs, private } = observed else {
            // A record that lists old objects stays as long as they do.
            let action = if record.deposed.is_empty() { Action::Forget } else { Action::None };
            return self.remove_with(path, action, Reason::Gone, Some(record));
        };
        let now = Arc::make_mut(&mut record);
        if let Some(inputs) = inputs {
            now.inputs = inputs;
        }
        now.outputs = outputs;
        now.private = private.or(now.private.take());
        let drifted = self.drift.iter().any(|d| &d.member == path);
        let (action, reason) =
            if drifted { (Action::Read, Reason::Observed) } else { (Action::None, Reason::Unchanged) };
        self.remove_with(path, action, reason, Some(record));
    }

    fn stuck(&mut self, path: &MemberPath, message: impl Into<String>, hint: String) {
        self.problem(path, message, Some(hint));
        self.removals.insert(path.clone(), Removal::Stuck);
    }

    fn remove_with(&mut self, path: &MemberPath, action: Action, reason: Reason, prior: Option<Arc<Record>>) {
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
            identity: Identity::default(),
            old: Old::Deleted,
            recovery: Recovery::default(),
            told: false,
            outputs: Attrs::new(),
            edges: prior.as_ref().map(|r| r.edges.clone()).unwrap_or_default(),
            prior,
            resumes: self.intents.get(path).and_then(|all| all.last()).map(|i| i.op.clone()),
        };
        self.removals.insert(path.clone(), Removal::Step(Box::new(step)));
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
            // What a target needs may be replaced, and then its old objects have to be gone; what a `destroy` brings along goes with them.
            .filter(|(path, record)| {
                let is_part = self.options.is_target(path) || self.members.contains_key(*path);
                is_part || !record.deposed.is_empty() && self.depends_on_target(path)
            })
            .filter(|(path, _)| !self.options.excludes(path) && !self.is_forgotten(path))
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
        identity: Identity::default(),
        old: Old::Deleted,
        recovery: Recovery::default(),
        told: false,
        outputs: Attrs::new(),
        edges: deposed.record.edges.clone(),
        prior: Some(Arc::from(deposed.record)),
        resumes: None,
    }
}
