//! Running a program to its end: its input and outputs flow at the same time, so that no size can block it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use freehold_protocol::v1::LogLevel;
use freehold_provider::sdk::{Context, Failure};

/// Most bytes of standard output that are kept as an output.
const OUTPUT_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of standard error that are kept for a message.
const TALK_BYTES: usize = 8 * 1024;
/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long a program may take to end after it was asked to.
const STOP: Duration = Duration::from_secs(3);
/// How long the outputs of a program that has ended may still flow: something that it started may hold them open.
const PIPES_AFTER_EXIT: Duration = Duration::from_secs(2);

/// What is to be run.
pub(crate) struct Program<'a> {
    pub(crate) executable: &'a str,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    pub(crate) stdin: Option<String>,
    pub(crate) timeout: Option<Duration>,
}

/// A program that has ended by itself.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs it to its end. Its standard error is passed on line by line.
pub(crate) fn run(ctx: &Context, program: Program<'_>) -> Result<Ended, Failure> {
    let mut child = spawn(ctx, &program)?;
    let (done, pipes) = mpsc::channel();
    if let (Some(text), Some(mut stdin)) = (program.stdin, child.stdin.take()) {
        // A program that does not read its input is not at fault.
        thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    }
    let stdout = Arc::new(Mutex::new(Vec::new()));
    if let Some(pipe) = child.stdout.take() {
        let (stdout, done) = (Arc::clone(&stdout), done.clone());
        thread::spawn(move || {
            collect(pipe, &stdout);
            let _ = done.send(None);
        });
    }
    if let Some(pipe) = child.stderr.take() {
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                if done.send(Some(String::from_utf8_lossy(&line).into_owned())).is_err() {
                    break;
                }
            }
            let _ = done.send(None);
        });
    }
    let mut talk = String::new();
    let status = wait(ctx, &mut child, program.timeout, &pipes, &mut talk)?;
    let stdout = std::mem::take(&mut *stdout.lock().unwrap_or_else(PoisonError::into_inner));
    if stdout.len() > OUTPUT_BYTES {
        return Err(Failure::user(format!("`{}` wrote more than {OUTPUT_BYTES} bytes", program.executable))
            .hint("let it write into a file, and use the file"));
    }
    Ok(Ended { status, stdout, stderr: talk })
}

/// How a program ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "no exit status".to_owned(),
    }
}

fn spawn(ctx: &Context, program: &Program<'_>) -> Result<Child, Failure> {
    let executable = if program.executable.contains('/') {
        ctx.resolve(program.executable)
    } else {
        PathBuf::from(program.executable)
    };
    Command::new(&executable)
        .args(program.args)
        .envs(program.env)
        .current_dir(&program.cwd)
        .stdin(if program.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_start(&executable, &program.cwd, &error))
}

fn cannot_start(executable: &Path, cwd: &Path, error: &io::Error) -> Failure {
    let shown = executable.display();
    match error.kind() {
        io::ErrorKind::NotFound if !cwd.is_dir() => {
            Failure::user(format!("there is no directory `{}` to run `{shown}` in", cwd.display())).at("cwd")
        }
        io::ErrorKind::NotFound => Failure::user(format!("there is no program `{shown}`"))
            .hint("give its absolute path, or a derivation's: \"${pkgs.hello}/bin/hello\"")
            .at("executable"),
        io::ErrorKind::PermissionDenied => {
            Failure::user(format!("`{shown}` may not be executed")).hint(format!("chmod +x {shown}")).at("executable")
        }
        _ => Failure::host(format!("`{shown}` cannot be started")).because(error),
    }
}

fn collect(mut pipe: impl Read, into: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                // One byte beyond the limit shows that there was too much; the rest is only drained.
                let room = (OUTPUT_BYTES + 1).saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..read.min(room)]);
            }
        }
    }
}

fn wait(
    ctx: &Context,
    child: &mut Child,
    timeout: Option<Duration>,
    pipes: &mpsc::Receiver<Option<String>>,
    talk: &mut String,
) -> Result<ExitStatus, Failure> {
    let started = Instant::now();
    let mut open = 2;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match pipes.recv_timeout(TICK) {
            Ok(Some(line)) => hear(ctx, talk, &line),
            Ok(None) => open -= 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = 0,
        }
        match ended {
            Some((status, at)) if open == 0 || at.elapsed() > PIPES_AFTER_EXIT => return Ok(status),
            Some(_) => {}
            None => {
                if let Some(status) = child.try_wait()? {
                    ended = Some((status, Instant::now()));
                } else if ctx.is_cancelled() {
                    stop(child);
                    return Err(Failure::cancelled());
                } else if let Some(limit) = timeout.filter(|limit| started.elapsed() > *limit) {
                    stop(child);
                    let seconds = limit.as_secs_f32();
                    return Err(Failure::transient(format!("the program did not end within {seconds} s"))
                        .hint("raise `timeoutSeconds`"));
                }
            }
        }
        if open == 0 && ended.is_none() {
            thread::sleep(TICK.min(Duration::from_millis(2)));
        }
    }
}

fn hear(ctx: &Context, talk: &mut String, line: &str) {
    ctx.log(LogLevel::Info, line);
    talk.push_str(line);
    talk.push('\n');
    if talk.len() > TALK_BYTES {
        let cut = talk.len() - TALK_BYTES;
        let cut = (cut..talk.len()).find(|at| talk.is_char_boundary(*at)).unwrap_or(talk.len());
        talk.drain(..cut);
    }
}

/// Asks it to end, and kills it when it does not.
fn stop(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It is not reaped, so the number is its own; that it has ended meanwhile does no harm.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < STOP {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(TICK);
    }
    let _ = child.kill();
    let _ = child.wait();
}
