//! What several runtimes ask of their host: whether a program is there, which port is free.

use std::path::Path;

use crate::{RuntimeError, ServiceRelease};

/// Whether the program of a service is there.
///
/// # Errors
/// [`RuntimeError::NoProgram`], with what is there instead.
pub(crate) fn check_program(service: &ServiceRelease) -> Result<(), RuntimeError> {
    let words = service.words()?;
    let program = words.first().map_or("", String::as_str);
    if is_program(Path::new(program)) {
        return Ok(());
    }
    Err(RuntimeError::NoProgram { program: program.to_owned(), there: neighbours(Path::new(program)) })
}

/// A port on the loopback interface that is free now.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Result<u16, RuntimeError> {
    let free = || std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr();
    Ok(free().map_err(RuntimeError::file("find a free port at", "127.0.0.1"))?.port())
}

/// Names of the entries of a directory, in order; none when it is not there.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, RuntimeError> {
    let entries = match fs_err::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RuntimeError::file("read", dir)(error)),
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

/// What there is beside a program that is not there, for the message.
fn neighbours(program: &Path) -> String {
    // Of a store, which has thousands, none is meant.
    let dir = program.parent().filter(|dir| {
        dir.parent()
            .is_none_or(|above| dir.file_name() != Some("store".as_ref()) || above.file_name() != Some("nix".as_ref()))
    });
    let names = dir.and_then(|dir| names(dir).ok()).unwrap_or_default();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; there is {}", names.iter().take(10).cloned().collect::<Vec<_>>().join(", ")),
    }
}
