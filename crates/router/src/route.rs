//! A route: which requests go to which upstream.
//!
//! Only what is wanted, and whether it can be; what Caddy is told of it is in `piece.rs`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use freehold_model::limits;

use crate::error::RouterError;

/// Requests for these names and paths go to this upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose route it is; a service has at most one. Letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
    pub service: String,
    /// Names that requests are for, at least one; `*.example.org` means every name one level below, unless another route names it.
    pub domains: Vec<String>,
    /// Paths that are its own with everything below them: `/app` is for `/app` and `/app/x`, not for `/apple`. The longest path
    /// wins, whatever service it is of. Empty means `/`.
    pub paths: Vec<String>,
    /// Where the service listens.
    pub upstream: SocketAddr,
}

impl Route {
    /// A route to a port of this host, for everything below `/`.
    pub fn local(service: impl Into<String>, domains: &[&str], port: u16) -> Self {
        Self {
            service: service.into(),
            domains: domains.iter().map(ToString::to_string).collect(),
            paths: vec!["/".to_owned()],
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }

    /// The same, with these paths.
    #[must_use]
    pub fn below(mut self, paths: &[&str]) -> Self {
        self.paths = paths.iter().map(ToString::to_string).collect();
        self
    }

    /// The same route in the one spelling that is compared: sorted, each once, lower-case names, paths without a `/` at their end.
    fn normal(&self) -> Result<Self, RouterError> {
        let unusable = |reason: String| RouterError::Unusable { service: self.service.clone(), reason };
        if !is_service(&self.service) {
            return Err(unusable("its name has other characters than letters, digits, `-`, `_` and `.`".to_owned()));
        }
        let mut domains: Vec<String> = self.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        domains.sort();
        domains.dedup();
        if domains.is_empty() {
            return Err(unusable("it names no domain".to_owned()));
        }
        if let Some(domain) = domains.iter().find(|domain| !is_domain(domain)) {
            return Err(unusable(format!("`{}` is no domain", domain.escape_debug())));
        }
        if let Some(path) = self.paths.iter().find(|path| !is_path(path)) {
            return Err(unusable(format!("`{}` is no path", path.escape_debug())));
        }
        let mut paths: Vec<String> = self.paths.iter().map(|path| without_slash(path)).collect();
        if paths.is_empty() {
            paths.push("/".to_owned());
        }
        // Caddy compares paths without regard to case.
        paths.sort_by_key(|path| (path.to_ascii_lowercase(), path.clone()));
        paths.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
        paths.sort();
        if self.upstream.port() == 0 || self.upstream.ip().is_unspecified() {
            return Err(unreachable(&self.service, self.upstream));
        }
        Ok(Self { service: self.service.clone(), domains, paths, upstream: self.upstream })
    }
}

/// The routes in one spelling, by service; refuses what cannot be, and what two want.
pub(crate) fn checked(wanted: &[Route]) -> Result<BTreeMap<String, Route>, RouterError> {
    let mut claims = Claims::default();
    wanted.iter().try_for_each(|route| claims.add(route))?;
    Ok(claims.routes)
}

/// The services whose routes cannot be made beside those before them, each with why. Nothing is sent: the others can be set without
/// them.
pub fn unusable(wanted: &[Route]) -> Vec<(String, RouterError)> {
    let mut claims = Claims::default();
    wanted.iter().filter_map(|route| Some((route.service.clone(), claims.add(route).err()?))).collect()
}

/// Routes that can be made together.
#[derive(Default)]
struct Claims {
    routes: BTreeMap<String, Route>,
    taken: BTreeMap<(String, String), String>,
}

impl Claims {
    fn add(&mut self, route: &Route) -> Result<(), RouterError> {
        let route = route.normal()?;
        if self.routes.contains_key(&route.service) {
            return Err(twice(&route.service));
        }
        // Caddy compares paths without regard to case.
        let requests = || {
            let of = |domain: &String| {
                let domain = domain.clone();
                route.paths.iter().map(move |path| (domain.clone(), path.to_ascii_lowercase()))
            };
            route.domains.iter().flat_map(of)
        };
        for (domain, path) in requests() {
            if let Some(first) = self.taken.get(&(domain.clone(), path.clone())) {
                let (first, second) = (first.clone(), route.service);
                return Err(RouterError::Overlap { first, second, domain, path });
            }
        }
        self.taken.extend(requests().map(|request| (request, route.service.clone())));
        self.routes.insert(route.service.clone(), route);
        Ok(())
    }
}

/// Nobody can listen at this address.
pub(crate) fn unreachable(service: &str, upstream: SocketAddr) -> RouterError {
    let reason = format!("nobody can be reached at `{upstream}`");
    RouterError::Unusable { service: service.to_owned(), reason }
}

fn twice(service: &str) -> RouterError {
    RouterError::Unusable { service: service.to_owned(), reason: "it is wanted twice".to_owned() }
}

fn without_slash(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

/// Whether this can be the name of a service; it becomes part of an `@id`, which is part of an address.
pub(crate) fn is_service(name: &str) -> bool {
    name.len() <= limits::SERVICE_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_domain(domain: &str) -> bool {
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    domain.len() <= 253 && name.split('.').all(is_label)
}

/// Nothing that Caddy would read as a pattern or a placeholder, or that its cleaning of paths would change.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.chars().all(|c| c.is_ascii_graphic() && !"*?#{}\\\"".contains(c))
        && !path.contains("//")
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_compared_in_one_spelling() {
        let route =
            Route::local("web", &["B.example.org", "a.example.org", "b.example.org"], 80).below(&["/app/", "/app"]);
        let routes = checked(&[route]).unwrap();
        assert_eq!(routes["web"].domains, ["a.example.org", "b.example.org"]);
        assert_eq!(routes["web"].paths, ["/app"]);
        assert_eq!(checked(&[Route::local("web", &["a.org"], 80).below(&[])]).unwrap()["web"].paths, ["/"]);
    }

    #[test]
    fn what_cannot_be_a_route_is_refused_with_its_service() {
        let fine = || Route::local("web", &["a.org"], 80);
        let cases = [
            Route { service: "a/b".to_owned(), ..fine() },
            Route { service: "web:2".to_owned(), ..fine() },
            Route { service: String::new(), ..fine() },
            Route { domains: Vec::new(), ..fine() },
            Route::local("web", &["a b"], 80),
            Route::local("web", &["{env.HOME}"], 80),
            Route::local("web", &["*"], 80),
            Route::local("web", &["a.*.org"], 80),
            Route::local("web", &["a.org"], 0),
            fine().below(&["app"]),
            fine().below(&["/a*"]),
            fine().below(&["/{path}"]),
            fine().below(&["/a/../b"]),
            fine().below(&["//a"]),
            Route { upstream: "0.0.0.0:80".parse().unwrap(), ..fine() },
        ];
        for route in cases {
            assert!(matches!(checked(std::slice::from_ref(&route)), Err(RouterError::Unusable { .. })), "{route:?}");
        }
    }

    #[test]
    fn those_that_cannot_be_made_are_named_and_stand_in_nobodys_way() {
        let wanted = [
            Route::local("bad", &["a.org"], 80).below(&["/", "/a//b"]),
            Route::local("web", &["a.org"], 81),
            Route::local("late", &["A.org", "b.org"], 82),
            Route::local("other", &["b.org"], 83).below(&["/x", "/X/"]),
        ];
        let named: Vec<String> =
            unusable(&wanted).iter().map(|(service, error)| format!("{service}: {error}")).collect();
        assert_eq!(
            named,
            [
                "bad: the route of service `bad` cannot be made: `/a//b` is no path",
                "late: services `web` and `late` both want `a.org/`",
            ]
        );
        assert_eq!(checked(&wanted[3..]).unwrap()["other"].paths, ["/X"]);
    }

    #[test]
    fn two_services_cannot_want_the_same_requests() {
        let error = checked(&[
            Route::local("web", &["a.org"], 80).below(&["/", "/App"]),
            Route::local("app", &["b.org", "A.org"], 81).below(&["/app/"]),
        ])
        .unwrap_err();
        assert_eq!(error.to_string(), "services `web` and `app` both want `a.org/app`");
        let error = checked(&[Route::local("web", &["a.org"], 80), Route::local("web", &["b.org"], 80)]).unwrap_err();
        assert_eq!(error.to_string(), "the route of service `web` cannot be made: it is wanted twice");
    }
}
