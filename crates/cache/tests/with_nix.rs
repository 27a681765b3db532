//! Caches and each Nix: what we push it takes, what it pushes we take, and what was tampered with nobody takes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use std::path::PathBuf;

use common::{World, bucket, on_each_nix, server};
use freehold_cache::{Depot, VerifyOptions, verify};
use freehold_nar::{Compression, NarInfo, SecretKey, StorePath, TrustedKeys};
use freehold_testkit::Minio;

/// Everything in a cache is signed and as it says.
fn verify_all(world: &World, depot: &Depot, paths: usize) {
    let trusted = world.trusted();
    let options = VerifyOptions { trusted: Some(&trusted), contents: true };
    let verified = verify(depot, options, &|_| {}, &std::sync::atomic::AtomicBool::new(false)).unwrap();
    assert_eq!((verified.paths, verified.problems.as_slice(), verified.unnamed_nars), (paths, &[][..], 0));
}

#[test]
fn what_is_pushed_is_taken_by_nix_with_its_own_checks() {
    on_each_nix(|world| {
        let app = world.build("app");
        for compression in [Compression::Zstd, Compression::Xz, Compression::None] {
            let name = format!("cache-{}", compression.as_str());
            let depot = world.directory(&name);
            let pushed = world.push_as(&depot, &[&app], compression).unwrap();
            assert_eq!((pushed.paths, pushed.new), (4, 4));
            verify_all(world, &depot, 4);
            world.forget();
            let url = format!("file://{}", world.scratch.join(&name).display());
            let keys = world.key.public().to_string();
            world.nix(&["copy", "--option", "trusted-public-keys", &keys, "--from", &url, app.as_str()]);
            world.nix(&[
                "store",
                "verify",
                "--recursive",
                "--option",
                "trusted-public-keys",
                &keys,
                "--sigs-needed",
                "1",
                app.as_str(),
            ]);
            assert!(PathBuf::from(app.as_str()).join("ünï").is_file());
        }
    });
}

#[test]
fn what_is_pushed_reads_byte_for_byte_like_what_nix_pushes() {
    on_each_nix(|world| {
        let app = world.build("app");
        world.push_as(&world.directory("ours"), &[&app], Compression::None).unwrap();
        let secret = world.scratch.write("key", world.key.to_text().expose());
        let url = format!(
            "file://{}?compression=none&want-mass-query=true&secret-key={}",
            world.scratch.join("theirs").display(),
            secret.display()
        );
        world.nix(&["copy", "--to", &url, app.as_str()]);
        let text = |cache: &str, key: &str| world.scratch.read(format!("{cache}/{key}"));
        let mut seen = 0;
        for entry in std::fs::read_dir(world.scratch.join("theirs")).unwrap() {
            let key = entry.unwrap().file_name().into_string().unwrap();
            if key.ends_with(".narinfo") {
                assert_eq!(text("ours", &key), text("theirs", &key));
                let info = NarInfo::parse(text("ours", &key).as_bytes()).unwrap();
                let nar = |cache: &str| std::fs::read(world.scratch.join(cache).join(&info.url)).unwrap();
                assert!(nar("ours") == nar("theirs"), "{}", info.path);
                seen += 1;
            }
        }
        assert_eq!(seen, 4);
    });
}

#[test]
fn what_nix_pushes_is_pulled_verified_and_taken() {
    on_each_nix(|world| {
        let app = world.build("app");
        let secret = world.scratch.write("key", world.key.to_text().expose());
        for compression in ["xz", "zstd", "none", "bzip2", "gzip", "br"] {
            let dir = world.scratch.join(format!("cache-{compression}"));
            let url = format!("file://{}?compression={compression}&secret-key={}", dir.display(), secret.display());
            world.nix(&["copy", "--to", &url, app.as_str()]);
            let depot = Depot::open(&format!("file://{}", dir.display())).unwrap();
            verify_all(world, &depot, 4);
            world.forget();
            let pulled = world.pull(&depot, &app, &world.trusted()).unwrap();
            assert_eq!(pulled.new, 4);
            assert!(world.has(&app) && PathBuf::from(app.as_str()).join("bin/app").is_file());
            assert!(!world.scratch.exists("staging"), "the staging directory is gone");
            assert_eq!(world.pull(&depot, &app, &world.trusted()).unwrap().new, 0, "what is there is left alone");
        }
    });
}

