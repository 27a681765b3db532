//! `nix-cache-info`: the first file that Nix asks a binary cache for.

use crate::error::{NarError, shown};
use freehold_model::limits;

/// What a cache says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheInfo {
    /// The store directory of its paths; a Nix with another one does not use it.
    pub store_dir: String,
    /// Whether it likes to be asked for many paths that it may not have.
    pub want_mass_query: bool,
    /// Lower is asked first; `None` leaves it to Nix (50).
    pub priority: Option<u32>,
}

impl CacheInfo {
    /// Where it lies in a cache.
    pub const KEY: &'static str = "nix-cache-info";

    /// Reads it. Unknown keys are ignored, as Nix does.
    ///
    /// # Errors
    /// Lines without a colon, numbers that are none, no store directory.
    pub fn parse(bytes: &[u8]) -> Result<Self, NarError> {
        let bad = |reason: String| NarError::BadCacheInfo { reason };
        if bytes.len() > limits::NARINFO_BYTES {
            return Err(bad("it is too long".to_owned()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".to_owned()))?;
        let (mut store_dir, mut want_mass_query, mut priority) = (None, false, None);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(':').ok_or_else(|| bad(format!("`{}` has no colon", shown(line))))?;
            let value = value.trim();
            match key {
                "StoreDir" if value.starts_with('/') => store_dir = Some(value.to_owned()),
                "StoreDir" => return Err(bad(format!("StoreDir `{}` is not absolute", shown(value)))),
                "WantMassQuery" => want_mass_query = value == "1",
                "Priority" => {
                    let number = value.parse().map_err(|_| bad(format!("Priority `{}` is no number", shown(value))))?;
                    priority = Some(number);
                }
                _ => {}
            }
        }
        let store_dir = store_dir.ok_or_else(|| bad("it names no StoreDir".to_owned()))?;
        Ok(Self { store_dir, want_mass_query, priority })
    }

    /// Writes it as Nix does.
    pub fn render(&self) -> String {
        let mut text = format!("StoreDir: {}\n", self.store_dir);
        if self.want_mass_query {
            text.push_str("WantMassQuery: 1\n");
        }
        if let Some(priority) = self.priority {
            text.push_str(&format!("Priority: {priority}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["StoreDir: /nix/store\n", "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n"] {
            assert_eq!(CacheInfo::parse(text.as_bytes()).unwrap().render(), text);
        }
    }

    #[test]
    fn unknown_keys_are_ignored_and_broken_ones_refused() {
        assert!(CacheInfo::parse(b"StoreDir: /s\nColour: blue\n").is_ok());
        for text in ["", "StoreDir\n", "StoreDir: s\n", "StoreDir: /s\nPriority: high\n"] {
            assert!(CacheInfo::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
