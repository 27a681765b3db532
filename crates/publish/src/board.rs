//! Reading the manifest, and moving it on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freehold_cache::{CacheError, Condition, Depot, Fetched, Kind};
use freehold_manifest::{Edit, Generation, Known, Manifest, ManifestError};
use freehold_model::limits;

use crate::claim::Claim;
use crate::error::PublishError;
use crate::publisher::Publisher;

/// Where what is current lies.
const CURRENT: &str = "manifest.json";
/// Where what was lies.
const ARCHIVE: &str = "manifests/";

/// The manifests of a bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Board {
    depot: Depot,
}

/// The manifest that is current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// What it says.
    pub manifest: Manifest,
    /// Its bytes, which signatures are verified with.
    pub bytes: Vec<u8>,
    /// Names these bytes, to ask for newer ones only.
    pub etag: String,
}

/// Answer to a look at what is current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The same as before.
    Unchanged,
    /// There is no manifest, which is no fault: nothing is to run.
    Nothing,
    /// Another.
    Found(Box<Current>),
}

/// What came of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What was current before.
    pub before: Option<Manifest>,
    /// What is current now.
    pub manifest: Manifest,
    /// How often a rival was faster and the edit was made again.
    pub retries: u32,
}

impl Board {
    /// The manifests of this bucket or directory.
    pub fn new(depot: Depot) -> Self {
        Self { depot }
    }

    /// Where it is.
    pub fn depot(&self) -> &Depot {
        &self.depot
    }

    /// The manifest that is current; `None` when there is none.
    ///
    /// # Errors
    /// The bucket cannot be read, or it holds something else under this name.
    pub fn current(&self) -> Result<Option<Current>, PublishError> {
        match self.look(None)? {
            Look::Found(current) => Ok(Some(*current)),
            Look::Nothing | Look::Unchanged => Ok(None),
        }
    }

    /// Looks whether something else than `etag` is current.
    ///
    /// # Errors
    /// As [`Board::current`].
    pub fn look(&self, etag: Option<&str>) -> Result<Look, PublishError> {
        let found = match self.depot.get_if_changed(CURRENT, etag) {
            Err(CacheError::TooLarge { limit, .. }) => {
                return Err(self.bad(CURRENT, ManifestError::of_more_than(limit)));
            }
            found => found?,
        };
        match found {
            Fetched::NotModified => Ok(Look::Unchanged),
            Fetched::Gone => Ok(Look::Nothing),
            Fetched::Object(object) => {
                let manifest = Manifest::parse(&object.body).map_err(|source| self.bad(CURRENT, source))?;
                Ok(Look::Found(Box::new(Current { manifest, bytes: object.body, etag: object.etag })))
            }
        }
    }

    /// The generations in the archive, oldest first. What is current is not among them, unless it came from there.
    ///
    /// # Errors
    /// The bucket cannot be listed.
    pub fn archived(&self) -> Result<Vec<Generation>, PublishError> {
        let listed = self.depot.list(ARCHIVE)?;
        let mut found: Vec<Generation> =
            listed.iter().filter_map(|entry| Generation::from_archive_key(&entry.key)).collect();
        found.sort_by_key(Generation::time);
        Ok(found)
    }

    /// A manifest by its generation, current or archived.
    ///
    /// # Errors
    /// There is none, or it is no good manifest.
    pub fn generation(&self, generation: &str) -> Result<Current, PublishError> {
        if let Some(current) = self.current()?
            && current.manifest.generation.as_str() == generation
        {
            return Ok(current);
        }
        let known = self.archived()?.into_iter().find(|known| known.as_str() == generation);
        self.from_archive(&known.ok_or_else(|| self.no_generation(generation))?)
    }

    /// A manifest of the archive.
    ///
    /// # Errors
    /// As [`Board::generation`].
    pub fn from_archive(&self, generation: &Generation) -> Result<Current, PublishError> {
        let key = generation.archive_key();
        let object = self.depot.get(&key)?.ok_or_else(|| self.no_generation(generation.as_str()))?;
        let manifest = Manifest::parse(&object.body).map_err(|source| self.bad(&key, source))?;
        Ok(Current { manifest, bytes: object.body, etag: object.etag })
    }

    fn no_generation(&self, generation: &str) -> PublishError {
        PublishError::NoGeneration { generation: generation.to_owned(), place: self.place() }
    }

