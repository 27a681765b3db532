//! Says loudly that something was not tested, and why.

use std::io::Write as _;

/// Reports that `what` was not run because of `reason`.
///
/// The line goes to stderr and, when `FREEHOLD_NOT_RUN` names a file, to its end: `./x test` sets it and prints the lines
/// in its summary. A test that calls this must return afterwards instead of passing by luck.
pub fn not_run(what: &str, reason: &str) {
    eprintln!("NOT RUN: {what}: {reason}");
    let Some(path) = std::env::var_os("FREEHOLD_NOT_RUN") else {
        return;
    };
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{what}: {reason}\n").as_bytes()));
    if let Err(error) = written {
        panic!("cannot note in `{}` that {what} was not run: {error}", path.to_string_lossy());
    }
}
