//! Users and groups that services name: looked for, and made by `systemd-sysusers` when the host's operator allows it.
//!
//! Never changed and never removed: their files stay, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use freehold_model::limits;

use super::place;
use super::unit::has_dynamic_user;
use crate::records::write_durably;
use crate::{RuntimeError, ServiceRelease};

/// How a file of ours begins.
const MARK: &str = "# Written by freehold for the service ";

/// What a service names and the host has not.
pub(super) fn missing(service: &ServiceRelease) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if let Some(user) = service.exec.user.as_ref().filter(|_| !has_dynamic_user(service))
        && !exists("passwd", user)
    {
        found.push(("user", user.clone()));
    }
    let groups = service.exec.group.iter().filter(|_| !has_dynamic_user(service));
    for group in groups.chain(service.systemd.supplementary_groups.iter().flatten()) {
        if !exists("group", group) {
            found.push(("group", group.clone()));
        }
    }
    found
}

/// Makes what is missing.
///
/// # Errors
/// A file that is not ours is in the way, or `systemd-sysusers` refuses.
pub(super) fn create(workload: &str, service: &ServiceRelease) -> Result<(), RuntimeError> {
    let missing = missing(service);
    if missing.is_empty() {
        return Ok(());
    }
    let file = file(workload);
    if place::read(&file)?.is_some_and(|text| !text.starts_with(MARK)) {
        let what = format!("users of `{workload}`");
        return Err(RuntimeError::Refused { what, reason: format!("`{}` is there and not ours", file.display()) });
    }
    let mut text = format!("{MARK}`{workload}`.\n");
    for (_, group) in missing.iter().filter(|(what, _)| *what == "group") {
        text += &format!("g {group} -\n");
    }
    for (_, user) in missing.iter().filter(|(what, _)| *what == "user") {
        let own = service.exec.group.as_ref().filter(|group| *group != user);
        text += &match own {
            // A user of a group that is named: not one of its own.
            Some(group) => format!("u {user} -:{group} \"freehold service {workload}\"\n"),
            None => format!("u {user} - \"freehold service {workload}\"\n"),
        };
    }
    write_durably(&file, text.as_bytes())?;
    let output = run(Command::new("systemd-sysusers").arg(&file))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(RuntimeError::Refused { what: "systemd-sysusers".to_owned(), reason });
    }
    Ok(())
}

/// Forgets that these were made for a workload; they themselves stay.
pub(super) fn forget(workload: &str) -> Result<(), RuntimeError> {
    let file = file(workload);
    if place::read(&file)?.is_some_and(|text| text.starts_with(MARK)) {
        place::remove(&file)?;
    }
    Ok(())
}

fn file(workload: &str) -> PathBuf {
    let etc = Path::new("/etc/sysusers.d");
    let can_write =
        fs_err::create_dir_all(etc).is_ok() && rustix::fs::access(etc, rustix::fs::Access::WRITE_OK).is_ok();
    let dir = if can_write { etc } else { Path::new("/run/sysusers.d") };
    dir.join(format!("freehold-{workload}.conf"))
}

/// Whether a name or a number is known, to the files first and then to whoever else the host asks.
fn exists(database: &'static str, name: &str) -> bool {
    if name.chars().all(|c| c.is_ascii_digit()) {
        // A number needs no name.
        return true;
    }
    let lines = fs_err::read_to_string(Path::new("/etc").join(database)).unwrap_or_default();
    if lines.lines().any(|line| line.split(':').next() == Some(name)) {
        return true;
    }
    run(Command::new("getent").args([database, name])).is_ok_and(|output| output.status.success())
}

/// Runs a program of the host, whose output is short, to its end.
fn run(command: &mut Command) -> Result<Output, RuntimeError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = command.spawn();
    let mut child = started.map_err(|source| RuntimeError::Start { program: program.clone(), source })?;
    let end = Instant::now() + limits::HOST_PROGRAM;
    while let Ok(None) = child.try_wait() {
        if Instant::now() > end {
            // That it is gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
            let seconds = limits::HOST_PROGRAM.as_secs();
            return Err(RuntimeError::TooLong { what: format!("`{program}`"), action: "end", seconds });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().map_err(|source| RuntimeError::Start { program, source })
}
