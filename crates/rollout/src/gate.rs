//! The gate: what must be seen of a release before it may stay. One shape in Nix, manifests, `--gate` and provider inputs.
//!
//! It says what to look at and how often; looking is the driver's work. The runtime's own settling is always part of a gate and
//! is not written here. Read on in `machine/gating.rs` for how answers become a verdict.

use freehold_model::{ErrorKind, did_you_mean, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is looked at, how often and for how long. Every field may be left out; the empty gate is the runtime's settling alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Gate {
    /// An HTTP request that must be answered as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// A TCP port that must take connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// A program that must end with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// Seconds from the activation to the verdict.
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u32,
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 3_600))]
    pub interval_seconds: u32,
    /// Good looks in a row that make a release healthy.
    #[schemars(range(min = 1, max = 100))]
    pub successes: u32,
    /// Seconds for which a healthy release is watched before it is committed; 0 for none.
    #[schemars(range(min = 0, max = 86_400))]
    pub window_seconds: u32,
}

/// An HTTP request, at the workload itself (`path`, `port`) or anywhere (`url`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Http {
    /// The path asked for, with its query; `/` when neither it nor `url` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The port on this machine; the workload's own when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// A whole address, instead of `path` and `port`. A public name is first looked for at this machine's own proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Status codes that count as healthy.
    #[schemars(length(min = 1), inner(range(min = 100, max = 599)))]
    pub expect: Vec<u16>,
    /// A regular expression that must be found in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_matches: Option<String>,
    /// The `Host` header, when it is not the address's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The name that the certificate must be for, when it is not the address's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_name: Option<String>,
}

/// A TCP port that must take connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tcp {
    /// The port on this machine; the workload's own when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// Connections that must succeed one after the other.
    #[schemars(range(min = 1, max = 100))]
    pub connects: u32,
}

/// A program that is run on the host of the workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Exec {
    /// Program and arguments; no shell.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            http: None,
            tcp: None,
            exec: None,
            timeout_seconds: 120,
            interval_seconds: 1,
            successes: 1,
            window_seconds: 5,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { path: None, port: None, url: None, expect: vec![200], body_matches: None, host: None, tls_name: None }
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self { port: None, connects: 3 }
    }
}

/// Why a gate cannot be used. `at` is the path of the field: `gate.http.expect[1]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// It is not JSON of the gate's shape.
    #[error("`{at}` cannot be read: {reason}")]
    Read {
        /// The field.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field has a value that means nothing.
    #[error("`{at}` {reason}")]
    Check {
        /// The field.
        at: String,
        /// What is wrong with it.
        reason: String,
        /// The way out.
        hint: String,
    },
}

impl GateError {
    /// Who has to act: always who wrote the gate.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { reason, .. } => {
                let given = reason.strip_prefix("unknown field `")?.split('`').next()?;
                let name = did_you_mean(given, FIELDS)?;
                Some(format!("did you mean `{name}`?"))
            }
            Self::Check { hint, .. } => Some(hint.clone()),
        }
    }

    fn check(at: &str, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Check { at: at.to_owned(), reason: reason.into(), hint: hint.into() }
    }
}

/// Every field there is, for suggestions.
const FIELDS: [&str; 16] = [
    "http",
    "tcp",
    "exec",
    "timeoutSeconds",
    "intervalSeconds",
    "successes",
    "windowSeconds",
    "path",
    "port",
    "url",
    "expect",
    "bodyMatches",
    "host",
    "tlsName",
    "connects",
    "command",
];

