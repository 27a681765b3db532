//! Hosts with a systemd of their own: Debian in containers, made from an image that `scripts/test-hosts` has built.
//!
//! It builds nothing itself (`./x test --interop` calls the script before): where Docker or the image is missing, that is reported as
//! not run. Containers are named after the process that made them; those of a process that is gone are removed by the next one.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{not_run, repository_root, run_limited};

/// How long one command in a host may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);
/// How long systemd may take to have started.
const BOOT_LIMIT: Duration = Duration::from_secs(300);
/// How our containers are found again.
const LABEL: &str = "freehold-test-host";

/// What systemd needs of a container that is not privileged.
const CAPABILITIES: [&str; 15] = [
    "SYS_ADMIN",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_PTRACE",
    "MKNOD",
    "SYS_CHROOT",
    "DAC_READ_SEARCH",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SYS_NICE",
    "SYS_TTY_CONFIG",
    "IPC_LOCK",
    "SYS_BOOT",
    "LINUX_IMMUTABLE",
    "SYSLOG",
];

/// A running host without a network, or in one of our own; stopped and removed when dropped.
pub struct Host {
    name: String,
}

/// A network of hosts that leads nowhere else; removed when dropped, which is after its hosts.
pub struct Network {
    name: String,
    address: IpAddr,
}

impl Network {
    /// Makes one. `None`, after a report through [`not_run`], where hosts cannot run.
    #[must_use]
    pub fn start() -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        known_image()?;
        let name = format!("freehold-net-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let mut command = Command::new("docker");
        command.args(["network", "create", "--internal", "--label", LABEL, &name]);
        succeed(run_limited(&mut command, b"", COMMAND_LIMIT), "docker network create");
        let mut network = Self { name, address: IpAddr::from([0, 0, 0, 0]) };
        let mut command = Command::new("docker");
        command.args(["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", &network.name]);
        let output = succeed(run_limited(&mut command, b"", COMMAND_LIMIT), "docker network inspect");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        network.address = text.parse().unwrap_or_else(|error| panic!("`{text}` is no address: {error}"));
        Some(network)
    }

    /// This machine's address in it: where hosts reach a server of a test.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["network", "rm", &self.name]).output();
    }
}

/// What a Docker inside needs: settings of the kernel that it may write, and an address that a Swarm can be told by.
const NETWORK_UNIT: &str = "[Unit]
Description=What Docker in a container needs
DefaultDependencies=no
Before=docker.service containerd.service sysinit.target
[Service]
Type=oneshot
RemainAfterExit=true
ExecStart=/bin/mount -o remount,rw /proc/sys
ExecStart=/sbin/ip link add fh-node type bridge
ExecStart=/sbin/ip address add 10.99.0.1/24 dev fh-node
ExecStart=/sbin/ip link set fh-node up
[Install]
WantedBy=sysinit.target
";

