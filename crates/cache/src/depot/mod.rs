//! A depot: objects under keys, in a bucket or in a directory, read and written the same way.
//!
//! Whole objects come with an ETag that names their content, for conditional reads and writes; large ones are written into a
//! [`Draft`] and appear at once when it is done. Nothing here knows what the objects mean: binary caches and manifests both
//! lie in depots. To add another kind of place: a file beside `bucket.rs`, and a line in each method below.

mod bucket;
mod directory;
mod url;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use freehold_s3::{Condition, Conditions};

use crate::error::CacheError;
use bucket::Bucket;
use directory::Directory;
pub use directory::Draft;
pub use url::DepotUrl;

/// A place for objects. Cheap to clone, and may be used from many threads.
#[derive(Debug, Clone)]
pub struct Depot {
    url: DepotUrl,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Bucket(Bucket),
    Directory(Directory),
}

/// An object with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub body: Vec<u8>,
    /// Names this content, for conditions.
    pub etag: String,
}

/// Answer to a conditional read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The object still has that ETag.
    NotModified,
    /// There is no such object.
    Gone,
    /// Another content.
    Object(Object),
}

/// One entry of a listing, or what is said of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written; `None` when the place does not tell.
    pub modified: Option<SystemTime>,
}

/// What an object is, for whoever reads it over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `text/x-nix-narinfo`.
    NarInfo,
    /// `application/x-nix-nar`.
    Nar,
    /// `text/x-nix-cache-info`.
    CacheInfo,
    /// `application/json`.
    Json,
    /// `text/plain`.
    Text,
}

impl Kind {
    /// Its MIME type.
    pub fn mime(self) -> &'static str {
        match self {
            Self::NarInfo => "text/x-nix-narinfo",
            Self::Nar => "application/x-nix-nar",
            Self::CacheInfo => "text/x-nix-cache-info",
            Self::Json => "application/json",
            Self::Text => "text/plain",
        }
    }
}

impl Depot {
    /// The depot at `s3://…` or `file:///…`. Credentials are looked up; nothing is sent yet, and no directory is made.
    ///
    /// # Errors
    /// An address that cannot be used, no credentials.
    pub fn open(url: &str) -> Result<Self, CacheError> {
        Self::at(DepotUrl::parse(url)?)
    }

    /// As [`Depot::open`], for an address that was read before.
    ///
    /// # Errors
    /// As [`Depot::open`].
    pub fn at(url: DepotUrl) -> Result<Self, CacheError> {
        let place = match &url {
            DepotUrl::Bucket { settings, prefix, shown, .. } => Place::Bucket(Bucket::new(settings, prefix, shown)?),
            DepotUrl::Directory { path, shown, .. } => Place::Directory(Directory::new(path, shown)),
        };
        Ok(Self { url, place })
    }

    /// The depot in a directory, which need not be there yet. `dir` must be absolute.
    pub fn in_directory(dir: &std::path::Path) -> Self {
        let shown = format!("file://{}", dir.display());
        let place = Place::Directory(Directory::new(dir, &shown));
        Self { url: DepotUrl::Directory { path: dir.to_owned(), compression: None, shown }, place }
    }

    /// Lets what waits for a bucket that does not answer fail with [`CacheError::Stopped`], a little after `stop` was set.
    pub fn heed(&self, stop: &Arc<AtomicBool>) {
        match &self.place {
            Place::Bucket(bucket) => bucket.heed(stop),
            Place::Directory(_) => {}
        }
    }

    /// Its address, as it was given.
    pub fn url(&self) -> &DepotUrl {
        &self.url
    }

