//! What a host tells others about itself, if it was asked to: `freehold.host-report/1`, one small file per host.
//!
//! Hosts need no right to write to the bucket that they follow; where reports go, and by whose leave, is said apart from it. Read on
//! in `reporter.rs` (when they are written) and `verdict.rs` (what a publisher makes of them).

use std::io::Read as _;

use freehold_cache::{CacheError, Condition, Depot, Kind};
use freehold_model::{ErrorKind, Sensitive, limits};
use freehold_rollout::Alert;
use serde::{Deserialize, Serialize};
use ureq::http::StatusCode;
use url::Url;

use crate::{ServiceState, Status};

/// Where reports lie below what was said.
const DIRECTORY: &str = "status/";

/// What a host tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// [`HostReport::FORMAT`].
    pub format: String,
    /// The host.
    pub host: String,
    /// The generation that it follows; `None` when there is no manifest.
    pub generation: Option<String>,
    /// The serial of that manifest.
    pub serial: u64,
    /// When this was written, in milliseconds since 1970 by the host's clock, UTC.
    pub when: u64,
    /// Why the manifest could not be followed, when it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its services after the last round, as in `freehold.round/1`.
    pub services: Vec<ServiceState>,
    /// The alerts that stand.
    pub alerts: Vec<Alert>,
}

impl HostReport {
    /// The name of the format and its version.
    pub const FORMAT: &'static str = "freehold.host-report/1";

    /// What is to be told of this status at this moment.
    pub(crate) fn of(status: Status, when: u64) -> Self {
        let Status { host, generation, serial, failure, services, alerts, .. } = status;
        Self { format: Self::FORMAT.to_owned(), host, generation, serial, when, failure, services, alerts }
    }

    /// Whether this tells nothing that the other does not: times, and how often an alert was seen, are left aside.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let timeless = |report: &Self| {
            let mut report = report.clone();
            report.when = 0;
            let of_services = report.services.iter_mut().filter_map(|service| service.alert.as_mut());
            for alert in of_services.chain(report.alerts.iter_mut()) {
                (alert.seen, alert.count) = (0, 0);
            }
            // What was changed by a round is told once, and that it has not changed since is no news.
            report
        };
        timeless(self) == timeless(other)
    }
}

