//! Locks a flake before it is evaluated, as the user's flags say; the driver then takes the locked reference.

use std::process::Stdio;

use crate::process::{error_message, set_env};
use crate::{EvalError, Options, Source};

/// Replaces a flake reference with the locked one. Files are left alone.
pub(crate) fn lock(options: &mut Options) -> Result<(), EvalError> {
    let Source::Flake { reference, override_inputs, write_lock, .. } = &options.source else { return Ok(()) };
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
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| refuse(error.to_string()))?;
    let locked = metadata["url"].as_str().or(metadata["lockedUrl"].as_str());
    let locked = locked.ok_or_else(|| refuse("`nix flake metadata` names no locked reference".to_owned()))?.to_owned();
    if let Source::Flake { reference, .. } = &mut options.source {
        *reference = locked;
    }
    Ok(())
}
