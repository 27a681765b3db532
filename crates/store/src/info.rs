//! Facts about store paths: size, hash, references, closure. Read in forms that did not change between Nix 2.8 and 2.34.

use crate::error::StoreError;
use crate::nix::Nix;
use crate::run;

/// What the store knows of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The store path.
    pub path: String,
    /// SHA-256 of its NAR, in hexadecimal.
    pub nar_hash: String,
    /// Size of its NAR in bytes.
    pub nar_size: u64,
    /// The derivation that made it, when known.
    pub deriver: Option<String>,
    /// Paths that it refers to, possibly itself.
    pub references: Vec<String>,
}

impl Nix {
    /// Facts about paths that are there, in their order.
    ///
    /// # Errors
    /// When one is not there.
    pub fn path_info(&self, paths: &[String]) -> Result<Vec<PathInfo>, StoreError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command("nix-store");
        command.arg("--dump-db").args(paths);
        let what = "tell about paths";
        let text = run::short(command, what)?;
        parse_dump(&text).ok_or_else(|| StoreError::Answer {
            what: what.to_owned(),
            reason: "the dump of its database has another form than expected".to_owned(),
        })
    }

    /// The closure of paths that are there: they and all they refer to, what is referred to first.
    ///
    /// # Errors
    /// When one is not there.
    pub fn requisites(&self, paths: &[String]) -> Result<Vec<String>, StoreError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command("nix-store");
        command.args(["--query", "--requisites"]).args(paths);
        Ok(run::short(command, "list a closure")?.lines().map(str::to_owned).collect())
    }

    /// Names and paths of a derivation's outputs, sorted by name.
    ///
    /// # Errors
    /// When the derivation is not there.
    pub fn outputs_of(&self, derivation: &str) -> Result<Vec<(String, String)>, StoreError> {
        let what = "tell the outputs of a derivation";
        let mut command = self.command("nix-store");
        command.args(["--query", "--binding", "outputs", derivation]);
        // Every derivation with more than the one output `out` binds `outputs` for its builder.
        let names = match run::short(command, what) {
            Ok(names) => names.split_whitespace().map(str::to_owned).collect(),
            Err(StoreError::Failed { .. }) => vec!["out".to_owned()],
            Err(error) => return Err(error),
        };
        let mut outputs = Vec::new();
        for name in names {
            let mut command = self.command("nix-store");
            command.args(["--query", "--binding", &name, derivation]);
            outputs.push((name, run::short(command, what)?.trim().to_owned()));
        }
        outputs.sort();
        Ok(outputs)
    }
}

fn parse_dump(text: &str) -> Option<Vec<PathInfo>> {
    let mut lines = text.lines();
    let mut infos = Vec::new();
    while let Some(path) = lines.next() {
        let nar_hash = lines.next()?.to_owned();
        let nar_size = lines.next()?.parse().ok()?;
        let deriver = Some(lines.next()?).filter(|deriver| !deriver.is_empty()).map(str::to_owned);
        let count: usize = lines.next()?.parse().ok()?;
        let mut references = Vec::new();
        for _ in 0..count {
            references.push(lines.next()?.to_owned());
        }
        infos.push(PathInfo { path: path.to_owned(), nar_hash, nar_size, deriver, references });
    }
    Some(infos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_to_its_end() {
        let infos = parse_dump("/s/a\nff\n120\n\n0\n/s/b\nee\n7\n/s/b.drv\n2\n/s/a\n/s/b\n").unwrap();
        assert_eq!(infos[0].deriver, None);
        assert_eq!(infos[1].references, ["/s/a", "/s/b"]);
        assert_eq!(infos[1].deriver.as_deref(), Some("/s/b.drv"));
    }

    #[test]
    fn a_dump_that_is_cut_is_refused() {
        for text in ["/s/a\nff\n", "/s/a\nff\nmany\n\n0\n", "/s/a\nff\n1\n\n2\n/s/b\n"] {
            assert_eq!(parse_dump(text), None);
        }
    }
}
