//! Objects: read, write (if they are as expected), delete, list.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use base64::Engine as _;
use freehold_model::limits;
use md5::{Digest, Md5};
use rusty_s3::Method;
use rusty_s3::actions::ListObjectsV2;

use crate::error::S3Error;
use crate::transport::{Body, Client, Reply, Request, Trouble, header, nonce};

/// The metadata by which a conditional write of ours is known again when its answer got lost.
const WRITE_MARK: &str = "freehold-write";

/// What must hold of an object for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing: the last writer wins.
    #[default]
    None,
    /// There is no such object yet.
    Absent,
    /// Its ETag is this one, as the store gave it.
    Match(String),
}

/// How an object is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Put {
    /// What must hold of the object that is there.
    pub condition: Condition,
    /// MIME type.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// What a write resulted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Names this content of the object, for conditions.
    pub etag: String,
    /// In a bucket with versions.
    pub version_id: Option<String>,
}

/// What a store says of an object beside its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Names this content of the object, for conditions; with its quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// MIME type.
    pub content_type: Option<String>,
    /// In a bucket with versions.
    pub version_id: Option<String>,
    /// When it was written, in the form of HTTP.
    pub last_modified: Option<String>,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
    write_mark: Option<String>,
}

/// An object with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub body: Vec<u8>,
    /// What is said of it.
    pub meta: Meta,
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

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Names its content.
    pub etag: Option<String>,
    /// When it was written, as RFC 3339.
    pub last_modified: Option<String>,
}

impl Client {
    /// Reads a whole object into memory; `None` when there is none.
    ///
    /// # Errors
    /// All of [`S3Error`]; an object of more than [`limits::S3_OBJECT_BYTES`] is refused.
    pub fn get(&self, key: &str) -> Result<Option<Object>, S3Error> {
        match self.get_if_changed(key, None)? {
            Fetched::Object(object) => Ok(Some(object)),
            Fetched::Gone | Fetched::NotModified => Ok(None),
        }
    }

