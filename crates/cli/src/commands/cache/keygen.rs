//! `freehold cache keygen`.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use freehold_nar::SecretKey;
use serde_json::json;

use crate::commands::cache::keys::write_new;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Make a key that signs paths, and print its public half
///
/// Writes NAME.sec (keep it) and NAME.pub (give it to whoever pulls), in Nix's own format. Keys that
/// `nix-store --generate-binary-cache-key` made are as good.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key's name: usually the cache's host name and a number, like cache.example.org-1
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the two files go
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    if args.name.contains('/') || args.name.starts_with('.') {
        return Err(Failure::usage(format!("`{}` cannot be the name of a key: it would be that of a file", args.name)));
    }
    let key = SecretKey::generate(&args.name)?;
    let file = |suffix: &str| args.dir.join(format!("{}.{suffix}", args.name));
    let (secret, public) = (file("sec"), file("pub"));
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    fs_err::create_dir_all(&args.dir)?;
    write_new(&secret, 0o600, key.to_text().expose())?;
    let text = key.public().to_string();
    write_new(&public, 0o644, &text)?;
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.cache-key/1", "name": args.name, "publicKey": text,
            "secretKeyFile": secret.display().to_string(), "publicKeyFile": public.display().to_string(),
        }));
        return Ok(Exit::Ok);
    }
    session.ui.talk(&format!("made a signing key: {}", secret.display()));
    session.ui.talk("  keep it where you publish from, and never commit it");
    session.ui.data(&format!("{text}\n"));
    Ok(Exit::Ok)
}

fn exists(path: &Path) -> Failure {
    Failure::user(format!("`{}` is there already", path.display()))
        .hint("a new key needs a new name, so that both can be trusted for a while: count up the number at its end")
}
