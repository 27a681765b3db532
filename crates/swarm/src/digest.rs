//! What is in a volume, in a form that can be compared: every entry with its kind, owner, mode, size and the digest of its bytes.

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a copy of a volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// How many files, directories and links.
    pub entries: u64,
    /// The bytes of all files.
    pub bytes: u64,
    /// The digest of the whole list, as hexadecimal digits.
    pub digest: String,
}

/// Reads an archive to its end. Times count for files only: a directory's changes when something beside it is looked at.
///
/// # Errors
/// It is no archive, or ends early.
pub fn listing_of(archive: impl Read) -> std::io::Result<Listing> {
    let mut archive = tar::Archive::new(archive);
    let mut lines: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let mut bytes = 0_u64;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let header = entry.header().clone();
        let kind = header.entry_type();
        let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
        let time = if kind.is_file() { header.mtime()? } else { 0 };
        let mut hash = Sha256::new();
        let size = std::io::copy(&mut entry, &mut Hashing(&mut hash))?;
        bytes += size;
        let line = format!(
            "{:?} {:o} {} {} {size} {time} {link} {}",
            kind,
            header.mode()? & 0o7777,
            header.uid()?,
            header.gid()?,
            hex(&hash.finalize())
        );
        let path = entry.path_bytes().into_owned();
        lines.insert(path.strip_suffix(b"/").map(<[u8]>::to_vec).unwrap_or(path), line);
    }
    let mut all = Sha256::new();
    for (path, line) in &lines {
        all.update(path);
        all.update([0]);
        all.update(line);
        all.update([0]);
    }
    Ok(Listing { entries: lines.len() as u64, bytes, digest: hex(&all.finalize()) })
}

struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(mode: u32, text: &str, in_other_order: bool) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut names = ["volume/a", "volume/b"];
        if in_other_order {
            names.reverse();
        }
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(mode);
            header.set_uid(33);
            header.set_gid(33);
            header.set_mtime(1);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_listing_tells_contents_and_modes_and_not_their_order() {
        let of = |bytes: Vec<u8>| listing_of(bytes.as_slice()).unwrap();
        let one = of(archive(0o644, "text", false));
        assert_eq!((one.entries, one.bytes), (2, 8));
        assert_eq!(one, of(archive(0o644, "text", true)));
        assert_ne!(one, of(archive(0o600, "text", false)));
        assert_ne!(one, of(archive(0o644, "tex2", false)));
        let cut = archive(0o644, "text", false);
        assert!(listing_of(&cut[..700]).is_err());
    }
}
