//! The conversation with Caddy's admin API: reading the configuration with its tag, one guarded write, requests under way.
//!
//! It knows nothing of routes. Facts: caddyserver/caddy `admin.go` and `modules/caddyhttp/reverseproxy/admin.go`, and what 2.6.2 and
//! 2.11 were seen to answer.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use freehold_model::limits;
use serde_json::Value as Json;
use ureq::config::Config;
use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, Body};

use crate::change::Write;
use crate::endpoint::Endpoint;
use crate::error::RouterError;
use crate::unix::{NoResolver, SocketConnector};

/// A connection to an admin API; nothing is open between requests.
pub(crate) struct Admin {
    endpoint: Endpoint,
    agent: Agent,
    patience: Duration,
}

/// The configuration at one moment.
pub(crate) struct Snapshot {
    pub(crate) config: Json,
    /// What a write is guarded with.
    pub(crate) tag: String,
    /// Whether this is Caddy 2.8 or later.
    pub(crate) is_recent: bool,
}

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Written {
    /// It took effect.
    Done,
    /// The configuration is another than the tag says: nothing happened.
    Changed,
}

const READ: &str = "show its configuration";
const WRITE: &str = "take the routes";
const COUNT: &str = "count requests";

impl Admin {
    pub(crate) fn new(endpoint: Endpoint, patience: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(limits::ROUTER_CONNECT.min(patience)))
            .timeout_global(Some(patience))
            // Caddy closes these connections with each change.
            .max_idle_connections(0)
            .build();
        let agent = agent(&endpoint, config);
        Self { endpoint, agent, patience }
    }

    /// The whole configuration, `null` when Caddy has none.
    pub(crate) fn read(&self) -> Result<Snapshot, RouterError> {
        let (headers, body) = self.get("/config/", READ)?;
        let odd = |reason: String| RouterError::Answer { action: READ.to_owned(), reason };
        let config = serde_json::from_slice(&body).map_err(|error| odd(format!("it is no JSON: {error}")))?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(tag) = header("etag") {
            return Ok(Snapshot { config, tag: tag.to_owned(), is_recent: true });
        }
        // Before 2.8 the tag comes behind the body, where HTTP clients do not look, and is this sum (caddyserver/caddy#6207, #6208).
        if header("trailer").is_some_and(|names| names.eq_ignore_ascii_case("etag")) {
            let tag = format!("\"/config/ {:08x}\"", fnv1a(&body));
            return Ok(Snapshot { config, tag, is_recent: false });
        }
        Err(RouterError::Unguarded { reason: "it has no tag" })
    }

    /// One write, done only while the configuration is the one that the tag is of.
    pub(crate) fn write(&self, write: &Write, tag: &str) -> Result<Written, RouterError> {
        let (method, path, value) = match write {
            Write::Put(path, value) => ("PUT", path, Some(value)),
            Write::Patch(path, value) => ("PATCH", path, Some(value)),
            Write::Post(path, value) => ("POST", path, Some(value)),
            Write::Delete(path) => ("DELETE", path, None),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint.base()))
            .header("host", self.endpoint.host())
            .header("if-match", tag)
            .header("content-type", "application/json");
        let answer = match value {
            Some(value) => request.body(value.to_string()).map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        let answer = answer.map_err(ureq::Error::from).flatten().map_err(|error| self.no_answer(WRITE, error))?;
        match answer.status().as_u16() {
            412 => Ok(Written::Changed),
            200..300 => Ok(Written::Done),
            _ => Err(self.refusal(WRITE, answer)),
        }
    }

    /// Whether there is an object with this `@id`.
    pub(crate) fn has(&self, id: &str) -> Result<bool, RouterError> {
        let request = self.agent.get(format!("{}/id/{id}", self.endpoint.base()));
        let answer = request.header("host", self.endpoint.host()).call();
        let answer = answer.map_err(|error| self.no_answer(READ, error))?;
        match answer.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refusal(READ, answer)),
        }
    }

    /// Requests under way by the address of their upstream, of those that Caddy counts.
    pub(crate) fn requests(&self) -> Result<BTreeMap<String, u64>, RouterError> {
        let (_, body) = self.get("/reverse_proxy/upstreams", COUNT)?;
        let odd = |reason: String| RouterError::Answer { action: COUNT.to_owned(), reason };
        let list: Json = serde_json::from_slice(&body).map_err(|error| odd(format!("it is no JSON: {error}")))?;
        let mut counted = BTreeMap::new();
        let entries = match &list {
            Json::Array(entries) => entries.as_slice(),
            Json::Null => &[],
            _ => return Err(odd("it is no list".to_owned())),
        };
        for entry in entries {
            let (Some(address), Some(requests)) = (entry["address"].as_str(), entry["num_requests"].as_u64()) else {
                return Err(odd("an upstream has no address or no count".to_owned()));
            };
            *counted.entry(address.to_owned()).or_insert(0) += requests;
        }
        Ok(counted)
    }

    /// Asks again when the connection breaks: Caddy begins its admin API anew with each change, also of others.
    fn get(&self, path: &str, action: &str) -> Result<(HeaderMap, Vec<u8>), RouterError> {
        let mut left = limits::ROUTER_READS;
        loop {
            left -= 1;
            match self.get_once(path, action) {
                Err(RouterError::Lost { .. }) if left > 0 => std::thread::sleep(limits::ROUTER_PAUSE),
                answer => return answer,
            }
        }
    }

    fn get_once(&self, path: &str, action: &str) -> Result<(HeaderMap, Vec<u8>), RouterError> {
        let request = self.agent.get(format!("{}{path}", self.endpoint.base()));
        let answer = request.header("host", self.endpoint.host()).call();
        let mut answer = answer.map_err(|error| self.no_answer(action, error))?;
        if answer.status().as_u16() != 200 {
            return Err(self.refusal(action, answer));
        }
        let body = answer.body_mut().with_config().limit(limits::ROUTER_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| self.no_answer(action, error))?;
        Ok((answer.headers().clone(), body))
    }

    fn refusal(&self, action: &str, mut answer: Response<Body>) -> RouterError {
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(64 * 1024).lossy_utf8(true).read_to_string();
        let text = text.unwrap_or_default();
        let json: Json = serde_json::from_str(&text).unwrap_or_default();
        let message = json["error"].as_str().unwrap_or(&text).trim().to_owned();
        if matches!(status, 401 | 403) {
            let endpoint = self.endpoint.to_string();
            return RouterError::Closed { endpoint, message };
        }
        let message = if message.is_empty() { message } else { format!(": {}", message.escape_debug()) };
        RouterError::Refused { action: action.to_owned(), status, message }
    }

    fn no_answer(&self, action: &str, error: ureq::Error) -> RouterError {
        let (endpoint, action) = (self.endpoint.to_string(), action.to_owned());
        let is = |kinds: &[ErrorKind]| matches!(&error, ureq::Error::Io(io) if kinds.contains(&io.kind()));
        if is(&[ErrorKind::PermissionDenied]) {
            return RouterError::Closed { endpoint, message: error.to_string() };
        }
        match &error {
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                RouterError::Away { endpoint, source: Box::new(error) }
            }
            _ if is(&[ErrorKind::ConnectionRefused, ErrorKind::NotFound]) => {
                RouterError::Away { endpoint, source: Box::new(error) }
            }
            ureq::Error::Timeout(_) => RouterError::Slow { action, seconds: self.patience.as_secs() },
            ureq::Error::BodyExceedsLimit(limit) => {
                RouterError::Answer { action, reason: format!("it has more than {limit} bytes") }
            }
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                RouterError::Answer { action, reason: error.to_string() }
            }
            _ => RouterError::Lost { action, source: Box::new(error) },
        }
    }
}

fn agent(endpoint: &Endpoint, config: Config) -> Agent {
    match endpoint {
        Endpoint::Http(_) => config.new_agent(),
        Endpoint::Unix(path) => Agent::with_parts(config, SocketConnector(path.clone()), NoResolver),
    }
}

/// FNV-1a of 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_that_others_compute() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }
}
