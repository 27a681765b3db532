//! An S3 server inside the test program: signatures are checked, objects live in memory, and it can be told to misbehave.
//!
//! It can honour or ignore conditional writes, be slow, answer 503, or lose requests and replies on the way. It counts what it
//! was asked. A second key may read objects and nothing else, as those of hosts. It speaks path style on a local port, and knows nothing of versions, tags or policies: use [`crate::Minio`]
//! for those.
//!
//! Where to go next: [`S3Server::start`], [`Fault`]; `objects.rs` holds the store itself.

mod objects;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpRequest, HttpResponse};
use tokio::sync::oneshot;

use objects::{Objects, Store};

/// A running server with no buckets; stopped when dropped. All methods may be called while requests run.
pub struct S3Server {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    store: Arc<Mutex<Store>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503 `ServiceUnavailable`; nothing was executed.
    Unavailable,
    /// 503 `SlowDown`; nothing was executed.
    SlowDown,
    /// 500 `InternalError` after the request *was* executed.
    ErrorAfterEffect,
    /// The connection closes before anything was executed.
    LostRequest,
    /// The request is executed, then the connection closes without a reply.
    LostReply,
    /// Executed as it should be, but the reply comes this much later.
    Delay(Duration),
}

/// One request as it arrived, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// Path and query, `/bucket/key?list-type=2`.
    pub target: String,
}

struct Shared {
    faults: Vec<Rule>,
    hold: Option<Hold>,
    latency: Duration,
    seen: Vec<Seen>,
}

struct Rule {
    fault: Fault,
    method: String,
    part: String,
    left: usize,
}

/// From which request on nothing is answered.
struct Hold {
    method: String,
    part: String,
    nth: usize,
    /// Whether that request has come.
    holds: bool,
}

impl S3Server {
    /// The access key id it accepts.
    pub const ACCESS_KEY: &'static str = "freehold-test";
    /// The secret key it accepts.
    pub const SECRET_KEY: &'static str = "freehold-test-secret";
    /// The id of a second key, as hosts have them: it may read objects and nothing else. It may not even list, so what is not there
    /// is answered with 403, as S3 does.
    pub const READER_KEY: &'static str = "freehold-reader";
    /// The secret of that key.
    pub const READER_SECRET: &'static str = "freehold-reader-secret";

    /// Starts a server on a free loopback port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(IpAddr::from([127, 0, 0, 1]))
    }

    /// Starts a server on a free port of this address, such as that of a [`crate::Network`] of hosts.
    #[must_use]
    pub fn start_at(address: IpAddr) -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let shared = Shared { faults: Vec::new(), hold: None, latency: Duration::ZERO, seen: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let mut builder = S3ServiceBuilder::new(Objects::new(Arc::clone(&store)));
        let mut keys = SimpleAuth::from_single(Self::ACCESS_KEY, Self::SECRET_KEY);
        keys.register(Self::READER_KEY.to_owned(), Self::READER_SECRET.into());
        builder.set_auth(keys);
        let front = Front { service: builder.build(), shared: Arc::clone(&shared) };
        let (stop, stopped) = oneshot::channel();
        let (ready, listening) = mpsc::channel();
        let thread = thread::spawn(move || serve(&front, address, stopped, &ready));
        let address = listening.recv().unwrap_or_else(|_| panic!("the S3 server did not start"));
        Self { address, shared, store, stop: Some(stop), thread: Some(thread) }
    }

    /// `http://ADDRESS:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an empty bucket, as if its owner had.
    pub fn create_bucket(&self, bucket: &str) {
        lock(&self.store).buckets.entry(bucket.to_owned()).or_default();
    }

    /// Whether `If-Match` and `If-None-Match` on writes are honoured (they are, unless told otherwise).
    /// A server that ignores them answers as if they had not been sent, as Garage 2.5 does.
    pub fn honour_conditions(&self, honour: bool) {
        lock(&self.store).honours_conditions = honour;
    }

    /// Lets every reply come this much later.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.shared).latency = latency;
    }

    /// Lets the next `times` requests with this method (`""`: any) whose target contains `part` meet this fault.
    /// Rules are tried in the order in which they were given.
    pub fn inject(&self, fault: Fault, method: &str, part: &str, times: usize) {
        let rule = Rule { fault, method: method.to_owned(), part: part.to_owned(), left: times };
        lock(&self.shared).faults.push(rule);
    }

    /// Forgets all rules that are left.
    pub fn clear_faults(&self) {
        lock(&self.shared).faults.clear();
    }

    /// Stands still from the `nth` request on with this method (`""`: any) whose target contains `part`, counted from the server's start:
    /// that one and all that come after it are neither executed nor answered, and are lost when [`S3Server::let_go`] is called. So a
    /// client can be looked at, or killed, in the middle of its work, however late that is.
    pub fn hold_from(&self, method: &str, part: &str, nth: usize) {
        let hold = Hold { method: method.to_owned(), part: part.to_owned(), nth, holds: false };
        lock(&self.shared).hold = Some(hold);
    }

    /// Goes on after [`S3Server::hold_from`].
    pub fn let_go(&self) {
        lock(&self.shared).hold = None;
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared).seen.clone()
    }

    /// How many requests with this method (`""`: any) arrived so far.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        lock(&self.shared).seen.iter().filter(|seen| method.is_empty() || seen.method == method).count()
    }

    /// What a bucket holds now; empty when there is no such bucket.
    #[must_use]
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let store = lock(&self.store);
        let objects = store.buckets.get(bucket).into_iter().flatten();
        objects.map(|(key, object)| (key.clone(), object.body.to_vec())).collect()
    }

    /// Writes an object behind every client's back.
    pub fn put_object(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) {
        let mut store = lock(&self.store);
        let objects = store.buckets.entry(bucket.to_owned()).or_default();
        objects.insert(key.to_owned(), objects::Stored::new(body.into().into()));
    }

    /// Removes an object behind every client's back; says whether it was there.
    pub fn remove_object(&self, bucket: &str, key: &str) -> bool {
        lock(&self.store).buckets.get_mut(bucket).is_some_and(|objects| objects.remove(key).is_some())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How often a request that is held looks whether it may go.
const HOLD_LOOK: Duration = Duration::from_millis(5);

/// The HTTP side: counts, delays and breaks requests before and after the S3 service sees them.
#[derive(Clone)]
struct Front {
    service: S3Service,
    shared: Arc<Mutex<Shared>>,
}

/// Makes hyper close the connection without a reply.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lost on purpose")
    }
}

