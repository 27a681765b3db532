//! A program that must end with 0.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use freehold_rollout::Exec;
use std::io::Read;
use std::os::unix::process::CommandExt as _;

use super::ProbeTarget;

/// Most of what it says that becomes part of a reason.
const SAID_BYTES: u64 = 1024;
/// How long its last words may take to arrive: at once, unless the host is busy, or somebody it has left behind holds the other end.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

pub(super) fn look(exec: &Exec, target: &ProbeTarget, limit: Duration) -> Result<(), String> {
    let Some((program, args)) = exec.command.split_first() else { return Err("the gate names no program".to_owned()) };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(target.env.iter().cloned());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    if let Some(dir) = target.dir.as_ref().filter(|dir| dir.is_dir()) {
        command.current_dir(dir);
    }
    let mut child = command.spawn().map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    // Read all along, so that it is not kept waiting; whatever it has started may hold the other end for longer than it lives.
    let (words, heard) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || listen(stderr, &words));
    }
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < end => std::thread::sleep(POLL),
            ended => break ended,
        }
    };
    // What it has left behind ends with it.
    kill(&mut child);
    match status {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => {
            let said = heard.recv_timeout(LAST_WORDS).unwrap_or_default();
            let said = said.trim();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            Err(format!("`{program}` ended with {status}{said}"))
        }
        Ok(None) => Err(format!("`{program}` did not end within {} s", limit.as_secs())),
        Err(error) => Err(format!("`{program}` cannot be waited for: {error}")),
    }
}

/// Sends the beginning of what is said when all is said; the rest is read and thrown away.
fn listen(mut stderr: impl Read, words: &mpsc::Sender<String>) {
    let mut said = Vec::new();
    // Words for a person: what cannot be read is of no use to one.
    let _ = stderr.by_ref().take(SAID_BYTES).read_to_end(&mut said);
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    let _ = words.send(String::from_utf8_lossy(&said).into_owned());
}

/// Ends a program and everything in its process group.
fn kill(child: &mut std::process::Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // Gone already is as good.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}
