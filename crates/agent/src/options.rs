//! What an agent is told when it is started.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use freehold_manifest::Runtime as Kind;
use freehold_nar::TrustedKeys;
use freehold_publish::Board;
use freehold_runtime::Runtime;
use freehold_store::Nix;

use crate::{Notify, ReportPlace, Router};

/// The runtimes of a host, the one for services that name none first.
pub type Runtimes = Vec<(Kind, Arc<dyn Runtime>)>;

/// What an agent is told when it is started.
#[derive(Clone)]
pub struct AgentOptions {
    /// Where the manifest and the closures are.
    pub board: Board,
    /// The name of this host in manifests.
    pub host: String,
    /// Whose manifests are followed.
    pub trust: Trust,
    /// The keys whose closures are taken.
    pub trusted: TrustedKeys,
    /// Where everything is remembered.
    pub state: PathBuf,
    /// The runtimes that this host has, the one for services that name none first.
    pub runtimes: Runtimes,
    /// How routes are set; `None` for not at all.
    pub router: Option<Arc<dyn Router>>,
    /// The Nix that closures are kept by.
    pub nix: Nix,
    /// Between two looks at the manifest.
    pub poll: Duration,
    /// Try releases again that were taken back.
    pub retry: bool,
    /// Where this host reports how it stands; `None` for nowhere.
    pub report: Option<ReportPlace>,
    /// The manager of this service, which is told how it goes.
    pub notify: Option<Arc<Notify>>,
}

/// Whose manifests are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// One that nobody has signed is taken, too.
    pub unsigned: bool,
    /// One with a lower serial than was seen before is taken, too.
    pub rollback: bool,
}
