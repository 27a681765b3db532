//! `freehold publish FILE.nix`: a Nix file in the place of a service's name, and artifacts that are files themselves.
//!
//! A file comes to one derivation, by itself or when it is called without arguments; its name without `.nix` is the service's. A file that
//! is a NixOS host is told from a service before anything is built; hosts are not deployed here.

use std::path::{Path, PathBuf};

use freehold_manifest::Service;
use freehold_nar::StorePath;
use freehold_store::{Nix, StoreError};
use serde_json::Map;

use crate::failure::Failure;
use crate::session::Session;

/// What the evaluation of a NixOS host ends with.
const HOST: &str = "freehold: this file is a NixOS host";

/// What stands in the place of a service's name.
pub(super) struct Named {
    /// The service.
    pub(super) service: String,
    /// The file that it is built from, when one was named.
    pub(super) file: Option<PathBuf>,
}

/// A name, or a file: one that is there, and is written as a path or ends in `.nix`.
///
/// # Errors
/// A file that Nix cannot build.
pub(super) fn named(text: &str, session: &Session) -> Result<Named, Failure> {
    if !text.contains('/') && Path::new(text).extension().is_none_or(|end| end != "nix") {
        return Ok(Named { service: text.to_owned(), file: None });
    }
    let path = session.cwd()?.join(text);
    if !path.exists() {
        return Err(Failure::user(format!("there is no file `{text}`"))
            .hint("name a service, or a Nix file that builds one: `web.nix`"));
    }
    let path = if path.is_dir() { path.join("default.nix") } else { path };
    if !path.is_file() || path.extension().is_none_or(|end| end != "nix") {
        return Err(Failure::user(format!("`{text}` is no Nix file, so nobody can tell how it is built"))
            .hint("wrap it in a derivation, and publish that: `freehold publish web.nix`, or `freehold publish web --installable .#web`"));
    }
    let stem = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let own = stem(&path);
    let service = if own == "default" { path.parent().map(stem).unwrap_or_default() } else { own };
    Ok(Named { service, file: Some(path) })
}

/// Builds what a file comes to; its main output.
///
/// # Errors
/// It is a host, does not evaluate, or does not build.
pub(super) fn build(path: &Path, session: &Session) -> Result<StorePath, Failure> {
    let stop = session.stopper()?;
    let nix = Nix::find()?.with_traces(session.global.show_trace);
    // Nix paths hold no quotes and no `${` when they are written as strings.
    let quoted = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    let text = format!(
        "let f = import (/. + \"{quoted}\"); host = throw \"{HOST}\"; \
         v = if !builtins.isFunction f then f else if (builtins.functionArgs f) ? config then host else f {{ }}; \
         in if builtins.isAttrs v && (v.type or \"\") != \"derivation\" && (v ? config.system.build || v ? imports || v ? networking) \
         then host else v"
    );
    let derivation = nix.instantiate(&text, &Map::new(), &session.cwd()?, &stop).map_err(|error| match &error {
        StoreError::Failed { message, .. } if message.contains(HOST) => {
            Failure::user(format!("`{}` is a NixOS host, and services are published here", path.display()))
                .hint("a service is a derivation with a program in its `bin`; deploy the host as you did so far")
        }
        _ => Failure::from(error),
    })?;
    let built = nix.build_derivation(&derivation, &stop, &mut |_| {})?;
    let main =
        built.main_output().ok_or_else(|| Failure::user(format!("`{}` has no output to run", path.display())))?;
    Ok(StorePath::parse(main)?)
}

/// The command of an artifact that is a program itself, and no directory; `None` for every other.
pub(super) fn own_command(path: &StorePath) -> Option<String> {
    Path::new(path.as_str()).is_file().then(|| ".".to_owned())
}

/// Refuses a service whose artifact is on this machine and lacks the program: hosts would find that out later.
///
/// # Errors
/// It lacks it.
pub(super) fn refuse_without_program(service: &Service) -> Result<(), Failure> {
    let store_path = Path::new(&service.artifact.store_path);
    let Some(word) = service.exec.words().and_then(|words| words.into_iter().next()) else { return Ok(()) };
    let program = service.artifact.program(&word);
    let program = Path::new(&program);
    if !store_path.exists() || !program.starts_with(store_path) || program.is_file() {
        return Ok(());
    }
    let there = fs_err::read_dir(store_path.join("bin")).into_iter().flatten().flatten();
    let mut there: Vec<String> = there.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    there.sort();
    let instead = match there.as_slice() {
        _ if store_path.is_file() => "it is a file itself: say `--command .`".to_owned(),
        [] => "there is nothing in its `bin`".to_owned(),
        names => format!("there is {}", names.iter().take(10).cloned().collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::user(format!("no host can start `{word}`, which is not in {}", store_path.display())).hint(&instead))
}
