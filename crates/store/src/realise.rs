//! Realising: making sure that store paths are there, by building or fetching them, in parallel and with progress.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::error::StoreError;
use crate::messages::Progress;
use crate::nix::Nix;
use crate::run::{self, Ended};

/// Bytes of arguments handed to one Nix process.
const ARGUMENT_BYTES: usize = 96 * 1024;

/// What is to be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A store path: fetched when it is not there. A derivation is meant as the file that it is.
    Path(String),
    /// Outputs of a derivation: built or fetched when they are not there. No names mean all outputs.
    Outputs {
        /// Store path of the derivation.
        derivation: String,
        /// Names of the outputs.
        outputs: Vec<String>,
    },
}

/// How something is realised.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealiseOptions<'a> {
    /// Builds at once; Nix's own setting when `None`.
    pub jobs: Option<u32>,
    /// Goes on with what does not depend on a failure.
    pub keep_going: bool,
    /// Keeps what is realised with GC roots at this path (further ones get `-2`, `-3`, …).
    pub root: Option<&'a Path>,
}

impl Target {
    /// Reads `/nix/store/…`, `/nix/store/….drv!out` or `/nix/store/….drv!*` (all outputs).
    ///
    /// # Errors
    /// Any other form.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let bad = |reason| StoreError::BadTarget { text: text.to_owned(), reason };
        let (path, outputs) = match text.split_once('!') {
            None => (text, None),
            Some((path, outputs)) => (path, Some(outputs)),
        };
        let name = path.rsplit_once('/').ok_or_else(|| bad("it must be absolute"))?.1;
        if !path.starts_with('/') {
            return Err(bad("it must be absolute"));
        }
        if name.split_once('-').is_none_or(|(hash, rest)| hash.len() != 32 || rest.is_empty()) {
            return Err(bad("its name must be a hash, a dash and a name"));
        }
        match outputs {
            None => Ok(Self::Path(path.to_owned())),
            Some(_) if !path.ends_with(".drv") => Err(bad("only a derivation has outputs")),
            Some("*") => Ok(Self::Outputs { derivation: path.to_owned(), outputs: Vec::new() }),
            Some(outputs) if outputs.split(',').any(str::is_empty) => Err(bad("an output has no name")),
            Some(outputs) => Ok(Self::Outputs {
                derivation: path.to_owned(),
                outputs: outputs.split(',').map(str::to_owned).collect(),
            }),
        }
    }

    fn argument(&self) -> String {
        match self {
            Self::Path(path) => path.clone(),
            Self::Outputs { derivation, outputs } if outputs.is_empty() => derivation.clone(),
            Self::Outputs { derivation, outputs } => format!("{derivation}!{}", outputs.join(",")),
        }
    }

    fn is_derivation_file(&self) -> bool {
        matches!(self, Self::Path(path) if path.ends_with(".drv"))
    }
}

impl Nix {
    /// Makes sure that all targets are there; gives the store paths that they come to, in the order of the targets.
    ///
    /// # Errors
    /// [`StoreError::Build`] with the end of the builder's log, or Nix's own words. [`StoreError::Stopped`] after `stop` was set.
    pub fn realise(
        &self,
        targets: &[Target],
        options: RealiseOptions<'_>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<PathBuf>, StoreError> {
        let (files, rest): (Vec<_>, Vec<_>) = targets.iter().partition(|target| target.is_derivation_file());
        self.check_derivation_files(&files)?;
        let mut found = Vec::new();
        for chunk in chunks(rest.into_iter().map(Target::argument).collect()) {
            let mut command = self.command("nix-store");
            command.args(["--log-format", "internal-json", "-v", "--realise"]);
            if options.keep_going {
                command.arg("--keep-going");
            }
            if let Some(jobs) = options.jobs {
                command.args(["--max-jobs", &jobs.to_string()]);
            }
            if let Some(root) = options.root {
                command.arg("--indirect").arg("--add-root").arg(root);
            }
            command.args(&chunk);
            let ended = run::watched(command, "realise", stop, progress)?;
            if !ended.status.success() {
                return Err(explain(&format!("realise {}", name_some(&chunk)), &ended));
            }
            found.extend(String::from_utf8_lossy(&ended.stdout).lines().map(PathBuf::from));
        }
        if options.root.is_some() {
            // With roots, Nix prints the links.
            found = found.into_iter().map(|link| fs_err::read_link(&link).unwrap_or(link)).collect();
        }
        Ok(found)
    }

    /// Which of the paths are not there.
    ///
    /// # Errors
    /// When Nix cannot be asked.
    pub fn missing(&self, paths: &[String]) -> Result<Vec<String>, StoreError> {
        let mut missing = Vec::new();
        for chunk in chunks(paths.to_vec()) {
            let mut command = self.command("nix-store");
            command.args(["--check-validity", "--print-invalid"]).args(&chunk);
            missing.extend(run::short(command, "check which paths are valid")?.lines().map(str::to_owned));
        }
        Ok(missing)
    }

