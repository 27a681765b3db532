//! What the tests of routes share: a small service that can be held back, and requests to it through Caddy.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part, and a panic is its report"
)]

pub mod fake;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// Longest wait of a test for something that must come, also on a busy machine.
pub const LONG: Duration = Duration::from_secs(120);

/// A port of the loopback interface that is kept for one server: bound, and never listened on. As long as this lives nobody is given it
/// by chance, neither before that server listens nor while it is restarted; the server itself, which asks for it by its number, gets it
/// all the same, for both allow their address to be used again.
pub struct Port {
    number: u16,
    _kept: OwnedFd,
}

impl Port {
    pub fn keep() -> Self {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        set_socket_reuseaddr(&socket, true).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        Self { number: address.port(), _kept: socket }
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    /// As Caddy's admin API is told where to listen.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// A service that answers with its name and what it was asked. Below `/slow` it answers when it is let go.
pub struct Service {
    address: SocketAddr,
    gate: Arc<Gate>,
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct Gate {
    /// Requests that wait, and whether they may go.
    state: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Service {
    pub fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, ended) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
        let (its_gate, its_end) = (Arc::clone(&gate), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if its_end.load(Ordering::SeqCst) {
                    return;
                }
                let gate = Arc::clone(&its_gate);
                std::thread::spawn(move || stream.map(|stream| answer_all(name, &stream, &gate)));
            }
        });
        Self { address, gate, ended }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until so many requests wait below `/slow`.
    pub fn wait_for_slow(&self, requests: u32) {
        let state = self.gate.state.lock().unwrap();
        let (state, late) = self.gate.changed.wait_timeout_while(state, LONG, |state| state.0 < requests).unwrap();
        assert!(!late.timed_out(), "{} of {requests} slow requests came", state.0);
    }

    /// Lets the slow requests go, those that wait and those to come.
    pub fn let_go(&self) {
        self.gate.state.lock().unwrap().1 = true;
        self.gate.changed.notify_all();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.let_go();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer_all(name: &str, stream: &TcpStream, gate: &Gate) {
    let mut reader = BufReader::new(stream);
    while let Some((path, headers)) = read_request(&mut reader) {
        if path.starts_with("/slow") {
            let mut state = gate.state.lock().unwrap();
            state.0 += 1;
            gate.changed.notify_all();
            drop(gate.changed.wait_while(state, |state| !state.1).unwrap());
        }
        let forwarded: Vec<&String> = headers.iter().filter(|line| line.starts_with("x-forwarded-")).collect();
        let body = format!("{name} {path} {forwarded:?}");
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut stream = stream;
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// The path and the header lines, in lower case.
fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<String>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim() {
            "" => return Some((path, headers)),
            line => headers.push(line.to_lowercase()),
        }
    }
}

/// Status and body of a request for a name, sent to a port of this host. A connection that breaks is [`ErrorKind::NotConnected`] when
/// nothing of an answer came, and another error when it broke within the answer.
pub fn ask(port: u16, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| match error.kind() {
        ErrorKind::ConnectionReset => ErrorKind::NotConnected.into(),
        _ => error,
    })?;
    stream.set_read_timeout(Some(LONG))?;
    let mut bytes = Vec::new();
    let sent = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    let read = sent.and_then(|()| stream.read_to_end(&mut bytes));
    if bytes.is_empty() {
        return Err(ErrorKind::NotConnected.into());
    }
    let text = String::from_utf8_lossy(&bytes);
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let (status, (headers, body)) = status.zip(text.split_once("\r\n\r\n")).ok_or(ErrorKind::UnexpectedEof)?;
    let promised: Option<usize> =
        headers.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    match promised {
        // An answer that is there as a whole was given, however the connection ended after it.
        Some(length) if body.len() == length => {}
        Some(_) => return Err(read.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into())),
        None => drop(read?),
    }
    Ok((status, body.to_owned()))
}

/// How often what was not answered at all is asked again: a reload of Caddy may close two connections in a row.
pub const ATTEMPTS: u32 = 4;

/// The same as patient HTTP clients do it: what was not answered at all is asked again. Caddy closes such connections when it reloads:
/// see `docs/how-to/routes.md`.
pub fn ask_again(port: u16, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut answer = ask(port, host, path);
    for _ in 1..ATTEMPTS {
        match answer {
            Err(error) if error.kind() == ErrorKind::NotConnected => answer = ask(port, host, path),
            _ => break,
        }
    }
    answer
}

/// Who answered: the first word of the body, or the status when there is none.
pub fn who(port: u16, host: &str, path: &str) -> String {
    let (status, body) = ask_again(port, host, path).unwrap();
    match body.split(' ').next() {
        Some(name) if status == 200 && !name.is_empty() => name.to_owned(),
        _ => status.to_string(),
    }
}

/// Asserts who answers. For an instant after a write, a connection may still be taken by the listener of the configuration before:
/// so it is asked until the answer is the expected one, and every further one must be the same.
#[track_caller]
pub fn answers(port: u16, host: &str, path: &str, expected: &str) {
    answers_in_a_row(port, host, path, expected, 3);
}

/// The same until the listener of the configuration before is gone for certain, for what is asked once only.
#[track_caller]
pub fn answers_always(port: u16, host: &str, path: &str, expected: &str) {
    answers_in_a_row(port, host, path, expected, 50);
}

#[track_caller]
fn answers_in_a_row(port: u16, host: &str, path: &str, expected: &str, times: u32) {
    let deadline = Instant::now() + LONG;
    let mut in_a_row = 0;
    while in_a_row < times {
        let name = who(port, host, path);
        in_a_row = if name == expected { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "{host}{path} is answered by {name}, not {expected}");
    }
}

/// Waits until it is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