    /// Whether asking it means a request over a network.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Bucket(_))
    }

    /// Reads a whole object into memory; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or has more than [`freehold_model::limits::DEPOT_OBJECT_BYTES`].
    pub fn get(&self, key: &str) -> Result<Option<Object>, CacheError> {
        match self.get_if_changed(key, None)? {
            Fetched::Object(object) => Ok(Some(object)),
            Fetched::Gone | Fetched::NotModified => Ok(None),
        }
    }

    /// Reads an object unless its ETag is still `etag`.
    ///
    /// # Errors
    /// As [`Depot::get`].
    pub fn get_if_changed(&self, key: &str, etag: Option<&str>) -> Result<Fetched, CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.get_if_changed(key, etag),
            Place::Directory(directory) => directory.get_if_changed(key, etag),
        }
    }

    /// Streams an object into `sink`; gives its size, or `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or `sink` refuses; the sink may have a part of it by then.
    pub fn download(&self, key: &str, sink: &mut dyn Write) -> Result<Option<u64>, CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.download(key, sink),
            Place::Directory(directory) => directory.download(key, sink),
        }
    }

    /// What is said of an object; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn head(&self, key: &str) -> Result<Option<Listed>, CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.head(key),
            Place::Directory(directory) => directory.head(key),
        }
    }

    /// Writes an object whole; gives the ETag of the new content. JSON is on the disk when that is answered.
    ///
    /// # Errors
    /// [`CacheError::PreconditionFailed`] when the condition did not hold, and all others. After a failure on the way to a bucket
    /// the object may have been written.
    pub fn put(&self, key: &str, body: &[u8], kind: Kind, condition: &Condition) -> Result<String, CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.put(key, body, kind, condition),
            Place::Directory(directory) => directory.put(key, body, kind, condition),
        }
    }

    /// A file to write a large object into, whose key need not be known yet. It leaves nothing behind when it is dropped.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn draft(&self) -> Result<Draft, CacheError> {
        match &self.place {
            Place::Bucket(_) => Draft::unnamed(),
            Place::Directory(directory) => directory.draft(),
        }
    }

    /// Makes a draft the object of that key, in place of any other. It appears whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(&self, draft: Draft, key: &str, kind: Kind) -> Result<(), CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.commit(&draft, key, kind),
            Place::Directory(directory) => directory.commit(draft, key),
        }
    }

    /// Waits until all that was written before is on the disk. In buckets it is when a write is answered.
    ///
    /// # Errors
    /// When the disk cannot take it.
    pub fn sync(&self) -> Result<(), CacheError> {
        match &self.place {
            Place::Bucket(_) => Ok(()),
            Place::Directory(directory) => directory.sync(),
        }
    }

    /// All objects whose keys start with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.list(prefix),
            Place::Directory(directory) => directory.list(prefix),
        }
    }

    /// Deletes an object; that there was none is no error.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn delete(&self, key: &str) -> Result<(), CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.delete(key),
            Place::Directory(directory) => directory.delete(key),
        }
    }

    /// Removes what processes left behind that were killed while they wrote, long ago.
    ///
    /// # Errors
    /// When the directory cannot be read. In buckets there is nothing to do.
    pub fn sweep(&self) -> Result<(), CacheError> {
        match &self.place {
            Place::Bucket(_) => Ok(()),
            Place::Directory(directory) => directory.sweep(SystemTime::now()),
        }
    }

    /// Whether conditional writes hold here. A bucket is probed once, with an object of its own under `prefix`: some stores accept
    /// conditions and ignore them.
    ///
    /// # Errors
    /// When the bucket may not be written to.
    pub fn honours_conditions(&self, prefix: &str) -> Result<Conditions, CacheError> {
        match &self.place {
            Place::Bucket(bucket) => bucket.honours_conditions(prefix),
            Place::Directory(_) => Ok(Conditions { if_absent: true, if_match: true }),
        }
    }
}

/// Refuses what cannot be a key in every place: empty parts, `.`, `..`, control characters, and names of our own files.
fn check_key(key: &str) -> Result<(), CacheError> {
    let bad_part = |part: &str| ["", ".", ".."].contains(&part) || part.starts_with(directory::OWN);
    if key.split('/').any(bad_part) || key.contains(char::is_control) {
        return Err(CacheError::BadKey { key: key.to_owned() });
    }
    Ok(())
}