    /// A derivation named as a path is not to be built, only to be there; nobody but its evaluation can make it.
    fn check_derivation_files(&self, files: &[&Target]) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        let paths: Vec<String> = files.iter().map(|target| target.argument()).collect();
        match self.missing(&paths)?.first() {
            None => Ok(()),
            Some(path) => Err(StoreError::Failed {
                what: format!("realise `{path}`"),
                message: "the derivation is not in the store".to_owned(),
            }),
        }
    }
}

/// A failed build with its log, or Nix's own words.
pub(crate) fn explain(what: &str, ended: &Ended) -> StoreError {
    match ended.listener.failed_build(first_derivation) {
        Some((derivation, error)) if !ended.listener.log(&derivation).is_empty() || is_build_failure(ended) => {
            let log = ended.listener.log(&derivation);
            StoreError::Build { reason: reason(error), derivation, log }
        }
        _ => run::failure(what, ended),
    }
}

/// Nix ends with 100 to 104 when something was tried and did not build.
fn is_build_failure(ended: &Ended) -> bool {
    ended.status.code().is_some_and(|code| (100..=104).contains(&code))
}

/// The derivation that an error of Nix names in quotes.
fn first_derivation(error: &str) -> Option<String> {
    error.split('\'').find(|part| part.starts_with('/') && part.ends_with(".drv")).map(str::to_owned)
}

/// Nix before 2.31 says `builder for '…' failed with exit code 1`, later ones `Cannot build '…'. Reason: builder failed …`.
fn reason(error: &str) -> String {
    if let Some(reason) = error.lines().find_map(|line| line.trim().strip_prefix("Reason: ")) {
        return reason.trim_end_matches('.').to_owned();
    }
    let first = error.split(";\n").next().unwrap_or(error).lines().next().unwrap_or(error);
    match (first.strip_prefix("builder for '"), first.find("' ")) {
        (Some(_), Some(end)) => format!("builder {}", first[end + 2..].trim_end_matches([';', '.'])),
        _ => first.to_owned(),
    }
}

/// Pieces that a command line takes.
pub(crate) fn chunks(arguments: Vec<String>) -> Vec<Vec<String>> {
    let mut chunks: Vec<Vec<String>> = Vec::new();
    let mut bytes = usize::MAX;
    for argument in arguments {
        if bytes.saturating_add(argument.len() + 1) > ARGUMENT_BYTES {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += argument.len() + 1;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(argument);
        }
    }
    chunks
}

/// Words for one or more paths.
pub(crate) fn name_some(arguments: &[String]) -> String {
    match arguments {
        [one] => format!("`{one}`"),
        [first, rest @ ..] => format!("`{first}` and {} more", rest.len()),
        [] => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "bssq1i34r9ixn22c79qfqskrvfvh9ipq";

    #[test]
    fn targets_have_three_forms() {
        let path = format!("/nix/store/{HASH}-a");
        assert_eq!(Target::parse(&path).unwrap(), Target::Path(path));
        let derivation = format!("/nix/store/{HASH}-a.drv");
        assert_eq!(
            Target::parse(&format!("{derivation}!out,dev")).unwrap(),
            Target::Outputs { derivation: derivation.clone(), outputs: vec!["out".to_owned(), "dev".to_owned()] }
        );
        assert_eq!(
            Target::parse(&format!("{derivation}!*")).unwrap(),
            Target::Outputs { derivation, outputs: Vec::new() }
        );
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let said = |text: &str| Target::parse(text).unwrap_err().to_string();
        assert_eq!(said("a"), "`a` is no store path: it must be absolute");
        assert_eq!(said("/etc/passwd"), "`/etc/passwd` is no store path: its name must be a hash, a dash and a name");
        let path = format!("/nix/store/{HASH}-a");
        assert_eq!(
            said(&format!("{path}!out")),
            format!("`{path}!out` is no store path: only a derivation has outputs")
        );
        assert_eq!(said(&format!("{path}.drv!")), format!("`{path}.drv!` is no store path: an output has no name"));
    }

    #[test]
    fn a_failure_reads_the_same_in_the_words_of_all_versions() {
        for error in [
            "builder for '/nix/store/x.drv' failed with exit code 3",
            "builder for '/nix/store/x.drv' failed with exit code 3;\nlast 2 log lines:\n> oh",
            "Cannot build '/nix/store/x.drv'.\nReason: builder failed with exit code 3.\nOutput paths:\n  /nix/store/x",
        ] {
            assert_eq!(reason(error), "builder failed with exit code 3");
            assert_eq!(first_derivation(error).as_deref(), Some("/nix/store/x.drv"));
        }
    }

    #[test]
    fn many_arguments_go_in_pieces_and_none_is_lost() {
        let arguments: Vec<String> = (0..5000).map(|n| format!("/nix/store/{HASH}-{n}")).collect();
        let pieces = chunks(arguments.clone());
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|piece| piece.iter().map(|a| a.len() + 1).sum::<usize>() <= ARGUMENT_BYTES));
        assert_eq!(pieces.concat(), arguments);
        assert!(chunks(Vec::new()).is_empty());
    }
}
