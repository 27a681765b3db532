//! What the tests of caches share: a store with a closure, keys, buckets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is the report of a test; not every test uses all"
)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use freehold_cache::{CacheError, Depot, DepotUrl, Progress, Pulled, PushOptions, Pushed, pull, push};
use freehold_nar::{Compression, SecretKey, StorePath, TrustedKeys};
use freehold_s3::{CredentialsSource, Keys, Retry};
use freehold_store::Nix;
use freehold_testkit::s3::S3Server;
use freehold_testkit::{Scratch, each_nix};

/// `app` needs `lib` and itself, `lib` needs `base`; `big` is a megabyte that does not compress.
const EXPRESSIONS: &str = r#"
let d = name: text: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin:/usr/bin"; args = [ "-ec" text ]; }; in
rec {
  base = d "base" "echo base > $out";
  lib = d "lib" "mkdir -p $out/lib; echo ${base} > $out/lib/b; ln -s ../lib/b $out/lib/a; : > $out/lib/empty";
  big = d "big" "head -c 1200000 /dev/urandom > $out";
  app = d "app" "mkdir -p $out/bin; echo '#!/bin/sh' > $out/bin/app; echo ': ${lib} '$out >> $out/bin/app; chmod +x $out/bin/app; echo ${big} > $out/ünï";
  other = d "other" "echo other ${base} > $out";
}
"#;

/// A store of its own with one of the Nix versions.
pub(crate) struct World {
    pub(crate) nix: Nix,
    pub(crate) scratch: Scratch,
    pub(crate) key: SecretKey,
}

/// Runs a check on each Nix, each time with a store of its own.
pub(crate) fn on_each_nix(check: impl Fn(&World)) {
    each_nix(|version| {
        let scratch = Scratch::new();
        let nix = Nix::at(&version.bin).with_environment(version.env(&scratch.dir("home")));
        check(&World { nix, scratch, key: SecretKey::generate("test-1").unwrap() });
    });
}

/// Runs a check on the first Nix only: where Nix has no part in it.
pub(crate) fn on_one_nix(check: impl Fn(&World)) {
    let version = freehold_testkit::nixes().first().unwrap();
    let scratch = Scratch::new();
    let nix = Nix::at(&version.bin).with_environment(version.env(&scratch.dir("home")));
    check(&World { nix, scratch, key: SecretKey::generate("test-1").unwrap() });
}

impl World {
    /// Builds an attribute of the expressions.
    pub(crate) fn build(&self, attribute: &str) -> StorePath {
        let text = format!("({EXPRESSIONS}).{attribute}");
        let stop = AtomicBool::new(false);
        let derivation = self.nix.instantiate(&text, &serde_json::Map::new(), self.scratch.path(), &stop).unwrap();
        let built = self.nix.build_derivation(&derivation, &stop, &mut |_| {}).unwrap();
        StorePath::parse(built.main_output().unwrap()).unwrap()
    }

    /// Forgets the whole store, as if on another machine.
    pub(crate) fn forget(&self) {
        for part in ["store", "var"] {
            let dir = self.scratch.join("home/nix").join(part);
            let output = Command::new("rm").arg("-rf").arg(&dir).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::create_dir_all(&dir).unwrap();
        }
        // The first program that opens a store makes its database; two at once may find it half made.
        let none = self.scratch.join("home/nix/store/00000000000000000000000000000000-none");
        self.nix.missing(&[none.display().to_string()]).unwrap();
    }

    pub(crate) fn has(&self, path: &StorePath) -> bool {
        self.nix.missing(&[path.to_string()]).unwrap().is_empty()
    }

    /// The depot in a directory of this world.
    pub(crate) fn directory(&self, name: &str) -> Depot {
        Depot::open(&format!("file://{}", self.scratch.join(name).display())).unwrap()
    }

    pub(crate) fn trusted(&self) -> TrustedKeys {
        TrustedKeys::new(vec![self.key.public()])
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.scratch.join("index")
    }

