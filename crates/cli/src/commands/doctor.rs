//! `freehold doctor`.

use std::path::Path;
use std::process::Command as Process;
use std::sync::Arc;

use freehold_engine::{EngineError, Entry, StateLocation};
use freehold_eval::{Confinement, confinement};
use freehold_state::{Keys, Owner, RECIPIENTS_FILE, Store, SystemClock};
use freehold_store::Nix;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::places;
use crate::render::style::{self, paint};
use crate::render::text::{count, escape_controls, indent};
use crate::session::Session;

/// Check what this machine and this deployment have, and say how to mend what is missing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Below this, a state or a Nix store does not get far.
const FREE_BYTES: u64 = 512 * 1024 * 1024;
/// The oldest Nix that is tested.
const OLDEST_NIX: (u32, u32) = (2, 8);
/// A clock that is before this is wrong: Freehold did not exist.
const EARLIEST_MILLIS: u64 = 1_767_225_600_000;

/// What one check found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// As it should be.
    Good(String),
    /// Works, but should be known.
    Note(String, String),
    /// Missing, and how to mend it.
    Bad(String, String),
}

use Finding::{Bad, Good, Note};

pub(crate) fn run(_: Args, session: &Session) -> Result<Exit, Failure> {
    let mut checks: Vec<(&str, Finding)> = vec![
        ("nix", nix()),
        ("evaluator", evaluation(session)),
        ("confinement", confined()),
        ("git", git()),
        ("cache", cache()),
        ("clock", clock()),
    ];
    match session.entry_or_state() {
        Ok(entry) => checks.extend(deployment(&entry, session)),
        Err(failure) => {
            let hint = failure.hints.first().cloned().unwrap_or_default();
            checks.push(("deployment", Note(failure.chain().join(": "), hint)));
        }
    }
    let bad = checks.iter().filter(|(_, f)| matches!(f, Bad(..))).count();
    if session.ui.json {
        let list: Vec<_> = checks.iter().map(|(name, finding)| finding.to_json(name)).collect();
        session.ui.json(&json!({ "format": "freehold.doctor/1", "ok": bad == 0, "checks": list }));
    } else {
        session.ui.data(&checks.iter().map(|(name, finding)| finding.line(name)).collect::<String>());
    }
    Ok(if bad == 0 { Exit::Ok } else { Exit::Failed })
}

impl Finding {
    fn line(&self, name: &str) -> String {
        let (mark, text, hint) = match self {
            Good(text) => (paint(style::ADD, "ok  "), text, None),
            Note(text, hint) => (paint(style::CHANGE, "note"), text, Some(hint)),
            Bad(text, hint) => (paint(style::REMOVE, "BAD "), text, Some(hint)),
        };
        let text = indent(&escape_controls(text), "                    ");
        let hint = hint.filter(|h| !h.is_empty()).map(|h| {
            format!(
                "                  {} {}\n",
                paint(style::HINT, "hint:"),
                indent(&escape_controls(h), "                    ")
            )
        });
        format!("{mark}  {name:<11} {text}\n{}", hint.unwrap_or_default())
    }

    fn to_json(&self, name: &str) -> serde_json::Value {
        let (result, text, hint) = match self {
            Good(text) => ("ok", text, None),
            Note(text, hint) => ("note", text, Some(hint)),
            Bad(text, hint) => ("bad", text, Some(hint)),
        };
        json!({ "check": name, "result": result, "message": text, "hint": hint })
    }
}

fn bad(failure: &Failure) -> Finding {
    Bad(failure.chain().join(": "), failure.hints.join("; "))
}

