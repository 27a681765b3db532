//! Running a program to its end: its input and outputs flow at the same time, so that no size can block it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use freehold_protocol::v1::{LogLevel, OutputStream};
use freehold_provider::program::{self, Wish};
use freehold_provider::sdk::{Context, Failure};

/// Most bytes of standard output that are kept as an output.
const OUTPUT_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of standard error that are kept for a message, and most of one line that is passed on.
const TALK_BYTES: usize = 8 * 1024;

/// What is to be run.
pub(crate) struct Program<'a> {
    pub(crate) executable: &'a str,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    pub(crate) stdin: Option<String>,
    pub(crate) timeout: Option<Duration>,
    /// Whether what it says may hold secrets: then it is neither passed on nor kept.
    pub(crate) secret: bool,
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
    let mut stdout = Vec::new();
    let mut talk = Talk { ctx, secret: program.secret, line: Vec::new(), kept: String::new() };
    let wish = || if ctx.is_cancelled() { Wish::Stop } else { Wish::GoOn };
    let ended = program::follow(&mut child, program.stdin, program.timeout, &wish, &mut |stream, data| match stream {
        OutputStream::Stdout => {
            // One byte beyond the limit shows that there was too much; the rest is only drained.
            let room = (OUTPUT_BYTES + 1).saturating_sub(stdout.len());
            stdout.extend_from_slice(&data[..data.len().min(room)]);
        }
        OutputStream::Stderr => talk.hear(data),
    })?;
    talk.end_line();
    let status = match ended {
        program::Ended::Exited(status) => status,
        program::Ended::Stopped => return Err(Failure::cancelled()),
        program::Ended::TimedOut(limit) => {
            let seconds = limit.as_secs_f32();
            // Not transient: what it did until then would be done again, unasked.
            return Err(
                Failure::host(format!("the program did not end within {seconds} s")).hint("raise `timeoutSeconds`")
            );
        }
    };
    if stdout.len() > OUTPUT_BYTES {
        return Err(Failure::user(format!("`{}` wrote more than {OUTPUT_BYTES} bytes", program.executable))
            .hint("let it write into a file, and use the file"));
    }
    Ok(Ended { status, stdout, stderr: talk.kept })
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

/// What a program says on its standard error.
struct Talk<'a> {
    ctx: &'a Context,
    secret: bool,
    line: Vec<u8>,
    kept: String,
}

impl Talk<'_> {
    fn hear(&mut self, data: &[u8]) {
        if self.secret {
            return;
        }
        for byte in data {
            if *byte == b'\n' || self.line.len() >= TALK_BYTES {
                self.pass_on();
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        self.ctx.log(LogLevel::Info, line.as_ref());
        self.kept.push_str(&line);
        self.kept.push('\n');
        if self.kept.len() > TALK_BYTES {
            let cut = self.kept.len() - TALK_BYTES;
            let cut = (cut..self.kept.len()).find(|at| self.kept.is_char_boundary(*at)).unwrap_or(self.kept.len());
            self.kept.drain(..cut);
        }
    }
}
