//! `freehold init`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use freehold_state::{Keys, RECIPIENTS_FILE, STATE_DIRECTORY};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::places::{self, WORK_DIRECTORY};
use crate::render::style::{self, paint};
use crate::render::summary;
use crate::session::Session;

/// Start a deployment: writes freehold.nix and says what to type next
///
/// Also writes a .gitignore for what must not be committed, and makes the keys that secrets in the state are encrypted for. What is
/// there already is never overwritten.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where; made when it is not there
    #[arg(value_name = "DIR", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
    /// What to begin with
    #[arg(long, value_enum, default_value_t = Template::Hello)]
    template: Template,
}

/// What a new deployment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// A value that flows into a file, and its path into a program
    Hello,
    /// No members yet
    Empty,
    /// The hello deployment as a flake
    Flake,
}

const HELLO: &str = include_str!("../templates/hello.nix");
const EMPTY: &str = include_str!("../templates/empty.nix");
const FLAKE: &str = include_str!("../templates/flake.nix");

impl Template {
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Hello => &[("freehold.nix", HELLO)],
            Self::Empty => &[("freehold.nix", EMPTY)],
            Self::Flake => &[("flake.nix", FLAKE), ("deployment.nix", HELLO)],
        }
    }
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let cwd = session.cwd()?;
    let dir = if args.dir == Path::new(".") { cwd } else { cwd.join(&args.dir) };
    let taken =
        ["freehold.nix", "nixops4.nix", "flake.nix", "deployment.nix"].iter().map(|f| dir.join(f)).find(|f| f.exists());
    if let Some(file) = taken {
        return Err(Failure::user(format!("there is a deployment already: `{}`", file.display()))
            .hint("`freehold plan` shows what it would do; `freehold init DIR` starts another one elsewhere"));
    }
    fs_err::create_dir_all(&dir)?;
    let mut written = Vec::new();
    for (name, text) in args.template.files() {
        let file = dir.join(name);
        fs_err::write(&file, text)?;
        written.push(file);
    }
    if ignore(&dir)? {
        written.push(dir.join(".gitignore"));
    }
    let made = match places::identity() {
        Some(identity) => Keys::load_or_create(&dir.join(RECIPIENTS_FILE), &identity)?.1,
        None => None,
    };
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.init/1",
            "files": written,
            "identity": made.as_ref().and_then(|m| m.identity.clone()),
            "recipients": made.as_ref().and_then(|m| m.recipients.clone()),
        }));
        return Ok(Exit::Ok);
    }
    let mut text: String =
        written.iter().map(|f| format!("wrote {}\n", paint(style::STRONG, shown(f, session)))).collect();
    if let Some(made) = &made {
        text += &format!("{}\n", summary::keys(made));
    }
    session.ui.data(&(text + &next(&args.dir, &dir)));
    Ok(Exit::Ok)
}

/// What to type next.
fn next(given: &Path, dir: &Path) -> String {
    let mut commands = Vec::new();
    if given != Path::new(".") {
        commands.push(format!("cd {}", quoted(given)));
    }
    // A flake in a Git repository sees the files that Git knows.
    if dir.join("flake.nix").exists() && dir.ancestors().any(|d| d.join(".git").exists()) {
        commands.push("git add --intent-to-add .".to_owned());
    }
    commands.push("freehold plan".to_owned());
    commands.push("freehold apply".to_owned());
    let commands: String = commands.iter().map(|c| format!("  {}\n", paint(style::STRONG, c))).collect();
    format!("\nnext:\n{commands}")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn shown(file: &Path, session: &Session) -> String {
    let cwd = session.cwd().unwrap_or_default();
    file.strip_prefix(&cwd).unwrap_or(file).display().to_string()
}

/// Adds what must not be committed to `.gitignore`; tells whether it changed.
fn ignore(dir: &Path) -> Result<bool, Failure> {
    let file = dir.join(".gitignore");
    let mut text = if file.exists() { fs_err::read_to_string(&file)? } else { String::new() };
    let wanted = [format!("/{STATE_DIRECTORY}/"), format!("/{WORK_DIRECTORY}/")];
    let missing: Vec<&String> = wanted.iter().filter(|w| !text.lines().any(|l| l.trim() == w.as_str())).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in missing {
        text += line;
        text.push('\n');
    }
    fs_err::write(&file, text)?;
    Ok(true)
}
