//! A private repository over HTTP: git's credential helper gives the password, and it is nowhere afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use common::World;
use freehold_recipe_source::{Mirror, SourceError, Wanted};

/// `reader:canary-4711`, as a browser would send it.
const AUTHORIZATION: &str = "Basic cmVhZGVyOmNhbmFyeS00NzEx";
const CANARY: &[u8] = b"canary-4711";

/// Serves the files below a directory to those who know the password.
fn serve(root: PathBuf) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            // A client that goes away is none of our business.
            let _ = answer(&connection.unwrap(), &root);
        }
    });
    format!("http://{address}")
}

fn answer(connection: &TcpStream, root: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut is_known = false;
    for line in lines {
        let line = line?;
        is_known |= line.eq_ignore_ascii_case(&format!("authorization: {AUTHORIZATION}"));
        if line.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let file = std::fs::read(root.join(path.trim_start_matches('/')));
    let (status, body) = match file {
        _ if !is_known => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"recipes\"", Vec::new()),
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let mut connection = connection;
    let length = body.len();
    connection
        .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").as_bytes())?;
    connection.write_all(&body)
}

fn holds_canary(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds_canary(&path);
        }
        std::fs::read(&path).unwrap_or_default().windows(CANARY.len()).any(|window| window == CANARY)
    })
}

#[test]
fn a_private_recipe_is_fetched_with_a_credential_helper_and_nothing_secret_stays() {
    let mut world = World::new();
    let recipe = world.recipe("blog", "first");
    let commit = recipe.release("1.0.0+6");
    let bare = world.scratch.dir("served/blog.git");
    recipe.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    common::git(&bare, &["update-server-info"]);
    world.settings.base = Some(serve(world.scratch.join("served")));
    // Without a helper: an error at once, and nobody is asked.
    world.settings.git_settings = vec!["credential.helper=".to_owned()];
    let error = Mirror::open("blog", &world.settings).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }), "{error}");
    let secret = world.scratch.write("secret", "username=reader\npassword=canary-4711\n");
    let helper = format!("credential.helper=!cat {} #", secret.display());
    world.settings.git_settings.push(helper);
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    assert_eq!(mirror.resolve(&Wanted::Newest).unwrap().commit, commit);
    assert!(!holds_canary(&world.settings.cache), "the password is in the mirror");
    assert!(!format!("{mirror:?}").contains("canary"));
}