    pub(crate) fn push_as(
        &self,
        depot: &Depot,
        roots: &[&StorePath],
        compression: Compression,
    ) -> Result<Pushed, CacheError> {
        self.push_heard(depot, roots, compression, &AtomicBool::new(false), &|_| {})
    }

    pub(crate) fn push(&self, depot: &Depot, roots: &[&StorePath]) -> Result<Pushed, CacheError> {
        self.push_as(depot, roots, Compression::Zstd)
    }

    pub(crate) fn push_heard(
        &self,
        depot: &Depot,
        roots: &[&StorePath],
        compression: Compression,
        stop: &AtomicBool,
        listener: &(dyn Fn(Progress) + Sync),
    ) -> Result<Pushed, CacheError> {
        let index = self.index();
        let options = PushOptions { compression, index: Some(&index), recheck: false };
        let roots: Vec<StorePath> = roots.iter().map(|path| (*path).clone()).collect();
        push(&self.nix, depot, &roots, &self.key, &options, listener, stop)
    }

    /// A push that believes what is remembered, or does not.
    pub(crate) fn push_with(&self, depot: &Depot, roots: &[&StorePath], recheck: bool) -> Result<Pushed, CacheError> {
        let index = self.index();
        let options = PushOptions { compression: Compression::Zstd, index: Some(&index), recheck };
        let roots: Vec<StorePath> = roots.iter().map(|path| (*path).clone()).collect();
        push(&self.nix, depot, &roots, &self.key, &options, &|_| {}, &AtomicBool::new(false))
    }

    pub(crate) fn pull(&self, depot: &Depot, root: &StorePath, trusted: &TrustedKeys) -> Result<Pulled, CacheError> {
        let staging = self.scratch.join("staging");
        let stop = AtomicBool::new(false);
        pull(&self.nix, depot, std::slice::from_ref(root), trusted, &staging, &|_| {}, &stop)
    }

    /// The new command line of this Nix, which must succeed.
    pub(crate) fn nix(&self, arguments: &[&str]) -> String {
        let mut command = self.nix.command("nix");
        command.args(["--extra-experimental-features", "nix-command"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A bucket of the server, with its keys and little patience.
pub(crate) fn bucket(endpoint: &str, name: &str, id: &str, secret: &str) -> Depot {
    let retry = Retry { backoff: Duration::from_millis(5), ..Retry::default() };
    bucket_asked(endpoint, name, id, secret, retry)
}

fn bucket_asked(endpoint: &str, name: &str, id: &str, secret: &str, retry: Retry) -> Depot {
    let url = format!("s3://{name}?endpoint={}&scheme=http", endpoint.trim_start_matches("http://"));
    let mut url = DepotUrl::parse(&url).unwrap();
    if let DepotUrl::Bucket { settings, .. } = &mut url {
        settings.retry = retry;
        settings.credentials = CredentialsSource::Keys(Keys {
            access_key_id: id.to_owned(),
            secret_access_key: freehold_model::Sensitive::new(secret.to_owned()),
            session_token: None,
        });
    }
    Depot::at(url).unwrap()
}

/// A server with an empty bucket `cache`, and the depot in it.
pub(crate) fn server() -> (S3Server, Depot) {
    let server = S3Server::start();
    server.create_bucket("cache");
    let depot = bucket(&server.endpoint(), "cache", S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    (server, depot)
}

/// The depot of [`server`] for whoever is to be held up: it asks again and again, so that a fault lasts until the test takes it away,
/// however long that takes.
pub(crate) fn patient(server: &S3Server) -> Depot {
    let retry = Retry {
        attempts: 10_000,
        backoff: Duration::from_millis(5),
        backoff_max: Duration::from_millis(50),
        ..Retry::default()
    };
    bucket_asked(&server.endpoint(), "cache", S3Server::ACCESS_KEY, S3Server::SECRET_KEY, retry)
}

/// Waits for something that another thread does.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
