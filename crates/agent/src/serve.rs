//! Answers over HTTP/1 on a unix socket, and on the loopback interface if asked to: `/metrics` for Prometheus, `/status` as JSON.
//!
//! Nothing can be changed here. Every answer is read from the agent's state at that moment, so that a round under way holds up no
//! answer; each connection carries one request. Requests are parsed by `httparse`, which our HTTP client brings already.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use freehold_model::limits;
use freehold_runtime::RuntimeError;

use crate::{metrics, read_status};

/// The socket, in the agent's state.
pub const SOCKET: &str = "agent.sock";

/// Answers for as long as this lives.
#[derive(Debug)]
pub struct Server {
    state: PathBuf,
    port: Option<SocketAddr>,
    is_over: Arc<AtomicBool>,
}

/// What threads share.
#[derive(Clone)]
struct Desk {
    state: Arc<PathBuf>,
    is_over: Arc<AtomicBool>,
    /// Connections under way, of one listener.
    open: Arc<AtomicUsize>,
}

impl Server {
    /// Answers on `agent.sock` in this state, and at this address, which must be of the loopback interface. Whoever calls has the
    /// state for himself: a socket that lies there is of an agent that is gone.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub fn start(state: &Path, address: Option<SocketAddr>) -> Result<Self, RuntimeError> {
        let is_over = Arc::new(AtomicBool::new(false));
        let desk = || Desk { state: Arc::new(state.to_owned()), is_over: Arc::clone(&is_over), open: Arc::default() };
        let socket = state.join(SOCKET);
        let failed = |place: &Path| {
            let path = place.to_owned();
            move |source| RuntimeError::File { action: "listen at", path, source }
        };
        // What lies there is not needed, and that there is nothing is as good.
        let _ = fs_err::remove_file(&socket);
        let listener = by_directory(state, |path| UnixListener::bind(path)).map_err(failed(&socket))?;
        fs_err::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).map_err(failed(&socket))?;
        let of_socket = desk();
        std::thread::spawn(move || {
            of_socket.hear(listener.incoming().flatten(), false, |s: &UnixStream, limit| {
                s.set_read_timeout(limit).and(s.set_write_timeout(limit))
            });
        });
        let mut server = Self { state: state.to_owned(), port: None, is_over: Arc::clone(&is_over) };
        if let Some(address) = address {
            let text = address.to_string();
            let listener = TcpListener::bind(address).map_err(failed(Path::new(&text)))?;
            server.port = listener.local_addr().ok();
            let of_port = desk();
            std::thread::spawn(move || {
                of_port.hear(listener.incoming().flatten(), true, |s: &TcpStream, limit| {
                    s.set_read_timeout(limit).and(s.set_write_timeout(limit))
                });
            });
        }
        Ok(server)
    }

    /// Where it listens beside its socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Who waits for a connection sees the end at the next one; nobody listens any more is as good.
        let _ = by_directory(&self.state, |path| UnixStream::connect(path));
        let _ = self.port.map(|port| TcpStream::connect_timeout(&port, limits::STATUS_REQUEST));
        let _ = fs_err::remove_file(self.state.join(SOCKET));
    }
}

/// A socket's path has to be short, and a state directory need not be: it is reached by way of its open directory.
fn by_directory<T>(state: &Path, with: impl Fn(&str) -> std::io::Result<T>) -> std::io::Result<T> {
    let dir = fs_err::File::open(state)?;
    with(&format!("/proc/self/fd/{}/{SOCKET}", dir.file().as_raw_fd()))
}

type Limit = Option<std::time::Duration>;

