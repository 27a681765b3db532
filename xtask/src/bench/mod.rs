//! Figures: `bench` runs the workspace's own benchmarks, `bench peers` measures freehold side by side with OpenTofu and Terraform.
//!
//! Every table is Markdown on stdout, so that it can go into `docs/performance.md` as it is. A program that is not at hand gets a
//! row that says so. It builds nothing but freehold: `scripts/interop-tools tofu terraform-provider-local` makes the peers.
//!
//! Where to go next: `peers.rs` (times), `kills.rs` (what is forgotten after a kill), `tool.rs` (how each program is called).

mod kills;
mod measure;
mod peers;
mod tool;

use std::path::{Path, PathBuf};

use crate::Outcome;

const USAGE: &str = "usage: xtask bench [--bench NAME] | bench peers [--sizes 1000,5000] [--kills 4]";

/// How much to measure.
struct Options {
    sizes: Vec<usize>,
    kills: usize,
}

/// Runs what the words ask for.
pub(crate) fn run(root: &Path, words: &[&str]) -> Outcome<()> {
    match words.split_first() {
        Some((&"peers", rest)) => {
            let options = parse(rest)?;
            let tools = tool::all(root)?;
            peers::run(&tools, &options.sizes)?;
            kills::run(&tools, options.kills)
        }
        _ => own(root, words),
    }
}

/// The benchmarks of the workspace's crates, with `cargo bench`.
fn own(root: &Path, words: &[&str]) -> Outcome<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let which: &[&str] = if words.is_empty() { &["--benches"] } else { words };
    let status = std::process::Command::new(cargo)
        .current_dir(root)
        .args(["bench", "--quiet", "--workspace", "--exclude", "xtask"])
        .args(which)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the benchmarks failed: {status}")) }
}

fn parse(words: &[&str]) -> Outcome<Options> {
    let mut options = Options { sizes: vec![1_000, 5_000], kills: 4 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match *word {
            "--sizes" => {
                let sizes: Result<_, _> = value.split(',').map(str::parse).collect();
                options.sizes = sizes.map_err(|_| USAGE)?;
            }
            "--kills" => options.kills = value.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("fh-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_kills_are_read() {
        let options = parse(&["--sizes", "10,20", "--kills", "3"]).unwrap();
        assert_eq!((options.sizes, options.kills), (vec![10, 20], 3));
        assert!(parse(&["--sizes", "many"]).is_err());
        assert!(parse(&["--kills"]).is_err());
    }
}
