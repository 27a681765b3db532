//! A cache over HTTP, to be read by any Nix: `nix-cache-info`, narinfos and NARs, and nothing else that lies in the same place.
//!
//! It answers GET and HEAD and never writes. Deliberately without TLS, names of users, ranges or caching: a web server before it
//! does that. A connection takes a thread; there is a limit to both, and to how long either may be silent.

use std::io::{self, ErrorKind, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_nar::CacheInfo;

use crate::depot::{Depot, Kind};
use crate::error::CacheError;
use crate::list::is_narinfo;

/// How often a thread that waits looks whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// Headers of one request.
const HEADERS: usize = 64;

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// `GET`, `HEAD`, or what was asked for.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// Status of the answer.
    pub status: u16,
}

/// Answers requests at `socket` until `stop` is set. `heard` is told of each of them.
///
/// # Errors
/// When the socket cannot be used at all. What goes wrong on one connection ends that connection.
pub fn serve(
    depot: &Depot,
    socket: &TcpListener,
    heard: &(dyn Fn(&Served) + Sync),
    stop: &AtomicBool,
) -> Result<(), CacheError> {
    let failed = |source| CacheError::Files { what: "listen".to_owned(), source };
    socket.set_nonblocking(true).map_err(failed)?;
    let busy = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            if busy.load(Ordering::Acquire) >= limits::CACHE_SERVE_CONNECTIONS {
                std::thread::sleep(TICK);
                continue;
            }
            match socket.accept() {
                Ok((stream, _)) => {
                    busy.fetch_add(1, Ordering::AcqRel);
                    let busy = &busy;
                    scope.spawn(move || {
                        // A client that went away is no fault of ours.
                        let _ = Connection { depot, stream: &stream, heard, stop }.run();
                        busy.fetch_sub(1, Ordering::AcqRel);
                    });
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    std::thread::sleep(TICK / 10);
                }
                // Too many open files, or a client that gave up before it was answered.
                Err(_) => std::thread::sleep(TICK),
            }
        }
    });
    Ok(())
}

/// What is asked for.
struct Request {
    method: String,
    target: String,
    /// Whether the client wants to ask for more on this connection.
    stays: bool,
    has_body: bool,
}

struct Connection<'a> {
    depot: &'a Depot,
    stream: &'a TcpStream,
    heard: &'a (dyn Fn(&Served) + Sync),
    stop: &'a AtomicBool,
}

