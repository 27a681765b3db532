//! A Docker that is made up: it answers the questions of one run out of what a test has put into it, and deploys nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use freehold_swarm::Endpoint;
use freehold_testkit::Scratch;
use serde_json::{Value as Json, json};

/// What it has, and what it was asked to remove.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Services with their labels.
    pub(super) services: Vec<(String, Vec<(String, String)>)>,
    /// Whether it refuses to remove anything.
    pub(super) refuses: bool,
    /// What was removed, in order.
    pub(super) removed: Vec<String>,
}

/// A daemon at a socket.
pub(super) struct FakeDocker {
    pub(super) state: Arc<Mutex<State>>,
    address: String,
}

impl FakeDocker {
    pub(super) fn start(scratch: &Scratch) -> Self {
        let path = scratch.join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream.unwrap(), &shared));
            }
        });
        Self { state, address: format!("unix://{}", path.display()) }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { context: None, address: self.address.clone() }
    }

    /// Lets a service of the stack run, with these labels.
    pub(super) fn runs(&self, stack: &str, service: &str, labels: &[(&str, &str)]) {
        let mut labels: Vec<_> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.push(("com.docker.stack.namespace".to_owned(), stack.to_owned()));
        let name = format!("{stack}_{service}");
        let mut state = self.state.lock().unwrap();
        state.services.retain(|(known, _)| *known != name);
        state.services.push((name, labels));
    }

    pub(super) fn refuses(&self, refuses: bool) {
        self.state.lock().unwrap().refuses = refuses;
    }

    pub(super) fn removed(&self) -> Vec<String> {
        self.state.lock().unwrap().removed.clone()
    }
}

fn answer(mut stream: UnixStream, state: &Mutex<State>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    // `v1.50/services/x`: the version does not matter.
    let path = path.split_once('/').map_or(path, |(first, rest)| if first.starts_with("v1.") { rest } else { path });
    let (code, json) = state.lock().unwrap().answer(method, path);
    let body = if json == Json::Null { String::new() } else { json.to_string() };
    let head = format!(
        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes());
}

impl State {
    fn answer(&mut self, method: &str, path: &str) -> (u16, Json) {
        match (method, path) {
            ("DELETE", _) if self.refuses => (500, json!({ "message": "not now" })),
            ("DELETE", path) => {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                self.services.retain(|(known, _)| *known != name);
                self.removed.push(name);
                (200, Json::Null)
            }
            (_, "version") => (200, json!({ "ApiVersion": "1.50", "MinAPIVersion": "1.24" })),
            (_, "info") => {
                (200, json!({ "Swarm": { "LocalNodeState": "active", "ControlAvailable": true, "Nodes": 1 } }))
            }
            (_, "services") => (200, self.services.iter().map(service).collect()),
            (_, "tasks") => (200, self.services.iter().map(task).collect()),
            (_, "volumes") => (200, json!({ "Volumes": [] })),
            (_, "containers/json" | "configs" | "networks" | "secrets" | "nodes") => (200, json!([])),
            _ => (404, json!({ "message": format!("no {path} here") })),
        }
    }
}

fn service((name, labels): &(String, Vec<(String, String)>)) -> Json {
    let labels: serde_json::Map<String, Json> =
        labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let spec = json!({ "Name": name, "Labels": labels, "Mode": { "Replicated": { "Replicas": 1 } } });
    json!({ "ID": name, "Version": { "Index": 1 }, "Spec": spec })
}

fn task((name, _): &(String, Vec<(String, String)>)) -> Json {
    let status = json!({ "State": "running" });
    json!({ "ID": format!("{name}.1"), "ServiceID": name, "Slot": 1, "DesiredState": "running", "Status": status })
}
