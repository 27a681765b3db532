//! The app of the tests: a static program that answers over HTTP as its environment says.
//!
//! `VERSION` and `STATUS` are what it answers with; it begins by adding `VERSION` to `/data/versions`, which stands for data that a
//! new version migrates. `START=crash` ends it at once; `START=slow` lets it listen after two seconds; `START=deaf` never.
//! `DATA=corrupt` spoils what else is there. A secret `token` is copied to `/data/secret`.

use std::io::{Read as _, Write as _};

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (version, status) = (variable("VERSION"), variable("STATUS"));
    println!("version {version} starts");
    if variable("START") == "crash" {
        std::process::exit(3);
    }
    if std::path::Path::new("/data").exists() {
        let known = std::fs::read_to_string("/data/versions").unwrap_or_default();
        std::fs::write("/data/versions", format!("{known}{version}\n")).unwrap();
    }
    if let Ok(secret) = std::fs::read("/run/secrets/token")
        && std::path::Path::new("/data").exists()
    {
        std::fs::write("/data/secret", secret).unwrap();
    }
    if variable("DATA") == "corrupt" {
        std::fs::write("/data/blob", "spoiled").unwrap();
        let _ = std::fs::remove_file("/data/inside/link");
    }
    if variable("START") == "deaf" {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
    if variable("START") == "slow" {
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    let listener = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.read(&mut [0; 4096]);
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", version.len());
        let _ = stream.write_all(format!("{head}{version}").as_bytes());
    }
}
