//! The epoch of a cache, and the mark of a collection that is under way.
//!
//! Every collection begins another epoch, so what a push saw or remembers of a cache is true within one epoch only. While it
//! deletes, the epoch carries a mark: a push that begins or ends under it waits and looks again, since what it found may be
//! about to go. The mark is renewed as long as the collection lives; one that nobody renews is taken away by whoever waits for it,
//! and a collection that lost its mark deletes no more. Only the clock of whoever watches is used, never two of them.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_s3::Condition;

use crate::cache::{TRIES, is_unknown_condition, put_once};
use crate::depot::{Depot, Kind};
use crate::error::CacheError;
use crate::pool::{locked, pause};

/// Where it lies.
const EPOCH: &str = "freehold-epoch";
/// The word behind an epoch while it is collected; the seconds that this holds without being renewed follow, and a nonce.
const COLLECTING: &str = "collecting";

/// What the cache says of its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Epoch {
    id: String,
    /// How long the mark of a collection holds, when there is one.
    lease: Option<Duration>,
    body: Vec<u8>,
    etag: String,
}

/// Whether the cache is still in that epoch, and nobody collects.
pub(crate) fn holds(depot: &Depot, id: &str) -> Result<bool, CacheError> {
    Ok(read(depot)?.is_some_and(|epoch| epoch.lease.is_none() && epoch.id == id))
}

/// The epoch of the cache when nobody collects, for which it waits; `None` before the first push. `waiting` is called once.
pub(crate) fn settled(depot: &Depot, waiting: &dyn Fn(), stop: &AtomicBool) -> Result<Option<String>, CacheError> {
    let begun = Instant::now();
    let mut seen: Option<(Vec<u8>, Instant)> = None;
    loop {
        let Some(epoch) = read(depot)? else { return Ok(None) };
        let Some(lease) = epoch.lease else { return Ok(Some(epoch.id)) };
        match &seen {
            Some((body, since)) if *body == epoch.body => {
                if since.elapsed() > lease {
                    take_away(depot, &epoch)?;
                    continue;
                }
            }
            _ => {
                if seen.is_none() {
                    waiting();
                }
                seen = Some((epoch.body, Instant::now()));
            }
        }
        if begun.elapsed() > limits::CACHE_GC_WAIT {
            return Err(CacheError::Collecting {
                cache: depot.url().to_string(),
                seconds: limits::CACHE_GC_WAIT.as_secs(),
            });
        }
        pause(limits::CACHE_GC_LOOK, stop)?;
    }
}

/// As [`settled`], and begins the first epoch if there was none.
pub(crate) fn settled_or_first(depot: &Depot, waiting: &dyn Fn(), stop: &AtomicBool) -> Result<String, CacheError> {
    for _ in 0..TRIES {
        if let Some(id) = settled(depot, waiting, stop)? {
            return Ok(id);
        }
        put_once(depot, EPOCH, format!("{}\n", nonce()).as_bytes(), Kind::Text)?;
    }
    Err(CacheError::PreconditionFailed { key: EPOCH.to_owned(), cache: depot.url().to_string() })
}

/// Does `work` in an epoch of its own and under the mark of a collection, which is taken away however it ends.
pub(crate) fn collecting<R>(
    depot: &Depot,
    stop: &AtomicBool,
    work: impl FnOnce(&Mark<'_>) -> Result<R, CacheError>,
) -> Result<R, CacheError> {
    let mark = Mark::set(depot, stop)?;
    let ended = Ended::default();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| mark.renew_until(&ended));
        let _tell = Tell(&ended);
        work(&mark)
    });
    let left = mark.leave();
    done.and_then(|done| left.map(|()| done))
}

/// Whether the work under a mark has ended.
#[derive(Default)]
struct Ended {
    done: Mutex<bool>,
    changed: Condvar,
}

/// Tells so when it is dropped.
struct Tell<'a>(&'a Ended);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        *locked(&self.0.done) = true;
        self.0.changed.notify_all();
    }
}

/// The mark of a collection, held by us.
pub(crate) struct Mark<'a> {
    depot: &'a Depot,
    id: String,
    state: Mutex<Held>,
}

struct Held {
    etag: String,
    /// When we last knew that it was ours: before it was written.
    renewed: Instant,
}

