//! What must hold of a manifest beside its shape: names, paths, ports, and that services do not get in each other's way.
//!
//! Everything that is wrong is found, not the first thing only. What a host can tell alone (whether a user exists, whether a file is
//! there) is its agent's to say.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{Pointer, limits};
use freehold_nar::StorePath;
use freehold_rollout::GateError;

use crate::error::{ManifestError, Mistake};
use crate::manifest::{Manifest, VERSION};
use crate::service::{Exec, Hardening, HttpRoute, Instances, Service, Systemd};

/// The largest number that every reader of JSON keeps exactly.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

impl Manifest {
    /// Checks what must hold of every manifest.
    ///
    /// # Errors
    /// [`ManifestError::Mistakes`] with everything that is wrong.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.version != VERSION {
            return Err(ManifestError::Version { found: self.version.to_string() });
        }
        let mut found = Found::default();
        if self.generation.time().is_none() {
            found.whole("generation", BAD_VALUE, "is no time", "write it as `2025-01-15T12:34:56Z`");
        }
        if self.serial.is_some_and(|serial| !(1..=LARGEST_EXACT).contains(&serial)) {
            found.whole("serial", OUT_OF_RANGE, "is out of range", "count from 1 on");
        }
        if self.services.len() > limits::MANIFEST_SERVICES {
            let message = format!("holds {} services; {} are the most", self.services.len(), limits::MANIFEST_SERVICES);
            found.whole("services", OUT_OF_RANGE, &message, "divide them among several buckets");
        }
        for (at, service) in self.services.iter().enumerate() {
            found.begin(at, &service.name);
            service.check(&mut found);
        }
        self.check_names(&mut found);
        self.check_neighbours(&mut found);
        if found.mistakes.is_empty() { Ok(()) } else { Err(ManifestError::Mistakes(found.mistakes)) }
    }

    fn check_names(&self, found: &mut Found) {
        let mut seen = BTreeSet::new();
        for (at, service) in self.services.iter().enumerate() {
            if !seen.insert(&service.name) {
                found.begin(at, &service.name);
                found.name_taken();
            }
        }
    }

    /// Services of one host that would take the same port, or the same requests.
    fn check_neighbours(&self, found: &mut Found) {
        let mut ports: BTreeMap<u16, Vec<&Service>> = BTreeMap::new();
        let mut routes: BTreeMap<(&str, String), Vec<&Service>> = BTreeMap::new();
        for (at, service) in self.services.iter().enumerate() {
            let Some(http) = &service.http else { continue };
            found.begin(at, &service.name);
            let earlier = ports.entry(http.internal_port).or_default();
            if let Some(other) = earlier.iter().find(|other| other.meets(service)) {
                found.port_taken(http, other);
            }
            earlier.push(service);
            for (domain, path) in http.requests() {
                let earlier = routes.entry((domain, told_apart(path))).or_default();
                if let Some(other) = earlier.iter().find(|other| other.meets(service)) {
                    found.route_taken(domain, path, other);
                }
                earlier.push(service);
            }
        }
    }
}

/// A value that means nothing where it stands.
const BAD_VALUE: &str = "bad-value";
/// A number, or a length, beyond what is possible.
const OUT_OF_RANGE: &str = "out-of-range";
/// Values that cannot both be meant.
const CONTRADICTION: &str = "contradiction";
/// Two services of one name.
const DUPLICATE_NAME: &str = "duplicate-name";
/// Two services of one host with one port.
const PORT_TAKEN: &str = "port-taken";
/// Two services of one host with one domain and path.
const ROUTE_TAKEN: &str = "route-taken";

/// Mistakes, and where we are.
#[derive(Default)]
struct Found {
    mistakes: Vec<Mistake>,
    at: Pointer,
    service: Option<String>,
}

impl Found {
    fn begin(&mut self, index: usize, name: &str) {
        self.at = Pointer::new(["services".to_owned(), index.to_string()]);
        self.service = Some(name.to_owned());
    }

    /// A mistake in the current service, at `field` (`http/path`).
    fn add(&mut self, field: &str, code: &'static str, message: &str, hint: &str) {
        let at = field.split('/').fold(self.at.clone(), |at, token| at.child(token));
        self.push(at, code, self.service.clone(), message, hint);
    }

