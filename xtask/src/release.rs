//! The release binary: one static file, so that a host needs nothing else.
//!
//! musl when its target (and a C compiler for it) is installed; otherwise glibc linked statically, which cannot load NSS
//! modules: it resolves names from files and DNS only.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::cargo;
use crate::{Outcome, stdout_of};

const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// Builds it, checks that it is static and starts, and prints its path and size.
pub(crate) fn run(root: &Path) -> Outcome<()> {
    let target = if has_musl(root) { MUSL } else { GLIBC };
    println!("building for {target}");
    let binary = build(root, target)?;
    let bytes = std::fs::read(&binary).map_err(|error| format!("cannot read `{}`: {error}", binary.display()))?;
    if !is_static(&bytes)? {
        return Err(format!("`{}` is not static: it asks for a loader", binary.display()));
    }
    let version = stdout_of(root, &binary.to_string_lossy(), &["--version"])?;
    println!("{}", binary.display());
    println!("{}: static, {:.1} MB", version.trim(), bytes.len() as f64 / 1e6);
    Ok(())
}

fn has_musl(root: &Path) -> bool {
    let libraries = stdout_of(root, "rustc", &["--print", "target-libdir", "--target", MUSL]);
    let has_std = libraries.is_ok_and(|path| Path::new(path.trim()).is_dir());
    has_std && Command::new("musl-gcc").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn build(root: &Path, target: &str) -> Outcome<PathBuf> {
    let status = cargo(root)
        .args(["build", "--release", "--locked", "--package", "freehold-cli", "--bin", "freehold", "--target", target])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CC_x86_64_unknown_linux_musl", "musl-gcc")
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the build failed: {status}"));
    }
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(folder.join(target).join("release/freehold"))
}

/// Whether an ELF file has no program interpreter, that is: needs no loader and no libraries.
fn is_static(elf: &[u8]) -> Outcome<bool> {
    const INTERPRETER: u32 = 3;
    let broken = || "the binary is not a 64-bit little-endian ELF file".to_owned();
    if elf.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return Err(broken());
    }
    let number = |at: usize, size: usize| -> Outcome<usize> {
        let bytes = elf.get(at..at + size).ok_or_else(broken)?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let (table, entry, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    for index in 0..count {
        if number(table + index * entry, 4)? == INTERPRETER as usize {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(is_static(&own), Ok(false));
        assert!(is_static(b"#!/bin/sh").is_err());
    }
}
