//! A Swarm for one test: namespaces, a daemon, an image, a recipe's repository, and `freehold app` on all of it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use freehold_testkit::{Finished, Freehold, Scratch, not_run, run_limited};
use serde_json::Value as Json;

/// The only address that the Swarm has.
pub(crate) const ADDRESS: &str = "10.99.0.1";
const DOMAIN: &str = "blog.example.org";
const INSIDE: &str = "FREEHOLD_TEST_INSIDE";
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
/// How long one step may take: this machine may be busy with every other test.
const LIMIT: Duration = Duration::from_secs(300);

/// The Swarm.
pub(crate) struct Swarm {
    pub(crate) scratch: Scratch,
    daemon: Child,
    /// Whether containers have a shell.
    pub(crate) has_shell: bool,
}

/// The Swarm, inside of the namespaces; outside of them `None`, after the test has been run inside, or was reported as not run.
pub(crate) fn inside(test: &str) -> Option<Swarm> {
    if let Some(mark) = std::env::var_os(INSIDE) {
        std::fs::write(mark, "").unwrap();
        return Some(Swarm::start());
    }
    let can = |program: &str, words: &[&str]| {
        Command::new(program)
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    for (program, words) in
        [("dockerd", &["--version"][..]), ("docker", &["stack", "config", "--help"]), ("git", &["--version"])]
    {
        if !can(program, words) {
            not_run("apps on a Swarm", &format!("`{program}` is missing; apt-get install docker.io docker-cli git"));
            return None;
        }
    }
    let bridge = "ip link set lo up && ip link add fh-node type bridge";
    if !can("unshare", &["--net", "--mount", "sh", "-c", bridge]) {
        not_run("apps on a Swarm", "network namespaces cannot be made here: it takes root, and iproute2");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--"]).arg(std::env::current_exe().unwrap());
    let scratch = Scratch::new();
    let mark = scratch.join("began");
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, &mark);
    let status = command.status().unwrap();
    assert!(status.success(), "the test inside of the namespaces has failed; its words stand above");
    // A name that no test has runs none, and that succeeds.
    assert!(mark.exists(), "no test is called `{test}`");
    None
}

impl Swarm {
    fn start() -> Self {
        let scratch = Scratch::new();
        for words in [
            "link set lo up",
            "link add fh-node type bridge",
            "addr add 10.99.0.1/24 dev fh-node",
            "link set fh-node up",
        ] {
            assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
        }
        let path = |name: &str| scratch.join(name).display().to_string();
        let log = std::fs::File::create(scratch.join("dockerd.log")).unwrap();
        let daemon = Command::new("dockerd")
            .args(["--data-root", &path("docker"), "--exec-root", &path("exec"), "--pidfile", &path("docker.pid")])
            .args(["--host", &format!("unix://{}", path("docker.sock"))])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut swarm = Self { scratch, daemon, has_shell: false };
        let end = Instant::now() + LIMIT;
        while !swarm.try_docker(&["version"]).0 {
            assert!(Instant::now() < end, "dockerd does not start:\n{}", swarm.scratch.read("dockerd.log"));
            std::thread::sleep(Duration::from_millis(50));
        }
        swarm.has_shell = swarm.make_image();
        swarm
    }

    /// Whether it has a shell in it: a static busybox, where this machine has one.
    fn make_image(&self) -> bool {
        let program = self.scratch.dir("image").join("server");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stub/server.rs");
        let mut command = Command::new("rustc");
        command.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort", "-o"]);
        let output = run_limited(command.arg(&program).arg(source), b"", LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| PathBuf::from(path).exists());
        if let Some(busybox) = busybox {
            std::fs::copy(busybox, self.scratch.dir("image/bin").join("busybox")).unwrap();
            for name in ["sh", "cat", "echo"] {
                std::os::unix::fs::symlink("busybox", self.scratch.join("image/bin").join(name)).unwrap();
            }
        }
        self.import(&program, ".", "server", "freehold-stub:1");
        busybox.is_some()
    }

    /// Makes an image of what lies beside a static program: all of it, or the program alone.
    pub(crate) fn import(&self, program: &std::path::Path, what: &str, name: &str, image: &str) {
        let tar = self.scratch.join(format!("{name}.tar"));
        let mut command = Command::new("tar");
        command.arg("--create").arg("--file").arg(&tar).arg("--directory").arg(program.parent().unwrap());
        assert!(command.arg(what).status().unwrap().success());
        let change = format!("ENTRYPOINT [\"/{name}\"]");
        self.docker(&["import", "--change", &change, &tar.display().to_string(), image]);
    }

    /// Publishes a version of the recipe `stub`: what its service has as environment, and its release notes.
    pub(crate) fn recipe(&self, version: &str, environment: &str, notes: &str) {
        let app = version.split('+').nth(1).unwrap();
        let compose = format!(
            "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    networks: [proxy]\n    environment:\n      \
             - VERSION={app}\n      - {environment}\n    secrets: [token]\n    volumes:\n      - data:/data\n    ports:\n      \
             - target: 8080\n        published: 18080\n        mode: host\n    deploy:\n      endpoint_mode: dnsrr\n      \
             update_config: {{order: stop-first}}\n      restart_policy: {{delay: 1s}}\n      labels:\n        \
             - \"coop-cloud.${{STACK_NAME}}.version={version}\"\n        - \"backupbot.backup=true\"\n\
             networks:\n  proxy:\n    external: true\nvolumes:\n  data:\n\
             secrets:\n  token:\n    external: true\n    name: ${{STACK_NAME}}_token_${{SECRET_TOKEN_VERSION}}\n"
        );
        let sample = "TYPE=stub\nDOMAIN=stub.example.com\nSECRET_TOKEN_VERSION=v1 # length=24\n";
        let notes_file = format!("release/{version}");
        let mut files = vec![("compose.yml", compose.as_str()), (".env.sample", sample)];
        if !notes.is_empty() {
            files.push((&notes_file, notes));
        }
        self.publish("stub", version, &files);
    }

    /// Publishes a version of a recipe: its files, and an annotated tag.
    pub(crate) fn publish(&self, recipe: &str, version: &str, files: &[(&str, &str)]) {
        self.commit(recipe, version, files);
        self.git(recipe, &["tag", "--annotate", "--message", version, version]);
    }

    /// The same without a tag.
    pub(crate) fn commit(&self, recipe: &str, message: &str, files: &[(&str, &str)]) {
        for (path, text) in files {
            self.scratch.write(format!("recipes/{recipe}/{path}"), text);
        }
        self.git(recipe, &["init", "--quiet"]);
        self.git(recipe, &["add", "--all"]);
        self.git(recipe, &["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    pub(crate) fn git(&self, recipe: &str, words: &[&str]) {
        let repository = self.scratch.dir(format!("recipes/{recipe}"));
        {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(words);
            let output = run_limited(command.current_dir(&repository), b"", LIMIT);
            assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Runs `freehold app …`.
    pub(crate) fn app(&self, words: &[&str]) -> Finished {
        self.command(words).run()
    }

    /// `freehold app …`, to be run.
    pub(crate) fn command(&self, words: &[&str]) -> Freehold {
        self.begin(".", &[&["app"], words].concat())
    }

    /// Runs `freehold …` in a directory.
    pub(crate) fn freehold(&self, directory: &str, words: &[&str]) -> Finished {
        self.begin(directory, words).run()
    }

    fn begin(&self, directory: &str, words: &[&str]) -> Freehold {
        let path = |name: &str| self.scratch.join(name).display().to_string();
        Freehold::new(&self.scratch, self.scratch.join(directory))
            .env("PATH", PATH)
            .env("DOCKER_HOST", format!("unix://{}", path("docker.sock")))
            .env("ABRA_DIR", path("abra"))
            .env("FREEHOLD_APPS", path("state"))
            .env("FREEHOLD_ALERTS", path("alerts"))
            .env("FREEHOLD_RECIPE_BASE", format!("file://{}", path("recipes")))
            .args(words)
            .limit(Duration::from_secs(900))
    }

    /// The same, which must succeed.
    pub(crate) fn done(&self, words: &[&str]) {
        let _ = self.app(words).success();
    }

    /// The same with `--json`, which must end with this code.
    pub(crate) fn json(&self, words: &[&str], code: i32) -> Json {
        let finished = self.app(&[words, &["--json"]].concat()).code(code);
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
    }

    /// Runs `docker …`, which must succeed; what it said.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let (done, said) = self.try_docker(words);
        assert!(done, "docker {words:?}: {said}");
        said
    }

    pub(crate) fn try_docker(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", format!("unix://{}", self.scratch.join("docker.sock").display())).args(words);
        let output = run_limited(&mut command, b"", LIMIT);
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// `Version.Index` of every service.
    pub(crate) fn versions(&self) -> String {
        self.versions_among(&[])
    }

    /// The same of one app's, where others come and go meanwhile.
    pub(crate) fn versions_of(&self, domain: &str) -> String {
        let stack = format!("label=com.docker.stack.namespace={}", domain.replace('.', "_"));
        self.versions_among(&["--filter", &stack])
    }

    fn versions_among(&self, filter: &[&str]) -> String {
        let ids = self.docker(&[&["service", "ls", "--quiet"], filter].concat());
        let words = ["service", "inspect", "--format", "{{.Spec.Name}} {{.Version.Index}}"];
        self.docker(&words.into_iter().chain(ids.lines()).collect::<Vec<_>>())
    }

    /// What the app answers.
    pub(crate) fn answer(&self) -> String {
        self.answer_at(18080)
    }

    /// What is answered at a port, at once: a gate has seen that it answers.
    pub(crate) fn answer_at(&self, port: u16) -> String {
        ask(port).unwrap()
    }

    /// What is answered first at a port of an app without a gate: a task runs from when its program is started, and listens later.
    pub(crate) fn first_answer_at(&self, port: u16) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            match ask(port) {
                // Docker's proxy takes connections before the program does, and closes them.
                Ok(answer) if !answer.is_empty() => return answer,
                answered => assert!(Instant::now() < end, "nothing answers at port {port}: {answered:?}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a program that nobody asks anything to have written this.
    pub(crate) fn wait_for_text(&self, path: &std::path::Path, expected: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text == expected {
                return;
            }
            assert!(Instant::now() < end, "`{}` holds {text:?} and not {expected:?}", path.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes a program. Another process does: what a thread beside us starts at that moment would have the open file from us for a
    /// while, and until then nobody may execute it.
    pub(crate) fn program(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.scratch.join(relative);
        let mut command = Command::new("sh");
        command.args(["-euc", "mkdir -p \"${1%/*}\"; cat >\"$1\"; chmod 755 \"$1\"", "sh"]).arg(&path);
        let output = run_limited(&mut command, text.as_bytes(), LIMIT);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }

    /// What its volume holds.
    pub(crate) fn data(&self) -> String {
        self.data_of(DOMAIN)
    }

    /// What an app's volume holds.
    pub(crate) fn data_of(&self, domain: &str) -> String {
        std::fs::read_to_string(self.volume(domain).join("versions")).unwrap()
    }

    /// Where an app's volume lies.
    pub(crate) fn volume(&self, domain: &str) -> PathBuf {
        self.scratch.join(format!("docker/volumes/{}_data/_data", domain.replace('.', "_")))
    }

    /// The names of the services that an app has.
    pub(crate) fn services_of(&self, domain: &str) -> String {
        let label = format!("label=com.docker.stack.namespace={}", domain.replace('.', "_"));
        self.docker(&["service", "ls", "--filter", &label, "--format", "{{.Name}}"])
    }

    /// Where its files are.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The app's `.env`.
    pub(crate) fn env_file(&self, domain: &str) -> String {
        self.scratch.read(format!("abra/servers/default/{domain}.env"))
    }

    /// The alert that stands.
    pub(crate) fn alert(&self, domain: &str) -> Option<Json> {
        let path: PathBuf = self.scratch.join(format!("alerts/{domain}.json"));
        let text = std::fs::read_to_string(path).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

/// A second node: a daemon in a network of its own, with a cable to the first.
pub(crate) struct Node {
    daemon: Child,
    pub(crate) socket: String,
}

impl Swarm {
    /// Starts a second node and lets it join as a worker; it has the image, too.
    pub(crate) fn second_node(&self) -> Node {
        let path = |name: &str| self.scratch.join(name).display().to_string();
        let socket = format!("unix://{}", path("second.sock"));
        let script = format!(
            "ip link set lo up; until ip addr add 10.99.0.2/24 dev fh-there 2>/dev/null; do sleep 0.05; done; \
             ip link set fh-there up; exec dockerd --data-root {} --exec-root {} --pidfile {} --host {socket}",
            path("second"),
            path("second-exec"),
            path("second.pid")
        );
        let log = std::fs::File::create(self.scratch.join("second.log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &script]).stdin(Stdio::null());
        let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let node = Node { daemon, socket };
        // Its network is another one only once `unshare` has made it.
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let end = Instant::now() + LIMIT;
        while std::fs::read_link(format!("/proc/{}/ns/net", node.daemon.id())).is_ok_and(|there| there == own) {
            assert!(Instant::now() < end, "no network for the second node");
            std::thread::sleep(Duration::from_millis(10));
        }
        ip("link add fh-here type veth peer name fh-there");
        ip("link set fh-here master fh-node up");
        ip(&format!("link set fh-there netns {}", node.daemon.id()));
        while !node.docker(&["version"]).0 {
            assert!(Instant::now() < end, "no second node:\n{}", self.scratch.read("second.log"));
            std::thread::sleep(Duration::from_millis(50));
        }
        let image = ["import", "--change", "ENTRYPOINT [\"/server\"]", &path("server.tar"), "freehold-stub:1"];
        assert!(node.docker(&image).0);
        let token = self.docker(&["swarm", "join-token", "--quiet", "worker"]);
        let (joined, said) = node.docker(&["swarm", "join", "--token", &token, &format!("{ADDRESS}:2377")]);
        assert!(joined, "{said}");
        node
    }
}

impl Node {
    /// Pulls the cable, or puts it back: `down`, `up`.
    pub(crate) fn cable(&self, state: &str) {
        ip(&format!("link set fh-here {state}"));
    }

    fn docker(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new("docker");
        let output = run_limited(command.env("DOCKER_HOST", &self.socket).args(words), b"", LIMIT);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.docker(&["swarm", "leave", "--force"]);
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.rsplit("\r\n").next().unwrap_or_default().to_owned())
}

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

impl Drop for Swarm {
    fn drop(&mut self) {
        // Tasks end with the Swarm; what is left of the network ends with the namespace.
        let _ = self.try_docker(&["swarm", "leave", "--force"]);
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}
