//! `freehold cache push`.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};
use freehold_cache::{Depot, PushOptions, Pushed};
use freehold_nar::{Compression, StorePath};
use freehold_store::Nix;
use serde_json::json;

use crate::commands::cache::{keys, moving::Moving, paths};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text::{bytes, count};
use crate::session::Session;

/// Sign store paths with all that they need, and bring them into a cache
///
/// Prints the store paths. What the cache has already is not sent again, and a push that was interrupted goes on where it was.
/// Nobody sees a path in the cache before all that it needs is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Store paths, or links to them
    #[arg(value_name = "PATH", required_unless_present = "installable", value_hint = ValueHint::AnyPath)]
    paths: Vec<String>,
    /// The cache
    #[arg(long, value_name = "URL")]
    to: String,
    /// File of the signing key [default: $NIX_CACHE_KEY, then ~/.config/nix/cache-priv-key.pem]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// Build this first, and push what comes of it: `.#web`
    #[arg(long, value_name = "INSTALLABLE")]
    installable: Vec<String>,
    /// How NARs are compressed [default: what the URL says, else zstd]
    #[arg(long, value_name = "HOW")]
    compression: Option<How>,
    /// Believe nothing that this machine remembers of the cache
    #[arg(long)]
    recheck: bool,
}

/// What NARs can be compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Fast, and nearly as small.
    Zstd,
    /// Slow and small.
    Xz,
    /// Not at all.
    None,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let depot = Depot::open(&args.to)?;
    let compression = compression(args.compression, &depot)?;
    let key = keys::signing(args.key.as_deref(), session)?;
    let nix = Nix::find()?.with_traces(session.global.show_trace);
    let stop = session.stopper()?;
    depot.heed(&stop);
    let mut roots = paths::store_paths(&args.paths)?;
    for installable in &args.installable {
        let built = nix.build_installable(installable, &session.cwd()?, &stop, &mut |_| {})?;
        for (_, path) in &built.outputs {
            roots.push(StorePath::parse(path)?);
        }
    }
    let index = paths::index_dir();
    let options = PushOptions { compression, index: index.as_deref(), recheck: args.recheck };
    let moving = Moving::new(&session.ui, "pushed");
    let pushed = freehold_cache::push(&nix, &depot, &roots, &key, &options, &|news| moving.hear(news), &stop)?;
    drop(moving);
    tell(&roots, &pushed, &args.to, session);
    Ok(Exit::Ok)
}

fn compression(given: Option<How>, depot: &Depot) -> Result<Compression, Failure> {
    Ok(match (given, depot.url().compression()) {
        (Some(How::Zstd), _) | (None, None | Some("zstd")) => Compression::Zstd,
        (Some(How::Xz), _) | (None, Some("xz")) => Compression::Xz,
        (Some(How::None), _) | (None, Some("none")) => Compression::None,
        (None, Some(other)) => {
            return Err(Failure::usage(format!("`{}` asks for compression `{other}`", depot.url()))
                .hint("zstd, xz and none are supported: say `--compression zstd`"));
        }
    })
}

fn tell(roots: &[StorePath], pushed: &Pushed, url: &str, session: &Session) {
    if session.ui.json {
        session.ui.json(&json!({
            "format": "freehold.cache-push/1", "cache": url,
            "paths": roots.iter().map(StorePath::as_str).collect::<Vec<_>>(),
            "closure": pushed.paths, "new": pushed.new, "signed": pushed.signed, "narBytes": pushed.nar_bytes,
            "fileBytes": pushed.file_bytes, "travelledBytes": pushed.travelled_bytes,
        }));
        return;
    }
    let all = count(pushed.paths, "path", "paths");
    session.ui.talk(&match pushed.new {
        0 if pushed.signed > 0 => format!("the cache has all {all} already: signed {} of them", pushed.signed),
        0 => format!("the cache has all {all} already"),
        new => format!("pushed {new} of {all}: {} as {}", bytes(pushed.nar_bytes), bytes(pushed.file_bytes)),
    });
    for root in roots {
        session.ui.data(&format!("{root}\n"));
    }
}