    /// Reads an object unless its ETag is still `etag`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_if_changed(&self, key: &str, etag: Option<&str>) -> Result<Fetched, S3Error> {
        let mut body = Limited { key, bytes: Vec::new() };
        match self.fetch(key, etag, &mut body) {
            Ok(Some(meta)) => Ok(Fetched::Object(Object { body: body.bytes, meta })),
            Ok(None) => Ok(Fetched::NotModified),
            Err(S3Error::NoSuchKey { .. }) => Ok(Fetched::Gone),
            Err(S3Error::Sink { .. }) => Err(S3Error::TooLarge { key: key.to_owned(), limit: limits::S3_OBJECT_BYTES }),
            Err(error) => Err(error),
        }
    }

    /// Streams an object into `sink`; `None` when there is none. A broken connection is taken up where it broke, provided that the
    /// object is still the same.
    ///
    /// # Errors
    /// All of [`S3Error`]. The sink may have received a part of the object by then.
    pub fn download(&self, key: &str, sink: &mut dyn Write) -> Result<Option<Meta>, S3Error> {
        match self.fetch(key, None, sink) {
            Err(S3Error::NoSuchKey { .. }) => Ok(None),
            other => other,
        }
    }

    /// What the store says of an object; `None` when there is none.
    ///
    /// # Errors
    /// All of [`S3Error`].
    pub fn head(&self, key: &str) -> Result<Option<Meta>, S3Error> {
        let request = self.request("look at", Method::Head, key)?;
        match self.send(&request) {
            Ok(reply) => Ok(Some(meta(&reply))),
            Err(Trouble { error: S3Error::NoSuchKey { .. }, .. }) => Ok(None),
            Err(trouble) => Err(trouble.error),
        }
    }

    /// Writes an object whole.
    ///
    /// # Errors
    /// [`S3Error::PreconditionFailed`] when the condition did not hold, and all others. After [`S3Error::Lost`] and
    /// [`S3Error::Unavailable`] the object may have been written.
    pub fn put(&self, key: &str, body: &[u8], put: &Put) -> Result<Written, S3Error> {
        let mut digest = Md5::new();
        digest.update(body);
        self.put_body(key, Body::Bytes(body), &digest.finalize(), put)
    }

    /// Deletes an object; that there was none is no error.
    ///
    /// # Errors
    /// All of [`S3Error`].
    pub fn delete(&self, key: &str) -> Result<(), S3Error> {
        let request = self.request("delete", Method::Delete, key)?;
        match self.send(&request) {
            Ok(_) | Err(Trouble { error: S3Error::NoSuchKey { .. }, .. }) => Ok(()),
            Err(trouble) => Err(trouble.error),
        }
    }

    /// Calls `each` for all objects whose keys start with `prefix`, in the order of their keys; stops when it returns `false`.
    ///
    /// # Errors
    /// All of [`S3Error`].
    pub fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), S3Error> {
        let mut token = None;
        loop {
            let mut query =
                vec![("encoding-type", "url".to_owned()), ("list-type", "2".to_owned()), ("prefix", prefix.to_owned())];
            if let Some(token) = token.take() {
                query.push(("continuation-token", token));
            }
            let what = format!("list `{prefix}*` in bucket `{}`", self.bucket_name());
            let request =
                Request { what, method: Method::Get, key: None, query, headers: Vec::new(), body: Body::None };
            let mut reply = self.send(&request)?;
            let listing = read_text(&mut reply, &request)?;
            let listing = ListObjectsV2::parse_response(&listing).map_err(|e| odd(&request, e))?;
            for found in listing.contents {
                let listed = Listed {
                    key: found.key,
                    size: found.size.unwrap_or(0),
                    etag: found.etag,
                    last_modified: found.last_modified,
                };
                if !each(listed) {
                    return Ok(());
                }
            }
            token = listing.next_continuation_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// All objects whose keys start with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// All of [`S3Error`].
    pub fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, S3Error> {
        let mut all = Vec::new();
        self.list(prefix, &mut |listed| {
            all.push(listed);
            true
        })?;
        Ok(all)
    }

    /// A request about one object.
    pub(crate) fn request<'a>(&self, verb: &str, method: Method, key: &'a str) -> Result<Request<'a>, S3Error> {
        // An address cannot carry these: they would be taken for another object's.
        if key.is_empty() || key.split('/').any(|part| part == "." || part == "..") {
            return Err(S3Error::Setting {
                name: "key",
                reason: format!("`{key}` is not usable: parts named `.` or `..` and empty keys have no address"),
            });
        }
        let what = format!("{verb} `{key}` in bucket `{}`", self.bucket_name());
        Ok(Request { what, method, key: Some(key), query: Vec::new(), headers: Vec::new(), body: Body::None })
    }

    /// One PUT; a lost answer is settled by the mark.
    pub(crate) fn put_body(&self, key: &str, body: Body<'_>, md5: &[u8], put: &Put) -> Result<Written, S3Error> {
        let mut request = self.request("write", Method::Put, key)?;
        request.body = body;
        request.headers = put.headers();
        request.headers.push(("content-md5".to_owned(), base64::engine::general_purpose::STANDARD.encode(md5)));
        let mark = put.mark(&mut request);
        match self.send(&request) {
            Ok(reply) => written(&reply, &request),
            Err(trouble) => self.settle(key, mark.as_deref(), put, trouble),
        }
    }

    /// Whether a write that failed was ours after all.
    pub(crate) fn settle(
        &self,
        key: &str,
        mark: Option<&str>,
        put: &Put,
        trouble: Trouble,
    ) -> Result<Written, S3Error> {
        let Trouble { error, earlier_may_have_worked } = trouble;
        // A store says "no such key" when the object of an If-Match is gone.
        let error = match error {
            S3Error::NoSuchKey { key, bucket } if put.condition != Condition::None => {
                S3Error::PreconditionFailed { key, bucket }
            }
            other => other,
        };
        if let (true, true, Some(mark)) = (earlier_may_have_worked, error.is_precondition(), mark)
            && let Some(meta) = self.head(key)?
            && meta.write_mark.as_deref() == Some(mark)
        {
            return Ok(Written { etag: meta.etag, version_id: meta.version_id });
        }
        Err(error)
    }

    /// Streams an object; `None` when its ETag is still `unless`.
    fn fetch(&self, key: &str, unless: Option<&str>, sink: &mut dyn Write) -> Result<Option<Meta>, S3Error> {
        let mut request = self.request("read", Method::Get, key)?;
        if let Some(etag) = unless {
            request.headers.push(("if-none-match".to_owned(), etag.to_owned()));
        }
        let mut reply = self.send(&request)?;
        if reply.status == 304 {
            return Ok(None);
        }
        let meta = meta(&reply);
        let mut done = 0;
        let mut broken = 0;
        loop {
            match pump(&mut reply.body.as_reader(), sink) {
                Ok(more) => done += more,
                Err(Pump::Sink(source)) => return Err(S3Error::Sink { key: key.to_owned(), source }),
                Err(Pump::Source(more, _)) => done += more,
            }
            if done >= meta.size {
                return Ok(Some(meta));
            }
            broken += 1;
            if broken > limits::S3_ATTEMPTS {
                let reason = format!("it keeps breaking off after {done} of {} bytes", meta.size);
                return Err(S3Error::Answer { what: request.what, reason });
            }
            request.headers =
                vec![("if-match".to_owned(), meta.etag.clone()), ("range".to_owned(), format!("bytes={done}-"))];
            reply = self.send(&request).map_err(|trouble| match trouble.error {
                S3Error::PreconditionFailed { key, .. } | S3Error::NoSuchKey { key, .. } => {
                    S3Error::ChangedUnderway { key }
                }
                other => other,
            })?;
            let resumed = reply.status == 206 && self::header(&reply.headers, "etag").is_none_or(|e| e == meta.etag);
            if !resumed {
                return Err(S3Error::ChangedUnderway { key: key.to_owned() });
            }
        }
    }
}

