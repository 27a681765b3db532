//! A cache over HTTP: any Nix reads it, and nobody reads more than what belongs to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{on_each_nix, on_one_nix, server};
use freehold_cache::{Condition, Depot, Kind, Served, serve};
use freehold_nar::NarInfo;

/// Serves a cache while `work` is done; gives what was asked for.
fn served(depot: &Depot, work: impl FnOnce(SocketAddr)) -> Vec<Served> {
    /// So that a test that fails ends.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, heard) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| serve(depot, &socket, &|served| heard.lock().unwrap().push(served.clone()), &stop).unwrap());
        let _stop = Stop(&stop);
        work(address);
    });
    heard.into_inner().unwrap()
}

/// Sends requests over one connection, which the server closes after the last; gives all that comes.
fn said(address: SocketAddr, requests: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n\r\n")
}

#[test]
fn each_nix_copies_from_a_cache_that_is_served() {
    on_each_nix(|world| {
        let (_server, bucket) = server();
        for depot in [world.directory("cache"), bucket] {
            let app = world.build("app");
            world.push(&depot, &[&app]).unwrap();
            world.forget();
            let heard = served(&depot, |address| {
                let keys = world.key.public().to_string();
                let url = format!("http://{address}");
                world.nix(&["copy", "--option", "trusted-public-keys", &keys, "--from", &url, app.as_str()]);
            });
            assert!(world.has(&app) && PathBuf::from(app.as_str()).join("ünï").is_file());
            assert_eq!(heard.iter().filter(|s| s.target.starts_with("/nar/") && s.status == 200).count(), 4);
        }
    });
}

#[test]
fn only_what_belongs_to_a_binary_cache_is_given_out_and_nothing_is_written() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let base = world.build("base");
        world.push(&depot, &[&base]).unwrap();
        depot.put("manifest.json", b"{}", Kind::Json, &Condition::None).unwrap();
        depot.put("nar/.hidden", b"secret", Kind::Nar, &Condition::None).unwrap();
        world.scratch.write("precious", "secret");
        let key = NarInfo::key_of(&base);
        let before = depot.list("").unwrap();
        served(&depot, |address| {
            let status = |request: &str| said(address, request).lines().next().unwrap_or_default().to_owned();
            for target in [
                "/",
                "/manifest.json",
                "/freehold-epoch",
                "/.freehold-lock",
                "/nar/",
                "/nar/..",
                "/nar/.hidden",
                "/../precious",
                "/nar/../../precious",
                "/nar/..%2f..%2fprecious",
                "//etc/hostname",
                "http://x/nix-cache-info",
                "/00000000000000000000000000000000.narinfo",
            ] {
                assert_eq!(status(&ask("GET", target)), "HTTP/1.1 404 Not Found", "{target}");
            }
            for method in ["PUT", "DELETE", "POST", "OPTIONS"] {
                assert_eq!(status(&ask(method, &format!("/{key}"))), "HTTP/1.1 405 Method Not Allowed");
            }
            let body = "GET /nix-cache-info HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
            assert!(said(address, body).contains("Connection: close"), "what follows is not taken for a request");
            assert_eq!(said(address, "nonsense\r\n\r\n"), "");
            let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(20_000));
            assert_eq!(status(&long), "HTTP/1.1 431 Request Header Fields Too Large");
        });
        assert_eq!(depot.list("").unwrap(), before);
    });
}

#[test]
fn a_connection_stays_for_several_requests_and_a_head_has_no_body() {
    on_one_nix(|world| {
        let depot = world.directory("cache");
        let base = world.build("base");
        world.push(&depot, &[&base]).unwrap();
        let key = NarInfo::key_of(&base);
        let text = String::from_utf8(depot.get(&key).unwrap().unwrap().body).unwrap();
        let heard = served(&depot, |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
            // Both are sent before the first is answered.
            let both = format!("HEAD /{key} HTTP/1.1\r\nHost: x\r\n\r\nGET /{key} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(both.as_bytes()).unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head = || {
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    match line.trim_end() {
                        "" => return lines,
                        line => lines.push(line.to_owned()),
                    }
                }
            };
            let length = format!("Content-Length: {}", text.len());
            for _ in 0..2 {
                let lines = head();
                assert_eq!(lines[0], "HTTP/1.1 200 OK");
                assert!(
                    lines.contains(&length) && lines.contains(&"Content-Type: text/x-nix-narinfo".to_owned()),
                    "{lines:?}"
                );
            }
            let mut body = vec![0; text.len()];
            reader.read_exact(&mut body).unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), text);
        });
        assert_eq!(heard.iter().map(|served| served.method.as_str()).collect::<Vec<_>>(), ["HEAD", "GET"]);
    });
}
