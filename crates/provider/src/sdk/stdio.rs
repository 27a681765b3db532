//! Guards the protocol's pipes: a stray print goes to standard error, a program that is started cannot hold the pipe.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Takes standard input and output away from the rest of the process and gives them as files of our own.
///
/// Afterwards descriptor 0 is `/dev/null`, 1 is standard error, and the returned files are not inherited by children.
///
/// # Errors
/// When descriptors cannot be duplicated.
pub(crate) fn take() -> io::Result<(File, File)> {
    let input = duplicate(rustix::stdio::stdin())?;
    let output = duplicate(rustix::stdio::stdout())?;
    let nothing = fs_err::OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(nothing.file())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((File::from(input), File::from(output)))
}

fn duplicate(fd: rustix::fd::BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}
