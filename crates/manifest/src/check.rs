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
            found.whole("generation", "is no time", "write it as `2025-01-15T12:34:56Z`");
        }
        if self.serial.is_some_and(|serial| !(1..=LARGEST_EXACT).contains(&serial)) {
            found.whole("serial", "is out of range", "count from 1 on");
        }
        if self.services.len() > limits::MANIFEST_SERVICES {
            let message = format!("holds {} services; {} are the most", self.services.len(), limits::MANIFEST_SERVICES);
            found.whole("services", &message, "divide them among several buckets");
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
                found.add("name", "is there twice", "keep one of the two, or give the other another name");
            }
        }
    }

    /// Services of one host that would take the same port, or the same requests.
    fn check_neighbours(&self, found: &mut Found) {
        let mut ports: BTreeMap<u16, Vec<&Service>> = BTreeMap::new();
        let mut routes: BTreeMap<(&str, &str), Vec<&Service>> = BTreeMap::new();
        for (at, service) in self.services.iter().enumerate() {
            let Some(http) = &service.http else { continue };
            found.begin(at, &service.name);
            let earlier = ports.entry(http.internal_port).or_default();
            if let Some(other) = earlier.iter().find(|other| other.meets(service)) {
                let message = format!("is {}, which `{}` has on the same host", http.internal_port, other.name);
                found.add("http/internalPort", &message, "give one of them another port");
            }
            earlier.push(service);
            let requests =
                http.all_domains().into_iter().flat_map(|d| http.all_paths().into_iter().map(move |p| (d, p)));
            for (domain, path) in requests {
                let earlier = routes.entry((domain, path)).or_default();
                if let Some(other) = earlier.iter().find(|other| other.meets(service)) {
                    let message = format!("takes `{domain}{path}`, which `{}` takes on the same host", other.name);
                    found.add("http", &message, "give one of them another domain or path");
                }
                earlier.push(service);
            }
        }
    }
}

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
    fn add(&mut self, field: &str, message: &str, hint: &str) {
        let at = field.split('/').fold(self.at.clone(), |at, token| at.child(token));
        self.push(at, self.service.clone(), message, hint);
    }

    fn whole(&mut self, field: &str, message: &str, hint: &str) {
        self.push(Pointer::new([field]), None, message, hint);
    }

    fn push(&mut self, at: Pointer, service: Option<String>, message: &str, hint: &str) {
        self.mistakes.push(Mistake { at, service, message: message.to_owned(), hint: hint.to_owned() });
    }

    fn all<'a>(
        &mut self,
        field: &str,
        texts: impl IntoIterator<Item = &'a String>,
        is_good: impl Fn(&str) -> bool,
        hint: &str,
    ) {
        for text in texts {
            if !is_good(text) {
                self.add(field, &format!("holds `{}`", text.escape_debug()), hint);
            }
        }
    }
}

impl Service {
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
            found.add("name", &format!("is `{}`, which cannot name a service", self.name.escape_debug()), &hint);
        }
        if let Err(error) = StorePath::parse(&self.artifact.store_path) {
            found.add("artifact/storePath", &format!("is no store path: {error}"), "write it as Nix prints it");
        }
        found.all("hosts", &self.hosts, is_host_name, "write the name that the host's agent has");
        self.exec.check(found);
        let names = self.env.keys();
        found.all("env", names, is_variable, "names have letters, digits and `_`, and no digit first");
        found.all("env", self.env.values(), |value| !value.contains('\0'), "no environment holds a zero byte");
        let file = self.env_file.iter();
        found.all("envFile", file, |path| is_absolute(path.strip_prefix('-').unwrap_or(path)), ABSOLUTE);
        if let Some(http) = &self.http {
            http.check(found);
        } else if self.instances == Some(Instances::BlueGreen) {
            let hint = "say `http`, or take `single` instances";
            found.add("instances", "is `blue-green`, and there is no port to switch between", hint);
        }
        self.systemd.check(found);
        self.hardening.check(found);
        if let Some(gate) = &self.gate
            && let Err(error) = gate.validate()
        {
            found.gate(&error);
        }
        if self.keep_releases.is_some_and(|kept| !(1..=limits::ROLLOUT_KEEP_RELEASES).contains(&kept)) {
            found.add("keepReleases", "is out of range", &format!("from 1 to {}", limits::ROLLOUT_KEEP_RELEASES));
        }
    }
}

