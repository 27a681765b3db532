//! The little program that Nix runs to talk to the engine: one question over the socket, the answer to standard output.
//!
//! It starts once per exchange, so it does nothing else. Arguments: `EPOCH next`, `EPOCH generation N`, `EPOCH output PATH NAME`,
//! `EPOCH reveal TOKEN`. The answer is JSON, written as a Nix string.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// The variable that says where the engine listens.
pub(crate) const SOCKET: &str = "FREEHOLD_EVAL_SOCKET";

/// The program's `main`, given its arguments without the program's name (and without what leads here, such as `internal eval-bridge`).
#[allow(clippy::print_stderr, reason = "it is a program: Nix passes its standard error on")]
pub fn bridge_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match exchange(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freehold evaluator bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn exchange(args: &[OsString]) -> std::io::Result<()> {
    let socket = std::env::var_os(SOCKET).ok_or_else(|| std::io::Error::other(format!("{SOCKET} is not set")))?;
    let mut stream = UnixStream::connect(socket)?;
    let mut question = Vec::new();
    for arg in args {
        question.extend_from_slice(arg.as_bytes());
        question.push(0);
    }
    stream.write_all(&question)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(std::io::Error::other("the engine is gone"));
    }
    std::io::stdout().lock().write_all(&answer)
}

/// A Nix string literal that says `text`.
pub(crate) fn nix_string(text: &str) -> Vec<u8> {
    let mut literal = Vec::with_capacity(text.len() + text.len() / 8 + 2);
    literal.push(b'"');
    for byte in text.bytes() {
        // `$` is escaped wherever it stands: `$${` would otherwise mean something else.
        if matches!(byte, b'"' | b'\\' | b'$') {
            literal.push(b'\\');
        }
        literal.push(byte);
    }
    literal.push(b'"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nix_string_has_no_interpolation_left() {
        assert_eq!(nix_string(r#"a"b\c${d}$${e}"#), br#""a\"b\\c\${d}\$\${e}""#);
    }
}
