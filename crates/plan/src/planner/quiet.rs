//! What is done when the evaluation can go no further: settle what rests on unknown outputs, widen the scope, or name the cycle.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, OutputRef, did_you_mean};

use super::{Planner, Waiting};

impl Planner {
    /// Whether this member has to be evaluated: it is, holds, or is needed by a target.
    pub(super) fn is_wanted(&self, member: &MemberPath) -> bool {
        self.options.wants(member, &self.needed)
    }

    /// Does what can be done; false when every declared member is settled.
    pub(super) fn move_on(&mut self) -> bool {
        if !self.provisional.is_empty() {
            self.exact = false;
            for (member, outputs) in std::mem::take(&mut self.provisional) {
                self.publish(member, outputs);
            }
            return true;
        }
        if self.waiting.is_empty() {
            return false;
        }
        if self.widen_scope() || self.settle_waiting() {
            return true;
        }
        self.report_stuck();
        true
    }

    /// Members that a target needs are planned too.
    fn widen_scope(&mut self) -> bool {
        let needs: BTreeSet<MemberPath> =
            self.waiting.values().flat_map(|w| w.needs.iter().map(|n| n.member.clone())).collect();
        self.need(needs)
    }

    /// Plans these members, too; false when all of them are planned anyway.
    pub(super) fn need(&mut self, needs: BTreeSet<MemberPath>) -> bool {
        let new: Vec<MemberPath> =
            needs.into_iter().filter(|n| !self.is_wanted(n) && !self.options.excludes(n)).collect();
        self.needed.extend(new.iter().cloned());
        let first_unknown: BTreeSet<MemberPath> = new
            .iter()
            .filter_map(|path| {
                (1..=path.names().len())
                    .map(|n| MemberPath::new(path.names()[..n].to_vec()))
                    .find(|prefix| !self.structures.contains_key(prefix))
            })
            .collect();
        self.evaluate(first_unknown.into_iter().collect());
        !new.is_empty()
    }

