//! Confinement of the evaluator with Landlock: what evaluated code may write and run.
//!
//! `builtins.exec` lets any evaluated code run programs, so Nix is started through [`enter`], which gives up rights that are not
//! needed and then becomes Nix. Reading is not restricted: Nix code can read files anyway.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus,
};

/// The argument by which the bridge is told to confine itself.
pub(crate) const WORD: &str = "confine";
const WRITE: &str = "--write";
const RUN: &str = "--run";
const REST: &str = "--";

/// How far the kernel lets the evaluator be confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// As designed.
    Full,
    /// Some rights cannot be taken away by this kernel.
    Partial,
    /// The kernel has no Landlock.
    None,
}

/// What this machine's kernel can do, for `doctor`. Restricts nothing.
pub fn confinement() -> Confinement {
    let full = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let can = |abi| full().handle_access(AccessFs::from_all(abi)).and_then(Ruleset::create).is_ok();
    if can(ABI::V3) {
        Confinement::Full
    } else if can(ABI::V1) {
        Confinement::Partial
    } else {
        Confinement::None
    }
}

/// Arguments that make the bridge become `program`, confined.
pub(crate) fn arguments(write: &[PathBuf], run: &[PathBuf], program: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![WORD.into()];
    for path in write {
        args.extend([WRITE.into(), path.into()]);
    }
    for path in run {
        args.extend([RUN.into(), path.into()]);
    }
    args.extend([REST.into(), program.into()]);
    args
}

/// Confines this process and becomes the program that `args` name. Returns only when that failed.
pub(crate) fn enter(args: &[OsString]) -> std::io::Error {
    let (mut write, mut run) = (Vec::new(), Vec::new());
    let mut rest = args.iter();
    let program = loop {
        let (word, path) = (rest.next().map(OsString::as_os_str), rest.next());
        match (word, path) {
            (Some(word), Some(path)) if word == OsStr::new(WRITE) => write.push(path),
            (Some(word), Some(path)) if word == OsStr::new(RUN) => run.push(path),
            (Some(word), Some(program)) if word == OsStr::new(REST) => break program,
            _ => return std::io::Error::other("bad arguments"),
        }
    };
    if let Err(error) = restrict(&write, &run) {
        return std::io::Error::other(error);
    }
    Command::new(program).args(rest).exec()
}

fn restrict(write: &[&OsString], run: &[&OsString]) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V5;
    let writing = AccessFs::from_write(abi);
    let mut rules = Ruleset::default().handle_access(writing | AccessFs::Execute)?.create()?;
    for path in write {
        if let Ok(fd) = PathFd::new(path) {
            let allowed = if Path::new(path).is_dir() { writing } else { writing & AccessFs::from_file(abi) };
            rules = rules.add_rule(PathBeneath::new(fd, allowed))?;
        }
    }
    for path in run {
        if let Ok(fd) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(fd, AccessFs::Execute))?;
        }
    }
    rules.restrict_self().map(|status| status.ruleset)
}