impl Desk {
    fn hear<S: Read + Write + Send + 'static>(
        &self,
        streams: impl Iterator<Item = S>,
        is_port: bool,
        limit: impl Fn(&S, Limit) -> std::io::Result<()>,
    ) {
        for stream in streams {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let is_too_much = self.open.fetch_add(1, Ordering::SeqCst) >= limits::STATUS_CONNECTIONS;
            if is_too_much || limit(&stream, Some(limits::STATUS_REQUEST)).is_err() {
                self.open.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let desk = self.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                // An asker that has gone wants no answer.
                let _ = desk.answer(&mut stream, is_port);
                desk.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    fn answer(&self, stream: &mut (impl Read + Write), is_port: bool) -> std::io::Result<()> {
        let Answer { status, kind, body } = match read_head(stream)? {
            None => Answer::text("400 Bad Request", "this is no HTTP request, or one with a head that is too long"),
            Some(request) if is_port && !request.is_for_us => {
                // A page in a browser can make its own name lead to this machine; its requests still say that name.
                Answer::text("403 Forbidden", "ask for 127.0.0.1 or localhost by that name")
            }
            Some(request) if request.method != "GET" && request.method != "HEAD" => {
                Answer::text("405 Method Not Allowed", "there is nothing to do here but look: GET")
            }
            Some(request) => {
                let mut answer = self.page(&request.path);
                if request.method == "HEAD" {
                    answer.body.clear();
                }
                answer
            }
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(body.as_bytes())?;
        stream.flush()
    }

    fn page(&self, path: &str) -> Answer {
        let status = match read_status(&self.state) {
            Ok(status) => status,
            Err(error) => return Answer::text("500 Internal Server Error", &error.chain()),
        };
        match path.split('?').next().unwrap_or_default() {
            "/metrics" => {
                Answer { status: "200 OK", kind: "text/plain; version=0.0.4; charset=utf-8", body: metrics(&status) }
            }
            "/status" => {
                let body = serde_json::to_string_pretty(&status).unwrap_or_default() + "\n";
                Answer { status: "200 OK", kind: "application/json", body }
            }
            "/" => Answer::text("200 OK", "/metrics for Prometheus, /status as JSON"),
            _ => Answer::text("404 Not Found", "there is /metrics and /status"),
        }
    }
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: format!("{text}\n") }
    }
}

struct Request {
    method: String,
    path: String,
    /// Whether it names the loopback interface as its host.
    is_for_us: bool,
}

/// The head of a request; `None` when it is none, or too long.
fn read_head(stream: &mut impl Read) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {
                let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
                let host = host.map_or("", |header| std::str::from_utf8(header.value).unwrap_or("?"));
                return Ok(Some(Request {
                    method: request.method.unwrap_or_default().to_owned(),
                    path: request.path.unwrap_or_default().to_owned(),
                    is_for_us: is_loopback(host),
                }));
            }
            Ok(httparse::Status::Partial) if read > 0 && bytes.len() < limits::STATUS_REQUEST_BYTES => {}
            _ => return Ok(None),
        }
    }
}

/// Whether the `Host` of a request is this machine's own loopback interface; none at all is the old protocol's way, and no browser's.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use freehold_testkit::Scratch;

    use super::*;

    fn ask(mut stream: impl Read + Write, request: &str) -> String {
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn first_line(text: &str) -> &str {
        text.lines().next().unwrap_or_default()
    }

    #[test]
    fn it_answers_on_its_socket_and_on_its_port_and_is_gone_with_its_agent() {
        let scratch = Scratch::new();
        // Longer than a socket's path may be.
        let state = scratch.dir(format!("{}/state", "long-".repeat(30)));
        fs_err::write(state.join("state.json"), r#"{"host":"a","serial":4}"#).unwrap();
        fs_err::write(state.join(SOCKET), "left behind").unwrap();
        let server = Server::start(&state, Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = server.address().unwrap();
        let socket = |request: &str| ask(by_directory(&state, |path| UnixStream::connect(path)).unwrap(), request);
        let port = |request: &str| ask(TcpStream::connect(address).unwrap(), request);

        let text = socket("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(first_line(&text), "HTTP/1.1 200 OK");
        assert!(text.contains("version=0.0.4") && text.contains("\nfreehold_agent_serial 4\n"), "{text}");
        let text = port("GET /status?x HTTP/1.1\r\nHost: localhost:1\r\n\r\n");
        let json: serde_json::Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((&json["format"], &json["host"]), (&"freehold.agent-status/1".into(), &"a".into()));

        assert_eq!(first_line(&port("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")), "HTTP/1.1 403 Forbidden");
        assert_eq!(first_line(&socket("POST /metrics HTTP/1.1\r\n\r\n")), "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(first_line(&socket("GET /nothing HTTP/1.1\r\n\r\n")), "HTTP/1.1 404 Not Found");
        assert_eq!(first_line(&socket("hello\r\n\r\n")), "HTTP/1.1 400 Bad Request");
        let head = socket("HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");

        drop(server);
        assert!(!state.join(SOCKET).exists());
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(limits::STATUS_REQUEST_BYTES));
        assert!(read_head(&mut long.as_bytes()).unwrap().is_none());
        assert!(read_head(&mut &b"GET / HT"[..]).unwrap().is_none());
    }

    #[test]
    fn only_the_loopback_interface_is_us() {
        let hosts = ["", "localhost", "LOCALHOST:80", "127.0.0.1:9100", "[::1]:9100", "[::1]", "127.1.2.3"];
        assert!(hosts.iter().all(|host| is_loopback(host)));
        assert!(!["example.org", "127.0.0.1.example.org:80", "10.0.0.1", "?"].iter().any(|host| is_loopback(host)));
    }
}