impl Put {
    /// Headers that say how, all but those that depend on the content.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = self.description();
        headers.extend(self.condition_header());
        headers
    }

    /// Type, caching and metadata.
    pub(crate) fn description(&self) -> Vec<(String, String)> {
        let mut headers: Vec<_> = self
            .metadata
            .iter()
            .map(|(name, value)| (format!("x-amz-meta-{}", name.to_lowercase()), value.clone()))
            .collect();
        headers.extend(self.content_type.iter().map(|kind| ("content-type".to_owned(), kind.clone())));
        headers.extend(self.cache_control.iter().map(|how| ("cache-control".to_owned(), how.clone())));
        headers
    }

    pub(crate) fn condition_header(&self) -> Option<(String, String)> {
        match &self.condition {
            Condition::None => None,
            Condition::Absent => Some(("if-none-match".to_owned(), "*".to_owned())),
            Condition::Match(etag) => Some(("if-match".to_owned(), etag.clone())),
        }
    }

    /// Marks a conditional write so that it can be known again.
    pub(crate) fn mark(&self, request: &mut Request<'_>) -> Option<String> {
        if self.condition == Condition::None {
            return None;
        }
        let mark = format!("{:016x}{:016x}", nonce(), nonce());
        request.headers.push((format!("x-amz-meta-{WRITE_MARK}"), mark.clone()));
        Some(mark)
    }
}

/// What a good answer to a write says.
pub(crate) fn written(reply: &Reply, request: &Request<'_>) -> Result<Written, S3Error> {
    let etag = header(&reply.headers, "etag").ok_or_else(|| odd(request, "it has no ETag"))?;
    Ok(Written { etag, version_id: version(reply) })
}

/// The text of a good answer.
pub(crate) fn read_text(reply: &mut Reply, request: &Request<'_>) -> Result<String, S3Error> {
    reply.body.with_config().limit(64 * 1024 * 1024).read_to_string().map_err(|e| odd(request, e))
}

pub(crate) fn odd(request: &Request<'_>, reason: impl std::fmt::Display) -> S3Error {
    S3Error::Answer { what: request.what.clone(), reason: reason.to_string() }
}

fn version(reply: &Reply) -> Option<String> {
    header(&reply.headers, "x-amz-version-id").filter(|id| id != "null")
}

fn meta(reply: &Reply) -> Meta {
    let mut metadata: BTreeMap<String, String> = reply
        .headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix("x-amz-meta-")?.to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    let write_mark = metadata.remove(WRITE_MARK);
    Meta {
        etag: header(&reply.headers, "etag").unwrap_or_default(),
        size: header(&reply.headers, "content-length").and_then(|s| s.parse().ok()).unwrap_or(0),
        content_type: header(&reply.headers, "content-type"),
        version_id: version(reply),
        last_modified: header(&reply.headers, "last-modified"),
        metadata,
        write_mark,
    }
}

enum Pump {
    /// How much came before it broke.
    Source(u64, #[allow(dead_code, reason = "kept for debugging")] std::io::Error),
    Sink(std::io::Error),
}

fn pump(source: &mut dyn Read, sink: &mut dyn Write) -> Result<u64, Pump> {
    let mut buffer = vec![0; 128 * 1024];
    let mut done = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(n) => {
                sink.write_all(&buffer[..n]).map_err(Pump::Sink)?;
                done += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Pump::Source(done, e)),
        }
    }
}

/// Memory that refuses to grow without end.
struct Limited<'a> {
    key: &'a str,
    bytes: Vec<u8>,
}

impl Write for Limited<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        if (self.bytes.len() + buffer.len()) as u64 > limits::S3_OBJECT_BYTES {
            return Err(std::io::Error::other(format!("`{}` is too large", self.key)));
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
