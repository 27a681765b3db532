//! What can go wrong with a cache, by the step that failed.

use std::path::PathBuf;

use freehold_model::ErrorKind;
use freehold_nar::NarError;
use freehold_s3::S3Error;
use freehold_store::StoreError;

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
    /// A store that answers alike for what may not be read and for what is not there, to one who may not list the bucket.
    #[error("`{key}` in `{cache}` is not there yet, or may not be read")]
    NotSeen {
        /// The object.
        key: String,
        /// The address of the cache.
        cache: String,
        /// What the store said.
        #[source]
        source: Box<S3Error>,
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
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operator asked to stop.
    #[error("stopped")]
    Stopped,
    /// The store tells of a path in a form that no Nix writes.
    #[error("the store says something odd of `{path}`")]
    OddPath {
        /// The path.
        path: String,
        /// What is odd.
        #[source]
        source: NarError,
    },
    /// Paths refer to each other in a circle.
    #[error("`{path}` refers to itself by way of others")]
    Circle {
        /// One of them.
        path: String,
    },
    /// The NAR of a path cannot be made.
    #[error("cannot pack `{path}`")]
    Pack {
        /// The path.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A path in the store is not what the store's database says.
    #[error("`{path}` was changed in the store: its contents hash to {found}, not to {expected}")]
    Changed {
        /// The path.
        path: String,
        /// What it hashes to.
        found: String,
        /// What the database says.
        expected: String,
    },
    /// The cache is for another store directory.
    #[error("the cache `{cache}` holds paths of `{theirs}`, this store is `{ours}`")]
    OtherStore {
        /// Its address.
        cache: String,
        /// The store directory of the cache.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// A text of the cache cannot be read.
    #[error("`{key}` in `{cache}` cannot be read")]
    BadText {
        /// The object.
        key: String,
        /// The address of the cache.
        cache: String,
        /// What is wrong with it.
        #[source]
        source: NarError,
    },
    /// Collections came in the way of a push again and again.
    #[error("`{cache}` was collected {rounds} times while paths were pushed to it")]
    Collected {
        /// Its address.
        cache: String,
        /// How often it was tried.
        rounds: u32,
    },
    /// A collection does not end.
    #[error("garbage is being collected in `{cache}` for more than {seconds} s")]
    Collecting {
        /// Its address.
        cache: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A collection could not keep its mark, and deletes no more.
    #[error(
        "the collection in `{cache}` was given up: it could not show for long that it was alive, and others went on"
    )]
    Overtaken {
        /// Its address.
        cache: String,
    },
    /// A path that is wanted, or that a wanted one refers to, is not in the cache.
    #[error("`{path}` is not in `{cache}`{}", referrer.as_ref().map(|from| format!(" (`{from}` refers to it)")).unwrap_or_default())]
    NotThere {
        /// The path.
        path: String,
        /// The address of the cache.
        cache: String,
        /// What refers to it, when it was not asked for itself.
        referrer: Option<String>,
    },
    /// A narinfo is about another path than its name says.
    #[error("the narinfo of `{path}` in `{cache}` is about `{other}`")]
    OtherPath {
        /// The path that was asked for.
        path: String,
        /// What it is about.
        other: String,
        /// The address of the cache.
        cache: String,
    },
    /// No trusted key has signed a path.
    #[error("`{path}` in `{cache}` is not signed by a trusted key ({signers})")]
    Untrusted {
        /// The path.
        path: String,
        /// The address of the cache.
        cache: String,
        /// Who is said to have signed it.
        signers: String,
    },
    /// A path is known in the cache and its NAR is not there.
    #[error("the NAR of `{path}` is missing in `{cache}`: `{key}`")]
    NoNar {
        /// The path.
        path: String,
        /// The object that is not there.
        key: String,
        /// The address of the cache.
        cache: String,
    },
    /// A NAR is not what the narinfo says.
    #[error("the NAR of `{path}` in `{cache}` is not what its narinfo says: {reason}")]
    BadNar {
        /// The path.
        path: String,
        /// The address of the cache.
        cache: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no cache in a place.
    #[error("there is no cache at `{cache}`: neither a `nix-cache-info` nor a path")]
    NoCache {
        /// The address.
        cache: String,
    },
    /// A path is compressed in a way that we cannot undo.
    #[error("`{path}` in `{cache}` is compressed with `{compression}`, which is not supported")]
    Compressed {
        /// The path.
        path: String,
        /// The address of the cache.
        cache: String,
        /// How it is compressed.
        compression: String,
    },
    /// A path that is to be kept is not there: perhaps another one was meant.
    #[error("`{path}` is to be kept and not in `{cache}`; nothing was deleted")]
    NothingToKeep {
        /// The path.
        path: String,
        /// The address of the cache.
        cache: String,
    },
    /// More paths than are worked on at once.
    #[error("more than {limit} paths")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Something else lies where paths are to be staged.
    #[error("`{dir}` cannot be used to stage paths: it holds other things", dir = dir.display())]
    StagingTaken {
        /// The directory.
        dir: PathBuf,
    },
    /// The store did not take a path, and did not say why.
    #[error("the store did not take `{path}`")]
    NotTaken {
        /// The path.
        path: String,
    },
    /// A manifest cannot be read, so nobody knows what it needs.
    #[error("`{key}` in `{cache}` cannot be read, so nobody knows which paths it names: {reason}")]
    BadManifest {
        /// The object.
        key: String,
        /// The address of the cache.
        cache: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl CacheError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadUrl { .. } | Self::BadKey { .. } | Self::PreconditionFailed { .. } | Self::TooLarge { .. } => {
                ErrorKind::User
            }
            Self::NoCache { .. } | Self::NothingToKeep { .. } => ErrorKind::User,
            Self::NotThere { .. } | Self::TooMany { .. } | Self::StagingTaken { .. } => ErrorKind::User,
            Self::Bucket { source, .. } => source.kind(),
            Self::NotSeen { source, .. } => source.kind(),
            Self::Store(source) => source.kind(),
            Self::Files { .. } | Self::Pack { .. } | Self::Changed { .. } => ErrorKind::Host,
            Self::Busy { .. }
            | Self::Stopped
            | Self::Collected { .. }
            | Self::Collecting { .. }
            | Self::Overtaken { .. } => ErrorKind::Transient,
            Self::OtherStore { .. }
            | Self::BadText { .. }
            | Self::OtherPath { .. }
            | Self::Untrusted { .. }
            | Self::Compressed { .. }
            | Self::NoNar { .. }
            | Self::BadNar { .. }
            | Self::NotTaken { .. }
            | Self::BadManifest { .. } => ErrorKind::Config,
            Self::OddPath { .. } | Self::Circle { .. } => ErrorKind::Internal,
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
            Self::NotSeen { .. } => {
                "if nothing was published there yet, publish: from then on the two are told apart; if something was, let this key read it \
                 (`s3:GetObject`). A key that may list the bucket (`s3:ListBucket`) is told at once"
                    .to_owned()
            }
            Self::Store(source) => return source.hint(),
            Self::BadText { key, .. } if key.ends_with(".narinfo") => {
                "`freehold cache push --recheck` of the path writes it anew".to_owned()
            }
            Self::BadText { source, .. } | Self::OddPath { source, .. } => return source.hint(),
            Self::Changed { path, .. } => {
                format!(
                    "`nix-store --verify --check-contents` finds such paths, `nix-store --repair-path {path}` mends one"
                )
            }
            Self::Untrusted { .. } => {
                "trust the key that signed it (its `.pub` file), or push the path again with a key that is trusted here"
                    .to_owned()
            }
            Self::NotThere { .. } => "push it: `freehold cache push PATH --to URL`".to_owned(),
            Self::NoCache { .. } => "look at the address; the first `freehold cache push` makes a cache".to_owned(),
            Self::Compressed { .. } => {
                "push it again with freehold or with `compression=zstd`, or let Nix take it: `nix copy --from URL`".to_owned()
            }
            Self::NothingToKeep { .. } => "look for it: `freehold cache ls --at URL NAME`".to_owned(),
            Self::NoNar { .. } => {
                "`freehold cache verify` finds all that is broken; `freehold cache push --recheck` brings what is missing"
                    .to_owned()
            }
            Self::BadNar { .. } => {
                "`freehold cache verify` finds all that is broken; delete the narinfo and push the path again"
                    .to_owned()
            }
            Self::StagingTaken { .. } => "name a directory that is empty or not there yet".to_owned(),
            Self::Collected { .. } | Self::Collecting { .. } => "push again when the collection has ended".to_owned(),
            Self::Overtaken { .. } => "collect again".to_owned(),
            Self::BadManifest { key, .. } => format!("mend or delete `{key}`, then collect again"),
            _ => return None,
        })
    }

    /// Whether a condition was not met: someone else wrote first.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::PreconditionFailed { .. })
            || matches!(self, Self::Bucket { source, .. } if source.is_precondition())
    }
}