#[test]
fn a_line_about_content_is_believed_when_it_is_true() {
    on_each_nix(|world| {
        let file = world.scratch.write("content/file", "content");
        let dir = file.parent().unwrap().to_owned();
        let add = |arguments: &[&str], what: &std::path::Path| {
            let output = world.nix.command("nix-store").args(arguments).arg(what).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let text = "builtins.toFile \"text\" \"x ${builtins.toFile \"inner\" \"y\"}\"";
        let output = world
            .nix
            .command("nix-instantiate")
            .args(["--read-write-mode", "--eval", "--expr", text])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap().trim().trim_matches('"').to_owned();
        let paths = [
            add(&["--add"], &dir),
            add(&["--add-fixed", "sha256"], &file),
            add(&["--add-fixed", "--recursive", "sha1"], &dir),
            text,
        ];
        let secret = world.scratch.write("key", world.key.to_text().expose());
        let cache = world.scratch.join("content-cache");
        let url = format!("file://{}?compression=none&secret-key={}", cache.display(), secret.display());
        for path in &paths {
            world.nix(&["copy", "--to", &url, path]);
        }
        let depot = Depot::open(&format!("file://{}", cache.display())).unwrap();
        verify_all(world, &depot, 5);
        let other = "fixed:r:sha256:0000000000000000000000000000000000000000000000000000";
        for path in &paths {
            let key = NarInfo::key_of(&StorePath::parse(path).unwrap());
            change(&depot, &key, &|body| {
                let text = String::from_utf8(body.clone()).unwrap();
                let said = text.lines().find(|line| line.starts_with("CA: ")).expect("nix says it");
                *body = text.replace(said, &format!("CA: {other}")).into_bytes();
            });
        }
        let stop = std::sync::atomic::AtomicBool::new(false);
        let options = VerifyOptions { trusted: Some(&world.trusted()), contents: true };
        let found = freehold_cache::verify(&depot, options, &|_| {}, &stop).unwrap();
        let said: Vec<&str> = found.problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(said, vec![format!("its line `CA: {other}` is not true: Nix would refuse it"); 4]);
    });
}

#[test]
fn only_what_the_store_lacks_is_pulled() {
    on_each_nix(|world| {
        let app = world.build("app");
        let depot = world.directory("cache");
        world.push(&depot, &[&app]).unwrap();
        world.forget();
        let base = world.build("base");
        assert_eq!(world.pull(&depot, &app, &world.trusted()).unwrap().new, 3);
        assert!(world.has(&app) && world.has(&base));
    });
}

/// Pushes `app` and `other`, breaks the cache, and pulls `app`: gives the refusal, after which the store has nothing of it.
fn refused(world: &World, app: &StorePath, trusted: &TrustedKeys, harm: impl Fn(&Depot)) -> String {
    let depot = world.directory("harmed");
    let _ = std::fs::remove_dir_all(world.scratch.join("harmed"));
    let copy = std::process::Command::new("cp")
        .arg("-r")
        .args([world.scratch.join("good"), world.scratch.join("harmed")])
        .status();
    assert!(copy.unwrap().success());
    harm(&depot);
    let error = world.pull(&depot, app, trusted).unwrap_err();
    assert!(!world.has(app));
    let _ = std::fs::remove_dir_all(world.scratch.join("staging"));
    error.to_string()
}

/// Changes an object of a cache behind everybody's back.
fn change(depot: &Depot, key: &str, how: &dyn Fn(&mut Vec<u8>)) {
    let mut body = depot.get(key).unwrap().unwrap().body;
    how(&mut body);
    depot.put(key, &body, freehold_cache::Kind::Nar, &freehold_cache::Condition::None).unwrap();
}

#[test]
fn what_was_tampered_with_is_refused_by_the_name_of_the_path() {
    on_each_nix(|world| {
        let (app, lib, base) = (world.build("app"), world.build("lib"), world.build("base"));
        world.push(&world.directory("good"), &[&app]).unwrap();
        world.forget();
        let trusted = world.trusted();
        let narinfo = |depot: &Depot, path: &StorePath| {
            NarInfo::parse(&depot.get(&NarInfo::key_of(path)).unwrap().unwrap().body).unwrap()
        };
        let replace = |depot: &Depot, path: &StorePath, from: &str, to: &str| {
            change(depot, &NarInfo::key_of(path), &|body| {
                let text = String::from_utf8(body.clone()).unwrap();
                assert!(text.contains(from), "{text}");
                *body = text.replace(from, to).into_bytes();
            });
        };

        let said = refused(world, &app, &trusted, |depot| {
            change(depot, &narinfo(depot, &base).url, &|body| *body.last_mut().unwrap() ^= 1);
        });
        assert!(said.starts_with(&format!("the NAR of `{base}` in")) && said.contains("its file hashes to"), "{said}");

        let said = refused(world, &app, &trusted, |depot| {
            depot.delete(&narinfo(depot, &base).url).unwrap();
        });
        assert!(said.starts_with(&format!("the NAR of `{base}` is missing")), "{said}");

        let said = refused(world, &app, &trusted, |depot| depot.delete(&NarInfo::key_of(&base)).unwrap());
        assert!(said.starts_with(&format!("`{base}` is not in")) && said.contains("refers to it"), "{said}");

        let said = refused(world, &app, &trusted, |depot| {
            replace(depot, &app, lib.base_name(), base.base_name());
        });
        assert!(
            said.starts_with(&format!("`{app}` in"))
                && said.ends_with("is not signed by a trusted key (it names `test-1`)"),
            "{said}"
        );

        let said = refused(world, &app, &trusted, |depot| replace(depot, &base, "Sig: test-1:", "Sig: test-1:AAAA"));
        assert!(said.starts_with(&format!("`{base}` in")) && said.contains("is not signed by a trusted key"), "{said}");

        // Another path's narinfo, honestly signed, under this one's name.
        let said = refused(world, &app, &trusted, |depot| {
            let body = depot.get(&NarInfo::key_of(&base)).unwrap().unwrap().body;
            change(depot, &NarInfo::key_of(&app), &|text| *text = body.clone());
        });
        assert!(said.contains(&format!("is about `{base}`")), "{said}");

        // File hash and size are not signed: a liar may make them fit. The NAR's hash is.
        let said = refused(world, &app, &trusted, |depot| {
            let (good, other) = (narinfo(depot, &base), narinfo(depot, &app));
            let lie = NarInfo { url: other.url, file_hash: other.file_hash, file_size: other.file_size, ..good };
            change(depot, &lie.key(), &|text| *text = lie.render().into_bytes());
        });
        assert!(said.starts_with(&format!("the NAR of `{base}` in")), "{said}");

        let stranger = SecretKey::generate("stranger-1").unwrap();
        let said = refused(world, &app, &TrustedKeys::new(vec![stranger.public()]), |_| {});
        assert!(said.starts_with(&format!("`{app}` in")) && said.contains("not signed by a trusted key"), "{said}");
        assert!(refused(world, &app, &TrustedKeys::default(), |_| {}).contains("not signed by a trusted key"));

        world.pull(&world.directory("good"), &app, &trusted).unwrap();
        assert!(world.has(&app));
    });
}

#[test]
fn a_bucket_serves_each_nix_that_knows_no_buckets() {
    on_each_nix(|world| {
        let (server, depot) = server();
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        verify_all(world, &depot, 4);
        world.forget();
        world.pull(&depot, &app, &world.trusted()).unwrap();
        assert!(world.has(&app));
        drop(server);
    });
}

#[test]
fn minio_holds_a_cache() {
    let Some(minio) = Minio::start() else { return };
    on_each_nix(|world| {
        let (id, secret) = (Minio::ACCESS_KEY, Minio::SECRET_KEY);
        let name = format!("cache-{}", world.key.public().to_string().len() + std::process::id() as usize);
        let endpoint = minio.endpoint();
        let settings = freehold_s3::Settings {
            endpoint: Some(endpoint.clone()),
            credentials: freehold_s3::CredentialsSource::Keys(freehold_s3::Keys {
                access_key_id: id.to_owned(),
                secret_access_key: freehold_model::Sensitive::new(secret.to_owned()),
                session_token: None,
            }),
            ..freehold_s3::Settings::new(&name)
        };
        freehold_s3::Client::new(&settings).unwrap().create_bucket().unwrap();
        let depot = bucket(&endpoint, &name, id, secret);
        let app = world.build("app");
        world.push(&depot, &[&app]).unwrap();
        assert_eq!(world.push(&depot, &[&app]).unwrap().new, 0);
        world.forget();
        world.pull(&depot, &app, &world.trusted()).unwrap();
        assert!(world.has(&app));
        for listed in depot.list("").unwrap() {
            depot.delete(&listed.key).unwrap();
        }
    });
}