    /// Moves the manifest on: `edit` says what is to change in what is current, and is asked again when a rival was faster.
    /// What was current is archived first. Without a publisher nothing is signed, and nothing asked of what is current.
    ///
    /// # Errors
    /// What is current was signed by nobody whom the publisher trusts; what `edit` says; a result that does not hold together; a bucket
    /// that cannot be written to; rivals without end.
    pub fn publish(
        &self,
        publisher: Option<&Publisher<'_>>,
        edit: &dyn Fn(Option<&Manifest>) -> Result<Edit, ManifestError>,
    ) -> Result<Published, PublishError> {
        let is_guarded = self.depot.honours_conditions(ARCHIVE)?.all();
        for retries in 0..limits::PUBLISH_TRIES {
            let claim = if is_guarded { None } else { Some(Claim::take(&self.depot)?) };
            let current = self.current()?;
            let next = self.next(current.as_ref(), publisher, edit)?;
            if let Some(current) = &current {
                self.archive(current, is_guarded)?;
            }
            let condition = match &current {
                _ if claim.is_some() => Condition::None,
                Some(current) => Condition::Match(current.etag.clone()),
                None => Condition::Absent,
            };
            let is_ours = claim.as_ref().is_none_or(Claim::is_ours);
            match is_ours.then(|| self.depot.put(CURRENT, &next.to_bytes(), Kind::Json, &condition)) {
                // Without conditions what came of it is read back.
                Some(Ok(_)) if claim.is_none() || self.stands(&next) => {
                    let before = current.map(|current| current.manifest);
                    return Ok(Published { before, manifest: next, retries });
                }
                Some(Err(error)) if !error.is_precondition() => return Err(error.into()),
                _ => {}
            }
            drop(claim);
            std::thread::sleep(pause(retries));
        }
        Err(PublishError::Crowded { tries: limits::PUBLISH_TRIES })
    }

    fn next(
        &self,
        current: Option<&Current>,
        publisher: Option<&Publisher<'_>>,
        edit: &dyn Fn(Option<&Manifest>) -> Result<Edit, ManifestError>,
    ) -> Result<Manifest, PublishError> {
        if let (Some(current), Some(publisher)) = (current, publisher) {
            publisher.accept(&current.bytes).map_err(|source| self.strange(CURRENT, source))?;
        }
        let before = current.map(|current| &current.manifest);
        let bad = |source| PublishError::Manifest { what: "what would be published".to_owned(), source };
        // One that an operator copied back by hand, or took away, does not know how far others had come; the archive does.
        let known = self.known()?;
        let next = Manifest::next(before, edit(before).map_err(bad)?, now(), &known).map_err(bad)?;
        Ok(match publisher {
            Some(publisher) => next.signed(publisher.key),
            None => next,
        })
    }

    /// That what lies under `key` was signed by nobody who is trusted.
    pub fn strange(&self, key: &str, source: ManifestError) -> PublishError {
        PublishError::Strange { what: format!("`{key}` in {}", self.place()), source }
    }

    /// How far the archive has come. The latest there has the highest serial; the few before it are asked, too, for it may be damaged,
    /// or be of a publisher who knew of the newest alone.
    fn known(&self) -> Result<Known, PublishError> {
        let mut latest = self.archived()?;
        let latest = latest.split_off(latest.len().saturating_sub(limits::PUBLISH_ARCHIVED_ASKED));
        let ask = |generation: &Generation| -> Result<u64, PublishError> {
            let object = self.depot.get(&generation.archive_key())?;
            // An archived manifest that is damaged is in nobody's way.
            let manifest = object.and_then(|object| Manifest::parse(&object.body).ok());
            Ok(manifest.and_then(|manifest| manifest.serial).unwrap_or(0))
        };
        let serials: Vec<Result<u64, PublishError>> = std::thread::scope(|scope| {
            let asked: Vec<_> = latest.iter().map(|generation| scope.spawn(|| ask(generation))).collect();
            asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
        });
        let serials = serials.into_iter().collect::<Result<Vec<u64>, _>>()?;
        Ok(Known { generation: latest.last().cloned(), serial: serials.into_iter().max().unwrap_or(0) })
    }

    /// Keeps what was current. One that is kept already stays as it is; where another one has its name it is kept beside that.
    fn archive(&self, current: &Current, is_guarded: bool) -> Result<(), PublishError> {
        let generation = &current.manifest.generation;
        let beside = (1..limits::PUBLISH_ARCHIVED_BESIDE).filter_map(|number| generation.beside(number));
        for name in std::iter::once(generation.clone()).chain(beside) {
            let key = name.archive_key();
            let put = |condition| self.depot.put(&key, &current.bytes, Kind::Json, condition);
            // Who holds the claim is alone, and a store without conditions would take the other one's place.
            if !is_guarded && self.depot.get(&key)?.is_none() {
                put(&Condition::None)?;
                return Ok(());
            }
            if is_guarded {
                match put(&Condition::Absent) {
                    Err(error) if error.is_precondition() => {}
                    result => return Ok(result.map(drop)?),
                }
            }
            if self.depot.get(&key)?.is_some_and(|object| object.body == current.bytes) {
                return Ok(());
            }
        }
        Err(PublishError::Unkept { generation: generation.to_string(), place: self.place() })
    }

    /// Whether our change is the one that stands.
    fn stands(&self, next: &Manifest) -> bool {
        self.current().is_ok_and(|now| now.is_some_and(|now| now.manifest == *next))
    }

    fn bad(&self, key: &str, source: ManifestError) -> PublishError {
        PublishError::Manifest { what: format!("`{key}` in {}", self.place()), source }
    }

    fn place(&self) -> String {
        self.depot.url().to_string()
    }
}

/// Longer with every try, and never the same for two.
fn pause(tries: u32) -> Duration {
    let most = limits::PUBLISH_PAUSE * 2_u32.pow(tries.min(6));
    most.mul_f64(0.5 + 0.5 * random())
}

/// Between 0 and 1. Without randomness everybody waits as long, and the limit of tries ends it.
pub(crate) fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
