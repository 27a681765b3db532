//! A service of a stub recipe: a static program that is an app, a database or a queue, as its environment says.
//!
//! `HEALTH` is the only path that answers with `STATUS` and `BODY`; every other one is 503, so that a gate at another path is red.
//! `SECRETS` names files in `/run/secrets` without which it ends; `DATA` names directories to which it adds its `VERSION`, as a
//! database does that migrates; `LISTEN` names further ports that take connections. Without `HEALTH` it only lives.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

fn words(name: &str) -> Vec<String> {
    std::env::var(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let version = variable("VERSION");
    for secret in words("SECRETS") {
        let path = format!("/run/secrets/{secret}");
        if std::fs::read(&path).map_or(true, |bytes| bytes.is_empty()) {
            println!("there is no {path}");
            std::process::exit(3);
        }
    }
    for directory in words("DATA") {
        let path = format!("{directory}/versions");
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, format!("{known}{version}\n")).unwrap();
    }
    for port in words("LISTEN") {
        let listener = TcpListener::bind(format!("0.0.0.0:{port}")).unwrap();
        // Connections are kept, as by a server that waits for the other to speak.
        std::thread::spawn(move || listener.incoming().flatten().for_each(std::mem::forget));
    }
    let health = variable("HEALTH");
    if health.is_empty() {
        loop {
            std::thread::park();
        }
    }
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    println!("version {version} listens");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).unwrap_or(0);
        let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let path = request.split_whitespace().nth(1).unwrap_or_default();
        let (status, body) = match path == health {
            true => (variable("STATUS"), variable("BODY")),
            false => ("503".to_owned(), String::new()),
        };
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nVersion: {version}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}
