//! Recipes in the real format for every app in `nix/apps`, made from one table; their programs are `stub/service.rs`.
//!
//! Services, volumes and secrets are those that the maintainers' recipe CI tells of each recipe (its compose files themselves are not
//! at hand); where it tells no names, they are the usual ones of the upstream image, unverified. Health paths and codes are not
//! here: they come from `nix/apps`, and what does not fit them fails the test.
#![allow(dead_code, reason = "each test uses a part of it")]

mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use freehold_testkit::run_limited;

use table::Service;
pub(crate) use table::{ALL, Stub};

/// The image that every name of an image is a tag of.
pub(crate) const IMAGE: &str = "freehold-service:1";
const LIMIT: Duration = Duration::from_secs(300);

/// How a version of an app behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// As its gate wants it.
    Healthy,
    /// It runs, and answers with this code instead; 0 takes no connections.
    Answers(u16),
}

/// The stub of a recipe.
pub(crate) fn stub(recipe: &str) -> &'static Stub {
    ALL.iter().find(|stub| stub.recipe == recipe).unwrap_or_else(|| panic!("there is no stub of {recipe}"))
}

impl Stub {
    /// Names of images that it wants.
    pub(crate) fn images(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().map(|service| service.image)
    }

    /// Publishes a version below `recipes`, as an annotated tag.
    pub(crate) fn publish(&self, recipes: &Path, version: &str, behaviour: Behaviour) {
        let directory = recipes.join(self.recipe);
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in self.files(version, behaviour) {
            std::fs::write(directory.join(name), text).unwrap();
        }
        commit(&directory, version);
    }

    fn files(&self, version: &str, behaviour: Behaviour) -> BTreeMap<String, String> {
        let mut files = BTreeMap::from([
            ("compose.yml".to_owned(), self.compose(version, behaviour)),
            (".env.sample".to_owned(), self.sample()),
            ("abra.sh".to_owned(), String::new()),
            ("compose.port.yml".to_owned(), self.ports()),
        ]);
        if self.has_ports_file {
            files.insert(
                "compose.host-ports.yml".to_owned(),
                format!("version: \"3.8\"\n\nservices:\n  app:\n{}", ports(self.host_ports)),
            );
        }
        files
    }

    fn sample(&self) -> String {
        let mut text = format!(
            "TYPE={}\n\nDOMAIN={}.example.com\n\n## Domain aliases\n#EXTRA_DOMAINS=', `www.{}.example.com`'\n\nLETS_ENCRYPT_ENV=production\n\n\
             ENABLE_BACKUPS=true\n\n",
            self.recipe, self.recipe, self.recipe
        );
        for (name, modifiers) in self.secrets {
            text += &format!("SECRET_{}_VERSION=v1{modifiers}\n", name.to_uppercase());
        }
        for (name, value) in self.env {
            text += &format!("{name}={value}\n");
        }
        text
    }

    fn compose(&self, version: &str, behaviour: Behaviour) -> String {
        let mut text = "version: \"3.8\"\n\nservices:\n".to_owned();
        for service in self.services {
            text += &self.service(service, version, behaviour);
        }
        text += "\nnetworks:\n  proxy:\n    external: true\n  internal:\n";
        let volumes: Vec<&str> = self.services.iter().flat_map(|one| one.volumes).map(|(name, _)| *name).collect();
        let mut seen = Vec::new();
        for name in volumes {
            if seen.contains(&name) {
                continue;
            }
            if seen.is_empty() {
                text += "\nvolumes:\n";
            }
            seen.push(name);
            text += &match name.strip_prefix("external:") {
                Some(name) => format!("  {name}:\n    external: true\n    name: ${{TRAEFIK_STACK_NAME}}_{name}\n"),
                None => format!("  {name}:\n"),
            };
        }
        if !self.secrets.is_empty() {
            text += "\nsecrets:\n";
        }
        for (name, _) in self.secrets {
            let variable = name.to_uppercase();
            text += &format!(
                "  {name}:\n    external: true\n    name: ${{STACK_NAME}}_{name}_${{SECRET_{variable}_VERSION}}\n"
            );
        }
        text
    }

