//! Exit codes, all of them: they are documented (`docs/reference/generated/exit-codes.md` is made from [`CODES`]) and tested.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// Something failed.
    Failed,
    /// `--detailed-exitcode`: there are changes.
    Changes,
    /// What runs is not what is declared, or is not healthy.
    Unwell,
    /// Something waits for a person; what ran goes on.
    Held,
    /// The command line cannot be understood.
    Usage,
    /// Stopped by the operator.
    Interrupted,
    /// The code of a program that was run for the operator.
    Program(u8),
}

/// Code and meaning, for the documentation.
pub(crate) const CODES: [(u8, &str); 7] = [
    (0, "done; with `--detailed-exitcode`: done, and there is nothing to change"),
    (1, "something failed; the message says what and how to mend it"),
    (2, "with `--detailed-exitcode`: done, and there are changes (or drift)"),
    (3, "`agent once`, `publish --wait`, `app`: what runs is not what is declared, or something is unhealthy"),
    (4, "`publish --wait`, `app`: a release or an update waits for a person; what ran goes on"),
    (64, "the command line cannot be understood"),
    (130, "stopped by the operator (Ctrl-C, or a signal that asks to end)"),
];

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Unwell => 3,
            Self::Held => 4,
            Self::Usage => 64,
            Self::Interrupted => 130,
            Self::Program(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
