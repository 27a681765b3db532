//! Figures of the binary cache, as Markdown: pushes and pulls to a directory and over a slow line beside `nix copy`, and the look at an
//! unchanged closure.
//!
//! `cargo bench -p freehold-cache --bench cache [-- WORK…] [paths=N] [kb=N] [rounds=N] [nix=VERSION]`, where the work is some of `directory`,
//! `line`, `unchanged` and `xz` (Nix's default compression, which takes minutes and is left out unless it is named). Nix talks to a plain
//! HTTP server over the line, since not every Nix knows S3; both servers keep everything in memory and wait 20 ms before each answer.
//! Before each measurement the disk is quiet: nobody pays for what another has written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and talks on stdout"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use freehold_cache::{Depot, DepotUrl, PushOptions, Pushed, pull, push};
use freehold_nar::{Compression, SecretKey, StorePath, TrustedKeys};
use freehold_s3::{CredentialsSource, Keys};
use freehold_store::Nix;
use freehold_testkit::s3::S3Server;
use freehold_testkit::{Scratch, nixes};

const LATENCY: Duration = Duration::from_millis(20);
const SMALL: usize = 2_000;

struct Bench {
    name: String,
    nix: Nix,
    scratch: Scratch,
    key: SecretKey,
    /// How many large paths, of how many thousands of bytes.
    paths: usize,
    kb: usize,
    rounds: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let number = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.parse().ok());
    let has_work = arguments.iter().any(|argument| !argument.contains('='));
    let is_wanted = |work: &str| arguments.iter().any(|argument| argument == work);
    println!("Seconds of the whole work (and of the processors, servers of this program included):\n");
    println!("| Nix | work | freehold | nix copy | ratio |\n|---|---|---:|---:|---:|");
    for version in nixes() {
        if arguments.iter().any(|argument| argument.strip_prefix("nix=").is_some_and(|name| name != version.name)) {
            continue;
        }
        let scratch = Scratch::new();
        let nix = Nix::at(&version.bin).with_environment(version.env(&scratch.dir("home")));
        let key = SecretKey::generate("bench-1").unwrap();
        scratch.write("key", key.to_text().expose());
        let (paths, kb) = (number("paths=").unwrap_or(300), number("kb=").unwrap_or(1000));
        let rounds = number("rounds=").unwrap_or(3);
        let bench = Bench { name: version.name.clone(), nix, scratch, key, paths, kb, rounds };
        if is_wanted("directory") || !has_work {
            bench.directory();
        }
        if is_wanted("line") || !has_work {
            bench.line();
        }
        if is_wanted("unchanged") || !has_work {
            bench.unchanged();
        }
        if is_wanted("xz") {
            bench.xz();
        }
    }
}

impl Bench {
    /// Large paths, into a directory and out of it.
    fn directory(&self) {
        let paths = self.large();
        let (mut ours, mut theirs) = (Cost::MOST, Cost::MOST);
        let url = |who: &str| format!("file://{}", self.scratch.join(who).display());
        // In turns, and the best of each: the machine may have other things to do.
        for _ in 0..self.rounds {
            self.remove("ours");
            let depot = Depot::open(&url("ours")).unwrap();
            ours = ours.less(self.timed_push(&depot, &paths, &Compression::Zstd));
            self.remove("theirs");
            theirs = theirs.less(self.copy_to(&format!("{}?{}", url("theirs"), self.options()), &paths));
        }
        self.row(&format!("push of {} to a directory", self.what()), ours, Some(theirs));
        let (mut ours, mut theirs) = (Cost::MOST, Cost::MOST);
        for _ in 0..self.rounds {
            // What each has pushed itself.
            ours = ours.less(self.timed_pull(&Depot::open(&url("ours")).unwrap(), &paths));
            theirs = theirs.less(self.copy_from(&url("theirs"), &paths));
        }
        self.row(&format!("pull of {} from a directory", self.what()), ours, Some(theirs));
    }

    /// The same, to a server that takes 20 ms for each answer.
    fn line(&self) {
        let paths = self.large();
        let (_server, depot) = bucket();
        let ours = self.timed_push(&depot, &paths, &Compression::Zstd);
        let http = Http::start();
        let theirs = self.copy_to(&format!("http://{}?{}", http.address, self.options()), &paths);
        assert!(http.objects.lock().unwrap().len() > 2 * self.paths, "nix copy did not copy");
        self.row(&format!("push of {}, 20 ms away", self.what()), ours, Some(theirs));
        let ours = self.timed_pull(&depot, &paths);
        let theirs = self.copy_from(&format!("http://{}", http.address), &paths);
        self.row(&format!("pull of {}, 20 ms away", self.what()), ours, Some(theirs));
    }

