//! Members that are no part of a plan with targets are asked one thing: whether they take over a record that would leave with it.

use freehold_model::{Lifecycle, MemberPath, Structure};

use super::Planner;
use crate::{Mode, moved_path};

impl Planner {
    /// Asks them, where a target names what nothing in the plan declares; false when there is nothing to ask (any more).
    pub(super) fn look_beside(&mut self) -> bool {
        if self.asks_beside || self.options.mode != Mode::Normal || self.options.targets.is_empty() {
            return false;
        }
        let stays =
            |path: &MemberPath| self.is_declared(path) || self.is_left_open(path) || self.options.excludes(path);
        let leaving = self.records.keys().chain(self.intents.keys()).filter(|path| !self.members.contains_key(*path));
        if !leaving.filter(|path| self.options.is_target(path)).any(|path| !stays(path)) {
            return false;
        }
        self.asks_beside = true;
        let beside = self.declared.iter().filter(|path| self.is_beside(path));
        let beside: Vec<MemberPath> = beside.cloned().collect();
        let any = !beside.is_empty();
        self.evaluate(beside);
        any
    }

    /// Whether this member was asked, and is no part of the plan.
    pub(super) fn is_beside(&self, path: &MemberPath) -> bool {
        self.asks_beside && !self.is_wanted(path) && !self.options.excludes(path)
    }

    pub(super) fn take_structure_beside(&mut self, member: &MemberPath, structure: &Structure) {
        self.moves_beside.extend(structure.moved.iter().cloned());
        let children: Vec<MemberPath> = structure.members.iter().map(|name| member.child(name)).collect();
        self.structures.insert(member.clone(), structure.members.clone());
        self.declared.extend(children.iter().cloned());
        self.evaluate(children);
    }

    pub(super) fn take_declaration_beside(&mut self, member: &MemberPath, lifecycle: &Lifecycle) {
        self.moves_beside.extend(lifecycle.moved.iter().map(|old| (old.clone(), member.clone())));
    }

    /// Where the record at `path` belongs by the word of a member that is no part of the plan.
    pub(super) fn place_beside(&self, path: &MemberPath) -> Option<MemberPath> {
        let mut places = self.moves_beside.iter().filter_map(|(from, to)| moved_path(path, from, to));
        places.find(|place| !self.records.contains_key(place))
    }
}