impl Connection<'_> {
    fn run(&self) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(TICK))?;
        self.stream.set_write_timeout(Some(limits::CACHE_SERVE_SILENCE))?;
        let mut ahead = Vec::new();
        while let Some(request) = self.read(&mut ahead)? {
            let stays = request.stays && !request.has_body;
            let status = self.answer(&request, stays)?;
            let Request { method, target, .. } = request;
            (self.heard)(&Served { method, target, status });
            if !stays {
                break;
            }
        }
        self.part()
    }

    /// Ends the connection such that the client reads all that was said: what it still sends would make the system forget it.
    fn part(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)?;
        let until = Instant::now() + 10 * TICK;
        let mut piece = [0; 4096];
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            match (&mut &*self.stream).read(&mut piece) {
                Ok(0) => break,
                Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next request; `None` when there is none. `ahead` is what was read beyond the one before.
    fn read(&self, ahead: &mut Vec<u8>) -> io::Result<Option<Request>> {
        let until = Instant::now() + limits::CACHE_SERVE_SILENCE;
        let mut piece = [0; 4096];
        loop {
            if let Some((request, used)) = parse(ahead)? {
                ahead.drain(..used);
                return Ok(Some(request));
            }
            if ahead.len() > limits::CACHE_SERVE_HEAD_BYTES {
                self.head(431, "text/plain", 0, false)?;
                return Ok(None);
            }
            match (&mut &*self.stream).read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(read) => ahead.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Err(e) => return Err(e),
            }
            if self.stop.load(Ordering::Relaxed) || Instant::now() > until {
                return Ok(None);
            }
        }
    }

    fn answer(&self, request: &Request, stays: bool) -> io::Result<u16> {
        let is_head = request.method == "HEAD";
        if !is_head && request.method != "GET" {
            return self.empty(405, stays);
        }
        let Some((key, kind)) = key_of(&request.target) else { return self.empty(404, stays) };
        let status = match kind {
            Kind::Nar => self.large(key, kind, is_head, stays),
            _ => self.small(key, kind, is_head, stays),
        };
        match status {
            Ok(status) => Ok(status),
            Err(Trouble::Line(error)) => Err(error),
            Err(Trouble::Cache(_)) => self.empty(502, stays),
        }
    }

    /// A text, read whole: it may be replaced at any time.
    fn small(&self, key: &str, kind: Kind, is_head: bool, stays: bool) -> Result<u16, Trouble> {
        let Some(object) = self.depot.get(key)? else { return Ok(self.empty(404, stays)?) };
        self.head(200, kind.mime(), object.body.len() as u64, stays)?;
        if !is_head {
            (&mut &*self.stream).write_all(&object.body)?;
        }
        Ok(200)
    }

    /// A NAR, whose name is that of its contents.
    fn large(&self, key: &str, kind: Kind, is_head: bool, stays: bool) -> Result<u16, Trouble> {
        let Some(found) = self.depot.head(key)? else { return Ok(self.empty(404, stays)?) };
        self.head(200, kind.mime(), found.size, stays)?;
        if is_head {
            return Ok(200);
        }
        let mut line = Line { stream: self.stream, left: found.size, stop: self.stop };
        let sent = self.depot.download(key, &mut line);
        // The client was told how much would come: nothing else can be said any more.
        match sent {
            Ok(_) if line.left == 0 => Ok(200),
            _ => Err(Trouble::Line(io::Error::other("the answer was cut off"))),
        }
    }

    fn empty(&self, status: u16, stays: bool) -> io::Result<u16> {
        self.head(status, "text/plain", 0, stays)?;
        Ok(status)
    }

    fn head(&self, status: u16, mime: &str, length: u64, stays: bool) -> io::Result<()> {
        let reason = match status {
            200 => "OK",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            _ => "Bad Gateway",
        };
        let allow = if status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let connection = if stays { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {mime}\r\nContent-Length: {length}\r\n{allow}Connection: {connection}\r\n\r\n"
        );
        (&mut &*self.stream).write_all(head.as_bytes())
    }
}

/// Why there is no answer.
enum Trouble {
    /// The connection broke.
    Line(io::Error),
    /// The cache cannot be read.
    Cache(#[allow(dead_code, reason = "it is told to nobody: the client must not learn of paths here")] CacheError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Line(error)
    }
}

impl From<CacheError> for Trouble {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

/// Sends as many bytes as were promised, until it is to stop.
struct Line<'a> {
    stream: &'a TcpStream,
    left: u64,
    stop: &'a AtomicBool,
}

impl Write for Line<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) || buffer.len() as u64 > self.left {
            return Err(io::Error::other("stopped"));
        }
        let written = (&mut &*self.stream).write(buffer)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The request at the beginning of `bytes`, and how long it is; `None` when it has not all come.
fn parse(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(bytes).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
    let httparse::Status::Complete(used) = status else { return Ok(None) };
    let header = |name: &str| parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let says = |name: &str, word: &str| header(name).is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()));
    let is_new = parsed.version == Some(1);
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        stays: if is_new { !says("connection", "close") } else { says("connection", "keep-alive") },
        has_body: header("transfer-encoding").is_some() || header("content-length").is_some_and(|value| value != b"0"),
    };
    Ok(Some((request, used)))
}

/// The object that a target names, if it is one of a binary cache.
fn key_of(target: &str) -> Option<(&str, Kind)> {
    let key = target.strip_prefix('/')?;
    let name = key.strip_prefix("nar/").unwrap_or_default();
    if key == CacheInfo::KEY {
        Some((key, Kind::CacheInfo))
    } else if is_narinfo(key) {
        Some((key, Kind::NarInfo))
    } else if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._=".contains(c)) {
        (!name.starts_with('.')).then_some((key, Kind::Nar))
    } else {
        None
    }
}