    fn name_taken(&mut self) {
        let hint = "keep one of the two, or give the other another name";
        self.add("name", DUPLICATE_NAME, "is there twice", hint);
    }

    fn port_taken(&mut self, http: &HttpRoute, other: &Service) {
        let message = format!("is {}, which `{}` has on the same host", http.internal_port, other.name);
        self.add("http/internalPort", PORT_TAKEN, &message, "give one of them another port");
    }

    fn route_taken(&mut self, domain: &str, path: &str, other: &Service) {
        let message = format!("takes `{domain}{path}`, which `{}` takes on the same host", other.name);
        self.add("http", ROUTE_TAKEN, &message, "give one of them another domain or path");
    }

    fn whole(&mut self, field: &str, code: &'static str, message: &str, hint: &str) {
        self.push(Pointer::new([field]), code, None, message, hint);
    }

    fn push(&mut self, at: Pointer, code: &'static str, service: Option<String>, message: &str, hint: &str) {
        self.mistakes.push(Mistake { at, code, service, message: message.to_owned(), hint: hint.to_owned() });
    }

    /// The value of a field, when there is one.
    fn one(&mut self, field: &str, text: Option<&String>, is_good: impl Fn(&str) -> bool, hint: &str) {
        if let Some(text) = text.filter(|text| !is_good(text)) {
            self.add(field, BAD_VALUE, &format!("holds `{}`", text.escape_debug()), hint);
        }
    }

    /// A path of requests.
    fn path(&mut self, field: &str, path: Option<&String>) {
        if let Some((path, hint)) = path.and_then(|path| Some((path, path_fault(path)?))) {
            self.add(field, BAD_VALUE, &format!("holds `{}`", path.escape_debug()), &hint);
        }
    }

    /// Every value of a list.
    fn each(&mut self, field: &str, texts: Option<&Vec<String>>, is_good: impl Fn(&str) -> bool, hint: &str) {
        for (at, text) in texts.into_iter().flatten().enumerate() {
            self.one(&format!("{field}/{at}"), Some(text), &is_good, hint);
        }
    }

    /// What is wrong with a name or a value of a map; the name may hold anything.
    fn named(&mut self, field: &str, name: &str, message: &str, hint: &str) {
        let at = field.split('/').fold(self.at.clone(), |at, token| at.child(token)).child(name);
        self.push(at, BAD_VALUE, self.service.clone(), message, hint);
    }
}