impl std::error::Error for Lost {}

impl Front {
    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<HttpResponse, Lost> {
        let (fault, latency, is_held) = self.arrive(&request);
        if is_held {
            while self.holds() {
                tokio::time::sleep(HOLD_LOOK).await;
            }
            return Err(Lost);
        }
        tokio::time::sleep(latency).await;
        match fault {
            Some(Fault::LostRequest) => return Err(Lost),
            Some(Fault::Unavailable) => return Ok(failure(503, "ServiceUnavailable")),
            Some(Fault::SlowDown) => return Ok(failure(503, "SlowDown")),
            _ => {}
        }
        let may = rights(&request);
        if may == Rights::None {
            return Ok(failure(403, "AccessDenied"));
        }
        let request: HttpRequest = request.map(Body::from);
        let mut reply = self.service.call(request).await.unwrap_or_else(|_| failure(500, "InternalError"));
        if may == Rights::Read && reply.status() == hyper::StatusCode::NOT_FOUND {
            reply = failure(403, "AccessDenied");
        }
        match fault {
            Some(Fault::LostReply) => Err(Lost),
            Some(Fault::ErrorAfterEffect) => Ok(failure(500, "InternalError")),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    fn holds(&self) -> bool {
        lock(&self.shared).hold.is_some()
    }

    /// Notes a request; its fault, how late its answer comes, and whether it is held.
    fn arrive(&self, request: &hyper::Request<Incoming>) -> (Option<Fault>, Duration, bool) {
        let target = request.uri().path_and_query().map_or("", hyper::http::uri::PathAndQuery::as_str);
        let seen = Seen { method: request.method().to_string(), target: target.to_owned() };
        let mut shared = lock(&self.shared);
        shared.seen.push(seen.clone());
        if shared.holds() {
            return (None, Duration::ZERO, true);
        }
        let fits = |rule: &&mut Rule| {
            rule.left > 0 && (rule.method.is_empty() || rule.method == seen.method) && seen.target.contains(&rule.part)
        };
        let fault = shared.faults.iter_mut().find(fits).map(|rule| {
            rule.left -= 1;
            rule.fault
        });
        (fault, shared.latency, false)
    }
}

impl Shared {
    /// Whether the last request that was seen, and all after it, are held.
    fn holds(&mut self) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        let fits =
            |seen: &&Seen| (hold.method.is_empty() || hold.method == seen.method) && seen.target.contains(&hold.part);
        hold.holds = hold.holds || self.seen.iter().filter(fits).count() >= hold.nth;
        hold.holds
    }
}

/// What the key of a request allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    All,
    Read,
    None,
}

fn rights(request: &hyper::Request<Incoming>) -> Rights {
    // Signatures stand in a header or in the query.
    let header = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_reader = |text: &str| text.contains(&format!("Credential={}", S3Server::READER_KEY));
    if !header.is_some_and(is_reader) && !request.uri().query().is_some_and(is_reader) {
        return Rights::All;
    }
    let is_read = matches!(request.method().as_str(), "GET" | "HEAD");
    // Beside the bucket's name there is an object's: `/bucket/key`.
    let is_object =
        request.uri().path().trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    if is_read && is_object { Rights::Read } else { Rights::None }
}

fn failure(status: u16, code: &str) -> HttpResponse {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>"
    );
    let mut response = HttpResponse::new(Body::from(body));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn serve(front: &Front, address: IpAddr, stopped: oneshot::Receiver<()>, ready: &mpsc::Sender<SocketAddr>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("cannot start a runtime for the S3 server: {error}"));
    // Dropping the runtime at the end drops every connection.
    runtime.block_on(async {
        tokio::select! {
            () = accept(front, address, ready) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(front: &Front, address: IpAddr, ready: &mpsc::Sender<SocketAddr>) {
    let listener = tokio::net::TcpListener::bind((address, 0))
        .await
        .unwrap_or_else(|error| panic!("the S3 server cannot listen: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("the S3 server has no address: {error}"));
    let _ = ready.send(address);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let front = front.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let front = front.clone();
                async move { front.answer(request).await }
            });
            // A connection that breaks is the client's to notice.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
