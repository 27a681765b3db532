//! A claim on the manifest, for stores that accept conditional writes and ignore them.
//!
//! An object that says who publishes now and until when. It is written, left for a moment in which a rival's would show, and read
//! back: whose it is then has it. This is no lock (two requests may be arbitrarily slow), so what was published is read back, too.

use std::time::{Duration, Instant};

use freehold_cache::{Condition, Depot, Kind};
use freehold_model::limits;

use crate::board::{now, random};
use crate::error::PublishError;

const KEY: &str = "manifests/claim";

/// A claim that is ours, given back when it is dropped.
pub(crate) struct Claim {
    depot: Depot,
    text: String,
}

impl Claim {
    /// Waits until nobody has the claim, and takes it.
    pub(crate) fn take(depot: &Depot) -> Result<Self, PublishError> {
        let patience = Instant::now() + limits::PUBLISH_CLAIM * 2;
        while Instant::now() < patience {
            let lease = u64::try_from(limits::PUBLISH_CLAIM.as_millis()).unwrap_or(u64::MAX / 2);
            let claim = Self { depot: depot.clone(), text: format!("{} {:016x}", now() + lease, number()) };
            if claim.is_free()? {
                depot.put(KEY, claim.text.as_bytes(), Kind::Text, &Condition::None)?;
                std::thread::sleep(limits::PUBLISH_SETTLE);
                if claim.is_ours() {
                    return Ok(claim);
                }
                // The rival's stays: it is not ours to give back.
                std::mem::forget(claim);
            } else {
                std::mem::forget(claim);
            }
            std::thread::sleep(Duration::from_millis(100).mul_f64(1.0 + random()));
        }
        Err(PublishError::Claimed)
    }

    /// Whether nobody has it, or only one whose time is up.
    fn is_free(&self) -> Result<bool, PublishError> {
        let Some(object) = self.depot.get(KEY)? else { return Ok(true) };
        let until = String::from_utf8_lossy(&object.body).split(' ').next().and_then(|text| text.parse::<u64>().ok());
        Ok(until.is_none_or(|until| until < now()))
    }

    /// Whether it still is the one that stands.
    pub(crate) fn is_ours(&self) -> bool {
        self.depot.get(KEY).is_ok_and(|object| object.is_some_and(|object| object.body == self.text.as_bytes()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_ours() {
            // One that stays runs out by itself.
            let _ = self.depot.delete(KEY);
        }
    }
}

fn number() -> u64 {
    let mut bytes = [0_u8; 8];
    // Without randomness the time tells claims apart.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
