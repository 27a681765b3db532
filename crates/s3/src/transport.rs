//! One request to a store: signing, sending, trying again, and telling apart what can have gone wrong.
//!
//! It knows nothing of what requests are for: see `objects.rs`, `multipart.rs` and `buckets.rs` for that.

use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use freehold_model::limits;
use rusty_s3::{Bucket, Method};
use ureq::http;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, SendBody};

use crate::credentials::{Keys, Lookup};
use crate::error::S3Error;
use crate::probe::Conditions;
use crate::settings::{Retry, Settings};

/// A bucket to talk to. Cheap to clone; clones share connections and may be used from many threads.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) bucket: Bucket,
    pub(crate) conditions: OnceLock<Conditions>,
    keys: Option<Keys>,
    endpoint: String,
    retry: Retry,
    agent: Agent,
    given_up: AtomicBool,
}

/// How often one that waits looks whether it is to give up.
const SLICE: Duration = Duration::from_millis(50);

/// What is asked of the store.
pub(crate) struct Request<'a> {
    /// In words, to fit "cannot reach … to {what}": `read "a" in bucket "b"`.
    pub(crate) what: String,
    pub(crate) method: Method,
    /// `None` for the bucket itself.
    pub(crate) key: Option<&'a str>,
    pub(crate) query: Vec<(&'static str, String)>,
    /// Lower-case names; all are signed.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body<'a>,
}

/// What is sent along.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    Part { file: &'a File, offset: u64, length: u64 },
}

/// A good answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: ureq::Body,
}

/// An answer that is none of the good ones, or no answer.
pub(crate) struct Trouble {
    pub(crate) error: S3Error,
    /// Whether an earlier attempt may have taken effect without our seeing its answer.
    pub(crate) earlier_may_have_worked: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} at {})", self.bucket_name(), self.inner.endpoint)
    }
}

impl From<Trouble> for S3Error {
    fn from(trouble: Trouble) -> Self {
        trouble.error
    }
}

impl Client {
    /// Looks up credentials and address; nothing is sent yet.
    ///
    /// # Errors
    /// Settings that cannot be used, no credentials, unreadable files.
    pub fn new(settings: &Settings) -> Result<Self, S3Error> {
        Self::with_lookup(settings, &Lookup::process())
    }

