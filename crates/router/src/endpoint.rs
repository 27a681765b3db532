//! Where Caddy's admin API listens, in Caddy's own spelling.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::RouterError;

/// An admin API: `http://127.0.0.1:2019` (Caddy's default) or `unix//run/caddy/admin.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `http://HOST:PORT`, without a path.
    Http(String),
    /// The absolute path of a unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// What addresses of requests begin with.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Http(base) => base,
            // An address must name somebody; the connection does not depend on it.
            Self::Unix(_) => "http://socket",
        }
    }

    /// What requests name as their host. On a socket there is none, and Caddy 2.6 takes nothing else.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Http(base) => base.trim_start_matches("http://"),
            Self::Unix(_) => "",
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Http("http://127.0.0.1:2019".to_owned())
    }
}

impl FromStr for Endpoint {
    type Err = RouterError;

    fn from_str(text: &str) -> Result<Self, RouterError> {
        let wrong = |reason| RouterError::Endpoint { endpoint: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix/") {
            // Caddy lets the permissions of a socket follow its path.
            let path = path.split('|').next().unwrap_or_default();
            if !path.starts_with('/') {
                return Err(wrong("the path of a socket is absolute"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(authority) = text.strip_prefix("http://") else {
            return Err(wrong("it is neither `http://` nor `unix/`"));
        };
        let authority = authority.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(is_plain) {
            return Err(wrong("it has more or less than a host and a port"));
        }
        Ok(Self::Http(format!("http://{authority}")))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(base) => f.write_str(base),
            Self::Unix(path) => write!(f, "unix/{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_caddy_writes_them() {
        for (text, shown) in [
            ("http://127.0.0.1:2019", "http://127.0.0.1:2019"),
            ("http://localhost:2019/", "http://localhost:2019"),
            ("http://[::1]:2019", "http://[::1]:2019"),
            ("unix//run/caddy/admin.sock", "unix//run/caddy/admin.sock"),
            ("unix//run/caddy/admin.sock|0660", "unix//run/caddy/admin.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for text in
            ["", "localhost:2019", "https://caddy", "unix/run/x", "http://", "http://a/b", "http://a@b", "http://a b"]
        {
            assert!(matches!(text.parse::<Endpoint>(), Err(RouterError::Endpoint { .. })), "{text}");
        }
    }
}
