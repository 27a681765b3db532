//! What every runtime can do with the releases of a service. A runtime decides nothing.

use freehold_rollout::{Release, Settling, StopWhat, Strategy};

use crate::RuntimeError;

/// Something that runs of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What runs; `None` when nobody here has made it.
    pub release: Option<Release>,
    /// The port it listens on.
    pub port: Option<u16>,
    /// In words, for people: `unit freehold-web.service, active since …`.
    pub text: String,
}

/// Runs services in one way. Every function is idempotent, has a limit of time, and reports what it reads back.
pub trait Runtime: Send + Sync {
    /// Its name in manifests.
    fn name(&self) -> &'static str;

    /// The workloads of which something of ours is on this host, in order: what runs may be among them, and what is left of it.
    ///
    /// # Errors
    /// The runtime cannot be asked.
    fn workloads(&self) -> Result<Vec<String>, RuntimeError>;

    /// Everything that runs of this workload, old and new.
    ///
    /// # Errors
    /// The runtime cannot be asked.
    fn observe(&self, workload: &str) -> Result<Vec<Instance>, RuntimeError>;

    /// Whether this host can run it: programs are there, users exist. Changes nothing.
    ///
    /// # Errors
    /// What is missing.
    fn check(&self, workload: &str, release: &Release) -> Result<(), RuntimeError>;

    /// Puts in place what a release is started from, without starting it; what runs goes on. What several releases need read again is
    /// read once when all of it is in place before the first one is activated. Done only for what is activated next.
    ///
    /// # Errors
    /// It cannot be written.
    fn install(&self, _workload: &str, _release: &Release, _strategy: Strategy) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Starts a release, not yet to be started at boot; with [`Strategy::Restart`] in the place of what runs. One that runs already
    /// is left alone.
    ///
    /// # Errors
    /// It cannot be started.
    fn activate(&self, workload: &str, release: &Release, strategy: Strategy) -> Result<(), RuntimeError>;

    /// Stops, and waits until it is gone.
    ///
    /// # Errors
    /// It does not end.
    fn stop(&self, workload: &str, what: &StopWhat) -> Result<(), RuntimeError>;

    /// Whether exactly this release runs and has settled.
    fn settle(&self, workload: &str, release: &Release) -> Settling;

    /// Makes this release the one that starts at boot.
    ///
    /// # Errors
    /// It cannot be written.
    fn commit(&self, workload: &str, release: &Release) -> Result<(), RuntimeError>;
}