impl Host {
    /// Starts one. `None`, after a report through [`not_run`], where hosts cannot run.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_named(known_image()?, "host", "none", &[])
    }

    /// Starts one of this name in a network.
    #[must_use]
    pub fn start_in(network: &Network, hostname: &str) -> Option<Self> {
        Self::start_named(known_image()?, hostname, &network.name, &[])
    }

    /// Starts one with a Docker of its own, which has git beside it and the address 10.99.0.1 (alone in the world). `None` as with
    /// [`Host::start`].
    #[must_use]
    pub fn start_with_docker() -> Option<Self> {
        // Its layers cannot lie on ours.
        let host = Self::start_named(known_docker_image()?, "host", "none", &["--volume=/var/lib/docker"])?;
        host.write("/etc/systemd/system/freehold-test-network.service", NETWORK_UNIT);
        host.shell("systemctl enable --quiet freehold-test-network && systemctl start freehold-test-network && systemctl restart docker");
        Some(host)
    }

    fn start_named(image: &str, hostname: &str, network: &str, more: &[&str]) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("freehold-host-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let mut command = Command::new("docker");
        command.args([
            "run",
            "--detach",
            "--label",
            LABEL,
            "--hostname",
            hostname,
            "--network",
            network,
            "--name",
            &name,
        ]);
        command.args(CAPABILITIES.map(|capability| format!("--cap-add={capability}")));
        command.args(["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]);
        command.args(["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp"]);
        command.args(more);
        if has_old_control_groups() {
            command.args(["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host", image, "/sbin/init"]);
            command.args(["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]);
        } else {
            command.args(["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=private", image, "/sbin/init"]);
        }
        // From here on it is removed, whatever happens.
        let host = Self { name };
        succeed(run_limited(&mut command, b"", COMMAND_LIMIT), "docker run");
        host.wait_until_up();
        Some(host)
    }

    /// Runs a command inside, and gives it this to read.
    #[must_use]
    pub fn run(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new("docker");
        run_limited(command.args(["exec", "--interactive", &self.name]).args(words), input, COMMAND_LIMIT)
    }

    /// Runs a shell script inside that has to succeed; what it said, without the last line's end.
    pub fn shell(&self, script: &str) -> String {
        let output = succeed(self.run(&["sh", "-euc", script], b""), script);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Writes a file inside.
    pub fn write(&self, path: &str, text: &str) {
        let dir = Path::new(path).parent().map_or("/".to_owned(), |dir| dir.display().to_string());
        let script = "mkdir -p -- \"$1\"; cat >\"$2\"";
        succeed(self.run(&["sh", "-euc", script, "sh", &dir, path], text.as_bytes()), path);
    }

    /// Copies a program from here to the directory `/usr/local/bin` inside.
    pub fn install(&self, program: &str) {
        self.copy(program, "/usr/local/bin/");
    }

    /// Copies a file or a directory from here to a place inside.
    pub fn copy(&self, from: &str, to: &str) {
        let to = format!("{}:{to}", self.name);
        succeed(run_limited(Command::new("docker").args(["cp", from, &to]), b"", COMMAND_LIMIT), "docker cp");
    }

    /// Shuts it down and boots it again: `/run` and `/tmp` are empty then.
    pub fn restart(&self) {
        let mut command = Command::new("docker");
        succeed(run_limited(command.args(["restart", "--time=20", &self.name]), b"", COMMAND_LIMIT), "docker restart");
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        let end = Instant::now() + BOOT_LIMIT;
        loop {
            let output = self.run(&["systemctl", "is-system-running", "--wait"], b"");
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if matches!(state.as_str(), "running" | "degraded") {
                break;
            }
            assert!(Instant::now() < end, "the host `{}` does not come up: {state}", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
        // Credentials are mounted into services, which needs mounts that are passed on.
        self.shell("mount --make-rshared /");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// The image's name; `None`, after a report, where hosts cannot run.
fn known_image() -> Option<&'static str> {
    static IMAGE: OnceLock<Result<String, String>> = OnceLock::new();
    told("hosts with systemd", IMAGE.get_or_init(|| image(&[])))
}

fn known_docker_image() -> Option<&'static str> {
    static IMAGE: OnceLock<Result<String, String>> = OnceLock::new();
    told("hosts with Docker", IMAGE.get_or_init(|| image(&["docker"])))
}

fn told(what: &str, image: &'static Result<String, String>) -> Option<&'static str> {
    match image {
        Ok(image) => Some(image),
        Err(reason) => {
            not_run(what, reason);
            None
        }
    }
}

/// The image's name, once it is in Docker; else why it cannot be.
fn image(kind: &[&str]) -> Result<String, String> {
    let docker =
        |words: &[&str]| Command::new("docker").args(words).output().is_ok_and(|output| output.status.success());
    if !docker(&["version"]) {
        return Err("Docker does not run; `scripts/test-hosts` says how".to_owned());
    }
    remove_orphans();
    let script = repository_root().join("scripts/test-hosts");
    let output = Command::new(&script)
        .arg("--list")
        .args(kind)
        .output()
        .map_err(|error| format!("{}: {error}", script.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (name, file) = text
        .trim()
        .split_once('\t')
        .ok_or_else(|| format!("no image yet; run scripts/test-hosts {}", kind.join(" ")))?;
    let is_there = docker(&["image", "inspect", name]);
    if !is_there && !docker(&["import", file, name]) {
        return Err(format!("Docker does not take the image `{}`", PathBuf::from(file).display()));
    }
    Ok(name.to_owned())
}

/// Removes hosts whose process is gone.
fn remove_orphans() {
    let filter = format!("label={LABEL}");
    let listing = Command::new("docker").args(["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]).output();
    let listing = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for name in listing.lines() {
        let process = name.rsplit('-').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            remove(name);
        }
    }
    let listing = Command::new("docker").args(["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]).output();
    let listing = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for name in listing.lines() {
        let process = name.rsplit('-').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let _ = Command::new("docker").args(["network", "rm", name]).output();
        }
    }
}

fn remove(name: &str) {
    // It may never have been made.
    let _ = Command::new("docker").args(["rm", "--force", "--volumes", name]).output();
}

/// Whether this machine has version 1 of control groups.
fn has_old_control_groups() -> bool {
    !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn succeed(output: Output, what: &str) -> Output {
    assert!(
        output.status.success(),
        "{what} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
