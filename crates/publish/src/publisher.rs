//! Who publishes: signs what is said, and builds only on what was said by those who are trusted.
//!
//! A signature is over the whole manifest. Whoever signs on top of what somebody else has put into the bucket vouches for that, too; so
//! it is verified before.

use freehold_manifest::{Manifest, ManifestError};
use freehold_nar::{SecretKey, TrustedKeys};

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub struct Publisher<'a> {
    /// Signs.
    pub key: &'a SecretKey,
    /// Whose manifests are built on, beside one's own.
    pub trusted: &'a TrustedKeys,
    /// What nobody has signed, or a stranger has, is built on as it is: to take over a bucket.
    pub adopts: bool,
}

impl Publisher<'_> {
    /// Whether a manifest may be built on.
    ///
    /// # Errors
    /// Nobody who is trusted has signed it.
    pub fn accept(&self, bytes: &[u8]) -> Result<(), ManifestError> {
        if self.adopts {
            return Ok(());
        }
        let mut keys = self.trusted.keys().to_vec();
        keys.push(self.key.public());
        Manifest::verify(bytes, &TrustedKeys::new(keys)).map(drop)
    }
}
