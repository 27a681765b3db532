//! What goes at the end: removed members and deposed objects, in the reverse of how they came to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_model::{Interval, MemberPath, Record};
use freehold_plan::Action;

use super::operate::What;
use super::{Executor, Stage};
use crate::{Failure, Report, Skip};

/// One object to delete: a member's current one, or a deposed one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) member: MemberPath,
    pub(super) deposed: Option<String>,
}

impl Target {
    /// The member's current object.
    pub(super) fn current(&self) -> Self {
        Self { member: self.member.clone(), deposed: None }
    }
}

impl Executor {
    pub(super) fn add_deletion(&mut self, target: Target, record: Arc<Record>) {
        let mut interval = record.interval;
        if target.deposed.is_some()
            && let Some(current) = self.records.get(&target.member)
        {
            // A member's record lists its deposed objects, so they go before it.
            let after = current.interval.ended.max(interval.ended) + 1;
            interval = Interval { began: after, ended: after };
        }
        self.deletions.insert(target.clone(), interval);
        for used in &record.edges {
            self.deletion_users.entry(used.clone()).or_default().insert(target.clone());
        }
        self.order_by_edges(&target, &record);
        self.deleting.insert(target, record);
        self.deleting_objects.clear();
    }

    /// What uses it goes before it, and it before what it uses: early or at the end, and where one stays, what it uses stays, too.
    fn order_by_edges(&mut self, target: &Target, record: &Record) {
        for used in &record.edges {
            self.deletions.insert_edge(target, &Target { member: used.clone(), deposed: None });
        }
        // A member's record lists its old objects: it goes after them, and stays with them.
        if target.deposed.is_some() {
            return self.deletions.insert_edge(target, &target.current());
        }
        for user in self.deletion_users.get(&target.member).into_iter().flatten() {
            self.deletions.insert_edge(user, target);
        }
        for (old, _) in self.deleting.range(target.clone()..).take_while(|(t, _)| t.member == target.member) {
            self.deletions.insert_edge(old, target);
        }
    }

    /// Begins the deletions that may begin; false when there is nothing left to do.
    pub(super) fn continue_deleting(&mut self) -> bool {
        if self.deleting.is_empty() {
            return false;
        }
        if self.stopping {
            self.skip_all(&Skip::Interrupted);
            return true;
        }
        if !self.deleting_started {
            self.deleting_started = true;
            self.spare_what_is_still_used();
        }
        self.begin_deletions();
        true
    }

    pub(super) fn begin_deletions(&mut self) {
        while self.has_room() {
            let Some(target) = self.deletions.take_ready() else { return };
            self.begin_deletion(target);
        }
    }

    pub(super) fn begin_deletion(&mut self, target: Target) {
        let op = self.new_op();
        self.begin_op(op, What::Delete(target));
    }

    /// A member that was not brought along still uses what its record says, and may depend on what it was made after.
    fn spare_what_is_still_used(&mut self) {
        let failed = self.nodes.iter().filter(|(_, n)| n.stage == Stage::Finished { ok: false });
        let failed = failed.filter_map(|(path, _)| self.records.get_key_value(path));
        // Of an open composite that was given up nobody knows which members stay.
        let undecided = self.given_up.iter().flat_map(|composite| {
            self.records.range(composite.clone()..).take_while(move |(path, _)| path.is_within(composite))
        });
        let left: Vec<(MemberPath, &Record)> =
            failed.chain(undecided).map(|(path, record)| (path.clone(), &**record)).collect();
        let used = left.iter().flat_map(|(user, record)| record.edges.iter().map(move |used| (used, user)));
        let used: BTreeMap<MemberPath, MemberPath> = used.map(|(used, user)| (used.clone(), user.clone())).collect();
        let users: Vec<(MemberPath, u64)> = left.iter().map(|(path, r)| (path.clone(), r.interval.began)).collect();
        let spared: Vec<(Target, MemberPath)> = self
            .deleting
            .iter()
            .filter_map(|(target, record)| {
                // What is used may be a composite as a whole.
                let around = std::iter::successors(Some(target.member.clone()), MemberPath::parent);
                let by_edge = around.filter_map(|path| used.get(&path)).find(|user| **user != target.member);
                let by_time = || users.iter().find(|(_, began)| record.interval.ended < *began).map(|(user, _)| user);
                Some((target.clone(), by_edge.or_else(by_time)?.clone()))
            })
            .collect();
        let with_old = |(t, m): &(Target, MemberPath)| t.deposed.is_some().then(|| (t.current(), m.clone()));
        let listed: Vec<(Target, MemberPath)> = spared.iter().filter_map(with_old).collect();
        for (target, member) in spared.into_iter().chain(listed) {
            // What it uses in turn stays with it.
            let kept = self.deletions.failed(&target);
            self.deletion_skipped(&target, Skip::StillUsed { member });
            for kept in kept {
                self.deletion_skipped(&kept, Skip::StillUsed { member: target.member.clone() });
            }
        }
    }

    pub(super) fn deletion_done(&mut self, target: &Target) {
        self.deletions.done(target);
        self.deleting.remove(target);
        self.cleared(target);
        match &target.deposed {
            None => drop(self.records.remove(&target.member)),
            Some(key) => {
                if let Some(record) = self.records.get_mut(&target.member) {
                    Arc::make_mut(record).deposed.retain(|d| &d.key != key);
                }
            }
        }
        if !self.exchanged.remove(target) {
            *self.summary.done.entry(Action::Delete).or_default() += 1;
        }
        self.report(Report::Done { member: target.member.clone(), action: Action::Delete });
        if self.stopping {
            self.skip_all(&Skip::Interrupted);
        } else if self.deleting_started {
            self.begin_deletions();
        }
    }

    pub(super) fn deletion_failed(&mut self, target: &Target, failure: Failure) {
        let member = target.member.clone();
        self.report(Report::Failed { member: member.clone(), action: Action::Delete, failure: failure.clone() });
        self.summary.failed.push((member.clone(), Action::Delete, failure));
        self.deleting.remove(target);
        self.kept.insert(target.clone());
        self.not_cleared(target, &Skip::StillUsed { member: member.clone() });
        for kept in self.deletions.failed(target) {
            self.deletion_skipped(&kept, Skip::StillUsed { member: member.clone() });
        }
        if !self.stopping && self.deleting_started {
            self.begin_deletions();
        }
    }

    pub(super) fn deletion_skipped(&mut self, target: &Target, why: Skip) {
        if self.deleting.remove(target).is_none() {
            return;
        }
        self.deletions.done(target);
        self.kept.insert(target.clone());
        self.not_cleared(target, &why);
        let member = target.member.clone();
        self.report(Report::Skipped { member: member.clone(), action: Action::Delete, why: why.clone() });
        self.summary.skipped.push((member, Action::Delete, why));
    }

    /// Everything that has not begun is left out.
    fn skip_all(&mut self, why: &Skip) {
        let unbegun: Vec<Target> = self.deletions.remaining().cloned().collect();
        for target in unbegun {
            self.deletion_skipped(&target, why.clone());
        }
    }
}
