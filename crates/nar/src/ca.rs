//! Whether a path is addressed by its content as a narinfo says: that line is not signed, and Nix refuses a path of which it is not true.
//!
//! Facts: NixOS/nix `src/libstore/store-dir-config.cc` (`makeStorePath`, `makeFixedOutputPath`, `makeTextPath`), also in the manual as
//! "complete store path calculation". Content that Git hashed is not looked at.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::Digest as _;

use crate::base32;
use crate::hash::Sha256;
use crate::narinfo::NarInfo;

/// Bytes of the hash in a store path.
const COMPRESSED: usize = 20;

impl NarInfo {
    /// Whether the path is the one that its `CA` line comes to; `None` when there is no such line, or one of a kind that is not known.
    pub fn is_addressed_as_said(&self) -> Option<bool> {
        let (kind, rest) = self.ca.as_deref()?.split_once(':')?;
        let refers_to_itself = self.references.contains(&self.path);
        let others = self.references.iter().filter(|reference| **reference != self.path);
        let with_references = |kind: &str| others.fold(kind.to_owned(), |text, other| format!("{text}:{other}"));
        let (is_nar, hash) = match rest.strip_prefix("r:") {
            Some(hash) => (true, hash),
            None => (false, rest),
        };
        match kind {
            "text" => {
                let hash = Sha256::parse(rest).ok()?;
                Some(!refers_to_itself && self.is_made_of(&with_references("text"), &hash))
            }
            "fixed" if is_nar && (hash.starts_with("sha256:") || hash.starts_with("sha256-")) => {
                let hash = Sha256::parse(hash).ok()?;
                let own = if refers_to_itself { ":self" } else { "" };
                // With a reference to itself it is the hash of a NAR in which that is blanked.
                let is_that_nar = refers_to_itself || hash == self.nar_hash;
                Some(is_that_nar && self.is_made_of(&(with_references("source") + own), &hash))
            }
            "fixed" => {
                let (algorithm, digits) = hash.split_once(':')?;
                let length = match algorithm {
                    "md5" => 16,
                    "sha1" => 20,
                    "sha256" => 32,
                    "sha512" => 64,
                    _ => return None,
                };
                let hex = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().filter(|bytes| bytes.len() == length);
                let bytes = hex.or_else(|| base32::decode(digits)).filter(|bytes| bytes.len() == length)?;
                let how = if is_nar { "r:" } else { "" };
                let inner = format!("fixed:out:{how}{algorithm}:{}:", HEXLOWER.encode(&bytes));
                Some(self.references.is_empty() && self.is_made_of("output:out", &Sha256::of(inner.as_bytes())))
            }
            _ => None,
        }
    }

    /// Whether the path's own hash is that of this kind and this inner hash.
    fn is_made_of(&self, kind: &str, inner: &Sha256) -> bool {
        let (dir, name) = (self.path.dir(), self.path.name());
        let text = format!("{kind}:sha256:{}:{dir}:{name}", HEXLOWER.encode(inner.as_bytes()));
        let mut folded = [0_u8; COMPRESSED];
        for (at, byte) in sha2::Sha256::digest(text).iter().enumerate() {
            if let Some(slot) = folded.get_mut(at % COMPRESSED) {
                *slot ^= byte;
            }
        }
        base32::encode(&folded) == self.path.hash_part()
    }
}