impl Service {
    /// What is wrong with this service, whatever others there are; each place is one within it.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Found::default();
        self.check(&mut found);
        found.mistakes
    }

    /// What stands between this service and another one of the same manifest; each place is one within this one.
    #[must_use]
    pub fn clashes(&self, other: &Self) -> Vec<Mistake> {
        let mut found = Found { service: Some(self.name.clone()), ..Found::default() };
        if self.name == other.name {
            found.name_taken();
        }
        if let (Some(mine), Some(theirs)) = (&self.http, &other.http)
            && self.meets(other)
        {
            if mine.internal_port == theirs.internal_port {
                found.port_taken(mine, other);
            }
            let taken: BTreeSet<_> = theirs.requests().map(|(domain, path)| (domain, told_apart(path))).collect();
            for (domain, path) in mine.requests().filter(|(domain, path)| taken.contains(&(*domain, told_apart(path))))
            {
                found.route_taken(domain, path, other);
            }
        }
        found.mistakes
    }

    /// A gate that looks somewhere else than at the new instance would find the old one in order.
    fn check_gate_of_two(&self, found: &mut Found) {
        let Some(gate) = &self.gate else { return };
        let http = gate.http.as_ref();
        let elsewhere = [
            ("gate/http/port", http.is_some_and(|http| http.port.is_some())),
            ("gate/http/url", http.is_some_and(|http| http.url.is_some())),
            ("gate/tcp/port", gate.tcp.as_ref().is_some_and(|tcp| tcp.port.is_some())),
        ];
        for (field, _) in elsewhere.into_iter().filter(|(_, is_said)| *is_said) {
            let hint = "leave it out (`path` alone): each of two instances is looked at on its own port; a program of `exec` finds it in `PORT`";
            found.add(field, CONTRADICTION, "would look at the old instance as well", hint);
        }
    }

    /// A gate that looks at a port has one.
    fn check_gate_has_port(&self, found: &mut Found) {
        let Some(gate) = self.gate.as_ref().filter(|_| self.http.is_none()) else { return };
        let lacks = [
            ("gate/http", gate.http.as_ref().is_some_and(|http| http.port.is_none() && http.url.is_none())),
            ("gate/tcp", gate.tcp.as_ref().is_some_and(|tcp| tcp.port.is_none())),
        ];
        for (field, _) in lacks.into_iter().filter(|(_, lacks)| *lacks) {
            let hint = "say `port` there, or `http/internalPort` for the service";
            found.add(field, CONTRADICTION, "names no port, and the service has none", hint);
        }
    }

    /// Whether another service may run where this one does.
    fn meets(&self, other: &Self) -> bool {
        if self.name == other.name {
            return false;
        }
        self.hosts.is_empty() || other.hosts.is_empty() || self.hosts.iter().any(|host| other.hosts.contains(host))
    }

    fn check(&self, found: &mut Found) {
        if !is_service_name(&self.name) {
            let hint = format!(
                "use letters, digits, `-`, `_` and `.`, a letter or digit first, at most {} in all",
                limits::SERVICE_NAME_BYTES
            );
            found.add(
                "name",
                BAD_VALUE,
                &format!("is `{}`, which cannot name a service", self.name.escape_debug()),
                &hint,
            );
        }
        if let Err(error) = StorePath::parse(&self.artifact.store_path) {
            found.add(
                "artifact/storePath",
                BAD_VALUE,
                &format!("is no store path: {error}"),
                "write it as Nix prints it",
            );
        }
        found.each("hosts", Some(&self.hosts), is_host_name, "write the name that the host's agent has");
        self.exec.check(found);
        for (name, value) in &self.env {
            if !is_variable(name) {
                let message = format!("is no name of a variable: `{}`", name.escape_debug());
                found.named("env", name, &message, "names have letters, digits and `_`, and no digit first");
            }
            if value.contains('\0') {
                found.named("env", name, "holds a zero byte", "no environment can; take it out");
            }
        }
        let is_file = |path: &str| is_absolute(path.strip_prefix('-').unwrap_or(path));
        found.one("envFile", self.env_file.as_ref(), is_file, ABSOLUTE);
        if let Some(http) = &self.http {
            http.check(found);
        } else if self.instances == Some(Instances::BlueGreen) {
            let hint = "say `http`, or take `single` instances";
            found.add("instances", CONTRADICTION, "is `blue-green`, and there is no port to switch between", hint);
        }
        self.systemd.check(found);
        self.hardening.check(found);
        if self.hardening.dynamic_user == Some(false) && self.exec.user.is_none() {
            let hint = "name it as `exec/user`; `root` if that is meant";
            found.add(
                "hardening/dynamicUser",
                CONTRADICTION,
                "is false, and no user is named: it would run as root",
                hint,
            );
        }
        if self.instances == Some(Instances::BlueGreen) {
            self.check_gate_of_two(found);
        }
        self.check_gate_has_port(found);
        if let Some(gate) = &self.gate
            && let Err(error) = gate.validate()
        {
            found.gate(&error);
        }
        if self.keep_releases.is_some_and(|kept| !(1..=limits::ROLLOUT_KEEP_RELEASES).contains(&kept)) {
            found.add(
                "keepReleases",
                OUT_OF_RANGE,
                "is out of range",
                &format!("from 1 to {}", limits::ROLLOUT_KEEP_RELEASES),
            );
        }
    }
}

impl Found {
    fn gate(&mut self, error: &GateError) {
        let hint = error.hint().unwrap_or_default();
        // `gate.http.expect[0]` is the field's name there, and `/gate/http/expect/0` here.
        let (GateError::Read { at, reason } | GateError::Check { at, reason, .. }) = error;
        self.add(&at.replace(['.', '['], "/").replace(']', ""), BAD_VALUE, reason, &hint);
    }
}