impl Gate {
    /// Reads a gate from JSON and checks it.
    ///
    /// # Errors
    /// Names the field that is unknown, of the wrong type, or out of range.
    pub fn parse(json: &[u8]) -> Result<Self, GateError> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let gate: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let at = if path == "." { "gate".to_owned() } else { format!("gate.{path}") };
            GateError::Read { at, reason: error.into_inner().to_string() }
        })?;
        reader.end().map_err(|error| GateError::Read { at: "gate".to_owned(), reason: error.to_string() })?;
        gate.validate()?;
        Ok(gate)
    }

    /// Checks a gate that came inside something else, such as a manifest.
    ///
    /// # Errors
    /// Names the first field with a value that means nothing.
    pub fn validate(&self) -> Result<(), GateError> {
        within("gate.timeoutSeconds", self.timeout_seconds, 1, limits::ROLLOUT_GATE_SECONDS)?;
        within("gate.intervalSeconds", self.interval_seconds, 1, limits::ROLLOUT_INTERVAL_SECONDS)?;
        within("gate.successes", self.successes, 1, limits::ROLLOUT_SUCCESSES)?;
        within("gate.windowSeconds", self.window_seconds, 0, limits::ROLLOUT_GATE_SECONDS)?;
        let needed = u64::from(self.successes - 1) * u64::from(self.interval_seconds);
        if needed >= u64::from(self.timeout_seconds) {
            let reason = format!("takes {needed} seconds, and `timeoutSeconds` is {}", self.timeout_seconds);
            return Err(GateError::check("gate.successes", reason, "ask for fewer successes or allow more time"));
        }
        self.http.as_ref().map_or(Ok(()), Http::validate)?;
        self.tcp.as_ref().map_or(Ok(()), Tcp::validate)?;
        self.exec.as_ref().map_or(Ok(()), Exec::validate)
    }

    /// Whether there is anything to look at beside the runtime's own settling. Results say so when there is not.
    pub fn looks(&self) -> bool {
        self.http.is_some() || self.tcp.is_some() || self.exec.is_some()
    }
}

impl Http {
    fn validate(&self) -> Result<(), GateError> {
        if let Some(path) = &self.path {
            let ok = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
            if !ok {
                let reason = format!("is no path: `{path}`");
                return Err(GateError::check(
                    "gate.http.path",
                    reason,
                    "a path starts with `/`; `url` takes a whole address",
                ));
            }
        }
        not_zero("gate.http.port", self.port)?;
        if let Some(url) = &self.url {
            self.validate_url(url)?;
        }
        if self.expect.is_empty() {
            return Err(GateError::check("gate.http.expect", "is empty", "leave it out for `[200]`"));
        }
        for (at, code) in self.expect.iter().enumerate() {
            within(&format!("gate.http.expect[{at}]"), u32::from(*code), 100, 599)?;
        }
        if let Some(pattern) = &self.body_matches {
            regex_lite::Regex::new(pattern).map_err(|error| {
                let reason = format!("is no regular expression: {error}");
                GateError::check(
                    "gate.http.bodyMatches",
                    reason,
                    "write `\\` before characters that are meant as they are",
                )
            })?;
        }
        host("gate.http.host", self.host.as_deref())?;
        if self.tls_name.as_deref().is_some_and(|name| name.contains(':')) {
            let hint = "name the host alone; the port is that of `url`";
            return Err(GateError::check("gate.http.tlsName", "holds a port", hint));
        }
        host("gate.http.tlsName", self.tls_name.as_deref())
    }

    fn validate_url(&self, url: &str) -> Result<(), GateError> {
        let hint = "write it as `https://name/path`";
        let parsed = url
            .parse::<http::Uri>()
            .map_err(|error| GateError::check("gate.http.url", format!("is no address: {error}"), hint))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none_or(str::is_empty) {
            return Err(GateError::check("gate.http.url", format!("is no web address: `{url}`"), hint));
        }
        for (name, given) in [("path", self.path.is_some()), ("port", self.port.is_some())] {
            if given {
                let reason = format!("is given together with `{name}`");
                return Err(GateError::check("gate.http.url", reason, format!("leave one of `url` and `{name}` out")));
            }
        }
        Ok(())
    }

    /// Whether an answer is a healthy one. The body may be cut; what is cut off is not searched.
    pub fn accepts(&self, status: u16, body: &str) -> bool {
        let matches = |pattern: &String| regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(body));
        self.expect.contains(&status) && self.body_matches.as_ref().is_none_or(matches)
    }
}

impl Tcp {
    fn validate(&self) -> Result<(), GateError> {
        not_zero("gate.tcp.port", self.port)?;
        within("gate.tcp.connects", self.connects, 1, limits::ROLLOUT_SUCCESSES)
    }
}

impl Exec {
    fn validate(&self) -> Result<(), GateError> {
        let program = self.command.first().map_or("", String::as_str);
        if program.is_empty() {
            return Err(GateError::check(
                "gate.exec.command",
                "names no program",
                "write `[\"program\", \"argument\"]`",
            ));
        }
        match self.command.iter().position(|word| word.contains('\0')) {
            Some(at) => {
                let at = format!("gate.exec.command[{at}]");
                Err(GateError::check(&at, "holds a zero byte", "no program can be given one; take it out"))
            }
            None => Ok(()),
        }
    }
}

