//! Where the rollouts of a round wait for each other before they start anything, so that what they have put in place is read once: one
//! `daemon-reload` for all of them.
//!
//! Nobody waits for long: a service whose closure takes its time is in no other's way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts those who are on their way to it.
#[derive(Default)]
pub(crate) struct Turnstile {
    coming: Mutex<usize>,
    changed: Condvar,
}

/// One who is on the way, until it has arrived or is dropped.
pub(crate) struct Coming<'a> {
    turnstile: &'a Turnstile,
    arrived: AtomicBool,
}

impl Turnstile {
    /// Somebody sets out.
    pub(crate) fn set_out(&self) -> Coming<'_> {
        *self.lock() += 1;
        Coming { turnstile: self, arrived: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coming<'_> {
    /// Arrives, and waits until nobody is on the way any more, at most so long. Whoever has arrived before goes on at once.
    pub(crate) fn arrive(&self, patience: Duration) {
        if self.arrived.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut coming = self.turnstile.lock();
        *coming = coming.saturating_sub(1);
        self.turnstile.changed.notify_all();
        let _waited = self.turnstile.changed.wait_timeout_while(coming, patience, |coming| *coming > 0);
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        // Who ends without having arrived is waited for by nobody.
        self.arrive(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn those_who_are_on_the_way_are_waited_for_and_those_who_give_up_are_not() {
        let (turnstile, installed, seen) = (Turnstile::default(), AtomicUsize::new(0), Mutex::new(Vec::new()));
        let coming: Vec<Coming<'_>> = (0..4).map(|_| turnstile.set_out()).collect();
        std::thread::scope(|scope| {
            for (number, one) in coming.into_iter().enumerate() {
                let (installed, seen) = (&installed, &seen);
                scope.spawn(move || {
                    if number == 3 {
                        return drop(one);
                    }
                    installed.fetch_add(1, Ordering::SeqCst);
                    one.arrive(Duration::from_secs(60));
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(installed.load(Ordering::SeqCst));
                    // Once more, as a way back does: nobody is waited for.
                    one.arrive(Duration::from_secs(60));
                });
            }
        });
        assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), [3, 3, 3]);
        assert_eq!(*turnstile.lock(), 0);
    }

    #[test]
    fn one_who_takes_long_is_not_waited_for() {
        let turnstile = Turnstile::default();
        let (slow, quick) = (turnstile.set_out(), turnstile.set_out());
        quick.arrive(Duration::from_millis(1));
        drop(slow);
    }
}