    pub(crate) fn with_lookup(settings: &Settings, lookup: &Lookup) -> Result<Self, S3Error> {
        let resolved = settings.resolve(lookup)?;
        let retry = settings.retry;
        let mut tls = TlsConfig::builder();
        if let Some(path) = &resolved.ca_file {
            tls = tls.root_certs(authorities(path)?);
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(limits::S3_CONNECT))
            .timeout_per_read(Some(retry.silence))
            .timeout_per_write(Some(retry.silence))
            .max_idle_connections(limits::S3_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(limits::S3_IDLE_CONNECTIONS)
            .tls_config(tls.build())
            .build()
            .new_agent();
        let inner = Inner {
            bucket: resolved.bucket,
            conditions: OnceLock::new(),
            keys: resolved.keys,
            endpoint: resolved.endpoint,
            retry,
            agent,
            given_up: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The bucket's name.
    pub fn bucket_name(&self) -> &str {
        self.inner.bucket.name()
    }

    /// Address of the store, for messages: scheme, host and port.
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        self.inner.bucket.region()
    }

    /// Unsigned address of an object.
    pub fn url(&self, key: &str) -> String {
        self.inner.bucket.object_url(key).to_string()
    }

    /// Gives up once `stop` has been set for [`limits::S3_GIVE_UP`]: what waits for the store then fails with
    /// [`S3Error::GivenUp`], and so does every later request of this client and its clones. Until then what is under way may end well.
    pub fn heed(&self, stop: &Arc<AtomicBool>) {
        let (inner, stop) = (Arc::downgrade(&self.inner), Arc::clone(stop));
        std::thread::spawn(move || {
            let mut asked: Option<Instant> = None;
            // It ends with the last client.
            while let Some(inner) = inner.upgrade() {
                if stop.load(Ordering::SeqCst) && asked.get_or_insert_with(Instant::now).elapsed() >= limits::S3_GIVE_UP
                {
                    inner.given_up.store(true, Ordering::SeqCst);
                    inner.agent.clone().shutdown();
                    return;
                }
                drop(inner);
                std::thread::sleep(SLICE);
            }
        });
    }

    fn has_given_up(&self) -> bool {
        self.inner.given_up.load(Ordering::SeqCst)
    }

    /// Waits before another attempt, unless there will be none.
    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.has_given_up() && Instant::now() < end {
            std::thread::sleep(SLICE.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Sends a request until it is answered for good. Answers 2xx and 304 are good.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Reply, Trouble> {
        let retry = self.inner.retry;
        let mut earlier_may_have_worked = false;
        let mut attempt = 1;
        loop {
            let (failure, wait_at_least) = match self.attempt(request) {
                Ok(reply) if reply.status == 304 || (200..300).contains(&reply.status) => return Ok(reply),
                Ok(reply) => {
                    let failure = self.classify(request, attempt, reply);
                    let wait = failure.retry_after;
                    (failure, wait)
                }
                Err(error) => (self.no_answer(request, attempt, error), None),
            };
            if self.has_given_up() {
                let error = S3Error::GivenUp { endpoint: self.inner.endpoint.clone(), what: request.what.clone() };
                return Err(Trouble { error, earlier_may_have_worked });
            }
            if !failure.again || attempt >= retry.attempts {
                return Err(Trouble { error: failure.error, earlier_may_have_worked });
            }
            earlier_may_have_worked |= failure.may_have_worked;
            self.wait(pause(&retry, attempt).max(wait_at_least.unwrap_or_default().min(retry.backoff_max)));
            attempt += 1;
        }
    }

    fn attempt(&self, request: &Request<'_>) -> Result<Reply, ureq::Error> {
        let mut http = http::Request::builder().method(request.method.to_str()).uri(self.address(request).as_str());
        for (name, value) in &request.headers {
            http = http.header(name.as_str(), value.as_str());
        }
        let response = match request.body {
            Body::None => self.inner.agent.run(http.body(SendBody::none())?),
            Body::Bytes(bytes) => self.inner.agent.run(http.body(bytes)?),
            Body::Part { file, offset, length } => {
                let mut reader = PartReader { file, offset, left: length };
                let http = http.header("content-length", length);
                self.inner.agent.run(http.body(SendBody::from_reader(&mut reader))?)
            }
        }?;
        let (parts, body) = response.into_parts();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Signed afresh for each attempt.
    fn address(&self, request: &Request<'_>) -> url::Url {
        let bucket = &self.inner.bucket;
        let mut url = request.key.map_or_else(|| bucket.base_url().clone(), |key| bucket.object_url(key));
        let mut query: Vec<(&str, &str)> = request.query.iter().map(|(k, v)| (*k, v.as_str())).collect();
        query.sort_unstable();
        let mut headers: Vec<(&str, &str)> = request.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        headers.sort_unstable();
        match &self.inner.keys {
            Some(keys) => rusty_s3::signing::sign(
                &jiff::Timestamp::now(),
                request.method,
                url,
                &keys.access_key_id,
                keys.secret_access_key.expose(),
                keys.session_token.as_ref().map(|token| token.expose().as_str()),
                bucket.region(),
                limits::S3_SIGNATURE.as_secs(),
                query.into_iter(),
                headers.into_iter(),
            ),
            None => {
                if !query.is_empty() {
                    url.query_pairs_mut().extend_pairs(query);
                }
                url
            }
        }
    }

    fn no_answer(&self, request: &Request<'_>, attempts: u32, error: ureq::Error) -> Failure {
        let (what, endpoint) = (request.what.clone(), self.inner.endpoint.clone());
        let (connected, again) = match &error {
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => (false, true),
            ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => (false, true),
            // A certificate that is refused once is refused again.
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                (false, false)
            }
            ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => (false, false),
            _ => (true, true),
        };
        let source = Box::new(error);
        let error = if connected {
            S3Error::Lost { endpoint, what, attempts, source }
        } else {
            S3Error::Connect { endpoint, what, attempts, source }
        };
        Failure { error, again, may_have_worked: connected, retry_after: None }
    }

    fn classify(&self, request: &Request<'_>, attempts: u32, mut reply: Reply) -> Failure {
        let retry_after = header(&reply.headers, "retry-after").and_then(|s| s.parse().ok()).map(Duration::from_secs);
        let text = reply.body.with_config().limit(64 * 1024).lossy_utf8(true).read_to_string().unwrap_or_default();
        let code = element(&text, "Code").unwrap_or_default();
        let message = element(&text, "Message").filter(|m| !m.is_empty()).map(|m| format!(": {m}")).unwrap_or_default();
        let (what, status) = (request.what.clone(), reply.status);
        let bucket = || self.bucket_name().to_owned();
        let key = || request.key.unwrap_or_default().to_owned();
        let region = header(&reply.headers, "x-amz-bucket-region").or_else(|| element(&text, "Region"));
        let mut again = false;
        let error = match (status, code.as_str()) {
            // AWS: another conditional write is under way; ask again and it is decided.
            (409, "ConditionalRequestConflict" | "OperationAborted") => {
                again = true;
                S3Error::PreconditionFailed { key: key(), bucket: bucket() }
            }
            (412, _) => S3Error::PreconditionFailed { key: key(), bucket: bucket() },
            (404, "NoSuchBucket") => S3Error::NoSuchBucket { bucket: bucket(), endpoint: self.inner.endpoint.clone() },
            (404, _) if request.key.is_none() => {
                S3Error::NoSuchBucket { bucket: bucket(), endpoint: self.inner.endpoint.clone() }
            }
            (404, "NoSuchKey" | "") => S3Error::NoSuchKey { key: key(), bucket: bucket() },
            (409, "BucketAlreadyExists") => S3Error::BucketTaken { bucket: bucket() },
            (409, "BucketNotEmpty") => S3Error::BucketNotEmpty { bucket: bucket() },
            (403, "RequestTimeTooSkewed") => S3Error::ClockSkew { what },
            (
                400 | 401 | 403,
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired",
            )
            | (401, _) => {
                S3Error::BadCredentials { what, code: if code.is_empty() { status.to_string() } else { code } }
            }
            (301 | 307, _)
            | (
                400,
                "AuthorizationHeaderMalformed"
                | "AuthorizationQueryParametersError"
                | "IllegalLocationConstraintException",
            ) if region.as_deref() != Some(self.region()) => {
                S3Error::WrongRegion { bucket: bucket(), asked: self.region().to_owned(), region }
            }
            (403, _) => S3Error::AccessDenied { what, message },
            (429 | 500 | 502 | 503 | 504, _) | (400, "RequestTimeout") => {
                again = true;
                let code = if code.is_empty() { code } else { format!(" {code}") };
                S3Error::Unavailable { what, status, code, attempts }
            }
            _ => S3Error::Refused { what, status, code, message },
        };
        Failure { error, again, may_have_worked: status >= 500, retry_after }
    }
}

struct Failure {
    error: S3Error,
    again: bool,
    may_have_worked: bool,
    retry_after: Option<Duration>,
}

/// A header as text.
pub(crate) fn header(headers: &http::HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// A number that nobody else comes up with, from the seeds of the standard library's hash maps.
pub(crate) fn nonce() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// Text of the first XML element of that name, with the five entities decoded.
fn element(xml: &str, name: &str) -> Option<String> {
    let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let to = from + xml[from..].find(&format!("</{name}>"))?;
    let decoded = xml[from..to]
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    Some(decoded)
}

/// Between half and the whole of the doubled backoff.
fn pause(retry: &Retry, attempt: u32) -> Duration {
    let full = retry.backoff.saturating_mul(1 << (attempt - 1).min(16)).min(retry.backoff_max);
    let share = u32::try_from(nonce() % 1000).unwrap_or(0);
    full / 2 + full / 2 * share / 1000
}

fn authorities(path: &std::path::Path) -> Result<RootCerts, S3Error> {
    let pem = fs_err::read(path).map_err(|source| S3Error::ReadFile { path: path.to_owned(), source })?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(S3Error::Setting { name: "caFile", reason: format!("`{}` holds no certificate", path.display()) });
    }
    Ok(certificates.into())
}

/// Reads a part of a file without moving anybody's position in it.
struct PartReader<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_is_not_waited_for_once_the_operator_asked_to_stop() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let json = serde_json::json!({ "bucket": "b", "endpoint": endpoint, "anonymous": true });
        let client = Client::new(&Settings::from_json(&json).unwrap()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        client.heed(&stop);
        let asked = client.clone();
        let asking = std::thread::spawn(move || asked.head("a").unwrap_err());
        let connection = silent.accept().unwrap();
        stop.store(true, Ordering::SeqCst);
        // Well before the store's silence has lasted long enough to be given up for its own sake, and without another attempt.
        assert!(matches!(asking.join().unwrap(), S3Error::GivenUp { .. }));
        assert!(matches!(client.head("a").unwrap_err(), S3Error::GivenUp { .. }));
        drop(connection);
    }

    #[test]
    fn pauses_double_up_to_their_limit_with_jitter() {
        let retry = Retry {
            attempts: 9,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            silence: Duration::from_secs(1),
        };
        for (attempt, full) in [(1, 100), (2, 200), (4, 800), (5, 1000), (40, 1000)] {
            let pause = pause(&retry, attempt).as_millis();
            assert!((full / 2..=full).contains(&pause), "attempt {attempt}: {pause} ms");
        }
    }

    #[test]
    fn the_code_and_message_of_an_error_are_read_from_its_xml() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &amp; b &lt;x&gt;</Message></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(element(xml, "Message").as_deref(), Some("a & b <x>"));
        assert_eq!(element("<html>", "Code"), None);
        assert_eq!(element("<Code>cut", "Code"), None);
    }
}
