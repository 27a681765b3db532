//! What can go wrong between a publisher and a bucket.

use freehold_cache::CacheError;
use freehold_manifest::ManifestError;
use freehold_model::ErrorKind;

/// Why a manifest could not be read or moved on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The bucket cannot be used.
    #[error(transparent)]
    Depot(#[from] CacheError),
    /// What lies in the bucket, or would come of an edit, is no good manifest.
    #[error("{what} cannot be used")]
    Manifest {
        /// Which: `manifest.json`, an archived one, what would be published.
        what: String,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// What lies in the bucket was signed by nobody who is trusted, and would be vouched for by whoever signs on top of it.
    #[error("{what} cannot be built on")]
    Strange {
        /// Which.
        what: String,
        /// Whose it is.
        #[source]
        source: ManifestError,
    },
    /// No manifest of that generation.
    #[error("there is no generation `{generation}` in {place}")]
    NoGeneration {
        /// Which.
        generation: String,
        /// The bucket.
        place: String,
    },
    /// What is current cannot be archived: others have its name.
    #[error("generation `{generation}` of {place} cannot be archived: there are too many others of that name")]
    Unkept {
        /// Which.
        generation: String,
        /// The bucket.
        place: String,
    },
    /// Rivals were faster every time.
    #[error("others changed the manifest {tries} times while this change was being made")]
    Crowded {
        /// How often.
        tries: u32,
    },
    /// Another publisher holds the claim and does not end.
    #[error("another publisher has claimed the manifest and not given it back")]
    Claimed,
}

impl PublishError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Depot(error) => error.kind(),
            Self::Manifest { source, .. } | Self::Strange { source, .. } => source.kind(),
            Self::NoGeneration { .. } | Self::Unkept { .. } => ErrorKind::User,
            Self::Crowded { .. } | Self::Claimed => ErrorKind::Transient,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Depot(error) => error.hint(),
            Self::Manifest { source, .. } => source.hint(),
            Self::Strange { .. } => Some(
                "look at it with `freehold manifest show`, and who can write to the bucket; `--trusted-key KEY` trusts its signer, \
                 `--adopt` takes it as it is"
                    .to_owned(),
            ),
            Self::Unkept { .. } => Some("look into `manifests/` there, and move away what nobody needs".to_owned()),
            Self::NoGeneration { .. } => Some("`freehold manifest list` shows what there is".to_owned()),
            Self::Crowded { .. } => Some("publish again".to_owned()),
            Self::Claimed => {
                Some("wait a minute and publish again; a claim of one that died runs out by itself".to_owned())
            }
        }
    }
}
