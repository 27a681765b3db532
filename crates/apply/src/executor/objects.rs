//! Who has which object in the world: a member that takes over the object of one that leaves is that one under a new name, or waits
//! until the object is gone.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{Declaration, MemberPath};
use freehold_plan::{Action, ObjectKey, object_key};

use super::Executor;
use super::delete::Target;

/// Deletions by their objects, for each set of inputs that name objects.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<Vec<String>, BTreeMap<ObjectKey, BTreeSet<Target>>>);

impl Index {
    /// Something else is deleted than it says.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Executor {
    /// Deletions of the object that `path` is to make: those come first.
    pub(super) fn deletions_of_its_object(&mut self, path: &MemberPath) -> BTreeSet<Target> {
        let Some(node) = self.nodes.get(path) else { return BTreeSet::new() };
        let Some(declaration) = node.declaration.clone() else { return BTreeSet::new() };
        if !matches!(node.action, Action::Create | Action::Replace) {
            return BTreeSet::new();
        }
        let mut targets = self.deletions_of(&declaration, &node.identity.clone());
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

    fn deletions_of(&mut self, declaration: &Declaration, identity: &[String]) -> BTreeSet<Target> {
        if self.deleting.is_empty() {
            return BTreeSet::new();
        }
        let Some(key) = object_key(&declaration.provider, &declaration.type_name, &declaration.inputs, identity) else {
            return BTreeSet::new();
        };
        let deleting = &self.deleting;
        let by_object = self.deleting_objects.0.entry(identity.to_vec()).or_insert_with(|| {
            let mut by_object: BTreeMap<ObjectKey, BTreeSet<Target>> = BTreeMap::new();
            for (target, record) in deleting {
                let key = object_key(&record.provider.provider, &record.type_name, &record.inputs, identity);
                if let Some(key) = key {
                    by_object.entry(key).or_default().insert(target.clone());
                }
            }
            by_object
        });
        by_object.get(&key).cloned().unwrap_or_default()
    }
}
