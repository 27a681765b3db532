//! MinIO, a real S3 server: built once by `./x test --interop` from the Go module proxy, started on a loopback port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Guarded, Scratch, free_port, not_run};

const START_LIMIT: Duration = Duration::from_secs(120);
const ATTEMPTS: usize = 3;

/// A running MinIO with an empty disk; stopped and removed when dropped.
pub struct Minio {
    port: u16,
    _server: Guarded,
    _scratch: Scratch,
}

impl Minio {
    /// The access key id it accepts.
    pub const ACCESS_KEY: &'static str = "freehold-test";
    /// The secret key it accepts.
    pub const SECRET_KEY: &'static str = "freehold-test-secret";

    /// Starts it. `None`, after a report through [`not_run`], when it was not built.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            not_run("MinIO", "not built; run scripts/interop-tools minio");
            return None;
        };
        for _ in 0..ATTEMPTS {
            // Another process may take the port between our look and MinIO's bind: then it ends, and we try again.
            if let Some(minio) = Self::start_on(&program, free_port()) {
                return Some(minio);
            }
        }
        panic!("`{}` did not start in {ATTEMPTS} attempts", program.display());
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn start_on(program: &PathBuf, port: u16) -> Option<Self> {
        let scratch = Scratch::new();
        let mut server = Guarded::spawn(
            Command::new(program)
                .args(["server", "--quiet", "--address"])
                .arg(format!("127.0.0.1:{port}"))
                .arg(scratch.dir("disk"))
                .env_clear()
                .env("HOME", scratch.dir("home"))
                .env("MINIO_ROOT_USER", Self::ACCESS_KEY)
                .env("MINIO_ROOT_PASSWORD", Self::SECRET_KEY)
                .env("MINIO_BROWSER", "off")
                .env("MINIO_UPDATE", "off")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if server.wait_at_most(Duration::ZERO).is_some() {
                return None;
            }
            if is_ready(port) {
                return Some(Self { port, _server: server, _scratch: scratch });
            }
            thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let built = cache.join("freehold/interop/bin/minio");
    built.is_file().then_some(built)
}

fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /minio/health/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(String::from_utf8_lossy(&start).into_owned())
    };
    ask().is_ok_and(|start| start.ends_with(" 200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minio_starts_and_stops() {
        let Some(minio) = Minio::start() else {
            return;
        };
        let port = minio.port;
        assert!(is_ready(port));
        drop(minio);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
