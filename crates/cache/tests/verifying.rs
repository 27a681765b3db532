//! What a verification finds wrong about a cache itself, and which closures are whole.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use std::sync::atomic::AtomicBool;

use common::on_one_nix;
use freehold_cache::{Condition, Depot, Kind, VerifyOptions, gaps, verify};
use freehold_nar::{NarInfo, SecretKey, StorePath, TrustedKeys};

static NEVER: AtomicBool = AtomicBool::new(false);

/// What is found, or the reason why nothing can be.
fn said(depot: &Depot) -> Vec<String> {
    match verify(depot, VerifyOptions { trusted: None, contents: true }, &|_| {}, &NEVER) {
        Ok(verified) => {
            verified.problems.into_iter().map(|p| format!("{}: {}", p.path.unwrap_or(p.key), p.what)).collect()
        }
        Err(error) => vec![format!("error: {error}")],
    }
}

#[test]
fn the_head_of_a_cache_is_looked_at_and_a_place_without_one_is_no_cache() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        assert_eq!(
            said(&depot),
            [format!("error: there is no cache at `{}`: neither a `nix-cache-info` nor a path", depot.url())]
        );
        let base = world.build("base");
        world.push(&depot, &[&base]).unwrap();
        assert_eq!(said(&depot), [""; 0]);
        depot.put("nix-cache-info", b"StoreDir\n", Kind::CacheInfo, &Condition::None).unwrap();
        assert_eq!(said(&depot), ["nix-cache-info: not a nix-cache-info: `StoreDir` has no colon"]);
        depot.delete("nix-cache-info").unwrap();
        assert_eq!(said(&depot), ["nix-cache-info: it is missing, so no Nix takes this for a cache"]);
        depot.put("nix-cache-info", b"StoreDir: /other\n", Kind::CacheInfo, &Condition::None).unwrap();
        assert_eq!(said(&depot), [format!("{base}: it is not in the cache's store directory, `/other`")]);
    });
}

#[test]
fn a_reference_is_to_a_path_and_not_to_its_hash() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let (lib, base) = (world.build("lib"), world.build("base"));
        world.push(&depot, &[&lib]).unwrap();
        let key = NarInfo::key_of(&base);
        let text = String::from_utf8(depot.get(&key).unwrap().unwrap().body).unwrap();
        let other = text.replace(&format!("{}\n", base.as_str()), &format!("{}-other\n", base.as_str()));
        depot.put(&key, other.as_bytes(), Kind::NarInfo, &Condition::None).unwrap();
        assert_eq!(said(&depot), [format!("{lib}: it refers to `{base}`, which is not there")]);
    });
}

#[test]
fn what_a_pull_of_a_closure_would_miss_is_told_with_the_closure() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let (app, other) = (world.build("app"), world.build("other"));
        let (lib, base, big) = (world.build("lib"), world.build("base"), world.build("big"));
        world.push(&depot, &[&app, &other]).unwrap();
        let roots = [app.clone(), other.clone()];
        let told = |trusted: Option<&TrustedKeys>| {
            let mut told: Vec<_> = gaps(&depot, &roots, trusted, &NEVER)
                .unwrap()
                .into_iter()
                .map(|gap| format!("{}: {} {}", gap.root.name(), gap.path.name(), gap.what))
                .collect();
            told.sort();
            told
        };
        assert_eq!(told(Some(&world.trusted())), [""; 0]);
        let stranger = SecretKey::generate("stranger-1").unwrap();
        assert_eq!(told(Some(&TrustedKeys::new(vec![stranger.public()]))).len(), 5);
        depot.delete(&NarInfo::key_of(&base)).unwrap();
        let nar =
            |path: &StorePath| NarInfo::parse(&depot.get(&NarInfo::key_of(path)).unwrap().unwrap().body).unwrap().url;
        depot.delete(&nar(&big)).unwrap();
        depot.put(&nar(&lib), b"half", Kind::Nar, &Condition::None).unwrap();
        let told = told(None);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("app: big has no NAR: `nar/"), "{told:?}");
        assert!(told[1].starts_with("app: lib has a NAR of 4 bytes instead of"), "{told:?}");
        assert_eq!(told[2], format!("other: base is not in the cache (`{other}` refers to it)"));
    });
}
