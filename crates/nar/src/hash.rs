//! SHA-256 in the spellings of Nix.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use sha2::Digest as _;

use crate::base32;
use crate::error::{NarError, shown};

/// A SHA-256 hash. Shown as Nix shows it: `sha256:` and base 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// A hash that was computed elsewhere.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `sha256:` with base 32, hexadecimal or base 64, or `sha256-` with base 64.
    ///
    /// # Errors
    /// Any other form.
    pub fn parse(text: &str) -> Result<Self, NarError> {
        let bad = || NarError::BadHash { text: shown(text) };
        let bytes = match (text.strip_prefix("sha256:"), text.strip_prefix("sha256-")) {
            (Some(digits), _) if digits.len() == 52 => base32::decode(digits),
            (Some(digits), _) if digits.len() == 64 => HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok(),
            (Some(digits), _) | (None, Some(digits)) if digits.len() == 44 => BASE64.decode(digits.as_bytes()).ok(),
            _ => None,
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(bad)
    }

    /// 52 characters of Nix's base 32, as in the name of a NAR's file.
    pub fn to_base32(&self) -> String {
        base32::encode(&self.0)
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.to_base32())
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_nix_name_the_same_hash() {
        let hash = Sha256::of(b"");
        for text in [
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ] {
            assert_eq!(Sha256::parse(text).unwrap(), hash, "{text}");
        }
        assert_eq!(hash.to_string(), "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
    }

    #[test]
    fn other_algorithms_and_cut_hashes_are_refused() {
        for text in [
            "",
            "sha256:",
            "sha256:00",
            "md5:0mdqa9w1p6cmli6976v4wi0sw9",
            "e3b0c44298fc1c149afbf4c8996fb924",
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9cé",
        ] {
            assert!(Sha256::parse(text).is_err(), "{text}");
        }
    }
}