    /// Settles every waiting member whose needs are all settled, as unknown.
    fn settle_waiting(&mut self) -> bool {
        let ready: Vec<MemberPath> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.needs.iter().all(|need| self.is_settled(&need.member)))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &ready {
            let Some(waiting) = self.waiting.remove(path) else { continue };
            self.settle_one(path, waiting);
        }
        !ready.is_empty()
    }

    fn settle_one(&mut self, path: &MemberPath, waiting: Waiting) {
        let of = |set: &BTreeSet<MemberPath>| waiting.needs.iter().any(|n| set.contains(&n.member));
        if of(&self.failed) {
            // Its cause is reported already.
            self.fail(path.clone());
        } else if let Some((need, given)) = waiting.needs.iter().find_map(|need| Some((need, self.lacks_output(need)?)))
        {
            let (member, output) = (&need.member, &need.output);
            self.problem(
                path,
                format!("needs `{need}`: `{member}` has no output `{output}` (it gave {given})"),
                Some("use one that it gave: a provider may leave out an output of its schema".to_owned()),
            );
            self.fail(path.clone());
        } else if of(&self.skipped) || waiting.needs.iter().any(|n| self.is_excluded_without_record(&n.member)) {
            self.skipped.insert(path.clone());
            let outputs = self.records.get(path).map(|r| r.outputs.clone()).unwrap_or_default();
            self.publish(path.clone(), outputs);
        } else if let Some((declaration, facts)) = waiting.partial {
            let edges = waiting.needs.iter().map(|n| n.member.clone()).collect();
            self.open_needs.insert(path.clone(), waiting.needs);
            self.take_open_declaration(path, declaration, facts, edges);
        } else {
            self.open.insert(path.clone(), waiting.needs);
        }
    }

    /// What a member gave, if that stays as it is and this output is not among it.
    fn lacks_output(&self, need: &OutputRef) -> Option<String> {
        let step = self.members.get(&need.member)?.step.as_ref()?;
        let lacks = step.exact && !step.open && !step.outputs.contains_key(&need.output);
        let given: Vec<String> = step.outputs.keys().map(|name| format!("`{name}`")).collect();
        lacks.then(|| if given.is_empty() { "none".to_owned() } else { given.join(", ") })
    }

    fn take_open_declaration(
        &mut self,
        path: &MemberPath,
        declaration: Box<freehold_model::Declaration>,
        facts: std::sync::Arc<crate::TypeFacts>,
        edges: BTreeSet<MemberPath>,
    ) {
        self.take_declaration(path, declaration, facts, edges, true);
        if let Some(member) = self.members.get_mut(path) {
            member.open = true;
        }
        if let Some(step) = self.members.get_mut(path).and_then(|m| m.step.as_mut()) {
            step.open = true;
        }
    }

    /// Whether nothing more will be known of this member's outputs in this plan.
    fn is_settled(&self, member: &MemberPath) -> bool {
        self.members.get(member).is_some_and(|m| m.step.is_some())
            || self.failed.contains(member)
            || self.skipped.contains(member)
            || self.open.keys().any(|open| member.is_within(open))
            || self.is_excluded_without_record(member)
    }

    fn is_excluded_without_record(&self, member: &MemberPath) -> bool {
        self.options.excludes(member) && !self.records.contains_key(member)
    }

    /// Nothing moves: members wait for each other, or for something that does not exist.
    fn report_stuck(&mut self) {
        let mut needs: BTreeMap<MemberPath, BTreeSet<OutputRef>> =
            self.waiting.iter().map(|(path, w)| (path.clone(), w.needs.clone())).collect();
        let mut is_circle = false;
        while let Some(cycle) = find_cycle(&needs) {
            is_circle = true;
            // Another one may be elsewhere.
            cycle.iter().for_each(|output| drop(needs.remove(&output.member)));
            let text = cycle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ");
            let at = cycle.first().map_or_else(MemberPath::root, |o| o.member.clone());
            self.problem(
                &at,
                format!("outputs depend on each other: {text}"),
                Some("break the circle: let one of them not use the other's output".into()),
            );
        }
        if let Some((path, waiting)) = self.waiting.iter().next().filter(|_| !is_circle) {
            let needs: Vec<String> = waiting.needs.iter().map(ToString::to_string).collect();
            let (path, text) = (path.clone(), needs.join(", "));
            self.problem(&path, format!("waits for {text}, which nothing provides"), None);
        }
        for path in std::mem::take(&mut self.waiting).into_keys() {
            self.fail(path);
        }
    }

    /// Paths on the command line that name nothing.
    pub(super) fn check_named_members(&mut self) {
        let options = self.options.clone();
        let named = [
            ("--target", &options.targets),
            ("--exclude", &options.excludes),
            ("--replace", &options.replace),
            ("--forget", &options.forget),
        ];
        for (flag, paths) in named {
            for path in paths {
                if self.exists(path) {
                    continue;
                }
                let known: Vec<String> = self.known_paths().collect();
                let hint = did_you_mean(&path.to_string(), known.iter().map(String::as_str))
                    .map(|m| format!("did you mean `{m}`?"))
                    .unwrap_or_else(|| "`freehold members` lists them".to_owned());
                // A target may be written without the flag, and some commands have no such flag.
                let by = if flag == "--target" { String::new() } else { format!(" ({flag})") };
                self.problem(path, format!("there is no member `{path}`{by}"), Some(hint));
            }
        }
        let acted_on = [("--replace", &options.replace), ("--forget", &options.forget)];
        for (flag, path) in acted_on.into_iter().flat_map(|(flag, paths)| paths.iter().map(move |p| (flag, p))) {
            let hint = match () {
                () if !self.exists(path) => continue,
                () if options.excludes(path) => format!("leave out `{flag} {path}` or the `--exclude` that covers it"),
                () if !options.wants(path, &self.needed) && !self.removals.keys().any(|r| r.is_within(path)) => {
                    format!("name it with `--target {path}`, too")
                }
                () => continue,
            };
            self.problem(path, format!("`{flag}` names what is no part of this plan"), Some(hint));
        }
    }

    /// Members that are declared or recorded.
    pub(super) fn known_paths(&self) -> impl Iterator<Item = String> {
        let declared = self.structures.iter().flat_map(|(p, names)| names.iter().map(|n| p.child(n).to_string()));
        declared.chain(self.records.keys().map(ToString::to_string))
    }

    /// Whether this is declared, may be, is recorded, or was begun.
    pub(super) fn exists(&self, path: &MemberPath) -> bool {
        let declared = self.may_be_declared(path);
        declared
            || self.open.keys().any(|o| path.is_within(o))
            || self.failed.iter().any(|f| path.is_within(f))
            || self.records.keys().chain(self.intents.keys()).any(|r| r.is_within(path))
    }

    /// Whether it is declared as far as was asked: below a composite that is no part of the plan anything may be.
    fn may_be_declared(&self, path: &MemberPath) -> bool {
        let mut at = MemberPath::root();
        for name in path.names() {
            match self.structures.get(&at) {
                Some(names) if !names.iter().any(|n| n == name) => return false,
                Some(_) => at = at.child(name),
                None => return !at.is_root() && !self.members.contains_key(&at),
            }
        }
        true
    }
}

/// A circle among waiting members, as the outputs along it; the first is repeated at the end.
fn find_cycle(needs: &BTreeMap<MemberPath, BTreeSet<OutputRef>>) -> Option<Vec<OutputRef>> {
    let mut done: BTreeSet<&MemberPath> = BTreeSet::new();
    for start in needs.keys() {
        let mut trail: Vec<(&MemberPath, Vec<&OutputRef>)> = Vec::new();
        let mut via: Vec<&OutputRef> = Vec::new();
        let mut on_trail: BTreeSet<&MemberPath> = BTreeSet::new();
        if done.contains(start) {
            continue;
        }
        trail.push((start, needs[start].iter().collect()));
        on_trail.insert(start);
        while let Some((member, open)) = trail.last_mut() {
            let Some(next) = open.pop() else {
                done.insert(member);
                on_trail.remove(*member);
                trail.pop();
                via.pop();
                continue;
            };
            // A need within a composite that itself waits is a need of that composite.
            let Some(target) = holder_of(&next.member, needs) else { continue };
            if on_trail.contains(target) {
                let from = trail.iter().position(|(m, _)| *m == target).unwrap_or(0);
                let mut cycle: Vec<OutputRef> = via[from..].iter().map(|o| (*o).clone()).collect();
                cycle.push(next.clone());
                cycle.insert(0, next.clone());
                return Some(cycle);
            }
            if !done.contains(target) {
                via.push(next);
                on_trail.insert(target);
                trail.push((target, needs[target].iter().collect()));
            }
        }
    }
    None
}

fn holder_of<'a>(member: &MemberPath, needs: &'a BTreeMap<MemberPath, BTreeSet<OutputRef>>) -> Option<&'a MemberPath> {
    (0..=member.names().len())
        .rev()
        .map(|n| MemberPath::new(member.names()[..n].to_vec()))
        .find_map(|p| needs.get_key_value(&p).map(|(k, _)| k))
}
