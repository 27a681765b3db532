//! Names and places of the GC roots of one build, and their care.
//!
//! A root is a link in a directory of the deployment, named after the member. Only links that still lead where we put them are
//! ever removed: after a rename, a link may belong to another member.

use std::path::{Path, PathBuf};

use freehold_provider::sdk::{Context, Failure};
use freehold_store::{Nix, StoreError};
use serde::{Deserialize, Serialize};

/// One root as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    /// The link.
    pub(crate) link: PathBuf,
    /// Where it leads.
    pub(crate) path: String,
}

/// The notes that are handed back to us.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    pub(crate) roots: Vec<Root>,
}

/// Puts a root on each output, reusing the links of `before`, and removes what is left of those.
pub(crate) fn keep(
    ctx: &Context,
    nix: &Nix,
    name: Option<&str>,
    outputs: &[(String, String)],
    before: &Notes,
) -> Result<Notes, Failure> {
    let directory = match (ctx.config_text("rootDirectory"), std::env::var_os("FREEHOLD_WORK_DIR")) {
        (Some(directory), _) => ctx.resolve(&directory),
        (None, Some(work)) => Path::new(&work).join("gcroots"),
        (None, None) => ctx.resolve(".freehold/gcroots"),
    };
    let name = file_name(name.unwrap_or(ctx.member()));
    let mut notes = Notes::default();
    for (output, path) in outputs {
        let file = if output == "out" { name.clone() } else { format!("{name}-{output}") };
        let taken: Vec<&Path> = notes.roots.iter().map(|root: &Root| root.link.as_path()).collect();
        let link = free_link(&directory.join(file), path, before, &taken);
        nix.add_root(path, &link).map_err(failure)?;
        notes.roots.push(Root { link, path: path.clone() });
    }
    let stale = before.roots.iter().filter(|old| notes.roots.iter().all(|new| new.link != old.link));
    for root in stale {
        remove(nix, root)?;
    }
    Ok(notes)
}

/// Removes roots that still lead where we put them.
pub(crate) fn release(nix: &Nix, notes: &Notes) -> Result<(), Failure> {
    notes.roots.iter().try_for_each(|root| remove(nix, root))
}

/// How many roots are as we left them.
pub(crate) fn standing(nix: &Nix, notes: &Notes) -> Result<usize, Failure> {
    let mut standing = 0;
    for root in &notes.roots {
        let kept = nix.rooted(&root.link).map_err(failure)?;
        standing += usize::from(kept.as_deref() == Some(Path::new(&root.path)));
    }
    Ok(standing)
}

/// A failure of the store as one of the provider.
#[allow(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
pub(crate) fn failure(error: StoreError) -> Failure {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    if !error.log().is_empty() {
        message.push_str("\nthe last that its builder said:");
        for line in error.log() {
            message.push_str(&format!("\n  {line}"));
        }
    }
    if matches!(error, StoreError::Stopped { .. }) {
        return Failure::cancelled();
    }
    let failure = Failure::new(error.kind(), message);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn remove(nix: &Nix, root: &Root) -> Result<(), Failure> {
    match root.link.read_link() {
        Ok(leads) if leads == Path::new(&root.path) => nix.remove_root(&root.link).map_err(failure),
        _ => Ok(()),
    }
}

/// `wanted`, or the same with a number where another build's root is.
fn free_link(wanted: &Path, path: &str, before: &Notes, taken: &[&Path]) -> PathBuf {
    let ours = |link: &Path| before.roots.iter().any(|root| root.link == link);
    let is_free = |link: &Path| {
        !taken.contains(&link) && (ours(link) || link.read_link().map_or(true, |leads| leads == Path::new(path)))
    };
    let numbered = (2..).map(|n| PathBuf::from(format!("{}-{n}", wanted.display())));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|link| is_free(link)).unwrap_or_else(|| wanted.to_owned())
}

/// A member's path as a file name: readable, and different for different members.
fn file_name(member: &str) -> String {
    let mut name = String::new();
    for byte in member.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    match name.len() {
        0 => "build".to_owned(),
        1..=200 => name,
        // A file name has at most 255 bytes; the end of a path tells more than its beginning.
        long => name[long - 200..].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_paths_make_readable_file_names() {
        assert_eq!(file_name("hosts.web1"), "hosts.web1");
        assert_eq!(file_name("files.\"a b/ü\""), "files.%22a%20b%2f%c3%bc%22");
        assert_eq!(file_name("../x"), "%2e.%2fx");
        assert_eq!(file_name(""), "build");
        assert!(file_name(&"é".repeat(900)).len() <= 200);
    }
}
