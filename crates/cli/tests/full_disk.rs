//! A host whose disk is full: the agent says so, what runs goes on, and with room it comes to what is declared by itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use freehold_testkit::{Nix, Scratch, SmallDisk, freehold_binary, nixes, run_limited};
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(300);
const MB: u64 = 1024 * 1024;

/// A host whose store, or whose agent's state, is on a small disk; the bucket is elsewhere.
struct Host {
    scratch: Scratch,
    nix: &'static Nix,
    home: PathBuf,
    state: PathBuf,
}

impl Host {
    fn new(home: Option<&SmallDisk>, state: Option<&SmallDisk>) -> Self {
        let scratch = Scratch::new();
        let place = |disk: Option<&SmallDisk>, name: &str| match disk {
            Some(disk) => disk.path().join(name),
            None => scratch.join(name),
        };
        let (home, state) = (place(home, "home"), place(state, "state"));
        std::fs::create_dir_all(&home).unwrap();
        let host = Self { nix: nixes().last().unwrap(), home, state, scratch };
        host.run(&["cache", "keygen", "k", "--dir", "keys"]);
        host
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.scratch.path()).env_clear().env("HOME", &self.home).envs(self.nix.env(&self.home));
        command
    }

    fn run(&self, words: &[&str]) {
        let output = run_limited(self.command(freehold_binary()).args(words), b"", LIMIT);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A program and a megabyte that does not compress, in the store and published; its store path.
    fn publish(&self, name: &str) -> String {
        let program = self.scratch.write(format!("{name}/bin/run"), "#!/bin/sh\nexec sleep 98765\n");
        run_limited(Command::new("chmod").arg("+x").arg(&program), b"", LIMIT);
        let mut noise = vec![0; usize::try_from(MB).unwrap()];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
        std::fs::write(self.scratch.join(name).join("noise"), noise).unwrap();
        let mut command = self.command(&self.nix.bin.join("nix-store"));
        let added = run_limited(command.arg("--add").arg(self.scratch.join(name)), b"", LIMIT);
        let path = String::from_utf8(added.stdout).unwrap().trim().to_owned();
        let gate = r#"{"timeoutSeconds":20,"windowSeconds":0}"#;
        let bucket = self.bucket();
        let words = ["publish", "web", "--to", &bucket, "--key", "keys/k.sec", "--command", "run", "--gate", gate];
        self.run(&[&words[..], &["--store-path", &path]].concat());
        path
    }

    /// Takes a path out of the store, as on a host that has not pulled it yet.
    fn forget(&self, path: &str) {
        let mut command = self.command(&self.nix.bin.join("nix-store"));
        let output = run_limited(command.args(["--delete", path]), b"", LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn bucket(&self) -> String {
        format!("file://{}", self.scratch.join("bucket").display())
    }

    /// One round: its exit code, what it says as JSON (of the only service) and for people.
    fn round(&self) -> (Option<i32>, Json, String) {
        let mut command = self.command(freehold_binary());
        command.args(["agent", "once", "--json", "--from", &self.bucket(), "--host", "a"]);
        command.args(["--trusted-key", "keys/k.pub", "--runtime", "process", "--state"]).arg(&self.state);
        let output = run_limited(&mut command, b"", LIMIT);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let json: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), json["services"][0].clone(), said)
    }

    /// The directories that instances run in, of which there is one for each.
    fn processes(&self) -> usize {
        let data = self.state.join("data/web");
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data)).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Nothing is declared any more: an agent stops what runs, for which it needs room.
        for place in [&self.home, &self.state] {
            let _ = std::fs::remove_file(place.with_file_name("filler"));
        }
        let mut command = self.command(freehold_binary());
        command.args(["manifest", "remove", "web", "--at", &self.bucket(), "--key", "keys/k.sec"]);
        run_limited(&mut command, b"", LIMIT);
        self.round();
    }
}

#[test]
fn a_store_without_room_keeps_the_release_before_and_takes_the_next_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(12 * MB) else { return };
    let host = Host::new(Some(&disk), None);
    let first = host.publish("one");
    assert_eq!(host.round().0, Some(0));
    let second = host.publish("two");
    host.forget(&second);
    disk.fill(256 * 1024);
    for _ in 0..2 {
        let (code, web, _) = host.round();
        assert_eq!((code, &web["running"]), (Some(3), &Json::from(first.as_str())), "{web:#}");
        let reason = web["reason"].as_str().unwrap();
        assert!(reason.contains("No space left on device") || reason.contains("no space"), "{reason}");
        assert_eq!(host.processes(), 1, "the release before goes on");
    }
    disk.free();
    let (code, web, _) = host.round();
    assert_eq!((code, &web["running"]), (Some(0), &Json::from(second.as_str())), "{web:#}");
}

#[test]
fn a_state_without_room_keeps_the_release_before_and_takes_the_next_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(12 * MB) else { return };
    let host = Host::new(None, Some(&disk));
    host.publish("one");
    assert_eq!(host.round().0, Some(0));
    let second = host.publish("two");
    disk.fill(0);
    for _ in 0..2 {
        let (code, _, said) = host.round();
        assert_eq!(code, Some(1), "nothing was changed: {said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("make room on the disk of"), "{said}");
        assert_eq!(host.processes(), 1, "the release before goes on");
    }
    disk.free();
    let (code, web, _) = host.round();
    assert_eq!((code, &web["running"]), (Some(0), &Json::from(second.as_str())), "{web:#}");
}
