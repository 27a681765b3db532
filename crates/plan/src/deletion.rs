//! In which order objects are deleted: the reverse of how they came to be.
//!
//! Two things are known. *Edges*: outputs that were seen to flow; what used another's output goes before it, always. Edges are a lower
//! bound (see the evaluator), so there are also *intervals*: if B began after A had ended, B may depend on A and goes before it. An
//! update of A after B was made turns its interval round; where edges and intervals contradict each other, edges hold and the rest goes
//! one by one, latest first. No transitive graph is built: everything that may go at once does.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::Interval;

/// Objects still to be deleted, each with the interval of its last operation and what it was seen to use.
///
/// Costs O(log n) per question and per edge.
#[derive(Debug, Clone)]
pub struct DeletionOrder<K: Ord + Clone> {
    objects: BTreeMap<K, Object<K>>,
    by_began: BTreeSet<(u64, K)>,
    /// Not taken yet and used by nothing that is left.
    free_by_ended: BTreeSet<(u64, K)>,
    in_flight: usize,
}

#[derive(Debug, Clone)]
struct Object<K> {
    interval: Interval,
    uses: Vec<K>,
    users: usize,
    taken: bool,
}

impl<K: Ord + Clone> Default for DeletionOrder<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), by_began: BTreeSet::new(), free_by_ended: BTreeSet::new(), in_flight: 0 }
    }
}

impl<K: Ord + Clone> DeletionOrder<K> {
    /// Adds an object to delete.
    pub fn insert(&mut self, key: K, interval: Interval) {
        self.by_began.insert((interval.began, key.clone()));
        self.free_by_ended.insert((interval.ended, key.clone()));
        self.objects.insert(key, Object { interval, uses: Vec::new(), users: 0, taken: false });
    }

    /// Says that `user` uses `used`: it goes first. Nothing happens unless both are to be deleted.
    pub fn insert_edge(&mut self, user: &K, used: &K) {
        if user == used || !self.objects.contains_key(user) {
            return;
        }
        let Some(object) = self.objects.get_mut(used) else { return };
        object.users += 1;
        self.free_by_ended.remove(&(object.interval.ended, used.clone()));
        if let Some(user) = self.objects.get_mut(user) {
            user.uses.push(used.clone());
        }
    }

    /// Takes the next object that may be deleted now.
    pub fn take_ready(&mut self) -> Option<K> {
        let (last_began, _) = self.by_began.last()?;
        // Edges recorded at different times may form a circle: then the latest goes.
        let entry = self.free_by_ended.last().cloned().or_else(|| {
            let untaken = self.objects.iter().filter(|(_, o)| !o.taken);
            (self.in_flight == 0).then(|| untaken.map(|(k, o)| (o.interval.ended, k.clone())).max()).flatten()
        })?;
        if entry.0 < *last_began && self.in_flight > 0 {
            return None;
        }
        self.free_by_ended.remove(&entry);
        if let Some(object) = self.objects.get_mut(&entry.1) {
            object.taken = true;
            self.in_flight += 1;
        }
        Some(entry.1)
    }

    /// Takes an object out of its turn; false when it is taken already, or not there.
    pub fn take(&mut self, key: &K) -> bool {
        let Some(object) = self.objects.get_mut(key).filter(|o| !o.taken) else { return false };
        object.taken = true;
        self.in_flight += 1;
        self.free_by_ended.remove(&(object.interval.ended, key.clone()));
        true
    }

    /// When the last operation on an object ran.
    pub fn interval(&self, key: &K) -> Option<Interval> {
        self.objects.get(key).map(|o| o.interval)
    }

    /// Whether an object is still to be deleted.
    pub fn contains(&self, key: &K) -> bool {
        self.objects.contains_key(key)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Says that an object is gone, or will not be deleted after all: what waited for it may go.
    pub fn done(&mut self, key: &K) {
        let Some(object) = self.objects.remove(key) else { return };
        self.in_flight -= usize::from(object.taken);
        self.by_began.remove(&(object.interval.began, key.clone()));
        self.free_by_ended.remove(&(object.interval.ended, key.clone()));
        for used in object.uses {
            if let Some(used_object) = self.objects.get_mut(&used) {
                used_object.users -= 1;
                if used_object.users == 0 && !used_object.taken {
                    self.free_by_ended.insert((used_object.interval.ended, used));
                }
            }
        }
    }

    /// Says that a taken object could not be deleted: what it uses or may depend on stays too and is returned.
    pub fn failed(&mut self, key: &K) -> Vec<K> {
        let Some(failed) = self.objects.get(key) else { return Vec::new() };
        let began = failed.interval.began;
        let mut kept: BTreeSet<K> = BTreeSet::new();
        let mut trail: Vec<K> = failed.uses.clone();
        trail.extend(self.objects.iter().filter(|(_, o)| o.interval.ended < began).map(|(k, _)| k.clone()));
        while let Some(next) = trail.pop() {
            if let Some(object) = self.objects.get(&next).filter(|o| !o.taken)
                && kept.insert(next)
            {
                trail.extend(object.uses.iter().cloned());
            }
        }
        self.done(key);
        for k in &kept {
            self.done(k);
        }
        kept.into_iter().collect()
    }

    /// Whether nothing is left to take.
    pub fn is_drained(&self) -> bool {
        self.objects.values().all(|o| o.taken)
    }

    /// What has not been taken yet.
    pub fn remaining(&self) -> impl Iterator<Item = &K> {
        self.objects.iter().filter(|(_, o)| !o.taken).map(|(k, _)| k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(objects: &[(&'static str, u64, u64)]) -> DeletionOrder<&'static str> {
        let mut order = DeletionOrder::default();
        for (name, began, ended) in objects {
            order.insert(*name, Interval { began: *began, ended: *ended });
        }
        order
    }

    #[test]
    fn what_began_after_another_had_ended_goes_first() {
        let mut order = order(&[("a", 1, 2), ("b", 3, 4), ("c", 5, 6)]);
        assert_eq!(order.take_ready(), Some("c"));
        assert_eq!(order.take_ready(), None);
        order.done(&"c");
        assert_eq!(order.take_ready(), Some("b"));
        order.done(&"b");
        assert_eq!(order.take_ready(), Some("a"));
    }

    #[test]
    fn what_ran_at_the_same_time_goes_at_the_same_time() {
        let mut order = order(&[("a", 1, 3), ("b", 2, 4)]);
        assert_eq!(order.take_ready(), Some("b"));
        assert_eq!(order.take_ready(), Some("a"));
    }

    #[test]
    fn an_edge_holds_against_an_update_that_came_later() {
        let mut order = order(&[("used-and-updated-later", 9, 10), ("user", 3, 4), ("other", 5, 6)]);
        order.insert_edge(&"user", &"used-and-updated-later");
        let mut taken = Vec::new();
        while let Some(key) = order.take_ready() {
            order.done(&key);
            taken.push(key);
        }
        assert_eq!(taken, ["other", "user", "used-and-updated-later"]);
    }

    #[test]
    fn what_a_remaining_object_may_depend_on_stays() {
        let mut order = order(&[("a", 1, 2), ("b", 3, 6), ("c", 5, 7)]);
        assert_eq!(order.take_ready(), Some("c"));
        assert_eq!(order.take_ready(), Some("b"));
        assert_eq!(order.failed(&"b"), ["a"]);
        order.done(&"c");
        assert_eq!(order.take_ready(), None);
        assert!(order.is_drained());
    }
}
