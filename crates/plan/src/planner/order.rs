//! Orders that cannot be kept: members that come after each other, after what does not exist, or after what holds them.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, did_you_mean};

use super::Planner;

impl Planner {
    /// Names what `dependsOn` says and cannot be.
    pub(super) fn refuse_impossible_order(&mut self) {
        let declared = self.members.iter().map(|(path, m)| (path.clone(), m.declaration.depends_on.clone()));
        let declared: Vec<(MemberPath, BTreeSet<MemberPath>)> =
            declared.filter(|(_, after)| !after.is_empty()).collect();
        if declared.is_empty() {
            return;
        }
        for (path, after) in &declared {
            for other in after {
                if self.refuse_holder(path, other) {
                    continue;
                }
                if path.is_within(other) {
                    let hint = "leave it out of `dependsOn`".to_owned();
                    let what = if path == other { "itself" } else { "the composite that holds it" };
                    self.problem(path, format!("is to come after {what} (`dependsOn`)"), Some(hint));
                } else if !self.exists(other) && !self.problems.iter().any(|p| p.member == *other) {
                    let known: Vec<String> = self.known_paths().collect();
                    let hint = did_you_mean(&other.to_string(), known.iter().map(String::as_str))
                        .map(|name| format!("did you mean `{name}`?"))
                        .or_else(|| Some("`freehold members` lists them".to_owned()));
                    let holds = self.members.get(path).is_some_and(|m| m.declaration.holder.as_ref() == Some(other));
                    let text = if holds {
                        format!("its record is to be held by `{other}`, which does not exist (`state`)")
                    } else {
                        format!("is to come after `{other}`, which does not exist (`dependsOn`)")
                    };
                    self.problem(path, text, hint);
                }
            }
        }
        if let Some(circle) = self.find_circle(&BTreeMap::new()) {
            let text = circle.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(" → ");
            self.problem(
                &circle[0],
                format!("is to come after itself: {text}"),
                Some("take one of them out of `dependsOn`, or let one not use the other's output".to_owned()),
            );
        }
    }

    /// Names a holder that cannot hold a record, if `holder` is to hold that of `path`.
    fn refuse_holder(&mut self, path: &MemberPath, holder: &MemberPath) -> bool {
        if self.members.get(path).is_none_or(|m| m.declaration.holder.as_ref() != Some(holder)) {
            return false;
        }
        let what = match self.members.get(holder) {
            Some(member) if !member.facts.holds_state => format!("its type is `{}`", member.declaration.type_name),
            None if self.structures.contains_key(holder) => "it is a composite".to_owned(),
            _ => return false,
        };
        self.problem(
            path,
            format!("its record is to be held by `{holder}`, which cannot hold state: {what} (`state`)"),
            Some("resources that can are `local.state_file` and `s3.object`".to_owned()),
        );
        true
    }

    /// A circle among the members that come after each other, its first member repeated at the end. `besides` says after whom members
    /// come for other reasons than their edges.
    pub(super) fn find_circle(&self, besides: &BTreeMap<MemberPath, BTreeSet<MemberPath>>) -> Option<Vec<MemberPath>> {
        let before = |path: &MemberPath| -> Vec<&MemberPath> {
            let edges = self.members.get(path).map(|m| &m.edges).into_iter().flatten();
            let edges = edges.chain(besides.get(path).into_iter().flatten());
            let within = |edge: &MemberPath| {
                let edge = edge.clone();
                self.members.range(edge.clone()..).map(|(p, _)| p).take_while(move |p| p.is_within(&edge))
            };
            // What holds the member is a problem of its own.
            edges.filter(|edge| !path.is_within(edge)).flat_map(within).collect()
        };
        let mut done: BTreeSet<&MemberPath> = BTreeSet::new();
        for start in self.members.keys() {
            let mut trail = vec![(start, before(start))];
            let mut at: BTreeMap<&MemberPath, usize> = [(start, 0)].into();
            while let Some((here, open)) = trail.last_mut() {
                let here = *here;
                match open.pop() {
                    None => {
                        done.insert(here);
                        at.remove(here);
                        trail.pop();
                    }
                    Some(next) if done.contains(next) => {}
                    Some(next) => match at.get(next) {
                        Some(from) => {
                            let circle = trail[*from..].iter().map(|(path, _)| (*path).clone());
                            return Some(circle.chain([next.clone()]).collect());
                        }
                        None => {
                            at.insert(next, trail.len());
                            trail.push((next, before(next)));
                        }
                    },
                }
            }
        }
        None
    }
}