    fn service(&self, service: &Service, version: &str, behaviour: Behaviour) -> String {
        let app = version.split('+').nth(1).unwrap_or(version);
        let is_app = service.name == "app";
        let mut environment = vec![format!("VERSION={app}")];
        let mut listen: Vec<String> = service.listen.iter().map(ToString::to_string).collect();
        match (service.health, behaviour) {
            // Only the app's own answer is ever wrong.
            (Some((path, body)), Behaviour::Answers(status)) if is_app => {
                environment.extend([format!("HEALTH={path}"), format!("STATUS={status}"), format!("BODY={body}")]);
            }
            (Some((path, body)), _) => {
                environment.extend([format!("HEALTH={path}"), "STATUS=200".to_owned(), format!("BODY={body}")]);
            }
            (None, Behaviour::Answers(_)) if is_app => listen.clear(),
            (None, _) => {}
        }
        let data: Vec<&str> =
            service.volumes.iter().filter(|(name, _)| !name.contains(':')).map(|(_, at)| *at).collect();
        environment.extend([
            format!("DATA={}", data.join(" ")),
            format!("LISTEN={}", listen.join(" ")),
            format!("SECRETS={}", service.secrets.join(" ")),
        ]);
        let mut text = format!("  {}:\n    image: \"{}\"\n    environment:\n", service.name, service.image);
        // As YAML takes it, whatever is in it.
        environment.iter().for_each(|one| text += &format!("      - '{one}'\n"));
        text += if is_app { "    networks: [proxy, internal]\n" } else { "    networks: [internal]\n" };
        if !service.volumes.is_empty() {
            text += "    volumes:\n";
            let named = service
                .volumes
                .iter()
                .map(|(name, at)| format!("      - {}:{at}\n", name.trim_start_matches("external:")));
            text.extend(named);
        }
        if !service.secrets.is_empty() {
            text += &format!("    secrets: [{}]\n", service.secrets.join(", "));
        }
        text += "    deploy:\n      endpoint_mode: dnsrr\n      restart_policy: {condition: on-failure, delay: 1s}\n      \
                 update_config: {order: stop-first, monitor: 1s}\n";
        if service.is_once {
            text += "      replicas: 0\n";
        }
        if is_app {
            text += &labels(version);
        }
        if is_app && !self.has_ports_file && !self.host_ports.is_empty() {
            text += &ports(self.host_ports);
        }
        text
    }

    /// Where the gate finds it without a proxy; not a part of the real recipes.
    fn ports(&self) -> String {
        let mut text = "version: \"3.8\"\n\nservices:\n".to_owned();
        for service in self.services.iter().filter(|service| service.health.is_some() || service.name == "app") {
            let variable = if service.name == "app" { "HEALTH_PORT" } else { "PROBE_PORT" };
            text += &format!(
                "  {}:\n    ports:\n      - target: 8080\n        published: ${{{variable}}}\n        mode: host\n",
                service.name
            );
        }
        text
    }
}

fn labels(version: &str) -> String {
    let mut text = "      labels:\n".to_owned();
    for label in [
        "traefik.enable=true".to_owned(),
        "traefik.http.services.${STACK_NAME}.loadbalancer.server.port=8080".to_owned(),
        "traefik.http.routers.${STACK_NAME}.rule=Host(`${DOMAIN}`${EXTRA_DOMAINS})".to_owned(),
        "traefik.http.routers.${STACK_NAME}.entrypoints=web-secure".to_owned(),
        "traefik.http.routers.${STACK_NAME}.tls=true".to_owned(),
        "traefik.http.routers.${STACK_NAME}.tls.certresolver=${LETS_ENCRYPT_ENV}".to_owned(),
        "backupbot.backup=${ENABLE_BACKUPS:-true}".to_owned(),
        format!("coop-cloud.${{STACK_NAME}}.version={version}"),
        "coop-cloud.${STACK_NAME}.timeout=${TIMEOUT:-300}".to_owned(),
    ] {
        text += &format!("        - \"{label}\"\n");
    }
    text
}

fn ports(ports: &[u16]) -> String {
    let mut text = "    ports:\n".to_owned();
    for port in ports {
        text += &format!("      - target: {port}\n        published: {port}\n        mode: host\n");
    }
    text
}

/// Commits what is in a directory, and tags it.
pub(crate) fn commit(directory: &Path, version: &str) {
    for words in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--allow-empty", "--message", version],
        &["tag", "--annotate", "--message", version, version],
    ] {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(words);
        let output = run_limited(command.current_dir(directory), b"", LIMIT);
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Builds the program into `to`: static, so that it runs in an image of its own.
pub(crate) fn build_service(to: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stub/service.rs");
    let mut command = Command::new("rustc");
    command.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort", "-o"]);
    let output = run_limited(command.arg(to).arg(source), b"", LIMIT);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
