//! Running `git`: it asks nothing, it is stopped when it takes too long or too much, and it leaves nothing running.
//!
//! Credentials come from git's own helpers. No remote is kept in a configuration, and no secret is given in an argument.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freehold_model::limits;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::{Settings, SourceError};

/// How often a running git is looked after; at first more often, for most calls are over in a moment.
const TICK: Duration = Duration::from_millis(10);
const FIRST_TICK: Duration = Duration::from_millis(1);
/// How often the size of what it writes is looked at.
const SIZE_TICK: Duration = Duration::from_millis(250);

/// Variables that would let a git that calls us, or a shell's leftovers, say where we work.
const NOT_INHERITED: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_CURL_VERBOSE",
];

/// One call of git.
pub(crate) struct Git<'a> {
    /// What it is for, as in "git cannot `what`".
    pub(crate) what: &'static str,
    pub(crate) limit: Duration,
    pub(crate) settings: &'a Settings,
    /// A lock that lasts as long as git does, even when this process is killed.
    pub(crate) lock: Option<&'a File>,
    /// A directory that must not grow beyond a size.
    pub(crate) watched: Option<(&'a Path, u64)>,
    /// Bytes of output that are taken.
    pub(crate) output: u64,
}

/// What git answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// What it complained of, on one line.
    pub(crate) reason: String,
}

impl<'a> Git<'a> {
    /// A question about what is on this machine.
    pub(crate) fn local(what: &'static str, settings: &'a Settings) -> Self {
        let output = limits::RECIPE_TREE_BYTES + limits::RECIPE_TREE_FILES as u64 * 1024;
        Self { what, limit: limits::RECIPE_READ, settings, lock: None, watched: None, output }
    }

    /// Runs git in a directory, and takes any other end than success for a failure.
    pub(crate) fn ask<I: AsRef<OsStr>>(
        &self,
        dir: &Path,
        args: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Result<Vec<u8>, SourceError> {
        let answer = self.run(dir, args, input)?;
        if answer.status.success() {
            return Ok(answer.stdout);
        }
        Err(SourceError::Git { what: self.what, reason: answer.reason })
    }

    /// Runs git in a directory.
    pub(crate) fn run<I: AsRef<OsStr>>(
        &self,
        dir: &Path,
        args: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Result<Answer, SourceError> {
        let mut command = command(dir, &self.settings.git_settings);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.stdin(match self.lock.map(File::try_clone).transpose() {
            Ok(Some(lock)) if input.is_empty() => lock.into(),
            _ if input.is_empty() => Stdio::null(),
            _ => Stdio::piped(),
        });
        let mut child = command.spawn().map_err(|source| SourceError::Start { source })?;
        if let Some(mut pipe) = child.stdin.take() {
            let input = input.to_vec();
            // git may end before it has read everything; the answer tells.
            std::thread::spawn(move || pipe.write_all(&input));
        }
        let stdout = collect(child.stdout.take(), self.output);
        let stderr = collect(child.stderr.take(), limits::RECIPE_STDERR_BYTES as u64);
        let ended = self.follow(&child);
        // What is left of its group would hold the pipes open, and the lock.
        kill(&child);
        let status = child.wait().map_err(|source| SourceError::Start { source });
        let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        ended?;
        let status = status?;
        if stdout.len() as u64 > self.output {
            return Err(SourceError::Git {
                what: self.what,
                reason: format!("it gave more than {} bytes", self.output),
            });
        }
        Ok(Answer { status, stdout, reason: reason(&String::from_utf8_lossy(&stderr), status) })
    }

    /// Waits for the end, within the limits.
    fn follow(&self, child: &Child) -> Result<(), SourceError> {
        let started = Instant::now();
        let mut measured = started;
        let mut tick = FIRST_TICK;
        while !has_ended(child)? {
            if self.settings.stop.load(Ordering::Relaxed) {
                return Err(SourceError::Stopped { what: self.what });
            }
            if started.elapsed() > self.limit {
                return Err(SourceError::TimedOut { what: self.what, seconds: self.limit.as_secs() });
            }
            if measured.elapsed() > SIZE_TICK {
                measured = Instant::now();
                if let Some((_, most)) = self.watched.filter(|(dir, most)| size_of(dir) > *most) {
                    return Err(SourceError::Git {
                        what: self.what,
                        reason: format!("it is larger than {most} bytes"),
                    });
                }
            }
            std::thread::sleep(tick);
            tick = (tick * 2).min(TICK);
        }
        Ok(())
    }
}

fn command(dir: &Path, settings: &[String]) -> Command {
    let mut command = Command::new("git");
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command.current_dir(dir).env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    // Nothing that a repository brings is run, and nothing is tidied up behind our back.
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "protocol.ext.allow=never",
        "gc.auto=0",
        "maintenance.auto=false",
    ] {
        command.args(["-c", setting]);
    }
    for setting in settings {
        command.args(["-c", setting]);
    }
    command
}

/// Whether a child has ended. It is not reaped yet, so that its group cannot be anybody else's.
fn has_ended(child: &Child) -> Result<bool, SourceError> {
    let Some(id) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return Ok(true) };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(id), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(SourceError::Start { source: error.into() }),
    }
}

