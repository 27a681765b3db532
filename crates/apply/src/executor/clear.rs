//! What has to be gone before a member's object is deleted to make way for a new one, before its record is dropped, or before it
//! takes an object: the old objects that a record lists, and what leaves the deployment and was seen to use what goes.
//!
//! These deletions come early; all others come at the end (see [`super::delete`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::MemberPath;
use freehold_plan::{Action, DeletionOrder, Reason};

use super::Executor;
use super::delete::Target;
use crate::Skip;

impl Executor {
    /// Whether `path` has to wait until others are gone, which is set going, or cannot begin because they stay.
    pub(super) fn has_to_clear(&mut self, path: &MemberPath) -> bool {
        if let Some(member) = self.kept_user(path) {
            self.skip(path, Skip::StillUsed { member });
            return true;
        }
        let targets = self.in_the_way(path);
        if targets.is_empty() {
            return false;
        }
        let mut order = DeletionOrder::default();
        for target in &targets {
            if let Some(interval) = self.deletions.interval(target) {
                order.insert(target.clone(), interval);
            }
        }
        for user in &targets {
            for used in self.deleting.get(user).iter().flat_map(|r| &r.edges) {
                order.insert_edge(user, &Target { member: used.clone(), deposed: None });
            }
            if user.deposed.is_some() {
                order.insert_edge(user, &user.current());
            }
        }
        self.clearing.insert(path.clone(), order);
        true
    }

    fn makes_way(&self, path: &MemberPath) -> bool {
        self.nodes.get(path).is_some_and(|n| n.action == Action::Replace && !n.create_first && n.prior.is_some())
    }

    /// What was to leave, could not, and was seen to use `path`.
    fn kept_user(&self, path: &MemberPath) -> Option<MemberPath> {
        let users = self.deletion_users.get(path).filter(|_| self.makes_way(path))?;
        users.iter().find(|user| user.member != *path && self.kept.contains(user)).map(|user| user.member.clone())
    }

    fn in_the_way(&mut self, path: &MemberPath) -> BTreeSet<Target> {
        let mut targets = self.deletions_of_its_object(path);
        for leaving in targets.clone().into_iter().filter(|target| target.deposed.is_none()) {
            self.add_old_objects(&leaving, &mut targets);
            self.add_leaving_users(&leaving.member, &mut targets);
        }
        let replaces = self.makes_way(path);
        let Some(node) = self.nodes.get(path) else { return targets };
        let drops = node.action == Action::Forget && !node.reasons.contains(&Reason::Forgotten);
        if !replaces && !drops {
            return targets;
        }
        for old in self.records.get(path).map(|r| r.deposed.clone()).unwrap_or_default() {
            let target = Target { member: path.clone(), deposed: Some(old.key) };
            if !self.deleting.contains_key(&target) {
                self.add_deletion(target.clone(), Arc::from(old.record));
            }
            targets.insert(target);
        }
        if replaces && self.deletion_users.contains_key(path) {
            self.add_leaving_users(path, &mut targets);
        }
        targets
    }

    /// What leaves and was seen to use `path`, and so on; but not what a member that stays was seen to use.
    fn add_leaving_users(&self, path: &MemberPath, targets: &mut BTreeSet<Target>) {
        let leaves = |m: &MemberPath| {
            let current = Target { member: m.clone(), deposed: None };
            self.deleting.contains_key(&current) || self.kept.contains(&current)
        };
        let staying = self.records.iter().filter(|(m, _)| !leaves(m));
        // What leaves and is still used goes at the end, if at all; until then it uses what it did.
        let mut still_used: BTreeSet<&MemberPath> = BTreeSet::new();
        let mut used: Vec<&MemberPath> = staying.flat_map(|(_, record)| &record.edges).collect();
        while let Some(member) = used.pop() {
            if still_used.insert(member)
                && let Some(record) = self.records.get(member).filter(|_| leaves(member))
            {
                used.extend(&record.edges);
            }
        }
        let mut trail = vec![path.clone()];
        while let Some(used) = trail.pop() {
            for user in self.deletion_users.get(&used).into_iter().flatten() {
                let skips = !self.deleting.contains_key(user) || still_used.contains(&user.member);
                if skips || user.member == *path || !targets.insert(user.clone()) {
                    continue;
                }
                if user.deposed.is_none() {
                    trail.push(user.member.clone());
                    self.add_old_objects(user, targets);
                }
            }
        }
    }

    /// The old objects of a member that leaves, which its record lists.
    fn add_old_objects(&self, leaving: &Target, targets: &mut BTreeSet<Target>) {
        let old = self.deleting.range(leaving.clone()..).map(|(t, _)| t);
        targets.extend(old.take_while(|t| t.member == leaving.member).cloned());
    }

    /// Begins the early deletions that may begin, and the members whose way is clear.
    pub(super) fn go_on_clearing(&mut self) {
        if self.clearing.is_empty() {
            return;
        }
        if self.stopping {
            for path in std::mem::take(&mut self.clearing).into_keys() {
                self.skip(&path, Skip::Interrupted);
            }
            return;
        }
        let paths: Vec<MemberPath> = self.clearing.keys().cloned().collect();
        for path in paths {
            while self.has_room() {
                let Some(target) = self.clearing.get_mut(&path).and_then(DeletionOrder::take_ready) else { break };
                // Another member may wait for it too.
                if self.deletions.take(&target) {
                    self.begin_deletion(target);
                }
            }
            let waits = self.opens_a_question(&path) && !self.may_open_another();
            if self.clearing.get(&path).is_some_and(DeletionOrder::is_empty) && !waits {
                self.clearing.remove(&path);
                self.begin_cleared(&path);
            }
        }
    }

    /// An object is gone: who waited for that goes on.
    pub(super) fn cleared(&mut self, target: &Target) {
        self.clearing.values_mut().for_each(|order| order.done(target));
    }

    /// An object stays: so does what makes way only after it.
    pub(super) fn not_cleared(&mut self, target: &Target, why: &Skip) {
        let waiting = self.clearing.iter().filter(|(_, order)| order.contains(target));
        let waiting: Vec<MemberPath> = waiting.map(|(path, _)| path.clone()).collect();
        for path in waiting {
            self.clearing.remove(&path);
            let why = match why {
                Skip::Interrupted => Skip::Interrupted,
                _ => Skip::StillUsed { member: target.member.clone() },
            };
            self.skip(&path, why);
        }
    }
}
