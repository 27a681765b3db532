//! Damaged caches: a narinfo field by field, and a NAR at each of its bytes' kinds, cut and flipped. What is damaged is refused by the
//! path's name, before Nix is given any of it; what damage cannot matter is taken as it should be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use common::{World, on_one_nix};
use freehold_cache::{Condition, Depot, Kind};
use freehold_nar::{Compression, NarInfo, Sha256, StorePath};

/// Pulls a path from a cache in which a narinfo was changed: nothing when it was taken, the refusal else.
fn pull_with(world: &World, depot: &Depot, path: &StorePath, text: &str) -> Option<String> {
    let key = NarInfo::key_of(path);
    let good = depot.get(&key).unwrap().unwrap().body;
    depot.put(&key, text.as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
    let result = world.pull(depot, path, &world.trusted());
    depot.put(&key, &good, Kind::NarInfo, &Condition::None).unwrap();
    let _ = std::fs::remove_dir_all(world.scratch.join("staging"));
    match result {
        Ok(_) => {
            assert!(world.has(path));
            world.forget();
            None
        }
        Err(error) => {
            assert!(!world.has(path), "{error}");
            Some(error.to_string())
        }
    }
}

/// The same line with another value, of the same kind where that can be.
fn flipped(line: &str) -> String {
    let (key, value) = line.split_once(": ").unwrap();
    let mut bytes = value.as_bytes().to_vec();
    // Within a hash, a name or a number, and not in its form.
    let at = bytes.len() / 2;
    bytes[at] = match bytes[at] {
        b'1' => b'2',
        b'a' => b'b',
        b'0'..=b'9' => b'1',
        _ => b'a',
    };
    format!("{key}: {}", String::from_utf8(bytes).unwrap())
}

#[test]
fn a_narinfo_is_refused_whichever_field_of_it_is_damaged() {
    on_one_nix(|world| {
        let lib = world.build("lib");
        let depot = world.directory("cache");
        world.push(&depot, &[&lib]).unwrap();
        world.forget();
        let text = String::from_utf8(depot.get(&NarInfo::key_of(&lib)).unwrap().unwrap().body).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let mut taken = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let field = line.split(':').next().unwrap();
            let with = |replacement: &[String]| -> String {
                let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                changed.splice(at..=at, replacement.iter().cloned());
                changed.join("\n") + "\n"
            };
            let damages = [
                ("left out", with(&[])),
                ("empty", with(&[format!("{field}: ")])),
                ("without its colon", with(&[line.replacen(':', "", 1)])),
                ("other", with(&[flipped(line)])),
                ("longer", with(&[format!("{line}x")])),
                ("twice", with(&[(*line).to_owned(), (*line).to_owned()])),
                ("of two lines", with(&[line.replacen(' ', "\n", 1)])),
                ("with a zero byte", with(&[format!("{line}\0")])),
            ];
            for (damage, text) in damages {
                match pull_with(world, &depot, &lib, &text) {
                    None => taken.push(format!("{field} {damage}")),
                    Some(said) => {
                        let is_named = said.contains(lib.as_str()) || said.contains(&NarInfo::key_of(&lib));
                        assert!(is_named, "{field} {damage}: {said}");
                    }
                }
            }
        }
        taken.sort();
        // What is not signed and says nothing of what is inside: where it was built from, and what the NAR's own hash tells as well.
        insta::assert_snapshot!(taken.join("\n"));
    });
}

/// Pulls a path whose NAR's file was changed in the cache, with a narinfo that says what the file is now.
fn pull_changed(world: &World, depot: &Depot, path: &StorePath, file: &[u8]) -> Option<String> {
    let mut info = NarInfo::parse(&depot.get(&NarInfo::key_of(path)).unwrap().unwrap().body).unwrap();
    let good = depot.get(&info.url).unwrap().unwrap().body;
    depot.put(&info.url, file, Kind::Nar, &Condition::None).unwrap();
    // Neither is signed: whoever changes the one can change the other.
    (info.file_hash, info.file_size) = (Some(Sha256::of(file)), Some(file.len() as u64));
    let said = pull_with(world, depot, path, &info.render());
    depot.put(&info.url, &good, Kind::Nar, &Condition::None).unwrap();
    said
}

#[test]
fn a_nar_is_refused_wherever_it_is_cut_or_flipped() {
    on_one_nix(|world| {
        let base = world.build("base");
        let lib = world.build("lib");
        for compression in [Compression::None, Compression::Zstd, Compression::Xz] {
            let depot = world.directory(&format!("cache-{}", compression.as_str()));
            world.build("lib");
            world.push_as(&depot, &[&lib], compression.clone()).unwrap();
            world.forget();
            // What `lib` needs is there: each pull is of one path.
            world.pull(&depot, &base, &world.trusted()).unwrap();
            let info = NarInfo::parse(&depot.get(&NarInfo::key_of(&lib)).unwrap().unwrap().body).unwrap();
            let file = depot.get(&info.url).unwrap().unwrap().body;
            // A NAR is made of words of eight bytes: lengths, names of fields, types, contents, padding. Its first and last are hit too.
            let step = if compression == Compression::None { 8 } else { 24 };
            for (turn, at) in (0..file.len()).step_by(step).chain([file.len() - 1]).enumerate() {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << (at % 8);
                let (cut, longer) = (file[..at].to_vec(), [&file[..at], &[0; 8], &file[at..]].concat());
                // Each place is flipped, and in turns cut or made longer: nowhere is one of the three missing for long.
                let second = if turn % 2 == 0 { ("cut", cut) } else { ("longer", longer) };
                for (damage, file) in [("flipped", flipped), second] {
                    let said = pull_changed(world, &depot, &lib, &file);
                    let what = format!("{damage} at {at} of {} bytes, {}", info.nar_size, compression.as_str());
                    assert!(said.as_ref().is_some_and(|said| said.contains(lib.as_str())), "{what}: {said:?}");
                }
            }
            world.forget();
        }
    });
}
