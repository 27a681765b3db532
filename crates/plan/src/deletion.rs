//! In which order objects are deleted: the reverse of how they came to be.
//!
//! Edges that were seen are a lower bound (see the evaluator), so the order rests on the recorded intervals alone: if B began
//! after A had ended, B may depend on A and goes before it. Everything that may go at once does: no graph is built.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::Interval;

/// Objects still to be deleted, each with the interval of its creation or last update.
///
/// Costs O(log n) per question, whatever the number of objects.
#[derive(Debug, Clone)]
pub struct DeletionOrder<K: Ord + Clone> {
    intervals: BTreeMap<K, Interval>,
    by_began: BTreeSet<(u64, K)>,
    waiting_by_ended: BTreeSet<(u64, K)>,
}

impl<K: Ord + Clone> Default for DeletionOrder<K> {
    fn default() -> Self {
        Self { intervals: BTreeMap::new(), by_began: BTreeSet::new(), waiting_by_ended: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> DeletionOrder<K> {
    /// Adds an object to delete.
    pub fn insert(&mut self, key: K, interval: Interval) {
        self.by_began.insert((interval.began, key.clone()));
        self.waiting_by_ended.insert((interval.ended, key.clone()));
        self.intervals.insert(key, interval);
    }

    /// Takes the next object that may be deleted now: nothing that is left began after it had ended.
    pub fn take_ready(&mut self) -> Option<K> {
        let (last_began, _) = self.by_began.last()?;
        let (ended, key) = self.waiting_by_ended.last()?;
        if ended < last_began {
            return None;
        }
        let entry = (*ended, key.clone());
        self.waiting_by_ended.remove(&entry);
        Some(entry.1)
    }

    /// Says that a taken object is gone: what waited for it may go.
    pub fn done(&mut self, key: &K) {
        if let Some(interval) = self.intervals.remove(key) {
            self.by_began.remove(&(interval.began, key.clone()));
            self.waiting_by_ended.remove(&(interval.ended, key.clone()));
        }
    }

    /// Says that a taken object could not be deleted: what it may depend on stays too and is returned.
    pub fn failed(&mut self, key: &K) -> Vec<K> {
        let Some(began) = self.intervals.get(key).map(|i| i.began) else { return Vec::new() };
        let kept: Vec<K> =
            self.waiting_by_ended.iter().take_while(|(ended, _)| *ended < began).map(|(_, k)| k.clone()).collect();
        self.done(key);
        for k in &kept {
            self.done(k);
        }
        kept
    }

    /// Whether nothing is left to take.
    pub fn is_drained(&self) -> bool {
        self.waiting_by_ended.is_empty()
    }

    /// What has not been taken yet.
    pub fn remaining(&self) -> impl Iterator<Item = &K> {
        self.waiting_by_ended.iter().map(|(_, k)| k)
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
