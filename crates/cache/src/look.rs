//! What a cache has of the closure that is pushed to it.
//!
//! What this machine remembers saves questions: of other paths the narinfo is read, since it may lack the signature of our key. What is
//! remembered is not believed when the operator says so, nor after a collection came between: then NARs are asked for, too.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use freehold_model::limits;
use freehold_nar::{NarInfo, StorePath, TrustedKeys};

use crate::depot::Depot;
use crate::error::CacheError;
use crate::index::Index;
use crate::pool::each;

/// Who looks, and how.
pub(crate) struct Looker<'a> {
    pub(crate) depot: &'a Depot,
    pub(crate) index: &'a Index,
    pub(crate) stop: &'a AtomicBool,
    /// The key whose signature is wanted.
    pub(crate) key: &'a TrustedKeys,
    /// Whether what is remembered is believed; otherwise NARs are asked for, too.
    pub(crate) believe: bool,
}

/// What a look showed.
#[derive(Default)]
pub(crate) struct Look {
    /// What the cache does not have.
    pub(crate) missing: Vec<StorePath>,
    /// What it says it has, and has not.
    pub(crate) broken: HashMap<StorePath, Broken>,
    /// What our key has not signed, with the ETag of its narinfo.
    pub(crate) unsigned: Vec<(NarInfo, String)>,
    /// Roots that it has had for long.
    pub(crate) old: Vec<StorePath>,
}

/// A narinfo that cannot be read, or whose NAR is not there.
pub(crate) struct Broken {
    pub(crate) etag: String,
    /// What it says, if it can be read.
    pub(crate) info: Option<NarInfo>,
}

/// What the cache has of one path.
enum Found {
    Nothing,
    Broken(Box<Broken>),
    /// A narinfo without our signature, and its ETag.
    Unsigned {
        info: Box<NarInfo>,
        etag: String,
        is_old: bool,
    },
    Whole {
        is_old: bool,
    },
}

impl Looker<'_> {
    /// Looks at all `paths`, of which some are `roots`.
    pub(crate) fn look(&self, paths: &[StorePath], roots: &[StorePath]) -> Result<Look, CacheError> {
        let is_root = |path: &StorePath| roots.contains(path);
        let known = |path: &StorePath| self.believe && self.index.has(path.hash_part());
        // A directory is asked as fast as an index.
        let is_sure = |path: &StorePath| known(path) && self.depot.is_remote() && !is_root(path);
        let doubtful: Vec<&StorePath> = paths.iter().filter(|path| !is_sure(path)).collect();
        let found =
            each(&doubtful, limits::CACHE_CHECKS, self.stop, |path, _| self.ask(path, is_root(path), known(path)))?;
        if doubtful.iter().zip(&found).any(|(path, found)| matches!(found, Found::Nothing) && known(path)) {
            // Somebody deleted from the cache without a word: nothing that is remembered is worth anything.
            return Looker { believe: false, ..*self }.look(paths, roots);
        }
        let mut look = Look::default();
        for (path, found) in doubtful.into_iter().zip(found) {
            match found {
                Found::Nothing => look.missing.push(path.clone()),
                Found::Broken(broken) => {
                    look.broken.insert(path.clone(), *broken);
                }
                Found::Unsigned { info, etag, is_old } => {
                    look.unsigned.push((*info, etag));
                    if is_old {
                        look.old.push(path.clone());
                    }
                }
                Found::Whole { is_old: true } => look.old.push(path.clone()),
                Found::Whole { is_old: false } => {}
            }
        }
        Ok(look)
    }

    fn ask(&self, path: &StorePath, is_root: bool, is_known: bool) -> Result<Found, CacheError> {
        let key = NarInfo::key_of(path);
        let mut is_old = false;
        if is_root || is_known {
            let Some(head) = self.depot.head(&key)? else { return Ok(Found::Nothing) };
            let age = head.modified.and_then(|at| SystemTime::now().duration_since(at).ok());
            is_old = is_root && age.is_some_and(|age| age > limits::CACHE_GC_AGE / 2);
            // An empty one is what a loss of power leaves.
            if is_known && head.size > 0 {
                return Ok(Found::Whole { is_old });
            }
        }
        let Some(object) = self.depot.get(&key)? else { return Ok(Found::Nothing) };
        let info = match NarInfo::parse(&object.body) {
            Ok(info) if info.path == *path => info,
            _ => return Ok(Found::Broken(Box::new(Broken { etag: object.etag, info: None }))),
        };
        if !self.believe && !self.has_nar(&info)? {
            return Ok(Found::Broken(Box::new(Broken { etag: object.etag, info: Some(info) })));
        }
        if info.signer(self.key).is_none() {
            return Ok(Found::Unsigned { info: Box::new(info), etag: object.etag, is_old });
        }
        Ok(Found::Whole { is_old })
    }

    fn has_nar(&self, info: &NarInfo) -> Result<bool, CacheError> {
        let found = self.depot.head(&info.url)?;
        Ok(found.is_some_and(|found| info.file_size.is_none_or(|size| size == found.size)))
    }
}
