//! A depot in an S3 bucket.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use freehold_model::limits;
use freehold_nar::CacheInfo;
use freehold_s3::{Client, Condition, Conditions, Put, S3Error, Settings};

use super::{Draft, Fetched, Kind, Listed, Object, check_key};
use crate::error::CacheError;

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    client: Client,
    prefix: String,
    shown: String,
}

impl Bucket {
    pub(super) fn new(settings: &Settings, prefix: &str, shown: &str) -> Result<Self, CacheError> {
        let client = Client::new(settings).map_err(|source| CacheError::Bucket { cache: shown.to_owned(), source })?;
        Ok(Self { client, prefix: prefix.to_owned(), shown: shown.to_owned() })
    }

    pub(super) fn get_if_changed(&self, key: &str, etag: Option<&str>) -> Result<Fetched, CacheError> {
        let fetched = match self.client.get_if_changed(&self.full(key)?, etag) {
            // Of one that was read before, "not allowed" means that: who took the right away has not taken the object away.
            Err(S3Error::AccessDenied { .. }) if etag.is_none() && self.can_read_others(key)? => {
                return Ok(Fetched::Gone);
            }
            Err(source @ S3Error::AccessDenied { .. }) if etag.is_none() => {
                return Err(CacheError::NotSeen {
                    key: key.to_owned(),
                    cache: self.shown.clone(),
                    source: Box::new(source),
                });
            }
            other => other.map_err(|e| self.failed(e))?,
        };
        Ok(match fetched {
            freehold_s3::Fetched::NotModified => Fetched::NotModified,
            freehold_s3::Fetched::Gone => Fetched::Gone,
            freehold_s3::Fetched::Object(object) if object.body.len() as u64 > limits::DEPOT_OBJECT_BYTES => {
                return Err(CacheError::TooLarge { key: key.to_owned(), limit: limits::DEPOT_OBJECT_BYTES });
            }
            freehold_s3::Fetched::Object(object) => {
                Fetched::Object(Object { body: object.body, etag: object.meta.etag })
            }
        })
    }

    /// Whether the key may read what lies beside `key`: then "not allowed" is what a store says of an object that is not there, to one
    /// who may not list the bucket.
    fn can_read_others(&self, key: &str) -> Result<bool, CacheError> {
        if key == CacheInfo::KEY {
            return Ok(false);
        }
        Ok(self.client.head(&self.full(CacheInfo::KEY)?).is_ok_and(|meta| meta.is_some()))
    }

    pub(super) fn download(&self, key: &str, sink: &mut dyn Write) -> Result<Option<u64>, CacheError> {
        match self.client.download(&self.full(key)?, sink) {
            Err(S3Error::AccessDenied { .. }) if self.can_read_others(key)? => Ok(None),
            other => Ok(other.map_err(|e| self.failed(e))?.map(|meta| meta.size)),
        }
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<Listed>, CacheError> {
        match self.client.head(&self.full(key)?) {
            Ok(meta) => Ok(meta.map(|meta| Listed {
                key: key.to_owned(),
                size: meta.size,
                modified: meta.last_modified.as_deref().and_then(http_date),
            })),
            // What a store says of an object that is not there when the key may not list the bucket; a write will tell.
            Err(S3Error::AccessDenied { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn put(&self, key: &str, body: &[u8], kind: Kind, condition: &Condition) -> Result<String, CacheError> {
        let put = Put { condition: condition.clone(), ..said(kind) };
        match self.client.put(&self.full(key)?, body, &put) {
            Ok(written) => Ok(written.etag),
            Err(S3Error::PreconditionFailed { .. }) => {
                Err(CacheError::PreconditionFailed { key: key.to_owned(), cache: self.shown.clone() })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn commit(&self, draft: &Draft, key: &str, kind: Kind) -> Result<(), CacheError> {
        let (single, part) = (limits::S3_SINGLE_BYTES, limits::S3_PART_BYTES);
        self.client
            .put_open_file(&self.full(key)?, draft.file(), &said(kind), single, part)
            .map_err(|e| self.failed(e))?;
        Ok(())
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<Listed>, CacheError> {
        let full = format!("{}{prefix}", self.prefix);
        let listed = self.client.list_all(&full).map_err(|e| self.failed(e))?;
        let mut found = Vec::with_capacity(listed.len());
        for entry in listed {
            let Some(key) = entry.key.strip_prefix(&self.prefix) else { continue };
            let modified = entry.last_modified.and_then(|text| text.parse::<jiff::Timestamp>().ok());
            found.push(Listed { key: key.to_owned(), size: entry.size, modified: modified.map(SystemTime::from) });
        }
        Ok(found)
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), CacheError> {
        self.client.delete(&self.full(key)?).map_err(|e| self.failed(e))
    }

    pub(super) fn honours_conditions(&self, prefix: &str) -> Result<Conditions, CacheError> {
        self.client.honours_conditions(&format!("{}{prefix}", self.prefix)).map_err(|e| self.failed(e))
    }

    fn full(&self, key: &str) -> Result<String, CacheError> {
        check_key(key)?;
        Ok(format!("{}{key}", self.prefix))
    }

    pub(super) fn heed(&self, stop: &Arc<AtomicBool>) {
        self.client.heed(stop);
    }

    fn failed(&self, source: S3Error) -> CacheError {
        if matches!(source, S3Error::GivenUp { .. }) {
            return CacheError::Stopped;
        }
        CacheError::Bucket { cache: self.shown.clone(), source }
    }
}

fn http_date(text: &str) -> Option<SystemTime> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(SystemTime::from(date))
}

fn said(kind: Kind) -> Put {
    Put { content_type: Some(kind.mime().to_owned()), ..Put::default() }
}
