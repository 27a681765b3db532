//! `freehold cache` as a process of its own: killed, with a large path, with profiles, with something to build.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freehold_nar::NarInfo;
use freehold_testkit::s3::S3Server;
use freehold_testkit::{Finished, Freehold, Nix, Scratch, each_nix, nixes, run_limited};

const LIMIT: Duration = Duration::from_secs(300);
/// Paths that one push may have under way, whose upload a kill may lose.
const UNDER_WAY: usize = freehold_model::limits::CACHE_TRANSFERS;

/// A store with things in it, and a bucket.
struct World {
    scratch: Scratch,
    nix: &'static Nix,
    server: S3Server,
}

impl World {
    fn new() -> Self {
        let server = S3Server::start();
        server.create_bucket("cache");
        let world = Self { scratch: Scratch::new(), nix: nixes().first().unwrap(), server };
        world.freehold().args(["cache", "keygen", "k-1", "--quiet"]).run().success().stdout.clear();
        world
    }

    fn freehold(&self) -> Freehold {
        Freehold::new(&self.scratch, self.scratch.path())
            .nix(self.nix, &self.scratch)
            .env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY)
    }

    fn url(&self) -> String {
        format!("s3://cache?scheme=http&endpoint={}", self.server.endpoint().trim_start_matches("http://"))
    }

    fn push(&self, path: &str) -> Freehold {
        self.freehold().args(["cache", "push", path, "--key", "k-1.sec", "--to", &self.url()])
    }

    /// Builds what an expression says of `d`, a function of a name and a shell script.
    fn build(&self, expression: &str) -> String {
        let text = format!(
            "let d = name: text: derivation {{ inherit name; system = builtins.currentSystem; builder = \"/bin/sh\"; \
             PATH = \"/bin:/usr/bin\"; args = [ \"-ec\" text ]; }}; in {expression}"
        );
        let mut command = self.nix.command("nix-build", &self.scratch.dir("home"));
        command.args(["--no-out-link", "--max-jobs", "2", "-E", &text]);
        let output = run_limited(&mut command, b"", LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn puts(&self, part: &str) -> usize {
        self.server.seen().iter().filter(|seen| seen.method == "PUT" && seen.target.contains(part)).count()
    }

    /// Checks that what is known is complete; gives how many paths and NARs there are.
    fn check_whole(&self) -> (usize, usize) {
        let objects = self.server.objects("cache");
        let known: Vec<&Vec<u8>> =
            objects.iter().filter(|(key, _)| key.ends_with(".narinfo")).map(|(_, body)| body).collect();
        for body in &known {
            let info = NarInfo::parse(body).unwrap();
            assert_eq!(objects.get(&info.url).map(|nar| nar.len() as u64), info.file_size, "{}", info.path);
            for reference in &info.references {
                assert!(objects.contains_key(&NarInfo::key_of(reference)), "{} needs {reference}", info.path);
            }
        }
        (known.len(), objects.keys().filter(|key| key.starts_with("nar/")).count())
    }
}

#[test]
fn a_push_that_is_killed_at_any_time_leaves_nothing_half_known_and_is_taken_up() {
    const PATHS: usize = 80;
    let world = World::new();
    // A chain of ten, and seventy that it needs.
    let root = world.build(&format!(
        "let leaf = n: d \"leaf-${{toString n}}\" \"echo leaf ${{toString n}} > $out\"; \
         chain = n: if n == 0 then d \"link-0\" \"echo ${{toString (builtins.genList leaf {})}} > $out\" \
         else d \"link-${{toString n}}\" \"echo ${{chain (n - 1)}} > $out\"; in chain 9",
        PATHS - 10
    ));
    world.server.set_latency(Duration::from_millis(15));
    let stops = [("/nar/", 3), ("/nar/", 20), ("/nar/", 40), (".narinfo", 1), (".narinfo", 20), (".narinfo", 55)];
    for (part, more) in stops {
        let at = world.puts(part) + more;
        // Nothing is answered from then on: however late the kill comes, the push is where it was.
        world.server.hold_from("PUT", part, at);
        assert!(kill_when(world.push(&root), || world.puts(part) >= at), "it ended before {at} of {part}");
        world.server.let_go();
        let (known, nars) = world.check_whole();
        assert!(known < PATHS && nars <= PATHS, "{known} {nars}");
        assert!(if part == ".narinfo" { nars == PATHS } else { known == 0 }, "{part} {at}: {known} {nars}");
    }
    world.server.set_latency(Duration::ZERO);
    let before = world.puts("/nar/");
    assert!(before <= PATHS + 3 * UNDER_WAY, "only what was under way at a kill travelled again: {before}");
    assert_eq!(world.push(&root).run().success().stdout.trim(), root);
    assert_eq!(world.check_whole(), (PATHS, PATHS));
    assert_eq!(world.puts("/nar/"), before, "no NAR travelled after all had been there");
}

/// Kills the program when `when` says so; `false` when it ended before.
fn kill_when(freehold: Freehold, when: impl Fn() -> bool) -> bool {
    let mut command = freehold.into_command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = freehold_testkit::Guarded::spawn(&mut command);
    let deadline = Instant::now() + LIMIT;
    while !when() {
        assert!(Instant::now() < deadline, "it neither ends nor comes so far");
        if child.wait_at_most(Duration::from_millis(1)).is_some() {
            return false;
        }
    }
    child.signal("KILL");
    child.wait_at_most(LIMIT).unwrap();
    true
}

#[test]
fn memory_does_not_grow_with_the_size_of_a_path() {
    const MEGABYTES: u64 = 400;
    let world = World::new();
    let large = world.build(&format!("d \"large\" \"head -c {MEGABYTES}000000 /dev/urandom > $out\""));
    let depot = format!("file://{}", world.scratch.join("cache").display());
    for url in [world.url(), depot] {
        let freehold = world.freehold().args(["cache", "push", &large, "--key", "k-1.sec", "--to", &url]);
        let peak = peak_kilobytes(freehold);
        assert!(peak < 200_000, "{peak} kB to {url}");
        assert!(peak > 1_000, "the measurement is worth nothing: {peak} kB");
    }
    let parts = world.server.seen().iter().filter(|seen| seen.target.contains("partNumber=")).count();
    assert!(parts > 10, "it went in {parts} parts");
    assert_eq!(world.check_whole(), (1, 1));
}

/// The most memory that a call ever had, which must succeed.
fn peak_kilobytes(freehold: Freehold) -> u64 {
    let mut command = freehold.into_command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut child = freehold_testkit::Guarded::spawn(&mut command);
    let status = format!("/proc/{}/status", child.child().id());
    let deadline = Instant::now() + LIMIT;
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.trim().parse().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(status) = child.wait_at_most(Duration::from_millis(5)) {
            assert!(status.success());
            return peak;
        }
        assert!(Instant::now() < deadline, "it does not end");
    }
}

