//! A program that must end with 0.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freehold_rollout::Exec;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;

use super::ProbeTarget;

/// Most of what it says that becomes part of a reason.
const SAID_BYTES: u64 = 1024;
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
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(POLL),
            Ok(None) => {
                kill(&mut child);
                return Err(format!("`{program}` did not end within {} s", limit.as_secs()));
            }
            Err(error) => return Err(format!("`{program}` cannot be waited for: {error}")),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // Words for a person; what is no text is of no use to one.
        let _ = stderr.take(SAID_BYTES).read_to_string(&mut said);
    }
    let said = said.trim();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Err(format!("`{program}` ended with {status}{said}"))
}

fn kill(child: &mut std::process::Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // Gone already is as good.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}
