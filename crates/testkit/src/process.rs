//! Child processes that never outlive their test, with a limit on every wait.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);

/// The root of the checkout that the test was compiled from.
#[must_use]
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or_else(|| panic!("the testkit is not two folders below the repository"))
        .to_owned()
}

/// A port on the loopback interface that was free a moment ago.
///
/// Another process could take it before the caller does: whoever starts a server with it retries with another one.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|error| panic!("no free port on the loopback interface: {error}"))
        .port()
}

/// A child in a process group of its own; the whole group is killed and the child reaped when this is dropped.
pub struct Guarded {
    child: Child,
}

impl Guarded {
    /// Starts the command in a new process group.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        command.process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child }
    }

    /// The child itself: its id, its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits at most `limit`; `None` when it still runs.
    pub fn wait_at_most(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() >= deadline => return None,
                Ok(None) => thread::sleep(POLL),
                Err(error) => panic!("cannot wait for process {}: {error}", self.child.id()),
            }
        }
    }

    /// Sends a signal (`"TERM"`, `"INT"`, `"KILL"`) to the child alone.
    pub fn signal(&self, name: &str) {
        send(name, &self.child.id().to_string());
    }

    /// Sends a signal to the child and everything it started in its process group.
    pub fn signal_group(&self, name: &str) {
        send(name, &format!("-{}", self.child.id()));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The group may live on without its leader, whose id stays taken as long as it does: kill first, reap then.
        self.signal_group("KILL");
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and returns what it printed; kills its group and panics after `limit`.
pub fn run_limited(command: &mut Command, input: &[u8], limit: Duration) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut guarded = Guarded::spawn(command);
    let child = guarded.child();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = input.to_vec();
    // A child may end without reading its input: a broken pipe is not our failure.
    let writer = thread::spawn(move || stdin.map(|mut pipe| std::io::Write::write_all(&mut pipe, &input)));
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let Some(status) = guarded.wait_at_most(limit) else {
        panic!("{command:?} still runs after {} s", limit.as_secs());
    };
    // What survives in the group would hold the pipes open.
    guarded.signal_group("KILL");
    let _ = writer.join();
    Output { status, stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn send(signal: &str, target: &str) {
    // The group may be gone already: then there is nothing left to do.
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), "--", target])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_exit_code_come_back() {
        let output =
            run_limited(Command::new("sh").args(["-c", "cat; echo no >&2; exit 3"]), b"in", Duration::from_secs(60));
        assert_eq!(output.stdout, b"in");
        assert_eq!(output.stderr, b"no\n");
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    #[should_panic(expected = "still runs after")]
    fn a_command_that_hangs_is_killed() {
        run_limited(Command::new("sleep").arg("600"), b"", Duration::from_millis(50));
    }

    #[test]
    fn a_grandchild_dies_with_its_guard() {
        let mut guarded =
            Guarded::spawn(Command::new("sh").args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped()));
        let mut line = String::new();
        let stdout = guarded.child().stdout.take().map(std::io::BufReader::new);
        if let Some(mut stdout) = stdout {
            std::io::BufRead::read_line(&mut stdout, &mut line).unwrap_or_default();
        }
        let grandchild = PathBuf::from("/proc").join(line.trim());
        assert!(grandchild.exists(), "`{}` should run", grandchild.display());
        drop(guarded);
        let deadline = Instant::now() + Duration::from_secs(60);
        // Reaping is up to its new parent; a zombie has no command line.
        while !std::fs::read(grandchild.join("cmdline")).unwrap_or_default().is_empty() {
            assert!(Instant::now() < deadline, "it survived");
            thread::sleep(POLL);
        }
    }
}