fn within(at: &str, value: u32, least: u32, most: u32) -> Result<(), GateError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(GateError::check(at, format!("is {value}"), format!("it may be from {least} to {most}")))
}

fn not_zero(at: &str, port: Option<u16>) -> Result<(), GateError> {
    port.map_or(Ok(()), |port| within(at, u32::from(port), 1, 65_535))
}

fn host(at: &str, name: Option<&str>) -> Result<(), GateError> {
    let Some(name) = name else { return Ok(()) };
    if name.parse::<http::uri::Authority>().is_ok_and(|a| !a.host().is_empty() && !name.contains('@')) {
        return Ok(());
    }
    Err(GateError::check(at, format!("is no host name: `{name}`"), "write the name alone, such as `www.example.org`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(json: &str) -> String {
        let error = Gate::parse(json.as_bytes()).unwrap_err();
        format!("{error}; {}", error.hint().unwrap_or_else(|| "-".to_owned()))
    }

    #[test]
    fn the_empty_gate_is_the_runtime_alone_with_the_documented_times() {
        let gate = Gate::parse(b"{}").unwrap();
        assert_eq!(gate, Gate::default());
        assert!(!gate.looks());
        let text = r#"{"timeoutSeconds":120,"intervalSeconds":1,"successes":1,"windowSeconds":5}"#;
        assert_eq!(serde_json::to_string(&gate).unwrap(), text);
    }

    #[test]
    fn the_gate_of_the_documentation_is_read() {
        let text = br#"{ "http": { "path": "/health", "port": 80, "expect": [200, 301], "bodyMatches": "ok|fine",
            "host": "a.example", "tlsName": "a.example" }, "tcp": { "port": 25 }, "exec": { "command": ["true"] } }"#;
        let gate = Gate::parse(text).unwrap();
        assert_eq!(gate.tcp.unwrap().connects, 3);
        let http = gate.http.unwrap();
        assert!(http.accepts(301, "it is fine"));
        assert!(!http.accepts(301, "it is not"));
        assert!(!http.accepts(404, "ok"));
    }

    #[test]
    fn an_error_names_the_field_and_the_way_out() {
        let said = says(r#"{"http":{"pth":"/"}}"#);
        assert!(said.starts_with("`gate.http.pth` cannot be read: unknown field `pth`"), "{said}");
        assert!(said.ends_with("did you mean `path`?"), "{said}");
        assert_eq!(says(r#"{"http":{"expect":[200,99]}}"#), "`gate.http.expect[1]` is 99; it may be from 100 to 599");
        assert_eq!(says(r#"{"timeoutSeconds":0}"#), "`gate.timeoutSeconds` is 0; it may be from 1 to 86400");
        let said = says(r#"{"http":{"url":"https://a.example/","port":1}}"#);
        assert_eq!(said, "`gate.http.url` is given together with `port`; leave one of `url` and `port` out");
        assert!(says(r#"{"tcp":{"port":"x"}}"#).starts_with("`gate.tcp.port` cannot be read: invalid type"));
        assert!(says("{} x").starts_with("`gate` cannot be read: trailing"));
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for bad in [
            r#"{"http":{"path":"health"}}"#,
            r#"{"http":{"path":"/a b"}}"#,
            r#"{"http":{"port":0}}"#,
            r#"{"http":{"url":"ftp://a/"}}"#,
            r#"{"http":{"url":"/x"}}"#,
            r#"{"http":{"expect":[]}}"#,
            r#"{"http":{"bodyMatches":"("}}"#,
            r#"{"http":{"host":"a b"}}"#,
            r#"{"http":{"tlsName":""}}"#,
            r#"{"tcp":{"connects":0}}"#,
            r#"{"exec":{}}"#,
            r#"{"exec":{"command":["a\u0000"]}}"#,
            r#"{"successes":3,"intervalSeconds":60}"#,
            r#"{"windowSeconds":86401}"#,
        ] {
            assert!(matches!(Gate::parse(bad.as_bytes()), Err(GateError::Check { .. })), "{bad}");
        }
    }
}
