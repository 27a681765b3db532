//! What can go wrong with a bucket, by the step that failed, with whom it concerns and what helps.

use std::path::PathBuf;

use freehold_model::ErrorKind;

/// Why a request to a bucket failed. Secrets and signed addresses never appear in it.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// A setting cannot be used.
    #[error("s3 setting `{name}`: {reason}")]
    Setting {
        /// Which one, in the spelling of the configuration.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody told us who we are.
    #[error("no credentials for bucket `{bucket}`: {reason}")]
    NoCredentials {
        /// For which bucket.
        bucket: String,
        /// Where we looked and what we found.
        reason: String,
    },
    /// A file of the AWS tools, a certificate file or a file to upload cannot be read.
    #[error("a file cannot be read")]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// What the system said, with the path.
        #[source]
        source: std::io::Error,
    },
    /// A conditional write found another state of the object than the condition says.
    #[error("`{key}` in bucket `{bucket}` is not as expected: someone else wrote it")]
    PreconditionFailed {
        /// The object.
        key: String,
        /// Its bucket.
        bucket: String,
    },
    /// There is no such object.
    #[error("bucket `{bucket}` has no object `{key}`")]
    NoSuchKey {
        /// The object.
        key: String,
        /// Its bucket.
        bucket: String,
    },
    /// There is no such bucket.
    #[error("there is no bucket `{bucket}` at `{endpoint}`")]
    NoSuchBucket {
        /// The bucket.
        bucket: String,
        /// Where it was looked for.
        endpoint: String,
    },
    /// Somebody else owns a bucket of this name.
    #[error("the name `{bucket}` is taken by another account")]
    BucketTaken {
        /// The bucket.
        bucket: String,
    },
    /// A bucket with objects cannot be deleted.
    #[error("bucket `{bucket}` is not empty")]
    BucketNotEmpty {
        /// The bucket.
        bucket: String,
    },
    /// The store knows us and says no.
    #[error("not allowed to {what}{message}")]
    AccessDenied {
        /// The request, in words.
        what: String,
        /// What the store said, with `: ` in front, or nothing.
        message: String,
    },
    /// The store does not know us.
    #[error("the store refuses the credentials for {what}: {code}")]
    BadCredentials {
        /// The request, in words.
        what: String,
        /// Its word for it.
        code: String,
    },
    /// Our clock and the store's differ too much for a signature.
    #[error("the store refuses to {what}: the clocks differ too much")]
    ClockSkew {
        /// The request, in words.
        what: String,
    },
    /// The bucket lives in another region.
    #[error("bucket `{bucket}` is in {}, not in `{asked}`", region.as_ref().map_or("another region".to_owned(), |r| format!("region `{r}`")))]
    WrongRegion {
        /// The bucket.
        bucket: String,
        /// The region of the settings.
        asked: String,
        /// The right one, when the store tells.
        region: Option<String>,
    },
    /// The store could not answer, several times.
    #[error("the store could not {what}: status {status}{code} ({attempts} attempts)")]
    Unavailable {
        /// The request, in words.
        what: String,
        /// HTTP status of the last answer.
        status: u16,
        /// Its code with a blank in front, or nothing.
        code: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The store cannot be reached.
    #[error("cannot reach `{endpoint}` to {what} ({attempts} attempts)")]
    Connect {
        /// Host and port.
        endpoint: String,
        /// The request, in words.
        what: String,
        /// How often it was tried.
        attempts: u32,
        /// The last reason.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The connection broke or fell silent: whether the request took effect is not known.
    #[error("lost the connection to `{endpoint}` while trying to {what} ({attempts} attempts)")]
    Lost {
        /// Host and port.
        endpoint: String,
        /// The request, in words.
        what: String,
        /// How often it was tried.
        attempts: u32,
        /// The last reason.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The operator asked to stop while the store did not answer: whether the request took effect is not known.
    #[error("gave up while waiting for `{endpoint}` to {what}")]
    GivenUp {
        /// Host and port.
        endpoint: String,
        /// The request, in words.
        what: String,
    },
    /// The store refuses for a reason of its own.
    #[error("the store refuses to {what}: status {status} {code}{message}")]
    Refused {
        /// The request, in words.
        what: String,
        /// HTTP status.
        status: u16,
        /// The store's code.
        code: String,
        /// What the store said, with `: ` in front, or nothing.
        message: String,
    },
    /// An answer that no S3 store gives.
    #[error("cannot make sense of the answer to {what}: {reason}")]
    Answer {
        /// The request, in words.
        what: String,
        /// What is odd.
        reason: String,
    },
    /// An object is larger than what is read into memory.
    #[error("`{key}` has more than {limit} bytes")]
    TooLarge {
        /// The object.
        key: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// What was downloaded cannot be written.
    #[error("cannot store what was read of `{key}`")]
    Sink {
        /// The object.
        key: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The object changed while it was read in parts.
    #[error("`{key}` changed while it was being read")]
    ChangedUnderway {
        /// The object.
        key: String,
    },
}

impl S3Error {
    /// Who has to act; only transient failures are worth another try later.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. }
            | Self::NoCredentials { .. }
            | Self::NoSuchBucket { .. }
            | Self::AccessDenied { .. }
            | Self::BadCredentials { .. }
            | Self::WrongRegion { .. }
            | Self::Refused { .. } => ErrorKind::Config,
            Self::PreconditionFailed { .. }
            | Self::NoSuchKey { .. }
            | Self::BucketTaken { .. }
            | Self::BucketNotEmpty { .. }
            | Self::TooLarge { .. } => ErrorKind::User,
            Self::ReadFile { .. } | Self::Sink { .. } | Self::ClockSkew { .. } => ErrorKind::Host,
            Self::Unavailable { .. }
            | Self::Connect { .. }
            | Self::Lost { .. }
            | Self::GivenUp { .. }
            | Self::ChangedUnderway { .. } => ErrorKind::Transient,
            Self::Answer { .. } => ErrorKind::Internal,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCredentials { .. } => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile` of ~/.aws/credentials, or configure `accessKeyId` and `secretAccessKey`".to_owned(),
            Self::NoSuchBucket { bucket, .. } => {
                format!("create the bucket, or declare it: `members.bucket = {{ type = providers.s3.bucket; inputs.name = \"{bucket}\"; }}`")
            }
            Self::BucketTaken { .. } => "bucket names are shared by all customers of a store: choose another".to_owned(),
            Self::BucketNotEmpty { .. } => "empty it first, or set `forceDestroy = true` to delete its objects with it".to_owned(),
            Self::AccessDenied { .. } => "check the policy of the key; a store also answers so for an object that does not exist when the key may not list the bucket".to_owned(),
            Self::BadCredentials { .. } => "check the access key, its secret and whether a session token has expired".to_owned(),
            Self::ClockSkew { .. } => "set this machine's clock (for example with chrony or systemd-timesyncd)".to_owned(),
            Self::WrongRegion { region: Some(region), .. } => format!("set `region = \"{region}\"`"),
            Self::WrongRegion { .. } => "set `region` to the bucket's own".to_owned(),
            Self::Connect { endpoint, .. } => format!("check that `{endpoint}` is right, up, and reachable from here"),
            _ => return None,
        })
    }

    /// Whether a condition was not met: someone else wrote first.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::PreconditionFailed { .. })
    }
}
