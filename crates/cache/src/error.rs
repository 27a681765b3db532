//! What can go wrong with a cache, by the step that failed.

use std::path::PathBuf;

use freehold_model::ErrorKind;
use freehold_s3::S3Error;

/// Why something of a cache could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The address of a cache cannot be used.
    #[error("`{url}` is no address of a cache: {reason}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that no object can have.
    #[error("`{key}` cannot be the key of an object")]
    BadKey {
        /// The key.
        key: String,
    },
    /// A request to the bucket failed.
    #[error("the cache `{cache}` cannot be used")]
    Bucket {
        /// Its address.
        cache: String,
        /// Why.
        #[source]
        source: S3Error,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot {what}")]
    Files {
        /// What was wanted.
        what: String,
        /// What the system said, with the path.
        #[source]
        source: std::io::Error,
    },
    /// A conditional write found another state of the object than the condition says.
    #[error("`{key}` in `{cache}` is not as expected: someone else wrote it")]
    PreconditionFailed {
        /// The object.
        key: String,
        /// The address of the cache.
        cache: String,
    },
    /// Other writers keep a directory busy.
    #[error("`{lock}` is held by another writer for more than {seconds} s", lock = lock.display())]
    Busy {
        /// The file that is locked.
        lock: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// An object is larger than what is read into memory.
    #[error("`{key}` has more than {limit} bytes")]
    TooLarge {
        /// The object.
        key: String,
        /// The limit.
        limit: u64,
    },
}

impl CacheError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadUrl { .. } | Self::BadKey { .. } | Self::PreconditionFailed { .. } | Self::TooLarge { .. } => {
                ErrorKind::User
            }
            Self::Bucket { source, .. } => source.kind(),
            Self::Files { .. } => ErrorKind::Host,
            Self::Busy { .. } => ErrorKind::Transient,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadUrl { .. } => {
                "write `s3://BUCKET?endpoint=HOST&region=REGION&profile=PROFILE` or `file:///DIRECTORY`, as for Nix"
                    .to_owned()
            }
            Self::Bucket { source, .. } => return source.hint(),
            _ => return None,
        })
    }

    /// Whether a condition was not met: someone else wrote first.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::PreconditionFailed { .. })
            || matches!(self, Self::Bucket { source, .. } if source.is_precondition())
    }
}