    /// A closure of 2,000 paths that is there already.
    fn unchanged(&self) {
        let root = [self.many()];
        let (_server, depot) = bucket();
        let http = Http::start();
        let to = format!("http://{}?{}", http.address, self.options());
        let first = self.timed_push(&depot, &root, &Compression::Zstd);
        let theirs = self.copy_to(&to, &root);
        self.row("push of 2,000 small paths, 20 ms away", first, Some(theirs));
        let again = self.timed_push(&depot, &root, &Compression::Zstd);
        // Each copy is by another process, but what Nix remembers of a cache stays in its home.
        let theirs = self.copy_to(&to, &root);
        self.row("the same again, unchanged", again, Some(theirs));
    }

    /// As Nix compresses unless it is told otherwise, into a directory.
    fn xz(&self) {
        let paths = self.large();
        let url = |who: &str| format!("file://{}", self.scratch.join(who).display());
        for who in ["ours", "theirs"] {
            self.remove(who);
        }
        let theirs =
            self.copy_to(&format!("{}?secret-key={}", url("theirs"), self.scratch.join("key").display()), &paths);
        let ours = self.timed_push(&Depot::open(&url("ours")).unwrap(), &paths, &Compression::Xz);
        self.row(&format!("push of {} to a directory, both with xz", self.what()), ours, Some(theirs));
        self.remove("ours");
        let ours = self.timed_push(&Depot::open(&url("ours")).unwrap(), &paths, &Compression::Zstd);
        self.row(&format!("push of {} to a directory, each with its default", self.what()), ours, Some(theirs));
    }

    fn what(&self) -> String {
        format!("{} paths of {} kB", self.paths, self.kb)
    }

    fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.scratch.join(name));
    }

    fn options(&self) -> String {
        let key = self.scratch.join("key");
        format!("compression=zstd&parallel-compression=true&secret-key={}", key.display())
    }

    fn row(&self, work: &str, ours: Cost, theirs: Option<Cost>) {
        let ratio = theirs.map_or(String::new(), |theirs| format!("{:.1}", theirs.wall / ours.wall));
        let shown = |cost: Cost| format!("{:.2} s ({:.2} s)", cost.wall, cost.cpu);
        let theirs = theirs.map_or(String::new(), shown);
        println!("| {} | {work} | {} | {theirs} | {ratio} |", self.name, shown(ours));
    }

    fn timed_push(&self, depot: &Depot, roots: &[StorePath], compression: &Compression) -> Cost {
        let index = self.scratch.join("index");
        let options = PushOptions { compression: compression.clone(), index: Some(&index), recheck: false };
        let began = Cost::now();
        let pushed: Pushed =
            push(&self.nix, depot, roots, &self.key, &options, &|_| {}, &AtomicBool::new(false)).unwrap();
        let took = began.since();
        assert!(pushed.new >= roots.len() || pushed.new == 0, "{pushed:?}");
        took
    }

    /// Into a store that is empty.
    fn timed_pull(&self, depot: &Depot, roots: &[StorePath]) -> Cost {
        self.empty_store();
        let keys = TrustedKeys::new(vec![self.key.public()]);
        let staging = self.scratch.join("staging");
        let began = Cost::now();
        pull(&self.nix, depot, roots, &keys, &staging, &|_| {}, &AtomicBool::new(false)).unwrap();
        let took = began.since();
        self.is_there(roots);
        took
    }

    fn copy_to(&self, url: &str, paths: &[StorePath]) -> Cost {
        self.copy(&["--to", url], paths)
    }

    /// Into a store that is empty.
    fn copy_from(&self, url: &str, paths: &[StorePath]) -> Cost {
        self.empty_store();
        let key = self.key.public().to_string();
        let took = self.copy(&["--from", url, "--option", "trusted-public-keys", &key], paths);
        self.is_there(paths);
        took
    }

    fn copy(&self, arguments: &[&str], paths: &[StorePath]) -> Cost {
        let mut command = self.nix.command("nix");
        command.args(["--extra-experimental-features", "nix-command", "copy"]).args(arguments);
        command.args(paths.iter().map(StorePath::as_str));
        let began = Cost::now();
        run(&mut command);
        began.since()
    }

    fn empty_store(&self) {
        run(Command::new("chmod").args(["-R", "u+w"]).arg(self.scratch.join("home")));
        self.remove("home");
        self.scratch.dir("home");
    }

    fn is_there(&self, paths: &[StorePath]) {
        run(self.nix.command("nix-store").arg("--check-validity").args(paths.iter().map(StorePath::as_str)));
    }

    /// Text that compresses to a fraction, as programs do.
    fn large(&self) -> Vec<StorePath> {
        let dir = self.scratch.dir("large");
        let files: Vec<_> = (0..self.paths)
            .map(|file| {
                let mut text = String::with_capacity(self.kb * 1_000 + 10_000);
                let mut number = file as u64;
                while text.len() < self.kb * 1_000 {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    writeln!(text, "line {:x} of file {file}", number >> 40).unwrap();
                }
                let path = dir.join(format!("file-{file}"));
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        let added = run(self.nix.command("nix-store").arg("--add").args(files));
        added.lines().map(|line| StorePath::parse(line).unwrap()).collect()
    }

    /// A root with 2,000 paths below it.
    fn many(&self) -> StorePath {
        let text = format!(
            "let leaf = n: builtins.toFile \"leaf-${{toString n}}\" (toString n); \
             d = name: refs: derivation {{ inherit name refs; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo $refs > $out\" ]; }}; \
             node = k: d \"node-${{toString k}}\" (builtins.genList (n: leaf (k * 100 + n)) 100); \
             in d \"root\" (builtins.genList node {})",
            SMALL / 100
        );
        let built = run(self.nix.command("nix-build").args(["--no-out-link", "-E", &text]));
        StorePath::parse(built.trim()).unwrap()
    }
}

/// Seconds on the wall, and of the processors: ours and those of children that have ended.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

struct Began {
    wall: Instant,
    cpu: f64,
}

impl Cost {
    const MOST: Self = Self { wall: f64::MAX, cpu: f64::MAX };

    fn now() -> Began {
        run(&mut Command::new("sync"));
        Began { wall: Instant::now(), cpu: cpu_seconds() }
    }

    fn less(self, other: Self) -> Self {
        Self { wall: self.wall.min(other.wall), cpu: self.cpu.min(other.cpu) }
    }
}

impl Began {
    fn since(&self) -> Cost {
        Cost { wall: self.wall.elapsed().as_secs_f64(), cpu: cpu_seconds() - self.cpu }
    }
}

/// utime, stime, cutime and cstime of this process, in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(4);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bucket() -> (S3Server, Depot) {
    let server = S3Server::start();
    server.create_bucket("cache");
    server.set_latency(LATENCY);
    let url = format!("s3://cache?scheme=http&endpoint={}", server.endpoint().trim_start_matches("http://"));
    let mut url = DepotUrl::parse(&url).unwrap();
    if let DepotUrl::Bucket { settings, .. } = &mut url {
        settings.credentials = CredentialsSource::Keys(Keys {
            access_key_id: S3Server::ACCESS_KEY.to_owned(),
            secret_access_key: freehold_model::Sensitive::new(S3Server::SECRET_KEY.to_owned()),
            session_token: None,
        });
    }
    (server, Depot::at(url).unwrap())
}

/// A web server that keeps what is put, as Nix's HTTP caches want it.
struct Http {
    address: String,
    objects: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Http {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let objects: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let shared = Arc::clone(&objects);
        // It ends with the benchmark.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || while serve(&stream, &shared).is_some() {});
            }
        });
        Self { address, objects }
    }
}

/// One request; `None` when the connection is over.
fn serve(stream: &TcpStream, objects: &Mutex<HashMap<String, Vec<u8>>>) -> Option<()> {
    // A reader for each request would lose what was read ahead, but nobody sends ahead of an answer.
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if header == "expect: 100-continue" {
            (&mut &*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    std::thread::sleep(LATENCY);
    let (status, answer) = match method.as_str() {
        "PUT" => {
            objects.lock().unwrap().insert(target, body);
            ("200 OK", Vec::new())
        }
        _ => match objects.lock().unwrap().get(&target) {
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", Vec::new()),
        },
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", answer.len());
    let answer = if method == "HEAD" { Vec::new() } else { answer };
    (&mut &*stream).write_all(&[head.into_bytes(), answer].concat()).ok()
}