fn kill(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Reads a pipe to its end and keeps one byte more than `most`, so that too much can be told.
fn collect(pipe: Option<impl Read + Send + 'static>, most: u64) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(most + 1).read_to_end(&mut bytes);
            // The rest is let go by, so that git does not wait for us.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}

/// The size of all files below a directory; what vanishes meanwhile does not count.
pub(crate) fn size_of(dir: &Path) -> u64 {
    let mut size = 0;
    let mut next = vec![dir.to_owned()];
    while let Some(dir) = next.pop() {
        for entry in fs_err::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => next.push(entry.path()),
                Ok(metadata) => size += metadata.len(),
                Err(_) => {}
            }
        }
    }
    size
}

/// The lines of a complaint that say why, without secrets that a URL may hold.
fn reason(stderr: &str, status: ExitStatus) -> String {
    let lines: Vec<&str> =
        stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:")).collect();
    let said = lines
        .iter()
        .filter(|line| line.starts_with("fatal:") || line.starts_with("error:") || line.starts_with("remote:"));
    let mut said: Vec<&str> = said.copied().collect();
    if said.is_empty() {
        said.extend(lines.last());
    }
    let text = said
        .iter()
        .map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: "))
        .collect::<Vec<_>>()
        .join("; ");
    if text.is_empty() { format!("it ended with {status} and said nothing") } else { without_userinfo(&text) }
}

/// A text in which no URL has a user or password any more.
pub(crate) fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end =
            after.find(|char: char| char.is_whitespace() || matches!(char, '/' | '\'' | '"')).unwrap_or(after.len());
        rest = after[..end].rfind('@').map_or(after, |at| &after[at + 1..]);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_line_without_secrets() {
        let status = std::os::unix::process::ExitStatusExt::from_raw(128 << 8);
        let text = "Cloning…\nremote: Repository not found.\nfatal: unable to access 'https://me:s3cret@git.example.org/x/': 403\nhint: try\n";
        assert_eq!(
            reason(text, status),
            "remote: Repository not found.; unable to access 'https://git.example.org/x/': 403"
        );
        assert_eq!(reason("", status), "it ended with exit status: 128 and said nothing");
        assert_eq!(without_userinfo("ssh://git@host/a https://x/y@z"), "ssh://host/a https://x/y@z");
    }

    #[test]
    fn git_is_stopped_when_it_takes_too_long_or_too_much() {
        let dir = freehold_testkit::Scratch::new();
        let settings = Settings::new(dir.path(), dir.path());
        let slow = Git { limit: Duration::from_millis(200), ..Git::local("wait", &settings) };
        let args = ["-c", "alias.wait=!sleep 600 & sleep 600", "wait"];
        let error = slow.run(dir.path(), args, b"").unwrap_err();
        assert!(matches!(error, SourceError::TimedOut { .. }), "{error}");
        let loud = Git { output: 100, ..Git::local("talk", &settings) };
        let error = loud.run(dir.path(), ["-c", "alias.talk=!head -c 1000 /dev/zero", "talk"], b"").unwrap_err();
        assert_eq!(error.to_string(), "git cannot talk: it gave more than 100 bytes");
        let file = dir.path().to_str().unwrap().to_owned() + "/large";
        let grow = format!("alias.grow=!head -c 100000 /dev/zero > {file}; sleep 600");
        let growing = Git { watched: Some((dir.path(), 1000)), ..Git::local("grow", &settings) };
        let error = growing.run(dir.path(), ["-c", &grow, "grow"], b"").unwrap_err();
        assert_eq!(error.to_string(), "git cannot grow: it is larger than 1000 bytes");
        settings.stop.store(true, Ordering::Relaxed);
        let error = Git::local("wait", &settings).run(dir.path(), args, b"").unwrap_err();
        assert!(matches!(error, SourceError::Stopped { .. }), "{error}");
    }

    #[test]
    fn what_git_leaves_running_does_not_outlive_it() {
        let dir = freehold_testkit::Scratch::new();
        let settings = Settings::new(dir.path(), dir.path());
        let args = ["-c", "alias.leave=!sleep 600 & echo $!", "leave"];
        let answer = Git::local("leave", &settings).run(dir.path(), args, b"").unwrap();
        let left = Path::new("/proc").join(String::from_utf8(answer.stdout).unwrap().trim());
        let started = Instant::now();
        // Whoever adopts it reaps it in his own time; a zombie has no command line.
        while !std::fs::read(left.join("cmdline")).unwrap_or_default().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(300), "it runs on");
            std::thread::sleep(TICK);
        }
    }
}
