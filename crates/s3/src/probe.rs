//! Whether a store does what conditional writes say. Some (Garage 2.5) accept the headers and ignore them.

use crate::error::S3Error;
use crate::objects::{Condition, Put};
use crate::transport::{Client, nonce};

/// Which conditions a store honours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// `If-None-Match: *` on a write: the object must not exist.
    pub if_absent: bool,
    /// `If-Match` on a write: the object must have that ETag.
    pub if_match: bool,
}

impl Conditions {
    /// Both.
    pub fn all(self) -> bool {
        self.if_absent && self.if_match
    }
}

impl Client {
    /// Finds out which conditions the store honours, with an object of its own under `prefix` that is deleted afterwards.
    /// Done once for a client and its clones.
    ///
    /// # Errors
    /// All of [`S3Error`]: the key must be allowed to write and delete under `prefix`.
    pub fn honours_conditions(&self, prefix: &str) -> Result<Conditions, S3Error> {
        if let Some(known) = self.inner.conditions.get() {
            return Ok(*known);
        }
        let key = format!("{prefix}freehold-probe-{:016x}", nonce());
        let found = self.probe(&key);
        let cleaned = self.delete(&key);
        let found = found?;
        cleaned?;
        Ok(*self.inner.conditions.get_or_init(|| found))
    }

    fn probe(&self, key: &str) -> Result<Conditions, S3Error> {
        let written = self.put(key, b"probe 1", &Put::default())?;
        let refused = |condition, body: &[u8]| -> Result<bool, S3Error> {
            match self.put(key, body, &Put { condition, ..Put::default() }) {
                Ok(_) => Ok(false),
                Err(S3Error::PreconditionFailed { .. }) => Ok(true),
                // A store that does not know the header may also say so.
                Err(S3Error::Refused { status: 400 | 501, .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let if_absent = refused(Condition::Absent, b"probe 2")?;
        let if_match = if_absent
            && refused(Condition::Match("\"00000000000000000000000000000000\"".to_owned()), b"probe 3")?
            && !refused(Condition::Match(written.etag), b"probe 4")?;
        Ok(Conditions { if_absent, if_match })
    }
}