#[test]
fn a_profile_with_a_session_token_is_used_and_the_variables_are_not() {
    let world = World::new();
    let path = world.build("d \"a\" \"echo a > $out\"");
    let profile = format!(
        "[publisher]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = token-of-the-profile\n",
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY
    );
    world.scratch.write("home/.aws/credentials", profile);
    let url = format!("{}&profile=publisher&region=eu-west-1", world.url());
    let push = |url: &str| {
        world
            .freehold()
            .env("AWS_SECRET_ACCESS_KEY", "wrong")
            .args(["cache", "push", &path, "--key", "k-1.sec", "--to", url])
            .run()
    };
    let without: Finished = push(&world.url());
    assert_eq!(without.code, 1);
    assert!(without.stderr.contains("check the access key"), "{}", without.stderr);
    let before = world.server.seen().len();
    assert_eq!(push(&url).success().stdout.trim(), path);
    let seen = &world.server.seen()[before..];
    assert!(seen.len() > 3);
    for request in seen {
        assert!(request.target.contains("X-Amz-Security-Token=token-of-the-profile"), "{request:?}");
        assert!(request.target.contains("%2Feu-west-1%2F"), "{request:?}");
    }
}

#[test]
fn an_installable_is_built_pushed_and_its_path_is_all_that_is_printed() {
    each_nix(|nix| {
        let scratch = Scratch::new();
        let flake = r#"{
          outputs = _: {
            packages.x86_64-linux = rec { default = site; site = derivation { name = "site"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo building; echo site > $out" ]; }; };
            packages.aarch64-linux = rec { default = site; site = derivation { name = "site"; system = "aarch64-linux"; builder = "/bin/sh"; args = [ "-c" "echo building; echo site > $out" ]; }; };
          };
        }"#;
        scratch.write("flake/flake.nix", flake);
        let call = || Freehold::new(&scratch, scratch.path()).nix(nix, &scratch);
        call().args(["cache", "keygen", "k-1"]).run().success().stdout.clear();
        // The key is found where Nix users keep it.
        scratch.write("home/config/nix/cache-priv-key.pem", scratch.read("k-1.sec"));
        let url = format!("file://{}", scratch.join("cache").display());
        let installable = format!("path:{}#site", scratch.join("flake").display());
        let done = call().args(["cache", "push", "--installable", &installable, "--to", &url]).run().success();
        let path = done.stdout.trim_end();
        assert!(path.ends_with("-site") && !path.contains('\n'), "{path}");
        let shown = call().args(["cache", "ls", "--at", &url]).run().success().stdout;
        assert!(shown.contains(path) && shown.contains("k-1"), "{shown}");
    });
}

#[test]
fn two_programs_that_push_at_once_end_well() {
    let world = World::new();
    let root = world.build("d \"top\" \"echo ${d \"a\" \"echo a > $out\"} ${d \"b\" \"echo b > $out\"} > $out\"");
    world.server.set_latency(Duration::from_millis(5));
    let start = || {
        let mut command: Command = world.push(&root).into_command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        freehold_testkit::Guarded::spawn(&mut command)
    };
    let codes: BTreeSet<Option<i32>> =
        [start(), start(), start()].iter_mut().map(|child| child.wait_at_most(LIMIT).unwrap().code()).collect();
    assert_eq!(codes, BTreeSet::from([Some(0)]));
    assert_eq!(world.check_whole(), (3, 3));
}

#[test]
fn a_cache_is_served_to_nix_until_the_program_is_stopped() {
    let world = World::new();
    let path = world.build("d \"a\" \"echo a > $out\"");
    let push = ["cache", "push", &path, "--key", "k-1.sec", "--to"];
    let url = format!("file://{}", world.scratch.join("cache").display());
    world.freehold().args(push).args([&url]).run().success().stdout.clear();
    let mut command =
        world.freehold().args(["cache", "serve", "--from", "cache", "--listen", "127.0.0.1:0"]).into_command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = freehold_testkit::Guarded::spawn(&mut command);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.child().stdout.take().unwrap()), &mut line).unwrap();
    let address = line.trim();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    let mut nix = world.nix.command("nix", &world.scratch.dir("home"));
    nix.args(["--extra-experimental-features", "nix-command", "path-info", "--store", address, &path]);
    let output = run_limited(&mut nix, b"", LIMIT);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), path, "{}", String::from_utf8_lossy(&output.stderr));
    child.signal("TERM");
    assert_eq!(child.wait_at_most(LIMIT).unwrap().code(), Some(0));
}
