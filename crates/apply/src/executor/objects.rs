//! Who has which object in the world: a member that takes over the object of one that leaves is that one under a new name, or waits
//! until the object is gone; one that takes what another gives up comes after that, and one that takes what another keeps is refused.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{Declaration, ErrorKind, MemberPath, Record};
use freehold_plan::{Action, Identity, ObjectKey, object_key, objects_around, shared_object};

use super::delete::Target;
use super::{Executor, Node, Stage};
use crate::{Failure, Skip};

/// Deletions by their objects, for each set of inputs that name objects.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<Identity, BTreeMap<ObjectKey, BTreeSet<Target>>>);

impl Index {
    /// Something else is deleted than it says.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Members by the objects that they have recorded, for each set of inputs that name objects. An entry may be out of date: who asks
/// compares with the record.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<Identity, BTreeMap<ObjectKey, BTreeSet<MemberPath>>>);

impl Owners {
    /// A record is new, or stands at a new place.
    pub(super) fn note(&mut self, path: &MemberPath, record: &Record) {
        for (identity, by_object) in &mut self.0 {
            if let Some(key) = key_of(record, identity) {
                by_object.entry(key).or_default().insert(path.clone());
            }
        }
    }
}

fn key_of(record: &Record, identity: &Identity) -> Option<ObjectKey> {
    object_key(&record.provider.provider, &record.type_name, &record.inputs, identity)
}

/// Members by the objects that are declared of them, of those that something is done to; made when the first is known on the way.
pub(super) type Claims = Option<BTreeMap<ObjectKey, MemberPath>>;

impl Executor {
    /// Two members that manage one object would undo each other's work: the plan refuses what it knows, here are those whose names
    /// become known on the way.
    pub(super) fn claim_its_object(&mut self, path: &MemberPath) -> Result<(), Failure> {
        let key_of_node = |node: &Node| {
            let d = node.declaration.as_ref().filter(|_| node.stage != Stage::Evaluating)?;
            object_key(&d.provider, &d.type_name, &d.inputs, &node.identity)
        };
        let claims = self.claims.get_or_insert_with(|| {
            let known = self.nodes.iter().filter(|(other, _)| *other != path);
            known.filter_map(|(other, node)| Some((key_of_node(node)?, other.clone()))).collect()
        });
        let Some(node) = self.nodes.get(path) else { return Ok(()) };
        let Some(d) = &node.declaration else { return Ok(()) };
        let Some(key) = object_key(&d.provider, &d.type_name, &d.inputs, &node.identity) else { return Ok(()) };
        let first = claims.entry(key).or_insert_with(|| path.clone());
        if first == path {
            return Ok(());
        }
        let (message, hint) = shared_object(first, &node.identity);
        Err(Failure { kind: ErrorKind::User, message, hint: Some(hint) })
    }

    /// Deletions of the object that `path` is to make, or of one in whose place it needs a directory: those come first.
    pub(super) fn deletions_of_its_object(&mut self, path: &MemberPath) -> BTreeSet<Target> {
        let Some(node) = self.nodes.get(path) else { return BTreeSet::new() };
        let Some(declaration) = node.declaration.clone() else { return BTreeSet::new() };
        if self.deleting.is_empty() || !matches!(node.action, Action::Create | Action::Replace) {
            return BTreeSet::new();
        }
        let (d, identity) = (&declaration, node.identity.clone());
        let around = objects_around(&d.provider, &d.type_name, &d.inputs, &identity);
        let mut targets = self.deletions_of(d, &identity);
        targets.extend(around.iter().flat_map(|key| self.deletions_of_object(key, &identity)));
        targets.retain(|target| target.member != *path && self.deleting.contains_key(target));
        targets
    }