impl Exec {
    fn check(&self, found: &mut Found) {
        if self.command.contains(['\0', '\n', '\r']) {
            found.add(
                "exec/command",
                BAD_VALUE,
                "holds a line's end or a zero byte",
                "put what is longer into a script of the artifact",
            );
        } else if self.words().is_none() {
            let hint = "write a program and its arguments, with quotes that are closed";
            found.add("exec/command", BAD_VALUE, "is no command line", hint);
        }
        let leads_out = |words: Vec<String>| {
            let program = words.into_iter().next().filter(|program| program.contains('/'))?;
            program.split('/').any(|part| part == "..").then_some(program)
        };
        if let Some(program) = self.words().and_then(leads_out) {
            let message = format!("leads out of the artifact: `{}`", program.escape_debug());
            let hint = "write the path of a program within the artifact, or an absolute one, without `..`";
            found.add("exec/command", BAD_VALUE, &message, hint);
        }
        let hint = "write a name as `useradd` takes it, or a number";
        found.one("exec/user", self.user.as_ref(), is_user_name, hint);
        found.one("exec/group", self.group.as_ref(), is_user_name, hint);
    }
}

impl HttpRoute {
    fn check(&self, found: &mut Found) {
        if self.all_domains().is_empty() {
            found.add("http", BAD_VALUE, "names no domain", "say `domain`");
        }
        let hint = "write it as `www.example.org`";
        found.one("http/domain", self.domain.as_ref(), is_domain, hint);
        found.each("http/domains", Some(&self.domains), is_domain, hint);
        found.path("http/path", self.path.as_ref());
        for (at, path) in self.paths.iter().enumerate() {
            found.path(&format!("http/paths/{at}"), Some(path));
        }
        if self.internal_port == 0 {
            found.add("http/internalPort", OUT_OF_RANGE, "is 0", "write the port that the service listens on");
        }
    }
}

const ABSOLUTE: &str = "write an absolute path";
const LIST_WORD: &str = "write single words without blanks";

impl Systemd {
    fn check(&self, found: &mut Found) {
        let hint = "write a unit's name, such as `postgresql.service`";
        for (field, units) in
            [("after", &self.after), ("before", &self.before), ("requires", &self.requires), ("wants", &self.wants)]
        {
            found.each(&format!("systemd/{field}"), units.as_ref(), is_unit, hint);
        }
        found.one("systemd/workingDirectory", self.working_directory.as_ref(), is_absolute, ABSOLUTE);
        let directories = [
            ("stateDirectory", &self.state_directory),
            ("cacheDirectory", &self.cache_directory),
            ("logsDirectory", &self.logs_directory),
            ("runtimeDirectory", &self.runtime_directory),
        ];
        for (field, names) in directories {
            let hint = "write a relative path; systemd puts it where it belongs";
            found.each(&format!("systemd/{field}"), names.as_ref(), is_relative, hint);
        }
        for (name, path) in self.load_credential.iter().flatten() {
            if !is_word(name) || name.contains([':', '/']) {
                let message = format!("is no name of a file: `{}`", name.escape_debug());
                found.named("systemd/loadCredential", name, &message, "write a file name");
            }
            if !is_absolute(path) {
                let message = format!("holds `{}`", path.escape_debug());
                found.named("systemd/loadCredential", name, &message, ABSOLUTE);
            }
        }
        let groups = self.supplementary_groups.as_ref();
        found.each("systemd/supplementaryGroups", groups, is_user_name, "write a group's name");
        let memory = self.memory_max.as_ref();
        found.one("systemd/memoryMax", memory, is_size, "write it as systemd does: `512M`, `2G`, `50%`");
        let quota = self.cpu_quota.as_ref();
        found.one("systemd/cpuQuota", quota, is_percentage, "write a percentage of one processor: `150%`");
        if self.tasks_max == Some(0) {
            found.add(
                "systemd/tasksMax",
                OUT_OF_RANGE,
                "is 0",
                "nothing could run; leave it out for systemd's own limit",
            );
        }
    }
}

