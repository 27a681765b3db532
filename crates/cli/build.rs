//! Lists the files of the Nix library (`nix/` at the root of the repository), so that the binary carries them.
//!
//! Tests of the library are left out. `src/library.rs` unpacks what is listed here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../nix");
    let root = root.canonicalize()?;
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    list(&root, &mut files)?;
    files.sort();
    let mut digest = Fnv::new();
    let mut code = String::from("pub(super) const FILES: &[(&str, &[u8])] = &[\n");
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&root).map_err(std::io::Error::other)?.display().to_string();
        digest.take(name.as_bytes());
        digest.take(&std::fs::read(file)?);
        let _ = writeln!(code, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
    }
    let _ = write!(code, "];\npub(super) const DIGEST: &str = \"{:032x}\";\n", digest.0);
    let out = PathBuf::from(std::env::var("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("library.rs"), code)
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    println!("cargo:rerun-if-changed={}", dir.display());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "tests") {
                list(&path, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "nix" || e == "json") {
            files.push(path);
        }
    }
    Ok(())
}

/// FNV-1a with 128 bits: names a directory in a cache, nothing more.
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// Takes in the bytes and their number, so that `ab c` and `a bc` differ.
    fn take(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
        for byte in bytes.iter().chain(&length) {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}
