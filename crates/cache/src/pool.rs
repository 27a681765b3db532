//! Work on many things by a few threads: the first failure and the operator's word end it early.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::CacheError;

/// Whether work that is under way should be given up.
pub(crate) struct Halt<'a> {
    stop: &'a AtomicBool,
    failed: AtomicBool,
}

impl<'a> Halt<'a> {
    /// With nobody beside who may fail.
    pub(crate) fn of(stop: &'a AtomicBool) -> Self {
        Self { stop, failed: AtomicBool::new(false) }
    }

    /// Whether to give up.
    pub(crate) fn is_set(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

/// Does `work` for each item on up to `threads` threads, in order of beginning; gives the results in the order of the items.
///
/// # Errors
/// The first failure, or [`CacheError::Stopped`] after `stop` was set.
pub(crate) fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(&T, &Halt<'_>) -> Result<R, CacheError> + Sync,
) -> Result<Vec<R>, CacheError> {
    let halt = Halt { stop, failed: AtomicBool::new(false) };
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let failure: Mutex<Option<CacheError>> = Mutex::new(None);
    let turn = || {
        while !halt.is_set() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match work(item, &halt) {
                Ok(result) => {
                    if let Some(slot) = locked(&results).get_mut(at) {
                        *slot = Some(result);
                    }
                }
                Err(error) => {
                    halt.failed.store(true, Ordering::Relaxed);
                    // What the others say after it is a consequence.
                    locked(&failure).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(turn);
        }
        turn();
    });
    if let Some(error) = locked(&failure).take() {
        return Err(error);
    }
    let results: Option<Vec<R>> = std::mem::take(&mut *locked(&results)).into_iter().collect();
    results.ok_or(CacheError::Stopped)
}

/// A number of permits for what only few may do at once.
pub(crate) struct Permits {
    free: Mutex<usize>,
    changed: Condvar,
}

/// Permits that are given back when this is dropped.
pub(crate) struct Permit<'a> {
    permits: &'a Permits,
    count: usize,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), changed: Condvar::new() }
    }

    /// Waits for `count` permits, at most as many as there are. Whoever holds one gives it back after a bounded piece of work.
    pub(crate) fn take(&self, count: usize) -> Permit<'_> {
        let mut free = locked(&self.free);
        while *free < count {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= count;
        Permit { permits: self, count }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *locked(&self.permits.free) += self.count;
        self.permits.changed.notify_all();
    }
}

/// Waits, and listens meanwhile whether to stop.
///
/// # Errors
/// [`CacheError::Stopped`] after `stop` was set.
pub(crate) fn pause(time: Duration, stop: &AtomicBool) -> Result<(), CacheError> {
    const TICK: Duration = Duration::from_millis(50);
    let until = Instant::now() + time;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(CacheError::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(TICK));
    }
}

/// Cores that we may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A lock whose holder panicked is still a lock.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..500).collect();
        let doubled = each(&items, 8, &AtomicBool::new(false), |n, _| Ok(n * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert!(each(&[] as &[u8], 8, &AtomicBool::new(false), |_, _| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn the_first_failure_ends_it_and_so_does_the_operator() {
        let items: Vec<usize> = (0..10_000).collect();
        let begun = AtomicUsize::new(0);
        let work = |n: &usize, _: &Halt<'_>| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(CacheError::BadKey { key: "3".to_owned() }) } else { Ok(()) }
        };
        assert!(matches!(each(&items, 1, &AtomicBool::new(false), work), Err(CacheError::BadKey { .. })));
        assert_eq!(begun.load(Ordering::Relaxed), 4);
        assert!(matches!(each(&items, 4, &AtomicBool::new(true), |_, _| Ok(())), Err(CacheError::Stopped)));
    }
}
