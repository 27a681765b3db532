//! The docker CLI: composing a stack out of compose files, and handing a composed one in.
//!
//! `docker stack config` and `docker stack deploy` are the definition of what a compose file means in a Swarm; why they are not
//! written anew here stands in ADR 019. Every call has a limit of time and an environment that is put together here, for
//! variables of the caller must not reach a stack.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use freehold_model::limits;

use crate::child::run_within;
use crate::{Docker, Endpoint, SwarmError, printed};

/// What of the caller's environment the CLI sees when it talks to a daemon.
pub const CLI_ENVIRONMENT: [&str; 11] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
    "HTTPS_PROXY",
];

/// Compose files, as they are to be composed.
#[derive(Debug, Clone, Copy)]
pub struct Compose<'a> {
    /// The directory that they lie in.
    pub directory: &'a Path,
    /// Their paths from there, in order.
    pub files: &'a [String],
    /// What is put into them.
    pub variables: &'a BTreeMap<String, String>,
}

/// How a stack is handed in.
#[derive(Debug, Clone, Copy)]
pub struct Deploy<'a> {
    /// Its name.
    pub stack: &'a str,
    /// The composed document.
    pub file: &'a Path,
    /// Whether services that it no longer has are removed.
    pub prune: bool,
    /// `always`, `changed` or `never`: when registries are asked for digests.
    pub resolve_image: &'a str,
}

impl Compose<'_> {
    /// What `docker stack config` makes of them. No daemon is asked, so that it needs nothing of the caller's environment but the
    /// way to the program: an app's own `DOCKER_HOST` or `HTTPS_PROXY` means the app's.
    ///
    /// # Errors
    /// [`SwarmError::NoCli`], [`SwarmError::Cli`] with its words, [`SwarmError::TooLong`].
    pub fn run(&self) -> Result<String, SwarmError> {
        let printed = self.config(self.files)?;
        let lacks = printed::may_lack_lines(&printed);
        let loses_lines = lacks && self.loses_lines()?;
        let texts: Vec<String> = match loses_lines {
            true => {
                self.files.iter().filter_map(|file| fs_err::read_to_string(self.directory.join(file)).ok()).collect()
            }
            false => Vec::new(),
        };
        let values = self.variables.values().map(String::as_str);
        let may_begin_empty = printed::may_begin_empty(texts.iter().map(String::as_str), values);
        printed::mended(&printed, loses_lines, may_begin_empty).map_err(|text| SwarmError::Unprinted { key: text.key })
    }

    fn config(&self, files: &[String]) -> Result<String, SwarmError> {
        let mut words = vec!["stack", "config"];
        for file in files {
            words.extend(["--compose-file", file]);
        }
        let mut command = command(&words, &[]);
        command.envs(self.variables.iter().filter(|(name, _)| *name != "PATH")).current_dir(self.directory);
        let bytes = end("stack config", &mut command, limits::DOCKER_COMPOSE).map_err(too_old)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether this CLI prints a text without the empty line that it begins with.
    fn loses_lines(&self) -> Result<bool, SwarmError> {
        let name = format!(".printed-{}.yml", std::process::id());
        let path = self.directory.join(&name);
        let text = "version: \"3.8\"\nservices: {app: {image: x, environment: {A: \"\\nfirst\"}}}\n";
        fs_err::write(&path, text).map_err(SwarmError::file("write", &path))?;
        let printed = self.config(&[name]);
        // It lies in a directory of ours, which goes.
        let _ = fs_err::remove_file(&path);
        let printed = printed?;
        let mut lines = printed.lines().skip_while(|line| !line.trim_start().starts_with("A: |"));
        Ok(lines.nth(1).is_some_and(|line| line.trim() == "first"))
    }
}

