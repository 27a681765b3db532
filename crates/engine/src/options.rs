//! What an engine is opened with.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::Entry;

/// What an engine is opened with. Nothing is looked up in the environment behind the caller's back.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The deployment.
    pub entry: Entry,
    /// The `freehold` binary: built-in providers and the evaluator's bridge are subcommands of it.
    pub program: PathBuf,
    /// Our Nix library: a directory with `default.nix`.
    pub library: PathBuf,
    /// Resources worked on at once.
    pub parallelism: usize,
    /// Nix's full traces in messages.
    pub show_trace: bool,
    /// Confine the evaluator where the kernel can.
    pub confine: bool,
    /// Where the state is; `None` for the directory `freehold.state` beside the deployment.
    pub state: Option<StateLocation>,
    /// The command line without secrets, for the lock and the history.
    pub command: String,
    /// The operator vouches that nobody else writes to a store that cannot refuse a second writer.
    pub single_writer: bool,
    /// The private key that opens sensitive values: `None` where there is none (then they stay locked).
    pub identity: Option<PathBuf>,
    /// Where this deployment's GC roots and scratch files go.
    pub work_dir: PathBuf,
}

/// Where the state is.
#[derive(Debug, Clone, PartialEq)]
pub enum StateLocation {
    /// A directory.
    Directory(PathBuf),
    /// A prefix in an S3 bucket: `{ endpoint, bucket, prefix, region, … }`.
    S3(Json),
}
