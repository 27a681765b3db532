//! What members of one deployment, and what is published beside them, would do to each other: told by the plan, before one of two is
//! published and the other cannot be.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use freehold_manifest::{Mistake, Service as Entry};

/// What was found out in the plans of one process.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// What each member that was planned is to publish, by place and member.
    planned: Mutex<BTreeMap<String, BTreeMap<String, Entry>>>,
    /// Whether a place that was asked answers: one that hangs is waited for once.
    answers: Mutex<BTreeMap<String, bool>>,
}

impl Neighbours {
    /// What is published at a place, as `ask` says it; nothing where that cannot be told.
    pub(crate) fn published(&self, to: &str, ask: impl FnOnce() -> Option<Vec<Entry>>) -> Vec<Entry> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get(to) {
            Some(false) => return Vec::new(),
            Some(true) => drop(answers),
            None => {
                let found = ask();
                answers.insert(to.to_owned(), found.is_some());
                return found.unwrap_or_default();
            }
        }
        ask().unwrap_or_default()
    }

    /// Forgets what `member` was to publish: it is not known, or no longer so.
    pub(crate) fn forget(&self, member: &str) {
        for planned in self.planned.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            planned.remove(member);
        }
    }

    /// Notes that `member` is to publish `entry` at `to`, and tells what stands in its way among what other members are to publish,
    /// and among what is `published` there by nobody who was planned. `before` is its own name there so far.
    pub(crate) fn note(
        &self,
        to: &str,
        member: &str,
        entry: &Entry,
        before: Option<&str>,
        published: &[Entry],
    ) -> Vec<Mistake> {
        self.forget(member);
        let mut places = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = places.entry(to.to_owned()).or_default();
        let is_planned = |name: &str| planned.values().any(|other| other.name == name);
        let stays = |other: &&Entry| {
            other.name != entry.name && before != Some(other.name.as_str()) && !is_planned(&other.name)
        };
        let beside = planned.values().flat_map(|other| entry.clashes(other));
        let there = published.iter().filter(stays).flat_map(|other| {
            entry.clashes(other).into_iter().map(|it| Mistake { hint: hint_of_published(&it.hint, &other.name), ..it })
        });
        let found = beside.chain(there).collect();
        planned.insert(member.to_owned(), entry.clone());
        found
    }
}

fn hint_of_published(otherwise: &str, name: &str) -> String {
    format!(
        "`{name}` is published there: if it gives that up here, apply it first (`--target`); if this is the same service under a new \
         name, say `lifecycle.moved = [ \"MEMBER\" ];` with the member that it was; if `{name}` is to go, remove it and apply first; \
         otherwise {otherwise}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(name: &str, port: u16) -> Entry {
        let path = "/nix/store/00000000000000000000000000000000-web";
        let artifact = json!({ "type": "nix-closure", "storePath": path });
        let http = json!({ "internalPort": port });
        let entry = json!({ "name": name, "artifact": artifact, "exec": { "command": "web" }, "http": http });
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn the_last_word_of_each_member_counts_and_what_it_gives_up_is_free() {
        let neighbours = Neighbours::default();
        let clashes = |member: &str, port: u16, before: Option<&str>, published: &[Entry]| {
            let found = neighbours.note("here", member, &entry(member, port), before, published);
            found.iter().map(|mistake| format!("{} {}", mistake.at, mistake.message)).collect::<Vec<_>>()
        };
        let taken = |by: &str| vec![format!("/http/internalPort is 1, which `{by}` has on the same host")];
        assert!(clashes("web", 1, None, &[]).is_empty());
        assert_eq!(clashes("api", 1, None, &[]), taken("web"));
        assert!(clashes("api", 2, None, &[]).is_empty());
        assert!(clashes("web", 3, Some("web"), &[entry("web", 1)]).is_empty());
        // `web` is published with port 1 and is planned to leave it.
        assert!(clashes("api", 1, Some("api"), &[entry("web", 1), entry("api", 2)]).is_empty());
        neighbours.forget("api");
        // Nobody who was planned has published `old`; `api` was, under another name.
        assert_eq!(clashes("new", 1, None, &[entry("old", 1)]), taken("old"));
        assert!(clashes("new", 1, Some("old"), &[entry("old", 1)]).is_empty());
        assert_eq!(neighbours.published("away", || None), []);
        assert_eq!(neighbours.published("away", || Some(vec![entry("web", 1)])), [], "it is asked once");
        assert_eq!(neighbours.published("here", || Some(vec![entry("web", 1)])), [entry("web", 1)]);
        assert!(neighbours.note("elsewhere", "x", &entry("web", 3), None, &[]).is_empty());
        assert_eq!(neighbours.note("here", "x", &entry("web", 9), None, &[])[0].message, "is there twice");
    }
}
