//! Scenario scripts: text files that hold what is done and what came of it, played again by a test.

use std::path::Path;

/// Plays every script of `dir` in order of their names and gives what came of each. `BLESS=1` writes that into the files.
///
/// # Panics
/// When one goes otherwise than it is written: with the first line that differs of each.
pub fn play_scenarios(dir: &Path, play: impl Fn(&str) -> String) -> Vec<String> {
    let must = |what: &str, error: std::io::Error| -> ! { panic!("{what} `{}`: {error}", dir.display()) };
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| must("cannot read", error));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there is no script in `{}`", dir.display());
    let (mut different, mut all) = (Vec::new(), Vec::new());
    for path in paths {
        let written = std::fs::read_to_string(&path).unwrap_or_else(|error| must("cannot read a script of", error));
        let now = play(&written);
        if now != written {
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&path, &now).unwrap_or_else(|error| must("cannot write a script of", error));
            } else {
                different.push(format!("{}:\n{}", path.display(), first_difference(&written, &now)));
            }
        }
        all.push(now);
    }
    assert!(different.is_empty(), "{}\nBLESS=1 writes what came out", different.join("\n"));
    all
}

fn first_difference(written: &str, now: &str) -> String {
    let (mut a, mut b) = (written.lines(), now.lines());
    loop {
        match (a.next(), b.next()) {
            (x, y) if x != y => return format!("  written: {x:?}\n  came:    {y:?}"),
            (None, None) => return "  (line ends)".to_owned(),
            _ => {}
        }
    }
}
