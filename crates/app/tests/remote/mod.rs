//! A Docker on another machine: a context with `ssh://`, through a real sshd to the daemon of the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freehold_testkit::{Finished, Guarded, not_run, run_limited};

use crate::App;
use crate::swarm::{ADDRESS, Swarm};

const LIMIT: Duration = Duration::from_secs(300);
const PORT: u16 = 2222;

pub(crate) fn is_deployed_to_over_ssh(swarm: &Swarm, app: &App) {
    let Some(sshd) = sshd() else { return };
    app.plain(swarm, "1.0.0+1.0.0", "STATUS=200");
    let path = keys_and_shim(swarm);
    let _sshd = start(swarm, &sshd);
    let run = |words: &[&str]| swarm.command(words).without_env("DOCKER_HOST").env("PATH", &path).run();
    for name in ["remote", "stranger", "unknown", "closed", "bare"] {
        let mut docker = Command::new("docker");
        docker.args(["context", "create", name, "--docker", &format!("host=ssh://{name}")]);
        docker.env("HOME", swarm.scratch.join("home")).env_remove("DOCKER_HOST");
        assert!(run_limited(&mut docker, b"", LIMIT).status.success(), "{name}");
    }
    let domain = app.domain.as_str();
    let done = |finished: Finished| drop(finished.success());
    done(run(&["new", app.recipe, "--domain", domain, "--server", "remote"]));
    done(run(&["deploy", domain, "--no-health", "--health-window", "1"]));
    assert_eq!(swarm.first_answer_at(app.port), "1.0.0");
    assert_eq!(run(&["deploy", domain, "--json"]).success().stdout.matches("\"none\"").count(), 1);
    assert!(run(&["logs", domain]).success().stdout.contains("version 1.0.0 starts"));
    done(run(&["backup", domain, "--name", "one"]));
    done(run(&["undeploy", domain]));
    done(run(&["restore", domain, "one"]));
    for (server, reason) in [
        ("stranger", "Permission denied"),
        ("unknown", "Host key verification failed"),
        ("closed", "Connection refused"),
        ("bare", "docker: "),
    ] {
        let other = format!("over-{server}.example.org");
        done(run(&["new", app.recipe, "--domain", &other, "--server", server]));
        let refused = run(&["deploy", &other, "--no-health"]).code(1);
        assert!(
            refused.stderr.contains(&format!("Docker cannot be reached at `ssh://{server}`")),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("`ssh ssh://{server} docker version`")), "{}", refused.stderr);
    }
}

/// Keys, what ssh is told of hosts, and an `ssh` on the path that is told it.
fn keys_and_shim(swarm: &Swarm) -> String {
    let dir = swarm.scratch.dir("ssh");
    let at = |name: &str| dir.join(name).display().to_string();
    for key in ["host", "user", "bare", "stranger"] {
        let made =
            run_limited(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]), b"", LIMIT);
        assert!(made.status.success());
    }
    let public = |name: &str| swarm.scratch.read(format!("ssh/{name}.pub"));
    let bare = format!("command=\"export PATH=/nowhere; eval $SSH_ORIGINAL_COMMAND\" {}", public("bare"));
    swarm.scratch.write("ssh/authorized_keys", public("user") + &bare);
    swarm.scratch.write("ssh/known", format!("[{ADDRESS}]:{PORT} {}", public("host")));
    let mut config = String::new();
    for (name, key, known, port) in [
        ("remote", "user", "known", PORT),
        ("stranger", "stranger", "known", PORT),
        ("unknown", "user", "nobody", PORT),
        ("closed", "user", "known", PORT + 1),
        ("bare", "bare", "known", PORT),
    ] {
        config += &format!(
            "Host {name}\n HostName {ADDRESS}\n Port {port}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n \
             UserKnownHostsFile {}\n",
            at(key),
            at(known)
        );
    }
    let config = swarm.scratch.write("ssh/config", config);
    swarm.program("ssh/bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", config.display()));
    format!("{}:{}", at("bin"), crate::swarm::PATH)
}

/// An sshd whose sessions find the daemon of the test. It wants a user and a directory of its own, which it has where nobody else is.
fn start(swarm: &Swarm, sshd: &Path) -> Guarded {
    let at = |name: &str| swarm.scratch.join(format!("ssh/{name}")).display().to_string();
    let config = format!(
        "Port {PORT}\nListenAddress {ADDRESS}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
         PermitRootLogin yes\nPasswordAuthentication no\nSetEnv DOCKER_HOST=unix://{} PATH={}\n",
        at("host"),
        at("authorized_keys"),
        swarm.scratch.join("docker.sock").display(),
        crate::swarm::PATH
    );
    let config = swarm.scratch.write("ssh/sshd_config", config);
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let own = "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n";
    swarm.scratch.write("ssh/passwd", if users.contains("\nsshd:") { users } else { users + own });
    let script = format!(
        "mount -t tmpfs none /run && mkdir /run/sshd && mount --bind {} /etc/passwd && exec {} -D -f {} -E {}",
        at("passwd"),
        sshd.display(),
        config.display(),
        at("log")
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("LD_LIBRARY_PATH", sshd.parent().unwrap());
    let running = Guarded::spawn(command.stdin(Stdio::null()));
    let end = Instant::now() + LIMIT;
    while std::net::TcpStream::connect((ADDRESS, PORT)).is_err() {
        let log = || std::fs::read_to_string(swarm.scratch.join("ssh/log")).unwrap_or_default();
        assert!(Instant::now() < end, "sshd does not start:\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// This machine's, or the one that was fetched.
fn sshd() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let fetched = cache.map(|cache| cache.join("freehold/interop/bin/sshd"));
    let found = [Some(PathBuf::from("/usr/sbin/sshd")), fetched].into_iter().flatten().find(|path| path.is_file());
    if found.is_none() {
        not_run("a Docker over ssh", "no sshd; run scripts/interop-tools sshd");
    }
    found
}