impl<'a> Mark<'a> {
    fn set(depot: &'a Depot, stop: &AtomicBool) -> Result<Self, CacheError> {
        for _ in 0..limits::CACHE_ROUNDS {
            settled(depot, &|| {}, stop)?;
            let before = read(depot)?.filter(|epoch| epoch.lease.is_none());
            let condition = before.map_or(Condition::Absent, |epoch| Condition::Match(epoch.etag));
            let id = nonce();
            let (body, renewed) = (marked(&id), Instant::now());
            match replace(depot, &body, &condition) {
                Ok(etag) => return Ok(Self { depot, id, state: Mutex::new(Held { etag, renewed }) }),
                Err(error) if error.is_precondition() => {}
                Err(error) => return Err(error),
            }
        }
        Err(CacheError::Collected { cache: depot.url().to_string(), rounds: limits::CACHE_ROUNDS })
    }

    /// Whether it is surely still ours, as far as that can be told without asking.
    ///
    /// # Errors
    /// When it could not be renewed for half its time: somebody may be about to take it away.
    pub(crate) fn check(&self) -> Result<(), CacheError> {
        if locked(&self.state).renewed.elapsed() > limits::CACHE_GC_LEASE / 2 { Err(self.lost()) } else { Ok(()) }
    }

    /// Writes it anew.
    ///
    /// # Errors
    /// When it is no longer ours, or cannot be written.
    pub(crate) fn renew(&self) -> Result<(), CacheError> {
        let mut held = locked(&self.state);
        let (body, renewed) = (marked(&self.id), Instant::now());
        let etag = replace(self.depot, &body, &Condition::Match(held.etag.clone()))
            .map_err(|error| if error.is_precondition() { self.lost() } else { error })?;
        *held = Held { etag, renewed };
        Ok(())
    }

    fn renew_until(&self, ended: &Ended) {
        let mut done = locked(&ended.done);
        while !*done {
            let waited = ended.changed.wait_timeout(done, limits::CACHE_GC_RENEW);
            let (now, time) = waited.unwrap_or_else(PoisonError::into_inner);
            done = now;
            if !*done && time.timed_out() {
                drop(done);
                // What fails again and again is told by `check`.
                let _ = self.renew();
                done = locked(&ended.done);
            }
        }
    }

    fn leave(&self) -> Result<(), CacheError> {
        let held = locked(&self.state);
        match replace(self.depot, format!("{}\n", self.id).as_bytes(), &Condition::Match(held.etag.clone())) {
            // Somebody took it away, and began another epoch.
            Err(error) if error.is_precondition() => Ok(()),
            other => other.map(drop),
        }
    }

    fn lost(&self) -> CacheError {
        CacheError::Overtaken { cache: self.depot.url().to_string() }
    }
}

fn read(depot: &Depot) -> Result<Option<Epoch>, CacheError> {
    let Some(object) = depot.get(EPOCH)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&object.body).into_owned();
    let mut words = text.split_whitespace();
    let id = words.next().unwrap_or_default().chars().take(64).collect();
    let lease = (words.next() == Some(COLLECTING)).then(|| {
        let seconds = words.next().and_then(|word| word.parse().ok()).map(Duration::from_secs);
        seconds.unwrap_or(limits::CACHE_GC_LEASE).min(limits::CACHE_GC_LEASE)
    });
    Ok(Some(Epoch { id, lease, body: object.body, etag: object.etag }))
}

/// Begins an epoch in place of a mark that nobody renews. Somebody else may have done so.
fn take_away(depot: &Depot, epoch: &Epoch) -> Result<(), CacheError> {
    match replace(depot, format!("{}\n", nonce()).as_bytes(), &Condition::Match(epoch.etag.clone())) {
        Err(error) if error.is_precondition() => Ok(()),
        other => other.map(drop),
    }
}

/// Writes the epoch, which must be unlike any other, if the condition holds; in any case where the store knows no conditions.
fn replace(depot: &Depot, body: &[u8], condition: &Condition) -> Result<String, CacheError> {
    match depot.put(EPOCH, body, Kind::Text, condition) {
        Err(error) if is_unknown_condition(&error) => depot.put(EPOCH, body, Kind::Text, &Condition::None),
        Err(error) if error.is_precondition() => match read(depot)? {
            // It was written, and the answer was lost on its way.
            Some(epoch) if epoch.body == body => Ok(epoch.etag),
            _ => Err(error),
        },
        other => other,
    }
}

fn marked(id: &str) -> Vec<u8> {
    format!("{id} {COLLECTING} {} {}\n", limits::CACHE_GC_LEASE.as_secs(), nonce()).into_bytes()
}

fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
