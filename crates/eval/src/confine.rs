//! Confinement of the evaluator with Landlock: what evaluated code may write and run.
//!
//! `builtins.exec` lets any evaluated code run programs, so Nix is started by [`spawn`] with the rights that it needs and no others.
//! Reading is not restricted: Nix code can read files anyway.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus,
};

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

/// Starts a program, confined: it may write below `write` and run what `run` names.
///
/// # Errors
/// The kernel refuses to confine it, or it cannot be started.
pub(crate) fn spawn(command: &mut Command, write: &[PathBuf], run: &[PathBuf]) -> io::Result<Child> {
    // What a thread gives up is given up by what it starts, and by no other thread of this process.
    let confined = move || restrict(write, run).map_err(io::Error::other).and_then(|_| command.spawn());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("eval-confined".into()).spawn_scoped(scope, confined)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it has failed")))
    })
}

fn restrict(write: &[PathBuf], run: &[PathBuf]) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V5;
    let writing = AccessFs::from_write(abi);
    let mut rules = Ruleset::default().handle_access(writing | AccessFs::Execute)?.create()?;
    for path in write {
        if let Ok(fd) = PathFd::new(path) {
            let allowed = if path.is_dir() { writing } else { writing & AccessFs::from_file(abi) };
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