/// Why reports cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is no address that reports can go to.
    #[error("`{url}` is no place for reports: {reason}")]
    BadUrl {
        /// As it was given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The bucket or directory refuses.
    #[error("the reports of hosts cannot be reached")]
    Depot(#[source] CacheError),
    /// The server cannot be reached.
    #[error("`{url}` does not answer")]
    Away {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server refuses.
    #[error("`{url}` answers {status}")]
    Refused {
        /// What was asked for.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// What lies there is no report.
    #[error("the report of `{host}` cannot be read")]
    Damaged {
        /// Whose it should be.
        host: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ReportError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadUrl { .. } => ErrorKind::User,
            Self::Depot(error) => error.kind(),
            Self::Away { .. } => ErrorKind::Transient,
            Self::Refused { status, .. } if status.is_server_error() => ErrorKind::Transient,
            Self::Refused { .. } | Self::Damaged { .. } => ErrorKind::Config,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::BadUrl { .. } => Some(
                "write s3://BUCKET/PREFIX?…, file:///DIRECTORY, or an http(s):// address that takes PUT".to_owned(),
            ),
            Self::Depot(error) => error.hint(),
            Self::Refused { status, .. } if [401, 403].contains(&status.as_u16()) => {
                Some("`--report-token-file FILE` names a file with the token that it asks for".to_owned())
            }
            Self::Damaged { .. } => Some("look who else writes there".to_owned()),
            Self::Away { .. } | Self::Refused { .. } => None,
        }
    }
}

/// Where reports of hosts lie: `status/HOST.json` in a bucket, a directory, or behind an HTTP server that takes PUT. Cheap to clone.
#[derive(Clone)]
pub struct ReportPlace(Place);

#[derive(Clone)]
enum Place {
    Depot(Depot),
    Server { base: Url, token: Option<Sensitive<String>>, agent: ureq::Agent },
}

impl ReportPlace {
    /// The place at `s3://…`, `file:///…` or `http(s)://…`; a token is sent to servers as a bearer's.
    ///
    /// # Errors
    /// An address that cannot be used, no credentials.
    pub fn open(url: &str, token: Option<Sensitive<String>>) -> Result<Self, ReportError> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Depot::open(url).map(Self::in_depot).map_err(ReportError::Depot);
        }
        let bad = |reason: &str| ReportError::BadUrl { url: without_login(url), reason: reason.to_owned() };
        let base = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(bad(
                "it holds a login, which everybody sees in the list of processes; use a file with a token",
            ));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limits::REPORT_REQUEST))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(Place::Server { base, token, agent: config.into() }))
    }

    /// Those that lie in this depot.
    pub fn in_depot(depot: Depot) -> Self {
        Self(Place::Depot(depot))
    }

    /// Puts the report of its host in the place of the one before it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, report: &HostReport) -> Result<(), ReportError> {
        let mut bytes = serde_json::to_vec_pretty(report).unwrap_or_default();
        bytes.push(b'\n');
        match &self.0 {
            Place::Depot(depot) => depot
                .put(&key(&report.host), &bytes, Kind::Json, &Condition::None)
                .map(drop)
                .map_err(ReportError::Depot),
            Place::Server { base, token, agent } => {
                let url = address(base, &report.host);
                let mut request = agent.put(url.as_str()).header("Content-Type", Kind::Json.mime());
                if let Some(token) = token {
                    request = request.header("Authorization", bearer(token));
                }
                answered(&url, request.send(&bytes)).map(drop)
            }
        }
    }

    /// The report of a host; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read, or is no report.
    pub fn read(&self, host: &str) -> Result<Option<HostReport>, ReportError> {
        let bytes = match &self.0 {
            Place::Depot(depot) => depot.get(&key(host)).map_err(ReportError::Depot)?.map(|object| object.body),
            Place::Server { base, token, agent } => {
                let url = address(base, host);
                let mut request = agent.get(url.as_str());
                if let Some(token) = token {
                    request = request.header("Authorization", bearer(token));
                }
                match answered(&url, request.call()) {
                    Err(ReportError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => None,
                    Err(error) => return Err(error),
                    Ok(mut answer) => {
                        let mut bytes = Vec::new();
                        let reader = answer.body_mut().as_reader().take(limits::DEPOT_OBJECT_BYTES);
                        let mut reader = reader;
                        reader.read_to_end(&mut bytes).map_err(|source| ReportError::Away {
                            url: url.to_string(),
                            source: Box::new(source.into()),
                        })?;
                        Some(bytes)
                    }
                }
            }
        };
        let parse = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).map_err(|source| ReportError::Damaged { host: host.to_owned(), source })
        };
        bytes.map(parse).transpose()
    }

    /// The hosts of which there is a report, in order; `None` where that cannot be told: a server that only takes PUT lists nothing.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn hosts(&self) -> Result<Option<Vec<String>>, ReportError> {
        let Place::Depot(depot) = &self.0 else { return Ok(None) };
        let listed = depot.list(DIRECTORY).map_err(ReportError::Depot)?;
        let name = |key: &str| Some(key.strip_prefix(DIRECTORY)?.strip_suffix(".json")?.to_owned());
        Ok(Some(listed.iter().filter_map(|entry| name(&entry.key)).collect()))
    }
}

fn key(host: &str) -> String {
    format!("{DIRECTORY}{host}.json")
}

fn address(base: &Url, host: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(DIRECTORY.trim_end_matches('/')).push(&format!("{host}.json"));
    }
    url
}

fn bearer(token: &Sensitive<String>) -> String {
    format!("Bearer {}", token.expose())
}

type Answer = ureq::http::Response<ureq::Body>;

fn answered(url: &Url, answer: Result<Answer, ureq::Error>) -> Result<Answer, ReportError> {
    let answer = answer.map_err(|source| ReportError::Away { url: url.to_string(), source: Box::new(source) })?;
    match answer.status() {
        status if status.is_success() => Ok(answer),
        status => Err(ReportError::Refused { url: url.to_string(), status }),
    }
}

/// An address without what stands before its host, for messages.
fn without_login(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://…@{rest}"),
        None => url.to_owned(),
    }
}