impl Found {
    fn gate(&mut self, error: &GateError) {
        let hint = error.hint().unwrap_or_default();
        self.add("gate", &format!("cannot be used: {error}"), &hint);
    }
}

impl Exec {
    fn check(&self, found: &mut Found) {
        if self.command.contains(['\0', '\n', '\r']) {
            found.add(
                "exec/command",
                "holds a line's end or a zero byte",
                "put what is longer into a script of the artifact",
            );
        } else if self.words().is_none() {
            let hint = "write a program and its arguments, with quotes that are closed";
            found.add("exec/command", "is no command line", hint);
        }
        let hint = "write a name as `useradd` takes it, or a number";
        found.all("exec/user", &self.user, is_user_name, hint);
        found.all("exec/group", &self.group, is_user_name, hint);
    }
}

impl HttpRoute {
    fn check(&self, found: &mut Found) {
        if self.all_domains().is_empty() {
            found.add("http", "names no domain", "say `domain`");
        }
        found.all("http/domain", self.domain.iter().chain(&self.domains), is_domain, "write it as `www.example.org`");
        let hint = "a path starts with `/` and has no blanks, `*` or `?`";
        found.all("http/path", self.path.iter().chain(&self.paths), is_route_path, hint);
        if self.internal_port == 0 {
            found.add("http/internalPort", "is 0", "write the port that the service listens on");
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
            found.all(&format!("systemd/{field}"), units.iter().flatten(), is_unit, hint);
        }
        found.all("systemd/workingDirectory", &self.working_directory, is_absolute, ABSOLUTE);
        let directories = [
            ("stateDirectory", &self.state_directory),
            ("cacheDirectory", &self.cache_directory),
            ("logsDirectory", &self.logs_directory),
            ("runtimeDirectory", &self.runtime_directory),
        ];
        for (field, names) in directories {
            let hint = "write a relative path; systemd puts it where it belongs";
            found.all(&format!("systemd/{field}"), names.iter().flatten(), is_relative, hint);
        }
        for (name, path) in self.load_credential.iter().flatten() {
            if !is_word(name) || name.contains([':', '/']) {
                found.add("systemd/loadCredential", &format!("names `{}`", name.escape_debug()), "write a file name");
            }
            found.all("systemd/loadCredential", [path], is_absolute, ABSOLUTE);
        }
        let groups = self.supplementary_groups.iter().flatten();
        found.all("systemd/supplementaryGroups", groups, is_user_name, "write a group's name");
        found.all("systemd/memoryMax", &self.memory_max, is_size, "write it as systemd does: `512M`, `2G`, `50%`");
        found.all("systemd/cpuQuota", &self.cpu_quota, is_percentage, "write a percentage of one processor: `150%`");
        if self.tasks_max == Some(0) {
            found.add("systemd/tasksMax", "is 0", "nothing could run; leave it out for systemd's own limit");
        }
    }
}

impl Hardening {
    fn check(&self, found: &mut Found) {
        let words = [
            ("capabilityBoundingSet", &self.capability_bounding_set),
            ("ambientCapabilities", &self.ambient_capabilities),
            ("restrictAddressFamilies", &self.restrict_address_families),
            ("systemCallFilter", &self.system_call_filter),
        ];
        for (field, list) in words {
            found.all(&format!("hardening/{field}"), list.iter().flatten(), is_word, LIST_WORD);
        }
        let paths = [
            ("readWritePaths", &self.read_write_paths),
            ("readOnlyPaths", &self.read_only_paths),
            ("inaccessiblePaths", &self.inaccessible_paths),
        ];
        for (field, list) in paths {
            let is_path = |path: &str| is_absolute(path.trim_start_matches(['-', '+']));
            found.all(&format!("hardening/{field}"), list.iter().flatten(), is_path, ABSOLUTE);
        }
        let is_octal = |text: &str| (1..=4).contains(&text.len()) && text.chars().all(|c| ('0'..='7').contains(&c));
        found.all("hardening/umask", &self.umask, is_octal, "write octal digits, such as `0077`");
    }
}

/// Whether this can be the name of a service.
pub(crate) fn is_service_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.len() <= limits::SERVICE_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
}

fn is_host_name(name: &str) -> bool {
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

fn is_route_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['*', '?', '#', '{', '}']) && is_word(path)
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