impl Docker {
    /// Hands a composed stack in, without waiting for its tasks. What the CLI said is returned: warnings, mostly.
    ///
    /// # Errors
    /// [`SwarmError::NoCli`], [`SwarmError::Cli`], [`SwarmError::TooLong`].
    pub fn deploy(&self, deploy: &Deploy<'_>) -> Result<String, SwarmError> {
        let file = deploy.file.display().to_string();
        let mut words = self.endpoint.options();
        words.extend(["stack", "deploy", "--compose-file", &file, "--with-registry-auth"]);
        words.extend(["--resolve-image", deploy.resolve_image]);
        if deploy.prune {
            words.push("--prune");
        }
        words.push(deploy.stack);
        let said = run("stack deploy", &words, limits::DOCKER_DEPLOY)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs a command in a container of this node; what it wrote.
    ///
    /// # Errors
    /// [`SwarmError::Exec`] with its words when it fails, [`SwarmError::TooLong`].
    pub fn exec(&self, service: &str, container: &str, command: &str, limit: Duration) -> Result<Vec<u8>, SwarmError> {
        let mut words = self.endpoint.options();
        words.extend(["exec", container, "/bin/sh", "-c", command]);
        run("exec", &words, limit).map_err(|error| match error {
            SwarmError::Cli { words, .. } => {
                SwarmError::Exec { service: service.to_owned(), command: command.to_owned(), words }
            }
            other => other,
        })
    }

    /// Runs `docker` with the operator's own standard streams, for what follows or is interactive; its exit code.
    ///
    /// # Errors
    /// [`SwarmError::NoCli`].
    pub fn hand_over(endpoint: &Endpoint, words: &[&str]) -> Result<i32, SwarmError> {
        let mut command = Command::new("docker");
        let status = command.args(endpoint.options()).args(words).status();
        Ok(status.map_err(|source| SwarmError::NoCli { source })?.code().unwrap_or(1))
    }
}

/// Before 23 there was no `stack config`; each version of then says so in words of its own.
fn too_old(error: SwarmError) -> SwarmError {
    let is_old = |words: &str| {
        ["unknown flag: --compose-file", "not a docker command", "unknown command"]
            .iter()
            .any(|part| words.contains(part))
    };
    if !matches!(&error, SwarmError::Cli { words, .. } if is_old(words)) {
        return error;
    }
    let said = run("--version", &["--version"], limits::DOCKER_COMPOSE).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split([' ', ',']).find(|word| word.starts_with(|char: char| char.is_ascii_digit()));
    SwarmError::OldCli { version: version.unwrap_or("that is on the PATH").to_owned() }
}

/// Runs `docker` to its end; its standard output.
pub(crate) fn run(name: &'static str, words: &[&str], limit: Duration) -> Result<Vec<u8>, SwarmError> {
    end(name, &mut command(words, &CLI_ENVIRONMENT), limit)
}

/// `docker` with these variables of the caller, where they are set.
fn command(words: &[&str], kept: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(words).env_clear();
    let kept = std::iter::once(&"PATH").chain(kept);
    command.envs(kept.filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    command
}

fn end(name: &'static str, command: &mut Command, limit: Duration) -> Result<Vec<u8>, SwarmError> {
    let ended =
        run_within(command, limit, limits::DOCKER_STACK_BYTES).map_err(|source| SwarmError::NoCli { source })?;
    match ended.well {
        Some(true) => Ok(ended.out),
        Some(false) => {
            let words = complaint(&String::from_utf8_lossy(&ended.err));
            let words = if words.is_empty() { "it failed and said nothing".to_owned() } else { words };
            Err(SwarmError::Cli { command: name, words })
        }
        None => Err(SwarmError::TooLong { action: format!("run `docker {name}`"), seconds: limit.as_secs() }),
    }
}

/// What of its words is no advertisement: before 29 it tells of a default to come whenever a stack is deployed.
fn complaint(words: &str) -> String {
    let is_notice = |line: &str| {
        ["Since --detach=false was not specified", "In a future release, --detach=false"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines: Vec<&str> = words.trim().lines().filter(|line| !is_notice(line)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use super::*;

    #[test]
    fn values_are_what_docker_read_and_not_what_it_printed() {
        if Command::new("docker").args(["stack", "config", "--help"]).output().is_err() {
            freehold_testkit::not_run("composing", "`docker` is missing; apt-get install docker-cli");
            return;
        }
        let scratch = freehold_testkit::Scratch::new();
        let compose = |text: &str, value: &str| {
            scratch.write("compose.yml", format!("version: \"3.8\"\nservices:\n  app:\n    image: x\n{text}"));
            let variables = [("VALUE".to_owned(), value.to_owned())].into();
            let files = ["compose.yml".to_owned()];
            Compose { directory: scratch.path(), files: &files, variables: &variables }.run()
        };
        let text = "    environment:\n      A: |\n\n        first\n      B: \"\\n\\nsecond\"\n      C: ${VALUE}\n";
        let said = compose(text, "12e45678").unwrap();
        for expected in ["A: |2\n\n        first\n", "B: |2-\n\n\n        second\n", "C: \"12e45678\"\n"] {
            assert!(said.contains(expected), "{said}");
        }
        assert!(compose("    environment:\n      - C=${VALUE}\n", "\n third").is_err());
        let said = compose("    environment:\n      - C=${VALUE}\n", "  third\nfourth").unwrap();
        assert!(said.contains("C: |2-\n          third\n        fourth\n"), "{said}");
        let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["compose.yml"]);
    }

    #[test]
    fn variables_mean_those_of_the_app_and_never_the_callers() {
        if Command::new("docker").args(["stack", "config", "--help"]).output().is_err() {
            freehold_testkit::not_run("composing", "`docker` is missing; apt-get install docker-cli");
            return;
        }
        let scratch = freehold_testkit::Scratch::new();
        let text = "version: \"3.8\"\nservices:\n  app:\n    image: x\n    environment:\n      - HOME\n      \
            - HTTPS_PROXY\n      - HOST=${DOCKER_HOST}\n      - CONTEXT=${DOCKER_CONTEXT}\n";
        scratch.write("compose.yml", text);
        let variables = [("DOCKER_HOST", "tcp://proxy:2375"), ("DOCKER_CONTEXT", "of the app"), ("HTTPS_PROXY", "its")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let files = ["compose.yml".to_owned()];
        let said = Compose { directory: scratch.path(), files: &files, variables: &variables }.run().unwrap();
        for expected in ["HOST: tcp://proxy:2375", "CONTEXT: of the app", "HTTPS_PROXY: its", "HOME: null"] {
            assert!(said.contains(expected), "{said}");
        }
    }
}
