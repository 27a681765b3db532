//! Locks a flake before it is evaluated, as the user's flags say; the driver then takes the locked reference.
//!
//! `builtins.getFlake` knows no overrides and makes no locks: a flake whose lock file is not what `nix flake metadata` worked out is
//! copied, with that lock file.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::process::{error_message, set_env};
use crate::{EvalError, Options, Source};

/// Replaces a flake reference with the locked one; `dir` is where a copy may be made. Files are left alone.
pub(crate) fn lock(options: &mut Options, dir: &Path) -> Result<(), EvalError> {
    let Source::Flake { reference, override_inputs, .. } = &options.source else { return Ok(()) };
    let refuse = |message: String| EvalError::LockFlake { flake: reference.clone(), message };
    let metadata = metadata(options)?;
    let locked = if override_inputs.is_empty() && has_its_lock(&metadata) {
        let url = metadata["lockedUrl"].as_str().or(metadata["url"].as_str());
        url.ok_or_else(|| refuse("`nix flake metadata` names no locked reference".to_owned()))?.to_owned()
    } else {
        copy_with_lock(&metadata, dir).map_err(EvalError::Prepare)?
    };
    if let Source::Flake { reference, .. } = &mut options.source {
        *reference = locked;
    }
    Ok(())
}

fn metadata(options: &Options) -> Result<Json, EvalError> {
    let Source::Flake { reference, override_inputs, write_lock, .. } = &options.source else { return Ok(Json::Null) };
    let program = options.nix.program("nix");
    let mut command = std::process::Command::new(&program);
    command.args(["--extra-experimental-features", "nix-command flakes", "flake", "metadata", "--json"]);
    for (name, to) in override_inputs {
        command.arg("--override-input").arg(name).arg(to);
    }
    if !write_lock {
        command.arg("--no-write-lock-file");
    }
    command.arg(reference).current_dir(&options.base_dir).stdin(Stdio::null());
    set_env(&mut command, &options.env);
    let output = command.output().map_err(|source| EvalError::StartNix { program, source })?;
    let refuse = |message: String| EvalError::LockFlake { flake: reference.clone(), message };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(refuse(error_message(&stderr, options.show_trace).unwrap_or_else(|| stderr.trim().to_owned())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| refuse(error.to_string()))
}

/// Whether the flake's source holds the locks that Nix worked out (a flake without inputs needs none).
fn has_its_lock(metadata: &Json) -> bool {
    let nodes = metadata["locks"]["nodes"].as_object().map_or(0, serde_json::Map::len);
    let (path, within) =
        (metadata["path"].as_str().unwrap_or_default(), metadata["locked"]["dir"].as_str().unwrap_or_default());
    let written = fs_err::read(Path::new(path).join(within).join("flake.lock")).unwrap_or_default();
    nodes <= 1 || serde_json::from_slice::<Json>(&written).is_ok_and(|written| written == metadata["locks"])
}

/// Copies the flake's source, with the locks that `nix flake metadata` worked out, and gives a reference to the copy.
fn copy_with_lock(metadata: &Json, dir: &Path) -> std::io::Result<String> {
    let source =
        metadata["path"].as_str().ok_or_else(|| std::io::Error::other("`nix flake metadata` names no path"))?;
    let (copy, within) = (dir.join("flake"), metadata["locked"]["dir"].as_str().unwrap_or_default());
    copy_tree(Path::new(source), &copy)?;
    let lock = copy.join(within).join("flake.lock");
    // The copy of a file of the store is read-only.
    if lock.exists() {
        fs_err::remove_file(&lock)?;
    }
    fs_err::write(&lock, metadata["locks"].to_string())?;
    let query = if within.is_empty() { String::new() } else { format!("?dir={within}") };
    Ok(format!("path:{}{query}", copy.display()))
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs_err::read_link(entry.path())?, target)?;
        } else {
            fs_err::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
