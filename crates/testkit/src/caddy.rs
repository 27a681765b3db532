//! Real Caddys, fetched once by `scripts/interop-tools caddy caddy-2.6`, started on ports that are free.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Guarded, Scratch, not_run};

const START_LIMIT: Duration = Duration::from_secs(120);

/// A version of Caddy that is there.
#[derive(Debug, Clone)]
pub struct CaddyProgram {
    /// `caddy` (the recent one) or `caddy-2.6` (Debian's).
    pub name: &'static str,
    path: PathBuf,
}

impl CaddyProgram {
    /// Every version that was fetched; those that were not are reported through [`not_run`].
    #[must_use]
    pub fn all(what: &str) -> Vec<Self> {
        let mut found = Vec::new();
        for name in ["caddy", "caddy-2.6"] {
            match fetched(name) {
                Some(path) => found.push(Self { name, path }),
                None => {
                    not_run(&format!("{what} with {name}"), &format!("not fetched; run scripts/interop-tools {name}"))
                }
            }
        }
        found
    }
}

/// A running Caddy with a home of its own; killed when dropped.
pub struct CaddyServer {
    program: CaddyProgram,
    admin: String,
    scratch: Scratch,
    server: Option<Guarded>,
}

impl CaddyServer {
    /// Starts it with a configuration (JSON) whose admin API listens at `admin`: `127.0.0.1:PORT` or `unix/PATH`.
    #[must_use]
    pub fn start(program: &CaddyProgram, admin: &str, config: &str) -> Self {
        let scratch = Scratch::new();
        scratch.write("config.json", config);
        let mut caddy = Self { program: program.clone(), admin: admin.to_owned(), scratch, server: None };
        caddy.run();
        caddy
    }

    /// Kills it and starts it with what it was started with first: what came by the admin API is gone.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// What it wrote to its log since the last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.scratch.read("log")
    }

    /// The root certificate of its internal authority, PEM; it is made with the first certificate.
    #[must_use]
    pub fn internal_root(&self) -> PathBuf {
        self.scratch.join("data/caddy/pki/authorities/local/root.crt")
    }

    fn run(&mut self) {
        let log = std::fs::File::create(self.scratch.join("log"))
            .unwrap_or_else(|error| panic!("cannot make a log for Caddy: {error}"));
        let mut server = Guarded::spawn(
            Command::new(&self.program.path)
                .args(["run", "--config"])
                .arg(self.scratch.join("config.json"))
                .env_clear()
                .env("HOME", self.scratch.path())
                .env("XDG_DATA_HOME", self.scratch.dir("data"))
                .env("XDG_CONFIG_HOME", self.scratch.dir("config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log),
        );
        let deadline = Instant::now() + START_LIMIT;
        while !self.listens() {
            let has_ended = server.wait_at_most(Duration::from_millis(10)).is_some();
            assert!(!has_ended && Instant::now() < deadline, "{} did not start:\n{}", self.program.name, self.log());
            thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(server);
    }

    /// The admin API begins to listen before the configuration is loaded; the log says when that is done.
    fn listens(&self) -> bool {
        let connects = match self.admin.strip_prefix("unix/") {
            Some(path) => UnixStream::connect(path).is_ok(),
            None => TcpStream::connect(&self.admin).is_ok(),
        };
        connects && self.log().contains("serving initial configuration")
    }
}

fn fetched(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let path = cache.join("freehold/interop/bin").join(name);
    path.is_file().then_some(path)
}