/// A program's output, or what was in the way.
fn output(program: &Path, args: &[&str]) -> Result<String, String> {
    let output = Process::new(program).args(args).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(if said.is_empty() { output.status.to_string() } else { said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn nix() -> Finding {
    let nix = match Nix::find() {
        Ok(nix) => nix,
        Err(error) => return bad(&EngineError::from(error).into()),
    };
    let program = nix.bin().join("nix-instantiate");
    match output(&program, &["--version"]) {
        Err(why) => Bad(format!("`{}` does not run: {why}", program.display()), "install Nix again".to_owned()),
        Ok(text) => {
            let version = text.rsplit(' ').next().unwrap_or_default();
            let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
            let found = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let place = nix.bin().display();
            if found < OLDEST_NIX {
                Bad(format!("Nix {version} in `{place}`"), "Freehold needs Nix 2.8 or later".to_owned())
            } else {
                Good(format!("Nix {version} in `{place}`"))
            }
        }
    }
}

/// Whether Nix evaluates, and can write to its store.
fn evaluation(session: &Session) -> Finding {
    let Ok(nix) = Nix::find() else {
        return Note("not tried without Nix".to_owned(), String::new());
    };
    let library = match crate::library::directory() {
        Ok(library) => library,
        Err(failure) => return bad(&failure),
    };
    let program = nix.bin().join("nix-instantiate");
    let expression = format!("builtins.isFunction (import {} {{ }}).lib.mkRoot", nix_path(&library));
    match output(&program, &["--eval", "--expr", &expression]) {
        Ok(text) if text == "true" => {}
        Ok(text) => {
            return Bad(
                format!("the Nix library gives `{text}`"),
                "remove the cache directory; it is made again".to_owned(),
            );
        }
        Err(why) => {
            let why = if session.global.show_trace { why } else { why.lines().next().unwrap_or_default().to_owned() };
            let hint = "try `nix-instantiate --eval --expr 1`; `--show-trace` shows all that Nix says".to_owned();
            return Bad(format!("Nix does not evaluate: {why}"), hint);
        }
    }
    let store = nix.bin().join("nix-store");
    let probe = library.join("default.nix").display().to_string();
    match output(&store, &["--add", &probe]) {
        Ok(_) => Good("evaluates, and the store can be written".to_owned()),
        Err(why) if session.global.show_trace => Bad(format!("the store cannot be written: {why}"), store_hint()),
        Err(why) => {
            Bad(format!("the store cannot be written: {}", why.lines().last().unwrap_or_default()), store_hint())
        }
    }
}

fn store_hint() -> String {
    "start the Nix daemon (`systemctl start nix-daemon`) and be in its group (`nix-users`), or own /nix".to_owned()
}

/// A path as Nix reads it, whatever is in it.
fn nix_path(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    format!("(/. + \"{text}\")")
}

fn confined() -> Finding {
    match confinement() {
        Confinement::Full => Good("the evaluator can be confined".to_owned()),
        Confinement::Partial => Note(
            "this kernel confines the evaluator in part".to_owned(),
            "a kernel from 6.2 on does it fully; until then, evaluate only what you trust".to_owned(),
        ),
        Confinement::None => Note(
            "this kernel cannot confine the evaluator (no Landlock)".to_owned(),
            "evaluate only what you trust, or enable Landlock (`lsm=landlock,…` on the kernel's command line)"
                .to_owned(),
        ),
    }
}

fn git() -> Finding {
    match output(Path::new("git"), &["--version"]) {
        Ok(text) => Good(text),
        Err(_) => Note(
            "git is not here".to_owned(),
            "flakes and `builtins.fetchGit` need it (on Debian: `apt install git`)".to_owned(),
        ),
    }
}

fn cache() -> Finding {
    match crate::library::directory() {
        Ok(dir) => room("the Nix library is in", &dir),
        Err(failure) => bad(&failure),
    }
}

/// Whether there is room on the disk of `dir`.
fn room(what: &str, dir: &Path) -> Finding {
    let place = dir.display();
    match rustix::fs::statvfs(dir) {
        Err(error) => Bad(format!("cannot look at `{place}`: {error}"), String::new()),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let shown = format!("{what} `{place}`, {} MiB free", free / (1024 * 1024));
            if free < FREE_BYTES { Bad(shown, "make room".to_owned()) } else { Good(shown) }
        }
    }
}

fn clock() -> Finding {
    let now = freehold_state::Clock::unix_millis(&SystemClock);
    let shown = freehold_state::clock::rfc3339(now);
    if now < EARLIEST_MILLIS {
        Bad(format!("the clock says {shown}"), "set it: leases, signatures and the history depend on it".to_owned())
    } else {
        Good(shown)
    }
}

fn deployment(entry: &Entry, session: &Session) -> Vec<(&'static str, Finding)> {
    let mut found = vec![("deployment", room(&format!("`{}`, in", entry.describe()), &entry.dir))];
    let (recipients, keys) = keys(&entry.dir, session);
    found.push(("keys", recipients));
    found.push(("state", state(entry, keys, session)));
    found
}

fn keys(dir: &Path, session: &Session) -> (Finding, Keys) {
    let keys = match session.keys(dir) {
        Ok(keys) => keys,
        Err(failure) => return (bad(&failure), Keys::none()),
    };
    let (recipients, own) = (keys.recipients(), keys.own_recipients());
    let identity = places::identity().map(|p| p.display().to_string()).unwrap_or_default();
    let finding = match () {
        () if recipients.is_empty() => Note(
            format!("no `{RECIPIENTS_FILE}` yet"),
            "the first apply makes it, and a key if there is none".to_owned(),
        ),
        () if own.is_empty() => Bad(
            format!("no identity in `{identity}`: secrets in the state cannot be read"),
            "put yours there, or point FREEHOLD_IDENTITY to it; `freehold identity` makes one for a new operator"
                .to_owned(),
        ),
        () if !own.iter().any(|o| recipients.contains(o)) => Bad(
            format!("the identity in `{identity}` is not among the recipients"),
            format!(
                "ask an operator to add `{}` to `{RECIPIENTS_FILE}` and to run `freehold state rekey`",
                own.join("`, `")
            ),
        ),
        () => Good(format!(
            "secrets are encrypted for {}, you among them",
            count(recipients.len(), "recipient", "recipients")
        )),
    };
    (finding, keys)
}

/// Whether the state can be read; a bucket is asked whether it can refuse a second writer.
fn state(entry: &Entry, keys: Keys, session: &Session) -> Finding {
    let opened = session.backend(&entry.dir).and_then(|b| Ok(Store::open(b, keys, Arc::new(SystemClock))?));
    let store = match opened {
        Ok(store) => store,
        Err(failure) => return bad(&failure),
    };
    let shown = format!("{}: {}", store.place(), count(store.view().records().len(), "record", "records"));
    match store.holder() {
        Err(error) => bad(&error.into()),
        Ok(Some(holder)) => Note(
            format!("{shown}; locked by {holder}"),
            "`freehold state unlock` takes the lock from one that is gone".to_owned(),
        ),
        Ok(None) if matches!(session.state_location(&entry.dir), Ok(Some(StateLocation::S3(_)))) => {
            writable(store, shown)
        }
        Ok(None) => Good(shown),
    }
}

/// Takes and gives back the lock, which probes whether the store honours conditions.
fn writable(mut store: Store, shown: String) -> Finding {
    let owner = Owner::current("freehold doctor", &SystemClock);
    match store.lock(&owner) {
        Ok(guard) => {
            store.close_writer();
            drop(guard);
            Good(format!("{shown}; it can be written, and refuses a second writer"))
        }
        Err(error) => bad(&error.into()),
    }
}