    /// A member without a record whose object is that of a record that leaves is that one under a new name.
    pub(super) fn recognise_late(&mut self, path: &MemberPath, declaration: &Declaration) {
        let Some(node) = self.nodes.get(path).filter(|n| n.prior.is_none()) else { return };
        if self.records.contains_key(path) {
            return;
        }
        let identity = node.identity.clone();
        let leaving = self.deletions_of(declaration, &identity).into_iter().find(|target| target.deposed.is_none());
        let Some(old) = leaving else { return };
        self.move_one(&old.member, path);
        let record = self.records.get(path).cloned();
        if let Some(node) = self.nodes.get_mut(path) {
            node.prior = record;
        }
    }

    /// Other members that have the object which `path` is to make or to become, as it stands now.
    pub(super) fn owners_of_its_object(&mut self, path: &MemberPath) -> Vec<MemberPath> {
        let Some(node) = self.nodes.get(path).filter(|n| n.action.is_forward()) else { return Vec::new() };
        let Some(d) = &node.declaration else { return Vec::new() };
        let Some(key) = object_key(&d.provider, &d.type_name, &d.inputs, &node.identity) else { return Vec::new() };
        let (identity, records) = (&node.identity, &self.records);
        let by_object = self.owners.0.entry(identity.clone()).or_insert_with(|| {
            let mut by_object: BTreeMap<ObjectKey, BTreeSet<MemberPath>> = BTreeMap::new();
            for (owner, record) in records {
                if let Some(key) = key_of(record, identity) {
                    by_object.entry(key).or_default().insert(owner.clone());
                }
            }
            by_object
        });
        let has_it = |owner: &&MemberPath| {
            let record = records.get(*owner).filter(|_| *owner != path);
            record.is_some_and(|record| key_of(record, identity).as_ref() == Some(&key))
        };
        let owners = by_object.get(&key).into_iter().flatten().filter(has_it);
        // The object of one that is made anew is gone; one that leaves makes way when its turn has come.
        let is_gone = |owner: &MemberPath| {
            self.nodes.get(owner).is_some_and(|n| n.action == Action::Create && n.prior.is_none())
                || self.deleting.contains_key(&Target { member: owner.clone(), deposed: None })
        };
        owners.filter(|owner| !is_gone(owner)).cloned().collect()
    }

    /// Whether `path` cannot begin because another member has its object and keeps it.
    pub(super) fn is_refused_its_object(&mut self, path: &MemberPath) -> bool {
        let Some(owner) = self.owners_of_its_object(path).into_iter().next() else { return false };
        let left_out = self.nodes.get(&owner).is_some_and(|n| n.stage == Stage::Finished { ok: false });
        let kept = self.kept.contains(&Target { member: owner.clone(), deposed: None });
        if left_out || kept {
            self.skip(path, Skip::StillUsed { member: owner });
        } else {
            let identity = self.nodes.get(path).map(|n| n.identity.clone()).unwrap_or_default();
            let (message, hint) = shared_object(&owner, &identity);
            self.fail_member(path, Failure { kind: ErrorKind::User, message, hint: Some(hint) });
        }
        true
    }

    fn deletions_of(&mut self, declaration: &Declaration, identity: &Identity) -> BTreeSet<Target> {
        let key = object_key(&declaration.provider, &declaration.type_name, &declaration.inputs, identity);
        key.map(|key| self.deletions_of_object(&key, identity)).unwrap_or_default()
    }

    fn deletions_of_object(&mut self, key: &ObjectKey, identity: &Identity) -> BTreeSet<Target> {
        if self.deleting.is_empty() {
            return BTreeSet::new();
        }
        let deleting = &self.deleting;
        let by_object = self.deleting_objects.0.entry(identity.clone()).or_insert_with(|| {
            let mut by_object: BTreeMap<ObjectKey, BTreeSet<Target>> = BTreeMap::new();
            for (target, record) in deleting {
                if let Some(key) = key_of(record, identity) {
                    by_object.entry(key).or_default().insert(target.clone());
                }
            }
            by_object
        });
        by_object.get(key).cloned().unwrap_or_default()
    }
}
