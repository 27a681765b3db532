//! An admin API in this process that keeps a configuration as Caddy does, and misbehaves when told to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_router::{Caddy, Endpoint, Https, Settings};
use serde_json::{Value as Json, json};

use super::LONG;

/// What is done with a request instead of answering it well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// This status and body, without effect.
    Say(u16, &'static str),
    /// A good status with this body, without effect.
    Body(&'static str),
    /// The connection is closed before anything happens.
    CloseBefore,
    /// It takes effect, and the connection is closed.
    CloseAfter,
    /// Nothing is ever said.
    Silence,
    /// One byte of the answer after the other, without end.
    Drip,
    /// No tag is given.
    NoTag,
    /// Somebody else writes first.
    OtherWriter,
}

#[derive(Default)]
struct State {
    config: Json,
    upstreams: Json,
    changes: u32,
    requests: Vec<String>,
    /// For the requests to come whose method (or any, when empty) it is.
    faults: VecDeque<(&'static str, Fault)>,
    /// For every one of them.
    always: Option<(&'static str, Fault)>,
}

/// The server; it ends with the test.
pub struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub fn with(config: Json) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { config, upstreams: json!([]), ..State::default() }));
        let its_state = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&its_state);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// A client that waits for as long as a busy machine may take to answer.
    pub fn caddy(&self) -> Caddy {
        self.caddy_with(Settings { https: Https::Off, ..Settings::default() })
    }

    pub fn caddy_with(&self, settings: Settings) -> Caddy {
        self.caddy_of(Settings { patience: LONG, ..settings })
    }

    /// A client for answers that never come, which waits for a second at most.
    pub fn impatient_caddy(&self) -> Caddy {
        self.caddy_of(Settings { https: Https::Off, patience: Duration::from_secs(1), ..Settings::default() })
    }

    fn caddy_of(&self, settings: Settings) -> Caddy {
        let endpoint: Endpoint = format!("http://{}", self.address).parse().unwrap();
        Caddy::with_settings(endpoint, settings).unwrap()
    }

    pub fn config(&self) -> Json {
        self.state.lock().unwrap().config.clone()
    }

    pub fn set_config(&self, config: Json) {
        self.state.lock().unwrap().config = config;
    }

    /// What `/reverse_proxy/upstreams` says.
    pub fn set_upstreams(&self, upstreams: Json) {
        self.state.lock().unwrap().upstreams = upstreams;
    }

    pub fn fault(&self, method: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((method, fault));
    }

    pub fn always(&self, method: &'static str, fault: Fault) {
        self.state.lock().unwrap().always = Some((method, fault));
    }

    /// `METHOD path` of each request since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

struct Request {
    method: String,
    path: String,
    tag: Option<String>,
    body: Vec<u8>,
}

fn serve(mut stream: &TcpStream, state: &Mutex<State>) {
    let Some(request) = read(stream) else { return };
    let mut state = state.lock().unwrap();
    state.requests.push(format!("{} {}", request.method, request.path));
    let fault = state.next_fault(&request.method);
    match fault {
        Some(Fault::CloseBefore) => return,
        Some(Fault::Silence) => {
            drop(state);
            // Until the client gives up.
            let _ = stream.read(&mut [0]);
            return;
        }
        Some(Fault::Drip) => {
            drop(state);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\netag: \"x\"\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        Some(Fault::OtherWriter) => state.change(|config| config["other"] = json!("x".repeat(3))),
        _ => {}
    }
    let (status, tag, body) = match fault {
        Some(Fault::Say(status, body)) => (status, None, body.to_owned()),
        Some(Fault::Body(body)) => (200, Some(state.tag()), body.to_owned()),
        _ => state.answer(&request),
    };
    if fault == Some(Fault::CloseAfter) {
        return;
    }
    let tag = tag.filter(|_| fault != Some(Fault::NoTag)).map(|tag| format!("etag: {tag}\r\n")).unwrap_or_default();
    let head = format!("HTTP/1.1 {status} x\r\n{tag}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // The client may be gone.
    let _ = stream.write_all((head + &body).as_bytes());
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut tag) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "if-match" => tag = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, tag, body })
}

impl State {
    fn tag(&self) -> String {
        format!("\"/config/ {}\"", self.changes)
    }

    fn change(&mut self, change: impl FnOnce(&mut Json)) {
        self.changes += 1;
        change(&mut self.config);
    }

    fn next_fault(&mut self, method: &str) -> Option<Fault> {
        let is_for = |(of, fault): &(&str, Fault)| {
            (of.is_empty() || *of == method || (*of == "write" && method != "GET")).then_some(*fault)
        };
        if let Some(fault) = self.faults.front().and_then(is_for) {
            self.faults.pop_front();
            return Some(fault);
        }
        self.always.as_ref().and_then(is_for)
    }

    fn answer(&mut self, request: &Request) -> (u16, Option<String>, String) {
        if request.method == "GET" {
            return match request.path.as_str() {
                "/config/" => (200, Some(self.tag()), format!("{}\n", self.config)),
                "/reverse_proxy/upstreams" => (200, None, self.upstreams.to_string()),
                _ => (404, None, String::new()),
            };
        }
        if request.tag.as_deref() != Some(&self.tag()) {
            return (412, None, r#"{"error":"If-Match header did not match current config hash"}"#.to_owned());
        }
        let value = serde_json::from_slice(&request.body).ok();
        match self.write(&request.method, &request.path, value) {
            Some(()) => (200, None, String::new()),
            None => (400, None, format!(r#"{{"error":"invalid traversal path at: {}"}}"#, request.path)),
        }
    }

    /// As Caddy does it: below `/config` by keys, below `/id` by name first.
    fn write(&mut self, method: &str, path: &str, value: Option<Json>) -> Option<()> {
        let mut config = self.config.clone();
        let (mut at, rest) = match path.strip_prefix("/id/") {
            Some(rest) => {
                let (id, rest) = rest.split_once('/').unwrap_or((rest, ""));
                (find_id(&mut config, id)?, rest)
            }
            None => (&mut config, path.strip_prefix("/config")?.trim_start_matches('/')),
        };
        let mut keys: Vec<&str> = rest.split('/').filter(|key| !key.is_empty()).collect();
        match (keys.pop(), method) {
            (None, "POST" | "PATCH") => *at = value?,
            (None, _) => return None,
            (Some(last), method) => {
                for key in keys {
                    at = at.as_object_mut()?.get_mut(key)?;
                }
                let object = at.as_object_mut()?;
                match (method, object.contains_key(last)) {
                    ("PUT", false) | ("PATCH", true) => drop(object.insert(last.to_owned(), value?)),
                    ("DELETE", true) => drop(object.remove(last)),
                    _ => return None,
                }
            }
        }
        self.change(|old| *old = config);
        Some(())
    }
}

fn find_id<'a>(json: &'a mut Json, id: &str) -> Option<&'a mut Json> {
    if json.get("@id").and_then(Json::as_str) == Some(id) {
        return Some(json);
    }
    match json {
        Json::Object(object) => object.values_mut().find_map(|value| find_id(value, id)),
        Json::Array(list) => list.iter_mut().find_map(|value| find_id(value, id)),
        _ => None,
    }
}
