//! Store paths: `/nix/store/<32 characters>-<name>`, in any store directory.

use crate::base32;
use crate::error::{NarError, shown};

/// Characters of the hash in a store path.
const HASH: usize = 32;
/// Longest name, so that a lock file's name still fits into what file systems take.
const NAME: usize = 211;

/// A path directly below a store's directory, well formed. Whether it is there is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorePath {
    text: String,
    /// Where its base name begins.
    base: usize,
}

impl StorePath {
    /// Reads an absolute path.
    ///
    /// # Errors
    /// When it is not absolute, or its last part is not a hash, a dash and a name.
    pub fn parse(text: &str) -> Result<Self, NarError> {
        let bad = |reason| NarError::BadPath { text: shown(text), reason };
        let (dir, base) = text.rsplit_once('/').ok_or_else(|| bad("it must be absolute"))?;
        if !dir.starts_with('/') || dir.contains(char::is_control) {
            return Err(bad("it must be absolute"));
        }
        check(base).map_err(bad)?;
        Ok(Self { text: text.to_owned(), base: dir.len() + 1 })
    }

    /// The path of that base name in the same store as this one.
    ///
    /// # Errors
    /// When it is not a hash, a dash and a name.
    pub fn sibling(&self, base: &str) -> Result<Self, NarError> {
        check(base).map_err(|reason| NarError::BadPath { text: shown(base), reason })?;
        Ok(Self { text: format!("{}/{base}", self.dir()), base: self.base })
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The store's directory.
    pub fn dir(&self) -> &str {
        &self.text[..self.base - 1]
    }

    /// Hash, dash and name.
    pub fn base_name(&self) -> &str {
        &self.text[self.base..]
    }

    /// The 32 characters that name its narinfo.
    pub fn hash_part(&self) -> &str {
        &self.text[self.base..self.base + HASH]
    }

    /// What follows the hash.
    pub fn name(&self) -> &str {
        &self.text[self.base + HASH + 1..]
    }

    /// Whether a text has the form of [`StorePath::hash_part`].
    pub fn is_hash_part(text: &str) -> bool {
        text.len() == HASH && text.chars().all(base32::is_digit)
    }
}

impl std::fmt::Display for StorePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn check(base: &str) -> Result<(), &'static str> {
    let (hash, rest) = base.split_at_checked(HASH).ok_or("its name must be a hash, a dash and a name")?;
    let name = rest.strip_prefix('-').ok_or("its name must be a hash, a dash and a name")?;
    if !StorePath::is_hash_part(hash) {
        return Err("its hash has characters that Nix does not use");
    }
    if name.is_empty() || name.len() > NAME {
        return Err("its name is empty or too long");
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    if !name.chars().all(fine) || [".", ".."].contains(&name.split('-').next().unwrap_or_default()) {
        return Err("its name has characters that Nix does not use");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "bssq1i34r9ixn22c79qfqskrvfvh9ipq";

    #[test]
    fn a_path_has_a_directory_a_hash_and_a_name() {
        let path = StorePath::parse(&format!("/nix/store/{HASH}-hello-2.12+x_?=.drv")).unwrap();
        assert_eq!((path.dir(), path.hash_part(), path.name()), ("/nix/store", HASH, "hello-2.12+x_?=.drv"));
        assert_eq!(path.sibling(&format!("{HASH}-b")).unwrap().as_str(), format!("/nix/store/{HASH}-b"));
        assert_eq!(StorePath::parse(&format!("/home/me/s/{HASH}-a")).unwrap().dir(), "/home/me/s");
    }

    #[test]
    fn what_is_no_store_path_is_refused_with_the_reason() {
        let said = |text: &str| StorePath::parse(text).unwrap_err().to_string();
        assert_eq!(said("a"), "`a` is no store path: it must be absolute");
        assert_eq!(said("/etc/passwd"), "`/etc/passwd` is no store path: its name must be a hash, a dash and a name");
        for (tail, reason) in [
            (format!("{HASH}-"), "its name is empty or too long"),
            (format!("{HASH}-{}", "a".repeat(212)), "its name is empty or too long"),
            (format!("{HASH}-a b"), "its name has characters that Nix does not use"),
            (format!("{HASH}-.."), "its name has characters that Nix does not use"),
            (format!("{}e-a", &HASH[1..]), "its hash has characters that Nix does not use"),
            (format!("{HASH}a"), "its name must be a hash, a dash and a name"),
            (format!("{}ä-a", &HASH[1..]), "its name must be a hash, a dash and a name"),
        ] {
            assert!(said(&format!("/nix/store/{tail}")).ends_with(reason), "{tail}");
        }
    }
}
