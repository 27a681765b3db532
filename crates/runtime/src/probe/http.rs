//! An HTTP request that must be answered as expected.
//!
//! A gate at a public name asks this machine's own proxy first: a server behind a NAT often cannot reach its own public address.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use freehold_rollout::Http;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::{ProbeTarget, no_port};

/// Most of a body that is looked at.
const BODY_BYTES: u64 = 1024 * 1024;

pub(super) fn look(http: &Http, target: &ProbeTarget, limit: Duration) -> Result<(), String> {
    let uri = match &http.url {
        Some(url) => url.clone(),
        None => {
            let port = http.port.or(target.port).ok_or_else(|| no_port("http"))?;
            format!("http://127.0.0.1:{port}{}", http.path.as_deref().unwrap_or("/"))
        }
    };
    let uri: Uri = uri.parse().map_err(|error| format!("`{uri}` is no address: {error}"))?;
    let is_name = uri.host().is_some_and(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
    if !is_name {
        return ask(http, &uri, false, limit);
    }
    // A name that the certificate must be for is the one that is asked for; the connection goes where the address says.
    let named = match &http.tls_name {
        Some(name) => with_host(&uri, name)?,
        None => uri.clone(),
    };
    match ask(http, &named, true, limit) {
        Err(reason) if reason.starts_with(REFUSED) => ask(http, &uri, false, limit),
        answer => answer,
    }
}

/// How reasons begin when nobody listens here.
const REFUSED: &str = "nobody answers";

fn ask(http: &Http, uri: &Uri, here: bool, limit: Duration) -> Result<(), String> {
    let config = Config::builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .tls_config(super::roots::tls())
        .user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent =
        Agent::with_parts(config, DefaultConnector::default(), Resolve { here, dns: DefaultResolver::default() });
    let mut request = agent.get(uri);
    if let Some(host) = &http.host {
        request = request.header("Host", host);
    }
    let mut answer = request.call().map_err(|error| said(&error, uri))?;
    let status = answer.status().as_u16();
    // A body that cannot be read, or is no text, is looked at as far as it is.
    let mut bytes = Vec::new();
    let _ = answer.body_mut().as_reader().take(BODY_BYTES).read_to_end(&mut bytes);
    let body = String::from_utf8_lossy(&bytes);
    if http.accepts(status, &body) {
        return Ok(());
    }
    if http.expect.contains(&status) {
        return Err(format!("{uri} answers {status}, but the body does not match"));
    }
    let expected: Vec<String> = http.expect.iter().map(ToString::to_string).collect();
    Err(format!("{uri} answers {status} instead of {}", expected.join(" or ")))
}

/// Whether there is nobody: also where a host has no address of the kind that was tried last, as without IPv6.
fn is_nobody(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::AddrNotAvailable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
    )
}

fn said(error: &ureq::Error, uri: &Uri) -> String {
    match error {
        ureq::Error::Io(io) if is_nobody(io.kind()) => format!("{REFUSED} at {uri}"),
        ureq::Error::ConnectionFailed => format!("{REFUSED} at {uri}"),
        ureq::Error::Timeout(_) => format!("{uri} gives no answer in time"),
        error => format!("{uri}: {error}"),
    }
}

fn with_host(uri: &Uri, host: &str) -> Result<Uri, String> {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let text = format!("{}://{host}{port}{path}", uri.scheme_str().unwrap_or("https"));
    text.parse().map_err(|error| format!("`{text}` is no address: {error}"))
}

/// Finds addresses: this host's own when `here`, those of the name otherwise.
#[derive(Debug)]
struct Resolve {
    here: bool,
    dns: DefaultResolver,
}

impl Resolver for Resolve {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if !self.here {
            return self.dns.resolve(uri, config, timeout);
        }
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        found.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        found.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        Ok(found)
    }
}