impl Hardening {
    fn check(&self, found: &mut Found) {
        let capabilities = [
            ("capabilityBoundingSet", &self.capability_bounding_set),
            ("ambientCapabilities", &self.ambient_capabilities),
        ];
        for (field, list) in capabilities {
            let hint = "write a capability's whole name, such as `CAP_NET_BIND_SERVICE`";
            found.each(&format!("hardening/{field}"), list.as_ref(), is_capability, hint);
        }
        let words = [
            ("restrictAddressFamilies", &self.restrict_address_families),
            ("systemCallFilter", &self.system_call_filter),
        ];
        for (field, list) in words {
            found.each(&format!("hardening/{field}"), list.as_ref(), is_word, LIST_WORD);
        }
        let paths = [
            ("readWritePaths", &self.read_write_paths),
            ("readOnlyPaths", &self.read_only_paths),
            ("inaccessiblePaths", &self.inaccessible_paths),
        ];
        for (field, list) in paths {
            let is_path = |path: &str| is_absolute(path.trim_start_matches(['-', '+']));
            found.each(&format!("hardening/{field}"), list.as_ref(), is_path, ABSOLUTE);
        }
        let is_octal = |text: &str| (1..=4).contains(&text.len()) && text.chars().all(|c| ('0'..='7').contains(&c));
        found.one("hardening/umask", self.umask.as_ref(), is_octal, "write octal digits, such as `0077`");
    }
}

/// Whether this can be the name of a service.
pub(crate) fn is_service_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.len() <= limits::SERVICE_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
}

fn is_capability(name: &str) -> bool {
    let name = name.strip_prefix('~').unwrap_or(name).to_ascii_uppercase();
    name.strip_prefix("CAP_")
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Whether a host can be named so.
pub fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Names that systemd and `useradd` both take, and numbers.
fn is_user_name(name: &str) -> bool {
    let is_number = !name.is_empty() && name.len() <= 9 && name.chars().all(|c| c.is_ascii_digit());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    name.len() <= 31 && (is_number || is_name)
}

fn is_domain(domain: &str) -> bool {
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
    };
    domain.len() <= 253 && name.split('.').all(is_label)
}

/// What to write instead of a path that a router cannot have: patterns, placeholders, and what proxies take for another path.
fn path_fault(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains(|c: char| c.is_ascii() && !c.is_ascii_graphic()) {
        return Some("a path starts with `/` and has no blanks, `*` or `?`".to_owned());
    }
    if path.contains(['*', '?', '#', '{', '}', '\\', '"']) {
        return Some(
            "a path has no `*`, `?`, `#`, `{`, `}`, `\\` and `\"`: all that lies below it is its own anyway".to_owned(),
        );
    }
    if !path.is_ascii() {
        let encode = |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        let encoded: String = path.bytes().map(encode).collect();
        return Some(format!("write it percent-encoded: `{encoded}`"));
    }
    let is_escaped = |rest: &str| rest.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
    if !path.split('%').skip(1).all(is_escaped) {
        return Some("write two hexadecimal digits after `%`; `%` itself is `%25`".to_owned());
    }
    if path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
        return Some(format!("servers take it for another path: write `{}`", cleaned(path)));
    }
    None
}

/// The path that servers take it for: no empty parts, no `.`, no `..`.
fn cleaned(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What routers tell paths apart by: Caddy compares without regard to case, and a path has what lies below it.
fn told_apart(path: &str) -> String {
    path.trim_end_matches('/').to_ascii_lowercase()
}

fn is_unit(name: &str) -> bool {
    const SUFFIXES: [&str; 11] = [
        ".service",
        ".socket",
        ".device",
        ".mount",
        ".automount",
        ".swap",
        ".target",
        ".path",
        ".timer",
        ".slice",
        ".scope",
    ];
    let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.len() <= 255 && stem.is_some_and(|stem| !stem.is_empty() && stem.chars().all(allowed))
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains(char::is_control) && !path.split('/').any(|part| part == "..")
}

fn is_relative(path: &str) -> bool {
    is_word(path) && !path.starts_with('/') && !path.split('/').any(|part| part == ".." || part.is_empty())
}

/// Something without blanks and control characters.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'P', 'E', '%']);
    text == "infinity" || (is_number(digits) && text.len() - digits.len() <= 1)
}

fn is_percentage(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 18 && text.chars().all(|c| c.is_ascii_digit())
}
