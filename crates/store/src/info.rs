//! Facts about store paths: size, hash, references, closure. Read in forms that did not change between Nix 2.8 and 2.34.

use crate::error::StoreError;
use crate::nix::Nix;
use crate::realise::chunks;
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
        let what = "tell about paths";
        let mut infos = Vec::with_capacity(paths.len());
        for chunk in chunks(paths.to_vec()) {
            let mut command = self.command("nix-store");
            command.arg("--dump-db").args(&chunk);
            let text = run::short(command, what)?;
            infos.extend(parse_dump(&text).ok_or_else(|| StoreError::Answer {
                what: what.to_owned(),
                reason: "the dump of its database has another form than expected".to_owned(),
            })?);
        }
        Ok(infos)
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
    /// When the derivation cannot be read, or its outputs are named by their content only.
    pub fn outputs_of(&self, derivation: &str) -> Result<Vec<(String, String)>, StoreError> {
        let what = || format!("tell the outputs of `{derivation}`");
        let text = fs_err::read_to_string(derivation)
            .map_err(|e| StoreError::Failed { what: what(), message: e.to_string() })?;
        let mut outputs = parse_outputs(&text).ok_or_else(|| StoreError::Answer {
            what: what(),
            reason: "the derivation has another form than expected".to_owned(),
        })?;
        if outputs.iter().any(|(_, path)| path.is_empty()) {
            let message = "its outputs are named by their content, which is not supported".to_owned();
            return Err(StoreError::Failed { what: what(), message });
        }
        outputs.sort();
        Ok(outputs)
    }
}

/// The head of a derivation file: `Derive([("out","/nix/store/…","",""),…],…`.
fn parse_outputs(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.strip_prefix("Derive([")?;
    let mut outputs = Vec::new();
    loop {
        rest = rest.strip_prefix('(')?;
        let mut fields = Vec::new();
        for end in [',', ',', ',', ')'] {
            let (field, after) = parse_string(rest)?;
            fields.push(field);
            rest = after.strip_prefix(end)?;
        }
        let mut fields = fields.into_iter();
        outputs.push((fields.next()?, fields.next()?));
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.starts_with(']').then_some(outputs),
        }
    }
}

/// A quoted string and what follows it.
fn parse_string(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
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

    #[test]
    fn the_outputs_of_a_derivation_are_read_from_its_head() {
        let head = "Derive([(\"dev\",\"/s/x-dev\",\"\",\"\"),(\"out\",\"/s/x\",\"r:sha256\",\"\\\"q\")],[],…";
        let expected = [("dev".to_owned(), "/s/x-dev".to_owned()), ("out".to_owned(), "/s/x".to_owned())];
        assert_eq!(parse_outputs(head).unwrap(), expected);
        for end in 0..head.len() {
            // Wherever it is cut: no panic, and no half of an output.
            let cut = head.get(..end).and_then(parse_outputs);
            assert!(cut.is_none_or(|outputs| outputs == expected), "{end}");
        }
    }
}
